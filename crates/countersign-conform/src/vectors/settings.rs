//! SETTINGS that arrive, over both versions, and what is negotiated by them.

use super::kit::side_name;
use super::{Announced, Event, Hex, Input, Place, Vector};
use crate::authenticator::Side;
use crate::bytes::varint;
use crate::case::Version;
use crate::code_points::{CodePoints, GREASE, UNEXPECTED};
use crate::raw::{H2Frame, PREFACE, kind, settings_payload};

/// H3_SETTINGS_ERROR and HTTP/2's PROTOCOL_ERROR.
const SETTINGS: (u64, u64) = (0x1, 0x109);

/// What an endpoint receives, before it is a vector.
#[derive(Clone)]
pub(super) struct Arriving {
    pub(super) version: Version,
    pub(super) receiver: Side,
    pub(super) announced: Announced,
    /// On the connection, or on the control stream.
    pub(super) bytes: Vec<u8>,
    /// On further streams of HTTP/3.
    pub(super) more: Vec<Input>,
    pub(super) fin: bool,
}

impl Arriving {
    /// With what comes before the first frame.
    pub(super) fn new(version: Version, receiver: Side) -> Self {
        let bytes = match (version, receiver) {
            (Version::Http2, Side::Server) => PREFACE.to_vec(),
            (Version::Http2, Side::Client) => Vec::new(),
            // The type of a control stream.
            (Version::Http3, _) => vec![0],
        };
        let client_cert_auth = if receiver == Side::Client { 3 } else { 1 };
        let announced = Announced { client_cert_auth, server_cert_auth: 1, max_frame_len: 16_384 };
        Self { version, receiver, announced, bytes, more: Vec::new(), fin: false }
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    /// A frame on stream 0 or the control stream.
    pub(super) fn frame(self, kind: u64, payload: &[u8]) -> Self {
        let bytes = frame(self.version, kind, payload);
        self.bytes(&bytes)
    }

    pub(super) fn settings(self, settings: &[(u64, u64)]) -> Self {
        let payload = settings_payload(self.version, settings);
        self.frame(kind::SETTINGS, &payload)
    }

    pub(super) fn vector(self, name: &str) -> Vector {
        let (place, op, prefix) = match self.version {
            Version::Http2 => (Place::Connection, "h2_frame", "h2"),
            Version::Http3 => (Place::Unidirectional, "h3_frame", "h3"),
        };
        let mut input = vec![Input { place, bytes: self.bytes.into(), fin: self.fin }];
        input.extend(self.more);
        Vector {
            name: format!("{prefix}-{name}"),
            op: op.to_owned(),
            expect: "ok".to_owned(),
            role: side_name(self.receiver).to_owned(),
            announced: Some(self.announced),
            input,
            ..Vector::default()
        }
    }
}

pub(super) fn frame(version: Version, kind: u64, payload: &[u8]) -> Vec<u8> {
    match version {
        Version::Http2 => H2Frame::new(kind, 0, 0, payload).encode(),
        Version::Http3 => [varint(kind), varint(payload.len() as u64), payload.to_vec()].concat(),
    }
}

impl Vector {
    pub(super) fn note(mut self, note: &str) -> Self {
        note.clone_into(&mut self.note);
        self
    }

    pub(super) fn events(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        self.events.extend(events);
        self
    }

    /// Refused, with the code of its version.
    pub(super) fn refused(mut self, reason: &str, (h2, h3): (u64, u64), twin: &str) -> Self {
        let (prefix, code) = if self.op == "h2_frame" { ("h2", h2) } else { ("h3", h3) };
        reason.clone_into(&mut self.expect);
        self.error = Some(code);
        self.twin = format!("{prefix}-{twin}");
        self
    }
}

pub(super) fn negotiated(client_certificates: bool, server_certificates: bool) -> Event {
    Event::Settings { client_certificates, server_certificates }
}

pub(super) fn context_of(context: &[u8]) -> Hex {
    context.into()
}

pub(super) fn vectors() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for version in [Version::Http2, Version::Http3] {
        for receiver in [Side::Client, Side::Server] {
            vectors.extend(both(version, receiver));
        }
    }
    for receiver in [Side::Client, Side::Server] {
        vectors.extend(h2(receiver));
        vectors.extend(h3(receiver));
    }
    vectors.extend(not_announced());
    vectors
}

fn points() -> (u64, u64) {
    let points = CodePoints::default();
    (points.client_cert_auth.into(), points.server_cert_auth.into())
}

fn both(version: Version, receiver: Side) -> Vec<Vector> {
    let (client, server) = points();
    let side = side_name(receiver);
    let of = |name: &str, settings: &[(u64, u64)]| {
        Arriving::new(version, receiver)
            .settings(settings)
            .vector(&format!("settings-{side}-{name}"))
    };
    let twin = format!("settings-{side}-both");
    vec![
        of("none", &[]).events([negotiated(false, false)]),
        of("client-cert", &[(client, 1)]).events([negotiated(true, false)]),
        of("client-cert-0", &[(client, 0)]).events([negotiated(false, false)]),
        of("client-cert-large", &[(client, u32::MAX.into())])
            .note("a server's value greater than 1 is support, too")
            .events([negotiated(true, false)]),
        of("server-cert", &[(server, 1)]).events([negotiated(false, true)]),
        of("server-cert-0", &[(server, 0)]).events([negotiated(false, false)]),
        of("both", &[(client, 1), (server, 1)]).events([negotiated(true, true)]),
        of(
            "both-among-others",
            &[(6, 1 << 16), (server, 1), (GREASE, 7), (client, 2), (0xf0f0, 1)],
        )
        .note("settings that nobody knows stand around them")
        .events([negotiated(true, true)]),
        of("server-cert-2", &[(client, 1), (server, 2)])
            .refused("server_cert_setting", SETTINGS, &twin)
            .note("neither 0 nor 1"),
        of("server-cert-large", &[(server, u32::MAX.into())]).refused(
            "server_cert_setting",
            SETTINGS,
            &format!("settings-{side}-server-cert"),
        ),
    ]
}

