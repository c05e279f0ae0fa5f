//! `[[routes]]`.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use http::{HeaderValue, Uri};

use super::credentials::{NAME_PATTERN, is_name, patterns};
use super::diagnostic::{Source, suggestion};
use super::keys::{Key, Keys, Kind, NAME};
use super::table::{At, Table};
use super::upstreams::{self, Known};
use crate::forward::Forward;
use crate::path::NormalPath;
use crate::route::{Duplicate, Route, RouteTable, Rule};
use crate::upstream::Upstream;

pub(super) const KEYS: Keys = &[
    Key::needed(
        "path",
        Kind::Text("^/[^?#;]*$"),
        "What the route covers: this path and everything below it; the longest wins.",
    ),
    Key::default(
        "require",
        Kind::List(&Kind::Text(NAME)),
        "[]",
        "The credentials that a request needs.",
    ),
    Key::new(
        "allow",
        Kind::NonEmpty(&Kind::Table(RULE_KEYS)),
        "Rules, one of which must fit; without them, whoever holds what is required may pass.",
    ),
    Key::default(
        "without_extension",
        Kind::Text("^(refuse|redirect:https?://.+)$"),
        "\"refuse\"",
        "What clients get that cannot be asked for a credential: 403, or 303 to a URL.",
    ),
    Key::needed(
        "upstream",
        Kind::OneOrMore(&Kind::Text("^((http|h2c)://.+|[A-Za-z0-9_-]{1,64})$")),
        "Where requests go: the name of a table in [upstreams], or http://HOST:PORT, or h2c://HOST:PORT for HTTP/2 without TLS; one URL or a list.",
    ),
    Key::new("forward", Kind::Table(FORWARD_KEYS), "What the backend is told about the caller."),
];

const RULE_KEYS: Keys = &[
    Key::needed("credential", Kind::Text(NAME), "The credential that is looked at."),
    Key::needed(
        "subject_alt_names",
        Kind::NonEmpty(&NAME_PATTERN),
        "Patterns; one must fit one of the certificate's names.",
    ),
];

const FORWARD_KEYS: Keys = &[
    Key::new(
        "client_cert",
        Kind::Text(NAME),
        "The credential that goes into Client-Cert and Client-Cert-Chain (RFC 9440).",
    ),
    Key::default(
        "xfcc",
        Kind::Flag,
        "false",
        "Whether the backend gets X-Forwarded-Client-Cert as Envoy writes it.",
    ),
    Key::default(
        "identities",
        Kind::Flag,
        "false",
        "Whether the backend gets Client-Identities, which lists all credentials.",
    ),
];

/// Reads all routes; `credentials` and `upstreams` are the names that they may use.
pub(crate) fn read(
    root: &Table<'_>,
    credentials: &[Arc<str>],
    upstreams: &Known,
) -> Option<RouteTable> {
    let source = root.source();
    let tables = root.tables("routes");
    if root.get("routes").is_none() || tables.as_ref().is_some_and(Vec::is_empty) {
        source.mistake(
            0..0,
            "there is no [[routes]]: every request would get 404",
            "for example: [[routes]] with `path = \"/\"` and `upstream = \"http://127.0.0.1:9000\"`".to_owned(),
        );
        return None;
    }
    let read: Vec<_> = tables?
        .into_iter()
        .map(|At { value, span }| {
            one(&Table::new(source, "[[routes]]", value, span, KEYS), credentials, upstreams)
        })
        .collect();
    let read: Vec<(NormalPath, Route, Range<usize>)> = read.into_iter().collect::<Option<_>>()?;
    let spans: Vec<Range<usize>> = read.iter().map(|(_, _, span)| span.clone()).collect();
    match RouteTable::new(read.into_iter().map(|(path, route, _)| (path, route)).collect()) {
        Ok(table) => Some(table),
        Err(Duplicate { first, second }) => {
            duplicate(source, &spans, first, second);
            None
        }
    }
}

