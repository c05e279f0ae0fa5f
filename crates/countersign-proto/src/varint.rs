//! Variable-length integers (RFC 9000, section 16), which delimit authenticator requests.
//!
//! The two high bits of the first byte give the length: 1, 2, 4 or 8 bytes. A longer form than needed
//! is valid.

/// The largest value that can be written.
pub const MAX: u64 = (1 << 62) - 1;

/// Reads an integer off the front of `bytes`: its value and what follows. `None` if it is cut.
pub fn read(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let first = *bytes.first()?;
    let (field, rest) = bytes.split_at_checked(1 << (first >> 6))?;
    let value = field.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte));
    Some((value & (u64::MAX >> (66 - 8 * field.len().min(8))), rest))
}

/// Appends `value` in its shortest form. Values above [`MAX`] are written as [`MAX`].
pub fn put(out: &mut Vec<u8>, value: u64) {
    let value = value.min(MAX);
    let (width, mark) = match value {
        0..=0x3f => (1, 0x00),
        0x40..=0x3fff => (2, 0x40),
        0x4000..=0x3fff_ffff => (4, 0x80),
        _ => (8, 0xc0),
    };
    let at = out.len();
    out.extend(value.to_be_bytes().into_iter().skip(8 - width));
    if let Some(first) = out.get_mut(at) {
        *first |= mark;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_length() {
        for (bytes, value) in [
            (&[0x25][..], 37),
            (&[0x40, 0x25], 37),
            (&[0x7b, 0xbd], 15_293),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
            (&[0xff; 8], MAX),
        ] {
            assert_eq!(read(bytes), Some((value, &[][..])));
            assert_eq!(read(&bytes[..bytes.len() - 1]), None, "{bytes:?} cut");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(value in 0..=MAX, tail: Vec<u8>) {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            bytes.extend(&tail);
            prop_assert_eq!(read(&bytes), Some((value, &tail[..])));
        }
    }
}