fn h2(receiver: Side) -> Vec<Vector> {
    let (client, server) = points();
    let side = side_name(receiver);
    let arriving = || Arriving::new(Version::Http2, receiver);
    let name = |name: &str| format!("settings-{side}-{name}");
    let ack = H2Frame::new(kind::SETTINGS, 1, 0, b"").encode();
    let twin = name("both");
    vec![
        arriving()
            .settings(&[(client, 1), (client, 9), (server, 0), (server, 1)])
            .vector(&name("twice-in-a-frame"))
            .note("the last counts")
            .events([negotiated(true, true)]),
        arriving()
            .settings(&[])
            .settings(&[(client, 1)])
            .settings(&[(server, 1)])
            .vector(&name("later"))
            .note("announced by later SETTINGS frames")
            .events([negotiated(false, false), negotiated(true, false), negotiated(true, true)]),
        arriving()
            .settings(&[(client, 9)])
            .settings(&[(client, 2)])
            .settings(&[])
            .vector(&name("changed"))
            .note("the value may change, but not to 0")
            .events([negotiated(true, false), negotiated(true, false), negotiated(true, false)]),
        arriving()
            .settings(&[(client, 1)])
            .bytes(&ack)
            .vector(&name("acknowledgement"))
            .note("an acknowledgement announces nothing")
            .events([negotiated(true, false)]),
        arriving()
            .settings(&[(client, 1), (server, 1)])
            .settings(&[(client, 0)])
            .vector(&name("client-cert-taken-back"))
            .events([negotiated(true, true)])
            .refused("setting_taken_back", SETTINGS, &twin),
        arriving()
            .settings(&[(client, 1), (client, 0)])
            .vector(&name("client-cert-taken-back-at-once"))
            .refused("setting_taken_back", SETTINGS, &name("client-cert")),
        arriving()
            .settings(&[(client, 1), (server, 1)])
            .settings(&[(server, 0)])
            .vector(&name("server-cert-taken-back"))
            .events([negotiated(true, true)])
            .refused("server_cert_setting", SETTINGS, &twin),
    ]
}

fn h3(receiver: Side) -> Vec<Vector> {
    let (client, server) = points();
    let side = side_name(receiver);
    let arriving = || Arriving::new(Version::Http3, receiver);
    let name = |name: &str| format!("settings-{side}-{name}");
    let wide =
        [&[0x80, 0, 0xff, 0x0c, 0x40, 1][..], &[0xc0, 0, 0, 0, 0, 0, 0xff, 0x0d, 0x80, 0, 0, 1]]
            .concat();
    let mut ended = arriving().settings(&[(client, 1), (server, 1)]);
    ended.fin = true;
    let twin = name("both");
    let both = [negotiated(true, true)];
    vec![
        arriving()
            .settings(&[(client, (1 << 62) - 1)])
            .vector(&name("client-cert-largest"))
            .events([negotiated(true, false)]),
        arriving()
            .frame(kind::SETTINGS, &wide)
            .vector(&name("wide-integers"))
            .note("integers that are longer than they need be")
            .events(both.clone()),
        arriving()
            .settings(&[(client, 1), (server, 1), (client, 1)])
            .vector(&name("twice"))
            .refused("repeated_setting", (0, 0x109), &twin),
        arriving()
            .settings(&[(client, 1), (server, 1)])
            .settings(&[])
            .vector(&name("second-frame"))
            .events(both.clone())
            .refused("second_settings", (0, 0x105), &twin),
        arriving()
            .frame(GREASE, b"")
            .settings(&[(client, 1), (server, 1)])
            .vector(&name("not-first"))
            .refused("missing_settings", (0, 0x10a), &twin),
        arriving().frame(kind::SETTINGS, &varint(client)).vector(&name("no-value")).refused(
            "malformed_settings",
            (0, 0x106),
            &twin,
        ),
        ended
            .vector(&name("stream-ended"))
            .note("the control stream may not end")
            .events(both)
            .refused("closed_critical_stream", (0, 0x104), &twin),
    ]
}

/// Clients that have announced less than their server.
fn not_announced() -> Vec<Vector> {
    let (client, server) = points();
    let mut vectors = Vec::new();
    for version in [Version::Http2, Version::Http3] {
        for (name, ours, theirs) in
            [("nothing", (0, 0), (false, false)), ("server-cert-alone", (0, 1), (false, true))]
        {
            let mut arriving = Arriving::new(version, Side::Client);
            (arriving.announced.client_cert_auth, arriving.announced.server_cert_auth) = ours;
            let arriving = arriving.settings(&[(client, 1), (server, 1)]);
            let vector = arriving.clone().vector(&format!("settings-client-announced-{name}"));
            vectors.push(vector.events([negotiated(theirs.0, theirs.1)]));
            let requests = arriving.frame(CodePoints::default().requests.into(), &[1, 17]);
            vectors.push(
                requests
                    .vector(&format!("requests-client-announced-{name}"))
                    .events([negotiated(theirs.0, theirs.1)])
                    .refused(
                        "not_negotiated",
                        (UNEXPECTED.h2.into(), UNEXPECTED.h3),
                        &format!("settings-client-announced-{name}"),
                    ),
            );
        }
    }
    vectors
}
