//! What a tap knows, apart from the connection below, and the steps that need no I/O.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use countersign_proto::link::{Closed, Link, Transmit};
use countersign_proto::{CodePoints, Violation};
use tokio::io::ReadBuf;

use crate::bell::Bell;
use crate::closing::Closing;
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::walk::HEADER_LEN;

/// All but the connection below.
pub(crate) struct State<L: Link + ?Sized> {
    /// Nothing but the stack's own traffic is under way; see [`State::settle`].
    pub(crate) calm: bool,
    pub(crate) link: Arc<L>,
    pub(crate) points: CodePoints,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    /// Whether the link has something to send.
    pub(crate) bell: Bell,
    /// What the link wants to send, until the stack's output comes to a place for it.
    pub(crate) waiting: Option<Transmit>,
    /// Something of ours was written and not flushed.
    pub(crate) unflushed: bool,
    /// Input for the stack that did not fit into its buffer: the end of one frame header.
    pub(crate) backlog: Backlog,
    /// The peer has closed.
    pub(crate) eof: bool,
    pub(crate) closing: Option<Closing>,
    pub(crate) told_closed: bool,
}

impl<L: Link + ?Sized> State<L> {
    pub(crate) fn new(link: Arc<L>) -> Self {
        let (role, points) = (link.role(), link.code_points());
        Self {
            calm: false,
            points,
            inbound: Inbound::new(role, points),
            outbound: Outbound::new(role),
            link,
            bell: Bell::new(),
            waiting: None,
            unflushed: false,
            backlog: Backlog::default(),
            eof: false,
            closing: None,
            told_closed: false,
        }
    }

    /// Finds out whether the connection is calm. Whatever ends the calm says so itself; this is how
    /// it returns.
    pub(crate) fn settle(&mut self) {
        self.calm = self.outbound.is_clear()
            && self.waiting.is_none()
            && self.closing.is_none()
            && self.backlog.is_empty()
            && !self.eof;
    }

    pub(crate) fn tell_closed(&mut self, how: Closed) {
        if !self.told_closed {
            self.told_closed = true;
            self.link.closed(how);
        }
    }

    pub(crate) fn begin_closing(&mut self, violation: Violation) {
        tracing::debug!(%violation, "closing the connection");
        self.link.closed(Closed::Violation(violation));
        self.told_closed = true;
        self.waiting = None;
        self.closing = Some(Closing::new(violation));
        self.calm = false;
    }

    /// Tells the link about an error from below on its way to the stack.
    #[cold]
    pub(crate) fn broken(&mut self, error: io::Error) -> io::Error {
        self.tell_closed(Closed::Transport);
        error
    }

    /// Nothing of ours is under way and the link has nothing either.
    #[inline]
    pub(crate) fn is_quiet(&self, cx: &Context<'_>) -> bool {
        self.calm && self.bell.is_silent(cx)
    }

    /// Puts what waits into the queue if this is a place for it.
    pub(crate) fn queue_waiting(&mut self) {
        if self.waiting.is_none() || !self.outbound.at_boundary() {
            return;
        }
        match self.waiting.take() {
            None | Some(Transmit::Close(_)) => {}
            Some(Transmit::Frame(frame)) => {
                self.outbound.queue_frame(self.points.frame_type(frame.kind), &frame.payload);
            }
            Some(Transmit::Settings(settings)) => self.outbound.queue_settings(&settings),
        }
    }

    /// Asks the link what to send, unless its last wish still waits.
    pub(crate) fn ask_link(&mut self, cx: &mut Context<'_>) {
        if self.waiting.is_some() || self.closing.is_some() {
            return;
        }
        let Some(waker) = self.bell.answer(cx) else { return };
        let max_payload = self.inbound.peer_max_frame_size() as usize;
        match self.link.poll_transmit(&mut Context::from_waker(waker), max_payload) {
            Poll::Pending => return,
            Poll::Ready(Transmit::Close(violation)) => self.begin_closing(violation),
            Poll::Ready(transmit) => {
                self.waiting = Some(transmit);
                self.calm = false;
            }
        }
        self.bell.ring();
    }

    /// Takes a part of the first SETTINGS.
    pub(crate) fn capture(&mut self, bytes: &[u8]) -> usize {
        let link = &self.link;
        let captured = self.outbound.capture(bytes, || link.local_settings());
        if captured.settings_queued {
            self.link.settings_sent();
            self.bell.ring();
        }
        captured.taken
    }

    /// Filters what was read into `buf` behind `start`, of which `skimmed` bytes are the stack's.
    /// Whether the stack gets anything.
    pub(crate) fn filter(&mut self, buf: &mut ReadBuf<'_>, start: usize, skimmed: usize) -> bool {
        let region = buf.filled_mut().get_mut(start..).unwrap_or_default();
        let (kept, result) = self.inbound.filter(region, skimmed, &*self.link, &mut self.outbound);
        buf.set_filled(start + kept);
        if self.inbound.has_told() {
            self.bell.ring();
        }
        if let Err(violation) = result {
            self.begin_closing(violation);
        }
        kept > 0
    }

    /// The peer has closed.
    #[cold]
    pub(crate) fn end_of_input(&mut self) {
        self.eof = true;
        self.calm = false;
        self.inbound.release();
        self.tell_closed(Closed::Transport);
    }
}

impl<L: Link + ?Sized> Drop for State<L> {
    fn drop(&mut self) {
        self.tell_closed(Closed::Transport);
    }
}

/// At most one frame header.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: [u8; HEADER_LEN],
    start: usize,
    end: usize,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn fill(&mut self, bytes: &[u8]) {
        for (slot, byte) in self.bytes.iter_mut().zip(bytes) {
            *slot = *byte;
        }
        self.start = 0;
        self.end = bytes.len().min(self.bytes.len());
    }

    pub(crate) fn deliver(&mut self, buf: &mut ReadBuf<'_>) {
        let end = self.end.min(self.start + buf.remaining());
        buf.put_slice(self.bytes.get(self.start..end).unwrap_or_default());
        self.start = end;
    }
}
