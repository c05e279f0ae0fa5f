//! A connection from its addresses to its end: TCP and TLS or QUIC, the extension, HTTP on top.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use countersign::CodePoints;
use countersign::client::{AuthConfig, ClientHandle, ClientStream, Handshaker, Origin};
use countersign::h3::TransferError as QuicError;
use h3::error::StreamError;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::ended::{Ended, failure, is_of_one_stream};
use super::quic::{Quic, QuicDialer};
use super::quic_ended::{connection_failure, of_connection, stream_failure};
use super::{Overrides, Protocol, Tls};
use crate::failure::{Exit, Failure};
use crate::names;

/// The body of a request: all of it is in memory.
pub(crate) type Body = Full<Bytes>;

/// The body of a response, whatever it comes over.
pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, TransferError>;

/// Why there is no response, or no whole one: to be explained by the [`Connection`].
#[derive(Debug)]
pub(crate) enum TransferError {
    /// Over TCP.
    Tcp(hyper::Error),
    /// Over QUIC.
    Quic(QuicError),
}

/// The largest frame to take, so that requests with many authorities' names fit.
const MAX_FRAME_SIZE: u32 = 64 * 1024;
/// How long a connection gets to say goodbye.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// Opens connections.
#[derive(Debug)]
pub(crate) struct Dialer {
    wire: Wire,
    overrides: Overrides,
    points: CodePoints,
}

#[derive(Debug)]
enum Wire {
    Tcp(Handshaker),
    Quic(Box<QuicDialer>),
}

/// What is known of a connection once TLS is up.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The version of HTTP that was agreed on.
    pub(crate) protocol: Protocol,
    /// As in `TLSv1.3`.
    pub(crate) tls_version: String,
    /// As in `TLS_AES_128_GCM_SHA256`; `None` for QUIC, whose implementation does not tell.
    pub(crate) cipher_suite: Option<String>,
    /// The server's address.
    pub(crate) remote: SocketAddr,
    /// How long TCP took; with QUIC, the same as with TLS.
    pub(crate) tcp_time: Duration,
    /// How long it took with TLS.
    pub(crate) tls_time: Duration,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// What is known of it.
    pub(crate) facts: Facts,
    /// The extension's side of it.
    pub(crate) handle: ClientHandle,
    sender: Sender,
    /// Until its result was taken.
    driver: Option<Driver>,
    points: CodePoints,
    /// Once it is known.
    ended: Option<Ended>,
}

#[derive(Debug)]
enum Sender {
    H2(http2::SendRequest<Body>),
    H1(http1::SendRequest<Body>),
    H3(Box<Quic>),
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum NotSent {
    /// The connection was closed, without an error, before the request went out: it may be sent again.
    Closed(Failure),
    /// It may have gone out, or would fail again.
    Failed(Failure),
}

impl Dialer {
    /// `points` are those in `auth`.
    pub(crate) fn new(
        tls: Tls,
        auth: AuthConfig,
        overrides: Overrides,
        points: CodePoints,
    ) -> Result<Self, Failure> {
        let (quic, config, auth) = (tls.is_quic(), tls.config()?, Arc::new(auth));
        let wire = if quic {
            Wire::Quic(Box::new(QuicDialer::new(config, auth)?))
        } else {
            Wire::Tcp(Handshaker::new(Arc::new(config), auth))
        };
        Ok(Self { wire, overrides, points })
    }

    /// Connects to `origin`. `secured` is called once TLS is up, before anything that the extension's
    /// observer could see.
    pub(crate) async fn connect(
        &self,
        origin: &Origin,
        secured: impl FnOnce(&Facts),
    ) -> Result<Connection, Failure> {
        let begin = Instant::now();
        let addresses = self.overrides.addresses(origin.host(), origin.port()).await?;
        match &self.wire {
            Wire::Tcp(handshaker) => {
                self.connect_tcp(handshaker, origin, addresses, begin, secured).await
            }
            Wire::Quic(dialer) => {
                self.connect_quic(dialer, origin, addresses, begin, secured).await
            }
        }
    }

