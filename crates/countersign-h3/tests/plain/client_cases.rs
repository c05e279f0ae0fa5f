//! What servers send, right and wrong.

use countersign_proto::Setting;
use countersign_testkit::raw_h3::Frame;

use crate::client::Got::{Closed, Failed, Response};
use crate::client::{Case, Got};
use crate::quic::{control, frame, settings, varints};

/// Where h3 does otherwise than the RFC demands: the case, and what comes of it.
pub(crate) const DEVIATIONS: &[(&str, Got)] = &[
    // Informational responses are taken for the final one, and what follows for trailers.
    ("client/4.1/3", Closed(0x105)),
    ("client/4.1/6", Closed(0x105)),
    // Malformed responses that are taken.
    ("client/4.1.2/1", Response(200, 5)),
    ("client/4.3/2", Response(200, 0)),
    // A frame that is not known may come before SETTINGS.
    ("client/6.2.1/1", Response(200, 5)),
    // Streams of pushes and of QPACK are left alone.
    ("client/6.2.2/1", Response(200, 5)),
    ("client/9204/4.3", Response(200, 5)),
];

/// Where the backend keeps to the RFC and h3 does not: it reads SETTINGS itself, before h3 does.
pub(crate) const BETTER: &[(&str, Got)] = &[("client/6.2.1/1", Closed(0x10a))];

const FINE: &[Got] = &[Response(200, 5)];
const MALFORMED: &[Got] = &[Failed, Closed(0x10e)];
const UNEXPECTED: &[Got] = &[Closed(0x105)];
const GREASE: u64 = 0x1f * 5 + 0x21;

fn case(id: &'static str, says: &'static str, demand: &'static [Got], response: Vec<u8>) -> Case {
    Case { id, says, control: control(&[]), uni: None, response, fin: true, demand }
}

fn head(fields: &[(&str, &str)]) -> Vec<u8> {
    Frame::headers(fields).encode()
}

fn ok() -> Vec<u8> {
    [head(&[(":status", "200")]), frame(0, b"hello")].concat()
}

pub(crate) fn cases() -> Vec<Case> {
    let then = |before: Vec<u8>| [before, ok()].concat();
    let status = (":status", "200");
    let open = |mut case: Case| {
        case.fin = false;
        case
    };
    let on_control = |id, says, demand, bytes: Vec<u8>| {
        let mut case = case(id, says, demand, ok());
        case.control = bytes;
        // Or the response would be faster.
        case.fin = demand == FINE;
        case
    };
    let beside = |id, says, demand, bytes: Vec<u8>| {
        let mut case = case(id, says, demand, ok());
        case.uni = Some(bytes);
        case.fin = demand == FINE;
        case
    };
    let behind = |bytes: Vec<u8>| [control(&[]), bytes].concat();
    vec![
        case("client/4.1/1", "a response", FINE, ok()),
        case(
            "client/4.1/2",
            "a response with trailers",
            FINE,
            [ok(), head(&[("sum", "1")])].concat(),
        ),
        case(
            "client/4.1/3",
            "an informational response before",
            FINE,
            then(head(&[(":status", "103")])),
        ),
        case(
            "client/4.1/4",
            "GREASE around everything",
            FINE,
            [frame(GREASE, b"x"), ok(), frame(GREASE, b"")].concat(),
        ),
        case("client/4.1/5", "DATA before HEADERS", UNEXPECTED, frame(0, b"x")),
        case(
            "client/4.1/6",
            "an end without a response",
            &[Failed, Closed(0x10d), Closed(0x10e)],
            Vec::new(),
        ),
        case(
            "client/4.1.2/1",
            "less than content-length",
            MALFORMED,
            [head(&[status, ("content-length", "9")]), frame(0, b"hello")].concat(),
        ),
        case("client/4.2/1", "an upper-case name", MALFORMED, head(&[status, ("X-Upper", "1")])),
        case("client/4.3/1", "no :status", MALFORMED, head(&[("x", "1")])),
        case(
            "client/4.3/2",
            "a pseudo-header field of requests",
            MALFORMED,
            head(&[status, (":path", "/")]),
        ),
        case("client/7.1/1", "an end inside of HEADERS", &[Closed(0x106)], vec![1, 9, 0, 0]),
        open(case("client/7.2.4/1", "SETTINGS in a response", UNEXPECTED, frame(4, b""))),
        open(case("client/7.2.6/1", "GOAWAY in a response", UNEXPECTED, frame(7, &[0]))),
        open(case("client/7.2.8/1", "PING of HTTP/2 in a response", UNEXPECTED, frame(6, &[0; 8]))),
        open(case(
            "client/7.2.5/1",
            "PUSH_PROMISE beyond MAX_PUSH_ID",
            &[Closed(0x108), Closed(0x105)],
            frame(5, &[0, 0, 0]),
        )),
        case(
            "client/9204/4.5",
            "a section that cannot be decoded",
            &[Closed(0x200)],
            frame(1, &[0, 0, 0x80]),
        ),
        on_control(
            "client/6.2.1/1",
            "another frame in the place of SETTINGS",
            &[Closed(0x10a)],
            [vec![0], frame(GREASE, b"")].concat(),
        ),
        on_control("client/7.2.4/2", "SETTINGS twice", UNEXPECTED, behind(settings(&[]))),
        on_control(
            "client/7.2.4/3",
            "a setting of HTTP/2",
            &[Closed(0x109)],
            control(&[Setting { id: 4, value: 1 }]),
        ),
        on_control(
            "client/7.2.1/1",
            "DATA on the control stream",
            UNEXPECTED,
            behind(frame(0, b"x")),
        ),
        on_control(
            "client/7.2.7/1",
            "MAX_PUSH_ID from a server",
            UNEXPECTED,
            behind(frame(0xd, &[1])),
        ),
        on_control(
            "client/7.2.6/2",
            "GOAWAY with a number that is no request's",
            &[Closed(0x108)],
            behind(frame(7, &[1])),
        ),
        on_control(
            "client/7.2.8/2",
            "GREASE on the control stream",
            FINE,
            behind(frame(GREASE, b"x")),
        ),
        beside("client/6.2.1/2", "a second control stream", &[Closed(0x103)], control(&[])),
        beside(
            "client/6.2.2/1",
            "a push stream beyond MAX_PUSH_ID",
            &[Closed(0x108), Closed(0x103)],
            varints(&[1, 0]),
        ),
        beside(
            "client/6.2.3/1",
            "a stream of GREASE",
            FINE,
            [varints(&[GREASE]), b"x".to_vec()].concat(),
        ),
        beside(
            "client/9204/4.3",
            "a field for a table without room",
            &[Closed(0x201)],
            vec![2, 0x41, b'x', 1, b'1'],
        ),
    ]
}
