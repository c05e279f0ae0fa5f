//! RFC 9114, sections 6 and 7.2, RFC 9204, section 4: streams of the connection.

use countersign_proto::Setting;

use crate::quic::{frame, settings, varints};
use crate::server::Seen::{self, Closed, Fine};
use crate::server::{Case, End, Sent, control, no_settings, numbers, uni};

const CANCEL_PUSH: u64 = 0x3;
const GOAWAY: u64 = 0x7;
const MAX_PUSH_ID: u64 = 0xd;
const GREASE: u64 = 0x1f * 9 + 0x21;

fn on_control(
    id: &'static str,
    says: &'static str,
    demand: impl Into<Vec<Seen>>,
    bytes: &[u8],
) -> Case {
    Case { id, says, control: Some(control(bytes)), streams: Vec::new(), demand: demand.into() }
}

/// Behind SETTINGS.
fn behind(
    id: &'static str,
    says: &'static str,
    demand: impl Into<Vec<Seen>>,
    bytes: &[u8],
) -> Case {
    on_control(id, says, demand, &[&no_settings()[..], bytes].concat())
}

/// The same with an end of the control stream.
fn ended(mut case: Case) -> Case {
    case.control = case.control.map(|control| control.end(End::Fin));
    case
}

/// Beside a control stream.
fn beside(
    id: &'static str,
    says: &'static str,
    demand: impl Into<Vec<Seen>>,
    streams: Vec<Sent>,
) -> Case {
    Case { id, says, control: Some(control(&no_settings())), streams, demand: demand.into() }
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = settings_cases();
    cases.extend(frames());
    cases.extend(streams());
    cases.extend(qpack());
    cases
}

fn settings_cases() -> Vec<Case> {
    let set = |id, value| settings(&[Setting { id, value }]);
    let twice = settings(&[Setting { id: 6, value: 9_999 }; 2]);
    let (missing, wrong) = ([Closed(0x10a)], [Closed(0x109)]);
    vec![
        on_control("9114/7.2.4/1", "empty SETTINGS", [Fine], &no_settings()),
        on_control("9114/7.2.4/2", "an unknown setting", [Fine], &set(0xf00d, 7)),
        on_control("9114/7.2.4/3", "a setting of GREASE", [Fine], &set(GREASE, 1 << 40)),
        on_control("9114/7.2.4/4", "a setting twice", wrong, &twice),
        on_control(
            "9114/7.2.4/5",
            "SETTINGS twice",
            [Closed(0x105)],
            &[no_settings(), no_settings()].concat(),
        ),
        on_control("9114/7.2.4/6", "a setting that is cut", [Closed(0x106)], &frame(4, &[0x40])),
        on_control("9114/7.2.4/7", "a setting without a value", [Closed(0x106)], &frame(4, &[6])),
        on_control("9114/7.2.4.1/1", "ENABLE_PUSH of HTTP/2", wrong, &set(2, 0)),
        on_control("9114/7.2.4.1/2", "MAX_CONCURRENT_STREAMS of HTTP/2", wrong, &set(3, 100)),
        on_control("9114/7.2.4.1/3", "INITIAL_WINDOW_SIZE of HTTP/2", wrong, &set(4, 65_535)),
        on_control("9114/7.2.4.1/4", "MAX_FRAME_SIZE of HTTP/2", wrong, &set(5, 16_384)),
        on_control(
            "9114/7.2.4.1/5",
            "settings that are known",
            [Fine],
            &settings(&[
                Setting { id: 1, value: 0 },
                Setting { id: 6, value: 1 << 16 },
                Setting { id: 7, value: 0 },
            ]),
        ),
        on_control("9114/6.2.1/1", "DATA in the place of SETTINGS", missing, &frame(0, b"x")),
        on_control("9114/6.2.1/2", "HEADERS in the place of SETTINGS", missing, &frame(1, b"\0\0")),
        on_control(
            "9114/6.2.1/3",
            "GOAWAY in the place of SETTINGS",
            missing,
            &numbers(GOAWAY, &[0]),
        ),
        on_control("9114/6.2.1/4", "GREASE in the place of SETTINGS", missing, &frame(GREASE, b"")),
        on_control(
            "9114/6.2.1/5",
            "MAX_PUSH_ID in the place of SETTINGS",
            missing,
            &numbers(MAX_PUSH_ID, &[0]),
        ),
    ]
}

