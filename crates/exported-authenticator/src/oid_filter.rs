//! oid_filters (RFC 8446, section 4.2.5): what the end-entity certificate's extensions must contain.

use x509_parser::asn1_rs::{BitString, FromDer, Oid, Sequence};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE};

use crate::Malformed;
use crate::codec::{Reader, TooLong, put_vector};

const FIELD: &str = "oid_filters";

/// 2.5.29.37.0, without tag and length.
const ANY_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];

/// One filter: an extension of the certificate, and values that it must have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OidFilter {
    /// The extension's object identifier in DER, tag and length included; 1 to 255 bytes.
    pub oid: Vec<u8>,
    /// The values in DER, at most 65,535 bytes; empty means that the extension only has to be there.
    /// anyExtendedKeyUsage may not be among them; [`OidFilter::extended_key_usage`] sees to that.
    pub values: Vec<u8>,
}

impl OidFilter {
    /// A filter on extended key usage: all `purposes` (object identifiers such as
    /// `1.3.6.1.5.5.7.3.2`) must be in the certificate. `None` if one of them is no object identifier,
    /// or is anyExtendedKeyUsage, which RFC 8446 does not allow here.
    pub fn extended_key_usage(purposes: &[&str]) -> Option<Self> {
        let mut values = Vec::new();
        for purpose in purposes {
            let oid: Oid<'_> = purpose.parse().ok()?;
            //= specs/exported-authenticators.md#section-5.2.1
            //# anyExtendedKeyUsage MUST NOT be asked for in oid_filters.
            if oid.as_bytes() == ANY_EXTENDED_KEY_USAGE {
                return None;
            }
            values.extend(tlv(0x06, oid.as_bytes())?);
        }
        Some(Self {
            oid: tlv(0x06, OID_X509_EXT_EXTENDED_KEY_USAGE.as_bytes())?,
            values: tlv(0x30, &values)?,
        })
    }

    pub(crate) fn read_list(body: &[u8]) -> Result<Vec<Self>, Malformed> {
        let mut reader = Reader::new(body);
        let mut list = Reader::new(reader.vec16(FIELD)?);
        reader.finish(FIELD)?;
        let mut filters = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while !list.is_empty() {
            let oid = list.vec8(FIELD)?.to_vec();
            let values = list.vec16(FIELD)?.to_vec();
            if oid.is_empty() {
                return Err(Malformed::Length(FIELD));
            }
            //= specs/exported-authenticators.md#section-5.2.1
            //# An OID MUST NOT occur twice in oid_filters.
            if !seen.insert(oid.clone()) {
                return Err(Malformed::DuplicateOid);
            }
            filters.push(Self { oid, values });
        }
        Ok(filters)
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        put_vector(out, 1, |out| out.extend_from_slice(&self.oid))?;
        put_vector(out, 2, |out| out.extend_from_slice(&self.values))
    }

    /// Whether `leaf` meets this filter.
    ///
    /// Key usage and extended key usage have matching rules: every asked-for bit or purpose must be
    /// there. Filters on other extensions are unknown and ignored, as RFC 8446 has it. Values that
    /// do not decode are met by nothing.
    pub(crate) fn is_met_by(&self, leaf: &X509Certificate<'_>) -> bool {
        let Ok(([], oid)) = Oid::from_der(&self.oid) else {
            return true;
        };
        let known = oid == OID_X509_EXT_KEY_USAGE || oid == OID_X509_EXT_EXTENDED_KEY_USAGE;
        //= specs/exported-authenticators.md#section-5.2.1
        //# An oid_filters entry whose OID is not recognised MUST be skipped.
        if !known {
            return true;
        }
        let Ok(Some(extension)) = leaf.get_extension_unique(&oid) else {
            return false;
        };
        if self.values.is_empty() {
            return true;
        }
        let has_all = if oid == OID_X509_EXT_KEY_USAGE { bits_within } else { purposes_within };
        has_all(&self.values, extension.value).unwrap_or(false)
    }
}

/// Whether every bit of the BIT STRING `wanted` is set in `present`.
fn bits_within(wanted: &[u8], present: &[u8]) -> Option<bool> {
    let (rest, wanted) = BitString::from_der(wanted).ok()?;
    let (_, present) = BitString::from_der(present).ok()?;
    let mut present = present.data.iter().copied();
    Some(
        rest.is_empty()
            && wanted.data.iter().all(|want| want & !present.next().unwrap_or_default() == 0),
    )
}

/// Whether every object identifier of the SEQUENCE `wanted` is in `present`.
fn purposes_within(wanted: &[u8], present: &[u8]) -> Option<bool> {
    let present = purposes(present)?;
    Some(purposes(wanted)?.iter().all(|purpose| present.contains(purpose)))
}

fn purposes(der: &[u8]) -> Option<Vec<Oid<'_>>> {
    let (rest, sequence) = Sequence::from_der(der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let std::borrow::Cow::Borrowed(mut content) = sequence.content else {
        return None;
    };
    let mut purposes = Vec::new();
    while !content.is_empty() {
        let (rest, oid) = Oid::from_der(content).ok()?;
        content = rest;
        purposes.push(oid);
    }
    Some(purposes)
}

/// DER with a short or two-byte long length; `None` beyond 65,535 bytes.
fn tlv(tag: u8, content: &[u8]) -> Option<Vec<u8>> {
    let len = u16::try_from(content.len()).ok()?;
    let [high, low] = len.to_be_bytes();
    let mut der = vec![tag];
    match (high, low) {
        (0, 0..=0x7f) => der.push(low),
        (0, _) => der.extend([0x81, low]),
        (_, _) => der.extend([0x82, high, low]),
    }
    der.extend_from_slice(content);
    Some(der)
}
