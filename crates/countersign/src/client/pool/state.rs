//! What a pool has open, and what it is opening.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::sync::{Arc, Weak};

use tokio::sync::OnceCell;

use super::RequestBody;
use super::connection::Pooled;
use super::handover::Slot;
use crate::client::Origin;

/// How many connections a pool keeps; the one used longest ago gives way.
const MAX_CONNECTIONS: usize = 128;
/// How many origins are remembered to speak HTTP/1.1.
const MAX_HTTP1: usize = 1024;

/// The end of an attempt to connect.
pub(super) enum Opened<B, S> {
    Http2(Arc<Pooled<B>>),
    /// For hyper-util's client, with the stream if it is not taken yet.
    Http1(Arc<Slot<S>>),
}

/// An attempt to connect, for all requests that wait for it. If the one that goes about it gives up,
/// another takes over.
pub(super) type Attempt<B, S> = OnceCell<Result<Opened<B, S>, Arc<dyn Error + Send + Sync>>>;

/// What there is for an origin without regard to other origins' connections.
pub(super) enum Found<B, S> {
    Http1,
    Open(Arc<Pooled<B>>),
    Opening(Arc<Attempt<B, S>>),
}

pub(super) struct State<B, S> {
    open: Vec<Arc<Pooled<B>>>,
    opening: HashMap<Origin, Weak<Attempt<B, S>>>,
    http1: HashSet<Origin>,
}

impl<B, S> Clone for Opened<B, S> {
    fn clone(&self) -> Self {
        match self {
            Self::Http2(pooled) => Self::Http2(Arc::clone(pooled)),
            Self::Http1(slot) => Self::Http1(Arc::clone(slot)),
        }
    }
}

impl<B, S> Default for State<B, S> {
    fn default() -> Self {
        Self { open: Vec::new(), opening: HashMap::new(), http1: HashSet::new() }
    }
}

impl<B: RequestBody, S> State<B, S> {
    /// The connections that can be used, of those that `wanted` picks.
    pub(super) fn open(&mut self, wanted: impl Fn(&Pooled<B>) -> bool) -> Vec<Arc<Pooled<B>>> {
        self.open.retain(|pooled| pooled.is_open());
        self.open.iter().filter(|pooled| wanted(pooled)).cloned().collect()
    }

    /// What there is for `origin`; an attempt is begun if there is nothing.
    pub(super) fn find(&mut self, origin: &Origin) -> Found<B, S> {
        if self.http1.contains(origin) {
            return Found::Http1;
        }
        if let Some(own) = self.open(|pooled| pooled.origin() == origin).pop() {
            return Found::Open(own);
        }
        if let Some(attempt) = self.opening.get(origin).and_then(Weak::upgrade) {
            return Found::Opening(attempt);
        }
        let attempt = Arc::default();
        self.opening.retain(|_, attempt| attempt.strong_count() > 0);
        self.opening.insert(origin.clone(), Arc::downgrade(&attempt));
        Found::Opening(attempt)
    }

    /// An attempt for `origin` is at its end.
    pub(super) fn opened(&mut self, origin: &Origin, opened: Option<&Opened<B, S>>) {
        self.opening.remove(origin);
        match opened {
            Some(Opened::Http2(pooled)) => {
                if self.open.len() >= MAX_CONNECTIONS {
                    let oldest = self.open.iter().min_by_key(|pooled| pooled.last_used()).cloned();
                    oldest.inspect(|oldest| self.forget(oldest));
                }
                self.open.push(Arc::clone(pooled));
            }
            Some(Opened::Http1(_)) => {
                if self.http1.len() >= MAX_HTTP1 {
                    self.http1.clear();
                }
                self.http1.insert(origin.clone());
            }
            None => {}
        }
    }

    /// No further request goes to `pooled`.
    pub(super) fn forget(&mut self, pooled: &Arc<Pooled<B>>) {
        self.open.retain(|other| !Arc::ptr_eq(other, pooled));
    }
}
