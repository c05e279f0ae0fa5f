//! What the tap adds to the stack's output: entries in the first SETTINGS, and frames of its own.
//!
//! No I/O here but [`Outbound::poll_drain`], which empties the queue. The stack's bytes themselves
//! never pass through this module, except for its first frame.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use countersign_proto::{ErrorCode, Role, Setting};
use tokio::io::AsyncWrite;

use crate::acks::{Acks, Sender};
use crate::walk::{
    DEFAULT_MAX_FRAME_SIZE, GREATEST_MAX_FRAME_SIZE, HEADER_LEN, Header, Met, PREFACE_LEN,
    SETTING_LEN, SETTINGS_MAX_FRAME_SIZE, Walker, frame_type,
};

/// The state of one connection's output.
#[derive(Debug)]
pub(crate) struct Outbound {
    /// Where the stack is in its stream of frames.
    walker: Walker,
    /// The first frame as far as the stack has written it, until it is whole.
    first: Option<BytesMut>,
    /// Bytes that go out before the stack's next ones.
    queue: BytesMut,
    /// SETTINGS that wait for their acknowledgement.
    acks: Acks,
    /// SETTINGS_MAX_FRAME_SIZE in the stack's first SETTINGS, in bytes.
    max_frame_size: u32,
    /// The lowest last stream in a GOAWAY of the stack.
    last_stream: u32,
}

/// What became of bytes that were captured.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Captured {
    /// How many bytes of the stack were taken; at least one.
    pub(crate) taken: usize,
    /// The first SETTINGS is queued, with the extension's entries in it.
    pub(crate) settings_queued: bool,
}

impl Outbound {
    pub(crate) fn new(role: Role) -> Self {
        let preface = match role {
            Role::Client => PREFACE_LEN,
            Role::Server => 0,
        };
        Self {
            walker: Walker::new(preface),
            first: Some(BytesMut::new()),
            queue: BytesMut::new(),
            acks: Acks::default(),
            max_frame_size: DEFAULT_MAX_FRAME_SIZE,
            last_stream: u32::MAX,
        }
    }

    /// The stack's bytes may pass as they are.
    #[inline]
    pub(crate) fn is_clear(&self) -> bool {
        self.queue.is_empty() && self.first.is_none()
    }

    /// The stack is at its first frame, which has to go through [`Outbound::capture`].
    pub(crate) fn is_capturing(&self) -> bool {
        self.first.is_some() && self.walker.between_frames()
    }

    /// A frame may be queued here.
    pub(crate) fn at_boundary(&self) -> bool {
        self.first.is_none() && self.walker.between_frames()
    }

    /// How many of `bytes`, at least one, the stack may write before the next boundary.
    pub(crate) fn distance(&self, bytes: &[u8]) -> usize {
        self.walker.distance(bytes)
    }

    /// The longest frame that the peer may send, in bytes of payload.
    pub(crate) fn max_frame_size(&self) -> u32 {
        self.max_frame_size
    }

    /// The last stream that a GOAWAY may still name.
    pub(crate) fn last_stream(&self) -> u32 {
        self.last_stream
    }

    pub(crate) fn acks(&mut self) -> &mut Acks {
        &mut self.acks
    }

    /// The stack's `bytes` have gone out.
    #[inline]
    pub(crate) fn sent(&mut self, bytes: &[u8]) {
        let Self { walker, acks, last_stream, .. } = self;
        walker.advance(bytes, |met| match met {
            Met::Settings => acks.sent(Sender::Stack),
            Met::GoAway(last) => *last_stream = last.min(*last_stream),
        });
    }

