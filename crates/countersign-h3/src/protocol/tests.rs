use proptest::prelude::*;

use super::*;

/// `:method: CONNECT` and `:scheme: https` of the static table.
const BEFORE: &[u8] = &[0, 0, 0xcf, 0xd7];

fn literal(bytes: &[u8], is_huffman: bool, prefix: u8, mark: u8) -> Vec<u8> {
    let full = (1 << prefix) - 1;
    let length = u8::try_from(bytes.len()).unwrap();
    let huffman = if is_huffman { 1 << prefix } else { 0 };
    let mut out = match length.checked_sub(full) {
        None => vec![mark | huffman | length],
        Some(rest) => vec![mark | huffman | full, rest],
    };
    out.extend(bytes);
    out
}

fn line(name: &[u8], value: &[u8]) -> Vec<u8> {
    [literal(name, false, 3, 0x20), literal(value, false, 7, 0)].concat()
}

fn frame(section: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    varint::put(&mut frame, frame_type::HEADERS);
    varint::put(&mut frame, section.len() as u64);
    frame.extend(section);
    frame
}

/// What the stack gets of these bytes, fed in pieces of `size`.
fn passed(bytes: &[u8], size: usize) -> Vec<u8> {
    let (mut held, mut out, mut opening) = (BytesMut::new(), Vec::new(), true);
    for piece in bytes.chunks(size) {
        let piece = Bytes::copy_from_slice(piece);
        if !opening {
            out.extend(piece);
        } else if let Some(first) = open(&mut held, piece) {
            opening = false;
            out.extend(first);
        }
    }
    out.extend(held);
    out
}

#[test]
fn the_value_is_one_that_the_stack_knows_and_all_else_stays() {
    let after = [line(b":path", b"/chat"), line(b"origin", b"https://a.test")].concat();
    let huffman = |name: bool, value: bool| {
        let of = |text: &Text, is_huffman| {
            if is_huffman { text.huffman.to_vec() } else { text.plain.to_vec() }
        };
        [literal(&of(&NAME, name), name, 3, 0x20), literal(&of(&VALUE, value), value, 7, 0)]
            .concat()
    };
    for (written, read) in [
        (huffman(false, false), WEBSOCKET),
        (huffman(true, false), WEBSOCKET),
        (huffman(false, true), WEBSOCKET),
        (huffman(true, true), WEBSOCKET),
        (line(b":protocol", b"webtransport"), OTHER),
        (line(b":protocol", b"connect-udp"), OTHER),
        (line(b":protocol", b"websocket2"), OTHER),
        (line(b":protocol", b""), OTHER),
    ] {
        let bytes = [frame(&[BEFORE, &written, &after].concat()), b"\x00\x02hi".to_vec()].concat();
        let known = line(b":protocol", read.as_str().as_bytes());
        let wanted = [frame(&[BEFORE, &known, &after].concat()), b"\x00\x02hi".to_vec()].concat();
        for size in [1, 3, 20, 1000] {
            assert_eq!(passed(&bytes, size), wanted, "{written:x?} in pieces of {size}");
        }
    }
}

#[test]
fn other_requests_pass_as_they_are() {
    let path = line(b":path", b"/");
    for section in [
        [BEFORE, &path].concat(),
        // No pseudo-header field any more, so the stack refuses it.
        [BEFORE, &line(b"a", b"b"), &line(b":protocol", b"websocket")].concat(),
        [BEFORE, &line(b"protocol", b"websocket")].concat(),
        // The dynamic table.
        [BEFORE, &[0x80], &line(b":protocol", b"websocket")].concat(),
        [BEFORE, &[0x10], &line(b":protocol", b"websocket")].concat(),
        // Cut.
        [BEFORE, &[0x27, 0x02, b':']].concat(),
        [BEFORE, &[0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat(),
        vec![],
    ] {
        let bytes = frame(&section);
        for size in [1, 1000] {
            assert_eq!(passed(&bytes, size), bytes, "{section:x?}");
        }
    }
}

#[test]
fn a_frame_of_another_type_is_not_waited_for() {
    let mut held = BytesMut::new();
    // DATA of 100 bytes, of which two are there.
    let begun = Bytes::from_static(b"\x00\x40\x64hi");
    assert_eq!(open(&mut held, begun.clone()), Some(begun));
    assert!(held.is_empty());
}

proptest! {
    #[test]
    fn nothing_is_lost(bytes: Vec<u8>, size in 1..50_usize) {
        let out = passed(&bytes, size);
        prop_assert!(rewritten(&bytes).is_some() || out == bytes);
        let (whole, begun) = (passed(&bytes, usize::MAX), frame(&bytes));
        prop_assert_eq!(out, whole);
        prop_assert!(rewritten(&begun).is_some() || passed(&begun, size) == begun);
    }
}
