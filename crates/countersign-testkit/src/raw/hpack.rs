//! As much of HPACK (RFC 7541) as a test peer needs: literals out, one status in.

/// Entries of the static table (RFC 7541, appendix A).
const AUTHORITY: u8 = 1;
const METHOD_GET: u8 = 2;
const PATH: u8 = 4;
const SCHEME_HTTPS: u8 = 7;
const STATUS: u8 = 8;

/// What an indexed field begins with; the index is in the other bits.
const INDEXED: u8 = 0x80;
/// Above the length of a string that is Huffman coded.
const HUFFMAN: u8 = 0x80;

/// The header block of a GET.
pub(super) fn get(authority: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![INDEXED | METHOD_GET, INDEXED | SCHEME_HTTPS];
    for (name, value) in [(AUTHORITY, authority), (PATH, path)] {
        block.push(name);
        string(&mut block, value);
    }
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name);
        string(&mut block, value);
    }
    block
}

/// The header block of a response without fields.
pub(super) fn status(status: u16) -> Vec<u8> {
    let mut block = vec![STATUS];
    string(&mut block, &status.to_string());
    block
}

/// The status at the beginning of a header block whose writer keeps no dynamic table.
pub(super) fn read_status(mut block: &[u8]) -> Option<u16> {
    // Changes of the dynamic table's size come first (section 6.3).
    while let Some((0x20..=0x3f, rest)) = block.split_first() {
        block = rest;
    }
    let (&first, rest) = block.split_first()?;
    if first & INDEXED != 0 {
        let indexed = [200, 204, 206, 304, 400, 404, 500];
        return indexed.get(usize::from((first ^ INDEXED).checked_sub(STATUS)?)).copied();
    }
    // A literal, with or without indexing or never indexed, that names the static entry.
    if !matches!(first, 0x08 | 0x18 | 0x48) {
        return None;
    }
    let (&length, value) = rest.split_first()?;
    let value = value.get(..usize::from(length & !HUFFMAN))?;
    if length & HUFFMAN == 0 {
        return std::str::from_utf8(value).ok()?.parse().ok();
    }
    huffman_digits(value)
}

fn string(block: &mut Vec<u8>, value: &str) {
    let length = u8::try_from(value.len()).ok().filter(|length| *length < 127);
    block.push(length.expect("a test's header fields are short"));
    block.extend_from_slice(value.as_bytes());
}

/// Three digits in Huffman code (RFC 7541, appendix B): 0 to 2 have five bits, the others six.
fn huffman_digits(value: &[u8]) -> Option<u16> {
    let mut bits = value.iter().flat_map(|byte| (0..8).rev().map(move |bit| (byte >> bit) & 1));
    let mut status = 0;
    for _ in 0..3 {
        let mut code = 0;
        for bit in bits.by_ref().take(5) {
            code = code << 1 | u16::from(bit);
        }
        let digit = match code {
            0..=2 => code,
            12..=15 => (code << 1 | u16::from(bits.next()?)) - 22,
            _ => return None,
        };
        status = status * 10 + digit;
    }
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_in_every_form() {
        for code in [100, 200, 403, 431, 503, 599] {
            assert_eq!(read_status(&status(code)), Some(code));
        }
        assert_eq!(read_status(&[0x88]), Some(200));
        assert_eq!(read_status(&[0x20, 0x8d]), Some(404));
        assert_eq!(read_status(&[0x48, 0x83, 0x68, 0x0c, 0xff]), Some(403));
        assert_eq!(read_status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
        assert_eq!(read_status(&[0x48, 0x03, b'4', b'0', b'3']), Some(403));
        assert_eq!(read_status(&[]), None);
        assert_eq!(read_status(&[0x48, 0x03, b'4']), None);
    }
}
