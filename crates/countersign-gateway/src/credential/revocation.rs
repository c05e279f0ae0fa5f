//! Revocation lists (RFC 5280, section 5): checked when they are loaded, their signature verified
//! once, looked up from then on.
//!
//! A list says something only about what was issued with the key that signed it. The keys of trust
//! anchors are there when it is loaded. Those of other issuers come with clients' chains, so such a
//! list is verified with the first chain that leads to a trust anchor by way of its issuer.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, SignatureVerificationAlgorithm, UnixTime,
};
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::extensions::{ParsedExtension, X509Extension};
use x509_parser::revocation_list::{CertificateRevocationList, RevokedCertificate};

/// Keys that did not sign a list, remembered so that the list is not hashed for each again.
const MAX_REFUTED: usize = 16;

// Extensions below id-ce, 2.5.29.
const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 20];
const DELTA_CRL_INDICATOR: &[u8] = &[0x55, 0x1d, 27];
const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 28];
const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 29];
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 35];

/// Why a list is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnusableList {
    #[error("it is no revocation list in DER, or it ends too early")]
    Encoding,
    #[error(
        "it is an indirect list, with certificates of several issuers; use one list of each issuer"
    )]
    Indirect,
    #[error("it is a delta list, with changes only; use the issuer's complete list")]
    Delta,
    #[error("it covers some reasons for revocation only; use the issuer's complete list")]
    SomeReasons,
    #[error("it covers attribute certificates only; use the list for public key certificates")]
    AttributeCertificates,
    #[error("it has a critical extension that is not known here")]
    CriticalExtension,
    #[error("it has no nextUpdate, so nobody can tell how long it holds; have its issuer set one")]
    NoNextUpdate,
    #[error("its thisUpdate is in the future; check this machine's clock")]
    Future,
    #[error("an algorithm is named differently inside and outside of what is signed")]
    Algorithm,
}

/// What is known about a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// A list that holds now does not name it.
    Good,
    /// A list names it.
    Revoked,
    /// The list for it was to be replaced at this time, in seconds since 1970.
    Stale(u64),
    /// There is a list of an issuer of this name, but nobody was found to have signed it.
    Unproven,
    /// There is no list for it.
    Unknown,
}

/// A certificate's issuer, on a path that was verified up to a trust anchor.
pub(super) struct Issuer<'a> {
    /// What is inside its Name.
    pub(super) name: &'a [u8],
    /// What is inside its SubjectPublicKeyInfo.
    pub(super) key: &'a [u8],
    /// Its certificate, unless it is the trust anchor.
    pub(super) certificate: Option<CertificateDer<'a>>,
}

/// A complete list of one issuer.
pub(crate) struct RevocationList {
    /// The file, as the configuration names it.
    pub(crate) file: String,
    /// Until when it holds, in seconds since 1970.
    pub(crate) next_update: u64,
    this_update: u64,
    number: Option<Vec<u8>>,
    /// What is inside the issuer's Name.
    issuer: Box<[u8]>,
    /// What two lists have in common when one is the successor of the other.
    line: Vec<u8>,
    scope: Scope,
    serials: Serials,
    signer: Mutex<Signer>,
}

/// Which certificates of its issuer a list is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    All,
    EndEntities,
    Authorities,
}

/// Whose key has signed a list.
enum Signer {
    /// What is inside the SubjectPublicKeyInfo.
    Known(Box<[u8]>),
    /// The whole list, until it is known.
    Sought { list: Box<[u8]>, refuted: Vec<Box<[u8]>> },
}

impl RevocationList {
    /// Checks all of a list but its signature.
    pub(crate) fn new(
        file: &str,
        list: &CertificateRevocationListDer<'_>,
        now: UnixTime,
    ) -> Result<Self, UnusableList> {
        let (frame, entries) = take_entries_out(list).ok_or(UnusableList::Encoding)?;
        let (rest, parsed) =
            x509_parser::parse_x509_crl(&frame).map_err(|_| UnusableList::Encoding)?;
        if !rest.is_empty() {
            return Err(UnusableList::Encoding);
        }
        let scope = check_extensions(&parsed)?;
        Signed::read(list).ok_or(UnusableList::Algorithm)?;
        let next_update = parsed.next_update().ok_or(UnusableList::NoNextUpdate)?;
        let this_update = seconds(parsed.last_update().timestamp());
        if this_update > now.as_secs() {
            return Err(UnusableList::Future);
        }
        let issuer = inside(parsed.issuer().as_raw()).ok_or(UnusableList::Encoding)?;
        Ok(Self {
            file: file.to_owned(),
            next_update: seconds(next_update.timestamp()),
            this_update,
            number: parsed.crl_number().map(|number| number.to_bytes_be()),
            line: line(issuer, &parsed),
            issuer: issuer.into(),
            scope,
            serials: Serials::new(entries)?,
            signer: Mutex::new(Signer::Sought { list: list.as_ref().into(), refuted: Vec::new() }),
        })
    }

