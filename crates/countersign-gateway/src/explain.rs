//! A decision told step by step, without a network.
//!
//! It is [`policy::decide`] that decides, as for every request. The connection is made up: a client
//! that holds given certificates, was shown what such a client would be shown, and presents of its
//! certificates the first that the gateway takes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use countersign::server::{ServerCertificate, ServerCertificates};
use countersign_proto::Rejection;
use http::{HeaderMap, Method, Request, Uri, Version, header::HOST};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use serde::Serialize;

use crate::caller::Caller;
use crate::certificates::{ByServerName, offer_for, offers};
use crate::config::Config;
use crate::credential::Credential;
use crate::path::NormalPath;
use crate::policy::{self, Connection, Step};
use crate::problem::Denial;

/// A request, and who makes it.
#[derive(Clone, Debug)]
pub struct Question {
    /// Its method.
    pub method: Method,
    /// Its URL, with scheme and authority.
    pub url: Uri,
    /// HTTP/1.1, whose clients cannot be asked and show at most one certificate, in the handshake; or
    /// HTTP/2 or HTTP/3, whose clients are taken to have the extension.
    pub version: Version,
    /// The client's certificate chains, leaf first, each with what to call it.
    pub identities: Vec<(String, Vec<CertificateDer<'static>>)>,
}

/// What becomes of a request, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Whether it reaches the upstream.
    pub allowed: bool,
    /// The status of the refusal.
    pub status: Option<u16>,
    /// The type of the refusal's problem document, a URI.
    pub problem: Option<String>,
    /// Where the client is sent instead.
    pub location: Option<String>,
    /// The refusal in words.
    pub detail: Option<String>,
    /// The steps of the decision, in their order, as sentences.
    pub steps: Vec<Told>,
    /// The upstream.
    pub upstream: Option<String>,
    /// The path that is forwarded.
    pub path: Option<String>,
    /// The identity fields that the upstream gets, values cut short.
    pub fields: Vec<(String, String)>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// `authority`, `path`, `route`, `credential` or `allow`.
    pub step: &'static str,
    /// Whether the request gets past it.
    pub passed: bool,
    /// What was found.
    pub text: String,
}

/// Decides about a request as a gateway with this configuration would at `now`.
///
/// # Errors
///
/// The reason if the question cannot be put as a request.
pub async fn explain(
    config: &Config,
    question: &Question,
    now: UnixTime,
) -> Result<Explanation, http::Error> {
    let authority = question.url.authority().map_or("", |authority| authority.as_str());
    let request = match question.version {
        Version::HTTP_11 => Request::builder()
            .uri(question.url.path_and_query().map_or("/", |path| path.as_str()))
            .header(HOST, authority),
        _ => Request::builder().uri(question.url.clone()),
    };
    let (parts, ()) =
        request.version(question.version).method(&question.method).body(())?.into_parts();
    let client = Imagined::new(config, question, now);
    let decided = policy::decide(&config.routes, &parts, &client, || now).await;
    let mut told = Explanation {
        allowed: decided.is_ok(),
        status: None,
        problem: None,
        location: None,
        detail: None,
        steps: client.told.into_inner().unwrap_or_else(PoisonError::into_inner),
        upstream: None,
        path: None,
        fields: Vec::new(),
    };
    match decided {
        Ok(admission) => {
            let mut fields = HeaderMap::new();
            admission.route.forward.apply(&admission.callers, &mut fields);
            told.fields =
                fields.iter().map(|(name, value)| (name.to_string(), brief(value))).collect();
            told.upstream = Some(admission.route.upstream.to_string());
            told.path = Some(admission.path.as_str().to_owned());
        }
        Err(problem) => {
            told.status = Some(problem.status().as_u16());
            told.problem = Some(problem.type_uri());
            told.location = problem
                .instead
                .as_ref()
                .map(|url| String::from_utf8_lossy(url.as_bytes()).into_owned());
            told.detail = Some(problem.detail);
        }
    }
    Ok(told)
}

/// The first characters of a field's value, and how long it is.
fn brief(value: &http::HeaderValue) -> String {
    const SHOWN: usize = 60;
    let text = String::from_utf8_lossy(value.as_bytes());
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => {
            let start = text.get(..end).unwrap_or_default();
            format!("{start}… ({} octets)", value.len())
        }
        None => text.into_owned(),
    }
}

