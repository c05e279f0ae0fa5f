//! What is known about one server: from the requests that it got, and from its health checks.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many failures in a row eject a server.
const FAILURES: u32 = 3;
/// For how long the first time; each further time in a row it is twice as long.
const EJECTION: Duration = Duration::from_secs(5);
/// The longest ejection.
const LONGEST_EJECTION: Duration = Duration::from_secs(300);

/// What is known about one server. It counts as healthy until something else is known.
#[derive(Debug, Default)]
pub(super) struct Status {
    in_flight: AtomicUsize,
    answered: AtomicU64,
    failed: AtomicU64,
    /// What its health checks say, if there are any.
    down: AtomicBool,
    /// Whether there is anything in `ejection`: it is not looked at for a server without failures.
    suspect: AtomicBool,
    ejection: Mutex<Ejection>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ejection {
    failures: u32,
    ejections: u32,
    until: Option<Instant>,
}

impl Status {
    /// A request goes there.
    pub(super) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// It is not there any more.
    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Requests that are there.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Responses that began, and requests that got none.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.answered.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// Until when it is left out, if it is.
    pub(super) fn ejected_until(&self) -> Option<Instant> {
        self.ejection().until.filter(|until| *until > Instant::now())
    }

    /// Whether its health checks say that it is down.
    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Its health checks say so now. One that is up again gets requests again.
    pub(super) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
        if !down {
            self.forgive();
        }
    }

    /// It began a response, with whatever status.
    pub(super) fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        if self.suspect.load(Ordering::Relaxed) {
            self.forgive();
        }
    }

    /// It gave none. Returns for how long it is ejected, if it is by this.
    pub(super) fn failed(&self, now: Instant) -> Option<Duration> {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut ejection = self.ejection.lock().unwrap_or_else(PoisonError::into_inner);
        self.suspect.store(true, Ordering::Relaxed);
        ejection.failures = ejection.failures.saturating_add(1);
        let out = ejection.until.is_some_and(|until| until > now);
        if ejection.failures < FAILURES || out {
            return None;
        }
        let time =
            EJECTION.saturating_mul(2_u32.saturating_pow(ejection.ejections)).min(LONGEST_EJECTION);
        ejection.ejections = ejection.ejections.saturating_add(1);
        ejection.until = Some(now + time);
        Some(time)
    }

    fn forgive(&self) {
        let mut ejection = self.ejection.lock().unwrap_or_else(PoisonError::into_inner);
        *ejection = Ejection::default();
        self.suspect.store(false, Ordering::Relaxed);
    }

    fn ejection(&self) -> Ejection {
        if !self.suspect.load(Ordering::Relaxed) {
            return Ejection::default();
        }
        *self.ejection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ejections_grow_and_end_with_a_response() {
        let server = Status::default();
        let fail = || server.failed(Instant::now());
        assert_eq!((fail(), fail()), (None, None));
        assert_eq!(server.ejected_until(), None);
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            let time = Duration::from_secs(seconds);
            assert_eq!(fail(), Some(time));
            tokio::time::advance(time - Duration::from_millis(1)).await;
            assert!(server.ejected_until().is_some());
            // What was in flight when it was ejected does not make it longer.
            assert_eq!(fail(), None);
            tokio::time::advance(Duration::from_millis(1)).await;
            assert_eq!(server.ejected_until(), None);
        }
        server.answered();
        assert_eq!((fail(), fail()), (None, None));
        assert_eq!(fail(), Some(EJECTION));
        assert_eq!(server.totals(), (1, 21));
    }

    #[test]
    fn a_passed_check_ends_an_ejection() {
        let server = Status::default();
        for _ in 0..FAILURES {
            server.failed(Instant::now());
        }
        server.set_down(true);
        assert!(server.is_down() && server.ejected_until().is_some());
        server.set_down(false);
        assert!(!server.is_down() && server.ejected_until().is_none());
    }
}
