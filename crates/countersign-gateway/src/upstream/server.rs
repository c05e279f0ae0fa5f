//! One server of an upstream: what is known about it, and the connections to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::header::UPGRADE;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval, timeout};

use super::UpstreamBody;
use super::connect::{Connection, Endpoint, Purpose, Unanswered};
use super::failure::Failure;
use super::health;
use super::settings::Settings;
use super::status::Status;
use super::target::Target;

/// How long an unused HTTP/1.1 connection is kept. Shorter than the 60 s that many servers keep
/// theirs, so that it is this side that closes.
const POOL_TIMEOUT: Duration = Duration::from_secs(50);
/// How often connections are looked for that are older than that.
const PRUNING: Duration = Duration::from_secs(10);

/// One server, as long as a configuration names it in the same way.
#[derive(Debug)]
pub(super) struct Server {
    upstream: Option<Arc<str>>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) status: Status,
    kept: Mutex<Kept>,
    /// Held by whoever makes a connection that others will share.
    connecting: tokio::sync::Mutex<()>,
    /// Whether the last connection was HTTP/2.
    shares: AtomicBool,
    tasks: Mutex<Vec<AbortHandle>>,
    retired: AtomicBool,
}

#[derive(Debug, Default)]
struct Kept {
    /// The connection for all, and which one it is.
    shared: Option<http2::SendRequest<UpstreamBody>>,
    generation: u64,
    idle: Vec<(http1::SendRequest<UpstreamBody>, Instant)>,
}

impl Server {
    /// Begins to watch over a server, but connects only where health checks are configured.
    pub(super) fn start(
        upstream: Option<Arc<str>>,
        target: Target,
        settings: Arc<Settings>,
    ) -> Arc<Self> {
        let endpoint = Arc::new(Endpoint { target, settings });
        let server = Arc::new(Self {
            upstream,
            shares: AtomicBool::new(endpoint.may_share()),
            endpoint: Arc::clone(&endpoint),
            status: Status::default(),
            kept: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            tasks: Mutex::default(),
            retired: AtomicBool::new(false),
        });
        let mut tasks = vec![tokio::spawn(prune(Arc::downgrade(&server))).abort_handle()];
        if let Some(check) = endpoint.settings.health.clone() {
            let watching = health::watch(Arc::downgrade(&server), endpoint, check);
            tasks.push(tokio::spawn(watching).abort_handle());
        }
        *server.tasks.lock().unwrap_or_else(PoisonError::into_inner) = tasks;
        server
    }

    /// Whether it is what the same words in a configuration would come to.
    pub(super) fn is(
        &self,
        upstream: Option<&Arc<str>>,
        target: &Target,
        settings: &Settings,
    ) -> bool {
        self.upstream.as_ref() == upstream
            && self.endpoint.target == *target
            && *self.endpoint.settings == *settings
    }

    /// No configuration in force names it: checks end, and connections when their requests do.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
        let mut kept = self.kept();
        kept.idle.clear();
        kept.shared = None;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request over a connection that is kept or over a new one. `fresh` leaves out those that have idled.
    pub(super) async fn send(
        self: &Arc<Self>,
        mut request: Request<UpstreamBody>,
        fresh: bool,
    ) -> Result<(Response<Incoming>, Option<http1::SendRequest<UpstreamBody>>), Failure> {
        if request.method() == Method::CONNECT {
            // Boxed, as it is rare and large.
            return Box::pin(self.extended_connect(request)).await;
        }
        let only_http1 = request.headers().contains_key(UPGRADE);
        if let Some((connection, generation)) = self.take(only_http1, fresh) {
            match self.over(connection, generation, request).await {
                Ok(answered) => return Ok(answered),
                Err(Unanswered { request: Some(unsent), .. }) => request = unsent,
                Err(Unanswered { failure, request: None }) => return Err(failure.over_kept()),
            }
        }
        // Rare, and large: not a part of every request.
        let (connection, generation) = Box::pin(self.connect(only_http1)).await?;
        self.over(connection, generation, request).await.map_err(|unanswered| unanswered.failure)
    }

    /// Sends an extended CONNECT over a connection of its own: a tunnel that nobody reads fills its connection's
    /// window.
    async fn extended_connect(
        &self,
        request: Request<UpstreamBody>,
    ) -> Result<(Response<Incoming>, Option<http1::SendRequest<UpstreamBody>>), Failure> {
        let connection = self.endpoint.connect(Purpose::ExtendedConnect).await?;
        let answered = self.over(connection, u64::MAX, request).await;
        answered.map_err(|unanswered| unanswered.failure)
    }

