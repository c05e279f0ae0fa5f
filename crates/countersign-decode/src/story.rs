//! What the streams of a captured connection say in HTTP/2 (RFC 9113) and HTTP/3 (RFC 9114).

use std::collections::BTreeMap;
use std::time::Duration;

use rustls::AlertDescription;

use crate::capture::{Capture, Connection, Side, Transport, What};
use crate::cursor::Cursor;
use crate::frames::{self, Frame, PREFACE, Version};
use crate::proof::Proofs;
use crate::tree::Tree;
use crate::{Explainer, names};

pub(crate) fn tell(explainer: &Explainer, capture: &Capture) -> String {
    let mut tree = Tree::new(explainer.full);
    for (number, connection) in (1..).zip(&capture.connections) {
        if number > 1 {
            tree.heading("");
        }
        tree.heading(format_args!("connection {number}: {}", heading(connection)));
        Teller::new(explainer, connection, &mut tree).tell();
    }
    if let Some(cut) = capture.cut {
        tree.heading(format_args!("! the capture: {cut}"));
    }
    tree.text()
}

fn heading(connection: &Connection) -> String {
    let Connection { client, server, protection, alpn, .. } = connection;
    let protection = protection.map_or("no answer".to_owned(), |protection| {
        let below = match protection.transport {
            Transport::Tls12 => "TLS 1.2",
            Transport::Tls13 => "TLS 1.3",
            Transport::Quic => "QUIC",
        };
        format!("{below} ({})", names::cipher_suite(protection.suite))
    });
    let alpn = alpn.as_ref().map(|alpn| alpn.escape_ascii().to_string());
    format!("{client} to {server}, {protection}, {}", alpn.unwrap_or("no ALPN".to_owned()))
}

/// Tells of one connection.
struct Teller<'a> {
    explainer: &'a Explainer,
    connection: &'a Connection,
    tree: &'a mut Tree,
    parts: BTreeMap<(Side, u64), Part>,
    proofs: Proofs,
    said: Option<(Duration, Side, Option<u64>)>,
}

/// What one side sends on one stream.
#[derive(Default)]
struct Part {
    buffer: Vec<u8>,
    /// Bytes before the buffer's.
    before: usize,
    content: Content,
}

/// What there is on a stream.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Content {
    /// It has not begun yet.
    #[default]
    Unknown,
    Frames(Version),
    Other,
}

impl<'a> Teller<'a> {
    fn new(explainer: &'a Explainer, connection: &'a Connection, tree: &'a mut Tree) -> Self {
        let proofs = Proofs::of(connection);
        Self { explainer, connection, tree, parts: BTreeMap::new(), proofs, said: None }
    }

    fn tell(mut self) {
        for event in &self.connection.events {
            let (at, from) = (event.at, event.from);
            match &event.what {
                What::Data { stream, bytes, .. } => self.data(at, from, *stream, bytes),
                What::Reset { stream, code } if !self.explainer.extension_only => {
                    self.say(at, from, Some(*stream));
                    let name = self.h3_error(*code);
                    self.tree.line(0, format_args!("RESET_STREAM: {name}"));
                }
                What::StopSending { stream, code } if !self.explainer.extension_only => {
                    self.say(at, from, Some(*stream));
                    let name = self.h3_error(*code);
                    self.tree.line(0, format_args!("STOP_SENDING: {name}"));
                }
                What::Reset { .. } | What::StopSending { .. } => {}
                What::Close { application, code, reason } => {
                    self.say(at, from, None);
                    let name = if *application {
                        self.h3_error(*code)
                    } else {
                        format!("{code:#x} of QUIC")
                    };
                    let reason = reason.escape_ascii();
                    self.tree.line(0, format_args!("CONNECTION_CLOSE: {name} \"{reason}\""));
                }
                What::Alert { description } => {
                    self.say(at, from, None);
                    let name = AlertDescription::from(*description);
                    self.tree.line(0, format_args!("alert {description} of TLS ({name:?})"));
                }
                What::End { reset } => {
                    self.say(at, from, None);
                    self.tree.line(0, if *reset { "RST of TCP" } else { "FIN of TCP" });
                }
            }
        }
        for ((from, stream), part) in &self.parts {
            if matches!(part.content, Content::Frames(_)) && !part.buffer.is_empty() {
                let left = part.buffer.len();
                self.tree.heading(format_args!(
                    "! {from}, stream {stream}: {left} bytes of a frame that is not whole"
                ));
            }
        }
        for trouble in &self.connection.trouble {
            self.tree.heading(format_args!("! {trouble}"));
        }
    }

    /// Who says what follows, and when, unless that is said already.
    fn say(&mut self, at: Duration, from: Side, stream: Option<u64>) {
        let now = Some((at, from, stream));
        if self.said != now {
            self.said = now;
            let stream = stream.map_or(String::new(), |stream| format!(", stream {stream}"));
            self.tree.heading(format_args!("{:.6} {from}{stream}", at.as_secs_f64()));
        }
    }

