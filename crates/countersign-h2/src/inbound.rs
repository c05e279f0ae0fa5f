//! What the tap takes out of the peer's output before the stack reads it, without I/O.
//!
//! [`Inbound::filter`] works in place on the bytes that were read into the stack's own buffer. Frames
//! of the extension and acknowledgements of its SETTINGS are removed, everything else stays as it is;
//! SETTINGS and ORIGIN are read along. Between two calls at most a part of one frame header is held
//! back.

use bytes::{Bytes, BytesMut};
use countersign_proto::link::{Link, Place};
use countersign_proto::{CodePoints, FrameKind, Role, Setting, Violation};

use crate::outbound::{Outbound, parse_settings, valid_max_frame_size};
use crate::walk::{
    DEFAULT_MAX_FRAME_SIZE, HEADER_LEN, Header, PREFACE_LEN, SETTING_LEN, SETTINGS_MAX_FRAME_SIZE,
    frame_type,
};

/// What happens to the current payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payload {
    /// It goes to the stack.
    Stack,
    /// It goes to the stack, and is read along: SETTINGS.
    Settings,
    /// The same: ORIGIN.
    Origin,
    /// It is taken out.
    Extension(FrameKind),
}

/// The state of one connection's input.
#[derive(Debug)]
pub(crate) struct Inbound {
    role: Role,
    points: CodePoints,
    /// The frame types that are looked at more closely.
    closer: TypeSet,
    /// Bytes of the preface or of the current payload that are still to come.
    left: u32,
    payload: Payload,
    /// What has arrived of a payload that is collected.
    collected: BytesMut,
    /// The beginning of a header that is not complete yet.
    held: [u8; HEADER_LEN],
    held_len: usize,
    /// A header block is open.
    in_block: bool,
    /// The peer's SETTINGS_MAX_FRAME_SIZE, in bytes.
    peer_max_frame_size: u32,
    /// The highest stream that the peer opened and the stack has heard of; 0 on clients.
    last_stream: u32,
    /// The link was told something.
    told: bool,
}

impl Inbound {
    pub(crate) fn new(role: Role, points: CodePoints) -> Self {
        Self {
            role,
            points,
            closer: TypeSet::from_fn(|frame_type| match frame_type {
                frame_type::SETTINGS => true,
                frame_type::ORIGIN => role == Role::Client,
                other => points.classify(other.into(), role).is_some(),
            }),
            left: match role {
                Role::Client => 0,
                Role::Server => PREFACE_LEN,
            },
            payload: Payload::Stack,
            collected: BytesMut::new(),
            held: [0; HEADER_LEN],
            held_len: 0,
            in_block: false,
            peer_max_frame_size: DEFAULT_MAX_FRAME_SIZE,
            last_stream: 0,
            told: false,
        }
    }

    /// The bytes that were held back. They have to stand before the next ones that are filtered.
    #[inline]
    pub(crate) fn held(&self) -> &[u8] {
        self.held.get(..self.held_len).unwrap_or_default()
    }

    /// Forgets the held bytes, because the caller passes them on as they are.
    pub(crate) fn release(&mut self) {
        self.held_len = 0;
    }

    /// The longest payload that the peer accepts, in bytes.
    #[inline]
    pub(crate) fn peer_max_frame_size(&self) -> u32 {
        self.peer_max_frame_size
    }

    pub(crate) fn last_stream(&self) -> u32 {
        self.last_stream
    }

    /// Whether the link was told something since the last time. Then it may have something to send.
    #[inline]
    pub(crate) fn has_told(&mut self) -> bool {
        std::mem::take(&mut self.told)
    }

    /// Goes through `region`, which begins with the bytes of [`Inbound::held`], as far as everything
    /// is the stack's alone, and says how far that is.
    #[inline]
    pub(crate) fn skim(&mut self, region: &[u8]) -> usize {
        self.held_len = 0;
        let mut rest = region;
        while self.payload == Payload::Stack {
            let left = self.left as usize;
            if rest.len() <= left {
                self.left -= rest.len() as u32;
                return region.len();
            }
            self.left = 0;
            rest = rest.get(left..).unwrap_or_default();
            let Some((head, payload)) = rest.split_first_chunk::<HEADER_LEN>() else { break };
            if !self.begin_for_stack(Header::parse(head)) {
                break;
            }
            rest = payload;
        }
        region.len() - rest.len()
    }

