//! One connection: its requests decided about and relayed, its idling bounded.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use countersign::h3;
use countersign::server::{AuthHandle, ServerCertificates, ServerStream};
use http::header::{ALT_SVC, CONNECTION, CONTENT_LENGTH};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, Version};
use http_body::Body as _;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::UnixTime;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use crate::activity::{Activity, Exchange, Underway};
use crate::body::{Begun, Received, Relayed};
use crate::bounds::Bounds;
use crate::expect::{self, Expectation};
use crate::headers::{self, Via};
use crate::interim;
use crate::limits::Limits;
use crate::live::Live;
use crate::metrics::Protocol;
use crate::observation::Observation;
use crate::policy::{self, Admission};
use crate::problem::{Kind, Problem};
use crate::refusals::Reason;
use crate::route::RouteTable;
use crate::session::Session;
use crate::tunnel::{self, Served, TunnelBody};
use crate::upstream::{Answered, Upstreams};
use crate::witness::Witness;

/// What all connections share.
pub(crate) struct Shared {
    /// Which path goes where.
    pub(crate) routes: RouteTable,
    /// What clients are shown beside the certificate of their handshake.
    pub(crate) certificates: Arc<ServerCertificates>,
    /// The backends.
    pub(crate) upstreams: Upstreams,
    /// Who this deployment is in `Proxy-Status`.
    pub(crate) proxy_name: String,
    /// Who it is in `Via`.
    pub(crate) via: Via,
    /// What clients on TCP are told of HTTP/3, if it is on.
    pub(crate) alt_svc: Option<HeaderValue>,
    /// HTTP/1.1 and HTTP/2 as they are served here; ALPN chooses.
    pub(crate) http1: http1::Builder,
    pub(crate) http2: http2::Builder<TokioExecutor>,
    /// How much of everything.
    pub(crate) limits: Limits,
}

type ResponseBody = Either<Either<Full<Bytes>, TunnelBody>, Relayed<Answered, Underway>>;

/// Serves a connection until its end. `shutdown` changes when the gateway wants to end.
pub(crate) async fn serve(
    live: Arc<Live>,
    stream: ServerStream<TcpStream>,
    auth: AuthHandle,
    witness: Arc<Witness>,
    shutdown: watch::Receiver<bool>,
) {
    let shared = live.shared();
    let client = witness.client().ip();
    let protocol = witness.protocol();
    let _open = live.meters().traffic.connection(protocol);
    let activity = Arc::new(Activity::default());
    let session = Arc::new(Session::new(auth, Arc::clone(&shared.certificates), witness));
    // When this is not polled any more, at the end of a drain for example, no tunnel remains.
    let _served = Served(&session);
    let service = service_fn(|request: Request<Incoming>| {
        let exchange = activity.begin();
        let (live, session) = (Arc::clone(&live), Arc::clone(&session));
        // It lives in a task of its own, which would move all of it about.
        Box::pin(async move {
            let request = request.map(|body| Received::new(Either::Left(body)));
            let shared = live.shared();
            let mut response = answer(&live, &shared, &session, request, exchange).await;
            if let Some(alt_svc) = &shared.alt_svc {
                response.headers_mut().insert(ALT_SVC, alt_svc.clone());
            }
            Ok::<_, Infallible>(response)
        })
    });
    let refusals = &live.meters().refusals;
    let end = activity.end(shared.limits.idle, shutdown);
    let overdue = async {
        tokio::select! {
            () = activity.overdue(shared.limits.closing) => {}
            () = activity.stuck(shared.limits.body, refusals) => {}
        }
    };
    let stuck = activity.stuck(shared.limits.body, refusals);
    let stream = TokioIo::new(stream);
    let outcome = if protocol == Protocol::Http2 {
        let connection = Box::pin(shared.http2.serve_connection(stream, service));
        until_its_end(connection, |connection| connection.graceful_shutdown(), end, stuck, overdue)
            .await
    } else {
        let connection = shared.http1.serve_connection(stream, service).with_upgrades();
        let connection = Box::pin(connection);
        until_its_end(connection, |connection| connection.graceful_shutdown(), end, stuck, overdue)
            .await
    };
    if let Err(error) = outcome {
        if protocol == Protocol::Http1 && error.is_timeout() {
            refusals.count(Reason::HeaderTimeout);
        }
        tracing::debug!(%client, %error, "a connection failed");
    }
    // A tunnel that came of HTTP/1.1 has taken over the stream, and goes on in this connection's place.
    if protocol == Protocol::Http1 {
        session.tunnels().closed().await;
    }
}

