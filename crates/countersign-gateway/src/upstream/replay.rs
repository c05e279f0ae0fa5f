//! Request bodies that come back when a server failed, and what was taken of them with them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// When a request's body moved last.
#[derive(Debug)]
pub(super) struct Progress(Mutex<Moved>);

#[derive(Clone, Copy, Debug)]
struct Moved {
    last: Instant,
    ended: bool,
    /// The client broke it off, or sent something else than it had announced.
    broken: bool,
}

impl Progress {
    fn new() -> Self {
        Self(Mutex::new(Moved { last: Instant::now(), ended: false, broken: false }))
    }

    fn moved(&self, ended: bool) {
        let mut moved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moved.last = Instant::now();
        moved.ended |= ended;
    }

    fn broke(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).broken = true;
    }

    /// Whether the client failed to send it.
    pub(super) fn is_broken(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).broken
    }

    /// Whether there is still some of it to come.
    pub(super) fn is_awaited(&self) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).ended
    }

    /// When the body moved last.
    pub(super) fn last(&self) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last
    }

    /// When a response has to have begun: `idle` after the body moved last, or `first_byte` after its
    /// end.
    pub(super) fn deadline(&self, idle: Duration, first_byte: Duration) -> Instant {
        let Moved { last, ended, .. } = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last + if ended { first_byte } else { idle }
    }
}

#[derive(Clone, Debug)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// A body and what was taken of it so far.
#[derive(Debug)]
struct Tape<B> {
    rest: B,
    pieces: Vec<Piece>,
    /// How many bytes of data may still be kept; `None` once there was too much of it.
    room: Option<usize>,
}

/// A body that can be lent to one attempt after the other.
#[derive(Debug)]
pub(super) struct Replay<B> {
    tape: Tape<B>,
}

impl<B: Body<Data = Bytes> + Unpin> Replay<B> {
    /// Keeps up to `room` bytes of what is taken.
    pub(super) fn new(rest: B, room: usize) -> Self {
        Self { tape: Tape { rest, pieces: Vec::new(), room: Some(room) } }
    }

    /// The body from its beginning, the way back, and how far it is.
    pub(super) fn lend(self) -> (Lent<B>, Loan<B>, Arc<Progress>) {
        let (back, loan) = oneshot::channel();
        let progress = Arc::new(Progress::new());
        let lent = Lent {
            tape: Some(self.tape),
            next: 0,
            progress: Arc::clone(&progress),
            back: Some(back),
        };
        if lent.is_end_stream() {
            progress.moved(true);
        }
        (lent, Loan(loan), progress)
    }
}

/// What a lent body comes back by.
#[derive(Debug)]
pub(super) struct Loan<B>(oneshot::Receiver<Tape<B>>);

impl<B> Loan<B> {
    /// Waits until the body was given up. `None`: its beginning is not there any more.
    pub(super) async fn back(self) -> Option<Replay<B>> {
        let tape = self.0.await.ok()?;
        tape.room.is_some().then_some(Replay { tape })
    }
}

/// A body on loan; goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lent<B> {
    /// There until the drop.
    tape: Option<Tape<B>>,
    next: usize,
    progress: Arc<Progress>,
    back: Option<oneshot::Sender<Tape<B>>>,
}

impl<B> Drop for Lent<B> {
    fn drop(&mut self) {
        self.progress.moved(true);
        if let (Some(back), Some(tape)) = (self.back.take(), self.tape.take()) {
            // Nobody waits for it any more once there is a response.
            let _ = back.send(tape);
        }
    }
}

impl<B> Tape<B> {
    /// Keeps a frame that is given out, if there is room; forgets all if not.
    fn keep<E>(&mut self, frame: Option<&Result<Frame<Bytes>, E>>) {
        let Some(room) = self.room else { return };
        let size = match frame {
            None => return,
            Some(Err(_)) => usize::MAX,
            Some(Ok(frame)) => match (frame.data_ref(), frame.trailers_ref()) {
                (Some(data), _) => {
                    self.pieces.push(Piece::Data(data.clone()));
                    data.len()
                }
                (None, Some(trailers)) => {
                    self.pieces.push(Piece::Trailers(trailers.clone()));
                    0
                }
                (None, None) => 0,
            },
        };
        self.room = room.checked_sub(size);
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Lent<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Self { tape: Some(tape), next, progress, .. } = &mut *self else {
            return Poll::Ready(None);
        };
        if let Some(piece) = tape.pieces.get(*next) {
            *next += 1;
            return Poll::Ready(Some(Ok(match piece.clone() {
                Piece::Data(data) => Frame::data(data),
                Piece::Trailers(trailers) => Frame::trailers(trailers),
            })));
        }
        let frame = ready!(Pin::new(&mut tape.rest).poll_frame(cx));
        tape.keep(frame.as_ref());
        if tape.room.is_none() {
            tape.pieces = Vec::new();
        }
        *next = tape.pieces.len();
        if let Some(Err(_)) = &frame {
            progress.broke();
        }
        progress.moved(frame.is_none() || tape.rest.is_end_stream());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.tape
            .as_ref()
            .is_none_or(|tape| self.next >= tape.pieces.len() && tape.rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.tape {
            // The length field speaks for the whole.
            Some(tape) if self.next < tape.pieces.len() => SizeHint::default(),
            Some(tape) => tape.rest.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    fn replay(room: usize) -> Replay<impl Body<Data = Bytes, Error = Infallible> + Unpin> {
        let frames = ["ab", "cd", "ef"].map(|text| Ok(Frame::data(Bytes::from(text))));
        Replay::new(StreamBody::new(futures_util::stream::iter(frames)), room)
    }

    async fn next<B: Body<Data = Bytes> + Unpin>(lent: &mut Lent<B>) -> Bytes {
        let frame = lent.frame().await.unwrap();
        frame.ok().unwrap().into_data().unwrap()
    }

    #[tokio::test]
    async fn what_was_taken_comes_again() {
        let (mut lent, loan, _) = replay(4).lend();
        assert_eq!(next(&mut lent).await, "ab");
        assert_eq!(next(&mut lent).await, "cd");
        drop(lent);
        let (mut lent, loan, _) = loan.back().await.unwrap().lend();
        assert_eq!(next(&mut lent).await, "ab");
        drop(lent);
        let (lent, _loan, _) = loan.back().await.unwrap().lend();
        assert_eq!(lent.collect().await.unwrap().to_bytes(), "abcdef");
    }

    #[tokio::test]
    async fn what_is_too_long_does_not() {
        let (mut lent, loan, _) = replay(3).lend();
        assert_eq!(next(&mut lent).await, "ab");
        assert_eq!(next(&mut lent).await, "cd");
        assert_eq!(next(&mut lent).await, "ef");
        assert!(lent.tape.as_ref().unwrap().pieces.is_empty());
        drop(lent);
        assert!(loan.back().await.is_none());
    }

    #[tokio::test]
    async fn the_deadline_moves_with_the_body() {
        let (idle, first_byte) = (Duration::from_secs(7), Duration::from_secs(3));
        let (mut lent, _loan, progress) = replay(0).lend();
        let begun = progress.last();
        assert_eq!(progress.deadline(idle, first_byte), begun + idle);
        next(&mut lent).await;
        assert!(progress.last() > begun);
        assert_eq!(progress.deadline(idle, first_byte), progress.last() + idle);
        drop(lent);
        assert_eq!(progress.deadline(idle, first_byte), progress.last() + first_byte);
    }
}
