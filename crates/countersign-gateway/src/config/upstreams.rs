//! `[upstreams.NAME]`: servers, and how they are spoken to.

#[cfg(test)]
mod tests;
mod tls;

use std::ops::Range;
use std::sync::Arc;

use http::StatusCode;
use http::uri::PathAndQuery;
use rustls::crypto::CryptoProvider;
use toml::Spanned;
use toml::de::DeValue;

use super::credentials::is_name;
use super::diagnostic::{Source, suggestion};
use super::keys::{Key, Keys, Kind};
use super::limits::{number, time};
use super::table::{At, Table};
use crate::upstream::{HealthCheck, Settings, Target, Upstream};

pub(super) const KEYS: Keys = &[
    Key::needed(
        "servers",
        Kind::NonEmpty(&Kind::Text("^(http|h2c|https)://.+$")),
        "URLs, all of one scheme; https is HTTP/2 or HTTP/1.1 over TLS.",
    ),
    Key::default(
        "connect_timeout",
        Kind::Duration,
        "\"5s\"",
        "Time for a server to accept a connection, with its TLS handshake.",
    ),
    Key::default(
        "first_byte_timeout",
        Kind::Duration,
        "\"60s\"",
        "Time for a server to begin its response once it has the request.",
    ),
    Key::default(
        "idle_timeout",
        Kind::Duration,
        "\"60s\"",
        "How long a body may stand still, in either direction.",
    ),
    Key::default("retries", Kind::Integer(0, 3), "1", "How often a request is sent again at most."),
    Key::default(
        "max_idle_connections",
        Kind::Integer(0, 100_000),
        "1024",
        "Unused HTTP/1.1 connections that are kept for one server.",
    ),
    Key::default(
        "http",
        Kind::Word(&["auto", "1.1", "2"]),
        "\"auto\"",
        "For https: which versions are offered in ALPN.",
    ),
    Key::new("tls", Kind::Table(tls::KEYS), "For https, which needs it."),
    Key::new("health", Kind::Table(HEALTH_KEYS), "Health checks; without it there are none."),
];

const HEALTH_KEYS: Keys = &[
    Key::needed("path", Kind::Text("^/"), "What is asked for."),
    Key::default("interval", Kind::Duration, "\"10s\"", "From one check to the next."),
    Key::default("timeout", Kind::Duration, "\"5s\"", "Time for one check, with its connection."),
    Key::default(
        "healthy",
        Kind::Integer(1, 100),
        "2",
        "So many passed checks in a row take a server in again.",
    ),
    Key::default(
        "unhealthy",
        Kind::Integer(1, 100),
        "3",
        "So many failed checks in a row take a server out.",
    ),
    Key::new(
        "status",
        Kind::Integer(200, 599),
        "The only status that passes; without it every 2xx does.",
    ),
];

/// All tables, by their names. What has a mistake in it is there without a value, so that routes are not told
/// off for it.
#[derive(Debug, Default)]
pub(super) struct Known(Vec<(Arc<str>, Option<Upstream>)>);

impl Known {
    /// The upstream of this name, or a mistake if there is none.
    pub(super) fn find(&self, source: &Source<'_>, name: &At<&str>) -> Option<Upstream> {
        if let Some((_, upstream)) = self.0.iter().find(|(known, _)| **known == *name.value) {
            return upstream.clone();
        }
        source.mistake(
            name.span.clone(),
            format!("there is no upstream `{}`", name.value),
            suggestion(name.value, self.0.iter().map(|(known, _)| &**known), "known upstreams"),
        );
        None
    }
}

/// Reads all of `[upstreams]`.
pub(super) fn read(root: &Table<'_>, provider: &Arc<CryptoProvider>) -> Known {
    let source = root.source();
    let Some(At { value, span }) = root.table("upstreams") else { return Known::default() };
    let mut known = Known::default();
    for (key, value) in Table::open(source, "[upstreams]", value, span).entries() {
        let name: Arc<str> = (&**key.get_ref()).into();
        if !is_name(&name) {
            source.mistake(
                key.span(),
                format!("`{name}` is no name for an upstream"),
                "1 to 64 letters, digits, `-` and `_`".to_owned(),
            );
        }
        let upstream = one(source, &name, value, provider);
        known.0.push((name, upstream));
    }
    known
}

