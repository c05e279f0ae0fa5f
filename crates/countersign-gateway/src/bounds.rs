//! How long a request's body may be, and how long it may stand still.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::Limits;
use crate::problem::{Kind, Problem};
use crate::refusals::{Reason, Refusals};

/// The bounds of one body.
#[derive(Debug)]
pub(crate) struct Bounds {
    room: u64,
    idle: Duration,
    /// Set while the client is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    breach: Breach,
}

/// Which bound a body did not keep, if any. Whoever sends the body on sees only that it broke off.
#[derive(Clone, Debug)]
pub(crate) struct Breach(Arc<(OnceLock<OutOfBounds>, Arc<Refusals>)>);

/// A body that is not read to its end.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum OutOfBounds {
    /// It is too long.
    #[error("the request's body is too long")]
    TooLong,
    /// It does not go on.
    #[error("the request's body did not go on in time")]
    Stalled,
}

impl Bounds {
    /// For a request with these fields, unless it is known to be too long already.
    pub(crate) fn new(
        limits: &Limits,
        refusals: &Arc<Refusals>,
        headers: &HeaderMap,
    ) -> Result<(Self, Breach), Problem> {
        let breach = Breach(Arc::new((OnceLock::new(), Arc::clone(refusals))));
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let length = length.and_then(|length| length.parse::<u64>().ok());
        if length.is_some_and(|length| length > limits.body_bytes) {
            breach.note(OutOfBounds::TooLong);
            return Err(too_long());
        }
        let bounds = Self {
            room: limits.body_bytes,
            idle: limits.body,
            timer: None,
            breach: breach.clone(),
        };
        Ok((bounds, breach))
    }

    /// Looks at what came of a body.
    pub(crate) fn watch<E>(
        &mut self,
        frame: &Poll<Option<Result<Frame<Bytes>, E>>>,
        cx: &mut Context<'_>,
    ) -> Result<(), OutOfBounds> {
        let outcome = match frame {
            Poll::Ready(Some(Ok(frame))) => {
                self.timer = None;
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match self.room.checked_sub(length) {
                    Some(room) => {
                        self.room = room;
                        Ok(())
                    }
                    None => Err(OutOfBounds::TooLong),
                }
            }
            Poll::Ready(Some(Err(_)) | None) => Ok(()),
            Poll::Pending => {
                let idle = self.idle;
                let timer = || Box::pin(sleep_until(Instant::now() + idle));
                match self.timer.get_or_insert_with(timer).as_mut().poll(cx) {
                    Poll::Ready(()) => Err(OutOfBounds::Stalled),
                    Poll::Pending => Ok(()),
                }
            }
        };
        outcome.inspect_err(|bound| self.breach.note(*bound))
    }
}

impl Breach {
    fn note(&self, bound: OutOfBounds) {
        let (first, refusals) = &*self.0;
        let reason = match bound {
            OutOfBounds::TooLong => Reason::BodyBytes,
            OutOfBounds::Stalled => Reason::BodyTimeout,
        };
        if first.set(bound).is_ok() {
            refusals.count(reason);
        }
    }

    /// What the client is told, if it did not keep a bound.
    pub(crate) fn problem(&self) -> Option<Problem> {
        Some(match self.0.0.get()? {
            OutOfBounds::Stalled => {
                Problem::new(Kind::RequestTimeout, "The request's body did not go on in time.")
            }
            OutOfBounds::TooLong => too_long(),
        })
    }
}

fn too_long() -> Problem {
    Problem::new(Kind::ContentTooLarge, "The request's body is longer than this gateway takes.")
}
