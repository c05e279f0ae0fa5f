//! What the limits refused, put off or cut off, counted by reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::audit::Audit;
use crate::metrics::Traffic;

/// Which limit it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// All connections were taken: new ones had to wait for one to end.
    Connections,
    /// An address had all the connections that it may have: one more was closed.
    ConnectionsPerAddress,
    /// Connections came too fast: new ones had to wait.
    HandshakeRate,
    /// A handshake took too long.
    HandshakeTimeout,
    /// A connection had something in flight at the end of the drain.
    Drain,
}

impl Reason {
    /// All of them, in the order of the declaration.
    pub(crate) const ALL: [Self; 5] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::HandshakeRate,
        Self::HandshakeTimeout,
        Self::Drain,
    ];

    /// The name in logs and metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::HandshakeRate => "handshakes_per_second",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::Drain => "drain_timeout",
        }
    }
}

/// One counter for each reason.
#[derive(Debug, Default)]
pub(crate) struct Refusals([AtomicU64; Reason::ALL.len()]);

impl Refusals {
    /// Counts one.
    pub(crate) fn count(&self, reason: Reason) {
        self.add(reason, 1);
    }

    /// Counts several.
    pub(crate) fn add(&self, reason: Reason, number: u64) {
        tracing::debug!(limit = reason.label(), number, "a limit was reached");
        if let Some(counter) = self.0.get(reason as usize) {
            counter.fetch_add(number, Ordering::Relaxed);
        }
    }

    /// Says what there was, at the end.
    pub(crate) fn log(&self) {
        for reason in Reason::ALL {
            let number = self.get(reason);
            if number > 0 {
                tracing::info!(limit = reason.label(), number, "a limit was reached so often");
            }
        }
    }

    /// How many there were.
    pub(crate) fn get(&self, reason: Reason) -> u64 {
        self.0.get(reason as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

/// What is counted over the life of a gateway, across reloads.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    /// What the limits refused.
    pub(crate) refusals: Arc<Refusals>,
    /// What passed.
    pub(crate) traffic: Arc<Traffic>,
    /// The audit log.
    pub(crate) audit: Arc<Audit>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_counter() {
        let refusals = Refusals::default();
        for (index, reason) in (1..).zip(Reason::ALL) {
            refusals.add(reason, index);
        }
        for (index, reason) in (1..).zip(Reason::ALL) {
            assert_eq!(refusals.get(reason), index, "{reason:?}");
        }
        refusals.count(Reason::Drain);
        assert_eq!(refusals.get(Reason::Drain), 6);
    }
}
