//! The admin listener: whether the gateway is alive and ready, for whoever watches over it.
//!
//! Plain HTTP/1.1, GET and HEAD only. It answers until the last connection is gone, so that draining is seen.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use countersign_trust::RevocationList;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::UnixTime;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::live::Live;
use crate::metrics;
use crate::reload::Reloader;
use crate::server::GatewayError;
use crate::upstream::ServerState;

/// Connections at a time; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;
/// The time for one connection, from its first byte to its last.
const CONNECTION_TIME: Duration = Duration::from_secs(30);
/// How long to wait after an accept that failed, mostly for file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listener, before it is served.
pub(crate) struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

/// What is told about.
pub(crate) struct Watched {
    pub(crate) live: Arc<Live>,
    pub(crate) reloader: Reloader,
    /// Where requests are served: over TCP, and over UDP.
    pub(crate) tcp: SocketAddr,
    pub(crate) udp: Option<SocketAddr>,
    /// Set once no more connections are taken.
    pub(crate) draining: AtomicBool,
}

impl Admin {
    /// Listens on `address`; port 0 stands for any free one.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, GatewayError> {
        let failed = |source| GatewayError::ListenAdmin { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The address with the port that it got.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is dropped.
    pub(crate) async fn serve(self, watched: Arc<Watched>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                    match accepted {
                        Ok((stream, _)) => drop(connections.spawn(answer_all(stream, Arc::clone(&watched)))),
                        Err(error) => {
                            tracing::warn!(%error, "an admin connection could not be accepted");
                            sleep_until(Instant::now() + ACCEPT_PAUSE).await;
                        }
                    }
                }
            }
        }
    }
}

async fn answer_all(stream: TcpStream, watched: Arc<Watched>) {
    let service = service_fn(|request: Request<_>| {
        std::future::ready(Ok::<_, Infallible>(answer(&request, &watched)))
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(CONNECTION_TIME);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection failed"),
    }
}

fn answer<B>(request: &Request<B>, watched: &Watched) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD.\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "alive\n"),
        "/readyz" => readiness(watched),
        "/metrics" => match metrics::render(&watched.live, &watched.reloader) {
            Ok(body) => typed(StatusCode::OK, metrics::MEDIA_TYPE, Bytes::from(body)),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "The metrics cannot be written.\n"),
        },
        _ => text(StatusCode::NOT_FOUND, "There are /healthz, /readyz and /metrics.\n"),
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", Bytes::from_static(body.as_bytes()))
}

fn typed(status: StatusCode, media_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// All times in seconds since 1970.
#[derive(Serialize)]
struct Readiness<'a> {
    ready: bool,
    /// Why not.
    reasons: &'a [&'static str],
    listeners: Listeners,
    /// The servers of all upstreams.
    servers: Vec<ServerState>,
    revocation_lists: Vec<ListState<'a>>,
    configuration: Configuration,
}

#[derive(Serialize)]
struct Listeners {
    tcp: SocketAddr,
    udp: Option<SocketAddr>,
}

#[derive(Serialize)]
struct ListState<'a> {
    credential: &'a str,
    file: &'a str,
    next_update: u64,
    stale: bool,
}

#[derive(Serialize)]
struct Configuration {
    generation: u64,
    loaded_at: u64,
    /// How many later ones were refused, since the start.
    refusals: u64,
    failure: Option<Failure>,
}

#[derive(Serialize)]
struct Failure {
    at: u64,
    reason: String,
}

/// Not ready is only who takes no connections. Servers that are left out, a stale list and a refused configuration are
/// told: on their account all replicas would leave at once, and take along the routes that do not need them.
fn readiness(watched: &Watched) -> Response<Full<Bytes>> {
    let reasons: &[_] = if watched.draining.load(Ordering::SeqCst) { &["draining"] } else { &[] };
    let (state, now, reload) = (watched.live.state(), UnixTime::now(), watched.reloader.status());
    let list = |(credential, list)| state_of(credential, list, now);
    let document = Readiness {
        ready: reasons.is_empty(),
        reasons,
        listeners: Listeners { tcp: watched.tcp, udp: watched.udp },
        servers: state.shared.upstreams.servers(),
        revocation_lists: state.revocation_lists().map(list).collect(),
        configuration: Configuration {
            generation: reload.generation,
            loaded_at: reload.loaded_at.as_secs(),
            refusals: reload.refusals,
            failure: reload.failure.map(|(at, reason)| Failure { at: at.as_secs(), reason }),
        },
    };
    let status = if document.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Strings and numbers always serialise.
    let body = serde_json::to_vec(&document).unwrap_or_default();
    typed(status, "application/json", Bytes::from(body))
}

fn state_of<'a>(credential: &'a str, list: &'a RevocationList, now: UnixTime) -> ListState<'a> {
    ListState {
        credential,
        file: list.label(),
        next_update: list.next_update().as_secs(),
        stale: list.is_stale(now),
    }
}