    fn h3_error(&self, code: u64) -> String {
        let name = if code == u64::from(self.explainer.points.error_server_certificate_invalid) {
            "SERVER_CERTIFICATE_INVALID".to_owned()
        } else {
            names::h3_error(code)
        };
        format!("{code:#x} {name}")
    }

    fn data(&mut self, at: Duration, from: Side, stream: u64, bytes: &[u8]) {
        let mut part = self.parts.remove(&(from, stream)).unwrap_or_default();
        if part.content == Content::Unknown {
            part.buffer.extend_from_slice(bytes);
            part.content = self.content(at, from, stream, &mut part);
        } else if part.content != Content::Other {
            part.buffer.extend_from_slice(bytes);
        }
        match part.content {
            Content::Unknown => {}
            Content::Frames(version) => {
                let mut cursor = Cursor::behind(part.before, &part.buffer);
                while frames::is_whole(version, cursor.rest()) {
                    self.frame(at, from, stream, version, &mut cursor);
                }
                let read = cursor.at() - part.before;
                part.before += read;
                part.buffer.drain(..read);
            }
            Content::Other => part.buffer.clear(),
        }
        self.parts.insert((from, stream), part);
    }

    /// What a stream turns out to be by its beginning, which is taken off where it is no frame.
    fn content(&mut self, at: Duration, from: Side, stream: u64, part: &mut Part) -> Content {
        let is_quic = self.connection.protection.is_some_and(|it| it.transport == Transport::Quic);
        match (self.connection.alpn.as_deref(), is_quic) {
            (Some(b"h2") | None, false) => {
                let begins = part.buffer.get(..PREFACE.len()).unwrap_or(&part.buffer);
                if from == Side::Client && !PREFACE.starts_with(begins) {
                    return self.other(at, from, None, "no HTTP/2");
                }
                if from == Side::Client && begins.len() < PREFACE.len() {
                    return Content::Unknown;
                }
                if from == Side::Client {
                    part.buffer.drain(..PREFACE.len());
                    part.before = PREFACE.len();
                }
                Content::Frames(Version::Two)
            }
            (Some(b"h3") | None, true) if stream & 2 == 0 => Content::Frames(Version::Three),
            (Some(b"h3") | None, true) => {
                let mut cursor = Cursor::new(&part.buffer);
                let Ok(typ) = cursor.varint("") else { return Content::Unknown };
                part.before = cursor.at();
                part.buffer.drain(..part.before);
                match typ {
                    0 => {
                        if !self.explainer.extension_only {
                            self.say(at, from, Some(stream));
                            self.tree.line(0, "control stream");
                        }
                        Content::Frames(Version::Three)
                    }
                    2 => self.other(at, from, Some(stream), "QPACK encoder stream"),
                    3 => self.other(at, from, Some(stream), "QPACK decoder stream"),
                    _ => self.other(
                        at,
                        from,
                        Some(stream),
                        &format!("stream of type {typ:#x}, not read further"),
                    ),
                }
            }
            _ => self.other(at, from, None, "another protocol than HTTP/2 and HTTP/3, not read"),
        }
    }

    fn other(&mut self, at: Duration, from: Side, stream: Option<u64>, what: &str) -> Content {
        if !self.explainer.extension_only {
            self.say(at, from, stream);
            self.tree.line(0, what);
        }
        Content::Other
    }

    /// One frame, all of which is there.
    fn frame(
        &mut self,
        at: Duration,
        from: Side,
        stream: u64,
        version: Version,
        cursor: &mut Cursor<'_>,
    ) {
        let points = &self.explainer.points;
        let Ok(frame) = frames::next(version, cursor) else { return };
        let kind = frame.kind(points, Some(from));
        if self.explainer.extension_only && !kind.matters() {
            return;
        }
        self.say(at, from, (version == Version::Three).then_some(stream));
        let payload = frame.payload.rest();
        if kind == frames::Kind::AuthenticatorRequests && from == Side::Server {
            self.proofs.asked(payload);
        }
        let is_authenticator = kind == frames::Kind::Authenticator;
        let verdict = is_authenticator.then(|| self.proofs.verdict(from, payload)).flatten();
        let place = frame.payload.at();
        if version == Version::Three && kind.is_ours() && stream & 2 == 0 {
            self.tree.remark(frame.at, "it belongs to the control stream");
        }
        let Frame { at, .. } = frame;
        if let Err(broken) = frame.explain(self.tree, points, Some(from)) {
            self.tree.remark(broken.at, broken.why);
        }
        if let Some(verdict) = verdict {
            self.tree.within(|tree| tree.line(place.max(at), verdict));
        }
    }
}