    /// Takes bytes of the first frame. When it is whole, `entries` are added to it and it is queued;
    /// when it is no SETTINGS, it is queued as it is, which leaves it to the peer to complain.
    pub(crate) fn capture(
        &mut self,
        bytes: &[u8],
        entries: impl FnOnce() -> Vec<Setting>,
    ) -> Captured {
        let Some(first) = &mut self.first else {
            return Captured { taken: 0, settings_queued: false };
        };
        let wanted = match first.first_chunk::<HEADER_LEN>() {
            None => HEADER_LEN - first.len(),
            Some(head) => HEADER_LEN + Header::parse(head).len as usize - first.len(),
        };
        let taken = wanted.min(bytes.len());
        first.extend_from_slice(bytes.get(..taken).unwrap_or_default());

        let Some((head, payload)) = first.split_first_chunk::<HEADER_LEN>() else {
            return Captured { taken, settings_queued: false };
        };
        let header = Header::parse(head);
        if !header.is_settings() || header.len > DEFAULT_MAX_FRAME_SIZE {
            self.release();
            return Captured { taken, settings_queued: false };
        }
        if payload.len() < header.len as usize {
            return Captured { taken, settings_queued: false };
        }
        for setting in parse_settings(payload) {
            if setting.id == SETTINGS_MAX_FRAME_SIZE {
                self.max_frame_size = valid_max_frame_size(setting).unwrap_or(self.max_frame_size);
            }
        }
        //= specs/client-certs.md#section-3.1.1
        //# In HTTP/2 the setting MUST travel as an ordinary entry of the SETTINGS frame under its
        //# own identifier.
        //= specs/client-certs.md#decisions-frames
        //# (ours) The setting MUST be part of the first SETTINGS frame that an endpoint sends.
        let added = encode_settings(&entries());
        self.acks.sent(if added.is_empty() { Sender::Stack } else { Sender::Extended });
        let len = header.len + u32::try_from(added.len()).unwrap_or_default();
        self.queue.put_slice(&Header { len, ..header }.encode());
        self.queue.put_slice(payload);
        self.queue.put_slice(&added);
        self.first = None;
        Captured { taken, settings_queued: true }
    }

    /// Gives up waiting for the rest of the first frame: queues what there is of it.
    pub(crate) fn release(&mut self) {
        if let Some(first) = self.first.take() {
            self.sent(&first);
            self.queue.extend_from_slice(&first);
        }
    }

    /// Queues a frame of the extension. Only at a boundary.
    pub(crate) fn queue_frame(&mut self, frame_type: u8, payload: &[u8]) {
        let len = match u32::try_from(payload.len()) {
            Ok(len) if len <= GREATEST_MAX_FRAME_SIZE => len,
            _ => {
                tracing::error!(len = payload.len(), "a frame too long for HTTP/2 was not sent");
                return;
            }
        };
        self.queue
            //= specs/client-certs.md#section-4.1
            //# In HTTP/2 the frame MUST be sent on stream 0.
            //= specs/client-certs.md#section-4.1.1
            //# The HTTP/2 frame MUST consist of the 9-byte frame header with type
            //# AUTHENTICATOR_REQUESTS, unused flags and stream identifier 0, and then one or more
            //# authenticator requests.
            //= specs/server-certs.md#section-5.1
            //# The HTTP/2 frame MUST consist of the 9-byte frame header with type
            //# SERVER_CERTIFICATE, unused flags and stream identifier 0, and then bytes of the
            //# authenticator.
            //= specs/server-certs.md#section-5.1
            //# In HTTP/2 SERVER_CERTIFICATE MUST be sent on stream 0.
            //= specs/client-certs.md#section-4.2
            //# A client MUST send CERTIFICATE on stream 0 in HTTP/2 and on the control stream in
            //# HTTP/3.
            .put_slice(&Header::connection(frame_type, len).encode());
        self.queue.put_slice(payload);
    }

    /// Queues a SETTINGS frame of the extension. Only at a boundary.
    pub(crate) fn queue_settings(&mut self, settings: &[Setting]) {
        self.queue_frame(frame_type::SETTINGS, &encode_settings(settings));
        self.acks.sent(Sender::Extension);
    }

    /// Queues GOAWAY (RFC 9113, section 6.8). Only at a boundary.
    pub(crate) fn queue_goaway(&mut self, last_stream: u32, code: ErrorCode, debug: &str) {
        let mut payload = Vec::with_capacity(8 + debug.len());
        payload.put_u32(last_stream);
        payload.put_u32(u32::try_from(code.0).unwrap_or(u32::MAX));
        payload.put_slice(debug.as_bytes());
        self.queue_frame(frame_type::GOAWAY, &payload);
    }

    /// The bytes in the queue.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Writes the queue to `io`.
    pub(crate) fn poll_drain<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.queue.is_empty() {
            let written = ready!(Pin::new(&mut *io).poll_write(cx, &self.queue))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.queue.advance(written.min(self.queue.len()));
        }
        // Frames of the extension are rare; no connection keeps a buffer for them.
        self.queue = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}

/// The entries of a SETTINGS payload; bytes beyond the last whole entry are left out.
pub(crate) fn parse_settings(payload: &[u8]) -> impl Iterator<Item = Setting> {
    let (entries, _) = payload.as_chunks::<SETTING_LEN>();
    entries.iter().map(|[i0, i1, v0, v1, v2, v3]| Setting {
        id: u16::from_be_bytes([*i0, *i1]).into(),
        value: u32::from_be_bytes([*v0, *v1, *v2, *v3]).into(),
    })
}

