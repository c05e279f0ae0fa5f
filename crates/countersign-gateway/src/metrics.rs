//! What is counted, as Prometheus reads it (text format of OpenMetrics 1.0).
//!
//! Labels have few values, all of them from the configuration or from here: never a name from a certificate, nor
//! a path or an address that a client chose.

mod histogram;
mod requests;

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder, MetricEncoder,
};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Registry, Unit};
use rustls::pki_types::UnixTime;
use serde::{Serialize, Serializer};

pub(crate) use self::requests::{Outcome, Requests, RouteMeter};
use crate::live::Live;
use crate::refusals::Reason;
use crate::reload::Reloader;
use crate::upstream::ServerState;

/// The media type of [`render`]'s text.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A version of HTTP, as ALPN names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/3.
    Http3,
}

impl Protocol {
    const ALL: [Self; 3] = [Self::Http1, Self::Http2, Self::Http3];

    fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
            Self::Http3 => "h3",
        }
    }
}

impl EncodeLabelValue for Protocol {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.name(), encoder)
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfConnection {
    protocol: Protocol,
}

/// `credential` is empty where something was presented unasked that is no credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCredential {
    credential: Arc<str>,
    outcome: &'static str,
    reason: &'static str,
}

/// What is counted while connections are served. Counters live as long as the gateway, across reloads.
#[derive(Debug)]
pub(crate) struct Traffic {
    started: UnixTime,
    opened: Family<OfConnection, Counter>,
    open: Family<OfConnection, Gauge>,
    credentials: Family<OfCredential, Counter>,
    /// Of each route.
    pub(crate) requests: Requests,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            started: UnixTime::now(),
            opened: Family::default(),
            open: Family::default(),
            credentials: Family::default(),
            requests: Requests::default(),
        }
    }
}

impl Traffic {
    /// A connection has begun; it ends when the value is dropped.
    pub(crate) fn connection(self: &Arc<Self>, protocol: Protocol) -> Open {
        let labels = OfConnection { protocol };
        self.opened.get_or_create(&labels).inc();
        self.open.get_or_create(&labels).inc();
        Open { traffic: Arc::clone(self), labels }
    }

    /// Something became of a credential on some connection.
    pub(crate) fn credential(
        &self,
        credential: &Arc<str>,
        outcome: &'static str,
        reason: &'static str,
    ) {
        let labels = OfCredential { credential: Arc::clone(credential), outcome, reason };
        self.credentials.get_or_create(&labels).inc();
    }
}

