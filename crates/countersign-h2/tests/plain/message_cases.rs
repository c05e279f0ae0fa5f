//! RFC 9113, section 8: messages, and those that are malformed.

use crate::outcome::Seen::{self, Goaway, Reset, Status};
use crate::server::{Case, case};
use crate::wire::*;

/// A malformed request: a stream error, of which the client may be told with a response before.
const MALFORMED: [Seen; 3] = [Reset(1), Goaway(1), Status(400)];
const FINE: [Seen; 1] = [Status(200)];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = generic();
    cases.extend(bodies());
    cases.extend(fields());
    cases.extend(pseudo());
    cases
}

fn whole(block: &[u8]) -> Vec<u8> {
    f(HEADERS, WHOLE, 1, block)
}

fn generic() -> Vec<Case> {
    let trailers = |flags, fields: &[(&str, &str)]| f(HEADERS, flags, 1, &block(fields));
    let post = |rest: Vec<u8>| [post_on(1, &[]), rest].concat();
    vec![
        case("9113/8.1/1", "GET", FINE, get_on(1)),
        case("9113/8.1/2", "HEAD", FINE, whole(&request("HEAD", "/", &[]))),
        case("9113/8.1/3", "POST", FINE, post(data(1, END_STREAM, b"some body"))),
        case(
            "9113/8.1/4",
            "POST with trailers",
            FINE,
            post([data(1, 0, b"body"), trailers(WHOLE, &[("sum", "1")])].concat()),
        ),
        case(
            "9113/8.1/5",
            "POST with trailers and no body",
            FINE,
            post(trailers(WHOLE, &[("sum", "1")])),
        ),
        case(
            "9113/8.1/6",
            "a response with trailers",
            FINE,
            whole(&request("GET", "/trailers", &[])),
        ),
        case("9113/8.1/7", "OPTIONS *", FINE, whole(&request("OPTIONS", "*", &[]))),
        case("9113/8.1/8", "a method that nobody knows", FINE, whole(&request("BREW", "/", &[]))),
        case(
            "9113/8.1/9",
            "a second HEADERS frame that does not end the stream",
            MALFORMED,
            post([data(1, 0, b"x"), trailers(END_HEADERS, &[("sum", "1")])].concat()),
        ),
        case(
            "9113/8.1/10",
            "trailers with a pseudo-header field",
            MALFORMED,
            post(trailers(WHOLE, &[(":method", "GET")])),
        ),
        case(
            "9113/8.1/11",
            "DATA behind trailers",
            [Reset(5), Goaway(5)],
            post([trailers(WHOLE, &[("sum", "1")]), data(1, END_STREAM, b"x")].concat()),
        ),
        case(
            "9113/8.1/12",
            "four requests at once",
            FINE,
            all([get_on(1), get_on(3), get_on(5), get_on(7)]),
        )
        .stream(7),
        case(
            "9113/8.1/13",
            "requests that take turns",
            FINE,
            all([
                post_on(1, &[]),
                post_on(3, &[]),
                data(1, 0, b"a"),
                data(3, 0, b"b"),
                data(1, END_STREAM, b"c"),
                data(3, END_STREAM, b"d"),
            ]),
        )
        .stream(3),
        case(
            "9113/10.5.1/1",
            "more fields than are taken",
            [Status(431), Reset(1), Reset(11), Goaway(11)],
            {
                let fields: Vec<_> =
                    (0..400).map(|_| ("x-long", "0123456789abcdef0123456789abcdef")).collect();
                let block = request("GET", "/", &fields);
                let (a, b) = block.split_at(16_000);
                [f(HEADERS, END_STREAM, 1, a), f(CONTINUATION, END_HEADERS, 1, b)].concat()
            },
        ),
    ]
}

fn bodies() -> Vec<Case> {
    let sized = |length: &'static str, rest: Vec<u8>| {
        [post_on(1, &[("content-length", length)]), rest].concat()
    };
    vec![
        case(
            "9113/8.1.1/1",
            "as much as content-length says",
            FINE,
            sized("4", data(1, END_STREAM, b"body")),
        ),
        case(
            "9113/8.1.1/2",
            "less than content-length",
            MALFORMED,
            sized("5", data(1, END_STREAM, b"body")),
        ),
        case(
            "9113/8.1.1/3",
            "more than content-length",
            MALFORMED,
            sized("3", data(1, END_STREAM, b"body")),
        ),
        case(
            "9113/8.1.1/4",
            "more than content-length in several frames",
            MALFORMED,
            sized("5", [data(1, 0, b"bod"), data(1, END_STREAM, b"ies")].concat()),
        ),
        case(
            "9113/8.1.1/5",
            "content-length and no body",
            MALFORMED,
            whole(&request("POST", "/", &[("content-length", "1")])),
        ),
        case(
            "9113/8.1.1/6",
            "content-length 0 and no body",
            FINE,
            whole(&request("POST", "/", &[("content-length", "0")])),
        ),
        case(
            "9113/8.1.1/7",
            "content-length that is no number",
            MALFORMED,
            sized("4x", data(1, END_STREAM, b"body")),
        ),
        case(
            "9113/8.1.1/9",
            "two content-lengths that differ",
            MALFORMED,
            f(
                HEADERS,
                WHOLE,
                1,
                &request("POST", "/", &[("content-length", "0"), ("content-length", "5")]),
            ),
        ),
        case(
            "9113/8.1.1/8",
            "trailers before content-length is reached",
            MALFORMED,
            sized("9", [data(1, 0, b"body"), f(HEADERS, WHOLE, 1, &literal("sum", "1"))].concat()),
        ),
    ]
}

