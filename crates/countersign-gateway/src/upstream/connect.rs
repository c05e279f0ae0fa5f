//! New connections to a server: TCP, TLS where it is configured, and HTTP/1.1 or HTTP/2.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, TE};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::failure::Failure;
use super::settings::{Settings, Tls, Versions};
use super::target::{Protocol, Target};

/// How often, and how long, a server is asked over HTTP/2 whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How long a server's SETTINGS are waited for where something has to be in them.
const SETTINGS_TIMEOUT: Duration = Duration::from_secs(2);

/// Where to connect to, and how.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) target: Target,
    pub(super) settings: Arc<Settings>,
}

/// What requests go over. A body that is sent is a `B`.
#[derive(Debug)]
pub(super) enum Connection<B> {
    /// For one request at a time.
    Http1(http1::SendRequest<B>),
    /// Shared by all.
    Http2(http2::SendRequest<B>),
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Any requests.
    Requests,
    /// One with `Upgrade`: a server that speaks both versions is not offered HTTP/2.
    Upgrade,
    /// Extended CONNECT (RFC 8441), which the server has to announce.
    ExtendedConnect,
}

impl Endpoint {
    /// Whether all requests may go over one connection.
    pub(super) fn may_share(&self) -> bool {
        match (self.target.protocol, &self.settings.tls) {
            (Protocol::Http1, _) => false,
            (Protocol::Http2, _) => true,
            (Protocol::Tls, tls) => tls.as_ref().is_some_and(|tls| tls.versions != Versions::Http1),
        }
    }

    /// Connects.
    pub(super) async fn connect<B>(&self, purpose: Purpose) -> Result<Connection<B>, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let connecting = async {
            let stream = self.tcp().await.map_err(|error| Failure::connecting(&error))?;
            match (self.target.protocol, &self.settings.tls) {
                (Protocol::Http1, _) => http1(stream).await,
                (Protocol::Http2, _) => http2(stream, purpose).await,
                (Protocol::Tls, None) => Err(Failure::not_accepted()),
                (Protocol::Tls, Some(tls)) => self.over_tls(tls, stream, purpose).await,
            }
        };
        match timeout(self.settings.connect_timeout, connecting).await {
            Ok(outcome) => outcome.map_err(Failure::unsent),
            Err(_) => Err(Failure::not_accepted()),
        }
    }

    async fn over_tls<B>(
        &self,
        tls: &Tls,
        stream: TcpStream,
        purpose: Purpose,
    ) -> Result<Connection<B>, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let config = if purpose == Purpose::Upgrade { &tls.http1 } else { &tls.config };
        let name: Option<ServerName<'static>> =
            tls.server_name.clone().or_else(|| self.target.server_name());
        let name = name.ok_or_else(Failure::not_accepted)?;
        let stream = TlsConnector::from(Arc::clone(config))
            .connect(name, stream)
            .await
            .map_err(|error| Failure::connecting(&error))?;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => http2(stream, purpose).await,
            None if tls.versions == Versions::Http2 => http2(stream, purpose).await,
            _ => http1(stream).await,
        }
    }

    /// Tries all addresses, each with its share of the time that is left.
    async fn tcp(&self) -> io::Result<TcpStream> {
        let end = Instant::now() + self.settings.connect_timeout;
        let addresses: Vec<_> = lookup_host(self.target.authority.as_str()).await?.collect();
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        for (index, address) in addresses.iter().enumerate() {
            let now = Instant::now();
            let share = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let deadline = now + end.saturating_duration_since(now) / share;
            match timeout_at(deadline, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failed = error,
                Err(_) => failed = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failed)
    }

    /// Makes a request that was ready for either version fit for one: `Host` in HTTP/1.1, `:authority` in
    /// HTTP/2 (RFC 9113, section 8.3.1).
    fn fit<B>(&self, request: &mut Request<B>, version: Version) -> Result<(), Failure> {
        *request.version_mut() = version;
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        if version == Version::HTTP_2 {
            if let Some(host) = request.headers_mut().remove(HOST) {
                let authority = Authority::try_from(host.as_bytes());
                uri.authority = Some(authority.map_err(|_| Failure::malformed())?);
            }
            uri.scheme = Some(if self.target.is_tls() { Scheme::HTTPS } else { Scheme::HTTP });
        } else {
            if let Some(authority) = uri.authority.take() {
                let host = HeaderValue::try_from(authority.as_str());
                request.headers_mut().insert(HOST, host.map_err(|_| Failure::malformed())?);
            }
            uri.scheme = None;
            if self.may_share() {
                request.headers_mut().remove(TE);
            }
        }
        *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Failure::malformed())?;
        Ok(())
    }

    /// Sends a request over a connection to here; its `Host` may be a field or in its target.
    pub(super) async fn send<B>(
        &self,
        connection: &mut Connection<B>,
        mut request: Request<B>,
    ) -> Result<Response<Incoming>, Unanswered<B>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let version = match connection {
            Connection::Http1(_) => Version::HTTP_11,
            Connection::Http2(_) => Version::HTTP_2,
        };
        if let Err(failure) = self.fit(&mut request, version) {
            return Err(Unanswered { failure, request: None });
        }
        let sent = match connection {
            Connection::Http1(sender) => sender.try_send_request(request).await,
            Connection::Http2(sender) => sender.try_send_request(request).await,
        };
        sent.map_err(Unanswered::from)
    }
}

/// Why there is no response, and the request if nothing of it was sent.
#[derive(Debug)]
pub(super) struct Unanswered<B> {
    pub(super) failure: Failure,
    pub(super) request: Option<Request<B>>,
}

impl<B> From<TrySendError<Request<B>>> for Unanswered<B> {
    fn from(mut error: TrySendError<Request<B>>) -> Self {
        let request = error.take_message();
        let failure = Failure::of(error.error());
        let failure = if request.is_some() { failure.unsent() } else { failure };
        Self { failure, request }
    }
}

async fn http1<S, B>(stream: S) -> Result<Connection<B>, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| Failure::of(&error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "an HTTP/1.1 connection to an upstream ended");
        }
    });
    Ok(Connection::Http1(sender))
}

async fn http2<S, B>(stream: S, purpose: Purpose) -> Result<Connection<B>, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Failure::of(&error))?;
    if purpose == Purpose::ExtendedConnect {
        // It may be sent once the server's SETTINGS have it (RFC 8441, section 3).
        let announced = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(_) => Poll::Ready(false),
            Poll::Pending if connection.is_extended_connect_protocol_enabled() => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        });
        if !timeout(SETTINGS_TIMEOUT, announced).await.unwrap_or(false) {
            return Err(Failure::no_extended_connect());
        }
    }
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an HTTP/2 connection to an upstream ended");
        }
    });
    Ok(Connection::Http2(sender))
}
