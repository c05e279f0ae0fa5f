//! The half of [`Tap`] that the stack reads from.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use countersign_proto::link::Link;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::tap::Tap;
use crate::walk::HEADER_LEN;

/// How many reads that bring the stack nothing are made before other tasks get their turn.
const READS_PER_POLL: usize = 16;

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
            if !self.state.backlog.is_empty() {
                self.state.backlog.deliver(buf);
                self.state.settle();
                return Poll::Ready(Ok(()));
            }
            if self.state.closing.is_some() {
                return self.poll_closing(cx).map(Err);
            }
            if self.state.eof {
                return Poll::Ready(Ok(()));
            }
            match self.poll_read_once(cx, buf) {
                Poll::Ready(Ok(true)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(false)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.state.broken(error))),
                Poll::Pending => {
                    if let Poll::Ready(Err(error)) = self.poll_idle(cx) {
                        return Poll::Ready(Err(error));
                    }
                    if self.state.closing.is_none() {
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
        let state = &mut *self.state;
        let held = state.inbound.held();
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
            state.end_of_input();
            return Poll::Ready(Ok(true));
        }
        let skimmed = state.inbound.skim(buf.filled().get(start..).unwrap_or_default());
        Poll::Ready(Ok(state.filter(buf, start, skimmed)))
    }

    /// The same for a buffer that has no room for the held bytes and another one.
    fn poll_read_tight(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let state = &mut *self.state;
        let mut region = [0; HEADER_LEN];
        let mut head = ReadBuf::new(&mut region);
        head.put_slice(state.inbound.held());
        let before = head.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut head))?;
        if head.filled().len() == before {
            state.end_of_input();
        } else {
            let skimmed = state.inbound.skim(head.filled());
            if !state.filter(&mut head, 0, skimmed) {
                return Poll::Ready(Ok(false));
            }
        }
        state.backlog.fill(head.filled());
        state.backlog.deliver(buf);
        state.settle();
        Poll::Ready(Ok(true))
    }

    /// The peer has sent nothing more for now: a moment to send what the link has.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        let state = &mut *self.state;
        if state.unflushed && state.closing.is_none() {
            ready!(Pin::new(&mut self.io).poll_flush(cx)).map_err(|error| state.broken(error))?;
            state.unflushed = false;
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
        let state = &mut *me.state;
        if !state.calm || !state.inbound.held().is_empty() || buf.remaining() == 0 {
            return me.poll_read_slowly(cx, buf);
        }
        let start = buf.filled().len();
        match Pin::new(&mut me.io).poll_read(cx, buf) {
            Poll::Pending if state.bell.is_silent(cx) => return Poll::Pending,
            Poll::Pending => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(state.broken(error))),
            Poll::Ready(Ok(())) => {
                let new = buf.filled().get(start..).unwrap_or_default();
                if new.is_empty() {
                    state.end_of_input();
                    return Poll::Ready(Ok(()));
                }
                let skimmed = state.inbound.skim(new);
                if skimmed == new.len() || state.filter(buf, start, skimmed) {
                    return Poll::Ready(Ok(()));
                }
            }
        }
        me.poll_read_slowly(cx, buf)
    }
}
