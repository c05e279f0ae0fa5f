//! Frames of HTTP/2 (RFC 9113, section 4.1) and HTTP/3 (RFC 9114, section 7.1).

use countersign_proto::CodePoints;

use crate::capture::Side;
use crate::cursor::{Broken, Cursor};
use crate::messages;
use crate::names;
use crate::tree::Tree;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The type of a control stream (RFC 9114, section 6.2.1).
const CONTROL_STREAM: u8 = 0;
const SETTINGS: u64 = 4;
const GOAWAY: u64 = 7;

/// The version that frames are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Two,
    Three,
}

/// A frame and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Frame<'a> {
    version: Version,
    pub(crate) at: usize,
    typ: u64,
    /// Flags and stream, in HTTP/2.
    below: Option<(u64, u64)>,
    pub(crate) payload: Cursor<'a>,
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    AuthenticatorRequests,
    /// CERTIFICATE or SERVER_CERTIFICATE.
    Authenticator,
    Settings,
    Goaway,
    Other,
}

impl Kind {
    /// Whether the extension has something to do with it.
    pub(crate) fn matters(self) -> bool {
        self != Self::Other
    }

    /// Whether the extension defines it.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::AuthenticatorRequests | Self::Authenticator)
    }
}

/// Whether it is frames to the last byte.
pub(crate) fn fit_http2(input: &[u8]) -> bool {
    frames_fit(Version::Two, input.strip_prefix(PREFACE).unwrap_or(input))
}

/// The same for HTTP/3.
pub(crate) fn fit_http3(input: &[u8]) -> bool {
    frames_fit(Version::Three, input) || is_control_stream(input)
}

fn is_control_stream(input: &[u8]) -> bool {
    let behind = input.split_first().filter(|(first, _)| **first == CONTROL_STREAM);
    behind.is_some_and(|(_, frames)| frames_fit(Version::Three, frames))
}

fn frames_fit(version: Version, input: &[u8]) -> bool {
    let mut cursor = Cursor::new(input);
    while !cursor.is_empty() {
        if next(version, &mut cursor).is_err() {
            return false;
        }
    }
    true
}

/// Whether a frame is there to its end.
pub(crate) fn is_whole(version: Version, input: &[u8]) -> bool {
    !input.is_empty() && next(version, &mut Cursor::new(input)).is_ok()
}

/// The next frame.
pub(crate) fn next<'a>(version: Version, cursor: &mut Cursor<'a>) -> Result<Frame<'a>, Broken> {
    let at = cursor.at();
    let (typ, length, below) = match version {
        Version::Two => {
            let length = cursor.number(3, "the length of a frame")?;
            let typ = cursor.number(1, "the type of a frame")?;
            let flags = cursor.number(1, "the flags of a frame")?;
            let stream = cursor.number(4, "the stream of a frame")? & 0x7fff_ffff;
            (typ, length, Some((flags, stream)))
        }
        Version::Three => {
            let typ = cursor.varint("the type of a frame")?;
            (typ, cursor.varint("the length of a frame")?, None)
        }
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let payload = cursor.take(length, "the frame's payload")?;
    Ok(Frame { version, at, typ, below, payload })
}

pub(crate) fn http2(
    cursor: &mut Cursor<'_>,
    tree: &mut Tree,
    points: &CodePoints,
) -> Result<(), Broken> {
    if cursor.rest().starts_with(PREFACE) {
        let preface = cursor.take(PREFACE.len(), "the preface")?;
        tree.line(preface.at(), "the client's connection preface");
    }
    all(Version::Two, cursor, tree, points)
}

pub(crate) fn http3(
    cursor: &mut Cursor<'_>,
    tree: &mut Tree,
    points: &CodePoints,
) -> Result<(), Broken> {
    let begins_with_settings = cursor.rest().starts_with(&[CONTROL_STREAM, 4]);
    if !frames_fit(Version::Three, cursor.rest())
        && (is_control_stream(cursor.rest()) || begins_with_settings)
    {
        let typ = cursor.take(1, "the type of a stream")?;
        tree.line(typ.at(), "control stream");
    }
    all(Version::Three, cursor, tree, points)
}

fn all(
    version: Version,
    cursor: &mut Cursor<'_>,
    tree: &mut Tree,
    points: &CodePoints,
) -> Result<(), Broken> {
    while !cursor.is_empty() {
        let begin = cursor.clone();
        match next(version, cursor) {
            Ok(frame) => frame.explain(tree, points, None)?,
            Err(broken) => {
                // Its header may be there.
                if let Some(cut) = cut(version, begin) {
                    cut.head(tree, points, None);
                }
                return Err(broken);
            }
        }
    }
    Ok(())
}

