//! RFC 9113, sections 3, 4 and 6: preface, sizes, blocks, and each type of frame.

use crate::outcome::Seen::{Closed, Goaway, Ignored, Pong, Reset, Status};
use crate::server::{Case, case};
use crate::wire::*;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = starts();
    cases.extend(format());
    cases.extend(blocks());
    cases.extend(data_and_headers());
    cases.extend(settings_cases());
    cases.extend(others());
    cases.extend(windows());
    cases
}

fn starts() -> Vec<Case> {
    vec![
        case("9113/3.4/1", "a preface of another protocol", [Goaway(1), Closed], Vec::new())
            .start(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec()),
        case("9113/3.4/2", "a preface with one wrong byte", [Goaway(1), Closed], Vec::new())
            .start([&PREFACE[..PREFACE.len() - 1], b"x", &settings(&[])].concat()),
        case("9113/3.4/3", "no SETTINGS behind the preface", [Goaway(1), Closed], get_on(1))
            .start(PREFACE.to_vec()),
        case(
            "9113/3.4/4",
            "an acknowledgement in the place of SETTINGS",
            [Goaway(1), Closed],
            get_on(1),
        )
        .start([PREFACE, &f(SETTINGS, ACK, 0, b"")].concat()),
    ]
}

fn format() -> Vec<Case> {
    let post = |rest: Vec<u8>| [post_on(1, &[]), rest].concat();
    vec![
        case(
            "9113/4.1/1",
            "an unknown frame on stream 0",
            [Ignored],
            f(UNKNOWN, 0, 0, b"whatever"),
        ),
        case(
            "9113/4.1/2",
            "an unknown frame with flags on an idle stream",
            [Ignored],
            f(UNKNOWN, 0xff, 5, b"x"),
        ),
        case("9113/4.1/3", "an empty unknown frame", [Ignored], f(UNKNOWN, 0, 0, b"")),
        case(
            "9113/4.1/4",
            "PING with flags without meaning",
            [Pong],
            f(PING, 0xfe, 0, b"12345678"),
        ),
        case("9113/4.1/5", "PING with the reserved bit", [Pong], f(PING, 0, 1 << 31, b"12345678")),
        case(
            "9113/4.1/6",
            "a GET with flags without meaning",
            [Status(200)],
            f(HEADERS, WHOLE | 0xd2, 1, &get()),
        ),
        case(
            "9113/4.1/7",
            "a GET with the reserved bit",
            [Status(200)],
            f(HEADERS, WHOLE, 1 << 31 | 1, &get()),
        ),
        case(
            "9113/4.1/8",
            "all unknown types from 0x10 on",
            [Ignored],
            (0x10..=0xf4).chain(0xf7..=0xff).flat_map(|kind| f(kind, 0, 0, b"x")).collect(),
        ),
        case(
            "9113/4.2/1",
            "DATA as long as may be",
            [Status(200)],
            post(data(1, END_STREAM, &[0; 16_384])),
        ),
        case(
            "9113/4.2/2",
            "DATA of a byte more",
            [Reset(6), Goaway(6)],
            post(data(1, END_STREAM, &[0; 16_385])),
        ),
        case(
            "9113/4.2/3",
            "HEADERS of a byte more",
            [Goaway(6)],
            f(HEADERS, WHOLE, 1, &[0x82; 16_385]),
        ),
        case(
            "9113/4.2/4",
            "SETTINGS of more than that",
            [Goaway(6)],
            settings(&[(0xf000, 1); 2731]),
        ),
        case(
            "9113/4.2/5",
            "an unknown frame of a byte more",
            [Goaway(6), Reset(6)],
            f(UNKNOWN, 0, 0, &[0; 16_385]),
        ),
        case(
            "9113/4.2/6",
            "CONTINUATION of a byte more",
            [Goaway(6)],
            all([
                f(HEADERS, END_STREAM, 1, &get()),
                f(CONTINUATION, END_HEADERS, 1, &[0x82; 16_385]),
            ]),
        ),
    ]
}