fn frames() -> Vec<Case> {
    // h3 waits for more of a frame that is too short, until there can be no more.
    let unexpected = [Closed(0x105)];
    vec![
        behind("9114/7.2.1/1", "DATA on the control stream", unexpected, &frame(0, b"x")),
        behind("9114/7.2.2/1", "HEADERS on the control stream", unexpected, &frame(1, b"\0\0")),
        behind("9114/7.2.5/1", "PUSH_PROMISE on the control stream", unexpected, &numbers(5, &[0])),
        behind("9114/7.2.8/1", "PRIORITY of HTTP/2", unexpected, &frame(2, &[0; 5])),
        behind("9114/7.2.8/2", "PING of HTTP/2", unexpected, &frame(6, &[0; 8])),
        behind("9114/7.2.8/3", "WINDOW_UPDATE of HTTP/2", unexpected, &frame(8, &[0; 4])),
        behind("9114/7.2.8/4", "CONTINUATION of HTTP/2", unexpected, &frame(9, b"")),
        behind("9114/7.2.8/5", "GREASE", [Fine], &frame(GREASE, b"whatever")),
        behind("9114/7.2.8/6", "a long frame of GREASE", [Fine], &frame(GREASE, &[7; 10_000])),
        behind(
            "9114/9/1",
            "frames that nobody knows",
            [Fine],
            &(0x10..0x40)
                .filter(|kind| ![0x0d].contains(kind))
                .flat_map(|kind| frame(kind, b"x"))
                .collect::<Vec<_>>(),
        ),
        behind(
            "9114/7.2.6/1",
            "GOAWAY, and nothing that the server has to wait for",
            [Closed(0x100)],
            &numbers(GOAWAY, &[0]),
        ),
        behind(
            "9114/7.2.6/2",
            "GOAWAY with a lower number",
            [Closed(0x100)],
            &[numbers(GOAWAY, &[8]), numbers(GOAWAY, &[4])].concat(),
        ),
        behind(
            "9114/7.2.6/3",
            "GOAWAY with a higher number",
            [Closed(0x108)],
            &[numbers(GOAWAY, &[4]), numbers(GOAWAY, &[8])].concat(),
        ),
        ended(behind(
            "9114/7.2.6/4",
            "GOAWAY without a number",
            [Closed(0x106)],
            &frame(GOAWAY, b""),
        )),
        behind(
            "9114/7.2.6/5",
            "GOAWAY with two numbers",
            [Closed(0x106)],
            &numbers(GOAWAY, &[0, 0]),
        ),
        behind("9114/7.2.7/1", "MAX_PUSH_ID", [Fine], &numbers(MAX_PUSH_ID, &[10])),
        behind(
            "9114/7.2.7/2",
            "MAX_PUSH_ID that goes up",
            [Fine],
            &[numbers(MAX_PUSH_ID, &[1]), numbers(MAX_PUSH_ID, &[9])].concat(),
        ),
        behind(
            "9114/7.2.7/3",
            "MAX_PUSH_ID that goes down",
            [Closed(0x108)],
            &[numbers(MAX_PUSH_ID, &[9]), numbers(MAX_PUSH_ID, &[1])].concat(),
        ),
        ended(behind(
            "9114/7.2.7/4",
            "MAX_PUSH_ID without a number",
            [Closed(0x106)],
            &frame(MAX_PUSH_ID, b""),
        )),
        behind(
            "9114/7.2.3/1",
            "CANCEL_PUSH of what was not promised",
            [Closed(0x108)],
            &numbers(CANCEL_PUSH, &[0]),
        ),
        behind(
            "9114/7.2.3/2",
            "CANCEL_PUSH within MAX_PUSH_ID",
            [Fine, Closed(0x108)],
            &[numbers(MAX_PUSH_ID, &[9]), numbers(CANCEL_PUSH, &[3])].concat(),
        ),
    ]
}

