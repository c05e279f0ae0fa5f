//! One request as it is told about: counted at its end, and said in the audit log.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;

use http::header::HOST;
use http::request;
use tokio::time::Instant;

use crate::audit::{self, Line};
use crate::caller::Caller;
use crate::held::Waiting;
use crate::limits::Limits;
use crate::metrics::{Outcome, RouteMeter};
use crate::policy::{Admission, Connection, Step};
use crate::problem::{Denial, Kind, Problem};
use crate::route::Route;
use crate::session::Session;
use crate::span::Span;
use crate::trace;
use crate::witness::{Witness, rejected};

/// From the request's header section to that of its response. What is dropped before that was abandoned.
pub(crate) struct Observation<'a> {
    session: &'a Session,
    number: u64,
    started: Instant,
    /// When the client was first waited for.
    held: OnceLock<Instant>,
    /// Its place among those that wait, if it found one.
    waiting: OnceLock<Option<Waiting<'a>>>,
    limits: &'a Limits,
    route: OnceLock<Arc<Route>>,
    admitted: bool,
    ended: bool,
    /// What the audit log is to say, if there is one.
    notes: Option<Box<Mutex<Notes>>>,
    span: Span,
}

type Held = Result<Arc<Caller>, Denial>;

struct Notes {
    method: http::Method,
    authority: String,
    path: String,
    trace: Option<String>,
    held: Option<f64>,
    credentials: Vec<(Arc<str>, Held)>,
}

impl<'a> Observation<'a> {
    /// A request has come.
    pub(crate) fn begin(
        session: &'a Session,
        limits: &'a Limits,
        request: &request::Parts,
    ) -> Self {
        let witness = session.witness();
        Self {
            session,
            number: witness.next_request(),
            started: Instant::now(),
            held: OnceLock::new(),
            waiting: OnceLock::new(),
            limits,
            route: OnceLock::new(),
            admitted: false,
            ended: false,
            span: Span::begin(witness, request),
            notes: witness.is_audited().then(|| Box::new(Mutex::new(Notes::of(request)))),
        }
    }

    /// Its number on the connection.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// It passes.
    pub(crate) fn admit(&mut self, admission: &Admission) {
        self.admitted = true;
        self.decided();
        if let Some(notes) = &mut self.notes {
            let notes = notes.get_mut().unwrap_or_else(PoisonError::into_inner);
            let callers = admission.callers.iter();
            notes.credentials = callers
                .map(|caller| (caller.credential().into(), Ok(Arc::clone(caller))))
                .collect();
        }
    }

    /// Says in the fields that a backend gets which trace it belongs to.
    pub(crate) fn trace(&mut self, route: &Route, headers: &mut http::HeaderMap) {
        if !self.span.go_on(route, headers) {
            trace::pass_or_begin(headers);
        }
        if let Some(notes) = &mut self.notes {
            let notes = notes.get_mut().unwrap_or_else(PoisonError::into_inner);
            notes.trace = trace::id(headers).map(str::to_owned);
        }
    }

    /// A backend has answered.
    pub(crate) fn answered(mut self, status: http::StatusCode) {
        self.end(Outcome::Answered, Some(status), "");
    }

    /// It is refused, or no backend has answered; or it was abandoned while a credential was waited for.
    pub(crate) fn refused(mut self, problem: &Problem) {
        if !self.admitted {
            self.decided();
        }
        if problem.kind == Kind::ClientGone {
            return self.end(Outcome::Abandoned, None, "");
        }
        let outcome = match (self.admitted, &problem.instead) {
            (true, _) => Outcome::Failed,
            (false, Some(_)) => Outcome::Redirected,
            (false, None) => Outcome::Refused,
        };
        self.end(outcome, Some(problem.status()), problem.kind.label());
    }

    /// Lets it wait for the client; `false` if too many do.
    fn may_wait(&self) -> bool {
        let witness = self.session.witness();
        let place = self.waiting.get_or_init(|| match witness.queue().enter(self.limits) {
            Ok(waiting) => Some(waiting),
            Err(limit) => {
                witness.refusals().count(limit);
                None
            }
        });
        if place.is_some() {
            self.held.get_or_init(Instant::now);
        }
        place.is_some()
    }

    fn witness(&self) -> &Witness {
        self.session.witness()
    }

    fn meter(&self) -> &RouteMeter {
        let meter = self.route.get().and_then(|route| route.meter.get());
        let unrouted = || self.witness().traffic().requests.unrouted();
        meter.map(|meter| &**meter).unwrap_or_else(unrouted)
    }

