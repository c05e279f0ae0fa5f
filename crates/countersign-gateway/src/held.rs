//! Requests that wait for their clients' certificates, counted on each connection and in all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::Limits;
use crate::refusals::Reason;

/// Those of one connection.
#[derive(Debug)]
pub(crate) struct Queue {
    here: AtomicUsize,
    in_all: Arc<AtomicUsize>,
}

impl Queue {
    /// None yet; `in_all` counts those of all connections.
    pub(crate) fn new(in_all: &Arc<AtomicUsize>) -> Self {
        Self { here: AtomicUsize::new(0), in_all: Arc::clone(in_all) }
    }

    /// One more, if there is room.
    pub(crate) fn enter(&self, limits: &Limits) -> Result<Waiting<'_>, Reason> {
        let enter = |counter: &AtomicUsize, limit: usize| {
            let more = |number: usize| (number < limit).then_some(number + 1);
            counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
        };
        if !enter(&self.here, limits.held_requests_per_connection) {
            return Err(Reason::HeldRequestsPerConnection);
        }
        if !enter(&self.in_all, limits.held_requests) {
            self.here.fetch_sub(1, Ordering::Relaxed);
            return Err(Reason::HeldRequests);
        }
        Ok(Waiting(self))
    }
}

/// A request that waits, as long as this is there.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a Queue);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.here.fetch_sub(1, Ordering::Relaxed);
        self.0.in_all.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_again_once_one_goes() {
        let limits =
            Limits { held_requests_per_connection: 2, held_requests: 3, ..Limits::default() };
        let in_all = Arc::default();
        let (one, other) = (Queue::new(&in_all), Queue::new(&in_all));
        let first = one.enter(&limits).unwrap();
        let _second = one.enter(&limits).unwrap();
        assert_eq!(one.enter(&limits).unwrap_err(), Reason::HeldRequestsPerConnection);
        let _third = other.enter(&limits).unwrap();
        assert_eq!(other.enter(&limits).unwrap_err(), Reason::HeldRequests);
        drop(first);
        let _fourth = other.enter(&limits).unwrap();
        assert_eq!(one.enter(&limits).unwrap_err(), Reason::HeldRequests);
        assert_eq!(in_all.load(Ordering::Relaxed), 3);
    }
}
