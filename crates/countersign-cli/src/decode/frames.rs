//! Frames of HTTP/2 (RFC 9113, section 4.1) and HTTP/3 (RFC 9114, section 7.1).

use countersign::CodePoints;

use super::cursor::{Broken, Cursor};
use super::messages;
use super::tree::Tree;
use crate::names;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The type of a control stream (RFC 9114, section 6.2.1).
const CONTROL_STREAM: u8 = 0;

/// The version that frames are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Two,
    Three,
}

/// Whether it is frames to the last byte.
pub(super) fn fit_http2(input: &[u8]) -> bool {
    let mut cursor = Cursor::new(input.strip_prefix(PREFACE).unwrap_or(input));
    while !cursor.is_empty() {
        let Ok(length) = cursor.number(3, "") else { return false };
        let rest = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(6);
        if cursor.take(rest, "").is_err() {
            return false;
        }
    }
    true
}

/// The same for HTTP/3.
pub(super) fn fit_http3(input: &[u8]) -> bool {
    frames_fit(input)
        || input
            .split_first()
            .is_some_and(|(first, rest)| *first == CONTROL_STREAM && frames_fit(rest))
}

fn frames_fit(input: &[u8]) -> bool {
    let mut cursor = Cursor::new(input);
    while !cursor.is_empty() {
        let length = cursor.varint("").and_then(|_| cursor.varint(""));
        let length = length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if length.and_then(|length| cursor.take(length, "")).is_err() {
            return false;
        }
    }
    true
}

pub(super) fn http2(
    cursor: &mut Cursor<'_>,
    tree: &mut Tree,
    points: &CodePoints,
) -> Result<(), Broken> {
    if cursor.rest().starts_with(PREFACE) {
        let preface = cursor.take(PREFACE.len(), "the preface")?;
        tree.line(preface.at(), "the client's connection preface");
    }
    while !cursor.is_empty() {
        let at = cursor.at();
        let length = cursor.number(3, "the length of a frame")?;
        let typ = cursor.number(1, "the type of a frame")?;
        let flags = cursor.number(1, "the flags of a frame")?;
        let stream = cursor.number(4, "the stream of a frame")? & 0x7fff_ffff;
        let name = frame_name(Version::Two, typ, points);
        tree.line(
            at,
            format_args!(
                "{name}: type {typ:#04x}, flags {flags:#04x}, stream {stream}, {length} bytes"
            ),
        );
        if stream != 0 && is_ours(typ, points) {
            tree.remark(at, "it belongs to stream 0");
        }
        let mut payload =
            cursor.take(usize::try_from(length).unwrap_or(usize::MAX), "the frame's payload")?;
        tree.within(|tree| frame(Version::Two, typ, &mut payload, tree, points))?;
    }
    Ok(())
}

pub(super) fn http3(
    cursor: &mut Cursor<'_>,
    tree: &mut Tree,
    points: &CodePoints,
) -> Result<(), Broken> {
    let is_control_stream = matches!(cursor.rest(), [CONTROL_STREAM, rest @ ..] if frames_fit(rest))
        && !frames_fit(cursor.rest());
    if is_control_stream
        || cursor.rest().starts_with(&[CONTROL_STREAM, 4]) && !frames_fit(cursor.rest())
    {
        let typ = cursor.take(1, "the type of a stream")?;
        tree.line(typ.at(), "control stream");
    }
    while !cursor.is_empty() {
        let at = cursor.at();
        let typ = cursor.varint("the type of a frame")?;
        let length = cursor.varint("the length of a frame")?;
        let name = frame_name(Version::Three, typ, points);
        tree.line(at, format_args!("{name}: type {typ:#04x}, {length} bytes"));
        let mut payload =
            cursor.take(usize::try_from(length).unwrap_or(usize::MAX), "the frame's payload")?;
        tree.within(|tree| frame(Version::Three, typ, &mut payload, tree, points))?;
    }
    Ok(())
}

fn frame(
    version: Version,
    typ: u64,
    payload: &mut Cursor<'_>,
    tree: &mut Tree,
    points: &CodePoints,
) -> Result<(), Broken> {
    if typ == u64::from(points.frame_authenticator_requests) {
        messages::requests(payload, tree)
    } else if is_ours(typ, points) {
        messages::all(payload, tree)
    } else if typ == 4 {
        settings(version, payload, tree, points)
    } else if typ == 7 && version == Version::Two {
        let at = payload.at();
        let last = payload.number(4, "the last stream")? & 0x7fff_ffff;
        let code = payload.number(4, "the error code")?;
        let name = error_name(code, points);
        tree.line(at, format_args!("last stream {last}, error {code:#x} {name}"));
        let debug = payload.take_rest();
        if !debug.is_empty() {
            let text = String::from_utf8_lossy(debug.rest());
            tree.line(debug.at(), format_args!("debug data: {}", text.escape_debug()));
        }
        Ok(())
    } else {
        let raw = payload.take_rest();
        if !raw.is_empty() {
            tree.line(raw.at(), tree.hex(raw.rest()));
        }
        Ok(())
    }
}

