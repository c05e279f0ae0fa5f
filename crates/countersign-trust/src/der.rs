//! What has to be found in DER (X.690) without more of it being read.

use std::time::Duration;

use rustls::pki_types::UnixTime;
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::time::ASN1Time;

/// The contents of a value that is all there is.
pub(crate) fn inside(der: &[u8]) -> Option<&[u8]> {
    let (rest, value) = Any::from_der(der).ok()?;
    rest.is_empty().then_some(value.data)
}

/// Takes one value off: all of it, its contents, and what follows.
pub(crate) fn take(der: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (rest, value) = Any::from_der(der).ok()?;
    let whole = der.get(..der.len() - rest.len())?;
    Some((whole, value.data, rest))
}

/// A SEQUENCE; `None` if it is too long for a length of four octets.
pub(crate) fn sequence(content: &[u8]) -> Option<Vec<u8>> {
    let mut der = vec![0x30];
    match u8::try_from(content.len()) {
        Ok(short @ 0..128) => der.push(short),
        Ok(_) | Err(_) => {
            let length = u32::try_from(content.len()).ok()?.to_be_bytes();
            let length = significant(&length);
            der.push(0x80 | u8::try_from(length.len()).ok()?);
            der.extend_from_slice(length);
        }
    }
    der.extend_from_slice(content);
    Some(der)
}

/// The number without the octets in front that do not change it.
pub(crate) fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// From when and until when a certificate is valid (RFC 5280, section 4.1.2.5).
pub(crate) fn validity(certificate: &[u8]) -> Option<(UnixTime, UnixTime)> {
    let (_, fields, _) = take(inside(certificate)?)?;
    let mut rest = fields;
    if fields.first() == Some(&VERSION) {
        (_, _, rest) = take(rest)?;
    }
    // The serial number, the signature's algorithm, the issuer.
    for _ in 0..3 {
        (_, _, rest) = take(rest)?;
    }
    let (_, period, _) = take(rest)?;
    let (after_first, from) = ASN1Time::from_der(period).ok()?;
    let (_, until) = ASN1Time::from_der(after_first).ok()?;
    Some((unix_time(from.timestamp()), unix_time(until.timestamp())))
}

/// What is before 1970 counts as then.
pub(crate) fn unix_time(timestamp: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(timestamp).unwrap_or(0)))
}

/// The tag of a certificate's version.
const VERSION: u8 = 0xa0;

#[cfg(test)]
mod tests {
    use countersign_testkit::pki::{Authority, KeyKind, Leaf};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_validity_is_what_a_full_parser_finds() {
        let root = Authority::root("Root", KeyKind::P256).unwrap();
        let issued = root.issue(&Leaf::client("alice")).unwrap();
        for der in [issued.chain.first().unwrap(), &root.root_der()] {
            let (_, parsed) = x509_parser::parse_x509_certificate(der).unwrap();
            let period = parsed.validity();
            let expected =
                (unix_time(period.not_before.timestamp()), unix_time(period.not_after.timestamp()));
            assert_eq!(validity(der), Some(expected));
            for end in 0..der.len() {
                assert_eq!(validity(&der[..end]), None, "cut at {end}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_sequence_is_found_inside(content in proptest::collection::vec(any::<u8>(), 0..70_000)) {
            let der = sequence(&content).unwrap();
            prop_assert_eq!(inside(&der), Some(&content[..]));
        }

        #[test]
        fn nothing_is_too_strange_to_be_read(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _none = (validity(&content), take(&content), inside(&content));
        }
    }
}
