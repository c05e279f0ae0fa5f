//! The half of [`Tap`] that the stack writes to, and how a violation's end is driven.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use countersign_proto::link::Link;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::state::State;
use crate::tap::Tap;

/// How many frames are sent before other tasks get their turn.
const FRAMES_PER_POLL: usize = 64;
/// How many bytes of frames are gathered before they are written.
const BATCH: usize = 16 << 10;

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

impl<IO: AsyncRead + AsyncWrite + Unpin, L: Link + ?Sized> Tap<IO, L> {
    /// Sends what is in the way of the stack's next write, and says what becomes of that write.
    #[cold]
    fn poll_before_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Write>> {
        let _ = self.poll_closing(cx);
        let state = &mut *self.state;
        if state.closing.as_ref().is_some_and(|closing| !closing.wants_output()) {
            return Poll::Ready(Ok(Write::Swallow));
        }
        if state.outbound.is_capturing() {
            return Poll::Ready(Ok(Write::Capture));
        }
        state.queue_waiting();
        ready!(self.poll_drain(cx))?;
        let state = &mut *self.state;
        state.settle();
        let clear = state.outbound.is_clear() && state.waiting.is_none() && state.closing.is_none();
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
            Write::Capture => return Poll::Ready(Ok(self.state.capture(buf))),
            Write::Through | Write::Cut => {}
        }
        let state = &mut *self.state;
        let piece = buf.get(..state.outbound.distance(buf)).unwrap_or(buf);
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, piece))
            .map_err(|error| state.broken(error))?;
        state.outbound.sent(piece.get(..written).unwrap_or(piece));
        let _ = self.poll_closing(cx);
        Poll::Ready(Ok(written))
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.state;
        if state.outbound.queued() > 0 {
            state.unflushed = true;
            ready!(state.outbound.poll_drain(&mut self.io, cx))
                .map_err(|error| state.broken(error))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what the link has, as far as this is a place for it. Ready when nothing of ours is left
    /// that could go out now, or when the connection is closing.
    #[cold]
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..FRAMES_PER_POLL {
            self.state.ask_link(cx);
            if self.state.closing.is_some() {
                return Poll::Ready(Ok(()));
            }
            if self.state.waiting.is_none() || !self.state.outbound.at_boundary() {
                ready!(self.poll_drain(cx))?;
                self.state.settle();
                return Poll::Ready(Ok(()));
            }
            self.state.queue_waiting();
            if self.state.outbound.queued() >= BATCH {
                ready!(self.poll_drain(cx))?;
            }
        }
        cx.waker().wake_by_ref();
        self.poll_drain(cx)
    }

    /// Drives a violation's end; ready when the connection can be dropped.
    pub(crate) fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let State { closing, outbound, inbound, points, .. } = &mut *self.state;
        let Some(closing) = closing else { return Poll::Pending };
        ready!(closing.poll(&mut self.io, cx, outbound, inbound, points));
        Poll::Ready(closing.error())
    }

    fn poll_flush_closing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = self.poll_closing(cx);
        match &self.state.closing {
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
        if !me.state.calm {
            let how = ready!(me.poll_before_write(cx))?;
            if how != Write::Through {
                return me.poll_write_cut(cx, buf, how);
            }
        }
        let state = &mut *me.state;
        let written = ready!(Pin::new(&mut me.io).poll_write(cx, buf))
            .map_err(|error| state.broken(error))?;
        state.outbound.sent(buf.get(..written).unwrap_or(buf));
        Poll::Ready(Ok(written))
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        if !me.state.calm {
            let how = ready!(me.poll_before_write(cx))?;
            if how != Write::Through {
                let first = bufs.iter().find(|buf| !buf.is_empty());
                return me.poll_write_cut(cx, first.map_or(&[], |buf| buf), how);
            }
        }
        let state = &mut *me.state;
        let written = ready!(Pin::new(&mut me.io).poll_write_vectored(cx, bufs))
            .map_err(|error| state.broken(error))?;
        let mut left = written;
        for buf in bufs {
            let part = buf.get(..left).unwrap_or(buf);
            state.outbound.sent(part);
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
        if !me.state.is_quiet(cx) {
            ready!(me.poll_send(cx))?;
            if me.state.closing.is_some() {
                return me.poll_flush_closing(cx);
            }
        }
        let state = &mut *me.state;
        ready!(Pin::new(&mut me.io).poll_flush(cx)).map_err(|error| state.broken(error))?;
        state.unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        ready!(me.poll_send(cx))?;
        if let Some(closing) = &mut me.state.closing {
            if !me.state.outbound.at_boundary() {
                closing.give_up_output();
            }
            ready!(me.poll_closing(cx));
            return Poll::Ready(Ok(()));
        }
        me.state.outbound.release();
        ready!(me.poll_drain(cx))?;
        Pin::new(&mut me.io).poll_shutdown(cx).map_err(|error| me.state.broken(error))
    }
}
