//! The extension's frames, numbers and errors as they stand on the wire, spelt out again.

use std::sync::LazyLock;

use countersign::{AuthenticatorRequest, CodePoints};
use countersign_testkit::raw::{flag, kind};
use countersign_testkit::{Frame, Version, raw_h3};

/// SETTINGS_HTTP_CLIENT_CERT_AUTH.
pub(crate) const CLIENT_CERT_AUTH: u16 = 0xff0c;
/// SETTINGS_HTTP_SERVER_CERT_AUTH.
pub(crate) const SERVER_CERT_AUTH: u16 = 0xff0d;
/// AUTHENTICATOR_REQUESTS.
pub(crate) const REQUESTS: u8 = 0xf5;
/// CERTIFICATE, and SERVER_CERTIFICATE unless they are set apart.
pub(crate) const CERTIFICATE: u8 = 0xf6;
/// SERVER_CERTIFICATE in [`set_apart`].
pub(crate) const SERVER_CERTIFICATE: u8 = 0xf7;

/// ORIGIN (RFC 8336, section 2; RFC 9412, section 2).
pub(crate) const ORIGIN: u8 = 0xc;

/// SERVER_CERTIFICATE_INVALID.
const SERVER_CERTIFICATE_INVALID: u32 = 0xff0e;
/// Error codes of RFC 9113, section 7.
pub(crate) const PROTOCOL_ERROR: u32 = 0x1;
pub(crate) const FRAME_SIZE_ERROR: u32 = 0x6;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 0xb;
/// Error codes of RFC 9114, section 8.1.
const H3_FRAME_UNEXPECTED: u64 = 0x105;
const H3_EXCESSIVE_LOAD: u64 = 0x107;
const H3_SETTINGS_ERROR: u64 = 0x109;
const H3_MESSAGE_ERROR: u64 = 0x10e;

pub(crate) const H3_CLOSED_CRITICAL_STREAM: u64 = 0x104;
pub(crate) const H3_FRAME_ERROR: u64 = 0x106;
pub(crate) const H3_MISSING_SETTINGS: u64 = 0x10a;

/// What a breach of a rule is answered with, in GOAWAY of HTTP/2 and in CONNECTION_CLOSE of HTTP/3.
#[derive(Clone, Copy)]
pub(crate) struct Code {
    pub(crate) h2: u32,
    pub(crate) h3: u64,
}

/// A frame that may not be there, whatever is in it.
pub(crate) const UNEXPECTED: Code = Code { h2: PROTOCOL_ERROR, h3: H3_FRAME_UNEXPECTED };
/// A frame that may be there, but not with these contents.
pub(crate) const MALFORMED: Code = Code { h2: PROTOCOL_ERROR, h3: H3_MESSAGE_ERROR };
/// A value that the setting must not have.
pub(crate) const BAD_SETTING: Code = Code { h2: PROTOCOL_ERROR, h3: H3_SETTINGS_ERROR };
/// A server's authenticator that does not validate.
pub(crate) const BAD_PROOF: Code =
    Code { h2: SERVER_CERTIFICATE_INVALID, h3: SERVER_CERTIFICATE_INVALID as u64 };
/// A frame that is longer than accepted.
pub(crate) const TOO_LONG: Code = Code { h2: FRAME_SIZE_ERROR, h3: H3_EXCESSIVE_LOAD };
/// More than can be remembered.
pub(crate) const TOO_MUCH: Code = Code { h2: ENHANCE_YOUR_CALM, h3: H3_EXCESSIVE_LOAD };

/// A type of frames, streams and settings that means nothing (RFC 9114, sections 6.2.3, 7.2.4.1, 7.2.8).
pub(crate) const GREASE: u64 = 0x1f * 5 + 0x21;

/// QUIC that grants so many bytes of each stream at a time: with 1, every STREAM frame has one.
pub(crate) fn narrow(window: u32) -> quinn::TransportConfig {
    let mut transport = quinn::TransportConfig::default();
    transport.stream_receive_window(window.into());
    transport
}

/// The longest payload in HTTP/2 as long as nothing else was announced.
pub(crate) const MAX_FRAME_SIZE: usize = 1 << 14;
/// The greatest length that a header of HTTP/2 can name.
const LONGEST: usize = (1 << 24) - 1;
const GIBIBYTE: usize = 1 << 30;