/// Serves until the client ends the connection, until it is `stuck`, or until `end` is ready and it has ended by
/// `goodbye`, for which it has until `overdue`. Boxed, a connection takes no room where it is handed on, and an
/// HTTP/2 one none of HTTP/1.1's.
async fn until_its_end<C: Future<Output = hyper::Result<()>>>(
    mut connection: Pin<Box<C>>,
    goodbye: impl FnOnce(Pin<&mut C>),
    end: impl Future<Output = ()>,
    stuck: impl Future<Output = ()>,
    overdue: impl Future<Output = ()>,
) -> hyper::Result<()> {
    tokio::select! {
        outcome = connection.as_mut() => return outcome,
        () = stuck => return Ok(()),
        () = end => goodbye(connection.as_mut()),
    }
    tokio::select! {
        outcome = connection => outcome,
        () = overdue => Ok(()),
    }
}

/// The same for HTTP/3.
pub(crate) async fn serve_quic(
    live: Arc<Live>,
    connection: h3::Connection,
    auth: AuthHandle,
    witness: Arc<Witness>,
    shutdown: watch::Receiver<bool>,
) {
    let shared = live.shared();
    let _open = live.meters().traffic.connection(Protocol::Http3);
    let activity = Arc::new(Activity::default());
    let session = Arc::new(Session::new(auth, Arc::clone(&shared.certificates), witness));
    let Limits { idle: idle_timeout, closing: closing_timeout, body: body_timeout, .. } =
        shared.limits;
    let refusals = Arc::clone(&live.meters().refusals);
    let served = Arc::clone(&session);
    let _served = Served(&served);
    let service = Http3Service { live, session, activity: Arc::clone(&activity) };
    let closing = Notify::new();
    let limit = async {
        activity.end(idle_timeout, shutdown).await;
        closing.notify_one();
        activity.overdue(closing_timeout).await;
    };
    let stuck = activity.stuck(body_timeout, &refusals);
    tokio::select! {
        () = connection.serve(service, closing.notified()) => {}
        () = limit => {}
        () = stuck => {}
    }
}

/// Answers the requests of one HTTP/3 connection.
#[derive(Clone)]
struct Http3Service {
    live: Arc<Live>,
    session: Arc<Session>,
    activity: Arc<Activity>,
}

impl tower_service::Service<Request<h3::RequestBody>> for Http3Service {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<h3::RequestBody>) -> Self::Future {
        let exchange = self.activity.begin();
        let (live, session) = (Arc::clone(&self.live), Arc::clone(&self.session));
        Box::pin(async move {
            let shared = live.shared();
            let (parts, body) = request.into_parts();
            let bodiless = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
            let body = if bodiless && !parts.headers.contains_key(CONTENT_LENGTH) {
                Begun::later(body)
            } else {
                Begun::at_once(body)
            };
            let request = Request::from_parts(parts, Received::new(Either::Right(body)));
            Ok(answer(&live, &shared, &session, request, exchange).await)
        })
    }
}

async fn answer(
    live: &Arc<Live>,
    shared: &Shared,
    session: &Arc<Session>,
    request: Request<Received>,
    exchange: Exchange,
) -> Response<ResponseBody> {
    let (parts, body) = request.into_parts();
    let method = parts.method.clone();
    let mut observation = Observation::begin(session, &shared.limits, &parts);
    match relay(live, shared, session, &mut observation, parts, body, exchange).await {
        Ok(response) => {
            observation.answered(response.status());
            response
        }
        Err(problem) => {
            observation.refused(&problem);
            tracing::info!(
                client = %session.client(),
                %method,
                status = problem.status().as_u16(),
                kind = ?problem.kind,
                credentials = ?problem.credentials,
                "a request was refused"
            );
            let response = problem.into_response(&method, &shared.proxy_name);
            response.map(|body| Either::Left(Either::Left(body)))
        }
    }
}

