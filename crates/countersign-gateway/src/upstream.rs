//! Backends: HTTP/1.1 (`http://`) and HTTP/2 without TLS (`h2c://`), connections kept and shared.
//!
//! Of several servers the one with the fewest requests is asked; one that fails again and again is left
//! out for a while. Bodies stream through with the transports' own back-pressure.

mod answered;
mod failure;
mod http2;
mod replay;
mod server;
mod state;
mod target;

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) use self::answered::Answered;
use self::failure::Failure;
use self::http2::Http2Pool;
use self::replay::{Lent, Progress, Replay};
use self::server::Server;
pub(crate) use self::state::ServerState;
use self::target::Protocol;
pub(crate) use self::target::Target;
use crate::body::{Received, Relayed};
use crate::problem::{Kind, Problem};
use crate::route::RouteTable;

/// How long a backend may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to begin a response once it has the request.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long bodies may stand still.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an unused HTTP/1.1 connection is kept. Shorter than the 60 s that many servers keep
/// theirs, so that it is this side that closes.
const POOL_TIMEOUT: Duration = Duration::from_secs(50);
/// How much of a body is kept to send it again, in bytes.
const REPLAYED: usize = 64 * 1024;
/// How long a failed attempt may take to give the body back.
const RETURN_TIMEOUT: Duration = Duration::from_secs(1);

/// What is sent to a backend.
type UpstreamBody = Lent<Relayed<Received>>;

/// Where a route's requests go: the value of `upstream`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Upstream(Vec<Target>);

impl Upstream {
    /// These servers; `None` if there are none or they speak different versions.
    pub(crate) fn new(servers: Vec<Target>) -> Option<Self> {
        let version = servers.first()?.version();
        servers.iter().all(|server| server.version() == version).then_some(Self(servers))
    }

    /// The HTTP version spoken there.
    pub(crate) fn version(&self) -> Version {
        self.0.first().map_or(Version::HTTP_11, Target::version)
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<String> = self.0.iter().map(Target::to_string).collect();
        f.write_str(&servers.join(", "))
    }
}

/// The connections to all backends, and what is known about them.
pub(crate) struct Upstreams {
    http1: Client<HttpConnector, UpstreamBody>,
    http2: HashMap<Authority, Http2Pool>,
    servers: HashMap<Target, Arc<Server>>,
    turn: AtomicUsize,
}

