//! RFC 9113, section 5: states and identifiers of streams.

use crate::outcome::Seen::{Goaway, Ignored, Reset, Status};
use crate::server::{Case, case};
use crate::wire::*;

pub(crate) fn cases() -> Vec<Case> {
    let idle = [Goaway(1)];
    let closed = [Reset(5), Goaway(5)];
    let after_get = |frame: Vec<u8>| [get_on(1), frame].concat();
    let after_reset = |frame: Vec<u8>| [post_on(1, &[]), rst(1), frame].concat();
    let hold = |stream| f(HEADERS, END_HEADERS, stream, &request("POST", "/hold", &[]));
    vec![
        case("9113/5.1/1", "DATA on an idle stream", idle, data(1, END_STREAM, b"x")),
        case("9113/5.1/2", "RST_STREAM on an idle stream", idle, rst(1)),
        case("9113/5.1/3", "WINDOW_UPDATE on an idle stream", idle, window_update(1, 100)),
        case(
            "9113/5.1/4",
            "DATA on a stream that its sender has ended",
            closed,
            after_get(data(1, END_STREAM, b"x")),
        ),
        case(
            "9113/5.1/5",
            "HEADERS on a stream that its sender has ended",
            closed,
            after_get(get_on(1)),
        ),
        case(
            "9113/5.1/6",
            "WINDOW_UPDATE on such a stream",
            [Status(200)],
            after_get(window_update(1, 100)),
        ),
        case(
            "9113/5.1/7",
            "PRIORITY on such a stream",
            [Status(200)],
            after_get(f(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])),
        ),
        case("9113/5.1/8", "RST_STREAM on such a stream", [Ignored], after_get(rst(1))),
        case(
            "9113/5.1/9",
            "DATA on a stream that its sender has reset",
            closed,
            after_reset(data(1, END_STREAM, b"x")),
        ),
        case(
            "9113/5.1/10",
            "HEADERS on a stream that its sender has reset",
            closed,
            after_reset(get_on(1)),
        ),
        case(
            "9113/5.1/11",
            "WINDOW_UPDATE on a stream that its sender has reset",
            [Ignored, Reset(5), Goaway(5)],
            after_reset(window_update(1, 100)),
        ),
        case(
            "9113/5.1/12",
            "PRIORITY on a stream that its sender has reset",
            [Ignored],
            after_reset(f(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])),
        ),
        case(
            "9113/5.1/13",
            "RST_STREAM twice",
            [Ignored, Reset(5), Goaway(5)],
            after_reset(rst(1)),
        ),
        case(
            "9113/5.1/14",
            "an unknown frame on a stream that its sender has ended",
            [Status(200)],
            after_get(f(UNKNOWN, 0, 1, b"x")),
        ),
        case("9113/5.1.1/1", "a client's stream with an even number", [Goaway(1)], get_on(2)),
        case(
            "9113/5.1.1/2",
            "a number lower than one before",
            [Goaway(1), Goaway(5)],
            all([get_on(5), get_on(3)]),
        ),
        case("9113/5.1.1/3", "numbers with gaps", [Status(200)], all([get_on(7), get_on(101)]))
            .stream(101),
        case("9113/5.1.1/4", "DATA on a server's stream", [Goaway(1)], data(2, 0, b"x")),
        case(
            "9113/5.1.1/5",
            "WINDOW_UPDATE on a server's stream",
            [Goaway(1)],
            window_update(2, 1),
        ),
        case(
            "9113/5.1.2/1",
            "one stream more than is allowed",
            [Reset(7), Reset(1), Goaway(1)],
            all([hold(1), hold(3), hold(5), hold(7), get_on(9), rst(1), rst(3)]),
        )
        .stream(9),
        case(
            "9113/5.1.2/2",
            "as many streams as are allowed",
            [Status(200)],
            all([hold(1), hold(3), hold(5), get_on(7), rst(1)]),
        )
        .stream(7),
        case(
            "9113/5.1.2/3",
            "streams that were reset do not count",
            [Status(200)],
            all([hold(1), hold(3), hold(5), rst(1), rst(3), rst(5), get_on(7)]),
        )
        .stream(7),
        case(
            "9113/5.5/1",
            "unknown settings among known ones",
            [Status(200)],
            all([settings(&[(0xf00d, 1), (4, 70_000), (0xbeef, 2)]), get_on(1)]),
        ),
    ]
}
