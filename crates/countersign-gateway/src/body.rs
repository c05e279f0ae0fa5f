//! Bodies on their way through: frame by frame, as the receiving side makes room, never gathered.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// A body that is relayed; its trailers are cleaned, its data is left alone.
#[derive(Debug)]
pub(crate) struct Relayed<B, G = ()> {
    inner: B,
    clean: fn(&mut HeaderMap),
    /// Dropped with the body: whoever counts exchanges sees the end of this one.
    _guard: G,
}

impl<B, G> Relayed<B, G> {
    /// Relays `inner`, its trailers cleaned by `clean`, and keeps `guard` as long as it is on its
    /// way.
    pub(crate) fn new(inner: B, clean: fn(&mut HeaderMap), guard: G) -> Self {
        Self { inner, clean, _guard: guard }
    }
}

impl<B: Body<Data = Bytes> + Unpin, G: Unpin> Body for Relayed<B, G> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        Poll::Ready(frame.map(|result| {
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
