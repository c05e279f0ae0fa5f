//! One server of an upstream as it is known from the requests that it got.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many failures in a row eject a server.
const FAILURES: u32 = 3;
/// For how long the first time; each further time in a row it is twice as long.
const EJECTION: Duration = Duration::from_secs(5);
/// The longest ejection.
const LONGEST_EJECTION: Duration = Duration::from_secs(300);

/// What is known about one server.
#[derive(Debug, Default)]
pub(super) struct Server {
    in_flight: AtomicUsize,
    answered: AtomicU64,
    failed: AtomicU64,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    ejections: u32,
    ejected_until: Option<Instant>,
}

impl Server {
    /// A request goes there; it is there until the value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Requests that are there.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Responses that began, and requests that got none.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.answered.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// Whether it gets requests.
    pub(super) fn is_healthy(&self, now: Instant) -> bool {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.ejected_until.is_none_or(|until| until <= now)
    }

    /// It began a response, with whatever status.
    pub(super) fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = Health::default();
    }

    /// It gave none. Returns for how long it is ejected, if it is by this.
    pub(super) fn failed(&self, now: Instant) -> Option<Duration> {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.failures = health.failures.saturating_add(1);
        let out = health.ejected_until.is_some_and(|until| until > now);
        if health.failures < FAILURES || out {
            return None;
        }
        let time =
            EJECTION.saturating_mul(2_u32.saturating_pow(health.ejections)).min(LONGEST_EJECTION);
        health.ejections = health.ejections.saturating_add(1);
        health.ejected_until = Some(now + time);
        Some(time)
    }
}

/// One request at a server.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Server>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ejections_grow_and_end_with_a_response() {
        let server = Arc::new(Server::default());
        let mut now = Instant::now();
        assert_eq!((server.failed(now), server.failed(now)), (None, None));
        assert!(server.is_healthy(now));
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            let time = Duration::from_secs(seconds);
            assert_eq!(server.failed(now), Some(time));
            assert!(!server.is_healthy(now + time - Duration::from_millis(1)));
            // What was in flight when it was ejected does not make it longer.
            assert_eq!(server.failed(now), None);
            now += time;
            assert!(server.is_healthy(now));
        }
        server.answered();
        assert_eq!((server.failed(now), server.failed(now)), (None, None));
        assert_eq!(server.failed(now), Some(EJECTION));
        assert_eq!(server.totals(), (1, 21));
    }
}
