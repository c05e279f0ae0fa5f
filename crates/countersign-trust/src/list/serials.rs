//! The serial numbers of a list.

use x509_parser::asn1_rs::FromDer;
use x509_parser::revocation_list::RevokedCertificate;

use super::UnusableList;
use crate::der::{significant, take};

/// Whose serial number an entry has (RFC 5280, section 5.3.3), below id-ce.
const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 29];

/// Serial numbers, in order, each as wide as the longest.
pub(super) struct Serials {
    width: usize,
    numbers: Box<[u8]>,
}

impl Serials {
    /// Reads entries one by one, so that not all of them are in memory as more than their number.
    pub(super) fn new(mut entries: &[u8]) -> Result<Self, UnusableList> {
        let mut serials = Vec::new();
        while !entries.is_empty() {
            let (_, fields, rest) = take(entries).ok_or(UnusableList::Encoding)?;
            let (_, entry) =
                RevokedCertificate::from_der(entries).map_err(|_| UnusableList::Encoding)?;
            let (_, serial, _) = take(fields).ok_or(UnusableList::Encoding)?;
            entries = rest;
            for extension in entry.extensions() {
                if extension.oid.as_bytes() == CERTIFICATE_ISSUER {
                    return Err(UnusableList::Indirect);
                }
                if extension.critical {
                    return Err(UnusableList::CriticalExtension);
                }
            }
            serials.push(significant(serial));
        }
        serials.sort_unstable_by_key(|serial| (serial.len(), *serial));
        serials.dedup();
        let width = serials.last().map_or(0, |longest| longest.len()).max(1);
        let mut numbers = Vec::with_capacity(serials.len() * width);
        for serial in serials {
            numbers.resize(numbers.len() + width - serial.len(), 0);
            numbers.extend_from_slice(serial);
        }
        Ok(Self { width, numbers: numbers.into() })
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len() / self.width
    }

    pub(super) fn contain(&self, serial: &[u8]) -> bool {
        let serial = significant(serial);
        let Some(padding) = self.width.checked_sub(serial.len()) else { return false };
        let mut padded = vec![0; padding];
        padded.extend_from_slice(serial);
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let number = self.numbers.get(middle * self.width..(middle + 1) * self.width);
            match number.map(|number| number.cmp(&padded)) {
                None => return true,
                Some(std::cmp::Ordering::Equal) => return true,
                Some(std::cmp::Ordering::Less) => low = middle + 1,
                Some(std::cmp::Ordering::Greater) => high = middle,
            }
        }
        false
    }
}