fn blocks() -> Vec<Case> {
    let open = || f(HEADERS, END_STREAM, 1, &get());
    let rest = |stream| f(CONTINUATION, END_HEADERS, stream, b"");
    let wrong = [Goaway(1)];
    let (a, b) = (get()[..5].to_vec(), get()[5..].to_vec());
    let inside = |frame: Vec<u8>| all([open(), frame, rest(1)]);
    vec![
        case(
            "9113/4.3/1",
            "a block in two frames",
            [Status(200)],
            all([f(HEADERS, END_STREAM, 1, &a), f(CONTINUATION, END_HEADERS, 1, &b)]),
        ),
        case("9113/4.3/2", "a block in many frames", [Status(200)], {
            let pieces = get().chunks(16).flat_map(|piece| f(CONTINUATION, 0, 1, piece)).collect();
            all([f(HEADERS, END_STREAM, 1, b""), pieces, rest(1)])
        }),
        case(
            "9113/4.3/3",
            "empty CONTINUATIONs",
            [Status(200)],
            all([open(), f(CONTINUATION, 0, 1, b""), rest(1)]),
        ),
        case("9113/4.3/4", "PING inside of a block", wrong, inside(f(PING, 0, 0, b"12345678"))),
        case("9113/4.3/5", "DATA inside of a block", wrong, inside(data(1, 0, b"x"))),
        case("9113/4.3/6", "HEADERS of another stream inside of a block", wrong, inside(get_on(3))),
        case(
            "9113/4.3/7",
            "an unknown frame inside of a block",
            wrong,
            inside(f(UNKNOWN, 0, 1, b"")),
        ),
        case(
            "9113/4.3/8",
            "PRIORITY inside of a block",
            wrong,
            inside(f(PRIORITY, 0, 1, &[0, 0, 0, 0, 5])),
        ),
        case("9113/4.3/9", "SETTINGS inside of a block", wrong, inside(settings(&[]))),
        case("9113/4.3/10", "WINDOW_UPDATE inside of a block", wrong, inside(window_update(0, 1))),
        case("9113/4.3/11", "RST_STREAM inside of a block", wrong, inside(rst(1))),
        case("9113/4.3/12", "GOAWAY inside of a block", wrong, inside(f(GOAWAY, 0, 0, &[0; 8]))),
        case(
            "9113/4.3/13",
            "HEADERS of the same stream inside of a block",
            wrong,
            inside(get_on(1)),
        ),
        case("9113/6.10/1", "CONTINUATION of another stream", wrong, all([open(), rest(3)])),
        case("9113/6.10/2", "CONTINUATION on stream 0", wrong, all([open(), rest(0)])),
        case(
            "9113/6.10/3",
            "CONTINUATION behind a whole block",
            wrong,
            all([post_on(1, &[]), rest(1)]),
        ),
        case(
            "9113/6.10/4",
            "CONTINUATION behind DATA",
            wrong,
            all([post_on(1, &[]), data(1, 0, b"x"), rest(1)]),
        ),
        case("9113/6.10/5", "CONTINUATION of nothing", wrong, rest(1)),
        case(
            "9113/6.10/6",
            "CONTINUATION behind a CONTINUATION that ended the block",
            wrong,
            all([f(HEADERS, 0, 1, &request("POST", "/", &[])), rest(1), rest(1)]),
        ),
    ]
}

