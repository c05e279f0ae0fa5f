//! HTTP/3: QUIC to the first address that answers, and requests on it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use countersign::client::{AuthConfig, ClientHandle, Origin};
use countersign::h3::{Client, Handshaker, TransferError as QuicError};
use countersign::{CodePoints, h3};
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectionError, Endpoint, TransportConfig, VarInt};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::connection::{Body, FAREWELL, ResponseBody, TransferError};
use super::ended::{Ended, H3_NO_ERROR};
use super::quic_ended::ended;
use crate::failure::{Exit, Failure};

/// How long an address is tried alone before the next one is tried besides (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// How often something is sent on a connection that waits for a response, so that it does not time out.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a connection that failed may take to be closed: the code is only sent once the handshake is
/// confirmed, for which the backend waits 3 seconds.
const CLOSING: Duration = Duration::from_secs(4);
/// TLS alerts that say what is wrong with a certificate (RFC 8446, section 6.2): bad_certificate to
/// certificate_unknown, and unknown_ca.
const CERTIFICATE_ALERTS: [u64; 6] = [42, 43, 44, 45, 46, 48];
/// The first of QUIC's error codes that stand for TLS alerts (RFC 9001, section 4.8).
const CRYPTO_ERROR: u64 = 0x100;

/// Opens QUIC connections.
#[derive(Debug)]
pub(super) struct QuicDialer {
    config: quinn::ClientConfig,
    handshaker: Handshaker,
}

/// A QUIC connection without HTTP/3, and the endpoint that drives it.
#[derive(Debug)]
pub(super) struct Line {
    endpoint: Endpoint,
    quic: quinn::Connection,
}

/// An HTTP/3 connection.
#[derive(Debug)]
pub(super) struct Quic {
    endpoint: Endpoint,
    client: Client,
}

impl QuicDialer {
    pub(super) fn new(tls: rustls::ClientConfig, auth: Arc<AuthConfig>) -> Result<Self, Failure> {
        let crypto = QuicClientConfig::try_from(tls).map_err(|error| {
            Failure::new(Exit::Tls, format!("TLS cannot be set up for QUIC: {error}"))
        })?;
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        let mut transport = TransportConfig::default();
        transport.keep_alive_interval(Some(KEEP_ALIVE));
        config.transport_config(Arc::new(transport));
        Ok(Self { handshaker: Handshaker::new(config.clone(), auth), config })
    }

    /// Connects to the first of `addresses` that answers. Each gets a head start before the next; a
    /// server that answers, but is not acceptable, ends the search.
    pub(super) async fn dial(
        &self,
        origin: &Origin,
        addresses: Vec<SocketAddr>,
    ) -> Result<Line, Failure> {
        let mut addresses = addresses.into_iter();
        let mut attempts = JoinSet::new();
        let mut failed = None;
        loop {
            match addresses.next() {
                Some(address) => {
                    attempts.spawn(attempt(self.config.clone(), origin.clone(), address));
                }
                None if attempts.is_empty() => {
                    return Err(failed.unwrap_or_else(|| unreachable(origin, &"no address")));
                }
                None => {}
            }
            match tokio::time::timeout(HEAD_START, attempts.join_next()).await {
                Ok(Some(Ok(Ok(line)))) => return Ok(line),
                Ok(Some(Ok(Err(failure)))) if failure.exit != Exit::Connect => return Err(failure),
                Ok(Some(Ok(Err(failure)))) => failed = Some(failure),
                Ok(Some(Err(_)) | None) | Err(_) => {}
            }
        }
    }

    /// Begins HTTP/3.
    pub(super) async fn begin(
        &self,
        origin: &Origin,
        line: Line,
    ) -> Result<(Quic, ClientHandle), Failure> {
        let Line { endpoint, quic } = line;
        let (client, handle) = self
            .handshaker
            .begin(quic, origin.clone())
            .await
            .map_err(|error| Failure::new(Exit::Http3, error))?;
        Ok((Quic { endpoint, client }, handle))
    }
}

impl Line {
    pub(super) fn remote(&self) -> SocketAddr {
        self.quic.remote_address()
    }
}

