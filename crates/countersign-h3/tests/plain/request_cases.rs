//! RFC 9114, sections 4 and 7, RFC 9204, section 4.5: requests.

use countersign_testkit::raw_h3::Frame;

use crate::quic::{frame, varints};
use crate::server::Seen::{self, Closed, Reset, Status};
use crate::server::{Case, DATA, End, HEADERS, control, no_settings, numbers, request};

const MALFORMED: [Seen; 3] = [Reset(0x10e), Closed(0x10e), Status(400)];
const UNEXPECTED: [Seen; 1] = [Closed(0x105)];
const BROKEN: [Seen; 1] = [Closed(0x106)];
const DECOMPRESSION: [Seen; 1] = [Closed(0x200)];
const FINE: [Seen; 1] = [Status(200)];
const GREASE: u64 = 0x1f * 5 + 0x21;

fn case(id: &'static str, says: &'static str, demand: impl Into<Vec<Seen>>, bytes: &[u8]) -> Case {
    let control = Some(control(&no_settings()));
    Case { id, says, control, streams: vec![request(bytes)], demand: demand.into() }
}

fn head(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let start =
        [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", "/")];
    fields(&[&start, more].concat())
}

fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    Frame::headers(fields).encode()
}

fn data(bytes: &[u8]) -> Vec<u8> {
    frame(DATA, bytes)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = exchanges();
    cases.extend(frames());
    cases.extend(lengths());
    cases.extend(malformed());
    cases.extend(sections());
    cases
}

fn exchanges() -> Vec<Case> {
    let trailers = || fields(&[("sum", "1")]);
    let many = |frames: &[Vec<u8>]| frames.concat();
    let mut cases = vec![
        case("9114/4.1/1", "GET", FINE, &head("GET", &[])),
        case("9114/4.1/2", "HEAD", FINE, &head("HEAD", &[])),
        case("9114/4.1/3", "POST", FINE, &many(&[head("POST", &[]), data(b"body")])),
        case(
            "9114/4.1/4",
            "POST with trailers",
            FINE,
            &many(&[head("POST", &[]), data(b"body"), trailers()]),
        ),
        case(
            "9114/4.1/5",
            "trailers without a body",
            FINE,
            &many(&[head("POST", &[]), trailers()]),
        ),
        case(
            "9114/4.1/6",
            "a body in pieces, empty ones among them",
            FINE,
            &many(&[head("POST", &[]), data(b""), data(b"a"), data(b""), data(b"bc"), data(b"")]),
        ),
        case(
            "9114/4.1/7",
            "a body of 100,000 bytes",
            FINE,
            &many(&[head("POST", &[]), data(&[7; 100_000])]),
        ),
        case(
            "9114/4.1/8",
            "DATA before HEADERS",
            UNEXPECTED,
            &many(&[data(b"x"), head("POST", &[])]),
        ),
        case(
            "9114/4.1/9",
            "DATA behind trailers",
            UNEXPECTED,
            &many(&[head("POST", &[]), trailers(), data(b"x")]),
        ),
        case(
            "9114/4.1/10",
            "HEADERS behind trailers",
            UNEXPECTED,
            &many(&[head("POST", &[]), trailers(), trailers()]),
        ),
        case(
            "9114/4.1/11",
            "GREASE around everything",
            FINE,
            &many(&[
                frame(GREASE, b"a"),
                head("POST", &[]),
                frame(GREASE, b""),
                data(b"x"),
                frame(GREASE, b"b"),
                trailers(),
                frame(GREASE, b"c"),
            ]),
        ),
        case("9114/4.1/12", "integers that are longer than they need be", FINE, &{
            let head = head("GET", &[]);
            let length = (head.len() - 2) as u8;
            [&[0x40, 1, 0x80, 0, 0, length][..], &head[2..]].concat()
        }),
        case(
            "9114/4.1/13",
            "a stream that ends without a request",
            [Reset(0x10d), Closed(0x10d)],
            b"",
        ),
        case(
            "9114/4.1/14",
            "a stream of GREASE alone",
            [Reset(0x10d), Closed(0x10d)],
            &frame(GREASE, b"x"),
        ),
        case(
            "9114/4.2.2/1",
            "more fields than are taken",
            [Status(431), Reset(0x10e), Reset(0x107)],
            &{
                let field = ("x-long", "0123456789abcdef0123456789abcdef0123456789abcdef");
                head("GET", &[field; 300])
            },
        ),
    ];
    let mut four = case("9114/4.1/15", "four requests at once", FINE, &head("GET", &[]));
    four.streams.extend((0..3).map(|_| request(&head("GET", &[]))));
    cases.push(four);
    cases
}

