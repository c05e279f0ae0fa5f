//! The payload of ORIGIN frames (RFC 8336, section 2.1).

use super::Origin;

/// The origins in a payload: each with its length before it, in ASCII. What is no `https` origin is
/// passed over, and so is what follows a length that goes beyond the frame.
//= specs/server-certs.md#origin-http2
//# The payload of ORIGIN MUST be read as any number of entries, none included, each a two-byte
//# length and that many bytes.
//= specs/server-certs.md#origin-http2
//# An entry that does not parse MUST be ignored without harm to the others.
pub(super) fn read(mut payload: &[u8]) -> impl Iterator<Item = Origin> {
    std::iter::from_fn(move || {
        loop {
            let (length, rest) = payload.split_first_chunk::<2>()?;
            //= specs/server-certs.md#decisions
            //# (ours) The whole entries of an ORIGIN frame before a cut one MUST count.
            let (origin, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
            payload = rest;
            if let Some(origin) = parse(origin) {
                return Some(origin);
            }
        }
    })
}

/// The serialization of an origin (RFC 6454, section 6.2) and nothing else.
//= specs/server-certs.md#origin-http2
//# Each entry MUST be parsed as the ASCII serialisation of an origin by RFC 6454, section 6.2.
//= specs/server-certs.md#origin-http2
//# An entry MUST NOT be understood as a pattern for several names.
fn parse(bytes: &[u8]) -> Option<Origin> {
    let text = std::str::from_utf8(bytes).ok()?;
    let authority = text.strip_prefix("https://")?;
    if authority.contains(['/', '?', '#', '@', '*']) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payload(origins: &[&[u8]]) -> Vec<u8> {
        let mut payload = Vec::new();
        for origin in origins {
            payload.extend_from_slice(&u16::try_from(origin.len()).unwrap().to_be_bytes());
            payload.extend_from_slice(origin);
        }
        payload
    }

    #[test]
    fn origins_are_read_and_nothing_else() {
        //= specs/server-certs.md#origin-http2
        //= type=test
        //# The payload of ORIGIN MUST be read as any number of entries, none included, each a
        //# two-byte length and that many bytes.
        //= specs/server-certs.md#origin-http2
        //= type=test
        //# Each entry MUST be parsed as the ASCII serialisation of an origin by RFC 6454, section
        //# 6.2.
        //= specs/server-certs.md#origin-http2
        //= type=test
        //# An entry that does not parse MUST be ignored without harm to the others.
        //= specs/server-certs.md#origin-http2
        //= type=test
        //# An entry MUST NOT be understood as a pattern for several names.
        let payload = payload(&[
            b"https://a.test",
            b"http://b.test",
            b"https://c.test/",
            b"https://*.d.test",
            b"https://user@e.test",
            b"\xff",
            b"",
            b"https://F.test:8443",
        ]);
        let read: Vec<_> = read(&payload).collect();
        assert_eq!(read, [Origin::new("a.test", 443), Origin::new("f.test", 8443)]);
    }

    #[test]
    fn a_cut_entry_ends_it() {
        //= specs/server-certs.md#decisions
        //= type=test
        //# (ours) The whole entries of an ORIGIN frame before a cut one MUST count.
        let mut payload = payload(&[b"https://a.test", b"https://b.test"]);
        payload.pop();
        assert_eq!(read(&payload).collect::<Vec<_>>(), [Origin::new("a.test", 443)]);
    }

    proptest! {
        #[test]
        fn anything_can_be_read(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&payload).count() <= payload.len());
        }
    }
}
