//! Frames and header blocks, written down by the simplest means.

pub(crate) use countersign_testkit::raw::PREFACE;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
/// A frame that nobody knows.
pub(crate) const UNKNOWN: u8 = 0xfa;

pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const PRIORITIZED: u8 = 0x20;
/// A whole message in one HEADERS frame.
pub(crate) const WHOLE: u8 = END_HEADERS | END_STREAM;

/// A frame.
pub(crate) fn f(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, l0, l1, l2] = (payload.len() as u32).to_be_bytes();
    [&[l0, l1, l2, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let entry = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    f(SETTINGS, 0, 0, &entries.iter().flat_map(entry).collect::<Vec<_>>())
}

pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    f(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// A literal field without indexing.
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    raw_literal(name.as_bytes(), value.as_bytes())
}

pub(crate) fn raw_literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0][..], &length(name.len()), name, &length(value.len()), value].concat()
}

/// A string's length with a prefix of seven bits.
fn length(mut rest: usize) -> Vec<u8> {
    if rest < 127 {
        return vec![rest as u8];
    }
    let mut bytes = vec![127];
    rest -= 127;
    while rest > 127 {
        bytes.push((rest % 128) as u8 | 0x80);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes
}

/// A block of literals.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// The pseudo-header fields of a request, and more.
pub(crate) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let start = [(":method", method), (":scheme", "https"), (":authority", "localhost")];
    [block(&start), literal(":path", path), block(more)].concat()
}

pub(crate) fn get() -> Vec<u8> {
    request("GET", "/", &[])
}

/// A whole GET on a stream.
pub(crate) fn get_on(stream: u32) -> Vec<u8> {
    f(HEADERS, WHOLE, stream, &get())
}

/// A POST whose body is to come.
pub(crate) fn post_on(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    f(HEADERS, END_HEADERS, stream, &request("POST", "/", more))
}

pub(crate) fn data(stream: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    f(DATA, flags, stream, payload)
}

pub(crate) fn rst(stream: u32) -> Vec<u8> {
    f(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// Frames one after the other.
pub(crate) fn all<const N: usize>(frames: [Vec<u8>; N]) -> Vec<u8> {
    frames.concat()
}