fn frames() -> Vec<Case> {
    let open = |id, says, kind: u64, payload: &[u8]| {
        let mut case =
            case(id, says, UNEXPECTED, &[head("POST", &[]), frame(kind, payload)].concat());
        case.streams[0].end = End::Open;
        case
    };
    let mut first = case(
        "9114/7.2.4/8",
        "SETTINGS as the first frame of a request",
        UNEXPECTED,
        &no_settings(),
    );
    first.streams[0].end = End::Open;
    vec![
        first,
        open("9114/7.2.3/3", "CANCEL_PUSH in a request", 3, &[0]),
        open("9114/7.2.4/9", "SETTINGS in a request", 4, &[]),
        open("9114/7.2.5/2", "PUSH_PROMISE from a client", 5, &[0, 0, 0]),
        open("9114/7.2.6/6", "GOAWAY in a request", 7, &[0]),
        open("9114/7.2.7/5", "MAX_PUSH_ID in a request", 0xd, &[0]),
        open("9114/7.2.8/7", "PRIORITY of HTTP/2 in a request", 2, &[0; 5]),
        open("9114/7.2.8/8", "PING of HTTP/2 in a request", 6, &[0; 8]),
        open("9114/7.2.8/9", "WINDOW_UPDATE of HTTP/2 in a request", 8, &[0; 4]),
        open("9114/7.2.8/10", "CONTINUATION of HTTP/2 in a request", 9, &[]),
    ]
}

fn lengths() -> Vec<Case> {
    let post = |rest: &[u8]| [&head("POST", &[])[..], rest].concat();
    let sized = |length: &str, rest: &[u8]| {
        [&head("POST", &[("content-length", length)])[..], rest].concat()
    };
    let whole = head("GET", &[]);
    vec![
        case(
            "9114/7.1/1",
            "a stream that ends inside of HEADERS",
            BROKEN,
            &whole[..whole.len() - 1],
        ),
        case("9114/7.1/2", "a stream that ends inside of DATA", BROKEN, &post(&[0, 9, b'x'])),
        case("9114/7.1/3", "a stream that ends inside of a length", BROKEN, &post(&[0, 0x40])),
        case("9114/7.1/4", "a stream that ends inside of a type", BROKEN, &post(&[0x40])),
        case(
            "9114/7.1/5",
            "a stream that ends inside of GREASE",
            BROKEN,
            &post(&[varints(&[GREASE, 9]), vec![1]].concat()),
        ),
        case("9114/7.1/6", "a stream that ends behind a type", BROKEN, &post(&[0])),
        case("9114/4.1.2/1", "as much as content-length says", FINE, &sized("4", &data(b"body"))),
        case("9114/4.1.2/2", "less than content-length", MALFORMED, &sized("5", &data(b"body"))),
        case("9114/4.1.2/3", "more than content-length", MALFORMED, &sized("3", &data(b"body"))),
        case("9114/4.1.2/4", "content-length and no body", MALFORMED, &sized("1", b"")),
        case(
            "9114/4.1.2/6",
            "two content-lengths that differ",
            MALFORMED,
            &head("POST", &[("content-length", "0"), ("content-length", "5")]),
        ),
        case(
            "9114/4.1.2/5",
            "content-length that is no number",
            MALFORMED,
            &sized("4x", &data(b"body")),
        ),
    ]
}

