//! Identities end by themselves: when a certificate runs out, or what is known of its revocation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use tokio::time::{MissedTickBehavior, interval};

use super::kinds::Credentials;

/// How often the clock is looked at: an identity ends no more than a second late. Clocks are set, so nobody relies on
/// the time until then.
const PERIOD: Duration = Duration::from_millis(500);

/// When the first of some identities ends.
#[derive(Debug)]
pub(super) struct Ends(AtomicU64);

impl Default for Ends {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Ends {
    /// The last second of the first one, since 1970; the greatest number if none ends.
    pub(super) fn first(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// One holds until then.
    pub(super) fn note(&self, until: u64) {
        self.0.fetch_min(until, Ordering::AcqRel);
    }

    /// Before all of them are looked at again.
    pub(super) fn forget(&self) {
        self.0.store(u64::MAX, Ordering::Release);
    }

    pub(super) fn are_over(&self, now: UnixTime) -> bool {
        self.first() < now.as_secs()
    }
}

/// When the first identity of all connections ends, and whether somebody looks at the clock.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    pub(super) ends: Ends,
    watched: AtomicBool,
}

/// Looks at the clock from now on, unless somebody does.
pub(super) fn watch(credentials: &Arc<Credentials>) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    if !credentials.expiry().watched.swap(true, Ordering::AcqRel) {
        let watching = Watching(Arc::downgrade(credentials));
        runtime.spawn(watching.run());
    }
}

struct Watching(Weak<Credentials>);

impl Watching {
    async fn run(self) {
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            period.tick().await;
            let Some(credentials) = self.0.upgrade() else { return };
            let now = UnixTime::now();
            if credentials.expiry().ends.are_over(now) {
                // Chains are verified.
                let looking = tokio::task::spawn_blocking(move || credentials.expire(now));
                let _ended = looking.await;
            }
        }
    }
}

/// The runtime may end before the credentials do; somebody else looks at the clock then.
impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(credentials) = self.0.upgrade() {
            credentials.expiry().watched.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_end_counts_and_its_second_still_holds() {
        let (ends, at) =
            (Ends::default(), |now| UnixTime::since_unix_epoch(Duration::from_secs(now)));
        assert!(!ends.are_over(at(u64::MAX)));
        ends.note(20);
        ends.note(10);
        ends.note(30);
        assert_eq!((ends.first(), ends.are_over(at(10)), ends.are_over(at(11))), (10, false, true));
        ends.forget();
        assert!(!ends.are_over(at(11)));
    }
}
