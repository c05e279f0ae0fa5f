//! A connection from its addresses to its end: TCP, TLS, the extension, HTTP on top.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use countersign::CodePoints;
use countersign::client::{AuthConfig, ClientHandle, ClientStream, Handshaker, Origin};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::ended::{Ended, failure, is_of_one_stream};
use super::{Overrides, Tls};
use crate::failure::{Exit, Failure};
use crate::names;

/// The body of a request: all of it is in memory.
pub(crate) type Body = Full<Bytes>;

/// The largest frame to take, so that requests with many authorities' names fit.
const MAX_FRAME_SIZE: u32 = 64 * 1024;
/// How long a connection gets to say goodbye.
const FAREWELL: Duration = Duration::from_secs(1);

/// Opens connections.
#[derive(Debug)]
pub(crate) struct Dialer {
    handshaker: Handshaker,
    overrides: Overrides,
    points: CodePoints,
}

/// What is known of a connection once TLS is up.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// `h2` or `http/1.1`.
    pub(crate) protocol: &'static str,
    /// As in `TLSv1.3`.
    pub(crate) tls_version: String,
    /// As in `TLS_AES_128_GCM_SHA256`.
    pub(crate) cipher_suite: String,
    /// The server's address.
    pub(crate) remote: SocketAddr,
    /// How long TCP took.
    pub(crate) tcp_time: Duration,
    /// How long TCP and TLS took together.
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
        let handshaker = Handshaker::new(Arc::new(tls.config()?), Arc::new(auth));
        Ok(Self { handshaker, overrides, points })
    }

    /// Connects to `origin`. `secured` is called once TLS is up, before anything that the extension's
    /// observer could see.
    pub(crate) async fn connect(
        &self,
        origin: &Origin,
        secured: impl FnOnce(&Facts),
    ) -> Result<Connection, Failure> {
        let begin = Instant::now();
        let tcp = self.connect_tcp(origin).await?;
        let tcp_time = begin.elapsed();
        let remote = tcp.peer_addr().map_err(|error| unreachable(origin, &error))?;
        let (stream, handle) = self
            .handshaker
            .connect(tcp, origin.clone())
            .await
            .map_err(|error| tls_failure(origin, &error))?;
        let h2 = stream.alpn() == Some(b"h2");
        let tls = stream.tls();
        let suite = tls.negotiated_cipher_suite();
        let facts = Facts {
            protocol: if h2 { "h2" } else { "http/1.1" },
            tls_version: tls.protocol_version().map(names::version).unwrap_or_default(),
            cipher_suite: suite.map(names::cipher_suite).unwrap_or_default(),
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

    async fn connect_tcp(&self, origin: &Origin) -> Result<TcpStream, Failure> {
        let mut refused = None;
        for address in self.overrides.addresses(origin.host(), origin.port()).await? {
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
    /// Whether it is HTTP/2.
    pub(crate) fn is_h2(&self) -> bool {
        matches!(self.sender, Sender::H2(_))
    }

    /// Waits until a request could be sent; false if none can any more.
    pub(crate) async fn is_ready(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        match &mut self.sender {
            Sender::H2(sender) => sender.ready().await.is_ok(),
            Sender::H1(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Sends a request and waits for the head of its response.
    pub(crate) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, NotSent> {
        let answer = match &mut self.sender {
            Sender::H2(sender) => sender.try_send_request(request).await,
            Sender::H1(sender) => sender.try_send_request(request).await,
        };
        match answer {
            Ok(response) => Ok(response),
            Err(error) => Err(self.not_sent(error).await),
        }
    }

    async fn not_sent(&mut self, error: TrySendError<Request<Body>>) -> NotSent {
        let unsent = error.message().is_some();
        let failure = self.explain(error.error()).await;
        // After a connection error another try would only meet it again.
        let in_peace = self.ended.as_ref().is_none_or(|ended| ended.code.unwrap_or(0) == 0);
        if unsent && in_peace { NotSent::Closed(failure) } else { NotSent::Failed(failure) }
    }

    /// What an error, before or within a response, means.
    pub(crate) async fn explain(&mut self, error: &hyper::Error) -> Failure {
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
        let Self { handle, sender, driver, points, ended, .. } = self;
        if let Some(ended) = ended {
            return ended;
        }
        let h2 = matches!(sender, Sender::H2(_));
        let by_server = driver.as_ref().is_none_or(JoinHandle::is_finished);
        drop(sender);
        match result_of(driver).await {
            Some(Err(error)) => Ended::by_error(&error, handle.closed_reason().as_ref(), &points),
            Some(Ok(())) | None if by_server => Ended::by_server(),
            Some(Ok(())) | None => Ended::by_us(h2),
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