/// A connection of a client that holds some certificates.
struct Imagined<'a> {
    config: &'a Config,
    question: &'a Question,
    certificates: ServerCertificates,
    now: UnixTime,
    told: Mutex<Vec<Told>>,
}

impl<'a> Imagined<'a> {
    fn new(config: &'a Config, question: &'a Question, now: UnixTime) -> Self {
        let certificates = ServerCertificates::new(offers(&config.certificates));
        Self { config, question, certificates, now, told: Mutex::default() }
    }

    fn tell(&self, step: &'static str, passed: bool, text: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(Told { step, passed, text });
    }

    fn has_extension(&self) -> bool {
        self.question.version != Version::HTTP_11
    }

    /// The certificate of the handshake, which a client that goes to `host` by name indicates it for.
    fn handshake_covers(&self, host: &str) -> bool {
        let name = host.parse::<std::net::IpAddr>().is_err().then_some(host);
        let chosen = ByServerName::new(&self.config.certificates).choose(name);
        let used = self
            .config
            .certificates
            .iter()
            .find(|one| chosen.as_ref().is_some_and(|key| Arc::ptr_eq(key, &one.key)));
        used.is_some_and(|one| ServerCertificate::new(one.credential.clone()).covers(host))
    }

    /// What each certificate of the client is worth as `credential`.
    fn judged(&self, credential: &Credential) -> Vec<(&'a str, Result<Arc<Caller>, Rejection>)> {
        let judge = |chain: &[CertificateDer<'static>]| {
            credential.judge(chain, self.now)?;
            Caller::read(&credential.name, chain).map(Arc::new)
        };
        let shown = if self.has_extension() { usize::MAX } else { 1 };
        let identities = self.question.identities.iter().take(shown);
        identities.map(|(label, chain)| (label.as_str(), judge(chain))).collect()
    }

    /// Whether one of a chain's issuers is among those that the request for `credential` names.
    fn would_present(credential: &Credential, chain: &[CertificateDer<'_>]) -> bool {
        let hints = credential.verifier.root_hint_subjects();
        chain.iter().any(|certificate| {
            crate::caller::parse(certificate).is_ok_and(|certificate| {
                hints.iter().any(|hint| hint.as_ref() == certificate.issuer().as_raw())
            })
        })
    }

    fn outcome(&self, credential: &Credential) -> Result<Arc<Caller>, Denial> {
        if !self.has_extension() && !credential.accept_handshake {
            return Err(Denial::Missing);
        }
        let judged = self.judged(credential);
        if let Some(caller) = judged.iter().find_map(|(_, outcome)| outcome.as_ref().ok()) {
            return Ok(Arc::clone(caller));
        }
        let rejected =
            judged.iter().zip(&self.question.identities).find_map(|((_, outcome), (_, chain))| {
                outcome.as_ref().err().filter(|_| Self::would_present(credential, chain))
            });
        match rejected {
            Some(rejection) => Err(Denial::Rejected(*rejection)),
            None if self.has_extension() => Err(Denial::Declined),
            None => Err(Denial::Missing),
        }
    }

    fn tell_path(&self, path: &NormalPath) {
        let raw = self.question.url.path();
        self.tell(
            "path",
            true,
            match path.as_str() {
                normal if normal == raw => format!("{raw} is in its normal form"),
                normal => format!("{raw} becomes {normal}"),
            },
        );
        let names = |loosely| {
            let routes = self.config.routes.covering(path, loosely);
            routes.map(|route| route.path.as_str()).collect::<Vec<_>>()
        };
        let (strict, loose) = (names(false), names(true));
        if strict.first() != loose.first() {
            let or_none = |routes: &[&str]| routes.first().map_or("none", |path| path).to_owned();
            self.tell(
                "route",
                false,
                format!(
                    "read strictly the path takes {}, read loosely {}",
                    or_none(&strict),
                    or_none(&loose)
                ),
            );
        } else if strict.is_empty() {
            self.tell("route", false, "none covers the path".to_owned());
        }
    }

    fn tell_route(&self, route: &crate::route::Route) {
        let path = NormalPath::parse(self.question.url.path());
        let others: Vec<&str> = path
            .iter()
            .flat_map(|path| {
                self.config.routes.covering(path, false).skip(1).map(|route| route.path.as_str())
            })
            .collect();
        let why = match others.as_slice() {
            [] => "no other covers the path".to_owned(),
            others => format!("longer than {}, which cover the path too", others.join(", ")),
        };
        self.tell("route", true, format!("{}: {why}", route.path));
        if !route.require.is_empty() {
            let otherwise = match &route.without_extension {
                Some(url) => format!("sent to {}", String::from_utf8_lossy(url.as_bytes())),
                None => "refused with 403".to_owned(),
            };
            self.tell("route", true, format!("a client that cannot be asked is {otherwise}"));
        }
    }

    fn tell_credential(&self, name: &str, outcome: Result<&Arc<Caller>, Denial>) {
        let found = self.config.credentials.iter().find(|one| &*one.name == name);
        let asked = match found {
            Some(one) if !self.has_extension() && one.accept_handshake => "from the handshake",
            Some(_) if !self.has_extension() => "cannot be asked for",
            Some(one) if one.ask_on_connect => "asked for on connect",
            _ => "asked for by this request",
        };
        let result = match outcome {
            Ok(caller) => format!("held by {}", caller.subject()),
            Err(Denial::Missing) => "missing".to_owned(),
            Err(Denial::Declined) => "the client has none to show".to_owned(),
            Err(Denial::Rejected(rejection)) => format!("rejected: {rejection}"),
            Err(Denial::Timeout) => "not answered in time".to_owned(),
            Err(Denial::Gone) => "not there, since the client went away".to_owned(),
            Err(Denial::Overloaded) => "not waited for".to_owned(),
        };
        self.tell("credential", outcome.is_ok(), format!("{name}: {asked}; {result}"));
        for (label, judged) in found.map(|one| self.judged(one)).unwrap_or_default() {
            let text = match &judged {
                Ok(_) => "is accepted".to_owned(),
                Err(rejection) => format!("is not: {rejection}"),
            };
            self.tell("credential", judged.is_ok(), format!("{name}: {label} {text}"));
        }
    }
}

impl Connection for Imagined<'_> {
    async fn require(&self, credential: &str) -> Result<Arc<Caller>, Denial> {
        let found = self.config.credentials.iter().find(|one| &*one.name == credential);
        found.map_or(Err(Denial::Missing), |one| self.outcome(one))
    }

