//! One HTTP/2 connection of a pool.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::Extensions;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::client::legacy::connect::Connection as _;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use super::body::Outgoing;
use super::{BoxError, RequestBody, Transport};
use crate::client::{ClientHandle, ConnectorStream, Origin};

/// How long a connection stays without a new request: as with hyper-util's client.
const IDLE: Duration = Duration::from_secs(90);
/// How long a server that sends certificates may hold up another's requests.
const SETTLED: Duration = Duration::from_secs(2);
/// How many origins a connection is known to answer for at most.
const MAX_ANSWERED: usize = 1024;

pub(super) struct Pooled<B> {
    sender: SendRequest<Outgoing<B>>,
    handle: ClientHandle,
    /// What responses are told of the connection.
    facts: Extensions,
    used: Mutex<Used>,
}

struct Used {
    last: Instant,
    /// The origins, beside its own, for which it has answered otherwise than with 421.
    answered: HashSet<Origin>,
}

impl<B: RequestBody> Pooled<B> {
    /// Speaks HTTP/2 on `stream`. `done` is told when the connection is over or has been idle for long;
    /// streams that are still open then go on as long as they like.
    pub(super) async fn start<C: Transport>(
        stream: ConnectorStream<C::Response>,
        max_frame_len: u32,
        done: impl Fn(&Arc<Self>) + Send + 'static,
    ) -> hyper::Result<Arc<Self>> {
        let handle = stream.handle().clone();
        let mut facts = Extensions::new();
        stream.connected().get_extras(&mut facts);
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_frame_size(max_frame_len)
            .handshake(stream)
            .await?;
        let used = Mutex::new(Used { last: Instant::now(), answered: HashSet::new() });
        let pooled = Arc::new(Self { sender, handle, facts, used });
        let watched = Arc::downgrade(&pooled);
        tokio::spawn(async move {
            if let Err(error) = drive(connection, &watched, done).await {
                tracing::debug!(%error, "a pooled connection failed");
            }
        });
        Ok(pooled)
    }

    pub(super) fn sender(&self) -> SendRequest<Outgoing<B>> {
        self.used().last = Instant::now();
        self.sender.clone()
    }

    pub(super) fn facts(&self) -> Extensions {
        self.facts.clone()
    }

    pub(super) fn origin(&self) -> &Origin {
        self.handle.origin()
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed() && self.handle.closed_reason().is_none()
    }

    pub(super) fn last_used(&self) -> Instant {
        self.used().last
    }

    /// Whether requests for `origin` may be sent on it, by all certificates that have come.
    pub(super) async fn is_for(&self, origin: &Origin) -> bool {
        if self.origin() != origin {
            let settled = self.handle.server_certificates_settled();
            let _or_not = tokio::time::timeout(SETTLED, settled).await;
        }
        match self.handle.is_authoritative_for(origin).await {
            Ok(()) => true,
            Err(reason) => {
                tracing::debug!(connection = %self.origin(), %origin, %reason, "not coalesced");
                false
            }
        }
    }

    /// Takes note of how it answered for an origin: for its own one only that it will not (421).
    pub(super) fn answered(&self, origin: &Origin, misdirected: bool) {
        let mut used = self.used();
        if misdirected {
            used.answered.remove(origin);
            self.handle.misdirected(origin);
        } else if used.answered.len() < MAX_ANSWERED {
            used.answered.insert(origin.clone());
        }
    }

    pub(super) fn has_answered(&self, origin: &Origin) -> bool {
        self.used().answered.contains(origin)
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drives `connection` to its end, and says `done` when it is there, or idle.
async fn drive<B: RequestBody>(
    connection: impl Future<Output = hyper::Result<()>>,
    watched: &Weak<Pooled<B>>,
    done: impl Fn(&Arc<Pooled<B>>),
) -> Result<(), BoxError> {
    let mut connection = pin!(connection);
    while let Some(idle_at) = watched.upgrade().map(|pooled| pooled.last_used() + IDLE) {
        tokio::select! {
            ended = &mut connection => {
                if let Some(pooled) = watched.upgrade() {
                    done(&pooled);
                }
                return Ok(ended?);
            }
            () = tokio::time::sleep_until(idle_at) => {
                let pooled = watched.upgrade();
                let idle = |pooled: &Arc<_>| Pooled::last_used(pooled) + IDLE <= Instant::now();
                if let Some(pooled) = pooled.filter(idle) {
                    done(&pooled);
                    break;
                }
            }
        }
    }
    // Nobody sends on it any more.
    Ok(connection.await?)
}
