//! The servers as they are told about.

use serde::Serialize;
use tokio::time::Instant;

use super::Upstreams;

/// One server of an upstream, now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ServerState {
    /// Its URL.
    pub(crate) server: String,
    /// Whether it gets requests; false while it is left out.
    pub(crate) up: bool,
    /// Requests that are there.
    pub(crate) in_flight: usize,
    /// Responses that began.
    pub(crate) answered: u64,
    /// Requests that got none.
    pub(crate) failed: u64,
}

impl Upstreams {
    /// All servers, in the order of their URLs.
    pub(crate) fn servers(&self) -> Vec<ServerState> {
        let now = Instant::now();
        let mut servers: Vec<_> = self
            .servers
            .iter()
            .map(|(target, server)| {
                let (answered, failed) = server.totals();
                ServerState {
                    server: target.to_string(),
                    up: server.is_healthy(now),
                    in_flight: server.in_flight(),
                    answered,
                    failed,
                }
            })
            .collect();
        servers.sort_by(|a, b| a.server.cmp(&b.server));
        servers
    }
}