/// A connection that is there.
#[derive(Debug)]
pub(crate) struct Open {
    traffic: Arc<Traffic>,
    labels: OfConnection,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.traffic.open.get_or_create(&self.labels).dec();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLimit {
    limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfList {
    credential: String,
    file: String,
}

/// Everything that is known now.
pub(crate) fn render(live: &Live, reloader: &Reloader) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("countersign_gateway");
    let traffic = &live.meters().traffic;
    registry.register("connections", "Connections that are open", traffic.open.clone());
    registry.register("connections_opened", "Connections since the start", traffic.opened.clone());
    register_requests(&mut registry, &traffic.requests);
    registry.register(
        "credentials",
        "What became of credentials: proven, rejected, declined, unanswered, lost",
        traffic.credentials.clone(),
    );
    register_servers(&mut registry, &live.shared().upstreams.servers());
    let limits: Family<OfLimit, Counter> = Family::default();
    for reason in Reason::ALL {
        let labels = OfLimit { limit: reason.label() };
        limits.get_or_create(&labels).inc_by(live.meters().refusals.get(reason));
    }
    registry.register("limits_reached", "How often a limit refused, put off or cut off", limits);

    register_verification(&mut registry, live);
    let (written, lost) = live.meters().audit.totals();
    registry.register(
        "audit_lines_written",
        "Lines of the audit log that were written",
        ConstCounter::new(written),
    );
    registry.register(
        "audit_lines_lost",
        "Lines of the audit log that could not be written",
        ConstCounter::new(lost),
    );
    registry.register_with_unit(
        "started_at",
        "When the gateway was started",
        Unit::Seconds,
        ConstGauge::new(traffic.started.as_secs()),
    );
    registry.register("build", "Which version this is", build());

    let status = reloader.status();
    registry.register(
        "configurations_loaded",
        "Configurations that were taken, the first one included",
        ConstCounter::new(status.generation),
    );
    registry.register(
        "configurations_refused",
        "Configurations that were refused",
        ConstCounter::new(status.refusals),
    );
    registry.register_with_unit(
        "configuration_loaded_at",
        "When the configuration in force was taken",
        Unit::Seconds,
        ConstGauge::new(status.loaded_at.as_secs()),
    );
    registry.register(
        "configuration_refused",
        "Whether a later configuration was refused (1) or not (0)",
        ConstGauge::new(u64::from(status.failure.is_some())),
    );
    let lists: Family<OfList, Gauge> = Family::default();
    for (credential, list) in live.state().revocation_lists() {
        let labels = OfList { credential: credential.to_owned(), file: list.label().to_owned() };
        lists
            .get_or_create(&labels)
            .set(i64::try_from(list.next_update().as_secs()).unwrap_or(i64::MAX));
    }
    registry.register_with_unit(
        "revocation_list_next_update",
        "Until when each revocation list counts",
        Unit::Seconds,
        lists,
    );
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLookup {
    outcome: &'static str,
}

fn register_verification(registry: &mut Registry, live: &Live) {
    let stats = live.chain_stats();
    let lookups = [("hit", stats.hits), ("miss", stats.misses), ("shared", stats.shared)];
    let series = |(outcome, number)| (OfLookup { outcome }, ConstCounter::new(number));
    registry.register(
        "chain_lookups",
        "Chains of certificates that were remembered (hit), verified (miss), or being verified for somebody else (shared)",
        Series(lookups.map(series).into()),
    );
    registry.register(
        "chains_remembered",
        "Chains of certificates that are remembered as verified",
        ConstGauge::new(live.state().chains().len()),
    );
    registry.register(
        "verifications_waiting",
        "Proofs that wait to be verified",
        ConstGauge::new(live.waiting() as u64),
    );
}

fn register_requests(registry: &mut Registry, requests: &Requests) {
    let collected = requests.collect();
    registry.register(
        "requests",
        "Requests by what became of them; the reason is empty where a backend answered",
        Series(collected.requests),
    );
    registry.register_with_unit(
        "response_time",
        "The time until the header section of a response",
        Unit::Seconds,
        Series(collected.response),
    );
    registry.register_with_unit(
        "held_time",
        "The time that requests waited for their client to prove credentials; others are not counted",
        Unit::Seconds,
        Series(collected.held),
    );
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfServer {
    server: String,
    /// Empty for a URL in a route.
    upstream: String,
}

fn register_servers(registry: &mut Registry, servers: &[ServerState]) {
    let labels = |state: &ServerState| OfServer {
        server: state.server.clone(),
        upstream: state.upstream.clone().unwrap_or_default(),
    };
    let gauge = |value: fn(&ServerState) -> u64| {
        Series(servers.iter().map(|one| (labels(one), ConstGauge::new(value(one)))).collect())
    };
    let counter = |value: fn(&ServerState) -> u64| {
        Series(servers.iter().map(|one| (labels(one), ConstCounter::new(value(one)))).collect())
    };
    registry.register(
        "server_up",
        "Whether a server of an upstream gets requests (1) or is left out (0)",
        gauge(|server| server.up.into()),
    );
    registry.register(
        "server_requests",
        "Requests that are at a server",
        gauge(|server| server.in_flight as u64),
    );
    registry.register(
        "server_answers",
        "Responses that a server began",
        counter(|server| server.answered),
    );
    registry.register(
        "server_failures",
        "Requests that a server gave no response to",
        counter(|server| server.failed),
    );
}

fn build() -> Info<Vec<(&'static str, &'static str)>> {
    Info::new(vec![("version", env!("CARGO_PKG_VERSION"))])
}

/// What was collected for one scrape.
#[derive(Debug)]
struct Series<S, M>(Vec<(S, M)>);

impl<S: EncodeLabelSet, M: EncodeMetric + TypedMetric> EncodeMetric for Series<S, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.iter().try_for_each(|(labels, metric)| metric.encode(encoder.encode_family(labels)?))
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}