async fn relay(
    live: &Arc<Live>,
    shared: &Shared,
    session: &Arc<Session>,
    observation: &mut Observation<'_>,
    mut parts: Parts,
    body: Received,
    exchange: Exchange,
) -> Result<Response<ResponseBody>, Problem> {
    let (mut asked, body) = tunnel::Asked::find(&mut parts, body)?;
    let admission = policy::decide(&shared.routes, &parts, &*observation, UnixTime::now).await?;
    observation.admit(&admission);
    let body = body.begun(shared.limits.headers).await;
    let Admission { route, path, authority, callers } = admission;

    tracing::debug!(
        client = %session.client(),
        route = route.path,
        upstream = %route.upstream,
        "a request passes"
    );
    let (body, breach) = if body.is_end_stream() {
        (body, None)
    } else {
        let refusals = &live.meters().refusals;
        let (bounds, breach) = Bounds::new(&shared.limits, refusals, &parts.headers)?;
        (body.within(bounds), Some(breach))
    };
    let next_hop = route.upstream.version();
    let expects = expect::is_continue(&parts)?;
    headers::prepare_request(&mut parts.headers, session.whence(), &authority, next_hop);
    shared.via.add(&mut parts.headers, parts.version);
    observation.trace(&route, &mut parts.headers);
    route.forward.apply(&callers, &mut parts.headers);
    let target = match parts.uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{}?{query}", path.as_str())),
        None => PathAndQuery::try_from(path.as_str()),
    };
    let target =
        target.map_err(|_| Problem::new(Kind::BadRequest, "The request target is malformed."))?;
    let mut request = Request::new(());
    *request.method_mut() = parts.method;
    *request.headers_mut() = parts.headers;
    if let Some(asked) = &mut asked {
        asked.ask(&mut request, route.upstream.version_for_upgrade());
    }
    let ahead = parts.extensions.remove::<h3::Informational>();
    let expectation = (expects && !body.is_end_stream()).then(|| Expectation::new(ahead.clone()));
    let (expectation, body) = match expectation {
        Some((expectation, gate)) => (Some(expectation), body.behind(gate)),
        None => (None, body),
    };
    let told = expectation.as_ref().map(|it| it.ask(next_hop, request.headers_mut()));
    interim::listen(&mut request, live, told.flatten(), ahead);
    let request = request.map(|()| Relayed::new(body, headers::prepare_request_trailers, ()));

    let sent = shared.upstreams.send(&route.upstream, &authority, target, request).await;
    let by_client = |problem| breach.and_then(|breach| breach.problem()).unwrap_or(problem);
    let mut response = sent.map_err(by_client)?;
    let switched = match asked {
        Some(asked) => asked.answered(&mut response)?,
        None => {
            tunnel::refuse_switch(response.status())?;
            None
        }
    };
    let received = response.version();
    headers::prepare_response(response.headers_mut());
    shared.via.add(response.headers_mut(), received);
    if parts.version == Version::HTTP_2 {
        headers::detach(response.headers_mut());
    }
    *response.version_mut() = Version::default();
    let Some(switched) = switched else {
        let is_unread = expectation.as_ref().is_some_and(|it| it.answered(response.status()));
        if is_unread && parts.version == Version::HTTP_11 {
            // Where the next request would begin, the client may still send this one's body.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let underway = Underway::new(exchange, expectation);
        return Ok(response.map(|body| {
            Either::Right(Relayed::new(body, headers::prepare_response_trailers, underway))
        }));
    };
    let review = tunnel::Review {
        live: Arc::clone(live),
        session: Arc::clone(session),
        uri: parts.uri,
        authority,
        callers,
        request: observation.number(),
        upstream: route.upstream.clone(),
    };
    Ok(switched.open(response, review, exchange).map(|body| Either::Left(Either::Right(body))))
}