fn settings(
    version: Version,
    payload: &mut Cursor<'_>,
    tree: &mut Tree,
    points: &CodePoints,
) -> Result<(), Broken> {
    while !payload.is_empty() {
        let at = payload.at();
        let (id, value) = match version {
            Version::Two => (payload.number(2, "a setting")?, payload.number(4, "its value")?),
            Version::Three => (payload.varint("a setting")?, payload.varint("its value")?),
        };
        let name = setting_name(version, id, points);
        tree.line(at, format_args!("{name} ({id:#x}): {value}"));
    }
    Ok(())
}

fn is_ours(typ: u64, points: &CodePoints) -> bool {
    let ours = [
        points.frame_authenticator_requests,
        points.frame_certificate,
        points.frame_server_certificate,
    ];
    ours.into_iter().any(|ours| u64::from(ours) == typ)
}

fn frame_name(version: Version, typ: u64, points: &CodePoints) -> &'static str {
    let is = |ours: u8| u64::from(ours) == typ;
    match (is(points.frame_certificate), is(points.frame_server_certificate)) {
        (true, true) => return "CERTIFICATE or, from a server, SERVER_CERTIFICATE",
        (true, false) => return "CERTIFICATE",
        (false, true) => return "SERVER_CERTIFICATE",
        (false, false) if is(points.frame_authenticator_requests) => {
            return "AUTHENTICATOR_REQUESTS";
        }
        (false, false) => {}
    }
    match (version, typ) {
        (_, 0) => "DATA",
        (_, 1) => "HEADERS",
        (Version::Two, 2) => "PRIORITY",
        (Version::Two, 3) => "RST_STREAM",
        (Version::Three, 3) => "CANCEL_PUSH",
        (_, 4) => "SETTINGS",
        (_, 5) => "PUSH_PROMISE",
        (Version::Two, 6) => "PING",
        (_, 7) => "GOAWAY",
        (Version::Two, 8) => "WINDOW_UPDATE",
        (Version::Two, 9) => "CONTINUATION",
        (Version::Two, 10) => "ALTSVC",
        (_, 12) => "ORIGIN",
        (Version::Three, 13) => "MAX_PUSH_ID",
        (Version::Two, 16) | (Version::Three, 0xf0700 | 0xf0701) => "PRIORITY_UPDATE",
        (Version::Three, typ) if typ >= 0x21 && (typ - 0x21).is_multiple_of(0x1f) => "reserved",
        _ => "a frame of unknown type",
    }
}

fn setting_name(version: Version, id: u64, points: &CodePoints) -> &'static str {
    if id == u64::from(points.settings_client_cert_auth) {
        return "SETTINGS_HTTP_CLIENT_CERT_AUTH";
    }
    if id == u64::from(points.settings_server_cert_auth) {
        return "SETTINGS_HTTP_SERVER_CERT_AUTH";
    }
    match (version, id) {
        (Version::Two, 1) => "SETTINGS_HEADER_TABLE_SIZE",
        (Version::Two, 2) => "SETTINGS_ENABLE_PUSH",
        (Version::Two, 3) => "SETTINGS_MAX_CONCURRENT_STREAMS",
        (Version::Two, 4) => "SETTINGS_INITIAL_WINDOW_SIZE",
        (Version::Two, 5) => "SETTINGS_MAX_FRAME_SIZE",
        (Version::Two, 6) => "SETTINGS_MAX_HEADER_LIST_SIZE",
        (Version::Two, 9) => "SETTINGS_NO_RFC7540_PRIORITIES",
        (_, 8) => "SETTINGS_ENABLE_CONNECT_PROTOCOL",
        (Version::Three, 1) => "SETTINGS_QPACK_MAX_TABLE_CAPACITY",
        (Version::Three, 6) => "SETTINGS_MAX_FIELD_SECTION_SIZE",
        (Version::Three, 7) => "SETTINGS_QPACK_BLOCKED_STREAMS",
        (Version::Three, 0x33) => "SETTINGS_H3_DATAGRAM",
        _ => "a setting of unknown meaning",
    }
}

fn error_name(code: u64, points: &CodePoints) -> &'static str {
    if code == u64::from(points.error_server_certificate_invalid) {
        return "SERVER_CERTIFICATE_INVALID";
    }
    u32::try_from(code).map_or("", names::h2_error)
}
