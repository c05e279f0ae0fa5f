//! [`Tap`]: the I/O around the state machines of the other modules.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use countersign_proto::link::{Closed, Link, Transmit};
use countersign_proto::{CodePoints, Violation};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::bell::Bell;
use crate::closing::Closing;
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::walk::HEADER_LEN;

/// How many reads that bring the stack nothing are made before other tasks get their turn.
const READS_PER_POLL: usize = 16;
/// How many frames are sent before other tasks get their turn.
const FRAMES_PER_POLL: usize = 64;
/// How many bytes of frames are gathered before they are written.
const BATCH: usize = 16 << 10;

/// A connection with the extension's frames spliced in on the way out and taken out on the way in.
///
/// It stands between TLS (`IO`) and an HTTP/2 stack, which sees an ordinary connection. The side, the
/// code points and all rules are the [`Link`]'s.
///
/// - Both halves have to be polled by one task, as `h2` and hyper do: a link keeps one waker.
/// - A violation ends the connection: the stack's output is finished up to the end of a frame or
///   header block, a GOAWAY with the violation's code and text follows, later output is swallowed and
///   input thrown away until the peer closes, for at most two seconds. Then reading fails with
///   [`io::ErrorKind::InvalidData`] and the [`Violation`] inside. This needs tokio's time.
/// - The link hears [`Link::closed`] when the connection breaks or ends below, and at the latest when
///   the tap is dropped.
pub struct Tap<IO, L: Link + ?Sized> {
    io: IO,
    /// Boxed, because hyper's client moves a future with room for a whole connection per request.
    core: Box<Core<L>>,
}

/// All but the connection below.
struct Core<L: Link + ?Sized> {
    /// Nothing but the stack's own traffic is under way; see [`Core::settle`].
    calm: bool,
    link: Arc<L>,
    points: CodePoints,
    inbound: Inbound,
    outbound: Outbound,
    /// Whether the link has something to send.
    bell: Bell,
    /// What the link wants to send, until the stack's output comes to a place for it.
    waiting: Option<Transmit>,
    /// Something of ours was written and not flushed.
    unflushed: bool,
    /// Input for the stack that did not fit into its buffer: the end of one frame header.
    backlog: Backlog,
    /// The peer has closed.
    eof: bool,
    closing: Option<Closing>,
    told_closed: bool,
}

/// What the stack's next write becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    /// It passes.
    Through,
    /// It passes up to the next boundary.
    Cut,
    /// It is kept, as a part of the first SETTINGS.
    Capture,
    /// It is thrown away: the connection is closing.
    Swallow,
}

/// At most one frame header.
#[derive(Debug, Default)]
struct Backlog {
    bytes: [u8; HEADER_LEN],
    start: usize,
    end: usize,
}

impl Backlog {
    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn fill(&mut self, bytes: &[u8]) {
        for (slot, byte) in self.bytes.iter_mut().zip(bytes) {
            *slot = *byte;
        }
        self.start = 0;
        self.end = bytes.len().min(self.bytes.len());
    }

    fn deliver(&mut self, buf: &mut ReadBuf<'_>) {
        let end = self.end.min(self.start + buf.remaining());
        buf.put_slice(self.bytes.get(self.start..end).unwrap_or_default());
        self.start = end;
    }
}

impl<IO, L: Link + ?Sized> Tap<IO, L> {
    /// Taps `io`, on which nothing of HTTP/2 was sent or received yet. [`Link::role`] decides whether
    /// the stack above is a client or a server.
    pub fn new(io: IO, link: Arc<L>) -> Self {
        let (role, points) = (link.role(), link.code_points());
        let core = Core {
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
        };
        Self { io, core: Box::new(core) }
    }

    /// The connection below.
    pub fn get_ref(&self) -> &IO {
        &self.io
    }

    /// The rules above.
    pub fn link(&self) -> &Arc<L> {
        &self.core.link
    }
}

impl<L: Link + ?Sized> Core<L> {
    /// Finds out whether the connection is calm. Whatever ends the calm says so itself; this is how
    /// it returns.
    fn settle(&mut self) {
        self.calm = self.outbound.is_clear()
            && self.waiting.is_none()
            && self.closing.is_none()
            && self.backlog.is_empty()
            && !self.eof;
    }

    fn tell_closed(&mut self, how: Closed) {
        if !self.told_closed {
            self.told_closed = true;
            self.link.closed(how);
        }
    }

    fn begin_closing(&mut self, violation: Violation) {
        tracing::debug!(%violation, "closing the connection");
        self.link.closed(Closed::Violation(violation));
        self.told_closed = true;
        self.waiting = None;
        self.closing = Some(Closing::new(violation));
        self.calm = false;
    }

    /// Tells the link about an error from below on its way to the stack.
    #[cold]
    fn broken(&mut self, error: io::Error) -> io::Error {
        self.tell_closed(Closed::Transport);
        error
    }