fn duplicate(source: &Source<'_>, spans: &[Range<usize>], first: usize, second: usize) {
    let span = |index: usize| spans.get(index).cloned().unwrap_or_default();
    source.mistake(
        span(second),
        format!(
            "two routes for one path; the first is on line {}",
            source.line_of(span(first).start)
        ),
        "paths that differ only in case or in a `/` at their end count as the same".to_owned(),
    );
}

fn one(
    table: &Table<'_>,
    credentials: &[Arc<str>],
    upstreams: &Known,
) -> Option<(NormalPath, Route, Range<usize>)> {
    // Everything is read before anything is given up, so that all mistakes are found.
    let path = path(table);
    let require = require(table, credentials);
    let allow = match (table.get("allow"), &require) {
        (None, _) => Some(None),
        (Some(_), Some(require)) => allow(table, require, credentials).map(Some),
        (Some(_), None) => None,
    };
    let forward = match table.table("forward") {
        Some(forward) => self::forward(table.source(), forward, &require, credentials),
        None if table.get("forward").is_some() => None,
        None => Some(Forward::default()),
    };
    let without_extension = match table.get("without_extension") {
        Some(_) => without_extension(table),
        None => Some(None),
    };
    let upstream = upstream(table, upstreams);
    let (path, span) = path?;
    let route = Route {
        path: path.as_str().to_owned(),
        require: require?,
        allow: allow?,
        without_extension: without_extension?,
        upstream: upstream?,
        forward: forward?,
        meter: OnceLock::new(),
    };
    Some((path, route, span))
}

fn path(table: &Table<'_>) -> Option<(NormalPath, Range<usize>)> {
    let At { value, span } = table.needed("path", "path = \"/admin/\"")?;
    match NormalPath::parse(value) {
        Ok(path)
            if path.as_str() == value
                && !value.contains("//")
                && !value.contains(['?', '#'])
                && !path.decoded().contains(';') =>
        {
            Some((path, span))
        }
        outcome => {
            table.source().mistake(
                span,
                match outcome {
                    Err(error) => format!("`{value}` is no path for a route: {error}"),
                    Ok(_) => format!("`{value}` is no path for a route: it is not in its normal form"),
                },
                "an absolute path such as `/admin/`, without dot segments, `//`, `;`, `?`, `#` and needless percent-encoding".to_owned(),
            );
            None
        }
    }
}

/// Where clients that cannot be asked are sent, if not refused.
fn without_extension(table: &Table<'_>) -> Option<Option<HeaderValue>> {
    let At { value, span } = table.string("without_extension")?;
    let read = match value.strip_prefix("redirect:") {
        Some(url) => absolute_url(url).map(Some),
        None => (value == "refuse").then_some(None),
    };
    if read.is_none() {
        table.source().mistake(
            span,
            format!("`{value}` is no value of `without_extension`"),
            "`refuse`, or `redirect:` and a URL such as `redirect:https://example.test/help`"
                .to_owned(),
        );
    }
    read
}

/// A URL that may stand in `Location`: with a scheme of HTTP and a host, without a user name.
fn absolute_url(text: &str) -> Option<HeaderValue> {
    let url: Uri = text.parse().ok()?;
    let host = url.authority().filter(|authority| !authority.as_str().contains('@'))?.host();
    let sound = matches!(url.scheme_str(), Some("https" | "http")) && !host.is_empty();
    HeaderValue::from_str(text).ok().filter(|_| sound)
}

/// One URL, a list of them, or the name of a table.
fn upstream(table: &Table<'_>, upstreams: &Known) -> Option<Upstream> {
    let source = table.source();
    if let Some(list) = table.get("upstream").filter(|value| value.get_ref().is_array()) {
        let servers = upstreams::targets(source, table.strings("upstream")?)?;
        upstreams::without_tls(source, list.span(), &servers)?;
        return upstreams::alike(source, "upstream", list.span(), servers, Upstream::new);
    }
    let one = table.needed("upstream", "upstream = \"http://127.0.0.1:9000\"")?;
    if is_name(one.value) {
        return upstreams.find(source, &one);
    }
    let span = one.span.clone();
    let servers = upstreams::targets(source, vec![one])?;
    upstreams::without_tls(source, span.clone(), &servers)?;
    upstreams::alike(source, "upstream", span, servers, Upstream::new)
}