async fn attempt(
    config: quinn::ClientConfig,
    origin: Origin,
    address: SocketAddr,
) -> Result<Line, Failure> {
    let endpoint = Endpoint::client(any_port(address)).map_err(|e| unreachable(&origin, &e))?;
    let connecting = endpoint
        .connect_with(config, address, origin.host())
        .map_err(|error| unreachable(&origin, &error))?;
    let quic = tokio::select! {
        connected = connecting => connected.map_err(|error| handshake_failure(&origin, &error))?,
        error = refused(address) => return Err(unreachable(&origin, &error)),
    };
    Ok(Line { endpoint, quic })
}

/// Ends when the system says that nobody listens at `address`, which quinn does not report: the answer
/// to an empty datagram, which QUIC ignores.
async fn refused(address: SocketAddr) -> std::io::Error {
    let knock = async {
        let socket = UdpSocket::bind(any_port(address)).await?;
        socket.connect(address).await?;
        socket.send(&[]).await?;
        socket.recv(&mut [0]).await
    };
    match knock.await {
        Err(error) => error,
        // Whatever came, somebody is there.
        Ok(_) => std::future::pending().await,
    }
}

fn any_port(peer: SocketAddr) -> SocketAddr {
    let ip: IpAddr =
        if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, 0)
}

fn unreachable(origin: &Origin, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Connect, format!("no connection to {origin}: {error}"))
}

fn handshake_failure(origin: &Origin, error: &ConnectionError) -> Failure {
    let tls = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Tls, format!("the TLS handshake with {origin} failed: {error}"))
    };
    let is_alert = |code: u64| (CRYPTO_ERROR..=CRYPTO_ERROR + 0xff).contains(&code);
    match error {
        ConnectionError::TransportError(found) => {
            let code = u64::from(found.code);
            if CERTIFICATE_ALERTS.iter().any(|alert| CRYPTO_ERROR + alert == code) {
                return Failure::new(
                    Exit::PeerCertificate,
                    format!("the certificate of {origin} is not acceptable: {}", found.reason),
                );
            }
            if is_alert(code) { tls(&found.reason) } else { unreachable(origin, error) }
        }
        ConnectionError::ConnectionClosed(close) if is_alert(close.error_code.into()) => tls(close),
        ConnectionError::ConnectionClosed(_)
        | ConnectionError::VersionMismatch
        | ConnectionError::ApplicationClosed(_)
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => unreachable(origin, error),
    }
}

impl Quic {
    /// Whether a request can still be sent.
    pub(super) fn is_open(&self) -> bool {
        self.client.quic().close_reason().is_none()
    }

    /// Sends a request and waits for the head of its response.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Body>,
    ) -> Result<Response<ResponseBody>, QuicError> {
        if let Some(length @ 1..) = request.body().size_hint().exact() {
            let length = HeaderValue::from(length);
            request.headers_mut().entry(header::CONTENT_LENGTH).or_insert(length);
        }
        let response = self.client.send(request).await?;
        let unified = TransferError::Quic;
        Ok(response.map(|body: h3::ResponseBody| body.map_err(unified).boxed_unsync()))
    }

    /// How the connection ended, for a request that failed because of that with `error`.
    pub(super) async fn ended(
        &self,
        error: &::h3::error::ConnectionError,
        handle: &ClientHandle,
        points: &CodePoints,
    ) -> Ended {
        // The stack may know of the end before QUIC has the details.
        let closed = tokio::time::timeout(CLOSING, self.client.quic().closed()).await.ok();
        ended(Some(error), handle.closed_reason().as_ref(), closed.as_ref(), points)
    }

    /// Waits until the farewell of a connection that was closed has got out, before the process ends.
    pub(super) async fn linger(&self) {
        let _ = tokio::time::timeout(FAREWELL, self.endpoint.wait_idle()).await;
    }

    /// Closes, and tells how the connection ended.
    pub(super) async fn close(self, handle: &ClientHandle, points: &CodePoints) -> Ended {
        let quic = self.client.quic();
        let before = quic.close_reason();
        quic.close(VarInt::try_from(H3_NO_ERROR).unwrap_or(VarInt::MAX), b"");
        self.linger().await;
        ended(None, handle.closed_reason().as_ref(), before.as_ref(), points)
    }
}
