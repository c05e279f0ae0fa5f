//! Our control stream: the stack's frames and the extension's, one after the other.
//!
//! The send half belongs to a task ([`Driver`]) that lives as long as the connection. The stack's
//! writes reach it through an [`Outbox`] that holds one of them at a time; each is a number of whole
//! frames, so that between two of them frames of the extension can go out. Neither side waits for the
//! application to poll anything.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use countersign_proto::link::{Frame, Link, Transmit};
use countersign_proto::{CodePoints, Setting, varint};

use crate::error::PeerError;
use crate::frames::frame_type;
use crate::shared::Shared;

/// The type of the control stream (RFC 9114, section 6.2.1).
const CONTROL: u64 = 0x0;
/// How many frames are sent before other tasks get their turn.
const FRAMES_PER_POLL: usize = 64;

/// Adds `entries` to the SETTINGS frame that the control stream begins with. `None` where `head` is not
/// the stream's type and a SETTINGS frame.
//= specs/client-certs.md#section-3.1.2
//# In HTTP/3 the setting MUST travel as an ordinary parameter of the SETTINGS frame under its own
//# identifier.
pub(crate) fn extend_settings(head: &[u8], entries: &[Setting]) -> Option<Bytes> {
    let (CONTROL, rest) = varint::read(head)? else { return None };
    let (frame_type::SETTINGS, rest) = varint::read(rest)? else { return None };
    let (len, rest) = varint::read(rest)?;
    let (settings, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    let mut ours = Vec::new();
    for entry in entries {
        varint::put(&mut ours, entry.id);
        varint::put(&mut ours, entry.value);
    }
    let mut extended = Vec::with_capacity(head.len() + ours.len() + 8);
    varint::put(&mut extended, CONTROL);
    varint::put(&mut extended, frame_type::SETTINGS);
    varint::put(&mut extended, (settings.len() + ours.len()) as u64);
    extended.extend_from_slice(settings);
    extended.append(&mut ours);
    extended.extend_from_slice(rest);
    Some(extended.into())
}

/// A frame as it goes over the wire.
//= specs/client-certs.md#section-4.1.2
//# The HTTP/3 frame MUST consist of the type AUTHENTICATOR_REQUESTS and the length, both
//# variable-length integers, and then one or more authenticator requests.
//= specs/server-certs.md#section-5.2
//# The HTTP/3 frame MUST consist of the type SERVER_CERTIFICATE and the length, both
//# variable-length integers, and then bytes of the authenticator.
//= specs/server-certs.md#section-5.2
//# In HTTP/3 SERVER_CERTIFICATE MUST be sent on the control stream.
fn encode(frame: &Frame, points: &CodePoints) -> Bytes {
    let mut bytes = Vec::with_capacity(frame.payload.len() + 16);
    varint::put(&mut bytes, points.frame_type(frame.kind).into());
    varint::put(&mut bytes, frame.payload.len() as u64);
    bytes.extend_from_slice(&frame.payload);
    bytes.into()
}

/// The way of the stack's frames to the task that sends them.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// The task.
    driver: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    /// Whole frames of the stack that the task has not taken.
    waiting: Option<Bytes>,
    /// The task has taken some and has not written them yet.
    writing: bool,
    /// The stack, where it waits for that.
    stack: Option<Waker>,
    /// Nothing is written any more.
    ended: bool,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done where a panic could strike, so the state is still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives whole frames to the task. False if it has some already.
    pub(crate) fn put(&self, frames: Bytes) -> bool {
        let mut state = self.lock();
        if state.waiting.is_some() || state.writing {
            return false;
        }
        state.waiting = Some(frames);
        drop(state);
        self.driver.wake();
        true
    }

    /// Waits until everything that was put is written; false if that will not happen.
    pub(crate) fn poll_written(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.lock();
        if state.ended {
            Poll::Ready(false)
        } else if state.waiting.is_some() || state.writing {
            state.stack = Some(cx.waker().clone());
            Poll::Pending
        } else {
            Poll::Ready(true)
        }
    }

    /// Nothing is written any more.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let stack = state.stack.take();
        drop(state);
        if let Some(stack) = stack {
            stack.wake();
        }
        self.driver.wake();
    }

    fn take(&self) -> Option<Bytes> {
        let mut state = self.lock();
        let frames = state.waiting.take();
        state.writing = frames.is_some();
        frames
    }

    fn written(&self) {
        let mut state = self.lock();
        state.writing = false;
        let stack = state.stack.take();
        drop(state);
        if let Some(stack) = stack {
            stack.wake();
        }
    }

    fn has_ended(&self) -> bool {
        self.lock().ended
    }
}

/// Whose bytes are being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Nothing,
    /// The type of the stream and SETTINGS.
    Settings,
    Stack,
    Link,
}

/// Nothing more can be written.
struct Ended;

/// The task that owns the send half of our control stream.
pub(crate) struct Driver<L: Link + ?Sized> {
    shared: Arc<Shared<L>>,
    stream: quinn::SendStream,
    /// Ready when the connection is closed.
    closed: Pin<Box<dyn Future<Output = quinn::ConnectionError> + Send>>,
    writing: Writing,
    /// What is left to write of it.
    bytes: Bytes,
    settings_sent: bool,
    ended: bool,
}

impl<L: Link + ?Sized> Driver<L> {
    pub(crate) fn new(shared: Arc<Shared<L>>, stream: quinn::SendStream) -> Self {
        let quic = shared.quic.clone();
        Self {
            shared,
            stream,
            closed: Box::pin(async move { quic.closed().await }),
            writing: Writing::Nothing,
            bytes: Bytes::new(),
            settings_sent: false,
            ended: false,
        }
    }

