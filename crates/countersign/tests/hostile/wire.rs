//! The extension's frames and numbers as they stand on the wire, spelt out again.

use std::sync::LazyLock;

use countersign::{AuthenticatorRequest, CodePoints};
use countersign_testkit::Frame;
use countersign_testkit::raw::{flag, kind};

/// SETTINGS_HTTP_CLIENT_CERT_AUTH.
pub(crate) const CLIENT_CERT_AUTH: u16 = 0xff0c;
/// AUTHENTICATOR_REQUESTS.
pub(crate) const REQUESTS: u8 = 0xf5;
/// CERTIFICATE, and SERVER_CERTIFICATE unless they are set apart.
pub(crate) const CERTIFICATE: u8 = 0xf6;
/// SERVER_CERTIFICATE in [`set_apart`].
pub(crate) const SERVER_CERTIFICATE: u8 = 0xf7;

/// Error codes of RFC 9113, section 7.
pub(crate) const PROTOCOL_ERROR: u32 = 0x1;
pub(crate) const FRAME_SIZE_ERROR: u32 = 0x6;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 0xb;

/// The longest payload as long as nothing else was announced.
pub(crate) const MAX_FRAME_SIZE: usize = 1 << 14;
/// The greatest length that a header can name.
pub(crate) const LONGEST: usize = (1 << 24) - 1;

/// One type for each direction.
pub(crate) fn set_apart() -> CodePoints {
    CodePoints { frame_server_certificate: SERVER_CERTIFICATE, ..CodePoints::default() }
}

/// SETTINGS that announce `limit` (a client) or confirm with it (a server).
pub(crate) fn announce(limit: u32) -> Frame {
    Frame::settings(&[(CLIENT_CERT_AUTH, limit)])
}

pub(crate) fn certificate(authenticator: &[u8]) -> Frame {
    Frame::control(CERTIFICATE, authenticator.to_vec())
}

/// AUTHENTICATOR_REQUESTS with these requests, each with the shortest length.
pub(crate) fn requests<'a>(requests: impl IntoIterator<Item = &'a [u8]>) -> Frame {
    let mut payload = Vec::new();
    for request in requests {
        // Two bytes hold up to 16,383 and all requests of these tests are longer than 63.
        assert!((64..0x4000).contains(&request.len()));
        payload.extend_from_slice(&(0x4000 | request.len() as u16).to_be_bytes());
        payload.extend_from_slice(request);
    }
    Frame::control(REQUESTS, payload)
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
pub(crate) fn header_only(kind: u8, length: usize) -> Vec<u8> {
    let mut bytes = Frame::control(kind, Vec::new()).encode();
    bytes[..3].copy_from_slice(&(length as u32).to_be_bytes()[1..]);
    bytes
}

/// The same frame on another stream.
pub(crate) fn on_stream(stream: u32, frame: Frame) -> Frame {
    Frame { stream, ..frame }
}

/// HEADERS that leave their header block open.
pub(crate) fn unfinished(headers: Frame) -> Frame {
    assert_eq!(headers.kind, kind::HEADERS);
    Frame { flags: headers.flags & !flag::END_HEADERS, ..headers }
}

/// Opens the window of a stream, or that of the connection, as far as it goes.
pub(crate) fn widest_window(stream: u32) -> Frame {
    let increment = 0x7fff_ffff_u32 - 0xffff;
    on_stream(stream, Frame::control(kind::WINDOW_UPDATE, increment.to_be_bytes().to_vec()))
}

/// A megabyte of frames of an unknown type, which nobody has to read before it closes.
pub(crate) fn noise() -> &'static [u8] {
    static NOISE: LazyLock<Vec<u8>> =
        LazyLock::new(|| Frame::control(0xfa, vec![0x5a; MAX_FRAME_SIZE]).encode().repeat(64));
    &NOISE
}
