//! Bodies that h3 receives, as `http_body` has them.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::{Code, StreamError};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};

use crate::client::ClientLink;
use crate::server::ServerLink;

/// The receiving half of an h3 stream, of a server or of a client.
trait Receive: Send {
    /// Whether there must be as much as `content-length` says. Not in responses: those to HEAD and
    /// some others have none.
    const EXACT: bool;

    fn stop(&mut self);
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>>;
    fn poll_trailers(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, StreamError>>;
}

type ServerReceive = h3::server::RequestStream<countersign_h3::RecvStream<ServerLink>, Bytes>;
type ClientReceive = h3::client::RequestStream<countersign_h3::RecvStream<ClientLink>, Bytes>;

macro_rules! receive {
    ($stream:ty, $exact:literal) => {
        impl Receive for $stream {
            const EXACT: bool = $exact;

            fn stop(&mut self) {
                self.stop_sending(Code::H3_MESSAGE_ERROR);
            }

            fn poll_data(
                &mut self,
                cx: &mut Context<'_>,
            ) -> Poll<Result<Option<Bytes>, StreamError>> {
                let data = ready!(self.poll_recv_data(cx))?;
                Poll::Ready(Ok(data.map(|mut data| data.copy_to_bytes(data.remaining()))))
            }

            fn poll_trailers(
                &mut self,
                cx: &mut Context<'_>,
            ) -> Poll<Result<Option<HeaderMap>, StreamError>> {
                self.poll_recv_trailers(cx)
            }
        }
    };
}
receive!(ServerReceive, true);
receive!(ClientReceive, false);

/// A request or a response that did not come whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The stream or the connection failed.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The body is longer or shorter than its `content-length` (RFC 9114, section 4.1.2).
    #[error("the body has not the length that was announced")]
    Length,
}

/// Where a body stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Data,
    Trailers,
    End,
}

/// Whether `content-length` is a number, the same wherever it stands (RFC 9110, section 8.6). h3 takes any; whoever forwards
/// the request might read another length than the next hop does.
pub(super) fn has_clear_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return true };
    read_length(first).is_some() && lengths.all(|other| other == first)
}

/// Digits and nothing else.
fn read_length(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

struct Received<S> {
    stream: S,
    at: At,
    /// What content-length still promises.
    left: Option<u64>,
}

impl<S: Receive> Received<S> {
    fn new(stream: S, headers: &HeaderMap) -> Self {
        let left = headers.get(CONTENT_LENGTH).and_then(read_length);
        Self { stream, at: At::Data, left }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, TransferError>>> {
        if self.at == At::Data {
            match ready!(self.stream.poll_data(cx)) {
                Ok(Some(data)) => {
                    if let Some(left) = &mut self.left {
                        match left.checked_sub(data.len() as u64) {
                            Some(rest) => *left = rest,
                            None if S::EXACT => return self.malformed(),
                            None => *left = 0,
                        }
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(None) if S::EXACT && self.left.is_some_and(|left| left > 0) => {
                    return self.malformed();
                }
                Ok(None) => self.at = At::Trailers,
                Err(error) => return self.fail(error.into()),
            }
        }
        if self.at == At::Trailers {
            match ready!(self.stream.poll_trailers(cx)) {
                Ok(trailers) => {
                    self.at = At::End;
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                Err(error) => return self.fail(error.into()),
            }
        }
        Poll::Ready(None)
    }

    fn malformed(&mut self) -> Poll<Option<Result<Frame<Bytes>, TransferError>>> {
        self.stream.stop();
        self.fail(TransferError::Length)
    }

    fn fail(&mut self, error: TransferError) -> Poll<Option<Result<Frame<Bytes>, TransferError>>> {
        self.at = At::End;
        Poll::Ready(Some(Err(error)))
    }

    fn size_hint(&self) -> SizeHint {
        match (self.at, self.left) {
            (At::End, _) => SizeHint::with_exact(0),
            (At::Data | At::Trailers, Some(left)) => SizeHint::with_exact(left),
            (At::Data | At::Trailers, None) => SizeHint::default(),
        }
    }
}

macro_rules! body {
    ($(#[$doc:meta])* $name:ident, $stream:ty) => {
        $(#[$doc])*
        pub struct $name(Received<$stream>);

        impl $name {
            pub(super) fn new(stream: $stream, headers: &HeaderMap) -> Self {
                Self(Received::new(stream, headers))
            }
        }

        impl Body for $name {
            type Data = Bytes;
            type Error = TransferError;

            fn poll_frame(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, TransferError>>> {
                self.0.poll(cx)
            }

            fn is_end_stream(&self) -> bool {
                self.0.at == At::End
            }

            fn size_hint(&self) -> SizeHint {
                self.0.size_hint()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("at", &self.0.at).finish_non_exhaustive()
            }
        }
    };
}

body!(
    /// The body of a request that a server received.
    RequestBody,
    ServerReceive
);
body!(
    /// The body of a response that a client received.
    ResponseBody,
    ClientReceive
);