fn malformed() -> Vec<Case> {
    let with = |name: &str, value: &str| head("GET", &[(name, value)]);
    let (method, scheme, path) = ((":method", "GET"), (":scheme", "https"), (":path", "/"));
    let authority = (":authority", "localhost");
    vec![
        case("9114/4.2/1", "an upper-case name", MALFORMED, &with("X-Upper", "1")),
        case("9114/4.2/2", "connection", MALFORMED, &with("connection", "close")),
        case("9114/4.2/3", "keep-alive", MALFORMED, &with("keep-alive", "timeout=5")),
        case("9114/4.2/4", "transfer-encoding", MALFORMED, &with("transfer-encoding", "chunked")),
        case("9114/4.2/5", "upgrade", MALFORMED, &with("upgrade", "websocket")),
        case("9114/4.2/6", "te with another value than trailers", MALFORMED, &with("te", "gzip")),
        case("9114/4.2/7", "te: trailers", FINE, &with("te", "trailers")),
        case("9114/4.2/8", "a space in a name", MALFORMED, &with("x space", "1")),
        case("9114/4.2/9", "an empty name", MALFORMED, &with("", "1")),
        case("9114/10.3/1", "NUL in a value", MALFORMED, &with("x-nul", "a\0b")),
        case("9114/10.3/2", "CR in a value", MALFORMED, &with("x-cr", "a\rb")),
        case("9114/10.3/3", "LF in a value", MALFORMED, &with("x-lf", "a\nb")),
        case(
            "9114/4.3/1",
            "an unknown pseudo-header field",
            MALFORMED,
            &fields(&[method, scheme, authority, path, (":test", "1")]),
        ),
        case(
            "9114/4.3/2",
            "a pseudo-header field of responses",
            MALFORMED,
            &fields(&[method, scheme, authority, path, (":status", "200")]),
        ),
        case(
            "9114/4.3/3",
            "a pseudo-header field behind others",
            MALFORMED,
            &fields(&[method, scheme, authority, ("x", "1"), path]),
        ),
        case(
            "9114/4.3/4",
            "trailers with a pseudo-header field",
            MALFORMED,
            &[head("POST", &[]), fields(&[method])].concat(),
        ),
        case("9114/4.3.1/1", "no :method", MALFORMED, &fields(&[scheme, authority, path])),
        case("9114/4.3.1/2", "no :scheme", MALFORMED, &fields(&[method, authority, path])),
        case("9114/4.3.1/3", "no :path", MALFORMED, &fields(&[method, scheme, authority])),
        case(
            "9114/4.3.1/4",
            "an empty :path",
            MALFORMED,
            &fields(&[method, scheme, authority, (":path", "")]),
        ),
        case(
            "9114/4.3.1/5",
            ":method twice",
            MALFORMED,
            &fields(&[method, method, scheme, authority, path]),
        ),
        case(
            "9114/4.3.1/6",
            ":path twice",
            MALFORMED,
            &fields(&[method, scheme, authority, path, path]),
        ),
        case("9114/4.3.1/7", "no authority at all", MALFORMED, &fields(&[method, scheme, path])),
        case(
            "9114/4.3.1/8",
            "host in the place of :authority",
            FINE,
            &fields(&[method, scheme, path, ("host", "localhost")]),
        ),
        case(
            "9114/4.3.1/9",
            ":authority and another host",
            MALFORMED,
            &head("GET", &[("host", "elsewhere")]),
        ),
        case(
            "9114/4.4/1",
            "CONNECT with a path",
            MALFORMED,
            &fields(&[(":method", "CONNECT"), scheme, authority, path]),
        ),
        case(
            "9220/3/1",
            ":protocol where nobody announced it",
            MALFORMED,
            &fields(&[(":method", "CONNECT"), (":protocol", "websocket"), scheme, authority, path]),
        ),
    ]
}

fn sections() -> Vec<Case> {
    let section = |bytes: &[u8]| frame(HEADERS, bytes);
    // :method GET, :scheme https, :path / of the static table; :authority as a literal.
    let right = [&[0, 0, 0xc0 | 17, 0xc0 | 23, 0xc0 | 1, 0x50, 9][..], b"localhost"].concat();
    let more = |rest: &[u8]| section(&[&right[..], rest].concat());
    vec![
        case("9204/4.5/1", "entries of the static table", FINE, &section(&right)),
        case(
            "9204/4.5/2",
            "a section that needs what was not inserted",
            DECOMPRESSION,
            &section(&[&[2, 0][..], &right[2..]].concat()),
        ),
        case("9204/4.5/3", "an index beyond the static table", DECOMPRESSION, &more(&[0xff, 0x7f])),
        case("9204/4.5/4", "an index of the dynamic table", DECOMPRESSION, &more(&[0x80])),
        case("9204/4.5/5", "an index behind the base", DECOMPRESSION, &more(&[0x10])),
        case("9204/4.5/6", "a section of one byte", DECOMPRESSION, &section(&[0])),
        case("9204/4.5/7", "a literal that is cut", DECOMPRESSION, &more(&[0x21, b'x', 9, b'1'])),
        case(
            "9204/4.5/8",
            "an integer without end",
            DECOMPRESSION,
            &more(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ),
        case(
            "9204/4.5/9",
            "Huffman padding of zeros",
            DECOMPRESSION,
            &more(&[0x21, b'x', 0x81, 0x18]),
        ),
        case("9204/4.5/10", "a Huffman string", FINE, &more(&[0x21, b'x', 0x81, 0x1f])),
        case("9204/4.5/11", "an empty section", MALFORMED, &section(&[0, 0])),
        case(
            "9204/4.5/12",
            "no section at all",
            [Closed(0x200), Closed(0x106)],
            &numbers(HEADERS, &[]),
        ),
    ]
}