/// Lengths that no frame of the extension has unless more was agreed on.
pub(crate) fn excessive(version: Version) -> &'static [usize] {
    match version {
        Version::H2 => &[MAX_FRAME_SIZE + 1, LONGEST],
        Version::H3 => &[GIBIBYTE],
    }
}

/// One type for each direction.
pub(crate) fn set_apart() -> CodePoints {
    CodePoints { frame_server_certificate: SERVER_CERTIFICATE, ..CodePoints::default() }
}

/// SETTINGS of HTTP/2 that announce `limit` (a client) or confirm with it (a server).
pub(crate) fn announce(limit: u32) -> Frame {
    Frame::settings(&[(CLIENT_CERT_AUTH, limit)])
}

/// A frame of the extension, which has the same payload in both versions.
#[derive(Clone)]
pub(crate) struct Extension {
    pub(crate) kind: u8,
    pub(crate) payload: Vec<u8>,
}

impl Extension {
    pub(crate) fn new(kind: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, payload: payload.into() }
    }

    /// In HTTP/2, where it belongs.
    pub(crate) fn h2(&self) -> Frame {
        Frame::control(self.kind, self.payload.clone())
    }

    /// The frame's bytes.
    pub(crate) fn encode(&self, version: Version) -> Vec<u8> {
        match version {
            Version::H2 => self.h2().encode(),
            Version::H3 => raw_h3::Frame::new(self.kind.into(), self.payload.clone()).encode(),
        }
    }
}

pub(crate) fn certificate(authenticator: &[u8]) -> Extension {
    Extension::new(CERTIFICATE, authenticator)
}

/// AUTHENTICATOR_REQUESTS with these requests, each with the shortest length.
pub(crate) fn requests<'a>(requests: impl IntoIterator<Item = &'a [u8]>) -> Extension {
    let mut payload = Vec::new();
    for request in requests {
        // Two bytes hold up to 16,383 and all requests of these tests are longer than 63.
        assert!((64..0x4000).contains(&request.len()));
        payload.extend_from_slice(&(0x4000 | request.len() as u16).to_be_bytes());
        payload.extend_from_slice(request);
    }
    Extension::new(REQUESTS, payload)
}

/// The requests in such a frame, whose lengths all have two bytes (RFC 9000, section 16).
pub(crate) fn read_requests(mut payload: &[u8]) -> Vec<AuthenticatorRequest> {
    let mut requests = Vec::new();
    while let [high, low, rest @ ..] = payload {
        assert_eq!(high >> 6, 1);
        let (request, rest) = rest.split_at(usize::from(high & 0x3f) << 8 | usize::from(*low));
        requests.push(AuthenticatorRequest::parse(request).unwrap());
        payload = rest;
    }
    requests
}

/// A header that announces `length` bytes, of which none follows.
pub(crate) fn header_only(version: Version, kind: u8, length: usize) -> Vec<u8> {
    match version {
        Version::H2 => {
            let mut bytes = Frame::control(kind, Vec::new()).encode();
            bytes[..3].copy_from_slice(&(length as u32).to_be_bytes()[1..]);
            bytes
        }
        Version::H3 => raw_h3::header(kind.into(), length as u64),
    }
}

/// HEADERS that leave their header block open.
pub(crate) fn unfinished(headers: Frame) -> Frame {
    assert_eq!(headers.kind, kind::HEADERS);
    Frame { flags: headers.flags & !flag::END_HEADERS, ..headers }
}

/// Opens the window of a stream, or that of the connection, as far as it goes.
pub(crate) fn widest_window(stream: u32) -> Frame {
    let increment = 0x7fff_ffff_u32 - 0xffff;
    Frame { stream, ..Frame::control(kind::WINDOW_UPDATE, increment.to_be_bytes().to_vec()) }
}

/// A megabyte of frames of an unknown type, which nobody has to read before it closes.
pub(crate) fn noise(version: Version) -> &'static [u8] {
    static NOISE: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
        let frame = Extension::new(0xfa, [0x5a; MAX_FRAME_SIZE]);
        [Version::H2, Version::H3].map(|version| frame.encode(version).repeat(64))
    });
    &NOISE[version as usize]
}