    /// Nothing of ours is under way and the link has nothing either.
    #[inline]
    fn is_quiet(&self, cx: &Context<'_>) -> bool {
        self.calm && self.bell.is_silent(cx)
    }

    /// Puts what waits into the queue if this is a place for it.
    fn queue_waiting(&mut self) {
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
    fn ask_link(&mut self, cx: &mut Context<'_>) {
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
    fn capture(&mut self, bytes: &[u8]) -> usize {
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
    fn filter(&mut self, buf: &mut ReadBuf<'_>, start: usize, skimmed: usize) -> bool {
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
    fn end_of_input(&mut self) {
        self.eof = true;
        self.calm = false;
        self.inbound.release();
        self.tell_closed(Closed::Transport);
    }
}

impl<IO: fmt::Debug, L: Link + ?Sized> fmt::Debug for Tap<IO, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap")
            .field("io", &self.io)
            .field("inbound", &self.core.inbound)
            .field("outbound", &self.core.outbound)
            .field("closing", &self.core.closing)
            .finish_non_exhaustive()
    }
}

impl<L: Link + ?Sized> Drop for Core<L> {
    fn drop(&mut self) {
        self.tell_closed(Closed::Transport);
    }
}

/// Output.
impl<IO: AsyncRead + AsyncWrite + Unpin, L: Link + ?Sized> Tap<IO, L> {
    /// Sends what is in the way of the stack's next write, and says what becomes of that write.
    #[cold]
    fn poll_before_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Write>> {
        let _ = self.poll_closing(cx);
        let core = &mut *self.core;
        if core.closing.as_ref().is_some_and(|closing| !closing.wants_output()) {
            return Poll::Ready(Ok(Write::Swallow));
        }
        if core.outbound.is_capturing() {
            return Poll::Ready(Ok(Write::Capture));
        }
        core.queue_waiting();
        ready!(self.poll_drain(cx))?;
        let core = &mut *self.core;
        core.settle();
        let clear = core.outbound.is_clear() && core.waiting.is_none() && core.closing.is_none();
        Poll::Ready(Ok(if clear { Write::Through } else { Write::Cut }))
    }

    #[cold]
    fn poll_write_cut(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
        how: Write,
    ) -> Poll<io::Result<usize>> {
        match how {
            Write::Swallow => return Poll::Ready(Ok(buf.len())),
            Write::Capture => return Poll::Ready(Ok(self.core.capture(buf))),
            Write::Through | Write::Cut => {}
        }
        let core = &mut *self.core;
        let piece = buf.get(..core.outbound.distance(buf)).unwrap_or(buf);
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, piece))
            .map_err(|error| core.broken(error))?;
        core.outbound.sent(piece.get(..written).unwrap_or(piece));
        let _ = self.poll_closing(cx);
        Poll::Ready(Ok(written))
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let core = &mut *self.core;
        if core.outbound.queued() > 0 {
            core.unflushed = true;
            ready!(core.outbound.poll_drain(&mut self.io, cx))
                .map_err(|error| core.broken(error))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what the link has, as far as this is a place for it. Ready when nothing of ours is left
    /// that could go out now, or when the connection is closing.
    #[cold]
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..FRAMES_PER_POLL {
            self.core.ask_link(cx);
            if self.core.closing.is_some() {
                return Poll::Ready(Ok(()));
            }
            if self.core.waiting.is_none() || !self.core.outbound.at_boundary() {
                ready!(self.poll_drain(cx))?;
                self.core.settle();
                return Poll::Ready(Ok(()));
            }
            self.core.queue_waiting();
            if self.core.outbound.queued() >= BATCH {
                ready!(self.poll_drain(cx))?;
            }
        }
        cx.waker().wake_by_ref();
        self.poll_drain(cx)
    }

    /// Drives a violation's end; ready when the connection can be dropped.
    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Core { closing, outbound, inbound, points, .. } = &mut *self.core;
        let Some(closing) = closing else { return Poll::Pending };
        ready!(closing.poll(&mut self.io, cx, outbound, inbound, points));
        Poll::Ready(closing.error())
    }

