//! Bodies on their way through: frame by frame, as the receiving side makes room, never gathered.
//! From [`Received`] on, nothing depends on the version that the client speaks.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use countersign::h3;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Either};
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::bounds::Bounds;
use crate::expect::Gate;

/// The body of a request.
#[derive(Debug)]
pub(crate) struct Received {
    inner: Source,
    gate: Option<Gate>,
    bounds: Option<Box<Bounds>>,
}

/// From HTTP/1.1 or 2, or from HTTP/3.
pub(crate) type Source = Either<Incoming, Begun>;

impl Received {
    /// A body that may be read at once.
    pub(crate) fn new(inner: Source) -> Self {
        Self { inner, gate: None, bounds: None }
    }

    /// The same, to be read once `gate` opens.
    pub(crate) fn behind(self, gate: Gate) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// The same, as long as it keeps `bounds`.
    pub(crate) fn within(self, bounds: Bounds) -> Self {
        Self { bounds: Some(Box::new(bounds)), ..self }
    }

    /// The same once it is known whether there is any of it; after `limit` it counts as one that may still come,
    /// which has its own time to move.
    pub(crate) async fn begun(self, limit: Duration) -> Self {
        match self.inner {
            Either::Right(body) => {
                let inner = Either::Right(body.wait(limit).await);
                Self { inner, ..self }
            }
            inner @ Either::Left(_) => Self { inner, ..self },
        }
    }

    pub(crate) fn into_inner(self) -> Source {
        self.inner
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = <Source as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(gate) = &mut self.gate {
            if let Err(unwanted) = ready!(gate.poll(cx)) {
                return Poll::Ready(Some(Err(unwanted.into())));
            }
            self.gate = None;
        }
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if let Some(bounds) = &mut self.bounds
            && let Err(bound) = bounds.watch(&frame, cx)
        {
            return Poll::Ready(Some(Err(bound.into())));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body from HTTP/3 whose beginning is waited for, if need be, once the request is let in.
///
/// HTTP/3 tells apart a request without a body and one whose body has not come yet only by the end
/// of the stream, which may come after the header section. Before it is known, a body would have to
/// be announced to an HTTP/1.1 backend.
#[derive(Debug)]
pub(crate) struct Begun {
    /// None where it was taken for a tunnel.
    inner: Option<h3::RequestBody>,
    /// Whether it is still to be waited for.
    awaited: bool,
    first: Option<Result<Frame<Bytes>, <h3::RequestBody as Body>::Error>>,
}

impl Begun {
    /// Takes a body as it is: there may be one.
    pub(crate) fn at_once(inner: h3::RequestBody) -> Self {
        Self { inner: Some(inner), awaited: false, first: None }
    }

    /// Takes a body that there may not be.
    pub(crate) fn later(inner: h3::RequestBody) -> Self {
        Self { awaited: true, ..Self::at_once(inner) }
    }

    /// No body: the stream is a tunnel.
    pub(crate) fn none() -> Self {
        Self { inner: None, awaited: false, first: None }
    }

    /// The body itself, if nothing of it was read.
    pub(crate) fn into_inner(self) -> Option<h3::RequestBody> {
        self.inner.filter(|_| self.first.is_none())
    }

    /// Waits until there is some of the body, or certainly none, or `limit` is over.
    async fn wait(mut self, limit: Duration) -> Self {
        if let Some(inner) = self.inner.as_mut().filter(|_| self.awaited) {
            self.first = timeout(limit, inner.frame()).await.ok().flatten();
            self.awaited = false;
        }
        self
    }
}

impl Body for Begun {
    type Data = Bytes;
    type Error = <h3::RequestBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match (self.first.take(), &mut self.inner) {
            (Some(first), _) => Poll::Ready(Some(first)),
            (None, Some(inner)) => Pin::new(inner).poll_frame(cx),
            (None, None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.first, &self.inner) {
            (None, Some(inner)) => inner.size_hint(),
            (None, None) => SizeHint::with_exact(0),
            // Its size is no longer in the rest's; the length field speaks for the whole.
            (Some(_), _) => SizeHint::default(),
        }
    }
}

/// A body that is relayed; its trailers are cleaned, its data is left alone.
#[derive(Debug)]
pub(crate) struct Relayed<B, G = ()> {
    inner: B,
    clean: fn(&mut HeaderMap),
    /// Dropped with the body: whoever counts exchanges sees the end of this one.
    guard: G,
}

/// Whoever watches a body on its way.
pub(crate) trait Guard {
    /// There is room for more of it; `gives` if more is there, too.
    fn asked(&mut self, gives: bool);
}

impl Guard for () {
    fn asked(&mut self, _gives: bool) {}
}

impl<B, G> Relayed<B, G> {
    /// Relays `inner`, its trailers cleaned by `clean`, and keeps `guard` as long as it is on its
    /// way.
    pub(crate) fn new(inner: B, clean: fn(&mut HeaderMap), guard: G) -> Self {
        Self { inner, clean, guard }
    }
}

impl<B: Body<Data = Bytes> + Unpin, G: Guard + Unpin> Body for Relayed<B, G> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        self.guard.asked(matches!(frame, Poll::Ready(Some(Ok(_)))));
        Poll::Ready(ready!(frame).map(|result| {
            result.map(|mut frame| {
                if let Some(trailers) = frame.trailers_mut() {
                    (self.clean)(trailers);
                }
                frame
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
