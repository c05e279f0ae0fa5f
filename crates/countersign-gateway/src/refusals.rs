//! What the limits refused, put off or cut off, counted by reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

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
    /// A request's body was too long.
    BodyBytes,
    /// A connection had all the requests that may wait for its client.
    HeldRequestsPerConnection,
    /// All connections together had them.
    HeldRequests,
    /// An authenticator came too early: it had to wait to be verified.
    AuthenticatorRate,
    /// A handshake took too long.
    HandshakeTimeout,
    /// A header section in HTTP/1.1 did not come in time.
    HeaderTimeout,
    /// A client did not send a body in time, or did not take one.
    BodyTimeout,
    /// A connection had something in flight at the end of the drain.
    Drain,
}

impl Reason {
    /// All of them, in the order of the declaration.
    pub(crate) const ALL: [Self; 11] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::HandshakeRate,
        Self::BodyBytes,
        Self::HeldRequestsPerConnection,
        Self::HeldRequests,
        Self::AuthenticatorRate,
        Self::HandshakeTimeout,
        Self::HeaderTimeout,
        Self::BodyTimeout,
        Self::Drain,
    ];

    /// The name in logs and metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::HandshakeRate => "handshakes_per_second",
            Self::BodyBytes => "body_bytes",
            Self::HeldRequestsPerConnection => "held_requests_per_connection",
            Self::HeldRequests => "held_requests",
            Self::AuthenticatorRate => "authenticators_per_second",
            Self::HeaderTimeout => "header_timeout",
            Self::BodyTimeout => "body_timeout",
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
    /// How many requests wait for their clients.
    pub(crate) held: Arc<AtomicUsize>,
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
        assert_eq!(refusals.get(Reason::Drain), Reason::ALL.len() as u64 + 1);
    }
}