    async fn connect_quic(
        &self,
        dialer: &QuicDialer,
        origin: &Origin,
        addresses: Vec<SocketAddr>,
        begin: Instant,
        secured: impl FnOnce(&Facts),
    ) -> Result<Connection, Failure> {
        let line = dialer.dial(origin, addresses).await?;
        let time = begin.elapsed();
        let facts = Facts {
            protocol: Protocol::Http3,
            // QUIC has no other (RFC 9001, section 4.2).
            tls_version: names::version(rustls::ProtocolVersion::TLSv1_3),
            cipher_suite: None,
            remote: line.remote(),
            tcp_time: time,
            tls_time: time,
        };
        secured(&facts);
        let (quic, handle) = dialer.begin(origin, line).await?;
        let sender = Sender::H3(Box::new(quic));
        Ok(Connection { facts, handle, sender, driver: None, points: self.points, ended: None })
    }

    async fn connect_tcp(
        &self,
        handshaker: &Handshaker,
        origin: &Origin,
        addresses: Vec<SocketAddr>,
        begin: Instant,
        secured: impl FnOnce(&Facts),
    ) -> Result<Connection, Failure> {
        let tcp = open_tcp(origin, addresses).await?;
        let tcp_time = begin.elapsed();
        let remote = tcp.peer_addr().map_err(|error| unreachable(origin, &error))?;
        let (stream, handle) = handshaker
            .connect_to(tcp, origin.clone(), remote)
            .await
            .map_err(|error| tls_failure(origin, &error))?;
        let h2 = stream.alpn() == Some(b"h2");
        let tls = stream.tls();
        let suite = tls.negotiated_cipher_suite();
        let facts = Facts {
            protocol: if h2 { Protocol::Http2 } else { Protocol::Http1 },
            tls_version: tls.protocol_version().map(names::version).unwrap_or_default(),
            cipher_suite: suite.map(names::cipher_suite),
            remote,
            tcp_time,
            tls_time: begin.elapsed(),
        };
        secured(&facts);
        let (sender, driver) = if h2 { start_h2(stream).await } else { start_h1(stream).await }
            .map_err(|error| failure(&error, None))?;
        let driver = Some(driver);
        Ok(Connection { facts, handle, sender, driver, points: self.points, ended: None })
    }
}

async fn open_tcp(origin: &Origin, addresses: Vec<SocketAddr>) -> Result<TcpStream, Failure> {
    let mut refused = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(|error| unreachable(origin, &error))?;
                return Ok(stream);
            }
            Err(error) => refused = Some(error),
        }
    }
    let refused = refused.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
    Err(unreachable(origin, &refused))
}

type Driver = JoinHandle<Result<(), hyper::Error>>;

async fn start_h2(stream: ClientStream<TcpStream>) -> Result<(Sender, Driver), hyper::Error> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .max_frame_size(MAX_FRAME_SIZE)
        .handshake(TokioIo::new(stream))
        .await?;
    Ok((Sender::H2(sender), tokio::spawn(connection)))
}

async fn start_h1(stream: ClientStream<TcpStream>) -> Result<(Sender, Driver), hyper::Error> {
    let (sender, connection) =
        http1::Builder::new().preserve_header_case(true).handshake(TokioIo::new(stream)).await?;
    Ok((Sender::H1(sender), tokio::spawn(connection)))
}

impl Connection {
    /// Waits until a request could be sent; false if none can any more.
    pub(crate) async fn is_ready(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        match &mut self.sender {
            Sender::H2(sender) => sender.ready().await.is_ok(),
            Sender::H1(sender) => sender.ready().await.is_ok(),
            Sender::H3(quic) => quic.is_open(),
        }
    }

    /// Sends a request and waits for the head of its response.
    pub(crate) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<ResponseBody>, NotSent> {
        let answer = match &mut self.sender {
            Sender::H2(sender) => sender.try_send_request(request).await,
            Sender::H1(sender) => sender.try_send_request(request).await,
            Sender::H3(quic) => match quic.send(request).await {
                Ok(response) => return Ok(response),
                Err(error) => return Err(self.not_sent_over_quic(&error).await),
            },
        };
        match answer {
            Ok(response) => {
                Ok(response.map(|body: Incoming| body.map_err(TransferError::Tcp).boxed_unsync()))
            }
            Err(error) => Err(self.not_sent(error).await),
        }
    }

