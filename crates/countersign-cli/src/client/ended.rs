//! How a connection ended, and what an HTTP error means for whoever asked.

use countersign::{Closed, CodePoints};
use serde::Serialize;

use super::Protocol;
use crate::failure::{Exit, Failure, with_causes};
use crate::names;

/// What an HTTP/3 connection is closed with when all is well.
pub(super) const H3_NO_ERROR: u64 = 0x100;

/// How a connection ended: the event `closed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Ended {
    /// `client`, `server`, or `transport` where the connection broke.
    pub(crate) initiator: &'static str,
    /// The error code of HTTP/2 or HTTP/3; none for HTTP/1.1 and where no GOAWAY or CONNECTION_CLOSE
    /// with one came.
    pub(crate) code: Option<u64>,
    /// The code's name.
    pub(crate) name: Option<String>,
    /// Why, for people.
    pub(crate) reason: Option<String>,
}

impl Ended {
    /// We had no more to ask.
    pub(crate) fn by_us(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http1 => Self::with_code("client", None),
            Protocol::Http2 => Self::with_code("client", Some(0)),
            Protocol::Http3 => Self::with_h3_code("client", H3_NO_ERROR, None),
        }
    }

    /// The server closed without an error.
    pub(crate) fn by_server() -> Self {
        Self::with_code("server", None)
    }

    /// Somebody closed a QUIC connection with this code, for this reason if any.
    pub(super) fn with_h3_code(initiator: &'static str, code: u64, reason: Option<String>) -> Self {
        Self { initiator, code: Some(code), name: Some(names::h3_error(code)), reason }
    }

    /// Something broke.
    pub(super) fn broken(reason: String) -> Self {
        Self { initiator: "transport", code: None, name: None, reason: Some(reason) }
    }

    /// Whether nobody complained.
    pub(super) fn in_peace(&self) -> bool {
        matches!(self.name.as_deref(), None | Some("NO_ERROR" | "H3_NO_ERROR"))
    }

    /// What it means for a request, if somebody complained.
    pub(super) fn complaint(&self, exit: Exit) -> Option<Failure> {
        let code = self.code.filter(|_| !self.in_peace())?;
        let who = if self.initiator == "server" { "the server" } else { "the client" };
        let name = self.name.as_deref().unwrap_or_default();
        let why = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let message = format!("{who} ended the connection with {name} ({code:#x}){why}");
        Some(Failure::new(exit, message))
    }

    fn with_code(initiator: &'static str, code: Option<u64>) -> Self {
        Self { initiator, code, name: code.map(code_name), reason: None }
    }

    /// From what the HTTP implementation says, and from what the extension knows better.
    pub(crate) fn by_error(
        error: &hyper::Error,
        closed: Option<&Closed>,
        points: &CodePoints,
    ) -> Self {
        if let Some(Closed::Violation(violation)) = closed {
            let mut ended = Self::with_code("client", Some(violation.h2_code(points).0));
            ended.reason = Some(violation.to_string());
            return ended;
        }
        match h2_error(error).and_then(|h2| Some((h2, h2.reason()?))) {
            Some((h2, reason)) => {
                let initiator = if h2.is_remote() { "server" } else { "client" };
                Self::with_code(initiator, Some(u32::from(reason).into()))
            }
            None => Self::broken(with_causes(error)),
        }
    }
}

fn code_name(code: u64) -> String {
    names::h2_error(u32::try_from(code).unwrap_or(u32::MAX)).to_owned()
}

/// What a failed request means for whoever asked, in curl's codes.
pub(crate) fn failure(error: &hyper::Error, ended: Option<&Ended>) -> Failure {
    if let Some(failure) = ended.and_then(|ended| ended.complaint(Exit::Http2)) {
        return failure;
    }
    if let Some(h2) = h2_error(error) {
        if h2.is_reset()
            && let Some(reason) = h2.reason()
        {
            let name = names::h2_error(reason.into());
            let message = format!("the request was reset with {name} ({:#x})", u32::from(reason));
            return Failure::new(Exit::Http2Stream, message);
        }
        if h2.reason().is_some() {
            return Failure::new(Exit::Http2, format!("HTTP/2 failed: {}", with_causes(error)));
        }
    }
    if error.is_incomplete_message() || error.is_canceled() {
        return Failure::new(Exit::Empty, "the server closed the connection without a response");
    }
    Failure::new(Exit::Receive, format!("the response did not arrive: {}", with_causes(error)))
}

/// Whether the connection goes on in spite of this error.
pub(crate) fn is_of_one_stream(error: &hyper::Error) -> bool {
    h2_error(error).is_some_and(h2::Error::is_reset)
}

/// The error of HTTP/2 beneath.
fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(h2) = error.downcast_ref() {
            return Some(h2);
        }
        cause = error.source();
    }
    None
}
