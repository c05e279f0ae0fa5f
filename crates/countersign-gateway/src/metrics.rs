//! What is counted, as Prometheus reads it (text format of OpenMetrics 1.0).
//!
//! Labels have few values, all of them from the configuration or from here: never a name from a certificate,
//! a path or an address.

use std::sync::Arc;

use http::Version;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

use crate::live::Live;
use crate::refusals::Reason;
use crate::reload::Reloader;

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

impl EncodeLabelValue for Protocol {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let name = match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
            Self::Http3 => "h3",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

impl From<Version> for Protocol {
    fn from(version: Version) -> Self {
        match version {
            Version::HTTP_3 => Self::Http3,
            Version::HTTP_2 => Self::Http2,
            _ => Self::Http1,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfConnection {
    protocol: Protocol,
}

/// What became of a request. `reason` is empty where a backend answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    protocol: Protocol,
    status: u16,
    reason: &'static str,
}

/// What is counted while connections are served. Counters live as long as the gateway, across reloads.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    opened: Family<OfConnection, Counter>,
    open: Family<OfConnection, Gauge>,
    requests: Family<OfRequest, Counter>,
}

impl Traffic {
    /// A connection has begun; it ends when the value is dropped.
    pub(crate) fn connection(self: &Arc<Self>, protocol: Protocol) -> Open {
        let labels = OfConnection { protocol };
        self.opened.get_or_create(&labels).inc();
        self.open.get_or_create(&labels).inc();
        Open { traffic: Arc::clone(self), labels }
    }

    /// A request was answered: by a backend, or here for `reason`.
    pub(crate) fn request(&self, protocol: Protocol, status: u16, reason: &'static str) {
        self.requests.get_or_create(&OfRequest { protocol, status, reason }).inc();
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
    registry.register(
        "requests",
        "Requests by what became of them; the reason is empty where a backend answered",
        traffic.requests.clone(),
    );
    let limits: Family<OfLimit, Counter> = Family::default();
    for reason in Reason::ALL {
        let labels = OfLimit { limit: reason.label() };
        limits.get_or_create(&labels).inc_by(live.meters().refusals.get(reason));
    }
    registry.register("limits_reached", "How often a limit refused, put off or cut off", limits);

    let status = reloader.status();
    registry.register(
        "configurations_loaded",
        "Configurations that were taken, the first one included",
        ConstCounter::new(status.generation),
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
        let labels = OfList { credential: credential.to_owned(), file: list.file.clone() };
        lists.get_or_create(&labels).set(list.next_update.unwrap_or_default());
    }
    registry.register_with_unit(
        "revocation_list_next_update",
        "Until when each revocation list counts; 0 where it does not say",
        Unit::Seconds,
        lists,
    );
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}
