//! What an error on the way to a server means, for the client and for a second attempt.

use std::error::Error as StdError;
use std::{fmt, io};

use crate::problem::{Kind, Problem};

const NOT_IN_TIME: &str = "The upstream did not accept the connection in time.";

/// Why a server gave no response.
#[derive(Debug)]
pub(super) struct Failure {
    /// What the client is told.
    pub(super) problem: Problem,
    /// Certainly nothing of the request was processed.
    pub(super) unsent: bool,
    /// It is the client that did not go on, not the server.
    pub(super) by_client: bool,
    /// The server said over HTTP/2 that it did not process the request, and may do so another time
    /// (RFC 9113, section 8.7).
    pub(super) refused: bool,
    /// The connection is not one for further requests.
    pub(super) ends_connection: bool,
    /// The connection had been kept from earlier requests; a new one may do better.
    pub(super) was_kept: bool,
}

impl Failure {
    fn new(kind: Kind, detail: &str) -> Self {
        Self {
            problem: Problem::new(kind, detail),
            unsent: false,
            by_client: false,
            refused: false,
            ends_connection: true,
            was_kept: false,
        }
    }

    /// Reads an error of a connection that was there. The client is told no address.
    pub(super) fn of(error: &(dyn StdError + 'static)) -> Self {
        tracing::warn!(error = %Chain(error), "an upstream failed");
        let causes = || std::iter::successors(Some(error), |error| (**error).source());
        let http2 = causes().find_map(|cause| cause.downcast_ref::<h2::Error>());
        let io = causes()
            .find_map(|cause| cause.downcast_ref::<io::Error>())
            .or_else(|| http2.and_then(h2::Error::get_io));
        let malformed = causes()
            .filter_map(|cause| cause.downcast_ref::<hyper::Error>())
            .any(hyper::Error::is_parse);
        let refused = http2.is_some_and(is_refusal);
        let (kind, detail) = match io.and_then(tls_failure) {
            Some(told) => told,
            None if malformed => {
                (Kind::UpstreamProtocol, "The upstream's answer is not valid HTTP.")
            }
            None if refused => (Kind::UpstreamClosed, "The upstream refused the request."),
            None => {
                (Kind::UpstreamClosed, "The upstream closed the connection before it had answered.")
            }
        };
        Self {
            refused,
            unsent: refused,
            ends_connection: !http2.is_some_and(h2::Error::is_reset),
            ..Self::new(kind, detail)
        }
    }

    /// Reads an error of a connection that did not come about.
    pub(super) fn connecting(error: &io::Error) -> Self {
        tracing::warn!(error = %Chain(error), "an upstream cannot be reached");
        let told = match (tls_failure(error), error.kind()) {
            (Some(told), _) => told,
            (None, io::ErrorKind::ConnectionRefused) => {
                (Kind::UpstreamRefused, "The upstream refused the connection.")
            }
            (None, io::ErrorKind::TimedOut) => (Kind::UpstreamTimeout, NOT_IN_TIME),
            (None, _) => (Kind::UpstreamUnreachable, "The upstream cannot be reached."),
        };
        Self::new(told.0, told.1).unsent()
    }

    /// A connection that was not there in time.
    pub(super) fn not_accepted() -> Self {
        Self::new(Kind::UpstreamTimeout, NOT_IN_TIME).unsent()
    }

    /// A request that cannot be written down.
    pub(super) fn malformed() -> Self {
        let failure = Self::new(Kind::BadRequest, "The request target is malformed.");
        Self { by_client: true, ends_connection: false, ..failure }
    }

    /// A server that speaks HTTP/2 and takes no extended CONNECT.
    pub(super) fn no_extended_connect() -> Self {
        let detail = "The upstream speaks HTTP/2 only and takes no WebSocket over it.";
        // Nothing is wrong with the server for others.
        Self { by_client: true, ..Self::new(Kind::UpstreamProtocol, detail) }
    }

    /// A response that did not begin in time; `by_client` where the request's body stood still.
    pub(super) fn late(by_client: bool) -> Self {
        let detail = if by_client {
            "The request's body did not go on in time, and the upstream did not answer without it."
        } else {
            "The upstream did not answer in time."
        };
        Self { by_client, ..Self::new(Kind::UpstreamLate, detail) }
    }

    /// The same, where it is known that nothing was sent.
    pub(super) fn unsent(self) -> Self {
        Self { unsent: true, ..self }
    }

    /// The same over a connection that had been kept.
    pub(super) fn over_kept(self) -> Self {
        Self { was_kept: true, ..self }
    }

    /// Whether what the server may have begun with may be asked for again. One that takes long is not made
    /// faster by a second request.
    pub(super) fn may_repeat(&self) -> bool {
        self.unsent || self.problem.kind == Kind::UpstreamClosed
    }
}

/// RST_STREAM with REFUSED_STREAM, or a GOAWAY without an error that was not about this stream any more.
fn is_refusal(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let left_out = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    error.is_remote() && (refused || left_out)
}

/// What is wrong with TLS, if it is TLS.
fn tls_failure(error: &io::Error) -> Option<(Kind, &'static str)> {
    let Some(cause) = error.get_ref()?.downcast_ref::<rustls::Error>() else {
        // HTTP/2 keeps of such an error no more than its kind.
        let is_tls = error.kind() == io::ErrorKind::InvalidData;
        return is_tls.then_some((Kind::UpstreamTls, "TLS to the upstream failed."));
    };
    let is_certificate = matches!(
        cause,
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented
    );
    Some(if is_certificate {
        (Kind::UpstreamCertificate, "The upstream's certificate is not acceptable.")
    } else if matches!(cause, rustls::Error::AlertReceived(_)) {
        (Kind::UpstreamAlert, "The upstream ended the TLS handshake.")
    } else {
        (Kind::UpstreamTls, "TLS to the upstream failed.")
    })
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