    fn poll_flush_closing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = self.poll_closing(cx);
        match &self.core.closing {
            Some(closing) if closing.wants_output() => {
                ready!(self.poll_drain(cx))?;
                Pin::new(&mut self.io).poll_flush(cx)
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin, L: Link + ?Sized> AsyncWrite for Tap<IO, L> {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        if !me.core.calm {
            let how = ready!(me.poll_before_write(cx))?;
            if how != Write::Through {
                return me.poll_write_cut(cx, buf, how);
            }
        }
        let core = &mut *me.core;
        let written =
            ready!(Pin::new(&mut me.io).poll_write(cx, buf)).map_err(|error| core.broken(error))?;
        core.outbound.sent(buf.get(..written).unwrap_or(buf));
        Poll::Ready(Ok(written))
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        if !me.core.calm {
            let how = ready!(me.poll_before_write(cx))?;
            if how != Write::Through {
                let first = bufs.iter().find(|buf| !buf.is_empty());
                return me.poll_write_cut(cx, first.map_or(&[], |buf| buf), how);
            }
        }
        let core = &mut *me.core;
        let written = ready!(Pin::new(&mut me.io).poll_write_vectored(cx, bufs))
            .map_err(|error| core.broken(error))?;
        let mut left = written;
        for buf in bufs {
            let part = buf.get(..left).unwrap_or(buf);
            core.outbound.sent(part);
            left -= part.len();
            if left == 0 {
                break;
            }
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if !me.core.is_quiet(cx) {
            ready!(me.poll_send(cx))?;
            if me.core.closing.is_some() {
                return me.poll_flush_closing(cx);
            }
        }
        let core = &mut *me.core;
        ready!(Pin::new(&mut me.io).poll_flush(cx)).map_err(|error| core.broken(error))?;
        core.unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        ready!(me.poll_send(cx))?;
        if let Some(closing) = &mut me.core.closing {
            if !me.core.outbound.at_boundary() {
                closing.give_up_output();
            }
            ready!(me.poll_closing(cx));
            return Poll::Ready(Ok(()));
        }
        me.core.outbound.release();
        ready!(me.poll_drain(cx))?;
        Pin::new(&mut me.io).poll_shutdown(cx).map_err(|error| me.core.broken(error))
    }
}

/// Input.
impl<IO: AsyncRead + AsyncWrite + Unpin, L: Link + ?Sized> Tap<IO, L> {
    /// Reads in every situation but the usual one.
    #[cold]
    fn poll_read_slowly(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..READS_PER_POLL {
            if !self.core.backlog.is_empty() {
                self.core.backlog.deliver(buf);
                self.core.settle();
                return Poll::Ready(Ok(()));
            }
            if self.core.closing.is_some() {
                return self.poll_closing(cx).map(Err);
            }
            if self.core.eof {
                return Poll::Ready(Ok(()));
            }
            match self.poll_read_once(cx, buf) {
                Poll::Ready(Ok(true)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(false)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.core.broken(error))),
                Poll::Pending => {
                    if let Poll::Ready(Err(error)) = self.poll_idle(cx) {
                        return Poll::Ready(Err(error));
                    }
                    if self.core.closing.is_none() {
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once and filters what came. Ready with whether the stack got anything out of it, be it
    /// the end of the stream.
    fn poll_read_once(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let core = &mut *self.core;
        let held = core.inbound.held();
        if held.len() >= buf.remaining() {
            return self.poll_read_tight(cx, buf);
        }
        let start = buf.filled().len();
        buf.put_slice(held);
        let before = buf.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {}
            other @ (Poll::Ready(Err(_)) | Poll::Pending) => {
                buf.set_filled(start);
                return other.map_ok(|()| false);
            }
        }
        if buf.filled().len() == before {
            // What was held back of a header is in the buffer, for the stack to judge.
            core.end_of_input();
            return Poll::Ready(Ok(true));
        }
        let skimmed = core.inbound.skim(buf.filled().get(start..).unwrap_or_default());
        Poll::Ready(Ok(core.filter(buf, start, skimmed)))
    }

    /// The same for a buffer that has no room for the held bytes and another one.
    fn poll_read_tight(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let core = &mut *self.core;
        let mut region = [0; HEADER_LEN];
        let mut head = ReadBuf::new(&mut region);
        head.put_slice(core.inbound.held());
        let before = head.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut head))?;
        if head.filled().len() == before {
            core.end_of_input();
        } else {
            let skimmed = core.inbound.skim(head.filled());
            if !core.filter(&mut head, 0, skimmed) {
                return Poll::Ready(Ok(false));
            }
        }
        core.backlog.fill(head.filled());
        core.backlog.deliver(buf);
        core.settle();
        Poll::Ready(Ok(true))
    }

    /// The peer has sent nothing more for now: a moment to send what the link has.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        let core = &mut *self.core;
        if core.unflushed && core.closing.is_none() {
            ready!(Pin::new(&mut self.io).poll_flush(cx)).map_err(|error| core.broken(error))?;
            core.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin, L: Link + ?Sized> AsyncRead for Tap<IO, L> {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let core = &mut *me.core;
        if !core.calm || !core.inbound.held().is_empty() || buf.remaining() == 0 {
            return me.poll_read_slowly(cx, buf);
        }
        let start = buf.filled().len();
        match Pin::new(&mut me.io).poll_read(cx, buf) {
            Poll::Pending if core.bell.is_silent(cx) => return Poll::Pending,
            Poll::Pending => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(core.broken(error))),
            Poll::Ready(Ok(())) => {
                let new = buf.filled().get(start..).unwrap_or_default();
                if new.is_empty() {
                    core.end_of_input();
                    return Poll::Ready(Ok(()));
                }
                let skimmed = core.inbound.skim(new);
                if skimmed == new.len() || core.filter(buf, start, skimmed) {
                    return Poll::Ready(Ok(()));
                }
            }
        }
        me.poll_read_slowly(cx, buf)
    }
}
