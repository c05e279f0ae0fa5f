//! The one decision per request, the same for every HTTP version.
//!
//! Method and authority, which the connection must be certified for, then the path, then the route, then its credentials, then its `allow`.
//! Whatever is not admitted here reaches no backend.

use std::sync::Arc;

use countersign_proto::Rejection;
use futures_util::future::join_all;
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderValue, Method, request};
use rustls::pki_types::UnixTime;

use crate::caller::Caller;
use crate::path::NormalPath;
use crate::problem::{Denial, Kind, Problem};
use crate::route::{Route, RouteTable, Rule};

/// What the decision needs to know about a connection.
pub(crate) trait Connection: Sync {
    /// The identity for `credential`: at once if it is held, otherwise the client is asked and
    /// waited for.
    fn require(&self, credential: &str)
    -> impl Future<Output = Result<Arc<Caller>, Denial>> + Send;

    /// All identities that are held now.
    fn held(&self) -> Vec<Arc<Caller>>;

    /// Whether the client was shown a certificate for `host`, a DNS name or an IP address without
    /// brackets. Where the client takes further certificates and there is one, it is shown it first.
    fn is_certified_for(&self, host: &str) -> bool;

    /// Is told each step of a decision as it is taken.
    fn follow(&self, _step: Step<'_>) {}
}

/// One step of a decision.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    /// Whether the client was shown a certificate for the request's host.
    Authority { host: &'a str, certified: bool },
    /// The path, normalised.
    Path(&'a NormalPath),
    /// The route that it takes.
    Route(&'a Arc<Route>),
    /// One of the credentials that the route requires.
    Credential { name: &'a str, outcome: Result<&'a Arc<Caller>, Denial> },
    /// One rule of `allow`; those behind one that admits are not looked at.
    Rule { rule: &'a Rule, admits: bool },
}

/// A request that may pass.
#[derive(Debug)]
pub(crate) struct Admission {
    /// The route that it takes.
    pub(crate) route: Arc<Route>,
    /// The path to forward.
    pub(crate) path: NormalPath,
    /// The authority that the client named.
    pub(crate) authority: HeaderValue,
    /// The identities that the connection holds; where the route requires one, the one that was
    /// decided about.
    pub(crate) callers: Vec<Arc<Caller>>,
}

/// Decides about a request. Holds it while the client is asked for credentials.
pub(crate) async fn decide<C: Connection>(
    routes: &RouteTable,
    request: &request::Parts,
    connection: &C,
    now: impl Fn() -> UnixTime,
) -> Result<Admission, Problem> {
    if request.method == Method::CONNECT || request.method == Method::TRACE {
        return Err(not_passed_on(request, connection));
    }
    let (authority, value) = authority(request)?;
    let host = host_of(&authority);
    let certified = connection.is_certified_for(host);
    connection.follow(Step::Authority { host, certified });
    if !certified {
        return Err(Problem::new(
            Kind::Misdirected,
            "No certificate for the request's authority was shown on this connection.",
        ));
    }
    let path = NormalPath::parse(request.uri.path())
        .map_err(|error| Problem::new(Kind::BadRequest, sentence(&error.to_string())))?;
    connection.follow(Step::Path(&path));
    let route = routes.find(&path).map_err(|_| {
        Problem::new(
            Kind::BadRequest,
            "The path is ambiguous: with its slashes merged, its parameters dropped or in \
             another case it would take another route.",
        )
    })?;
    let Some(route) = route else {
        return Err(Problem::new(Kind::NoRoute, "No route leads to this path."));
    };
    connection.follow(Step::Route(route));

    // All at once, so that the client is asked for all before the first answer is awaited.
    let required = join_all(route.require.iter().map(|name| connection.require(name))).await;
    let now = now();
    let mut callers = Vec::with_capacity(required.len());
    let mut denials = Vec::new();
    for (name, outcome) in route.require.iter().zip(required) {
        let outcome = match outcome {
            Ok(caller) if caller.has_expired(now) => Err(Denial::Rejected(Rejection::Expired)),
            outcome => outcome,
        };
        connection.follow(Step::Credential { name, outcome: outcome.as_ref().map_err(|e| *e) });
        match outcome {
            Ok(caller) => callers.push(caller),
            Err(denial) => denials.push((Arc::clone(name), denial)),
        }
    }
    if !denials.is_empty() {
        let cannot_be_asked = denials.iter().any(|(_, denial)| *denial == Denial::Missing);
        let instead = route.without_extension.as_ref().filter(|_| cannot_be_asked);
        return Err(Problem { instead: instead.cloned(), ..Problem::denied(&denials) });
    }
    if let Some(rules) = &route.allow
        && !rules.iter().any(|rule| {
            let admits = rule.admits(&callers);
            connection.follow(Step::Rule { rule, admits });
            admits
        })
    {
        return Err(not_allowed(route));
    }

    // A client may show another certificate for the same credential meanwhile; the one that was
    // decided about is the one that the backend is told of.
    for caller in connection.held() {
        let known = callers.iter().any(|other| other.credential() == caller.credential());
        if !known && !caller.has_expired(now) {
            callers.push(caller);
        }
    }
    Ok(Admission { route: Arc::clone(route), path, authority: value, callers })
}

/// CONNECT and TRACE. Who asks for a tunnel to a host that is served here is shown a certificate for
/// it, and needs no tunnel (server draft, section 3.2).
fn not_passed_on<C: Connection>(request: &request::Parts, connection: &C) -> Problem {
    let mut detail = format!("The method {} is not passed on.", request.method);
    if request.method == Method::CONNECT
        && let Some(authority) = request.uri.authority()
        && connection.is_certified_for(host_of(authority))
    {
        detail += &format!(
            " {} is served here: send the requests for it on this connection, without a tunnel.",
            authority.host()
        );
    }
    Problem::new(Kind::NotImplemented, detail)
}

/// The host of an authority, an IPv6 address without its brackets.
fn host_of(authority: &Authority) -> &str {
    let host = authority.host();
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn not_allowed(route: &Route) -> Problem {
    let mut credentials: Vec<Arc<str>> = Vec::new();
    for rule in route.allow.iter().flatten() {
        if !credentials.contains(&rule.credential) {
            credentials.push(Arc::clone(&rule.credential));
        }
    }
    Problem {
        kind: Kind::NotAllowed,
        detail: "The credentials are in order, but not of a caller that this route lets pass."
            .into(),
        credentials,
        instead: None,
    }
}

/// The authority that a request is for: `:authority` or the target's, else `Host`. There must be
/// exactly one, and where both are given they must agree (RFC 9113, section 8.3.1).
fn authority(request: &request::Parts) -> Result<(Authority, HeaderValue), Problem> {
    let bad = |detail: &str| Err(Problem::new(Kind::BadRequest, detail));
    let mut hosts = request.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return bad("The request has more than one Host field.");
    }
    let text = match (request.uri.authority(), host) {
        (Some(authority), Some(host))
            if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            return bad("The request's target and its Host field name different authorities.");
        }
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => match host.to_str() {
            Ok(host) => host,
            Err(_) => return bad("The Host field is not a host name."),
        },
        (None, None) => return bad("The request names no authority."),
    };
    match (text.parse::<Authority>(), HeaderValue::from_str(text)) {
        (Ok(authority), Ok(value)) if !authority.host().is_empty() && !text.contains('@') => {
            Ok((authority, value))
        }
        _ => bad("The request's authority is not a host name with an optional port."),
    }
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).chain(['.']).collect()
}

#[cfg(test)]
mod tests;