fn data_and_headers() -> Vec<Case> {
    let post = |rest: Vec<u8>| [post_on(1, &[]), rest].concat();
    let padded = |block: &[u8]| [&[3][..], block, &[0; 3]].concat();
    let prioritized = |stream: u32| [&stream.to_be_bytes()[..], &[16], &get()].concat();
    vec![
        case("9113/6.1/1", "DATA on stream 0", [Goaway(1)], data(0, 0, b"x")),
        case(
            "9113/6.1/2",
            "padding as long as the payload",
            [Goaway(1)],
            post(data(1, PADDED | END_STREAM, &[2, 0, 0][..2])),
        ),
        case(
            "9113/6.1/3",
            "padding longer than the payload",
            [Goaway(1)],
            post(data(1, PADDED | END_STREAM, &[200, 0, 0])),
        ),
        case(
            "9113/6.1/4",
            "padded DATA",
            [Status(200)],
            post(data(1, PADDED | END_STREAM, b"\x03abc\0\0\0")),
        ),
        case(
            "9113/6.1/5",
            "nothing but padding",
            [Status(200)],
            post(data(1, PADDED | END_STREAM, b"\x03\0\0\0")),
        ),
        case(
            "9113/6.1/6",
            "no padding length at all",
            [Goaway(6), Goaway(1)],
            post(data(1, PADDED | END_STREAM, b"")),
        ),
        case(
            "9113/6.1/7",
            "empty DATA",
            [Status(200)],
            post([data(1, 0, b""), data(1, END_STREAM, b"")].concat()),
        ),
        case("9113/6.2/1", "HEADERS on stream 0", [Goaway(1)], get_on(0)),
        case(
            "9113/6.2/2",
            "padded HEADERS",
            [Status(200)],
            f(HEADERS, WHOLE | PADDED, 1, &padded(&get())),
        ),
        case(
            "9113/6.2/3",
            "padding longer than HEADERS",
            [Goaway(1)],
            f(HEADERS, WHOLE | PADDED, 1, &[200, 0x82]),
        ),
        case(
            "9113/6.2/4",
            "HEADERS with priority",
            [Status(200)],
            f(HEADERS, WHOLE | PRIORITIZED, 1, &prioritized(0)),
        ),
        case(
            "9113/6.2/5",
            "HEADERS with priority, padded",
            [Status(200)],
            f(HEADERS, WHOLE | PRIORITIZED | PADDED, 1, &padded(&prioritized(0))),
        ),
        case(
            "9113/6.2/6",
            "HEADERS that end inside of priority",
            [Goaway(6), Goaway(1)],
            f(HEADERS, WHOLE | PRIORITIZED, 1, &[0, 0, 0]),
        ),
        case(
            "9113/6.2/7",
            "HEADERS that depend on themselves",
            [Reset(1), Goaway(1), Status(200)],
            f(HEADERS, WHOLE | PRIORITIZED, 1, &prioritized(1)),
        ),
        case(
            "9113/6.3/1",
            "PRIORITY on stream 0",
            [Goaway(1)],
            f(PRIORITY, 0, 0, &[0, 0, 0, 0, 5]),
        ),
        case(
            "9113/6.3/2",
            "PRIORITY of 4 bytes",
            [Reset(6), Goaway(6)],
            f(PRIORITY, 0, 1, &[0; 4]),
        ),
        case(
            "9113/6.3/3",
            "PRIORITY of 6 bytes",
            [Reset(6), Goaway(6)],
            f(PRIORITY, 0, 1, &[0; 6]),
        ),
        case(
            "9113/6.3/4",
            "PRIORITY on an idle stream",
            [Ignored],
            f(PRIORITY, 0, 7, &[0, 0, 0, 0, 5]),
        ),
        case(
            "9113/6.3/5",
            "PRIORITY that depends on itself",
            [Ignored, Reset(1), Goaway(1)],
            f(PRIORITY, 0, 7, &[0, 0, 0, 7, 5]),
        )
        .stream(7),
        case("9113/6.4/1", "RST_STREAM on stream 0", [Goaway(1)], rst(0)),
        case(
            "9113/6.4/2",
            "RST_STREAM of 3 bytes",
            [Goaway(6)],
            all([post_on(1, &[]), f(RST_STREAM, 0, 1, &[0; 3])]),
        ),
        case(
            "9113/6.4/3",
            "RST_STREAM of 5 bytes",
            [Goaway(6)],
            all([post_on(1, &[]), f(RST_STREAM, 0, 1, &[0; 5])]),
        ),
        case(
            "9113/6.4/4",
            "RST_STREAM with an unknown code",
            [Ignored],
            all([post_on(1, &[]), f(RST_STREAM, 0, 1, &[0xff; 4])]),
        ),
        case(
            "9113/6.6/1",
            "PUSH_PROMISE from a client",
            [Goaway(1)],
            all([
                post_on(1, &[]),
                f(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &get()].concat()),
            ]),
        ),
    ]
}

fn settings_cases() -> Vec<Case> {
    let set = |id: &'static str, says: &'static str, demand, entry| {
        case(id, says, vec![demand], settings(&[entry]))
    };
    vec![
        case(
            "9113/6.5/1",
            "an acknowledgement with a payload",
            [Goaway(6)],
            f(SETTINGS, ACK, 0, &[0; 6]),
        ),
        case("9113/6.5/2", "SETTINGS on a stream", [Goaway(1)], f(SETTINGS, 0, 1, &[])),
        case("9113/6.5/3", "SETTINGS of 5 bytes", [Goaway(6)], f(SETTINGS, 0, 0, &[0; 5])),
        case("9113/6.5/4", "empty SETTINGS", [Ignored], settings(&[])),
        case("9113/6.5/5", "an acknowledgement on a stream", [Goaway(1)], f(SETTINGS, ACK, 1, &[])),
        set("9113/6.5.2/1", "ENABLE_PUSH 2", Goaway(1), (2, 2)),
        set("9113/6.5.2/2", "INITIAL_WINDOW_SIZE 2^31", Goaway(3), (4, 1 << 31)),
        set("9113/6.5.2/3", "MAX_FRAME_SIZE 16,383", Goaway(1), (5, 16_383)),
        set("9113/6.5.2/4", "MAX_FRAME_SIZE 2^24", Goaway(1), (5, 1 << 24)),
        set("9113/6.5.2/5", "MAX_FRAME_SIZE 2^24 - 1", Ignored, (5, (1 << 24) - 1)),
        set("9113/6.5.2/6", "an unknown setting", Ignored, (0xabcd, 7)),
        set("9113/6.5.2/7", "ENABLE_PUSH 0", Ignored, (2, 0)),
        set("9113/6.5.2/8", "MAX_CONCURRENT_STREAMS 0", Ignored, (3, 0)),
        set("9113/6.5.2/9", "setting 0", Ignored, (0, 1)),
        case(
            "9113/6.5.3/1",
            "settings in their order, the last counts",
            [Status(200)],
            all([settings(&[(4, 0), (4, 100_000)]), get_on(1)]),
        ),
        case(
            "9113/6.5.3/2",
            "many SETTINGS, each acknowledged",
            [Ignored],
            (0..20).flat_map(|value| settings(&[(3, 100 + value)])).collect(),
        ),
        case(
            "9113/6.5.3/3",
            "an acknowledgement that nobody waits for",
            [Ignored, Goaway(1)],
            all([f(SETTINGS, ACK, 0, b""), f(SETTINGS, ACK, 0, b""), f(SETTINGS, ACK, 0, b"")]),
        ),
    ]
}