fn streams() -> Vec<Case> {
    let none = |mut case: Case| {
        case.control = None;
        case
    };
    let of = |typ: u64, rest: &[u8]| uni(&[&varints(&[typ])[..], rest].concat());
    vec![
        ended(on_control(
            "9114/6.2.1/6",
            "a control stream that ends",
            [Closed(0x104)],
            &no_settings(),
        )),
        ended(behind(
            "9114/6.2.1/7",
            "a control stream that ends inside of a frame",
            [Closed(0x104), Closed(0x106)],
            &[7, 4, 0],
        )),
        ended(on_control(
            "9114/6.2.1/8",
            "a control stream that ends before SETTINGS",
            [Closed(0x104), Closed(0x10a)],
            b"",
        )),
        beside(
            "9114/6.2.1/9",
            "a second control stream",
            [Closed(0x103)],
            vec![control(&no_settings())],
        ),
        none(beside("9114/6.2.1/10", "no control stream yet", [Fine], Vec::new())),
        beside("9114/6.2.2/1", "a client's push stream", [Closed(0x103)], vec![of(1, &[0])]),
        beside("9114/6.2.3/1", "a stream of GREASE", [Fine], vec![of(GREASE, b"whatever")]),
        beside(
            "9114/6.2.3/2",
            "a stream of GREASE that ends",
            [Fine],
            vec![of(GREASE, b"").end(End::Fin)],
        ),
        beside(
            "9114/6.2/1",
            "a stream of a type that nobody knows",
            [Fine],
            vec![of(0xabcd, b"x")],
        ),
        beside(
            "9114/6.2/2",
            "a stream that ends inside of its type",
            [Fine],
            vec![uni(&[0x40]).end(End::Fin)],
        ),
        beside("9114/6.2/3", "a stream without a byte", [Fine], vec![uni(b"").end(End::Fin)]),
        beside(
            "9114/6.2/4",
            "ten streams of types that nobody knows",
            [Fine],
            (0..10).map(|number| of(0x1f * number + 0x21, b"x")).collect(),
        ),
    ]
}

fn qpack() -> Vec<Case> {
    let encoder = |rest: &[u8]| uni(&[&[2], rest].concat());
    let decoder = |rest: &[u8]| uni(&[&[3], rest].concat());
    let (of_encoder, of_decoder) = ([Closed(0x201)], [Closed(0x202)]);
    vec![
        beside(
            "9204/4.2/1",
            "an encoder and a decoder stream",
            [Fine],
            vec![encoder(b""), decoder(b"")],
        ),
        beside(
            "9204/4.2/2",
            "two encoder streams",
            [Closed(0x103)],
            vec![encoder(b""), encoder(b"")],
        ),
        beside(
            "9204/4.2/3",
            "two decoder streams",
            [Closed(0x103)],
            vec![decoder(b""), decoder(b"")],
        ),
        beside(
            "9204/4.2/4",
            "an encoder stream that ends",
            [Closed(0x104)],
            vec![encoder(b"").end(End::Fin)],
        ),
        beside(
            "9204/4.2/5",
            "a decoder stream that ends",
            [Closed(0x104)],
            vec![decoder(b"").end(End::Fin)],
        ),
        beside(
            "9204/4.3.1/1",
            "a capacity over the limit, which is 0",
            of_encoder,
            vec![encoder(&[0x3f, 0x45])],
        ),
        beside("9204/4.3.1/2", "a capacity of 0", [Fine], vec![encoder(&[0x20])]),
        beside(
            "9204/4.3.3/1",
            "a field for a table without room",
            of_encoder,
            vec![encoder(&[0x41, b'x', 1, b'1'])],
        ),
        beside("9204/4.3.4/1", "a duplicate of nothing", of_encoder, vec![encoder(&[0x00])]),
        beside(
            "9204/4.4.1/1",
            "an acknowledgement of no section",
            of_decoder,
            vec![decoder(&[0x80])],
        ),
        beside("9204/4.4.3/1", "an increment of 0", of_decoder, vec![decoder(&[0x00])]),
        beside(
            "9204/4.4.3/2",
            "an increment beyond what was inserted",
            of_decoder,
            vec![decoder(&[0x05])],
        ),
        beside("9204/4.4.2/1", "a cancellation of no stream", [Fine], vec![decoder(&[0x40])]),
    ]
}
