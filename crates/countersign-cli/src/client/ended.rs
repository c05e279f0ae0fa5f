//! How a connection ended, and what an HTTP error means for whoever asked.

use countersign::{Closed, CodePoints};
use serde::Serialize;

use crate::failure::{Exit, Failure, with_causes};
use crate::names;

/// How a connection ended: the event `closed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Ended {
    /// `client`, `server`, or `transport` where the connection broke.
    pub(crate) initiator: &'static str,
    /// The error code of HTTP/2; none for HTTP/1.1 and where no GOAWAY came.
    pub(crate) code: Option<u64>,
    /// The code's name.
    pub(crate) name: Option<String>,
    /// Why, for people.
    pub(crate) reason: Option<String>,
}

impl Ended {
    /// We had no more to ask.
    pub(crate) fn by_us(h2: bool) -> Self {
        Self::with_code("client", h2.then_some(0))
    }

    /// The server closed without an error.
    pub(crate) fn by_server() -> Self {
        Self::with_code("server", None)
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
            None => {
                let mut ended = Self::with_code("transport", None);
                ended.reason = Some(with_causes(error));
                ended
            }
        }
    }
}

fn code_name(code: u64) -> String {
    names::h2_error(u32::try_from(code).unwrap_or(u32::MAX)).to_owned()
}

/// What a failed request means for whoever asked, in curl's codes.
pub(crate) fn failure(error: &hyper::Error, ended: Option<&Ended>) -> Failure {
    if let Some(Ended { code: Some(code), initiator, name, reason }) = ended
        && *code != 0
    {
        let who = if *initiator == "server" { "the server" } else { "the client" };
        let name = name.as_deref().unwrap_or_default();
        let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let message = format!("{who} ended the connection with {name} ({code:#x}){why}");
        return Failure::new(Exit::Http2, message);
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
