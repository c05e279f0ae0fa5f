//! Sending requests over HTTP/3.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use h3::error::{Code, ConnectionError, StreamError};
use http::{Request, Response, Version};
use http_body::Body;
use http_body_util::BodyExt;
use rustls::pki_types::CertificateDer;

use super::server::remove_connection_fields;
use super::{BoxError, ResponseBody, TransferError};
use crate::client::{AuthConfig, ClientHandle, ClientLink, ClientSession, Origin, Peer};

/// Opens connections. Cheap to clone.
#[derive(Clone)]
pub struct Handshaker {
    quic: quinn::ClientConfig,
    auth: Arc<AuthConfig>,
}

/// A connection could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address or the name cannot be connected to.
    #[error("cannot begin to connect: {0}")]
    Connect(#[from] quinn::ConnectError),
    /// The QUIC handshake failed.
    #[error("the QUIC handshake failed: {0}")]
    Quic(#[from] quinn::ConnectionError),
    /// The server ended the connection before HTTP/3 had begun.
    #[error("HTTP/3 could not be set up: {0}")]
    Http(#[from] ConnectionError),
}

impl Handshaker {
    /// Joins a QUIC configuration (whose TLS has ALPN [`super::ALPN_H3`]) and the rules for answering.
    pub fn new(quic: quinn::ClientConfig, auth: Arc<AuthConfig>) -> Self {
        Self { quic, auth }
    }

    /// Connects to the server of `origin`, whose name its certificate must have, at `address`.
    pub async fn connect(
        &self,
        endpoint: &quinn::Endpoint,
        address: SocketAddr,
        origin: Origin,
    ) -> Result<(Client, ClientHandle), ConnectError> {
        // Awaiting the connection, not its 0-RTT form, is what keeps requests out of early data.
        let quic = endpoint.connect_with(self.quic.clone(), address, origin.host())?.await?;
        self.begin(quic, origin).await
    }

    /// Begins HTTP/3 on a QUIC connection to the server of `origin` that was opened otherwise, with the
    /// handshake complete and no stream in use.
    pub async fn begin(
        &self,
        quic: quinn::Connection,
        origin: Origin,
    ) -> Result<(Client, ClientHandle), ConnectError> {
        let values = countersign_h3::exporter_values(&quic, &self.auth.provider)
            .inspect_err(|reason| tracing::debug!(%reason, "connection without the extension"))
            .ok();
        let chain = quic.peer_identity().and_then(|chain| chain.downcast().ok());
        let peer = Peer {
            chain: chain.map(|chain: Box<Vec<CertificateDer<'static>>>| *chain).unwrap_or_default(),
            address: Some(quic.remote_address()),
        };
        let session = ClientSession::new(Arc::clone(&self.auth), origin, values, &peer);
        let handle = ClientHandle::new(Arc::clone(&session));
        let below = countersign_h3::Connection::new(quic.clone(), Arc::new(ClientLink(session)));
        let (mut driver, send) = h3::client::builder().build(below).await?;
        tokio::spawn(async move {
            let ended = std::future::poll_fn(|cx| driver.poll_close(cx)).await;
            tracing::debug!(%ended, "an HTTP/3 connection ended");
        });
        Ok((Client { send, quic }, handle))
    }
}

impl std::fmt::Debug for Handshaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshaker").field("auth", &self.auth).finish_non_exhaustive()
    }
}

/// An open connection. Clones share it; it is closed when the last is gone.
#[derive(Clone)]
pub struct Client {
    send: h3::client::SendRequest<countersign_h3::OpenStreams<ClientLink>, Bytes>,
    quic: quinn::Connection,
}

type ClientSend = h3::client::RequestStream<countersign_h3::SendStream<ClientLink, Bytes>, Bytes>;

impl Client {
    /// Sends a request. Its body is sent while the response is received.
    pub async fn send<B>(
        &mut self,
        request: Request<B>,
    ) -> Result<Response<ResponseBody>, TransferError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.send_listening(request, |_| {}).await
    }

    /// The same, with `listen` called for each informational response (1xx) that comes before.
    pub async fn send_listening<B>(
        &mut self,
        request: Request<B>,
        mut listen: impl FnMut(Response<()>),
    ) -> Result<Response<ResponseBody>, TransferError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        parts.version = Version::HTTP_3;
        remove_connection_fields(&mut parts.headers);
        let stream = self.send.send_request(Request::from_parts(parts, ())).await?;
        let (mut sending, mut receiving) = stream.split();
        if body.is_end_stream() {
            // A server that has answered may stop reading before it reads the end (RFC 9114, section 4.1).
            if let Err(error) = sending.finish().await {
                tracing::debug!(%error, "the end of a request was not read");
            }
        } else {
            tokio::spawn(async move {
                if let Err(error) = send_body(&mut sending, body).await {
                    tracing::debug!(%error, "a request's body was not sent whole");
                }
            });
        }
        let response = loop {
            let response = receiving.recv_response().await?;
            if !response.status().is_informational() {
                break response;
            }
            listen(response);
        };
        let body = ResponseBody::new(receiving, response.headers());
        let (parts, ()) = response.into_parts();
        Ok(Response::from_parts(parts, body))
    }

    /// The QUIC connection below.
    pub fn quic(&self) -> &quinn::Connection {
        &self.quic
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

async fn send_body<B>(sending: &mut ClientSend, body: B) -> Result<(), StreamError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body.map_err(Into::<BoxError>::into));
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => sending.send_data(data).await?,
            Ok(Err(frame)) => {
                if let Ok(trailers) = frame.into_trailers() {
                    sending.send_trailers(trailers).await?;
                    break;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a request's body failed");
                sending.stop_stream(Code::H3_REQUEST_CANCELLED);
                return Ok(());
            }
        }
    }
    sending.finish().await
}
