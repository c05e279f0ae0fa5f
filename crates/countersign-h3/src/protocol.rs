//! `:protocol` (RFC 9220) for a stack that has no name for WebSocket.
//!
//! The stack knows two values of `:protocol`, "webtransport" and "connect-udp", and takes a request with any other for
//! malformed. So the value is written anew in the first field section of a request stream before the stack
//! reads it: [`WEBSOCKET`] stands for "websocket", [`OTHER`] for all else.
//!
//! Only as much of QPACK (RFC 9204) is read as it takes to find the value among the pseudo-header fields. What
//! cannot be read here, such as a section that needs the dynamic table, passes as it is, and the stack judges.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use countersign_proto::varint;
use h3::ext::Protocol;

use crate::frames::{Header, frame_type};

/// What a request for WebSocket has as its `:protocol` above a [`Connection`](crate::Connection) that
/// takes such requests.
pub const WEBSOCKET: Protocol = Protocol::WEB_TRANSPORT;
/// What stands there in place of every other value.
pub const OTHER: Protocol = Protocol::CONNECT_UDP;

const NAME: Text =
    Text { plain: b":protocol", huffman: &[0xb9, 0x5d, 0x87, 0x49, 0xc8, 0x7a, 0x3f] };
const VALUE: Text =
    Text { plain: b"websocket", huffman: &[0xf0, 0x58, 0xd0, 0x72, 0x75, 0x2a, 0x7f] };

/// A text in both forms that a string has; there is one of each only.
struct Text {
    plain: &'static [u8],
    huffman: &'static [u8],
}

impl Text {
    fn is(&self, literal: Literal<'_>) -> bool {
        literal.bytes == if literal.is_huffman { self.huffman } else { self.plain }
    }
}

/// The next bytes of a request stream that has not passed its first frame. `held` keeps what came before;
/// there is nothing for the stack until the frame is whole.
pub(crate) fn open(held: &mut BytesMut, chunk: Bytes) -> Option<Bytes> {
    let first = if held.is_empty() && is_whole(&chunk) {
        chunk
    } else {
        held.extend_from_slice(&chunk);
        is_whole(held).then(|| held.split().freeze())?
    };
    Some(rewritten(&first).unwrap_or(first))
}

/// Whether the first frame is here to its end, if it is one that is looked at.
fn is_whole(bytes: &[u8]) -> bool {
    Header::split_from(bytes).is_some_and(|(header, rest)| {
        header.frame_type != frame_type::HEADERS || rest.len() as u64 >= header.len
    })
}

/// The same with the value that the stack knows; `None` where there is nothing to change.
fn rewritten(bytes: &[u8]) -> Option<Bytes> {
    let (header, rest) = Header::split_from(bytes)?;
    if header.frame_type != frame_type::HEADERS {
        return None;
    }
    let (section, behind) = rest.split_at_checked(usize::try_from(header.len).ok()?)?;
    let (line, protocol) = find(section)?;
    let value = protocol.as_str().as_bytes();
    let before = section.get(..line.start)?;
    let after = section.get(line.end..)?;

    let mut new = Vec::with_capacity(NAME.plain.len() + value.len() + 3);
    // A literal with a literal name (section 4.5.6): three bits of the name's length, then the rest of it.
    new.extend([0x27, u8::try_from(NAME.plain.len()).ok()?.checked_sub(7)?]);
    new.extend(NAME.plain);
    new.push(u8::try_from(value.len()).ok()?);
    new.extend(value);

    let mut head = Vec::new();
    varint::put(&mut head, frame_type::HEADERS);
    varint::put(&mut head, (before.len() + new.len() + after.len()) as u64);
    let mut out = BytesMut::with_capacity(bytes.len() + head.len() + new.len());
    for part in [&head[..], before, &new, after, behind] {
        out.put_slice(part);
    }
    Some(out.freeze())
}

/// Where the field line of `:protocol` is, and what the stack shall read there.
fn find(section: &[u8]) -> Option<(Range<usize>, Protocol)> {
    let (_required_insert_count, rest) = integer(section, 8)?;
    let (_base, mut rest) = integer(rest, 7)?;
    loop {
        let start = section.len() - rest.len();
        rest = match rest.first()? {
            // Indexed: a name and a value of the static table.
            0xc0..=0xff => {
                let (index, rest) = integer(rest, 6)?;
                is_pseudo(index).then_some(rest)?
            }
            // A literal with a name of the static table.
            0x50..=0x5f | 0x70..=0x7f => {
                let (index, rest) = integer(rest, 4)?;
                let (_value, rest) = Literal::read(rest, 7)?;
                is_pseudo(index).then_some(rest)?
            }
            0x20..=0x3f => {
                let (name, rest) = Literal::read(rest, 3)?;
                let (value, rest) = Literal::read(rest, 7)?;
                if NAME.is(name) {
                    let protocol = if VALUE.is(value) { WEBSOCKET } else { OTHER };
                    return Some((start..section.len() - rest.len(), protocol));
                }
                name.is_pseudo().then_some(rest)?
            }
            // The dynamic table, which is not used.
            _ => return None,
        };
    }
}

/// The pseudo-header fields of QPACK's static table (RFC 9204, appendix A). They come before all others.
fn is_pseudo(index: u64) -> bool {
    matches!(index, 0 | 1 | 15..=28 | 63..=71)
}

/// A string literal (RFC 9204, section 4.1.2).
#[derive(Clone, Copy)]
struct Literal<'a> {
    bytes: &'a [u8],
    is_huffman: bool,
}

impl<'a> Literal<'a> {
    /// One whose length begins in the last `prefix` bits of the first byte, behind the mark of Huffman's code.
    fn read(bytes: &'a [u8], prefix: u8) -> Option<(Self, &'a [u8])> {
        let is_huffman = bytes.first()? & (1 << prefix) != 0;
        let (length, rest) = integer(bytes, prefix)?;
        let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        Some((Self { bytes, is_huffman }, rest))
    }

    /// Whether it begins with a colon, which has seven bits in Huffman's code.
    fn is_pseudo(self) -> bool {
        self.bytes.first().is_some_and(|first| {
            if self.is_huffman { first & 0xfe == 0xb8 } else { *first == b':' }
        })
    }
}

/// An integer that begins in the last `prefix` bits of the first byte (RFC 7541, section 5.1).
fn integer(bytes: &[u8], prefix: u8) -> Option<(u64, &[u8])> {
    let (first, mut rest) = bytes.split_first()?;
    let full = (1_u64 << prefix) - 1;
    let mut value = u64::from(*first) & full;
    if value < full {
        return Some((value, rest));
    }
    // More than any section can have is none that the stack takes.
    for shift in [0, 7, 14, 21, 28] {
        let (byte, behind) = rest.split_first()?;
        value += u64::from(byte & 0x7f) << shift;
        rest = behind;
        if byte & 0x80 == 0 {
            return Some((value, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests;
