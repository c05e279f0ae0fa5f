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

/// When the first of the identities ends.
#[derive(Debug)]
pub(super) struct Expiry {
    /// In seconds since 1970, the last one at which it holds.
    next: AtomicU64,
    watched: AtomicBool,
}

impl Default for Expiry {
    fn default() -> Self {
        Self { next: AtomicU64::new(u64::MAX), watched: AtomicBool::new(false) }
    }
}

impl Expiry {
    /// An identity holds until then.
    pub(super) fn note(&self, until: UnixTime) {
        self.next.fetch_min(until.as_secs(), Ordering::AcqRel);
    }

    /// Forgets what was noted, before all of it is looked at again.
    pub(super) fn reset(&self) {
        self.next.store(u64::MAX, Ordering::Release);
    }

    fn is_due(&self, now: UnixTime) -> bool {
        self.next.load(Ordering::Acquire) < now.as_secs()
    }
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
            if credentials.expiry().is_due(UnixTime::now()) {
                // Chains are verified.
                let looking = tokio::task::spawn_blocking(move || credentials.reevaluate());
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