    /// Whether it is past its nextUpdate: who needs it is refused.
    pub(crate) fn is_stale(&self, now: UnixTime) -> bool {
        self.next_update < now.as_secs()
    }

    /// Whether one of the two is the other's successor: by the same issuer and key, for the same scope.
    pub(crate) fn is_in_line_with(&self, other: &Self) -> bool {
        self.line == other.line
    }

    /// Whether `newer`, of the same issuer, key and scope, would take back what it says: it has a lower CRL
    /// number, or the same and an earlier thisUpdate. Without numbers thisUpdate alone counts.
    pub(crate) fn is_ahead_of(&self, newer: &Self) -> bool {
        let (old, new) = (self.this_update, newer.this_update);
        match (&self.number, &newer.number) {
            (Some(number), Some(later)) => (number.len(), number, old) > (later.len(), later, new),
            (Some(_) | None, _) => old > new,
        }
    }

    /// Whether its issuer has this name.
    pub(super) fn is_from(&self, name: &[u8]) -> bool {
        *self.issuer == *name
    }

    /// What it says of the certificate with this serial number.
    pub(super) fn status(
        &self,
        serial: &[u8],
        is_authority: bool,
        issuer: &Issuer<'_>,
        algorithms: &WebPkiSupportedAlgorithms,
        now: UnixTime,
    ) -> Status {
        let in_scope = match self.scope {
            Scope::All => true,
            Scope::EndEntities => !is_authority,
            Scope::Authorities => is_authority,
        };
        if !in_scope || !self.is_from(issuer.name) {
            return Status::Unknown;
        }
        match self.is_signed_by(issuer, algorithms) {
            Some(true) if self.serials.contain(serial) => Status::Revoked,
            Some(true) if self.is_stale(now) => Status::Stale(self.next_update),
            Some(true) => Status::Good,
            Some(false) => Status::Unknown,
            None => Status::Unproven,
        }
    }

    /// Whether this issuer has signed it; `None` while nobody is known who has. Verifies the signature, until
    /// it is known.
    pub(super) fn is_signed_by(
        &self,
        issuer: &Issuer<'_>,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Option<bool> {
        let mut signer = self.signer();
        let (list, refuted) = match &mut *signer {
            Signer::Known(key) => return Some(**key == *issuer.key),
            Signer::Sought { list, refuted } => (list, refuted),
        };
        if refuted.iter().any(|key| **key == *issuer.key) {
            return None;
        }
        let verified = may_sign_lists(issuer)
            && Signed::read(list).is_some_and(|signed| signed.verify(issuer.key, algorithms));
        if verified {
            *signer = Signer::Known(issuer.key.into());
            return Some(true);
        }
        if refuted.len() == MAX_REFUTED {
            refuted.remove(0);
        }
        refuted.push(issuer.key.into());
        None
    }

    fn signer(&self) -> MutexGuard<'_, Signer> {
        // It is replaced as a whole.
        self.signer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList")
            .field("file", &self.file)
            .field("next_update", &self.next_update)
            .field("entries", &self.serials.len())
            .finish_non_exhaustive()
    }
}

fn seconds(timestamp: i64) -> u64 {
    u64::try_from(timestamp).unwrap_or(0)
}

/// The contents of a value with a single tag around it.
pub(super) fn inside(der: &[u8]) -> Option<&[u8]> {
    let (rest, value) = Any::from_der(der).ok()?;
    rest.is_empty().then_some(value.data)
}

/// Takes one value off: all of it, its contents, and what follows.
fn take(der: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (rest, value) = Any::from_der(der).ok()?;
    let whole = der.get(..der.len() - rest.len())?;
    Some((whole, value.data, rest))
}

/// The list without its entries, and what is inside of the sequence of these.
fn take_entries_out(list: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (_, fields, after) = take(inside(list)?)?;
    let (mut rest, mut kept) = (fields, Vec::new());
    let (mut entries, mut times) = (&[][..], 0);
    while !rest.is_empty() {
        let (whole, value, following) = take(rest)?;
        match whole.first()? {
            // The sequences before thisUpdate are others.
            0x30 if times > 0 => entries = value,
            0x17 | 0x18 => {
                times += 1;
                kept.extend_from_slice(whole);
            }
            _ => kept.extend_from_slice(whole),
        }
        rest = following;
    }
    let mut frame = sequence(&kept)?;
    frame.extend_from_slice(after);
    Some((sequence(&frame)?, entries))
}