/// A frame whose payload ends too early.
fn cut(version: Version, begin: Cursor<'_>) -> Option<Frame<'_>> {
    let mut cursor = begin.clone();
    let at = cursor.at();
    let (typ, below) = match version {
        Version::Two => {
            cursor.take(3, "").ok()?;
            let typ = cursor.number(1, "").ok()?;
            (typ, Some((cursor.number(1, "").ok()?, cursor.number(4, "").ok()? & 0x7fff_ffff)))
        }
        Version::Three => {
            let typ = cursor.varint("").ok()?;
            cursor.varint("").ok()?;
            (typ, None)
        }
    };
    Some(Frame { version, at, typ, below, payload: cursor })
}

impl Frame<'_> {
    /// What it is for, in any direction or from one side.
    pub(crate) fn kind(&self, points: &CodePoints, from: Option<Side>) -> Kind {
        let is = |ours: u8| u64::from(ours) == self.typ;
        if is(points.frame_authenticator_requests) {
            return Kind::AuthenticatorRequests;
        }
        let authenticator = match from {
            Some(Side::Client) => is(points.frame_certificate),
            Some(Side::Server) => is(points.frame_server_certificate),
            None => is(points.frame_certificate) || is(points.frame_server_certificate),
        };
        match self.typ {
            _ if authenticator => Kind::Authenticator,
            SETTINGS => Kind::Settings,
            GOAWAY => Kind::Goaway,
            _ => Kind::Other,
        }
    }

    /// A line for it and lines for what is in it.
    pub(crate) fn explain(
        &self,
        tree: &mut Tree,
        points: &CodePoints,
        from: Option<Side>,
    ) -> Result<(), Broken> {
        self.head(tree, points, from);
        let mut payload = self.payload.clone();
        tree.within(|tree| self.content(&mut payload, tree, points, from))
    }

    fn head(&self, tree: &mut Tree, points: &CodePoints, from: Option<Side>) {
        let name = self.name(points, from);
        let (typ, length) = (self.typ, self.payload.rest().len());
        let Some((flags, stream)) = self.below else {
            return tree.line(self.at, format_args!("{name}: type {typ:#04x}, {length} bytes"));
        };
        let text =
            format!("{name}: type {typ:#04x}, flags {flags:#04x}, stream {stream}, {length} bytes");
        tree.line(self.at, text);
        if stream != 0 && self.kind(points, from).is_ours() {
            tree.remark(self.at, "it belongs to stream 0");
        }
    }

    fn content(
        &self,
        payload: &mut Cursor<'_>,
        tree: &mut Tree,
        points: &CodePoints,
        from: Option<Side>,
    ) -> Result<(), Broken> {
        match self.kind(points, from) {
            Kind::AuthenticatorRequests => {
                if from == Some(Side::Client) {
                    tree.remark(self.at, "only servers send it (client draft, section 4.1)");
                }
                messages::requests(payload, tree)
            }
            Kind::Authenticator => messages::all(payload, tree),
            Kind::Settings => settings(self.version, payload, tree, points),
            Kind::Goaway if self.version == Version::Two => {
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
            }
            Kind::Goaway | Kind::Other => {
                let raw = payload.take_rest();
                if !raw.is_empty() {
                    tree.line(raw.at(), tree.hex(raw.rest()));
                }
                Ok(())
            }
        }
    }

    fn name(&self, points: &CodePoints, from: Option<Side>) -> &'static str {
        match self.kind(points, from) {
            Kind::AuthenticatorRequests => return "AUTHENTICATOR_REQUESTS",
            Kind::Authenticator => {
                let is = |ours: u8| u64::from(ours) == self.typ;
                let certificate = is(points.frame_certificate) && from != Some(Side::Server);
                let of_server = is(points.frame_server_certificate) && from != Some(Side::Client);
                return match (certificate, of_server) {
                    (true, true) => "CERTIFICATE or, from a server, SERVER_CERTIFICATE",
                    (true, false) => "CERTIFICATE",
                    (false, _) => "SERVER_CERTIFICATE",
                };
            }
            Kind::Settings | Kind::Goaway | Kind::Other => {}
        }
        match (self.version, self.typ) {
            (_, 0) => "DATA",
            (_, 1) => "HEADERS",
            (Version::Two, 2) => "PRIORITY",
            (Version::Two, 3) => "RST_STREAM",
            (Version::Three, 3) => "CANCEL_PUSH",
            (_, SETTINGS) => "SETTINGS",
            (_, 5) => "PUSH_PROMISE",
            (Version::Two, 6) => "PING",
            (_, GOAWAY) => "GOAWAY",
            (Version::Two, 8) => "WINDOW_UPDATE",
            (Version::Two, 9) => "CONTINUATION",
            (Version::Two, 10) => "ALTSVC",
            (_, 12) => "ORIGIN",
            (Version::Three, 13) => "MAX_PUSH_ID",
            (Version::Two, 16) | (Version::Three, 0xf0700 | 0xf0701) => "PRIORITY_UPDATE",
            (Version::Three, typ) if is_reserved(typ) => "reserved",
            _ => "a frame of unknown type",
        }
    }
}

/// Numbers that stand for nothing, of frames and of settings (RFC 9114, sections 7.2.4.1 and 7.2.8).
fn is_reserved(number: u64) -> bool {
    number.checked_sub(0x21).is_some_and(|number| number.is_multiple_of(0x1f))
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
        (Version::Three, id) if is_reserved(id) => "reserved",
        _ => "a setting of unknown meaning",
    }
}

fn error_name(code: u64, points: &CodePoints) -> &'static str {
    if code == u64::from(points.error_server_certificate_invalid) {
        return "SERVER_CERTIFICATE_INVALID";
    }
    u32::try_from(code).map_or("", names::h2_error)
}
