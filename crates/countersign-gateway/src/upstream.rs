//! Backends: HTTP/1.1 (`http://`), HTTP/2 without TLS (`h2c://`), and either over TLS (`https://`);
//! connections are kept and shared.
//!
//! Of several servers the one with the fewest requests is asked; one that fails again and again, or that
//! fails its health checks, is left out. Bodies stream through with the transports' own back-pressure.

mod answered;
mod connect;
mod failure;
mod health;
mod replay;
mod server;
mod settings;
mod state;
mod status;
mod target;

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri, Version};
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) use self::answered::Answered;
use self::failure::Failure;
use self::replay::{Lent, Progress, Replay};
use self::server::{InFlight, Server};
pub(crate) use self::settings::{HealthCheck, Settings, Tls, Versions};
pub(crate) use self::state::ServerState;
use self::target::Protocol;
pub(crate) use self::target::Target;
use crate::body::{Received, Relayed};
use crate::problem::{Kind, Problem};
use crate::route::RouteTable;

/// How much of a body is kept to send it again, in bytes.
const REPLAYED: usize = 64 * 1024;
/// How long a failed attempt may take to give the body back.
const RETURN_TIMEOUT: Duration = Duration::from_secs(1);

/// What is sent to a backend.
/// Boxed, since requests are moved about on their way.
type UpstreamBody = Box<Lent<Relayed<Received>>>;

/// Where a route's requests go: the value of `upstream`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upstream(Arc<Definition>);

#[derive(Debug)]
struct Definition {
    /// Of the table, if it is one.
    name: Option<Arc<str>>,
    servers: Vec<Target>,
    settings: Arc<Settings>,
    /// Where it is among those of its configuration, once it is served.
    place: OnceLock<usize>,
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.servers == other.servers && self.settings == other.settings
    }
}

impl Eq for Definition {}

impl Upstream {
    /// These servers, as they are spoken to without a table; `None` if there are none or they have different
    /// schemes.
    pub(crate) fn new(servers: Vec<Target>) -> Option<Self> {
        Self::named(None, servers, Settings::default())
    }

    /// The same for a table with this name.
    pub(crate) fn named(
        name: Option<Arc<str>>,
        servers: Vec<Target>,
        settings: Settings,
    ) -> Option<Self> {
        let protocol = servers.first()?.protocol;
        let alike = servers.iter().all(|server| server.protocol == protocol);
        let (settings, place) = (Arc::new(settings), OnceLock::new());
        alike.then(|| Self(Arc::new(Definition { name, servers, settings, place })))
    }

    fn versions(&self) -> Versions {
        match (self.0.servers.first().map(|server| server.protocol), &self.0.settings.tls) {
            (Some(Protocol::Http2), _) => Versions::Http2,
            (Some(Protocol::Tls), Some(tls)) => tls.versions,
            _ => Versions::Http1,
        }
    }

    /// The highest HTTP version that may be spoken there.
    pub(crate) fn version(&self) -> Version {
        if self.versions() == Versions::Http1 { Version::HTTP_11 } else { Version::HTTP_2 }
    }

    /// The version that is spoken there for a request with `Upgrade`.
    pub(crate) fn version_for_upgrade(&self) -> Version {
        if self.versions() == Versions::Http2 { Version::HTTP_2 } else { Version::HTTP_11 }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<String> = self.0.servers.iter().map(Target::to_string).collect();
        let servers = servers.join(", ");
        match &self.0.name {
            Some(name) => write!(f, "{name} ({servers})"),
            None => f.write_str(&servers),
        }
    }
}

/// The upstreams of one configuration.
pub(crate) struct Upstreams(Vec<Group>);

/// The servers of one upstream.
struct Group {
    /// The name of its table, if it is one.
    name: Option<Arc<str>>,
    settings: Arc<Settings>,
    servers: Vec<Arc<Server>>,
    turn: AtomicUsize,
}

impl Upstreams {
    /// Prepares for the backends of `routes`. A server that `previous` has in the same words is taken over with
    /// its connections and all that is known about it; any other one counts as healthy. Begins with health
    /// checks, and connects to none otherwise.
    pub(crate) fn new(routes: &RouteTable, previous: Option<&Self>) -> Self {
        let mut known: Vec<Arc<Server>> = previous.iter().flat_map(|one| one.all()).collect();
        let mut groups: Vec<Group> = Vec::new();
        for route in routes.iter() {
            let Definition { name, servers, settings, place } = &*route.upstream.0;
            let shared = groups.iter().position(|group| name.is_some() && group.name == *name);
            if let Some(index) = shared {
                let _again = place.set(index);
                continue;
            }
            let mut server = |target: &Target| {
                let same = |server: &&Arc<Server>| server.is(name.as_ref(), target, settings);
                if let Some(server) = known.iter().find(same) {
                    return Arc::clone(server);
                }
                let server = Server::start(name.clone(), target.clone(), Arc::clone(settings));
                known.push(Arc::clone(&server));
                server
            };
            let _again = place.set(groups.len());
            groups.push(Group {
                name: name.clone(),
                settings: Arc::clone(settings),
                servers: servers.iter().map(&mut server).collect(),
                turn: AtomicUsize::new(0),
            });
        }
        Self(groups)
    }

