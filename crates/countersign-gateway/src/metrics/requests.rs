//! What is counted of requests. Each route has its own counters, found once per configuration, so that a
//! request costs a few atomic additions.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::ConstCounter;

use super::Protocol;
use super::histogram::{Histogram, Snapshot};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Outcome {
    /// A backend answered.
    Answered,
    /// It was refused here.
    Refused,
    /// It was refused here, and the client sent to another URL.
    Redirected,
    /// It passed, and no backend answered.
    Failed,
    /// The client went away before there was an answer.
    Abandoned,
}

impl Outcome {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Redirected => "redirected",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.label(), encoder)
    }
}

/// The statuses that backends answer with often; each has a counter that needs no lock.
const USUAL: [u16; 28] = [
    200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 409, 410,
    412, 413, 416, 422, 429, 500, 502, 503, 504,
];

/// Outcome, status (none where nothing was answered) and reason.
type Other = (Outcome, Option<u16>, &'static str);

/// The requests of one route, or of none.
#[derive(Debug, Default)]
pub(crate) struct RouteMeter([PerProtocol; 3]);

#[derive(Debug, Default)]
struct PerProtocol {
    answered: [AtomicU64; USUAL.len()],
    others: Mutex<BTreeMap<Other, u64>>,
    response: Histogram,
    held: Histogram,
}

impl RouteMeter {
    /// A request has come to its end: a response's header section after `duration`, or none.
    pub(crate) fn request(
        &self,
        protocol: Protocol,
        outcome: Outcome,
        status: Option<u16>,
        reason: &'static str,
        duration: Duration,
    ) {
        let Some(meter) = self.of(protocol) else { return };
        if status.is_some() {
            meter.response.observe(duration);
        }
        if outcome == Outcome::Answered
            && let Some(status) = status
            && let Ok(place) = USUAL.binary_search(&status)
            && let Some(counter) = meter.answered.get(place)
        {
            counter.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut others = meter.others.lock().unwrap_or_else(PoisonError::into_inner);
        *others.entry((outcome, status, reason)).or_default() += 1;
    }

    /// A request waited so long for credentials.
    pub(crate) fn held(&self, protocol: Protocol, duration: Duration) {
        if let Some(meter) = self.of(protocol) {
            meter.held.observe(duration);
        }
    }

    fn of(&self, protocol: Protocol) -> Option<&PerProtocol> {
        self.0.get(protocol as usize)
    }
}

/// The meters of all routes of the configuration in force, and that of requests without a route.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    routes: Mutex<HashMap<String, Arc<RouteMeter>>>,
    unrouted: RouteMeter,
}

impl Requests {
    /// The meter of a route; it is the same one over all configurations in a row that have the route.
    pub(crate) fn route(&self, path: &str) -> Arc<RouteMeter> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(routes.entry(path.to_owned()).or_default())
    }

    /// Forgets all routes but these.
    pub(crate) fn keep<'a>(&self, paths: impl Iterator<Item = &'a str>) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        *routes = paths.filter_map(|path| routes.remove_entry(path)).collect();
    }

    /// That of requests that no route was found for.
    pub(crate) fn unrouted(&self) -> &RouteMeter {
        &self.unrouted
    }

    pub(super) fn collect(&self) -> Collected {
        let mut collected = Collected::default();
        collected.add("", &self.unrouted);
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, meter) in routes.iter() {
            collected.add(path, meter);
        }
        collected
    }
}

/// All of it, with labels.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) requests: Vec<(OfRequest, ConstCounter<u64>)>,
    pub(super) response: Vec<(OfRoute, Snapshot)>,
    pub(super) held: Vec<(OfRoute, Snapshot)>,
}

/// `status` is empty where nothing was answered, `reason` where a backend answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfRequest {
    route: String,
    protocol: Protocol,
    outcome: Outcome,
    status: Option<u16>,
    reason: &'static str,
}

/// `route` is empty where there is none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfRoute {
    route: String,
    protocol: Protocol,
}

impl Collected {
    fn add(&mut self, route: &str, meter: &RouteMeter) {
        for protocol in Protocol::ALL {
            if let Some(meter) = meter.of(protocol) {
                self.add_protocol(route, protocol, meter);
            }
        }
    }

    fn add_protocol(&mut self, route: &str, protocol: Protocol, meter: &PerProtocol) {
        let answered = USUAL.iter().zip(&meter.answered).map(|(status, count)| {
            ((Outcome::Answered, Some(*status), ""), count.load(Ordering::Relaxed))
        });
        let others = meter.others.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for ((outcome, status, reason), count) in answered.chain(others) {
            if count > 0 {
                let route = route.to_owned();
                let labels = OfRequest { route, protocol, outcome, status, reason };
                self.requests.push((labels, ConstCounter::new(count)));
            }
        }
        let labels = || OfRoute { route: route.to_owned(), protocol };
        for (histogram, told) in
            [(&meter.response, &mut self.response), (&meter.held, &mut self.held)]
        {
            let snapshot = histogram.snapshot();
            if snapshot.count() > 0 {
                told.push((labels(), snapshot));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(requests: &Requests) -> Vec<String> {
        let collected = requests.collect();
        let mut lines: Vec<_> = collected
            .requests
            .iter()
            .map(|(of, _)| format!("{} {:?} {:?} {}", of.route, of.protocol, of.status, of.reason))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn usual_statuses_are_in_order() {
        assert!(USUAL.is_sorted());
    }

    #[test]
    fn counters_live_as_long_as_their_route_is_configured() {
        let requests = Requests::default();
        let count = |path: &str, status| {
            requests.route(path).request(
                Protocol::Http2,
                Outcome::Answered,
                Some(status),
                "",
                Duration::ZERO,
            );
        };
        count("/a", 200);
        count("/b", 299);
        requests.keep(["/a", "/c"].into_iter());
        count("/a", 200);
        assert_eq!(told(&requests), ["/a Http2 Some(200) "]);
        requests.keep(["/b"].into_iter());
        assert!(told(&requests).is_empty());
    }
}