    /// No credential is waited for any more.
    fn decided(&mut self) {
        self.waiting.take();
        let Some(held) = self.held.get().map(Instant::elapsed) else {
            return;
        };
        self.meter().held(self.witness().protocol(), held);
        if let Some(notes) = &mut self.notes {
            let notes = notes.get_mut().unwrap_or_else(PoisonError::into_inner);
            notes.held = Some(held.as_secs_f64());
        }
    }

    fn end(&mut self, outcome: Outcome, status: Option<http::StatusCode>, reason: &'static str) {
        self.ended = true;
        let (duration, status) = (self.started.elapsed(), status.map(|status| status.as_u16()));
        self.meter().request(self.witness().protocol(), outcome, status, reason, duration);
        self.span.end(self.route.get().map(|route| &**route), outcome, status, reason);
        let Some(notes) = self.notes.take() else {
            return;
        };
        let notes = notes.into_inner().unwrap_or_else(PoisonError::into_inner);
        let credentials: Vec<_> =
            notes.credentials.iter().map(|(name, outcome)| credential(name, outcome)).collect();
        let decision = match outcome {
            Outcome::Answered | Outcome::Failed => Some("pass"),
            Outcome::Refused => Some("refuse"),
            Outcome::Redirected => Some("redirect"),
            Outcome::Abandoned => self.admitted.then_some("pass"),
        };
        let reason = match outcome {
            Outcome::Abandoned => Some("abandoned"),
            Outcome::Answered => None,
            Outcome::Refused | Outcome::Redirected | Outcome::Failed => Some(reason),
        };
        self.witness().write(Line {
            event: "request",
            request: Some(audit::Request {
                id: self.number,
                method: notes.method.as_str(),
                authority: &notes.authority,
                path: &notes.path,
                trace: notes.trace.as_deref(),
            }),
            route: self.route.get().map(|route| route.path.as_str()),
            decision,
            status,
            reason,
            held: notes.held,
            duration: status.map(|_| duration.as_secs_f64()),
            credentials: Some(&credentials),
            ..Line::default()
        });
    }
}

impl Drop for Observation<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Outcome::Abandoned, None, "");
        }
    }
}

fn credential<'a>(name: &'a str, outcome: &'a Held) -> audit::Credential<'a> {
    let denied = |outcome| audit::Credential::named(Some(name), outcome);
    match outcome {
        Ok(caller) => audit::Credential::of(caller, Some(name), "held"),
        Err(Denial::Missing) => denied("missing"),
        Err(Denial::Declined) => denied("declined"),
        Err(Denial::Timeout) => denied("unanswered"),
        Err(Denial::Gone) => denied("connection-closed"),
        Err(Denial::Overloaded) => denied("not-awaited"),
        Err(Denial::Rejected(rejection)) => denied(rejected(*rejection)),
    }
}

impl Notes {
    fn of(request: &request::Parts) -> Self {
        let host = || {
            let host = request.headers.get(HOST).map(|host| host.as_bytes());
            String::from_utf8_lossy(host.unwrap_or_default()).into_owned()
        };
        Self {
            method: request.method.clone(),
            authority: request.uri.authority().map_or_else(host, ToString::to_string),
            path: request.uri.path().to_owned(),
            trace: trace::id(&request.headers).map(str::to_owned),
            held: None,
            credentials: Vec::new(),
        }
    }
}

/// The session's, with an eye on it.
impl Connection for Observation<'_> {
    async fn require(&self, credential: &str) -> Result<Arc<Caller>, Denial> {
        let mut requiring = std::pin::pin!(self.session.require(credential));
        std::future::poll_fn(|context| {
            let outcome = requiring.as_mut().poll(context);
            if outcome.is_pending() && !self.may_wait() {
                return Poll::Ready(Err(Denial::Overloaded));
            }
            outcome
        })
        .await
    }

    fn held(&self) -> Vec<Arc<Caller>> {
        self.session.held()
    }

    fn is_certified_for(&self, host: &str) -> bool {
        self.session.is_certified_for(host)
    }

    fn follow(&self, step: Step<'_>) {
        self.session.follow(step);
        if let Step::Route(route) = step {
            let _first = self.route.set(Arc::clone(route));
        }
        let Some(notes) = &self.notes else {
            return;
        };
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        match step {
            Step::Path(path) => path.as_str().clone_into(&mut notes.path),
            Step::Credential { name, outcome } => {
                notes.credentials.push((name.into(), outcome.map(Arc::clone)));
            }
            Step::Authority { .. } | Step::Route(_) | Step::Rule { .. } => {}
        }
    }
}