fn others() -> Vec<Case> {
    vec![
        case("9113/6.7/1", "PING", [Pong], f(PING, 0, 0, b"deadbeef")),
        case(
            "9113/6.7/2",
            "an acknowledgement of no PING",
            [Ignored],
            f(PING, ACK, 0, b"deadbeef"),
        ),
        case("9113/6.7/3", "PING on a stream", [Goaway(1)], f(PING, 0, 1, b"deadbeef")),
        case("9113/6.7/4", "PING of 7 bytes", [Goaway(6)], f(PING, 0, 0, &[0; 7])),
        case("9113/6.7/5", "PING of 9 bytes", [Goaway(6)], f(PING, 0, 0, &[0; 9])),
        case(
            "9113/6.7/6",
            "PINGs one after the other",
            [Pong],
            (0..10).flat_map(|n| f(PING, 0, 0, &[n; 8])).collect(),
        ),
        case("9113/6.8/1", "GOAWAY on a stream", [Goaway(1)], f(GOAWAY, 0, 1, &[0; 8])),
        case("9113/6.8/2", "GOAWAY of 7 bytes", [Goaway(6)], f(GOAWAY, 0, 0, &[0; 7])),
        case(
            "9113/6.8/3",
            "GOAWAY with NO_ERROR and debug data",
            [Ignored, Closed],
            f(GOAWAY, 0, 0, &[&[0; 8][..], b"goodbye"].concat()),
        ),
    ]
}

fn windows() -> Vec<Case> {
    let most = (1_u32 << 31) - 1;
    let large = || f(HEADERS, WHOLE, 1, &request("GET", "/large", &[]));
    vec![
        case(
            "9113/6.9/1",
            "WINDOW_UPDATE of 0 on the connection",
            [Goaway(1)],
            window_update(0, 0),
        ),
        case(
            "9113/6.9/2",
            "WINDOW_UPDATE of 0 on a stream",
            [Reset(1), Goaway(1)],
            all([post_on(1, &[]), window_update(1, 0)]),
        ),
        case(
            "9113/6.9/3",
            "WINDOW_UPDATE of 3 bytes",
            [Goaway(6)],
            f(WINDOW_UPDATE, 0, 0, &[0, 0, 1]),
        ),
        case(
            "9113/6.9/4",
            "WINDOW_UPDATE with the reserved bit",
            [Ignored],
            window_update(0, 1 << 31 | 1),
        ),
        case(
            "9113/6.9.1/1",
            "the connection's window over 2^31 - 1",
            [Goaway(3)],
            all([window_update(0, most), window_update(0, 1)]),
        ),
        case(
            "9113/6.9.1/2",
            "a stream's window over 2^31 - 1",
            [Reset(3), Goaway(3)],
            all([post_on(1, &[]), window_update(1, most), window_update(1, 1)]),
        ),
        case("9113/6.9.1/3", "more DATA than the window", [Reset(3), Goaway(3)], {
            let held = f(HEADERS, END_HEADERS, 1, &request("POST", "/hold", &[]));
            [held, [0; 4].iter().flat_map(|_| data(1, 0, &[0; 16_384])).collect()].concat()
        }),
        case(
            "9113/6.9.2/1",
            "a window of one byte, then more",
            [Status(200)],
            all([settings(&[(4, 1)]), get_on(1), window_update(1, 1000), settings(&[(4, 65_535)])]),
        ),
        case(
            "9113/6.9.2/2",
            "a window that becomes negative, then positive",
            [Status(200)],
            all([large(), settings(&[(4, 0)]), settings(&[(4, 65_535)])]),
        ),
        case(
            "9113/6.9.2/3",
            "SETTINGS that bring a stream's window over 2^31 - 1",
            [Goaway(3)],
            all([post_on(1, &[]), window_update(1, most - 65_535), settings(&[(4, 65_536)])]),
        ),
        case(
            "9113/6.9.2/4",
            "a large response in windows of its own",
            [Status(200)],
            all([
                settings(&[(4, 100)]),
                large(),
                window_update(1, 20_000),
                window_update(1, 20_000),
                settings(&[(4, 65_535)]),
            ]),
        ),
    ]
}
