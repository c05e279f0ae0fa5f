//! A [`Link`] without rules, but for those that every transport relies on.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use countersign_proto::link::{Closed, Frame, Link, Place, Transmit};
use countersign_proto::{CodePoints, FrameKind, Role, Setting, Violation};

/// The longest frame of the extension that is accepted, in bytes.
pub(crate) const MAX_FRAME: usize = 100;
/// What is announced.
pub(crate) const OURS: Setting = Setting { id: 0xff0c, value: 3 };

#[derive(Debug)]
pub(crate) struct Lax {
    role: Role,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    frames: Vec<Bytes>,
    queue: VecDeque<Transmit>,
}

impl Lax {
    pub(crate) fn new(role: Role) -> Self {
        Self { role, seen: Mutex::default() }
    }

    /// What has arrived since the last time.
    pub(crate) fn take_frames(&self) -> Vec<Bytes> {
        std::mem::take(&mut self.seen().frames)
    }

    /// Has a frame to send.
    pub(crate) fn send(&self, payload: Bytes) {
        let kind = match self.role {
            Role::Client => FrameKind::Certificate,
            Role::Server => FrameKind::AuthenticatorRequests,
        };
        self.seen().queue.push_back(Transmit::Frame(Frame { kind, payload }));
    }

    pub(crate) fn unsent(&self) -> usize {
        self.seen().queue.len()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link for Lax {
    fn role(&self) -> Role {
        self.role
    }

    fn code_points(&self) -> CodePoints {
        CodePoints::default()
    }

    fn local_settings(&self) -> Vec<Setting> {
        vec![OURS]
    }

    fn max_frame_len(&self) -> usize {
        MAX_FRAME
    }

    fn settings_sent(&self) {}

    fn settings_acked(&self) {}

    fn peer_settings(&self, _: &[Setting]) -> Result<(), Violation> {
        Ok(())
    }

    fn frame_header(&self, _: FrameKind, place: Place, _: u64) -> Result<(), Violation> {
        match place {
            Place::Control => Ok(()),
            Place::Stream(_) => Err(Violation::WrongStream),
        }
    }

    fn frame(&self, _: FrameKind, payload: Bytes) -> Result<(), Violation> {
        assert!(payload.len() <= MAX_FRAME, "a frame over the limit");
        self.seen().frames.push(payload);
        Ok(())
    }

    fn poll_transmit(&self, _: &mut Context<'_>, max_payload: usize) -> Poll<Transmit> {
        let mut seen = self.seen();
        match seen.queue.pop_front() {
            Some(Transmit::Frame(frame)) if frame.payload.len() > max_payload => {
                let payload = frame.payload.slice(..max_payload);
                Poll::Ready(Transmit::Frame(Frame { kind: frame.kind, payload }))
            }
            Some(other) => Poll::Ready(other),
            None => Poll::Pending,
        }
    }

    fn closed(&self, _: Closed) {}
}