    /// Filters `region` from where [`Inbound::skim`] has stopped. Says how many bytes at its beginning
    /// are now the stack's; on a violation those that came before it.
    pub(crate) fn filter<L: Link + ?Sized>(
        &mut self,
        region: &mut [u8],
        skimmed: usize,
        link: &L,
        outbound: &mut Outbound,
    ) -> (usize, Result<(), Violation>) {
        let mut kept = Kept { region, read: skimmed, write: skimmed };
        let result = self.walk(&mut kept, link, outbound);
        (kept.write, result)
    }

    fn walk<L: Link + ?Sized>(
        &mut self,
        kept: &mut Kept<'_>,
        link: &L,
        outbound: &mut Outbound,
    ) -> Result<(), Violation> {
        while let Some(rest) = kept.rest() {
            if self.left > 0 {
                let taken = u32::try_from(rest.len()).unwrap_or(u32::MAX).min(self.left);
                let piece = rest.get(..taken as usize).unwrap_or_default();
                self.left -= taken;
                match self.payload {
                    Payload::Stack => kept.keep(taken as usize),
                    Payload::Settings | Payload::Origin => {
                        self.collected.extend_from_slice(piece);
                        kept.keep(taken as usize);
                    }
                    Payload::Extension(_) => {
                        self.collected.extend_from_slice(piece);
                        kept.remove(taken as usize);
                    }
                }
            } else if let Some(head) = rest.first_chunk::<HEADER_LEN>() {
                let header = Header::parse(head);
                if self.begin_for_stack(header) || self.begin(header, link, outbound)? {
                    kept.keep(HEADER_LEN);
                } else {
                    kept.remove(HEADER_LEN);
                }
            } else {
                self.held_len = rest.len();
                for (slot, byte) in self.held.iter_mut().zip(rest) {
                    *slot = *byte;
                }
                kept.remove(rest.len());
            }
            if self.left == 0 && self.payload != Payload::Stack {
                self.finish(link)?;
            }
        }
        Ok(())
    }

    /// A header is complete. Takes it if it and its payload are the stack's alone.
    #[inline]
    fn begin_for_stack(&mut self, header: Header) -> bool {
        if self.closer.contains(header.frame_type) {
            return false;
        }
        if let frame_type::HEADERS | frame_type::PUSH_PROMISE | frame_type::CONTINUATION =
            header.frame_type
        {
            self.in_block = header.leaves_block_open(self.in_block);
            if self.role == Role::Server && header.frame_type == frame_type::HEADERS {
                self.last_stream = self.last_stream.max(header.stream);
            }
        }
        self.left = header.len;
        true
    }

    /// A header is complete that [`Inbound::begin_for_stack`] did not take. Whether the stack gets it.
    fn begin<L: Link + ?Sized>(
        &mut self,
        header: Header,
        link: &L,
        outbound: &mut Outbound,
    ) -> Result<bool, Violation> {
        self.left = header.len;
        match self.points.classify(header.frame_type.into(), self.role) {
            Some(kind) if header.frame_type != frame_type::SETTINGS => {
                self.begin_extension(kind, header, link, outbound.max_frame_size())?;
                Ok(false)
            }
            _ if header.frame_type == frame_type::ORIGIN => {
                self.begin_origin(header, link, outbound.max_frame_size());
                Ok(true)
            }
            _ => Ok(self.begin_settings(header, link, outbound)),
        }
    }

    /// Malformed SETTINGS, and any inside a header block, are the stack's to refuse.
    fn begin_settings<L: Link + ?Sized>(
        &mut self,
        header: Header,
        link: &L,
        outbound: &mut Outbound,
    ) -> bool {
        if self.in_block {
            return true;
        }
        if header.is_settings_ack() {
            let sender = outbound.acks().acknowledged();
            if sender.carried_ours() {
                self.told = true;
                link.settings_acked();
            }
            return sender.known_to_stack();
        }
        let whole_entries = (header.len as usize).is_multiple_of(SETTING_LEN);
        if header.is_settings() && whole_entries && header.len <= outbound.max_frame_size() {
            self.payload = Payload::Settings;
        }
        true
    }

    /// What is wrong with ORIGIN is no error of ours: it is ignored, or the stack's to refuse.
    //= specs/server-certs.md#origin-http2
    //= type=implication
    //# A client that acts for others MUST NOT pass ORIGIN frames on.
    fn begin_origin<L: Link + ?Sized>(&mut self, header: Header, link: &L, max_frame_size: u32) {
        let accepted = header.len <= max_frame_size && header.len as usize <= link.max_frame_len();
        //= specs/server-certs.md#decisions
        //# (ours) In HTTP/2 an ORIGIN frame that is longer than the client accepts, though not
        //# longer than its SETTINGS allow, MUST be ignored.
        if header.is_origin() && !self.in_block && accepted {
            self.payload = Payload::Origin;
        }
    }

