//! Response bodies on their way from a server: they must not stand still.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::replay::Progress;
use super::server::InFlight;

/// A response's body. Only the time that the server takes counts, not the client's.
#[derive(Debug)]
pub(crate) struct Answered {
    inner: Incoming,
    idle: Duration,
    /// Set while the server is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    upload: Arc<Progress>,
    _in_flight: InFlight,
}

impl Answered {
    pub(super) fn new(
        inner: Incoming,
        idle: Duration,
        upload: Arc<Progress>,
        in_flight: InFlight,
    ) -> Self {
        Self { inner, idle, timer: None, upload, _in_flight: in_flight }
    }
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Interrupted {
    /// The server's connection failed.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// Nothing moved for too long.
    #[error("the body made no progress in time")]
    Idle,
}

impl Body for Answered {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        let Self { inner, idle, timer, upload, .. } = &mut *self;
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            *timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Interrupted::Http)));
        }
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + *idle)));
        while timer.as_mut().poll(cx).is_ready() {
            // A request's body that moves is progress too.
            let next = upload.last() + *idle;
            if next <= Instant::now() {
                return Poll::Ready(Some(Err(Interrupted::Idle)));
            }
            timer.as_mut().reset(next);
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
