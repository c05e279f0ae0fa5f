//! What an error on the way to a server means, for the client and for a second attempt.

use std::error::Error as StdError;
use std::{fmt, io};

use hyper_util::client::legacy;

use crate::problem::{Kind, Problem};

const NOT_IN_TIME: &str = "The upstream did not accept the connection in time.";

/// Why a server gave no response.
#[derive(Debug)]
pub(super) struct Failure {
    /// What the client is told.
    pub(super) problem: Problem,
    /// Certainly nothing of the request was sent.
    pub(super) unsent: bool,
    /// It is the client that did not go on, not the server.
    pub(super) by_client: bool,
}

impl Failure {
    /// Reads an error. The client is told no address.
    pub(super) fn of(error: &(dyn StdError + 'static)) -> Self {
        tracing::warn!(error = %Chain(error), "an upstream failed");
        let causes = || std::iter::successors(Some(error), |error| (**error).source());
        let io_kind =
            causes().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        let connecting = causes()
            .filter_map(|cause| cause.downcast_ref::<legacy::Error>())
            .any(legacy::Error::is_connect)
            || error.is::<io::Error>();
        let malformed = causes()
            .filter_map(|cause| cause.downcast_ref::<hyper::Error>())
            .any(hyper::Error::is_parse);
        let (kind, detail) = if io_kind == Some(io::ErrorKind::ConnectionRefused) {
            (Kind::UpstreamRefused, "The upstream refused the connection.")
        } else if connecting && io_kind == Some(io::ErrorKind::TimedOut) {
            (Kind::UpstreamTimeout, NOT_IN_TIME)
        } else if connecting {
            (Kind::UpstreamUnreachable, "The upstream cannot be reached.")
        } else if malformed {
            (Kind::UpstreamProtocol, "The upstream's answer is not valid HTTP.")
        } else {
            (Kind::UpstreamClosed, "The upstream closed the connection before it had answered.")
        };
        Self { problem: Problem::new(kind, detail), unsent: connecting, by_client: false }
    }

    /// A connection that was not there in time.
    pub(super) fn not_accepted() -> Self {
        let problem = Problem::new(Kind::UpstreamTimeout, NOT_IN_TIME);
        Self { problem, unsent: true, by_client: false }
    }

    /// A response that did not begin in time; `by_client` where the request's body stood still.
    pub(super) fn late(by_client: bool) -> Self {
        let detail = if by_client {
            "The request's body did not go on in time, and the upstream did not answer without it."
        } else {
            "The upstream did not answer in time."
        };
        Self { problem: Problem::new(Kind::UpstreamLate, detail), unsent: false, by_client }
    }

    /// The same, where it is known that nothing was sent.
    pub(super) fn unsent(self) -> Self {
        Self { unsent: true, ..self }
    }

    /// Whether another server may be asked for what this one may have begun with. One that takes long
    /// is not made faster by asking a second one.
    pub(super) fn may_repeat(&self) -> bool {
        self.unsent || self.problem.kind == Kind::UpstreamClosed
    }
}

/// An error with its causes, in one line.
struct Chain<'a>(&'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