    //= specs/server-certs.md#section-5.1
    //# A receiver MUST NOT give a meaning to any flag of an HTTP/2 SERVER_CERTIFICATE.
    //= specs/client-certs.md#section-4.1.1
    //# A receiver MUST NOT give a meaning to a flag of AUTHENTICATOR_REQUESTS.
    //= specs/server-certs.md#decisions
    //# (ours) A SERVER_CERTIFICATE over the accepted size MUST be a connection error at its header,
    //# FRAME_SIZE_ERROR in HTTP/2 and H3_EXCESSIVE_LOAD in HTTP/3.
    fn begin_extension<L: Link + ?Sized>(
        &mut self,
        kind: FrameKind,
        header: Header,
        link: &L,
        max_frame_size: u32,
    ) -> Result<(), Violation> {
        if self.in_block {
            //= specs/client-certs.md#decisions-frames
            //# (ours) A frame of the extension between HEADERS and the end of its header block MUST
            //# be a connection error PROTOCOL_ERROR.
            return Err(Violation::InsideHeaderBlock);
        }
        let place = match header.stream {
            0 => Place::Control,
            stream => Place::Stream(stream.into()),
        };
        link.frame_header(kind, place, header.len.into())?;
        if header.len > max_frame_size || header.len as usize > link.max_frame_len() {
            //= specs/client-certs.md#decisions-frames
            //# (ours) A frame over the accepted size MUST be a connection error at its header,
            //# before any of it is buffered, FRAME_SIZE_ERROR in HTTP/2 and H3_EXCESSIVE_LOAD in
            //# HTTP/3.
            return Err(Violation::FrameTooLong);
        }
        self.payload = Payload::Extension(kind);
        Ok(())
    }

    /// A collected payload is whole.
    fn finish<L: Link + ?Sized>(&mut self, link: &L) -> Result<(), Violation> {
        self.told = true;
        let payload: Bytes = std::mem::take(&mut self.collected).freeze();
        match std::mem::replace(&mut self.payload, Payload::Stack) {
            Payload::Stack => Ok(()),
            Payload::Settings => {
                let settings: Vec<Setting> = parse_settings(&payload).collect();
                for setting in &settings {
                    if setting.id == SETTINGS_MAX_FRAME_SIZE {
                        self.peer_max_frame_size =
                            valid_max_frame_size(*setting).unwrap_or(self.peer_max_frame_size);
                    }
                }
                link.peer_settings(&settings)
            }
            Payload::Origin => {
                link.origin(&payload);
                Ok(())
            }
            Payload::Extension(kind) => link.frame(kind, payload),
        }
    }
}

/// A set of frame types.
#[derive(Debug)]
struct TypeSet([u64; 4]);

impl TypeSet {
    fn from_fn(is_in: impl Fn(u8) -> bool) -> Self {
        let mut set = [0; 4];
        for (word, bits) in (0..).zip(&mut set) {
            *bits =
                (0..64).filter(|bit| is_in(word * 64 + bit)).fold(0, |bits, bit| bits | 1 << bit);
        }
        Self(set)
    }

    #[inline]
    fn contains(&self, frame_type: u8) -> bool {
        let word = self.0.get(usize::from(frame_type >> 6)).copied().unwrap_or_default();
        word >> (frame_type & 63) & 1 == 1
    }
}

/// A region that is read through and compacted on the way.
struct Kept<'a> {
    region: &'a mut [u8],
    /// What lies before is done with.
    read: usize,
    /// What lies before is kept; never beyond `read`.
    write: usize,
}

impl Kept<'_> {
    /// What is still to be read, unless nothing is.
    fn rest(&self) -> Option<&[u8]> {
        self.region.get(self.read..).filter(|rest| !rest.is_empty())
    }

    /// Keeps the next `len` bytes. Nothing moves as long as nothing was removed.
    fn keep(&mut self, len: usize) {
        if self.read != self.write {
            self.region.copy_within(self.read..self.read + len, self.write);
        }
        self.read += len;
        self.write += len;
    }

    fn remove(&mut self, len: usize) {
        self.read += len;
    }
}

#[cfg(test)]
mod tests;