impl Upstreams {
    /// Prepares for the backends of `routes`; connects to none yet.
    pub(crate) fn new(routes: &RouteTable) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let http1 = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_TIMEOUT)
            .build(connector);
        let targets = || routes.iter().flat_map(|route| route.upstream.0.iter());
        let http2 = targets()
            .filter(|target| target.protocol == Protocol::Http2)
            .map(|target| &target.authority)
            .map(|authority| {
                (authority.clone(), Http2Pool::new(authority.clone(), CONNECT_TIMEOUT))
            })
            .collect();
        let servers = targets().map(|target| (target.clone(), Arc::default())).collect();
        Self { http1, http2, servers, turn: AtomicUsize::new(0) }
    }

    /// Sends a request whose fields are ready, for `path` and the `authority` that the client
    /// named.
    ///
    /// A second server gets it where the first one certainly got nothing of it, or where repeating it
    /// does no harm and what was taken of the body is still there.
    pub(crate) async fn send(
        &self,
        upstream: &Upstream,
        authority: &HeaderValue,
        path: PathAndQuery,
        request: Request<Relayed<Received>>,
    ) -> Result<Response<Answered>, Problem> {
        let (parts, body) = request.into_parts();
        let repeatable = upstream.0.len() > 1;
        let mut body = Replay::new(body, if repeatable { REPLAYED } else { 0 });
        let mut tried = None;
        loop {
            let Some((target, server)) = self.choose(upstream, tried) else {
                return Err(Problem::new(Kind::UpstreamUnreachable, "The upstream is not known."));
            };
            let in_flight = server.begin();
            let (lent, loan, progress) = body.lend();
            let attempt = Request::from_parts(parts.clone(), lent);
            let sending = self.attempt(target, authority, path.clone(), attempt);
            let failure = match in_time(sending, &progress).await {
                Ok(response) => {
                    server.answered();
                    return Ok(
                        response.map(|body| Answered::new(body, IDLE_TIMEOUT, progress, in_flight))
                    );
                }
                Err(failure) => failure,
            };
            // A client must not be able to get a server left out for others.
            let by_client = failure.by_client || progress.is_broken();
            if !by_client && let Some(time) = server.failed(Instant::now()) {
                tracing::warn!(server = %target, ?time, "a server of an upstream is left out");
            }
            let again = tried.is_none()
                && repeatable
                && failure.may_repeat()
                && (failure.unsent || parts.method.is_idempotent());
            if !again {
                return Err(failure.problem);
            }
            match timeout(RETURN_TIMEOUT, loan.back()).await {
                Ok(Some(returned)) => body = returned,
                Ok(None) | Err(_) => return Err(failure.problem),
            }
            tried = Some(target);
        }
    }

    /// The server with the fewest requests, those that are alike in turn. Others than `tried` and
    /// healthy ones come first, but one is always found.
    fn choose<'a>(
        &'a self,
        upstream: &'a Upstream,
        tried: Option<&Target>,
    ) -> Option<(&'a Target, &'a Arc<Server>)> {
        let now = Instant::now();
        let count = upstream.0.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % count.max(1);
        let in_turn = upstream.0.iter().cycle().skip(first).take(count);
        in_turn.filter_map(|target| Some((target, self.servers.get(target)?))).min_by_key(
            |(target, server)| {
                (tried == Some(*target), !server.is_healthy(now), server.in_flight())
            },
        )
    }

    async fn attempt(
        &self,
        target: &Target,
        authority: &HeaderValue,
        path: PathAndQuery,
        mut request: Request<UpstreamBody>,
    ) -> Result<Response<Incoming>, Failure> {
        *request.version_mut() = target.version();
        match target.protocol {
            Protocol::Http1 => {
                // The URI says where to connect to; the backend sees the path and the client's
                // authority.
                request.headers_mut().insert(HOST, authority.clone());
                *request.uri_mut() = uri(target.authority.clone(), path)?;
                self.http1.request(request).await.map_err(|error| Failure::of(&error))
            }
            Protocol::Http2 => {
                request.headers_mut().remove(HOST);
                let named = Authority::try_from(authority.as_bytes())
                    .map_err(|_| malformed("The authority is malformed."))?;
                *request.uri_mut() = uri(named, path)?;
                let pool = self.http2.get(&target.authority).ok_or_else(Failure::not_accepted)?;
                pool.send(request).await
            }
        }
    }
}

/// Bounds the time until the response begins.
async fn in_time<T>(
    sending: impl Future<Output = Result<T, Failure>>,
    progress: &Progress,
) -> Result<T, Failure> {
    let mut sending = pin!(sending);
    loop {
        let deadline = progress.deadline(IDLE_TIMEOUT, FIRST_BYTE_TIMEOUT);
        match timeout_at(deadline, sending.as_mut()).await {
            Ok(outcome) => return outcome,
            Err(_) if progress.deadline(IDLE_TIMEOUT, FIRST_BYTE_TIMEOUT) > deadline => {}
            Err(_) => return Err(Failure::late(progress.is_awaited())),
        }
    }
}

fn malformed(detail: &str) -> Failure {
    Failure { problem: Problem::new(Kind::BadRequest, detail), unsent: false, by_client: true }
}

fn uri(authority: Authority, path: PathAndQuery) -> Result<Uri, Failure> {
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(authority)
        .path_and_query(path)
        .build()
        .map_err(|_| malformed("The request target is malformed."))
}