fn fields() -> Vec<Case> {
    let with = |name: &[u8], value: &[u8]| whole(&[get(), raw_literal(name, value)].concat());
    vec![
        case("9113/8.2.1/1", "an upper-case name", MALFORMED, with(b"X-Upper", b"1")),
        case("9113/8.2.1/2", "a space in a name", MALFORMED, with(b"x space", b"1")),
        case("9113/8.2.1/3", "a colon in a name", MALFORMED, with(b"x:colon", b"1")),
        case("9113/8.2.1/4", "an empty name", MALFORMED, with(b"", b"1")),
        case("9113/8.2.1/5", "NUL in a value", MALFORMED, with(b"x-nul", b"a\0b")),
        case("9113/8.2.1/6", "CR in a value", MALFORMED, with(b"x-cr", b"a\rb")),
        case("9113/8.2.1/7", "LF in a value", MALFORMED, with(b"x-lf", b"a\nb")),
        case("9113/8.2.1/8", "a space before a value", MALFORMED, with(b"x-space", b" a")),
        case("9113/8.2.1/9", "an empty value", FINE, with(b"x-empty", b"")),
        case("9113/8.2.1/10", "a value beyond ASCII", FINE, with(b"x-latin", b"\xe4\xf6")),
        case("9113/8.2.2/1", "connection", MALFORMED, with(b"connection", b"keep-alive")),
        case("9113/8.2.2/2", "keep-alive", MALFORMED, with(b"keep-alive", b"timeout=5")),
        case(
            "9113/8.2.2/3",
            "proxy-connection",
            MALFORMED,
            with(b"proxy-connection", b"keep-alive"),
        ),
        case(
            "9113/8.2.2/4",
            "transfer-encoding",
            MALFORMED,
            with(b"transfer-encoding", b"chunked"),
        ),
        case("9113/8.2.2/5", "upgrade", MALFORMED, with(b"upgrade", b"h2c")),
        case(
            "9113/8.2.2/6",
            "te with another value than trailers",
            MALFORMED,
            with(b"te", b"gzip"),
        ),
        case("9113/8.2.2/7", "te: trailers", FINE, with(b"te", b"trailers")),
        case(
            "9113/8.2.3/1",
            "cookie in pieces",
            FINE,
            whole(&[get(), block(&[("cookie", "a=1"), ("cookie", "b=2")])].concat()),
        ),
    ]
}

fn pseudo() -> Vec<Case> {
    let of = |fields: &[(&str, &str)]| whole(&block(fields));
    let (method, scheme, path) = ((":method", "GET"), (":scheme", "https"), (":path", "/"));
    let authority = (":authority", "localhost");
    vec![
        case(
            "9113/8.3/1",
            "an unknown pseudo-header field",
            MALFORMED,
            of(&[method, scheme, path, (":test", "1")]),
        ),
        case(
            "9113/8.3/2",
            "a pseudo-header field of responses",
            MALFORMED,
            of(&[method, scheme, path, (":status", "200")]),
        ),
        case(
            "9113/8.3/3",
            "a pseudo-header field behind others",
            MALFORMED,
            of(&[method, scheme, ("x-test", "1"), path]),
        ),
        case("9113/8.3.1/1", "no :method", MALFORMED, of(&[scheme, path, authority])),
        case("9113/8.3.1/2", "no :scheme", MALFORMED, of(&[method, path, authority])),
        case("9113/8.3.1/3", "no :path", MALFORMED, of(&[method, scheme, authority])),
        case(
            "9113/8.3.1/4",
            "an empty :path",
            MALFORMED,
            of(&[method, scheme, (":path", ""), authority]),
        ),
        case("9113/8.3.1/5", ":method twice", MALFORMED, of(&[method, method, scheme, path])),
        case("9113/8.3.1/6", ":scheme twice", MALFORMED, of(&[method, scheme, scheme, path])),
        case("9113/8.3.1/7", ":path twice", MALFORMED, of(&[method, scheme, path, path])),
        case(
            "9113/8.3.1/8",
            ":authority twice",
            MALFORMED,
            of(&[method, scheme, path, authority, authority]),
        ),
        case(
            "9113/8.3.1/9",
            "a method with a space",
            MALFORMED,
            of(&[(":method", "G T"), scheme, path]),
        ),
        case(
            "9113/8.3.1/10",
            "host in the place of :authority",
            FINE,
            of(&[method, scheme, path, ("host", "localhost")]),
        ),
        case(
            "9113/8.3.1/11",
            "no authority at all",
            [Status(200), Status(400), Reset(1)],
            of(&[method, scheme, path]),
        ),
        case(
            "9113/8.3.1/12",
            "a path that does not begin with a slash",
            MALFORMED,
            of(&[method, scheme, (":path", "x"), authority]),
        ),
        case(
            "9113/8.3.1/13",
            "an authority that is none",
            MALFORMED,
            of(&[method, scheme, path, (":authority", "a b")]),
        ),
        case(
            "9113/8.5/1",
            "CONNECT with a path",
            MALFORMED,
            of(&[(":method", "CONNECT"), scheme, path, authority]),
        ),
        case("9113/8.3.1/14", "no field at all", MALFORMED, whole(b"")),
        case(
            "8441/4/1",
            ":protocol where nobody announced it",
            MALFORMED,
            of(&[(":method", "CONNECT"), (":protocol", "websocket"), scheme, path, authority]),
        ),
    ]
}
