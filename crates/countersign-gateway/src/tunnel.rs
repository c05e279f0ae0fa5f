//! WebSocket: asked for with `Upgrade` in HTTP/1.1 (RFC 6455), with extended CONNECT in HTTP/2 (RFC 8441)
//! and HTTP/3 (RFC 9220).
//!
//! Whoever asks is decided about as for a GET of the same path. A backend is asked with `Upgrade`, whatever the
//! client speaks, or with extended CONNECT where it speaks nothing but HTTP/2. Nothing that the client sends goes
//! there before it has agreed. What goes through then is not looked at.

mod flow;
mod handshake;
mod review;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use countersign::h3;
use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{DuplexStream, duplex, join};
use tokio::sync::Notify;

pub(crate) use self::flow::Outgoing;
use self::flow::{Io, pass};
use self::handshake::{accept_for, has_token, is_websocket, new_key, read_key};
pub(crate) use self::review::Review;
use crate::body::{Begun, Received};
use crate::problem::{Kind, Problem};
use crate::session::Session;
use crate::upstream::Answered;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
/// How much is kept between a backend and an HTTP/3 stream, in bytes.
const PIPE: usize = 64 * 1024;

/// The body of a response that begins a tunnel: none, but in HTTP/3.
pub(crate) type TunnelBody = Either<Full<Bytes>, Outgoing>;

/// A request for WebSocket.
#[derive(Debug)]
pub(crate) struct Asked {
    client: Client,
    /// What the backend is given as `Sec-WebSocket-Key`.
    key: HeaderValue,
    /// Whether the backend is asked with extended CONNECT.
    extended: bool,
}

/// Where the client's end of the tunnel will be.
#[derive(Debug)]
enum Client {
    Http1(OnUpgrade),
    Http2(OnUpgrade),
    Http3(Box<h3::RequestBody>),
}

impl Asked {
    /// Finds out whether a request asks for WebSocket, and makes a GET of it if it does.
    ///
    /// An `Upgrade` to anything else is left to [`crate::headers`], which removes it; a CONNECT without
    /// `:protocol` is left to the policy.
    pub(crate) fn find(
        parts: &mut Parts,
        body: Received,
    ) -> Result<(Option<Self>, Received), Problem> {
        if parts.method == Method::CONNECT {
            return Self::extended_connect(parts, body);
        }
        let asked = parts.version == Version::HTTP_11
            && parts.method == Method::GET
            && has_token(&parts.headers, &UPGRADE, "websocket")
            && has_token(&parts.headers, &CONNECTION, "upgrade");
        let Some(upgrade) = parts.extensions.remove::<OnUpgrade>().filter(|_| asked) else {
            return Ok((None, body));
        };
        // Two readings of where the body ends and the other protocol begins are one too many.
        if !body.is_end_stream() {
            return Err(bad("A request for WebSocket has no body."));
        }
        let key = read_key(&parts.headers)
            .ok_or_else(|| bad("A request for WebSocket has one Sec-WebSocket-Key of 16 bytes."))?;
        Ok((Some(Self { client: Client::Http1(upgrade), key, extended: false }), body))
    }

    fn extended_connect(
        parts: &mut Parts,
        body: Received,
    ) -> Result<(Option<Self>, Received), Problem> {
        let Some(protocol) = parts.extensions.remove::<Protocol>() else {
            return Ok((None, body));
        };
        if !protocol.as_str().eq_ignore_ascii_case("websocket") {
            return Err(Problem::new(
                Kind::NotImplemented,
                "The only protocol that is passed on with extended CONNECT is websocket.",
            ));
        }
        let taken = match body.into_inner() {
            Either::Left(body) => parts
                .extensions
                .remove::<OnUpgrade>()
                .map(|upgrade| (Client::Http2(upgrade), Either::Left(body))),
            Either::Right(body) => body
                .into_inner()
                .map(|stream| (Client::Http3(Box::new(stream)), Either::Right(Begun::none()))),
        };
        let (client, body) = taken.ok_or_else(|| bad("The request cannot become a tunnel."))?;
        parts.method = Method::GET;
        let key = new_key().ok_or_else(|| bad("No key can be made for the request."))?;
        Ok((Some(Self { client, key, extended: false }), Received::new(body)))
    }

    /// Makes a request whose fields are otherwise ready ask a backend that speaks `next_hop`.
    pub(crate) fn ask(&mut self, request: &mut Request<()>, next_hop: Version) {
        self.extended = next_hop == Version::HTTP_2;
        let headers = request.headers_mut();
        for name in [CONTENT_LENGTH, TRAILER] {
            headers.remove(name);
        }
        if self.extended {
            headers.remove(SEC_WEBSOCKET_KEY);
            *request.method_mut() = Method::CONNECT;
            request.extensions_mut().insert(Protocol::from_static("websocket"));
        } else {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, WEBSOCKET);
            headers.insert(SEC_WEBSOCKET_KEY, self.key.clone());
        }
    }

    /// Reads the backend's answer: it agreed, or it did not and answers like to any request.
    pub(crate) fn answered(
        self,
        response: &mut Response<Answered>,
    ) -> Result<Option<Switched>, Problem> {
        let status = response.status();
        let agreed = if self.extended { StatusCode::OK } else { StatusCode::SWITCHING_PROTOCOLS };
        let accept = accept_for(&self.key).ok_or_else(|| bad("The key cannot be answered."))?;
        if status != agreed {
            refuse_switch(status)?;
            // To a client of HTTP/2 or HTTP/3 it would say that the tunnel is there, and a backend said so.
            let is_http1 = matches!(self.client, Client::Http1(_));
            return if status.is_success() && (self.extended || !is_http1) {
                Err(wrong("The upstream answered a request for WebSocket as one for a resource."))
            } else {
                Ok(None)
            };
        }
        if !self.extended {
            check_switch(response.headers(), &accept)?;
        }
        let backend = hyper::upgrade::on(response);
        Ok(Some(Switched { client: self.client, backend, accept }))
    }
}

