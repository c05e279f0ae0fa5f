//! How a connection ends after a violation (RFC 9113, sections 5.4.1 and 6.8).
//!
//! The stack hears nothing more of the peer. What it is writing may come to the end of the frame or
//! header block; then our GOAWAY goes out and the write side is shut. A TCP connection that is closed
//! while input is unread is reset, and the reset destroys what the peer has not read yet, GOAWAY
//! included. So input is read and thrown away until the peer closes, within limits of time and amount.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use countersign_proto::{CodePoints, Violation};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::inbound::Inbound;
use crate::outbound::Outbound;

/// How long a connection may take to close, from the violation to the last byte.
pub(crate) const CLOSING_TIME: Duration = Duration::from_secs(2);
/// How many bytes of input are thrown away before the connection is closed regardless. More than a
/// peer has in flight when it obeys the flow-control windows that are common.
pub(crate) const DISCARD_LIMIT: usize = 32 << 20;
/// How many reads are made before other tasks get their turn.
const READS_PER_POLL: usize = 32;
/// The length of the buffer for input that is thrown away, in bytes.
const SCRATCH_LEN: usize = 8 << 10;

/// The steps, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The stack finishes its frame or header block.
    Finish,
    /// The queue, with GOAWAY at its end, goes out.
    Drain,
    /// The connection below is flushed.
    Flush,
    /// The write side is shut.
    Shutdown,
    //= specs/client-certs.md#decisions-bad
    //# (ours) A connection error MUST be sent so that the peer can read it, by lingering over
    //# unread input before TCP is closed.
    /// The peer has not closed yet.
    Linger,
    /// The connection can be dropped.
    Done,
}

/// A connection on its way out.
#[derive(Debug)]
pub(crate) struct Closing {
    violation: Violation,
    step: Step,
    deadline: Pin<Box<Sleep>>,
    /// Bytes that may still be thrown away; 0 when the peer has closed, too.
    discard: usize,
    scratch: Box<[u8]>,
}

impl Closing {
    /// Begins to close. The clock starts here, so this needs a runtime with time enabled.
    pub(crate) fn new(violation: Violation) -> Self {
        Self {
            violation,
            step: Step::Finish,
            deadline: Box::pin(tokio::time::sleep_until(Instant::now() + CLOSING_TIME)),
            discard: DISCARD_LIMIT,
            scratch: vec![0; SCRATCH_LEN].into(),
        }
    }

    /// The stack's output still has to reach the end of a frame.
    pub(crate) fn wants_output(&self) -> bool {
        self.step == Step::Finish
    }

    /// The stack will write nothing more. Without the end of its frame there can be no GOAWAY.
    pub(crate) fn give_up_output(&mut self) {
        if self.step == Step::Finish {
            self.step = Step::Drain;
        }
    }

    /// What the stack is told in the end.
    pub(crate) fn error(&self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self.violation)
    }

    /// Goes as far as possible; ready when the connection can be dropped.
    pub(crate) fn poll<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
        outbound: &mut Outbound,
        inbound: &Inbound,
        points: &CodePoints,
    ) -> Poll<()> {
        if self.step != Step::Done {
            if self.deadline.as_mut().poll(cx).is_ready() {
                tracing::debug!(step = ?self.step, "the peer took too long; closing regardless");
                self.step = Step::Done;
                return Poll::Ready(());
            }
            if self.step == Step::Finish && outbound.at_boundary() {
                let last_stream = inbound.last_stream().min(outbound.last_stream());
                let code = self.violation.h2_code(points);
                outbound.queue_goaway(last_stream, code, &self.violation.to_string());
                self.step = Step::Drain;
            }
            if let Poll::Ready(Err(error)) = self.poll_output(io, cx, outbound) {
                tracing::debug!(%error, "the connection broke before it was closed");
                self.step = Step::Done;
            }
            self.poll_discard(io, cx);
            if self.step == Step::Linger && self.discard == 0 {
                self.step = Step::Done;
            }
        }
        if self.step == Step::Done { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_output<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
        outbound: &mut Outbound,
    ) -> Poll<io::Result<()>> {
        if self.step == Step::Drain {
            ready!(outbound.poll_drain(io, cx))?;
            self.step = Step::Flush;
        }
        if self.step == Step::Flush {
            ready!(Pin::new(&mut *io).poll_flush(cx))?;
            self.step = Step::Shutdown;
        }
        if self.step == Step::Shutdown {
            ready!(Pin::new(&mut *io).poll_shutdown(cx))?;
            self.step = Step::Linger;
        }
        Poll::Ready(Ok(()))
    }

    /// Throws input away. From the first step on: a peer that is stuck in writing does not read.
    fn poll_discard<IO: AsyncRead + Unpin>(&mut self, io: &mut IO, cx: &mut Context<'_>) {
        for _ in 0..READS_PER_POLL {
            if self.discard == 0 {
                return;
            }
            let mut buf = ReadBuf::new(&mut self.scratch);
            match Pin::new(&mut *io).poll_read(cx, &mut buf) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    self.discard = self.discard.saturating_sub(buf.filled().len());
                }
                Poll::Ready(Ok(()) | Err(_)) => self.discard = 0,
            }
        }
        cx.waker().wake_by_ref();
    }
}