/// A SEQUENCE; `None` if it is too long for a length of four octets.
fn sequence(content: &[u8]) -> Option<Vec<u8>> {
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

/// Where a certificate says what its key is for, signing lists must be among it (RFC 5280, section 4.2.1.3).
fn may_sign_lists(issuer: &Issuer<'_>) -> bool {
    let Some(certificate) = &issuer.certificate else { return true };
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return false;
    };
    match certificate.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.crl_sign()),
        Err(_) => false,
    }
}

fn line(issuer: &[u8], list: &CertificateRevocationList<'_>) -> Vec<u8> {
    let mut line = issuer.to_vec();
    for oid in [AUTHORITY_KEY_IDENTIFIER, ISSUING_DISTRIBUTION_POINT] {
        let found = list.extensions().iter().find(|one| one.oid.as_bytes() == oid);
        line.push(0);
        line.extend(found.map_or(&[][..], |one| one.value));
    }
    line
}

fn check_extensions(list: &CertificateRevocationList<'_>) -> Result<Scope, UnusableList> {
    let mut scope = Scope::All;
    for extension in list.extensions() {
        let oid = extension.oid.as_bytes();
        if oid == DELTA_CRL_INDICATOR {
            return Err(UnusableList::Delta);
        } else if oid == ISSUING_DISTRIBUTION_POINT {
            scope = scope_of(extension)?;
        } else if extension.critical && ![CRL_NUMBER, AUTHORITY_KEY_IDENTIFIER].contains(&oid) {
            return Err(UnusableList::CriticalExtension);
        }
    }
    Ok(scope)
}

fn scope_of(extension: &X509Extension<'_>) -> Result<Scope, UnusableList> {
    let ParsedExtension::IssuingDistributionPoint(point) = extension.parsed_extension() else {
        return Err(UnusableList::Encoding);
    };
    if point.indirect_crl {
        return Err(UnusableList::Indirect);
    }
    if point.only_some_reasons.is_some() {
        return Err(UnusableList::SomeReasons);
    }
    if point.only_contains_attribute_certs {
        return Err(UnusableList::AttributeCertificates);
    }
    match (point.only_contains_user_certs, point.only_contains_ca_certs) {
        (false, false) => Ok(Scope::All),
        (true, false) => Ok(Scope::EndEntities),
        (false, true) => Ok(Scope::Authorities),
        (true, true) => Err(UnusableList::Encoding),
    }
}

/// A list as far as its signature goes.
struct Signed<'a> {
    message: &'a [u8],
    /// What is inside the AlgorithmIdentifier.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// `None` also where the two AlgorithmIdentifiers differ (RFC 5280, section 5.1.1.2).
    fn read(list: &'a [u8]) -> Option<Self> {
        let (message, fields, rest) = take(inside(list)?)?;
        let (_, algorithm, rest) = take(rest)?;
        let (_, bits, rest) = take(rest)?;
        // A version, which only the second one has, goes before.
        let (_, first, after) = take(fields)?;
        let (_, within, _) = if first.len() == 1 { take(after)? } else { take(fields)? };
        let (unused, signature) = bits.split_first()?;
        (*unused == 0 && rest.is_empty() && within == algorithm).then_some(Self {
            message,
            algorithm,
            signature,
        })
    }

    /// Whether `key`, what is inside a SubjectPublicKeyInfo, has signed it.
    fn verify(&self, key: &[u8], algorithms: &WebPkiSupportedAlgorithms) -> bool {
        let Some((_, key_algorithm, rest)) = take(key) else { return false };
        let Some((_, bits, _)) = take(rest) else { return false };
        let Some((0, key)) = bits.split_first() else { return false };
        let fits = |one: &&&dyn SignatureVerificationAlgorithm| {
            one.signature_alg_id().as_ref() == self.algorithm
                && one.public_key_alg_id().as_ref() == key_algorithm
        };
        algorithms
            .all
            .iter()
            .filter(fits)
            .any(|one| one.verify_signature(key, self.message, self.signature).is_ok())
    }
}

/// Serial numbers, in order, each as wide as the longest.
struct Serials {
    width: usize,
    numbers: Box<[u8]>,
}

impl Serials {
    /// Reads entries one by one, so that not all of them are in memory as more than their number.
    fn new(mut entries: &[u8]) -> Result<Self, UnusableList> {
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

    fn len(&self) -> usize {
        self.numbers.len() / self.width
    }

    fn contain(&self, serial: &[u8]) -> bool {
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

/// The number without the octets in front that do not change it.
fn significant(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|octet| **octet == 0).count();
    serial.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
#[path = "revocation/tests.rs"]
mod tests;
