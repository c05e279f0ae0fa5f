//! The servers as they are told about.

use std::sync::Arc;

use serde::Serialize;

use super::Upstreams;

/// One server of an upstream, now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ServerState {
    /// The name of its table, if it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upstream: Option<String>,
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
    /// All servers, in the order of their URLs. One that several routes name by its URL is there once.
    pub(crate) fn servers(&self) -> Vec<ServerState> {
        let mut told = Vec::new();
        let mut servers = Vec::new();
        for (group, server) in self.0.iter().flat_map(|group| group.all()) {
            if told.iter().any(|known| Arc::ptr_eq(known, server)) {
                continue;
            }
            told.push(Arc::clone(server));
            let (answered, failed) = server.status.totals();
            servers.push(ServerState {
                upstream: group.name.as_deref().map(str::to_owned),
                server: server.endpoint.target.to_string(),
                up: !server.status.is_down() && server.status.ejected_until().is_none(),
                in_flight: server.status.in_flight(),
                answered,
                failed,
            });
        }
        servers.sort_by(|a, b| (&a.server, &a.upstream).cmp(&(&b.server, &b.upstream)));
        servers
    }
}
