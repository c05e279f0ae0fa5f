//! As much of HPACK (RFC 7541) and QPACK (RFC 9204) as the tool needs: literals out; in, one status, or the path of a request
//! that the tool itself wrote. No dynamic table is ever used, for none is allowed to the peer.

use crate::bytes::Reader;
use crate::case::Version;

/// The fields of a GET.
pub fn request(version: Version, authority: &str, path: &str) -> Vec<u8> {
    let (mut block, names) = match version {
        // :method GET and :scheme https of the static table; then literals named :authority and :path.
        Version::Http2 => (vec![0x82, 0x87], [0x01, 0x04]),
        Version::Http3 => (vec![0, 0, 0xc0 | 17, 0xc0 | 23], [0x50, 0x51]),
    };
    for (name, value) in names.into_iter().zip([authority, path]) {
        block.push(name);
        string(&mut block, value);
    }
    block
}

/// The fields of a response.
pub fn response(version: Version, status: u16) -> Vec<u8> {
    let mut block = match version {
        Version::Http2 => vec![0x08],
        // A literal with the name of entry 24, in two bytes.
        Version::Http3 => vec![0, 0, 0x5f, 9],
    };
    string(&mut block, &status.to_string());
    block
}

/// A length of seven bits or more, and the value without Huffman coding.
fn string(block: &mut Vec<u8>, value: &str) {
    match u8::try_from(value.len()) {
        Ok(length @ 0..127) => block.push(length),
        Ok(_) | Err(_) => {
            block.push(127);
            let mut rest = value.len() - 127;
            while rest >= 128 {
                block.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            block.push(rest as u8);
        }
    }
    block.extend_from_slice(value.as_bytes());
}

/// The status of a response, which is its first field.
pub fn status(version: Version, block: &[u8]) -> Option<u16> {
    match version {
        Version::Http2 => hpack_status(block),
        Version::Http3 => qpack_status(block),
    }
}

fn hpack_status(mut block: &[u8]) -> Option<u16> {
    // Changes of the dynamic table's size come first (RFC 7541, section 6.3).
    while let Some((0x20..=0x3f, rest)) = block.split_first() {
        block = rest;
    }
    let (&first, rest) = block.split_first()?;
    if first & 0x80 != 0 {
        let indexed = [200, 204, 206, 304, 400, 404, 500];
        return indexed.get(usize::from((first & 0x7f).checked_sub(8)?)).copied();
    }
    // A literal, with or without indexing or never indexed, with the name of entries 8 to 14.
    matches!(first, 0x08..=0x0e | 0x18..=0x1e | 0x48..=0x4e).then(|| digits(rest)).flatten()
}

fn qpack_status(section: &[u8]) -> Option<u16> {
    let (&first, rest) = section.get(2..)?.split_first()?;
    if first & 0xc0 == 0xc0 {
        let index = match first & 0x3f {
            0x3f => rest.first()?.checked_add(0x3f)?,
            index => index,
        };
        let known = [
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
        return known.iter().find(|(known, _)| *known == index).map(|(_, status)| *status);
    }
    if first & 0x0f == 0x0f { digits(rest.get(1..)?) } else { None }
}

/// The three digits of a string literal, plain or in Huffman code.
fn digits(literal: &[u8]) -> Option<u16> {
    let (&length, value) = literal.split_first()?;
    let value = value.get(..usize::from(length & 0x7f))?;
    if length & 0x80 == 0 {
        return std::str::from_utf8(value).ok()?.parse().ok();
    }
    // RFC 7541, appendix B: 0 to 2 have five bits, the other digits six.
    let mut bits = value.iter().flat_map(|byte| (0..8).rev().map(move |bit| (byte >> bit) & 1));
    let mut status = 0;
    for _ in 0..3 {
        let code = bits.by_ref().take(5).fold(0, |code, bit| code << 1 | u16::from(bit));
        let digit = match code {
            0..=2 => code,
            12..=15 => (code << 1 | u16::from(bits.next()?)) - 22,
            _ => return None,
        };
        status = status * 10 + digit;
    }
    Some(status)
}

/// The path of a request that [`request`] wrote.
pub fn path(version: Version, block: &[u8]) -> Option<String> {
    let mut reader = Reader(match version {
        Version::Http2 => block.get(2..)?,
        Version::Http3 => block.get(4..)?,
    });
    reader.take(1)?;
    reader.vector(1)?;
    reader.take(1)?;
    Some(String::from_utf8_lossy(reader.vector(1)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_in_every_form() {
        for version in [Version::Http2, Version::Http3] {
            for code in [100, 200, 403, 431, 503, 599] {
                assert_eq!(status(version, &response(version, code)), Some(code));
            }
            let block = request(version, "localhost:8443", "/some/path");
            assert_eq!(path(version, &block).as_deref(), Some("/some/path"));
        }
        assert_eq!(hpack_status(&[0x88]), Some(200));
        assert_eq!(hpack_status(&[0x20, 0x8d]), Some(404));
        assert_eq!(hpack_status(&[0x48, 0x83, 0x68, 0x0c, 0xff]), Some(403));
        assert_eq!(hpack_status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
        assert_eq!(hpack_status(&[0x48, 0x03, b'4']), None);
        assert_eq!(qpack_status(&[0, 0, 0xd9]), Some(200));
        assert_eq!(qpack_status(&[0, 0, 0xff, 5]), Some(403));
        assert_eq!(qpack_status(&[0, 0, 0x5f, 9, 0x83, 0x68, 0x0c, 0xff]), Some(403));
    }
}
