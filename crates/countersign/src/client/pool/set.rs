//! The connections of one set of credentials, and which of them a request takes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use super::body::{Kept, Outgoing};
use super::connection::Pooled;
use super::handover::{Handover, Slot};
use super::state::{Attempt, Found, Opened, State};
use super::{BoxError, PoolError, RequestBody, Transport};
use crate::client::{AuthConfig, Connector, ConnectorStream, Origin};

type Stream<C> = ConnectorStream<<C as Service<Uri>>::Response>;

pub(super) struct SetPool<B, C: Service<Uri>> {
    /// Without rules for it, everything is hyper-util's business.
    coalesces: bool,
    max_frame_len: u32,
    state: Mutex<State<B, Stream<C>>>,
    connector: Handover<C>,
    /// For HTTP/1.1.
    client: Client<Handover<C>, Outgoing<B>>,
}

/// Which connection a request takes.
enum Route<B, S> {
    Http2 {
        connection: Arc<Pooled<B>>,
        /// Whether it was opened for this request, so that another one would not fare better.
        fresh: bool,
    },
    Http1(Option<Arc<Slot<S>>>),
}

/// What a request needs of its connection.
#[derive(Clone, Copy)]
enum Need {
    /// That it is authoritative for the origin.
    Authority,
    /// That it has answered for the origin before, since the request cannot be sent twice.
    Answered,
    /// That it is the origin's own.
    Own,
}

impl<B: RequestBody, C: Transport> SetPool<B, C> {
    pub(super) fn new(connector: Connector<C>, auth: &AuthConfig) -> Self {
        let max_frame_len = auth.max_frame_len.clamp(0x4000, 0xff_ffff) as u32;
        let connector = Handover::new(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .http2_max_frame_size(max_frame_len)
            .build(connector.clone());
        let coalesces = auth.authority.is_some();
        Self { coalesces, max_frame_len, state: Mutex::default(), connector, client }
    }

    pub(super) async fn request(
        self: &Arc<Self>,
        request: Request<B>,
    ) -> Result<Response<Incoming>, PoolError> {
        let mut request = request.map(Outgoing::Given);
        let origin = match Origin::of(request.uri()) {
            Ok(origin) if self.coalesces && is_ordinary(&request) => origin,
            _ => return Ok(self.client.request(request).await?),
        };
        let repeatable = request.body().can_be_kept();
        let mut need = if repeatable { Need::Authority } else { Need::Answered };
        loop {
            let (connection, fresh) = match self.route(&origin, need).await? {
                Route::Http2 { connection, fresh } => (connection, fresh),
                Route::Http1(_slot) => return Ok(self.client.request(request).await?),
            };
            let coalesced = *connection.origin() != origin;
            let mut copy = None;
            if coalesced && repeatable {
                let (again, first) = keep(request).await?;
                (copy, request) = (Some(again), first);
            }
            match connection.sender().try_send_request(request).await {
                Ok(mut response) => {
                    //= specs/server-certs.md#decisions
                    //# (ours) A request answered with status 421 on another origin's connection MUST be
                    //# sent again on a fresh one, unless its body cannot be repeated.
                    let misdirected = response.status() == StatusCode::MISDIRECTED_REQUEST;
                    if coalesced || misdirected {
                        connection.answered(&origin, misdirected);
                    }
                    match copy {
                        Some(again) if misdirected => (request, need) = (again, Need::Own),
                        _ => {
                            response.extensions_mut().extend(connection.facts());
                            return Ok(response);
                        }
                    }
                }
                Err(mut error) => {
                    self.lock().forget(&connection);
                    match error.take_message() {
                        Some(unsent) if !fresh => request = unsent,
                        _ => return Err(error.into_error().into()),
                    }
                }
            }
        }
    }

    async fn route(
        self: &Arc<Self>,
        origin: &Origin,
        need: Need,
    ) -> Result<Route<B, Stream<C>>, PoolError> {
        let own = self.lock().open(|pooled| pooled.origin() == origin);
        for own in own {
            if own.is_for(origin).await {
                return Ok(Route::Http2 { connection: own, fresh: false });
            }
            self.lock().forget(&own);
        }
        let others = match need {
            Need::Authority => self.lock().open(|_| true),
            Need::Answered => self.lock().open(|pooled| pooled.has_answered(origin)),
            Need::Own => Vec::new(),
        };
        for other in others {
            if other.is_for(origin).await && other.is_open() {
                return Ok(Route::Http2 { connection: other, fresh: false });
            }
        }
        let found = self.lock().find(origin);
        match found {
            Found::Http1 => Ok(Route::Http1(None)),
            Found::Open(connection) => Ok(Route::Http2 { connection, fresh: false }),
            Found::Opening(attempt) => self.open(origin, &attempt).await,
        }
    }

    /// Waits for a new connection, and opens it unless someone does.
    async fn open(
        self: &Arc<Self>,
        origin: &Origin,
        attempt: &Attempt<B, Stream<C>>,
    ) -> Result<Route<B, Stream<C>>, PoolError> {
        let open = || async {
            let opened = self.connect(origin).await.map_err(Arc::from);
            self.lock().opened(origin, opened.as_ref().ok());
            opened
        };
        match attempt.get_or_init(open).await.clone() {
            Ok(Opened::Http2(connection)) => Ok(Route::Http2 { connection, fresh: true }),
            Ok(Opened::Http1(slot)) => Ok(Route::Http1(Some(slot))),
            Err(source) => Err(PoolError::Connect { origin: origin.clone(), source }),
        }
    }

    async fn connect(self: &Arc<Self>, origin: &Origin) -> Result<Opened<B, Stream<C>>, BoxError> {
        let uri = Uri::try_from(format!("{origin}/"))?;
        let stream = self.connector.connect(uri).await?;
        if !stream.connected().is_negotiated_h2() {
            return Ok(Opened::Http1(self.connector.put(origin.clone(), stream)));
        }
        let pool = Arc::downgrade(self);
        let done = move |pooled: &Arc<Pooled<B>>| {
            if let Some(pool) = pool.upgrade() {
                pool.lock().forget(pooled);
            }
        };
        let pooled = Pooled::start::<C>(stream, self.max_frame_len, done).await?;
        Ok(Opened::Http2(pooled))
    }

    fn lock(&self) -> MutexGuard<'_, State<B, Stream<C>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tunnel is the connection's, whatever it leads to; what is of no version to be sent is refused by
/// hyper-util's client.
fn is_ordinary<B>(request: &Request<B>) -> bool {
    request.method() != Method::CONNECT
        && (Version::HTTP_10..=Version::HTTP_2).contains(&request.version())
}

/// The request twice.
async fn keep<B: RequestBody>(
    request: Request<Outgoing<B>>,
) -> Result<(Request<Outgoing<B>>, Request<Outgoing<B>>), PoolError> {
    let (parts, body) = request.into_parts();
    let kept: Kept = body.keep().await.map_err(PoolError::Body)?;
    let with = |parts| Request::from_parts(parts, Outgoing::Kept(kept.clone()));
    Ok((with(parts.clone()), with(parts)))
}
