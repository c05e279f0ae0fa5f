//! Backends: HTTP/1.1 (`http://`) and HTTP/2 without TLS (`h2c://`), connections kept and shared.
//!
//! Bodies stream through with the transports' own back-pressure. A request is sent again only where
//! nothing of it was sent before.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::body::{Received, Relayed};
use crate::problem::{Kind, Problem};
use crate::route::RouteTable;

/// How long a backend may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused HTTP/1.1 connection is kept. Shorter than the 60 s that many servers keep
/// theirs, so that it is this side that closes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// How often, and how long, an HTTP/2 backend is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

const NOT_IN_TIME: &str = "The upstream did not accept the connection in time.";

/// What is sent to a backend.
pub(crate) type UpstreamBody = Relayed<Received>;

/// How to speak to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Protocol {
    Http1,
    Http2,
}

/// Where a route's requests go: the value of `upstream`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    protocol: Protocol,
    /// With the port.
    authority: Authority,
}

/// Why a text is no upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    /// No URL at all.
    #[error("an upstream is a URL such as `http://127.0.0.1:9000` or `h2c://127.0.0.1:9000`")]
    NotAUrl,
    /// TLS.
    #[error("TLS to an upstream is not available in this version; use `http://` or `h2c://`")]
    Tls,
    /// Something after the authority.
    #[error("an upstream has no path and no query: the request's own are used")]
    Path,
    /// A user name.
    #[error("an upstream has no user name and no password")]
    UserInfo,
    /// A port that is none.
    #[error("an upstream's port is a number from 1 to 65535")]
    Port,
}

impl Target {
    /// Reads an upstream's URL.
    pub(crate) fn parse(text: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = text.split_once("://").ok_or(TargetError::NotAUrl)?;
        let protocol = match scheme {
            "http" => Protocol::Http1,
            "h2c" => Protocol::Http2,
            "https" | "h2" => return Err(TargetError::Tls),
            _ => return Err(TargetError::NotAUrl),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(TargetError::Path);
        }
        if rest.contains('@') {
            return Err(TargetError::UserInfo);
        }
        let authority: Authority = rest.parse().map_err(|_| TargetError::NotAUrl)?;
        if authority.host().is_empty() {
            return Err(TargetError::NotAUrl);
        }
        // What follows the host is `:port`, `:`, or nothing.
        let after_host = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let authority = match (after_host, authority.port_u16()) {
            ("", _) => format!("{rest}:80").parse().map_err(|_| TargetError::NotAUrl)?,
            (_, Some(port)) if port != 0 => authority,
            _ => return Err(TargetError::Port),
        };
        Ok(Self { protocol, authority })
    }

    /// The HTTP version spoken there.
    pub(crate) fn version(&self) -> Version {
        match self.protocol {
            Protocol::Http1 => Version::HTTP_11,
            Protocol::Http2 => Version::HTTP_2,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Http1 => "http",
            Protocol::Http2 => "h2c",
        };
        write!(f, "{scheme}://{}", self.authority)
    }
}

/// The connections to all backends.
pub(crate) struct Upstreams {
    http1: Client<HttpConnector, UpstreamBody>,
    http2: HashMap<Authority, Http2Pool>,
}

impl Upstreams {
    /// Prepares for the backends of `routes`; connects to none yet.
    pub(crate) fn new(routes: &RouteTable) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let http1 = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        let http2 = routes
            .iter()
            .filter(|route| route.upstream.protocol == Protocol::Http2)
            .map(|route| (route.upstream.authority.clone(), Http2Pool::default()))
            .collect();
        Self { http1, http2 }
    }

    /// Sends a request whose fields are ready, for `path` and the `authority` that the client
    /// named.
    pub(crate) async fn send(
        &self,
        target: &Target,
        authority: &HeaderValue,
        path: PathAndQuery,
        mut request: Request<UpstreamBody>,
    ) -> Result<Response<Incoming>, Problem> {
        *request.version_mut() = target.version();
        match target.protocol {
            Protocol::Http1 => {
                // The URI says where to connect to; the backend sees the path and the client's
                // authority.
                request.headers_mut().insert(HOST, authority.clone());
                *request.uri_mut() = uri(target.authority.clone(), path)?;
                self.http1.request(request).await.map_err(|error| problem(&error))
            }
            Protocol::Http2 => {
                request.headers_mut().remove(HOST);
                let named = Authority::try_from(authority.as_bytes())
                    .map_err(|_| Problem::new(Kind::BadRequest, "The authority is malformed."))?;
                *request.uri_mut() = uri(named, path)?;
                let pool = self.http2.get(&target.authority).ok_or_else(|| {
                    Problem::new(Kind::UpstreamUnreachable, "The upstream is not known.")
                })?;
                pool.send(&target.authority, request).await
            }
        }
    }
}