fn one(
    source: &Source<'_>,
    name: &Arc<str>,
    value: &Spanned<DeValue<'_>>,
    provider: &Arc<CryptoProvider>,
) -> Option<Upstream> {
    let title = format!("[upstreams.{name}]");
    let Some(entries) = value.get_ref().as_table() else {
        source.mistake(
            value.span(),
            format!("`upstreams.{name}` must be a table"),
            format!("found: {}", value.get_ref().type_str()),
        );
        return None;
    };
    let table = Table::new(source, &title, entries, value.span(), KEYS);
    let servers = servers(&table);
    let mut settings = Settings::default();
    // Everything is read before anything is given up, so that all mistakes are found.
    let read = [
        time(&table, "connect_timeout", &mut settings.connect_timeout),
        time(&table, "first_byte_timeout", &mut settings.first_byte_timeout),
        time(&table, "idle_timeout", &mut settings.idle_timeout),
        number(&table, "retries", &mut settings.retries),
        number(&table, "max_idle_connections", &mut settings.max_idle_connections),
    ];
    let is_tls = servers.as_ref().map(|(servers, _)| servers.iter().any(Target::is_tls));
    let tls = tls::read(&table, is_tls, provider);
    let health = match table.table("health") {
        Some(At { value, span }) => {
            health(&Table::new(source, "health", value, span, HEALTH_KEYS)).map(Some)
        }
        None => table.get("health").is_none().then_some(None),
    };
    read.into_iter().collect::<Option<()>>()?;
    (settings.tls, settings.health) = (tls?, health?);
    let (servers, span) = servers?;
    alike(source, "servers", span, servers, |servers| {
        Upstream::named(Some(Arc::clone(name)), servers, settings)
    })
}

fn servers(table: &Table<'_>) -> Option<(Vec<Target>, Range<usize>)> {
    let Some(list) = table.get("servers") else {
        table.missing("servers", "servers = [\"http://127.0.0.1:9000\"]");
        return None;
    };
    Some((targets(table.source(), table.strings("servers")?)?, list.span()))
}

/// Reads URLs.
pub(super) fn targets(source: &Source<'_>, urls: Vec<At<&str>>) -> Option<Vec<Target>> {
    let targets: Vec<Option<Target>> = urls.into_iter().map(|url| target(source, url)).collect();
    targets.into_iter().collect()
}

fn target(source: &Source<'_>, At { value, span }: At<&str>) -> Option<Target> {
    match Target::parse(value) {
        Ok(target) => Some(target),
        Err(error) => {
            source.mistake(
                span,
                format!("`{value}` is no upstream: {error}"),
                "for example: `http://127.0.0.1:9000`, or `h2c://127.0.0.1:9000` for HTTP/2"
                    .to_owned(),
            );
            None
        }
    }
}

/// Makes an upstream of servers, which have to be alike.
pub(super) fn alike(
    source: &Source<'_>,
    key: &str,
    span: Range<usize>,
    servers: Vec<Target>,
    make: impl FnOnce(Vec<Target>) -> Option<Upstream>,
) -> Option<Upstream> {
    let upstream = make(servers);
    if upstream.is_none() {
        source.mistake(
            span,
            format!("`{key}` needs at least one server, and all of them must have the same scheme"),
            "for example: [\"http://127.0.0.1:9000\", \"http://127.0.0.1:9001\"]".to_owned(),
        );
    }
    upstream
}

/// Refuses `https` where nothing says whom to trust.
pub(super) fn without_tls(
    source: &Source<'_>,
    span: Range<usize>,
    servers: &[Target],
) -> Option<()> {
    let is_tls = servers.iter().any(Target::is_tls);
    if is_tls {
        source.mistake(
            span,
            "an upstream with `https` needs a table that says whom to trust",
            "write [upstreams.NAME] with `servers` and `tls = { trust = \"ca.pem\" }`, and `upstream = \"NAME\"`"
                .to_owned(),
        );
    }
    (!is_tls).then_some(())
}

fn health(table: &Table<'_>) -> Option<HealthCheck> {
    let path = table.needed("path", "path = \"/healthz\"").and_then(|At { value, span }| {
        let path = PathAndQuery::try_from(value).ok().filter(|_| value.starts_with('/'));
        if path.is_none() {
            table.source().mistake(
                span,
                format!("`{value}` is no path"),
                "an absolute path such as `/healthz`, with a query if need be".to_owned(),
            );
        }
        path
    });
    let mut check = HealthCheck::new(PathAndQuery::from_static("/"));
    let mut status = 0_u16;
    let read = [
        time(table, "interval", &mut check.interval),
        time(table, "timeout", &mut check.timeout),
        number(table, "healthy", &mut check.healthy),
        number(table, "unhealthy", &mut check.unhealthy),
        number(table, "status", &mut status),
    ];
    read.into_iter().collect::<Option<()>>()?;
    check.path = path?;
    check.status = StatusCode::from_u16(status).ok();
    Some(check)
}
