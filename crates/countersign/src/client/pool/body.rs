//! Bodies of requests, some of which can be sent twice.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use super::{BoxError, RequestBody};

/// The longest body that is kept to be sent again, in bytes.
const MAX_KEPT: u64 = 64 * 1024;

/// A body as it is sent.
pub(super) enum Outgoing<B> {
    /// The caller's own.
    Given(B),
    /// What the caller's own consisted of.
    Kept(Kept),
}

/// A body that can be sent any number of times.
#[derive(Clone)]
pub(super) struct Kept {
    data: Bytes,
    trailers: Option<HeaderMap>,
}

impl<B: RequestBody> Outgoing<B> {
    /// Whether it is short enough to be kept, as far as it tells its size.
    pub(super) fn can_be_kept(&self) -> bool {
        match self {
            Self::Given(body) => body.size_hint().exact().is_some_and(|size| size <= MAX_KEPT),
            Self::Kept(_) => true,
        }
    }

    /// Reads it to its end.
    pub(super) async fn keep(self) -> Result<Kept, BoxError> {
        match self {
            Self::Kept(kept) => Ok(kept),
            Self::Given(body) => {
                let collected = body.collect().await.map_err(Into::into)?;
                let trailers = collected.trailers().cloned();
                Ok(Kept { data: collected.to_bytes(), trailers })
            }
        }
    }
}

impl<B: RequestBody> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Given(body) => {
                Pin::new(body).poll_frame(cx).map(|next| {
                    let next = next?.map_err(Into::into);
                    Some(next.map(|frame| {
                        frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
                    }))
                })
            }
            Self::Kept(kept) => Poll::Ready(kept.next_frame().map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Given(body) => body.is_end_stream(),
            Self::Kept(kept) => kept.data.is_empty() && kept.trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Given(body) => body.size_hint(),
            Self::Kept(kept) => SizeHint::with_exact(kept.data.len() as u64),
        }
    }
}

impl Kept {
    fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        if !self.data.is_empty() {
            return Some(Frame::data(std::mem::take(&mut self.data)));
        }
        self.trailers.take().map(Frame::trailers)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};

    use super::*;

    #[tokio::test]
    async fn a_kept_body_has_data_and_trailers_each_time() {
        let trailers = HeaderMap::from_iter([(http::header::ETAG, "1".parse().unwrap())]);
        let body = Full::new(Bytes::from_static(b"twice"))
            .with_trailers(std::future::ready(Some(Ok(trailers.clone()))));
        let kept = Outgoing::Given(Box::pin(body)).keep().await.unwrap();
        for _ in 0..2 {
            let body = Outgoing::<Full<Bytes>>::Kept(kept.clone());
            assert_eq!(body.size_hint().exact(), Some(5));
            let collected = body.collect().await.unwrap();
            assert_eq!(collected.trailers(), Some(&trailers));
            assert_eq!(collected.to_bytes(), "twice");
        }
    }

    #[test]
    fn only_short_bodies_of_known_size_are_kept() {
        let of = |len| Outgoing::Given(Full::new(Bytes::from(vec![0; len]))).can_be_kept();
        assert!(of(0) && of(64 * 1024));
        assert!(!of(64 * 1024 + 1));
        let frames = futures_util::stream::empty::<Result<Frame<Bytes>, std::io::Error>>();
        assert!(!Outgoing::Given(StreamBody::new(frames)).can_be_kept());
    }
}
