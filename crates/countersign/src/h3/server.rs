//! Serving HTTP/3: the QUIC handshake, then requests to any tower service.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use h3::error::{Code, ConnectionError, StreamError};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use http_body_util::BodyExt;
use quinn::crypto::rustls::QuicServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::task::JoinSet;
use tower_service::Service;

use super::body::has_clear_length;
use super::{BoxError, Informational, RequestBody};
use crate::server::{AuthConfig, AuthHandle, Listening, Observer, ServerLink, ServerSession};

/// Turns QUIC connections into [`Connection`]s. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Acceptor {
    auth: Arc<AuthConfig>,
    max_field_section_size: u64,
    websocket: bool,
    tls: Option<(Arc<quinn::ServerConfig>, Arc<rustls::ServerConfig>)>,
}

/// A QUIC connection that cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The QUIC handshake failed.
    #[error("the QUIC handshake failed: {0}")]
    Quic(#[from] quinn::ConnectionError),
    /// The TLS configuration is none for QUIC.
    #[error("the TLS configuration cannot be used for QUIC: {0}")]
    Config(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    /// The client ended the connection before HTTP/3 had begun.
    #[error("HTTP/3 could not be set up: {0}")]
    Http(#[from] ConnectionError),
}

impl Acceptor {
    /// Asks by the rules of `auth`. The QUIC endpoint's TLS configuration has ALPN
    /// [`super::ALPN_H3`] and the same cryptographic provider.
    pub fn new(auth: Arc<AuthConfig>) -> Self {
        Self { auth, max_field_section_size: 64 * 1024, websocket: false, tls: None }
    }

    /// Accepts with `quic`, whose cryptography is made of `tls`, in place of the endpoint's configuration.
    ///
    /// That is what it takes to offer the server's further certificates over HTTP/3: what a ClientHello
    /// offered is not to be had otherwise.
    pub fn tls(mut self, quic: quinn::ServerConfig, tls: Arc<rustls::ServerConfig>) -> Self {
        self.tls = Some((Arc::new(quic), tls));
        self
    }

    /// The largest header section to accept, in bytes. Default 65,536.
    pub fn max_field_section_size(mut self, bytes: u64) -> Self {
        self.max_field_section_size = bytes;
        self
    }

    /// Takes extended CONNECT for WebSocket, and says so in SETTINGS (RFC 9220).
    ///
    /// Such a request comes to the service as hyper's of HTTP/2 do: its method is CONNECT, and
    /// [`hyper::ext::Protocol`] is in its extensions. With a response of status 200 the tunnel is there: the
    /// request's body is what the client sends in it, the response's is what is sent to the client. A request for
    /// another protocol is answered with 501.
    pub fn websocket(mut self, taken: bool) -> Self {
        self.websocket = taken;
        self
    }

    /// Waits for the end of the handshake. Put a deadline around it; there is none inside.
    pub async fn accept(
        &self,
        incoming: quinn::Incoming,
    ) -> Result<(Connection, AuthHandle), AcceptError> {
        self.accept_with(incoming, None).await
    }

    /// The same; `observer` is told what becomes of the connection's identities, from those of the
    /// handshake on.
    pub async fn accept_observed(
        &self,
        incoming: quinn::Incoming,
        observer: Arc<dyn Observer>,
    ) -> Result<(Connection, AuthHandle), AcceptError> {
        self.accept_with(incoming, Some(observer)).await
    }

    async fn accept_with(
        &self,
        incoming: quinn::Incoming,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<(Connection, AuthHandle), AcceptError> {
        // Awaiting the connection, not its 0-RTT form, is what keeps early data out.
        let (quic, hello) = match &self.tls {
            Some((quic, tls)) if self.auth.server_certificates.is_some() => {
                let (tls, listening) = Listening::on(tls);
                let mut quic = quinn::ServerConfig::clone(quic);
                quic.crypto = Arc::new(QuicServerConfig::try_from(tls)?);
                let quic = incoming.accept_with(Arc::new(quic))?.await?;
                (quic, listening.heard())
            }
            _ => (incoming.await?, None),
        };
        let values = countersign_h3::exporter_values(&quic, &self.auth.provider)
            .inspect_err(|reason| tracing::debug!(%reason, "connection without the extension"))
            .ok();
        let session = ServerSession::new(Arc::clone(&self.auth), values, hello, observer);
        let chain = quic.peer_identity().and_then(|chain| chain.downcast().ok());
        if let Some::<Box<Vec<CertificateDer<'static>>>>(chain) = chain {
            session.grant_handshake(*chain).await;
        }
        let name = quic
            .handshake_data()
            .and_then(|data| data.downcast::<quinn::crypto::rustls::HandshakeData>().ok())
            .and_then(|data| data.server_name);
        let handle = AuthHandle::new(Arc::clone(&session), name.as_deref());
        let link = Arc::new(ServerLink(session));
        let longest = self.max_field_section_size;
        let below = if self.websocket {
            countersign_h3::Connection::with_websocket(quic, link, longest)
        } else {
            countersign_h3::Connection::with_max_frame_len(quic, link, longest)
        };
        let inner = h3::server::builder()
            .max_field_section_size(longest)
            .enable_extended_connect(self.websocket)
            .build(below)
            .await?;
        Ok((Connection { inner, handle: handle.clone(), websocket: self.websocket }, handle))
    }
}

/// An accepted connection.
pub struct Connection {
    inner: h3::server::Connection<countersign_h3::Connection<ServerLink>, Bytes>,
    handle: AuthHandle,
    websocket: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl Connection {
    /// The connection's handle.
    pub fn auth_handle(&self) -> &AuthHandle {
        &self.handle
    }

    /// Serves every request with a clone of `service`, until the client closes the connection. The
    /// connection's [`AuthHandle`] is in the extensions of every request, and so is an [`Informational`].
    ///
    /// When `shutdown` is ready, GOAWAY is sent, requests that have begun are finished, and then the
    /// connection is closed. How many requests run at a time is the QUIC endpoint's limit on streams.
    pub async fn serve<S, B>(self, service: S, shutdown: impl Future<Output = ()>)
    where
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Self { mut inner, handle, websocket } = self;
        let mut exchanges = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        let mut ending = false;
        loop {
            let resolver = tokio::select! {
                accepted = inner.accept() => match accepted {
                    Ok(Some(resolver)) => resolver,
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(%error, "an HTTP/3 connection ended");
                        break;
                    }
                },
                Some(_) = exchanges.join_next() => {
                    if ending && exchanges.is_empty() {
                        break;
                    }
                    continue;
                }
                () = shutdown.as_mut(), if !ending => {
                    ending = true;
                    if inner.shutdown(0).await.is_err() || exchanges.is_empty() {
                        break;
                    }
                    continue;
                }
            };
            let (service, handle) = (service.clone(), handle.clone());
            exchanges.spawn(async move {
                let answered = async {
                    let (mut request, mut stream) = resolver.resolve_request().await?;
                    if !has_clear_length(request.headers()) {
                        refuse_malformed(&mut stream);
                        return Ok(());
                    }
                    if websocket && !name_protocol(&mut request, &mut stream).await? {
                        return Ok(());
                    }
                    answer(request, stream, service, handle).await
                };
                if let Err(error) = answered.await {
                    tracing::debug!(%error, "an HTTP/3 exchange failed");
                }
            });
        }
        // The connection is over for the client; what still runs has nobody to answer.
        exchanges.abort_all();
    }
}

type ServerStream = h3::server::RequestStream<countersign_h3::BidiStream<ServerLink, Bytes>, Bytes>;
type ServerSend = h3::server::RequestStream<countersign_h3::SendStream<ServerLink, Bytes>, Bytes>;

/// A malformed request is an error of its stream (RFC 9114, section 4.1.2).
fn refuse_malformed(stream: &mut ServerStream) {
    stream.stop_sending(Code::H3_MESSAGE_ERROR);
    stream.stop_stream(Code::H3_MESSAGE_ERROR);
}

/// Says in hyper's words what an extended CONNECT is for. Answers it where that is nothing that is taken:
/// then it is `false`.
async fn name_protocol(
    request: &mut Request<()>,
    stream: &mut ServerStream,
) -> Result<bool, StreamError> {
    let Some(protocol) = request.extensions_mut().remove::<h3::ext::Protocol>() else {
        return Ok(true);
    };
    if request.method() != Method::CONNECT {
        // Only CONNECT may have it (RFC 8441, section 4).
        refuse_malformed(stream);
        return Ok(false);
    }
    if protocol != countersign_h3::WEBSOCKET {
        // RFC 9220, section 3.
        let mut refusal = Response::new(());
        *refusal.status_mut() = StatusCode::NOT_IMPLEMENTED;
        stream.send_response(refusal).await?;
        stream.finish().await?;
        return Ok(false);
    }
    request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
    Ok(true)
}

async fn answer<S, B>(
    request: Request<()>,
    stream: ServerStream,
    mut service: S,
    handle: AuthHandle,
) -> Result<(), StreamError>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (mut send, receive) = stream.split();
    let head = request.method() == Method::HEAD;
    let (mut parts, ()) = request.into_parts();
    parts.version = Version::HTTP_3;
    parts.extensions.insert(handle);
    let informational = Informational::default();
    parts.extensions.insert(informational.clone());
    let body = RequestBody::new(receive, &parts.headers);
    let request = Request::from_parts(parts, body);
    let response = async {
        poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
        service.call(request).await.map_err(Into::<BoxError>::into)
    };
    let mut response = pin!(response);
    let outcome = loop {
        tokio::select! {
            biased;
            ahead = informational.next() => send.send_response(ahead).await?,
            outcome = response.as_mut() => break outcome,
        }
    };
    while let Some(ahead) = informational.take() {
        send.send_response(ahead).await?;
    }
    match outcome {
        Ok(response) => send_response(&mut send, response, head).await,
        Err(error) => {
            tracing::warn!(%error, "a service failed");
            send.stop_stream(Code::H3_INTERNAL_ERROR);
            Ok(())
        }
    }
}

async fn send_response<B>(
    send: &mut ServerSend,
    response: Response<B>,
    head: bool,
) -> Result<(), StreamError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (mut parts, body) = response.into_parts();
    remove_connection_fields(&mut parts.headers);
    send.send_response(Response::from_parts(parts, ())).await?;
    if !head {
        let mut body = pin!(body.map_err(Into::<BoxError>::into));
        while let Some(frame) = body.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    tracing::debug!(%error, "a response's body failed");
                    send.stop_stream(Code::H3_INTERNAL_ERROR);
                    return Ok(());
                }
            };
            match frame.into_data() {
                Ok(data) => send.send_data(data).await?,
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        send.send_trailers(trailers).await?;
                        break;
                    }
                }
            }
        }
    }
    send.finish().await
}

/// Fields that have no meaning in HTTP/3 and make a message malformed (RFC 9114, section 4.2).
pub(super) fn remove_connection_fields(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}