    /// Writes what is there.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        while !self.bytes.is_empty() {
            let bytes = std::slice::from_mut(&mut self.bytes);
            match ready!(pin!(self.stream.write_chunks(bytes)).poll(cx)) {
                Ok(_) => {}
                Err(quinn::WriteError::Stopped(_)) => {
                    self.shared.fail(PeerError::ControlStreamStopped);
                    return Poll::Ready(Err(Ended));
                }
                Err(
                    quinn::WriteError::ConnectionLost(_)
                    | quinn::WriteError::ClosedStream
                    | quinn::WriteError::ZeroRttRejected,
                ) => return Poll::Ready(Err(Ended)),
            }
        }
        match std::mem::replace(&mut self.writing, Writing::Nothing) {
            Writing::Nothing | Writing::Link => {}
            Writing::Settings => {
                self.settings_sent = true;
                self.shared.outbox.written();
            }
            Writing::Stack => self.shared.outbox.written(),
        }
        Poll::Ready(Ok(()))
    }

    /// Finds something to write.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        if self.shared.outbox.has_ended() {
            return Poll::Ready(Err(Ended));
        }
        if let Some(frames) = self.shared.outbox.take() {
            self.bytes = frames;
            self.writing = if self.settings_sent {
                Writing::Stack
            } else {
                // Before the first octet is out: the answer to it may be read by another task before this one goes on.
                self.shared.rules.link.settings_sent();
                Writing::Settings
            };
            return Poll::Ready(Ok(()));
        }
        if !self.settings_sent {
            return Poll::Pending;
        }
        loop {
            match ready!(self.shared.rules.link.poll_transmit(cx, usize::MAX)) {
                //= specs/client-certs.md#section-4.1
                //# In HTTP/3 the frame MUST be sent on the control stream.
                //= specs/client-certs.md#section-4.2
                //# A client MUST send CERTIFICATE on stream 0 in HTTP/2 and on the control stream
                //# in HTTP/3.
                Transmit::Frame(frame) => {
                    self.bytes = encode(&frame, &self.shared.rules.points);
                    self.writing = Writing::Link;
                    return Poll::Ready(Ok(()));
                }
                Transmit::Settings(_) => {
                    tracing::warn!("HTTP/3 has one SETTINGS frame; further settings are dropped");
                }
                Transmit::Close(violation) => {
                    self.shared.fail(violation.into());
                    return Poll::Ready(Err(Ended));
                }
            }
        }
    }
}

impl<L: Link + ?Sized> Future for Driver<L> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let me = self.get_mut();
        if me.closed.as_mut().poll(cx).is_ready() {
            me.shared.end();
            return Poll::Ready(());
        }
        if me.ended {
            return Poll::Pending;
        }
        me.shared.outbox.driver.register(cx.waker());
        for _ in 0..FRAMES_PER_POLL {
            let sent = match ready!(me.poll_write(cx)) {
                Ok(()) => ready!(me.poll_next(cx)),
                Err(Ended) => Err(Ended),
            };
            if let Err(Ended) = sent {
                // The stream is kept until the connection has closed: its end would be an error of
                // its own for the peer.
                me.ended = true;
                me.shared.end();
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use countersign_proto::FrameKind;

    use super::*;

    const OURS: Setting = Setting { id: 0xff0c, value: 8 };

    #[test]
    fn frames_have_a_type_and_a_length() {
        //= specs/client-certs.md#section-4.1.2
        //= type=test
        //# The HTTP/3 frame MUST consist of the type AUTHENTICATOR_REQUESTS and the length, both
        //# variable-length integers, and then one or more authenticator requests.
        let kind = FrameKind::AuthenticatorRequests;
        let points = CodePoints::default();
        let frame = Frame { kind, payload: Bytes::from_static(b"request") };
        assert_eq!(encode(&frame, &points), &b"\x40\xf5\x07request"[..]);
        let frame = Frame { kind, payload: Bytes::from(vec![1; 64]) };
        assert_eq!(encode(&frame, &points)[..5], [0x40, 0xf5, 0x40, 64, 1]);
    }

    #[test]
    fn entries_are_added_inside_the_frame() {
        // Control stream; SETTINGS of two bytes; a GOAWAY behind it.
        let head = [0x00, 0x04, 0x02, 0x06, 0x05, 0x07, 0x01, 0x00];
        let wanted = [0x00, 0x04, 0x07, 0x06, 0x05, 0x80, 0x00, 0xff, 0x0c, 0x08, 0x07, 0x01, 0x00];
        assert_eq!(extend_settings(&head, &[OURS]).unwrap(), &wanted[..]);
        assert_eq!(extend_settings(&head, &[]).unwrap(), &head[..]);
    }

    #[test]
    fn the_length_grows_with_the_frame() {
        let settings = vec![0x06; 62];
        let head = [&[0x00, 0x04, 62][..], &settings].concat();
        let extended = extend_settings(&head, &[OURS]).unwrap();
        assert_eq!(extended[..4], [0x00, 0x04, 0x40, 67]);
        assert_eq!(extended.len(), 4 + 67);
    }

    #[test]
    fn anything_else_is_not_extended() {
        for head in [
            &[][..],
            &[0x00],
            &[0x01, 0x04, 0x00],
            &[0x00, 0x07, 0x01, 0x00],
            &[0x00, 0x04, 0x02, 0x06],
        ] {
            assert_eq!(extend_settings(head, &[OURS]), None, "{head:x?}");
        }
    }
}