fn uri(authority: Authority, path: PathAndQuery) -> Result<Uri, Problem> {
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(authority)
        .path_and_query(path)
        .build()
        .map_err(|_| Problem::new(Kind::BadRequest, "The request target is malformed."))
}

/// One shared HTTP/2 connection to a backend.
#[derive(Default)]
struct Http2Pool {
    connection: Mutex<Option<http2::SendRequest<UpstreamBody>>>,
}

impl Http2Pool {
    async fn send(
        &self,
        authority: &Authority,
        mut request: Request<UpstreamBody>,
    ) -> Result<Response<Incoming>, Problem> {
        // A kept connection may be closing just now. What was not sent over it comes back and
        // goes over a fresh one.
        let (mut sender, fresh) = in_time(self.connection(authority)).await?;
        if !fresh {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(problem(error.error())),
                },
            }
            sender = in_time(self.reconnect(authority, &sender)).await?;
        }
        sender.send_request(request).await.map_err(|error| problem(&error))
    }

    /// The connection, and whether it was made for this call.
    async fn connection(
        &self,
        authority: &Authority,
    ) -> Result<(http2::SendRequest<UpstreamBody>, bool), Problem> {
        let mut kept = self.connection.lock().await;
        if let Some(sender) = kept.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok((sender.clone(), false));
        }
        let sender = connect(authority).await?;
        *kept = Some(sender.clone());
        Ok((sender, true))
    }

    /// A connection other than the one that failed, which is forgotten.
    async fn reconnect(
        &self,
        authority: &Authority,
        failed: &http2::SendRequest<UpstreamBody>,
    ) -> Result<http2::SendRequest<UpstreamBody>, Problem> {
        if failed.is_closed() {
            return Ok(self.connection(authority).await?.0);
        }
        let sender = connect(authority).await?;
        *self.connection.lock().await = Some(sender.clone());
        Ok(sender)
    }
}

/// Bounds the time for a connection, including the time that others take to make it.
async fn in_time<T>(connecting: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    timeout(CONNECT_TIMEOUT, connecting)
        .await
        .unwrap_or_else(|_| Err(Problem::new(Kind::UpstreamTimeout, NOT_IN_TIME)))
}

async fn connect(authority: &Authority) -> Result<http2::SendRequest<UpstreamBody>, Problem> {
    let stream = TcpStream::connect(authority.as_str()).await.map_err(|error| problem(&error))?;
    stream.set_nodelay(true).map_err(|error| problem(&error))?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| problem(&error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an HTTP/2 connection to an upstream ended");
        }
    });
    Ok(sender)
}

/// What an error on the way to the backend means. The client is told no address.
fn problem(error: &(dyn StdError + 'static)) -> Problem {
    tracing::warn!(error = %Chain(error), "an upstream failed");
    let causes = || std::iter::successors(Some(error), |error| (**error).source());
    let io_kind = causes().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    let connecting = causes()
        .filter_map(|cause| cause.downcast_ref::<hyper_util::client::legacy::Error>())
        .any(hyper_util::client::legacy::Error::is_connect)
        || error.is::<io::Error>();
    let malformed = causes()
        .filter_map(|cause| cause.downcast_ref::<hyper::Error>())
        .any(hyper::Error::is_parse);
    let (kind, detail) = if io_kind == Some(io::ErrorKind::ConnectionRefused) {
        (Kind::UpstreamRefused, "The upstream refused the connection.")
    } else if connecting && io_kind == Some(io::ErrorKind::TimedOut) {
        (Kind::UpstreamTimeout, NOT_IN_TIME)
    } else if connecting {
        (Kind::UpstreamUnreachable, "The upstream cannot be reached.")
    } else if malformed {
        (Kind::UpstreamProtocol, "The upstream's answer is not valid HTTP.")
    } else {
        (Kind::UpstreamClosed, "The upstream closed the connection before it had answered.")
    };
    Problem::new(kind, detail)
}

/// An error with its causes, in one line.
struct Chain<'a>(&'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_urls_without_a_path() {
        for (text, shown) in [
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("http://backend/", "http://backend:80"),
            ("h2c://[::1]:9000", "h2c://[::1]:9000"),
        ] {
            assert_eq!(Target::parse(text).map(|target| target.to_string()).as_deref(), Ok(shown));
        }
        for (text, error) in [
            ("127.0.0.1:9000", TargetError::NotAUrl),
            ("ftp://x", TargetError::NotAUrl),
            ("http://", TargetError::NotAUrl),
            ("http://a b", TargetError::NotAUrl),
            ("https://x", TargetError::Tls),
            ("http://x/y", TargetError::Path),
            ("http://x?y", TargetError::Path),
            ("http://u:p@x", TargetError::UserInfo),
            ("http://x:0", TargetError::Port),
            ("http://x:", TargetError::Port),
            ("http://x:99999", TargetError::Port),
        ] {
            assert_eq!(Target::parse(text), Err(error), "{text}");
        }
    }
}
