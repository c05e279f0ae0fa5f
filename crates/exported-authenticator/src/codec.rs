//! A bounded cursor over TLS presentation language (RFC 8446, section 3), and its inverse.

use crate::Malformed;

/// Reads from a slice, naming the field in every error.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated(field))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, Malformed> {
        Ok(self.uint(1, field)? as u8)
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, Malformed> {
        Ok(self.uint(2, field)? as u16)
    }

    /// A vector with a length of one byte.
    pub(crate) fn vec8(&mut self, field: &'static str) -> Result<&'a [u8], Malformed> {
        let len = self.uint(1, field)?;
        self.take(len, field)
    }

    /// A vector with a length of two bytes.
    pub(crate) fn vec16(&mut self, field: &'static str) -> Result<&'a [u8], Malformed> {
        let len = self.uint(2, field)?;
        self.take(len, field)
    }

    /// A vector with a length of three bytes.
    pub(crate) fn vec24(&mut self, field: &'static str) -> Result<&'a [u8], Malformed> {
        let len = self.uint(3, field)?;
        self.take(len, field)
    }

    /// Refuses what is left over.
    pub(crate) fn finish(self, field: &'static str) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Trailing(field)) }
    }

    fn uint(&mut self, width: usize, field: &'static str) -> Result<usize, Malformed> {
        let bytes = self.take(width, field)?;
        Ok(bytes.iter().fold(0, |value, byte| (value << 8) | usize::from(*byte)))
    }
}

/// Handshake types (RFC 8446, section 4; RFC 9261, section 8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandshakeType(pub(crate) u8);

impl HandshakeType {
    pub(crate) const CERTIFICATE: Self = Self(11);
    pub(crate) const CERTIFICATE_VERIFY: Self = Self(15);
    pub(crate) const FINISHED: Self = Self(20);
}

/// One handshake message, with and without its four-byte header.
#[derive(Clone, Copy)]
pub(crate) struct Handshake<'a> {
    pub(crate) typ: HandshakeType,
    pub(crate) body: &'a [u8],
    pub(crate) whole: &'a [u8],
}

/// Takes the next handshake message off `bytes`.
pub(crate) fn split_handshake(bytes: &[u8]) -> Result<(Handshake<'_>, &[u8]), Malformed> {
    let mut reader = Reader::new(bytes);
    let typ = HandshakeType(reader.u8("message type")?);
    let body = reader.vec24("message length")?;
    let (whole, rest) = bytes
        .split_at_checked(HANDSHAKE_HEADER + body.len())
        .ok_or(Malformed::Truncated("message"))?;
    Ok((Handshake { typ, body, whole }, rest))
}

const HANDSHAKE_HEADER: usize = 4;

/// Appends a handshake message whose body `write` makes.
pub(crate) fn put_handshake(
    out: &mut Vec<u8>,
    typ: HandshakeType,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<(), TooLong> {
    out.push(typ.0);
    put_vector(out, 3, write)
}

/// A vector was longer than its length prefix can say.
#[derive(Debug)]
pub(crate) struct TooLong;

/// Appends a vector with a length prefix of `width` bytes, filled by `write`.
pub(crate) fn put_vector(
    out: &mut Vec<u8>,
    width: usize,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<(), TooLong> {
    let at = out.len();
    out.resize(at + width, 0);
    write(out);
    let len = out.len() - at - width;
    if len >> (8 * width) != 0 {
        return Err(TooLong);
    }
    let be = len.to_be_bytes();
    let (_, low) = be.split_at(be.len() - width);
    if let Some(prefix) = out.get_mut(at..at + width) {
        prefix.copy_from_slice(low);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written() {
        let mut out = Vec::new();
        put_handshake(&mut out, HandshakeType(13), |out| out.extend_from_slice(b"abc")).unwrap();
        out.push(9);
        let (message, rest) = split_handshake(&out).unwrap();
        assert_eq!((message.typ, message.body, rest), (HandshakeType(13), &b"abc"[..], &[9][..]));
        assert_eq!(message.whole, &out[..7]);
    }

    #[test]
    fn names_the_field_that_is_cut() {
        let mut reader = Reader::new(&[0, 5, 1]);
        assert_eq!(reader.vec16("cookie"), Err(Malformed::Truncated("cookie")));
        assert_eq!(Reader::new(&[1]).finish("list"), Err(Malformed::Trailing("list")));
    }

    #[test]
    fn refuses_to_write_a_length_that_does_not_fit() {
        let mut out = Vec::new();
        assert!(put_vector(&mut out, 1, |out| out.resize(out.len() + 256, 0)).is_err());
    }
}
