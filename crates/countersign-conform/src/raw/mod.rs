//! A peer that sends exactly what a case tells it to, over either version.
//!
//! It knows frames and no more: no flow control, no stream states, no answers of its own but acknowledgements of SETTINGS and
//! PING. What arrives is read in the background and kept until it is asked for. Bytes that cannot be sent are dropped: that
//! the peer has closed shows in what comes back.

pub mod fields;
mod forms;
mod h2;
mod h3;
mod listen;
mod peer;

use bytes::Bytes;

pub use self::forms::Form;
pub use self::h2::{FLAG_ACK, FLAG_END_HEADERS, FLAG_END_STREAM, Frame as H2Frame, PREFACE};
pub use self::listen::Listener;
pub use self::peer::Peer;
use crate::case::Version;

/// Frame types that both versions number alike (RFC 9113, section 6; RFC 9114, section 7.2).
pub mod kind {
    #![expect(missing_docs, reason = "the names are those of the specifications")]
    pub const DATA: u64 = 0;
    pub const HEADERS: u64 = 1;
    pub const RST_STREAM: u64 = 3;
    pub const SETTINGS: u64 = 4;
    pub const PING: u64 = 6;
    pub const GOAWAY: u64 = 7;
    pub const CONTINUATION: u64 = 9;
    /// What is neither DATA nor HEADERS but in HTTP/2.
    pub const WINDOW_UPDATE: u64 = 8;
}

/// Types of unidirectional streams of HTTP/3 (RFC 9114, section 6.2).
pub mod stream {
    #![expect(missing_docs, reason = "the names are those of the specification")]
    pub const CONTROL: u64 = 0;
    pub const PUSH: u64 = 1;
}

/// The longest payload that is read. In HTTP/2 this is announced.
pub const GREATEST: usize = 1 << 20;

/// Something that the peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A frame, on a request stream or (none) on stream 0 or the control stream. A second control stream and push streams
    /// count as streams like those of requests.
    Frame {
        /// The stream.
        stream: Option<u64>,
        /// The type.
        kind: u64,
        /// The flags; 0 in HTTP/3.
        flags: u8,
        /// What follows the header.
        payload: Bytes,
    },
    /// The end of a stream, clean or not.
    StreamEnded(u64),
    /// The end of the control stream of HTTP/3.
    ControlEnded,

    /// The header of a frame that is longer than [`GREATEST`]; nothing more is read.
    Oversized,
    /// The end of the connection. Nothing follows.
    Closed(End),
}

/// How a connection ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// The error code, unless it ended without one or without an error.
    pub code: Option<u64>,
    /// What the peer says about it.
    pub text: String,
}

/// What a wait came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It arrived.
    Arrived(Arrival),
    /// The connection ended first.
    Closed(End),
    /// Nothing happened in time.
    Silence,
}

/// What follows the header of a frame.
pub fn payload(arrival: Arrival) -> Bytes {
    match arrival {
        Arrival::Frame { payload, .. } => payload,
        Arrival::StreamEnded(_)
        | Arrival::ControlEnded
        | Arrival::Oversized
        | Arrival::Closed(_) => Bytes::new(),
    }
}

/// Whether it is SETTINGS.
pub fn is_settings(arrival: &Arrival) -> bool {
    matches!(arrival, Arrival::Frame { stream: None, kind: kind::SETTINGS, .. })
}

/// What a peer says, fit for a terminal and for one line.
pub fn printable(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { '\u{fffd}' } else { one }).collect()
}

/// The payload of a SETTINGS frame.
pub fn settings_payload(version: Version, settings: &[(u64, u64)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (identifier, value) in settings {
        match version {
            Version::Http2 => {
                payload.extend(u16::try_from(*identifier).unwrap_or(u16::MAX).to_be_bytes());
                payload.extend(u32::try_from(*value).unwrap_or(u32::MAX).to_be_bytes());
            }
            Version::Http3 => {
                payload.extend(crate::bytes::varint(*identifier));
                payload.extend(crate::bytes::varint(*value));
            }
        }
    }
    payload
}

/// What a SETTINGS frame announces; none if it does not decode.
pub fn parse_settings(version: Version, payload: &[u8]) -> Option<Vec<(u64, u64)>> {
    let mut reader = crate::bytes::Reader(payload);
    let mut settings = Vec::new();
    while !reader.is_empty() {
        settings.push(match version {
            Version::Http2 => (reader.number(2)?, reader.number(4)?),
            Version::Http3 => (reader.varint()?, reader.varint()?),
        });
    }
    Some(settings)
}
