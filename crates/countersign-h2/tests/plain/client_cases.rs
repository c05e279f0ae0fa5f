//! What servers send, right and wrong.

use crate::client::Got::{Error, Response};
use crate::client::{Case, Got};
use crate::wire::*;

fn case(id: &'static str, says: &'static str, demand: &'static [Got], bytes: Vec<u8>) -> Case {
    Case { id, says, bytes, start: None, demand }
}

fn head(flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    f(HEADERS, flags, 1, &block(fields))
}

fn ok() -> Vec<u8> {
    [head(END_HEADERS, &[(":status", "200")]), data(1, END_STREAM, b"hello")].concat()
}

/// Where hyper does otherwise than the RFC demands: the case, and what becomes of the request.
pub(crate) const DEVIATIONS: &[(&str, Got)] = &[
    // SETTINGS need not come first.
    ("client/3.4/1", Response(200, 5)),
    // It does not look for fields of requests.
    ("client/8.1/8", Response(200, 0)),
    // As on servers.
    ("client/4.3/1", Error(1)),
    ("client/6.5/2", Error(1)),
];

const FINE: &[Got] = &[Response(200, 5)];
const PROTOCOL: &[Got] = &[Error(1)];
const SIZE: &[Got] = &[Error(6)];

pub(crate) fn cases() -> Vec<Case> {
    let then = |frame: Vec<u8>| [frame, ok()].concat();
    let status = (":status", "200");
    let mut cases = vec![
        case("client/8.1/1", "a response", FINE, ok()),
        case(
            "client/8.1/2",
            "a response with trailers",
            FINE,
            all([head(END_HEADERS, &[status]), data(1, 0, b"hello"), head(WHOLE, &[("sum", "1")])]),
        ),
        case(
            "client/8.1/3",
            "an informational response before",
            FINE,
            then(head(END_HEADERS, &[(":status", "103")])),
        ),
        case(
            "client/8.1/4",
            "a response without a body",
            &[Response(204, 0)],
            head(WHOLE, &[(":status", "204")]),
        ),
        case("client/8.1/5", "RST_STREAM in the place of a response", &[Error(8)], rst(1)),
        case("client/8.1/6", "no :status", PROTOCOL, head(WHOLE, &[("x", "1")])),
        case("client/8.1/7", ":status twice", PROTOCOL, head(WHOLE, &[status, status])),
        case(
            "client/8.1/8",
            "a pseudo-header field of requests",
            PROTOCOL,
            head(WHOLE, &[status, (":path", "/")]),
        ),
        case(
            "client/8.1/9",
            "less than content-length",
            PROTOCOL,
            all([
                head(END_HEADERS, &[status, ("content-length", "9")]),
                data(1, END_STREAM, b"hello"),
            ]),
        ),
        case("client/8.1/10", "DATA before HEADERS", PROTOCOL, data(1, END_STREAM, b"x")),
        case(
            "client/8.2/1",
            "an upper-case name",
            PROTOCOL,
            head(WHOLE, &[status, ("X-Upper", "1")]),
        ),
        case(
            "client/8.2/2",
            "connection",
            PROTOCOL,
            head(WHOLE, &[status, ("connection", "close")]),
        ),
        case(
            "client/4.1/1",
            "unknown frames",
            FINE,
            then([f(UNKNOWN, 0, 0, b"x"), f(UNKNOWN, 9, 1, b"x")].concat()),
        ),
        case(
            "client/4.2/1",
            "DATA of 16,385 bytes",
            SIZE,
            all([head(END_HEADERS, &[status]), data(1, END_STREAM, &[0; 16_385])]),
        ),
        case(
            "client/4.3/1",
            "a block that cannot be decoded",
            &[Error(9)],
            f(HEADERS, WHOLE, 1, &[0x80]),
        ),
        case(
            "client/4.3/2",
            "PING inside of a block",
            PROTOCOL,
            all([
                f(HEADERS, END_STREAM, 1, &block(&[status])),
                f(PING, 0, 0, b"12345678"),
                f(CONTINUATION, END_HEADERS, 1, b""),
            ]),
        ),
        case(
            "client/4.3/3",
            "a block in pieces",
            FINE,
            all([
                f(HEADERS, 0, 1, b""),
                f(CONTINUATION, END_HEADERS, 1, &block(&[status])),
                data(1, END_STREAM, b"hello"),
            ]),
        ),
        case(
            "client/5.1/1",
            "a stream that the client did not open",
            PROTOCOL,
            f(HEADERS, WHOLE, 3, &block(&[status])),
        ),
        case("client/6.5/1", "SETTINGS between", FINE, then(settings(&[(3, 5), (0xabcd, 1)]))),
        case("client/6.5/2", "SETTINGS of 5 bytes", SIZE, f(SETTINGS, 0, 0, &[0; 5])),
        case("client/6.5/3", "MAX_FRAME_SIZE 1", PROTOCOL, settings(&[(5, 1)])),
        case(
            "client/6.6/1",
            "PUSH_PROMISE, which the client does not allow",
            PROTOCOL,
            f(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &get()].concat()),
        ),
        case("client/6.7/1", "PING between", FINE, then(f(PING, 0, 0, b"12345678"))),
        case(
            "client/6.8/1",
            "GOAWAY that lets the request through",
            FINE,
            then(f(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])),
        ),
        case(
            "client/6.8/2",
            "GOAWAY with an error",
            &[Error(2), Error(0)],
            f(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2]),
        ),
        case("client/6.9/1", "WINDOW_UPDATE of 0", PROTOCOL, window_update(0, 0)),
        case(
            "client/6.9/2",
            "the connection's window over 2^31 - 1",
            &[Error(3)],
            all([window_update(0, (1 << 31) - 1), window_update(0, 1)]),
        ),
    ];
    let mut first = case("client/3.4/1", "another frame before SETTINGS", PROTOCOL, ok());
    first.start = Some(f(PING, 0, 0, b"12345678"));
    cases.push(first);
    cases
}
