//! As much of QPACK (RFC 9204) as a test peer needs: the static table out, one status in.

/// Required Insert Count and Base of a field section without dynamic table (section 4.5.1).
const PREFIX: [u8; 2] = [0, 0];
/// What an indexed field of the static table begins with; the index is in the other bits.
const INDEXED: u8 = 0xc0;
/// The greatest number in the first byte's six bits; it says that another byte adds to it.
const FULL: u8 = 0x3f;
/// What a literal with a name of the static table begins with.
const LITERAL: u8 = 0x50;

/// What a literal with a literal name begins with.
const LITERAL_NAME: u8 = 0x20;

/// Entries of the static table (RFC 9204, appendix A).
const AUTHORITY: u8 = 0;
const PATH: u8 = 1;
const METHOD_GET: u8 = 17;
const SCHEME_HTTPS: u8 = 23;
/// Those of `:status`.
const STATUSES: [(u8, u16); 14] = [
    (24, 103),
    (25, 200),
    (26, 304),
    (27, 404),
    (28, 503),
    (63, 100),
    (64, 204),
    (65, 206),
    (66, 302),
    (67, 400),
    (68, 403),
    (69, 421),
    (70, 425),
    (71, 500),
];

/// The field section of a GET.
pub(super) fn get(authority: &str, path: &str) -> Vec<u8> {
    let mut section = PREFIX.to_vec();
    section.extend([INDEXED | METHOD_GET, INDEXED | SCHEME_HTTPS]);
    for (name, value) in [(AUTHORITY, authority), (PATH, path)] {
        let length = u8::try_from(value.len()).ok().filter(|length| *length < 127);
        section.extend([LITERAL | name, length.expect("a test's fields are short")]);
        section.extend(value.as_bytes());
    }
    section
}

/// A field section of literals (section 4.5.6), in any order.
pub(super) fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut section = PREFIX.to_vec();
    for (name, value) in fields {
        match u8::try_from(name.len()).expect("a test's names are short") {
            short @ 0..7 => section.push(LITERAL_NAME | short),
            long => section.extend([LITERAL_NAME | 7, long - 7]),
        }
        section.extend(name.as_bytes());
        let length = u8::try_from(value.len()).ok().filter(|length| *length < 127);
        section.push(length.expect("a test's fields are short"));
        section.extend(value.as_bytes());
    }
    section
}

/// The field section of a response without fields.
pub(super) fn status(status: u16) -> Vec<u8> {
    let known = STATUSES.iter().find(|(_, known)| *known == status);
    let (index, _) = known.expect("a status of the static table");
    let mut section = PREFIX.to_vec();
    match index.checked_sub(FULL) {
        None => section.push(INDEXED | index),
        Some(rest) => section.extend([INDEXED | FULL, rest]),
    }
    section
}

/// The status at the beginning of a field section: one of the static table, or a literal with the first name
/// of `:status` there, as h3 writes it.
pub(super) fn read_status(section: &[u8]) -> Option<u16> {
    let (&first, rest) = section.strip_prefix(&PREFIX)?.split_first()?;
    if let (0x5f, [9, length, digits @ ..]) = (first, rest) {
        return read_digits(digits.get(..usize::from(length & 0x7f))?);
    }
    if first & INDEXED != INDEXED {
        return None;
    }
    let index = match first & FULL {
        FULL => FULL.checked_add(*rest.first()?)?,
        index => index,
    };
    STATUSES.iter().find(|(known, _)| *known == index).map(|(_, status)| *status)
}

/// Three digits in Huffman's code (RFC 7541, appendix B): five bits for 0, 1 and 2, six for the others.
fn read_digits(bytes: &[u8]) -> Option<u16> {
    let bits = bytes.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
    let mut left = u32::try_from(bytes.len()).ok()?.checked_mul(8)?;
    let mut status = 0;
    for _ in 0..3 {
        let take = |width: u32| Some(bits >> left.checked_sub(width)? & ((1 << width) - 1));
        let (digit, width) = match take(5)? {
            short @ 0..=2 => (short, 5),
            _ => (take(6)?.checked_sub(0x16)?, 6),
        };
        left -= width;
        status = status * 10 + u16::try_from(digit).ok()?;
    }
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_the_static_table() {
        for (_, code) in STATUSES {
            assert_eq!(read_status(&status(code)), Some(code));
        }
        assert_eq!(read_status(&[0, 0, 0xd9]), Some(200));
        assert_eq!(read_status(&[0, 0, 0xff, 5]), Some(403));
        assert_eq!(read_status(&[0, 0, 0xff]), None);
        assert_eq!(read_status(&[0, 0, 0xd1]), None);
        assert_eq!(read_status(&[0xd9]), None);
        assert_eq!(read_status(&[0, 0, 0x5f, 9, 0x82, 0x6c, 0x01]), Some(501));
        assert_eq!(read_status(&[0, 0, 0x5f, 9, 0x83, 0x68, 0x4e, 0x7f]), Some(426));
        assert_eq!(read_status(&[0, 0, 0x5f, 9, 0x82, 0x6c]), None);
    }
}