    /// Lets go of the servers that `next` does not have.
    pub(crate) fn retire(&self, next: &Self) {
        let kept: Vec<_> = next.all().collect();
        for server in self.all().filter(|one| !kept.iter().any(|other| Arc::ptr_eq(one, other))) {
            server.retire();
        }
    }

    fn all(&self) -> impl Iterator<Item = Arc<Server>> {
        self.0.iter().flat_map(Group::all).map(|(_, server)| Arc::clone(server))
    }

    /// Sends a request whose fields are ready, for `path` and the `authority` that the client
    /// named.
    ///
    /// Another server, or the same over another connection, gets it where the first one certainly processed
    /// nothing of it, or where repeating it does no harm and what was taken of the body is still there.
    pub(crate) async fn send(
        &self,
        upstream: &Upstream,
        authority: &HeaderValue,
        path: PathAndQuery,
        request: Request<Relayed<Received>>,
    ) -> Result<Response<Answered>, Problem> {
        let group = upstream.0.place.get().and_then(|place| self.0.get(*place));
        let unknown = || Problem::new(Kind::UpstreamUnreachable, "The upstream is not known.");
        let group = group.ok_or_else(unknown)?;
        let Settings { first_byte_timeout, idle_timeout, mut retries, .. } = *group.settings;
        let (mut parts, body) = request.into_parts();
        // Every connection takes what it needs of these.
        parts.headers.insert(HOST, authority.clone());
        parts.uri = Uri::from(path);
        let mut body = Replay::new(body, if retries > 0 { REPLAYED } else { 0 });
        let mut tried: Vec<Arc<Server>> = Vec::new();
        loop {
            let server = group.choose(&tried).ok_or_else(unknown)?;
            let again = was_tried(&tried, server);
            let mut in_flight = InFlight::begin(server);
            let (lent, loan, progress) = body.lend();
            let attempt = Request::from_parts(parts.clone(), Box::new(lent));
            let attempt = pin!(server.send(attempt, again));
            let failure =
                match in_time(attempt, &progress, idle_timeout, first_byte_timeout).await {
                    Ok((response, connection)) => {
                        server.status.answered();
                        in_flight.over(connection);
                        return Ok(response
                            .map(|body| Answered::new(body, idle_timeout, progress, in_flight)));
                    }
                    Err(failure) => failure,
                };
            // A client must not be able to get a server left out for others.
            let by_client = failure.by_client || progress.is_broken();
            if !by_client && let Some(time) = server.status.failed(Instant::now()) {
                tracing::warn!(server = %server.endpoint.target, ?time, "a server of an upstream is left out");
            }
            if !again {
                tried.push(Arc::clone(server));
            }
            let elsewhere = tried.len() < group.servers.len();
            let may = retries > 0
                && !by_client
                && failure.may_repeat()
                && (failure.unsent || parts.method.is_idempotent())
                && (elsewhere || failure.refused || failure.was_kept);
            if !may {
                return Err(failure.problem);
            }
            retries -= 1;
            match timeout(RETURN_TIMEOUT, loan.back()).await {
                Ok(Some(returned)) => body = returned,
                Ok(None) | Err(_) => return Err(failure.problem),
            }
        }
    }
}

impl Group {
    fn all(&self) -> impl Iterator<Item = (&Self, &Arc<Server>)> {
        self.servers.iter().map(move |server| (self, server))
    }

    /// The server with the fewest requests, those that are alike in turn. Others than `tried` and
    /// healthy ones come first, but one is always found.
    fn choose(&self, tried: &[Arc<Server>]) -> Option<&Arc<Server>> {
        if let [only] = &*self.servers {
            return Some(only);
        }
        let count = self.servers.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % count.max(1);
        self.servers.iter().cycle().skip(first).take(count).min_by_key(|server| {
            let Server { status, .. } = &***server;
            let ejected = status.ejected_until().is_some();
            (was_tried(tried, server), status.is_down(), ejected, status.in_flight())
        })
    }
}

fn was_tried(tried: &[Arc<Server>], server: &Arc<Server>) -> bool {
    tried.iter().any(|tried| Arc::ptr_eq(tried, server))
}

/// Bounds the time until the response begins.
async fn in_time<T>(
    mut sending: Pin<&mut impl Future<Output = Result<T, Failure>>>,
    progress: &Progress,
    idle: Duration,
    first_byte: Duration,
) -> Result<T, Failure> {
    loop {
        let deadline = progress.deadline(idle, first_byte);
        match timeout_at(deadline, sending.as_mut()).await {
            Ok(outcome) => return outcome,
            Err(_) if progress.deadline(idle, first_byte) > deadline => {}
            Err(_) => return Err(Failure::late(progress.is_awaited())),
        }
    }
}
