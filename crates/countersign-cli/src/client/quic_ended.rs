//! How an HTTP/3 connection ended, and what its errors mean for whoever asked.

use countersign::{Closed, CodePoints};
use countersign_h3::PeerError;
use h3::error::{ConnectionError, LocalError, StreamError};
use h3::quic::ConnectionErrorIncoming;

use super::Protocol;
use super::ended::Ended;
use crate::failure::{Exit, Failure};
use crate::names;

/// The error of the connection in the error of a request, unless the request alone failed.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others are errors of one stream")]
pub(super) fn of_connection(error: &StreamError) -> Option<&ConnectionError> {
    match error {
        StreamError::ConnectionError { 0: error, .. } => Some(error),
        _ => None,
    }
}

/// What it means that one request failed.
pub(super) fn stream_failure(error: &StreamError) -> Failure {
    match error {
        StreamError::RemoteTerminate { code, .. } => {
            let (name, code) = (names::h3_error(code.value()), code.value());
            Failure::new(Exit::Http3, format!("the request was reset with {name} ({code:#x})"))
        }
        StreamError::StreamError { code, reason, .. } => {
            Failure::new(Exit::Http3, format!("the response cannot be used: {reason} ({code})"))
        }
        StreamError::HeaderTooBig { actual_size, max_size, .. } => Failure::new(
            Exit::Http3,
            format!("a header section of {actual_size} bytes is too large; {max_size} are allowed"),
        ),
        StreamError::RemoteClosing { .. } => {
            Failure::new(Exit::Empty, "the server takes no more requests on this connection")
        }
        StreamError::ConnectionError { .. } | StreamError::Undefined { .. } | _ => {
            Failure::new(Exit::Receive, format!("the response did not arrive: {error}"))
        }
    }
}

/// What the end of the connection means for a request that was under way.
pub(super) fn connection_failure(ended: &Ended) -> Failure {
    ended.complaint(Exit::Http3).unwrap_or_else(|| match &ended.reason {
        Some(reason) if ended.initiator == "transport" => {
            Failure::new(Exit::Receive, format!("the response did not arrive: {reason}"))
        }
        _ => Failure::new(Exit::Empty, "the server closed the connection without a response"),
    })
}

/// How a connection ended: from what the extension says, the stack, and QUIC, whoever knows best.
pub(super) fn ended(
    stack: Option<&ConnectionError>,
    closed: Option<&Closed>,
    quic: Option<&quinn::ConnectionError>,
    points: &CodePoints,
) -> Ended {
    if let Some(Closed::Violation(violation)) = closed {
        let code = violation.h3_code(points).0;
        return Ended::with_h3_code("client", code, Some(violation.to_string()));
    }
    match stack {
        Some(ConnectionError::Remote { 0: ConnectionErrorIncoming::Undefined(cause), .. }) => {
            if let Some(error) = cause.downcast_ref::<PeerError>() {
                let code = error.code(points).0;
                return Ended::with_h3_code("client", code, Some(error.to_string()));
            }
        }
        Some(ConnectionError::Local {
            error: LocalError::Application { code, reason, .. },
            ..
        }) => return Ended::with_h3_code("client", code.value(), Some(reason.clone())),
        Some(_) | None => {}
    }
    match quic {
        Some(quinn::ConnectionError::ApplicationClosed(close)) => {
            let reason = String::from_utf8_lossy(&close.reason).into_owned();
            let reason = Some(reason).filter(|reason| !reason.is_empty());
            Ended::with_h3_code("server", close.error_code.into_inner(), reason)
        }
        Some(quinn::ConnectionError::LocallyClosed) | None => match stack {
            Some(error) => Ended::broken(error.to_string()),
            None => Ended::by_us(Protocol::Http3),
        },
        Some(error) => Ended::broken(error.to_string()),
    }
}