/// Refuses a 101 that does not fit what was asked.
fn check_switch(headers: &HeaderMap, accept: &HeaderValue) -> Result<(), Problem> {
    if !is_websocket(headers) {
        return refuse_switch(StatusCode::SWITCHING_PROTOCOLS);
    }
    let mut accepts = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
    if accepts.next() != Some(accept) || accepts.next().is_some() {
        return Err(wrong("The upstream's Sec-WebSocket-Accept does not fit the request."));
    }
    Ok(())
}

/// Refuses a 101 that nobody asked for.
pub(crate) fn refuse_switch(status: StatusCode) -> Result<(), Problem> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(wrong("The upstream switched to a protocol that it was not asked for."));
    }
    Ok(())
}

/// A tunnel that the backend agreed to.
#[derive(Debug)]
pub(crate) struct Switched {
    client: Client,
    backend: OnUpgrade,
    accept: HeaderValue,
}

impl Switched {
    /// Makes the response that opens the tunnel at the client's side, and lets bytes flow once it is sent.
    /// `response` is the backend's, its fields ready for the client; `guard` is kept as long as the tunnel
    /// is there.
    pub(crate) fn open<G: Send + 'static>(
        self,
        response: Response<Answered>,
        review: Review,
        guard: G,
    ) -> Response<TunnelBody> {
        let (mut parts, answered) = response.into_parts();
        for name in [CONTENT_LENGTH, TRANSFER_ENCODING, SEC_WEBSOCKET_ACCEPT] {
            parts.headers.remove(name);
        }
        let (end, body) = match self.client {
            Client::Http1(upgrade) => {
                parts.status = StatusCode::SWITCHING_PROTOCOLS;
                parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                parts.headers.insert(UPGRADE, WEBSOCKET);
                parts.headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
                (End::Upgrade(upgrade), Either::Left(Full::default()))
            }
            Client::Http2(upgrade) => {
                parts.status = StatusCode::OK;
                (End::Upgrade(upgrade), Either::Left(Full::default()))
            }
            Client::Http3(received) => {
                parts.status = StatusCode::OK;
                let (sent, body) = duplex(PIPE);
                (End::Stream(received, sent), Either::Right(Outgoing::new(body)))
            }
        };
        // Before the response: it may be all that keeps an HTTP/1.1 connection.
        let open = Open::new(Arc::clone(review.session()));
        tokio::spawn(async move {
            let flow = async {
                let (client, backend) = tokio::try_join!(end.io(), upgraded(self.backend))?;
                pass(client, backend, flow::IDLE_TIMEOUT).await
            };
            tokio::select! {
                ended = flow => match ended {
                    Ok(ended) => tracing::debug!(client = %review.session().client(), ?ended, "a tunnel ended"),
                    Err(error) => tracing::debug!(client = %review.session().client(), %error, "a tunnel failed"),
                },
                () = review.session().tunnels().over() => {}
                () = review.refused() => {
                    tracing::info!(client = %review.session().client(), "a tunnel is not allowed any more");
                    review.tell_refused();
                }
            }
            drop((answered, guard, open));
        });
        Response::from_parts(parts, body)
    }
}

/// The client's end.
enum End {
    Upgrade(OnUpgrade),
    Stream(Box<h3::RequestBody>, DuplexStream),
}

impl End {
    async fn io(self) -> io::Result<Box<dyn Io>> {
        match self {
            Self::Upgrade(upgrade) => upgraded(upgrade).await,
            Self::Stream(received, sent) => Ok(Box::new(join(flow::Incoming::new(received), sent))),
        }
    }
}

async fn upgraded(upgrade: OnUpgrade) -> io::Result<Box<dyn Io>> {
    let stream = upgrade.await.map_err(io::Error::other)?;
    Ok(Box::new(TokioIo::new(stream)))
}

/// The tunnels of one connection.
#[derive(Debug, Default)]
pub(crate) struct Tunnels {
    open: AtomicUsize,
    over: AtomicBool,
    changed: Notify,
}

impl Tunnels {
    /// Ends all, with the connection that they are in.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Waits until there is none.
    pub(crate) async fn closed(&self) {
        self.until(|| self.open.load(Ordering::SeqCst) == 0).await;
    }

    async fn over(&self) {
        self.until(|| self.over.load(Ordering::SeqCst)).await;
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if holds() {
                return;
            }
            changed.await;
        }
    }
}

/// One of them.
struct Open(Arc<Session>);

impl Open {
    fn new(session: Arc<Session>) -> Self {
        session.tunnels().open.fetch_add(1, Ordering::SeqCst);
        Self(session)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let tunnels = self.0.tunnels();
        tunnels.open.fetch_sub(1, Ordering::SeqCst);
        tunnels.changed.notify_waiters();
    }
}

/// Ends a connection's tunnels when the connection is not served any more.
pub(crate) struct Served<'a>(pub(crate) &'a Session);

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.0.tunnels().end();
    }
}

fn bad(detail: &str) -> Problem {
    Problem::new(Kind::BadRequest, detail)
}

fn wrong(detail: &str) -> Problem {
    Problem::new(Kind::UpstreamProtocol, detail)
}
