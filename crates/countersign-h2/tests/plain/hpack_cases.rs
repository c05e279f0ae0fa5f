//! RFC 7541: what header blocks may not be.

use crate::outcome::Seen::{self, Goaway, Status};
use crate::server::{Case, case};
use crate::wire::*;

/// A decoding error is COMPRESSION_ERROR of the connection (RFC 9113, section 4.3).
const WRONG: [Seen; 1] = [Goaway(9)];
const FINE: [Seen; 1] = [Status(200)];

pub(crate) fn cases() -> Vec<Case> {
    let whole = |block: &[u8]| f(HEADERS, WHOLE, 1, block);
    let more = |rest: &[u8]| whole(&[&get(), rest].concat());
    let before = |start: &[u8]| whole(&[start, &get()].concat());
    // `x: 1`, with incremental indexing: entry 62.
    let indexed = [0x40, 1, b'x', 1, b'1'];
    let second = |start: &[u8], rest: &[u8]| f(HEADERS, WHOLE, 3, &[start, &get(), rest].concat());
    let known = || more(&indexed);
    let mut too_large = raw_literal(b"y", &[b'2'; 4_100]);
    too_large[0] = 0x40;
    vec![
        case("7541/2.3.3/1", "an index beyond both tables", WRONG, more(&[0xff, 0x7f])),
        case(
            "7541/2.3.3/2",
            "the first index of an empty dynamic table",
            WRONG,
            more(&[0x80 | 62]),
        ),
        case(
            "7541/2.3.3/3",
            "a name's index beyond both tables",
            WRONG,
            more(&[0x7f, 0x7f, 1, b'a']),
        ),
        case(
            "7541/2.3.3/4",
            "a field of the dynamic table",
            FINE,
            all([known(), second(&[], &[0x80 | 62])]),
        )
        .stream(3),
        case(
            "7541/2.3.3/5",
            "a name of the dynamic table",
            FINE,
            all([known(), second(&[], &[0x40 | 62, 1, b'2'])]),
        )
        .stream(3),
        case("7541/4.2/1", "a new table size behind a field", WRONG, more(&[0x20])),
        case("7541/4.2/2", "a new table size in front", FINE, before(&[0x20])),
        case("7541/4.2/3", "two new table sizes in front", FINE, before(&[0x20, 0x3f, 0xe1, 0x1f])),
        case("7541/4.2/4", "a table size over the limit", WRONG, before(&[0x3f, 0xe2, 0x1f])),
        case(
            "7541/4.3/1",
            "entries are gone with the table's size",
            WRONG,
            all([known(), second(&[0x20], &[0x80 | 62])]),
        )
        .stream(3),
        case(
            "7541/4.4/1",
            "a field larger than the table empties it",
            WRONG,
            all([
                known(),
                f(HEADERS, WHOLE, 3, &[&get()[..], &too_large].concat()),
                f(HEADERS, WHOLE, 5, &[&get()[..], &[0x80 | 62]].concat()),
            ]),
        )
        .stream(5),
        case(
            "7541/5.1/1",
            "an integer without end",
            WRONG,
            more(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ),
        case("7541/5.1/2", "an integer that is cut", WRONG, more(&[0xff, 0x80])),
        case("7541/5.2/1", "a string that is cut", WRONG, more(&[0x00, 1, b'x', 9, b'1'])),
        case("7541/5.2/2", "a name that is cut", WRONG, more(&[0x00, 9, b'x'])),
        case(
            "7541/5.2/3",
            "Huffman padding of more than 7 bits",
            WRONG,
            more(&[0x00, 1, b'x', 0x83, 0x1f, 0xff, 0xff]),
        ),
        case("7541/5.2/4", "Huffman padding of zeros", WRONG, more(&[0x00, 1, b'x', 0x81, 0x18])),
        case(
            "7541/5.2/5",
            "EOS in a Huffman string",
            WRONG,
            more(&[0x00, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]),
        ),
        case("7541/5.2/6", "a Huffman string", FINE, more(&[0x00, 1, b'x', 0x81, 0x1f])),
        case("7541/5.2/7", "an empty Huffman string", FINE, more(&[0x00, 1, b'x', 0x80])),
        case("7541/6.1/1", "index 0", WRONG, more(&[0x80])),
        case(
            "7541/6.2/1",
            "a literal that is never indexed",
            FINE,
            more(&[0x10, 1, b'x', 1, b'1']),
        ),
        case("7541/6.2/2", "a literal without a value", WRONG, more(&[0x00, 1, b'x'])),
        case(
            "7541/6.2/3",
            "entries of the static table",
            FINE,
            whole(&[
                0x82, 0x87, 0x84, 0x41, 9, b'l', b'o', b'c', b'a', b'l', b'h', b'o', b's', b't',
            ]),
        ),
        case("7541/6.3/1", "three new table sizes in front", FINE, before(&[0x20, 0x21, 0x22])),
        case(
            "7541/c/1",
            "blocks count in the order of frames, also of refused streams",
            FINE,
            all([
                known(),
                f(HEADERS, WHOLE, 3, &[0x80 | 62]),
                f(HEADERS, WHOLE, 5, &[&get()[..], &[0x80 | 62]].concat()),
            ]),
        )
        .stream(5),
    ]
}