/// The value of a SETTINGS_MAX_FRAME_SIZE, if it is one that may be announced.
pub(crate) fn valid_max_frame_size(setting: Setting) -> Option<u32> {
    u32::try_from(setting.value)
        .ok()
        .filter(|size| (DEFAULT_MAX_FRAME_SIZE..=GREATEST_MAX_FRAME_SIZE).contains(size))
}

/// A SETTINGS payload. HTTP/2 has 16 bits for the identifier and 32 for the value.
fn encode_settings(settings: &[Setting]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(settings.len() * SETTING_LEN);
    for setting in settings {
        let (Ok(id), Ok(value)) = (u16::try_from(setting.id), u32::try_from(setting.value)) else {
            tracing::error!(?setting, "a setting that HTTP/2 cannot carry was not sent");
            continue;
        };
        payload.put_u16(id);
        payload.put_u32(value);
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Setting = Setting { id: 0xff0c, value: 3 };

    fn settings(entries: &[Setting]) -> Vec<u8> {
        let payload = encode_settings(entries);
        [&Header::connection(frame_type::SETTINGS, payload.len() as u32).encode()[..], &payload]
            .concat()
    }

    #[test]
    fn entries_are_added_to_the_first_settings_however_it_is_cut() {
        //= specs/client-certs.md#section-3.1.1
        //= type=test
        //# In HTTP/2 the setting MUST travel as an ordinary entry of the SETTINGS frame under its
        //# own identifier.
        //= specs/client-certs.md#decisions-frames
        //= type=test
        //# (ours) The setting MUST be part of the first SETTINGS frame that an endpoint sends.
        let stack = [Setting { id: 4, value: 65_536 }, Setting { id: 5, value: 1 << 20 }];
        let input = settings(&stack);
        let expected = settings(&[stack[0], stack[1], OURS]);
        for chunk in 1..=input.len() {
            let mut out = Outbound::new(Role::Server);
            let mut at = 0;
            while at < input.len() {
                assert!(out.is_capturing() && !out.at_boundary());
                let end = input.len().min(at + chunk);
                at += out.capture(&input[at..end], || vec![OURS]).taken;
            }
            assert!(out.at_boundary());
            assert_eq!(&out.queue[..], &expected[..]);
            assert_eq!(out.max_frame_size(), 1 << 20);
            assert_eq!(out.acks().acknowledged(), Sender::Extended);
        }
    }

    #[test]
    fn flags_and_the_reserved_bit_are_unset() {
        //= specs/client-certs.md#section-4.1.1
        //= type=test
        //# A sender MUST leave flags and the reserved bit of these frames unset.
        let mut out = Outbound::new(Role::Server);
        for frame_type in [0xf5, 0xf6] {
            out.queue.clear();
            out.queue_frame(frame_type, b"x");
            assert_eq!(&out.queue[..], [0, 0, 1, frame_type, 0, 0, 0, 0, 0, b'x']);
        }
    }

    #[test]
    fn without_entries_the_settings_stay_as_they_are() {
        let input = settings(&[Setting { id: 2, value: 0 }]);
        let mut out = Outbound::new(Role::Server);
        assert!(!out.capture(&input, Vec::new).settings_queued);
        assert!(out.capture(&input[HEADER_LEN..], Vec::new).settings_queued);
        assert_eq!(&out.queue[..], &input[..]);
        assert_eq!(out.acks().acknowledged(), Sender::Stack);
    }

    #[test]
    fn a_first_frame_that_is_no_settings_passes() {
        let mut out = Outbound::new(Role::Server);
        let head = Header { len: 5, frame_type: frame_type::DATA, flags: 0, stream: 1 }.encode();
        let captured = out.capture(&[&head[..], b"hello"].concat(), || vec![OURS]);
        assert_eq!(captured, Captured { taken: HEADER_LEN, settings_queued: false });
        assert_eq!(&out.queue[..], head);
        assert!(!out.at_boundary() && !out.is_capturing());
        out.sent(b"hello");
        assert!(out.at_boundary());
    }

    #[test]
    fn the_stacks_own_goaway_bounds_the_last_stream() {
        let mut out = Outbound::new(Role::Server);
        out.capture(&settings(&[]), Vec::new);
        for last in [0x7fff_ffff_u32, 5] {
            let payload = [&last.to_be_bytes()[..], &[0; 4]].concat();
            out.sent(&Header::connection(frame_type::GOAWAY, 8).encode());
            out.sent(&payload);
        }
        assert_eq!(out.last_stream(), 5);
    }
}
