//! Integers and vectors as TLS, HTTP/2 and HTTP/3 write them.

/// `body` behind its length in `width` bytes, as TLS writes vectors (RFC 8446, section 3.4).
pub fn vector(width: usize, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u64).to_be_bytes();
    [length.get(8_usize.saturating_sub(width)..).unwrap_or_default(), body].concat()
}

/// An integer of variable length, as short as it can be (RFC 9000, section 16).
pub fn varint(value: u64) -> Vec<u8> {
    let (width, mark) = match value {
        0..=0x3f => (1, 0x00),
        0x40..=0x3fff => (2, 0x40),
        0x4000..=0x3fff_ffff => (4, 0x80),
        _ => (8, 0xc0),
    };
    wide_varint(value, width, mark)
}

/// The same in a given width with its mark, which need not be the shortest.
pub fn wide_varint(value: u64, width: usize, mark: u8) -> Vec<u8> {
    let mut bytes =
        value.to_be_bytes().get(8_usize.saturating_sub(width)..).unwrap_or_default().to_vec();
    if let Some(first) = bytes.first_mut() {
        *first |= mark;
    }
    bytes
}

/// The integer at the beginning of `bytes` and its length, as soon as it is whole.
pub fn read_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = bytes.first()?;
    let width = 1 << (first >> 6);
    let rest = bytes.get(1..width)?;
    let value =
        rest.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, width))
}

/// Bytes that are read from front to back.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// An integer of up to eight bytes, big-endian.
    pub fn number(&mut self, width: usize) -> Option<u64> {
        Some(self.take(width)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// What a length of `width` bytes measures.
    pub fn vector(&mut self, width: usize) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number(width)?).ok()?;
        self.take(length)
    }

    /// An integer of variable length.
    pub fn varint(&mut self) -> Option<u64> {
        let (value, width) = read_varint(self.0)?;
        self.take(width)?;
        Some(value)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_go_there_and_back() {
        for value in [0, 63, 64, 16_383, 16_384, 1 << 29, 1 << 30, (1 << 62) - 1] {
            let bytes = varint(value);
            assert_eq!(read_varint(&bytes), Some((value, bytes.len())));
            assert_eq!(read_varint(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(varint(15_293), [0x7b, 0xbd]);
        assert_eq!(wide_varint(37, 2, 0x40), [0x40, 0x25]);
        assert_eq!(vector(3, b"ab"), [0, 0, 2, b'a', b'b']);
        let mut reader = Reader(&[2, 1, 2, 3]);
        assert_eq!(reader.vector(1), Some(&[1, 2][..]));
        assert_eq!(reader.vector(1), None);
    }
}
