//! One connection: its requests decided about and relayed, its idling bounded.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use countersign::server::{AuthHandle, Denied, Identity, ServerStream};
use countersign_proto::Rejection;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::UnixTime;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::body::Relayed;
use crate::caller::Caller;
use crate::headers;
use crate::policy::{self, Admission};
use crate::problem::{Denial, Kind, Problem};
use crate::route::RouteTable;
use crate::upstream::Upstreams;

/// What all connections share.
pub(crate) struct Shared {
    /// Which path goes where.
    pub(crate) routes: RouteTable,
    /// The backends.
    pub(crate) upstreams: Upstreams,
    /// Who this deployment is in `Proxy-Status`.
    pub(crate) proxy_name: String,
    /// HTTP/1.1 and HTTP/2 as they are served here; ALPN chooses.
    pub(crate) http1: auto::Builder<TokioExecutor>,
    pub(crate) http2: auto::Builder<TokioExecutor>,
    /// How long a connection may be without a request.
    pub(crate) idle_timeout: Duration,
    /// How long a connection that was told to end may take.
    pub(crate) closing_timeout: Duration,
}

type ResponseBody = Either<Full<Bytes>, Relayed<Incoming, Exchange>>;

/// Serves a connection until its end. `shutdown` changes when the gateway wants to end.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    stream: ServerStream<TcpStream>,
    auth: AuthHandle,
    client: IpAddr,
    mut shutdown: watch::Receiver<bool>,
) {
    let h2 = stream.alpn() == Some(b"h2");
    let activity = Arc::new(Activity::default());
    let session = Arc::new(Session { auth, client, callers: Mutex::default() });
    let service = service_fn(|request: Request<Incoming>| {
        let exchange = activity.begin();
        let (shared, session) = (Arc::clone(&shared), Arc::clone(&session));
        async move { Ok::<_, Infallible>(answer(&shared, &session, request, exchange).await) }
    });
    let builder = if h2 { &shared.http2 } else { &shared.http1 };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));

    let mut closing = false;
    let mut alarm = Instant::now() + shared.idle_timeout;
    loop {
        let end = tokio::select! {
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(%client, error = %error, "a connection failed");
                }
                return;
            }
            _ = shutdown.changed(), if !closing => true,
            () = sleep_until(alarm) => activity.idle_since().is_some_and(|since| {
                since.elapsed() >= shared.idle_timeout
            }),
        };
        if closing && activity.idle_since().is_some() {
            // It was told to end, nothing is in flight, and it is still there.
            return;
        }
        if end {
            connection.as_mut().graceful_shutdown();
            closing = true;
        }
        alarm = if closing {
            Instant::now() + shared.closing_timeout
        } else {
            activity.idle_since().unwrap_or_else(Instant::now) + shared.idle_timeout
        };
    }
}

async fn answer(
    shared: &Shared,
    session: &Session,
    request: Request<Incoming>,
    exchange: Exchange,
) -> Response<ResponseBody> {
    let (parts, body) = request.into_parts();
    let method = parts.method.clone();
    match relay(shared, session, parts, body, exchange).await {
        Ok(response) => response.map(Either::Right),
        Err(problem) => {
            tracing::info!(
                client = %session.client,
                %method,
                status = problem.status().as_u16(),
                kind = ?problem.kind,
                credentials = ?problem.credentials,
                "a request was refused"
            );
            problem.into_response(&method, &shared.proxy_name).map(Either::Left)
        }
    }
}

async fn relay(
    shared: &Shared,
    session: &Session,
    mut parts: Parts,
    body: Incoming,
    exchange: Exchange,
) -> Result<Response<Relayed<Incoming, Exchange>>, Problem> {
    let Admission { route, path, authority, callers } =
        policy::decide(&shared.routes, &parts, session, UnixTime::now).await?;

    tracing::debug!(
        client = %session.client,
        route = route.path,
        upstream = %route.upstream,
        "a request passes"
    );
    headers::prepare_request(
        &mut parts.headers,
        session.client,
        &authority,
        route.upstream.version(),
    );
    route.forward.apply(&callers, &mut parts.headers);
    let target = match parts.uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{}?{query}", path.as_str())),
        None => PathAndQuery::try_from(path.as_str()),
    };
    let target =
        target.map_err(|_| Problem::new(Kind::BadRequest, "The request target is malformed."))?;
    let mut request = Request::new(Relayed::new(body, headers::prepare_request_trailers, ()));
    *request.method_mut() = parts.method;
    *request.headers_mut() = parts.headers;

    let mut response = shared.upstreams.send(&route.upstream, &authority, target, request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Problem::new(
            Kind::UpstreamProtocol,
            "The upstream switched to a protocol that it was not asked for.",
        ));
    }
    headers::prepare_response(response.headers_mut());
    *response.version_mut() = Version::default();
    Ok(response.map(|body| Relayed::new(body, headers::prepare_response_trailers, exchange)))
}

/// What is known about the client of a connection.
struct Session {
    auth: AuthHandle,
    client: IpAddr,
    /// The facts about identities that were looked at before: each certificate is read once.
    callers: Mutex<Vec<(Identity, Arc<Caller>)>>,
}

impl Session {
    fn caller(&self, identity: &Identity) -> Result<Arc<Caller>, Rejection> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, caller)) = callers.iter().find(|(known, _)| known == identity) {
            return Ok(Arc::clone(caller));
        }
        let caller = Arc::new(Caller::read(identity.credential(), identity.chain())?);
        callers.retain(|(known, _)| known.credential() != identity.credential());
        callers.push((identity.clone(), Arc::clone(&caller)));
        Ok(caller)
    }
}

impl policy::Connection for Session {
    async fn require(&self, credential: &str) -> Result<Arc<Caller>, Denial> {
        match self.auth.require(credential).await {
            Ok(identity) => self.caller(&identity).map_err(Denial::Rejected),
            Err(Denied::Declined) => Err(Denial::Declined),
            Err(Denied::Rejected(rejection)) => Err(Denial::Rejected(rejection)),
            Err(Denied::Timeout | Denied::Closed) => Err(Denial::Timeout),
            Err(Denied::Missing | Denied::UnknownCredential) => Err(Denial::Missing),
        }
    }

    fn held(&self) -> Vec<Arc<Caller>> {
        let identities = self.auth.identities();
        identities.iter().filter_map(|identity| self.caller(identity).ok()).collect()
    }
}

/// Counts a connection's exchanges, to know when it idles.
#[derive(Debug)]
struct Activity(Mutex<(usize, Instant)>);

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new((0, Instant::now())))
    }
}

impl Activity {
    fn begin(self: &Arc<Self>) -> Exchange {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
        Exchange(Arc::clone(self))
    }

    /// Since when there is no exchange; `None` while there is one.
    fn idle_since(&self) -> Option<Instant> {
        let (exchanges, since) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (exchanges == 0).then_some(since)
    }
}

/// One exchange, from the request's header to the end of the response.
#[derive(Debug)]
struct Exchange(Arc<Activity>);

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = state.0.saturating_sub(1);
        state.1 = Instant::now();
    }
}