    async fn not_sent_over_quic(&mut self, error: &QuicError) -> NotSent {
        let unsent = matches!(error, QuicError::Stream(StreamError::RemoteClosing { .. }));
        let failure = self.explain_quic(error).await;
        if unsent { NotSent::Closed(failure) } else { NotSent::Failed(failure) }
    }

    async fn not_sent(&mut self, error: TrySendError<Request<Body>>) -> NotSent {
        let unsent = error.message().is_some();
        let failure = self.explain_tcp(error.error()).await;
        // After a connection error another try would only meet it again.
        let in_peace = self.ended.as_ref().is_none_or(Ended::in_peace);
        if unsent && in_peace { NotSent::Closed(failure) } else { NotSent::Failed(failure) }
    }

    /// What an error, before or within a response, means.
    pub(crate) async fn explain(&mut self, error: &TransferError) -> Failure {
        match error {
            TransferError::Tcp(error) => self.explain_tcp(error).await,
            TransferError::Quic(error) => self.explain_quic(error).await,
        }
    }

    async fn explain_quic(&mut self, error: &QuicError) -> Failure {
        let QuicError::Stream(error) = error else {
            return Failure::new(Exit::Http3, error);
        };
        match (&self.sender, of_connection(error)) {
            (Sender::H3(quic), Some(error)) => {
                let ended = quic.ended(error, &self.handle, &self.points).await;
                let failure = connection_failure(&ended);
                self.ended = Some(ended);
                failure
            }
            _ => stream_failure(error),
        }
    }

    async fn explain_tcp(&mut self, error: &hyper::Error) -> Failure {
        let closed = self.handle.closed_reason();
        if closed.is_none() && is_of_one_stream(error) {
            return failure(error, None);
        }
        let mut ended = Ended::by_error(error, closed.as_ref(), &self.points);
        if error.is_canceled()
            && let Some(Err(cause)) = result_of(self.driver.take()).await
        {
            // The connection ended before the request went out, and knows why.
            ended = Ended::by_error(&cause, self.handle.closed_reason().as_ref(), &self.points);
        }
        let failure = failure(error, Some(&ended));
        self.ended = Some(ended);
        failure
    }

    /// Closes, and tells how the connection ended.
    pub(crate) async fn close(self) -> Ended {
        let Self { facts, handle, sender, driver, points, ended } = self;
        if let Some(ended) = ended {
            if let Sender::H3(quic) = sender {
                quic.linger().await;
            }
            return ended;
        }
        if let Sender::H3(quic) = sender {
            return quic.close(&handle, &points).await;
        }
        let by_server = driver.as_ref().is_none_or(JoinHandle::is_finished);
        drop(sender);
        match result_of(driver).await {
            Some(Err(error)) => Ended::by_error(&error, handle.closed_reason().as_ref(), &points),
            Some(Ok(())) | None if by_server => Ended::by_server(),
            Some(Ok(())) | None => Ended::by_us(facts.protocol),
        }
    }
}

/// How the HTTP implementation ended, if it does within reasonable time.
async fn result_of(driver: Option<Driver>) -> Option<Result<(), hyper::Error>> {
    let mut driver = driver?;
    let result = tokio::time::timeout(FAREWELL, &mut driver).await;
    if result.is_err() {
        driver.abort();
    }
    result.ok()?.ok()
}

fn unreachable(origin: &Origin, error: &io::Error) -> Failure {
    Failure::new(Exit::Connect, format!("no connection to {origin}: {error}"))
}

fn tls_failure(origin: &Origin, error: &io::Error) -> Failure {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(reason)) => Failure::new(
            Exit::PeerCertificate,
            format!("the certificate of {origin} is not acceptable: {reason}"),
        ),
        _ => Failure::new(Exit::Tls, format!("the TLS handshake with {origin} failed: {error}")),
    }
}