    /// What it is asked for when it connects, or shows in the handshake.
    fn held(&self) -> Vec<Arc<Caller>> {
        let shown = self
            .config
            .credentials
            .iter()
            .filter(|one| !self.has_extension() || one.ask_on_connect);
        shown.filter_map(|one| self.outcome(one).ok()).collect()
    }

    fn is_certified_for(&self, host: &str) -> bool {
        self.handshake_covers(host)
            || (self.has_extension() && offer_for(&self.certificates, host).is_some())
    }

    fn follow(&self, step: Step<'_>) {
        match step {
            Step::Authority { host, certified } => {
                let text = if self.handshake_covers(host) {
                    format!("{host} is in the certificate of the handshake")
                } else if certified {
                    format!("{host} is in a certificate that the live connection is offered")
                } else {
                    format!("{host} is in no certificate that the client is shown")
                };
                self.tell("authority", certified, text);
            }
            Step::Path(path) => self.tell_path(path),
            Step::Route(route) => self.tell_route(route),
            Step::Credential { name, outcome } => self.tell_credential(name, outcome),
            Step::Rule { rule, admits } => {
                let verb = if admits { "lets pass" } else { "does not let pass" };
                let patterns: Vec<String> =
                    rule.subject_alt_names.iter().map(|pattern| pattern.to_string()).collect();
                let text = format!("{} as {} {verb}", rule.credential, patterns.join(" or "));
                self.tell("allow", admits, text);
            }
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for told in &self.steps {
            let mark = if told.passed { "+" } else { "-" };
            writeln!(f, "{mark} {:<10} {}", told.step, told.text)?;
        }
        for (name, value) in &self.fields {
            writeln!(f, "  {name}: {value}")?;
        }
        match (&self.upstream, &self.path, self.status) {
            (Some(upstream), Some(path), _) => write!(f, "allowed: {path} goes to {upstream}"),
            (_, _, Some(status)) => {
                let detail = self.detail.as_deref().unwrap_or_default();
                write!(
                    f,
                    "refused: {status} {}: {detail}",
                    self.problem.as_deref().unwrap_or_default()
                )?;
                match &self.location {
                    Some(url) => write!(f, " The client is sent to {url}."),
                    None => Ok(()),
                }
            }
            _ => f.write_str("refused"),
        }
    }
}