/// Finds a credential by its name, or notes that there is none.
fn credential(source: &Source<'_>, name: &At<&str>, credentials: &[Arc<str>]) -> Option<Arc<str>> {
    let found = credentials.iter().find(|known| &***known == name.value).cloned();
    if found.is_none() {
        source.mistake(
            name.span.clone(),
            format!("there is no credential `{}`", name.value),
            suggestion(name.value, credentials.iter().map(|known| &**known), "known credentials"),
        );
    }
    found
}

fn require(table: &Table<'_>, credentials: &[Arc<str>]) -> Option<Vec<Arc<str>>> {
    if table.get("require").is_none() {
        return Some(Vec::new());
    }
    let source = table.source();
    let mut required: Vec<Arc<str>> = Vec::new();
    let mut sound = true;
    for name in table.strings("require")? {
        match credential(source, &name, credentials) {
            Some(known) if required.contains(&known) => {
                source.mistake(
                    name.span,
                    format!("`{known}` is required twice"),
                    "once is enough".to_owned(),
                );
                sound = false;
            }
            Some(known) => required.push(known),
            None => sound = false,
        }
    }
    sound.then_some(required)
}

fn allow(table: &Table<'_>, require: &[Arc<str>], credentials: &[Arc<str>]) -> Option<Vec<Rule>> {
    let source = table.source();
    let rules = table.tables("allow")?;
    if rules.is_empty() {
        let span = table.get("allow").map_or_else(|| table.span(), toml::Spanned::span);
        source.mistake(
            span,
            "`allow` is an empty list: nobody could pass",
            "leave it out to let everybody pass who holds what the route requires".to_owned(),
        );
        return None;
    }
    let rules: Vec<Option<Rule>> = rules
        .into_iter()
        .map(|At { value, span }| {
            let table = Table::new(source, "allow", value, span, RULE_KEYS);
            rule(&table, require, credentials)
        })
        .collect();
    rules.into_iter().collect()
}

fn rule(table: &Table<'_>, require: &[Arc<str>], credentials: &[Arc<str>]) -> Option<Rule> {
    let source = table.source();
    let named = table.needed("credential", "credential = \"user\"");
    if table.get("subject_alt_names").is_none() {
        table.missing("subject_alt_names", "subject_alt_names = [\"alice@example.test\"]");
    }
    let subject_alt_names = patterns(table, "subject_alt_names");
    let named = named?;
    let credential = credential(source, &named, credentials)?;
    if !require.contains(&credential) {
        source.mistake(
            named.span,
            format!("`{credential}` is looked at by `allow` but not required by the route"),
            format!("add it: require = [{}]", quoted(require.iter().chain([&credential]))),
        );
        return None;
    }
    Some(Rule { credential, subject_alt_names: subject_alt_names? })
}

fn quoted<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> String {
    names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn forward(
    source: &Source<'_>,
    At { value, span }: At<&toml::de::DeTable<'_>>,
    require: &Option<Vec<Arc<str>>>,
    credentials: &[Arc<str>],
) -> Option<Forward> {
    let table = Table::new(source, "forward", value, span, FORWARD_KEYS);
    let identities = table.boolean("identities").is_some_and(|flag| flag.value);
    let client_cert = match table.string("client_cert") {
        Some(name) => Some(credential(source, &name, credentials)?),
        None if table.get("client_cert").is_some() => return None,
        None => None,
    };
    let xfcc = match table.boolean("xfcc") {
        Some(At { value: true, span }) => {
            // One element per hop: so one credential, the one that `client_cert` names or the only
            // one.
            let only = match require.as_deref() {
                Some([only]) => Some(Arc::clone(only)),
                _ => None,
            };
            let chosen = client_cert.clone().or(only);
            if chosen.is_none() && require.is_some() {
                source.mistake(
                    span,
                    "`xfcc` tells of one credential, and it is not clear of which",
                    "name it with `client_cert`, or require exactly one".to_owned(),
                );
                return None;
            }
            chosen
        }
        _ => None,
    };
    Some(Forward { client_cert, xfcc, identities })
}