    /// A connection that is there.
    fn take(&self, only_http1: bool, fresh: bool) -> Option<(Connection<UpstreamBody>, u64)> {
        let mut kept = self.kept();
        if !only_http1 && let Some(shared) = kept.shared.as_ref().filter(|one| !one.is_closed()) {
            return Some((Connection::Http2(shared.clone()), kept.generation));
        }
        if fresh {
            return None;
        }
        loop {
            // The one that was used last: so those that are not needed get old.
            let place = kept.idle.iter().rposition(|(sender, _)| sender.is_ready())?;
            let (sender, since) = kept.idle.swap_remove(place);
            if since.elapsed() < POOL_TIMEOUT {
                return Some((Connection::Http1(sender), 0));
            }
        }
    }

    async fn connect(&self, only_http1: bool) -> Result<(Connection<UpstreamBody>, u64), Failure> {
        if only_http1 || !self.shares.load(Ordering::Relaxed) {
            let purpose = if only_http1 { Purpose::Upgrade } else { Purpose::Requests };
            let connection = self.endpoint.connect(purpose).await?;
            return Ok(self.keep_shared(connection, only_http1));
        }
        // All who need it wait for one, together no longer than for one.
        let connecting = async {
            let _turn = self.connecting.lock().await;
            match self.take(false, true) {
                Some(shared) => Ok(shared),
                None => {
                    Ok(self.keep_shared(self.endpoint.connect(Purpose::Requests).await?, false))
                }
            }
        };
        let limit = self.endpoint.settings.connect_timeout;
        timeout(limit, connecting).await.unwrap_or_else(|_| Err(Failure::not_accepted()))
    }

    fn keep_shared(
        &self,
        connection: Connection<UpstreamBody>,
        only_http1: bool,
    ) -> (Connection<UpstreamBody>, u64) {
        let shared = match &connection {
            Connection::Http2(sender) => Some(sender.clone()),
            Connection::Http1(_) => None,
        };
        if !only_http1 {
            self.shares.store(shared.is_some(), Ordering::Relaxed);
        }
        let mut kept = self.kept();
        if shared.is_some() && !self.retired.load(Ordering::Relaxed) {
            kept.shared = shared;
            kept.generation += 1;
        }
        (connection, kept.generation)
    }

    async fn over(
        &self,
        mut connection: Connection<UpstreamBody>,
        generation: u64,
        request: Request<UpstreamBody>,
    ) -> Result<
        (Response<Incoming>, Option<http1::SendRequest<UpstreamBody>>),
        Unanswered<UpstreamBody>,
    > {
        let outcome = self.endpoint.send(&mut connection, request).await;
        match (outcome, connection) {
            (Ok(response), Connection::Http1(sender)) => Ok((response, Some(sender))),
            (Ok(response), Connection::Http2(_)) => Ok((response, None)),
            (Err(unanswered), Connection::Http1(_)) => Err(unanswered),
            (Err(unanswered), Connection::Http2(_)) => {
                let mut kept = self.kept();
                if unanswered.failure.ends_connection && kept.generation == generation {
                    kept.shared = None;
                }
                Err(unanswered)
            }
        }
    }

    /// Keeps an HTTP/1.1 connection for the next request.
    fn give_back(&self, sender: http1::SendRequest<UpstreamBody>) {
        if sender.is_closed() || self.retired.load(Ordering::Relaxed) {
            return;
        }
        let mut kept = self.kept();
        if kept.idle.len() < self.endpoint.settings.max_idle_connections {
            kept.idle.push((sender, Instant::now()));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.retire();
    }
}

async fn prune(server: Weak<Server>) {
    let mut ticks = interval(PRUNING);
    loop {
        ticks.tick().await;
        let Some(server) = server.upgrade() else { return };
        server
            .kept()
            .idle
            .retain(|(sender, since)| !sender.is_closed() && since.elapsed() < POOL_TIMEOUT);
    }
}

/// One request at a server, from the choice of the server to the end of the response.
#[derive(Debug)]
pub(super) struct InFlight {
    server: Arc<Server>,
    /// The connection that is for it alone.
    connection: Option<http1::SendRequest<UpstreamBody>>,
}

impl InFlight {
    /// A request goes there; it is there until the value is dropped.
    pub(super) fn begin(server: &Arc<Server>) -> Self {
        server.status.begin();
        Self { server: Arc::clone(server), connection: None }
    }

    /// The connection that is kept for others when the response has ended.
    pub(super) fn over(&mut self, connection: Option<http1::SendRequest<UpstreamBody>>) {
        self.connection = connection;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.server.status.end();
        if let Some(connection) = self.connection.take() {
            self.server.give_back(connection);
        }
    }
}
