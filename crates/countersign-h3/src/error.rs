//! Why this backend ends a connection, and how errors of QUIC look to the HTTP/3 stack.

use std::sync::Arc;

use countersign_proto::{CodePoints, ErrorCode, Violation};
use h3::quic::{ConnectionErrorIncoming, StreamErrorIncoming};

/// HTTP/3's error codes (RFC 9114, section 8.1) that are sent from here.
pub(crate) const H3_NO_ERROR: ErrorCode = ErrorCode(0x100);
const H3_CLOSED_CRITICAL_STREAM: ErrorCode = ErrorCode(0x104);
const H3_FRAME_ERROR: ErrorCode = ErrorCode(0x106);
const H3_EXCESSIVE_LOAD: ErrorCode = ErrorCode(0x107);
const H3_SETTINGS_ERROR: ErrorCode = ErrorCode(0x109);
const H3_MISSING_SETTINGS: ErrorCode = ErrorCode(0x10a);

/// What the peer did wrong, where this backend noticed it before the HTTP/3 stack.
///
/// The connection is closed with [`PeerError::code`], and the stack gets this value inside
/// [`ConnectionErrorIncoming::Undefined`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// A rule of the extension.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The control stream began with another frame than SETTINGS.
    #[error("the control stream does not begin with SETTINGS")]
    MissingSettings,
    /// SETTINGS has an entry that is cut.
    #[error("SETTINGS is malformed")]
    MalformedSettings,
    /// SETTINGS has two entries with one identifier.
    #[error("SETTINGS has an identifier twice")]
    RepeatedSetting,
    /// A frame other than DATA that is longer than accepted; the stack would have buffered it.
    #[error("a frame declares a length beyond what is accepted")]
    FrameTooLong,
    /// The control stream ended inside of a frame of the extension.
    #[error("the control stream ended inside of a frame")]
    TruncatedFrame,
    /// The peer does not want our control stream.
    #[error("the peer stopped reading the control stream")]
    ControlStreamStopped,
}

impl PeerError {
    /// The code for CONNECTION_CLOSE. `points` are those of the connection.
    pub fn code(self, points: &CodePoints) -> ErrorCode {
        match self {
            Self::Violation(violation) => violation.h3_code(points),
            Self::MissingSettings => H3_MISSING_SETTINGS,
            Self::MalformedSettings | Self::TruncatedFrame => H3_FRAME_ERROR,
            Self::RepeatedSetting => H3_SETTINGS_ERROR,
            Self::FrameTooLong => H3_EXCESSIVE_LOAD,
            Self::ControlStreamStopped => H3_CLOSED_CRITICAL_STREAM,
        }
    }
}

/// An error of the connection, for the stack.
pub(crate) fn connection_error(error: quinn::ConnectionError) -> ConnectionErrorIncoming {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into_inner() }
        }
        quinn::ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error @ (quinn::ConnectionError::VersionMismatch
        | quinn::ConnectionError::TransportError(_)
        | quinn::ConnectionError::ConnectionClosed(_)
        | quinn::ConnectionError::Reset
        | quinn::ConnectionError::LocallyClosed
        | quinn::ConnectionError::CidsExhausted) => {
            ConnectionErrorIncoming::Undefined(Arc::new(error))
        }
    }
}

/// The same on a stream.
pub(crate) fn on_stream(connection_error: ConnectionErrorIncoming) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error }
}

/// A mistake in the use of the traits, or in this crate: the stack closes with H3_INTERNAL_ERROR.
pub(crate) fn internal(what: &str) -> ConnectionErrorIncoming {
    ConnectionErrorIncoming::InternalError(what.to_owned())
}
