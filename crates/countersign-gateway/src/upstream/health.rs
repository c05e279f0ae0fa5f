//! Active health checks: a GET every now and then, over a connection of its own, so that a server that
//! takes no new ones is noticed.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::Empty;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::connect::{Connection, Endpoint, Purpose};
use super::failure::Failure;
use super::server::Server;
use super::settings::HealthCheck;

const AGENT: HeaderValue = HeaderValue::from_static("countersign-health-check");

/// Why a check did not pass.
#[derive(Debug, thiserror::Error)]
enum Unwell {
    #[error("it took too long")]
    Late,
    #[error("status {0}")]
    Status(StatusCode),
    #[error("{0}")]
    Failed(String),
}

/// Checks a server until it is gone.
pub(super) async fn watch(server: Weak<Server>, endpoint: Arc<Endpoint>, check: HealthCheck) {
    let mut ticks = interval(check.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut streak = Streak::default();
    loop {
        ticks.tick().await;
        let outcome = match timeout(check.timeout, ask(&endpoint, &check)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Unwell::Late),
        };
        let Some(server) = server.upgrade() else { return };
        let Some(down) = streak.add(outcome.is_ok(), &check) else { continue };
        server.status.set_down(down);
        match outcome {
            Ok(()) => {
                tracing::info!(server = %endpoint.target, "a server passes its health checks")
            }
            Err(reason) => {
                tracing::warn!(server = %endpoint.target, %reason, "a server fails its health checks");
            }
        }
    }
}

/// What the last checks said.
#[derive(Debug, Default)]
struct Streak {
    down: bool,
    against: u32,
}

impl Streak {
    /// Counts a check; returns whether the server is down now, if that has changed.
    fn add(&mut self, passed: bool, check: &HealthCheck) -> Option<bool> {
        if passed != self.down {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let threshold = if self.down { check.healthy } else { check.unhealthy };
        if self.against < threshold {
            return None;
        }
        *self = Self { down: !self.down, against: 0 };
        Some(self.down)
    }
}

async fn ask(endpoint: &Endpoint, check: &HealthCheck) -> Result<(), Unwell> {
    let failed = |failure: Failure| Unwell::Failed(failure.problem.detail);
    let mut connection: Connection<Empty<Bytes>> =
        endpoint.connect(Purpose::Requests).await.map_err(failed)?;
    let host = HeaderValue::try_from(endpoint.target.authority.as_str());
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = Uri::from(check.path.clone());
    request.headers_mut().insert(USER_AGENT, AGENT);
    if let Ok(host) = host {
        request.headers_mut().insert(HOST, host);
    }
    let sent = endpoint.send(&mut connection, request).await;
    let status = sent.map_err(|unanswered| failed(unanswered.failure))?.status();
    let passes = check.status.map_or(status.is_success(), |expected| status == expected);
    if passes { Ok(()) } else { Err(Unwell::Status(status)) }
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;

    use super::*;

    #[test]
    fn it_takes_several_checks_in_a_row() {
        let check = HealthCheck::new(PathAndQuery::from_static("/"));
        let mut streak = Streak::default();
        let mut told = |passed: &str| -> Vec<Option<bool>> {
            passed.chars().map(|one| streak.add(one == '+', &check)).collect()
        };
        assert_eq!(told("+--+--"), [None; 6]);
        assert_eq!(told("-"), [Some(true)]);
        assert_eq!(told("-+-+"), [None; 4]);
        assert_eq!(told("+-"), [Some(false), None]);
    }
}
