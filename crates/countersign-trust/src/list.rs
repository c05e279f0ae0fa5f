//! Revocation lists (RFC 5280, section 5): checked when they are loaded, their signature verified
//! once, looked up from then on.
//!
//! A list says something only about what was issued with the key that signed it. The keys of trust
//! anchors are there when it is loaded. Those of other issuers come with clients' chains, so such a
//! list is verified with the first chain that leads to a trust anchor by way of its issuer.

mod serials;
mod signature;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime};
use x509_parser::extensions::{ParsedExtension, X509Extension};
use x509_parser::revocation_list::CertificateRevocationList;

use self::serials::Serials;
use self::signature::{Signed, may_sign_lists};
use crate::TrustError;
use crate::der::{inside, sequence, take, unix_time};
use crate::revocation::{Issuer, Revocation, Status, Subject};

/// Keys that did not sign a list, remembered so that the list is not hashed for each again.
const MAX_REFUTED: usize = 16;

// Extensions below id-ce, 2.5.29.
const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 20];
const DELTA_CRL_INDICATOR: &[u8] = &[0x55, 0x1d, 27];
const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 28];
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 35];

/// Why a list is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableList {
    /// It cannot be read.
    #[error("it is no revocation list in DER, or it ends too early")]
    Encoding,
    /// It has entries of several issuers (RFC 5280, section 5.2.5).
    #[error(
        "it is an indirect list, with certificates of several issuers; use one list of each issuer"
    )]
    Indirect,
    /// It only has what changed (RFC 5280, section 5.2.4).
    #[error("it is a delta list, with changes only; use the issuer's complete list")]
    Delta,
    /// It leaves out certificates that were revoked for other reasons.
    #[error("it covers some reasons for revocation only; use the issuer's complete list")]
    SomeReasons,
    /// It is about certificates of another kind.
    #[error("it covers attribute certificates only; use the list for public key certificates")]
    AttributeCertificates,
    /// It must not be used by who does not know the extension (RFC 5280, section 5.2).
    #[error("it has a critical extension that is not known here")]
    CriticalExtension,
    /// It has no end.
    #[error("it has no nextUpdate, so nobody can tell how long it holds; have its issuer set one")]
    NoNextUpdate,
    /// It is from later than now.
    #[error("its thisUpdate is in the future; check this machine's clock")]
    Future,
    /// It breaks a rule of RFC 5280, section 5.1.1.2.
    #[error("an algorithm is named differently inside and outside of what is signed")]
    Algorithm,
}

/// A complete list of one issuer.
pub struct RevocationList {
    label: String,
    this_update: UnixTime,
    next_update: UnixTime,
    number: Option<Vec<u8>>,
    /// What is inside the issuer's Name.
    issuer: Box<[u8]>,
    /// What two lists have in common when one is the successor of the other.
    line: Vec<u8>,
    scope: Scope,
    serials: Serials,
    algorithms: WebPkiSupportedAlgorithms,
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
    /// Checks all of a list but its signature. `label` is what it is called, such as its file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is not the whole word of one issuer, or cannot hold now.
    pub fn new(
        label: &str,
        list: &CertificateRevocationListDer<'_>,
        algorithms: WebPkiSupportedAlgorithms,
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
        let this_update = unix_time(parsed.last_update().timestamp());
        if this_update.as_secs() > now.as_secs() {
            return Err(UnusableList::Future);
        }
        let issuer = inside(parsed.issuer().as_raw()).ok_or(UnusableList::Encoding)?;
        Ok(Self {
            label: label.to_owned(),
            this_update,
            next_update: unix_time(next_update.timestamp()),
            number: parsed.crl_number().map(|number| number.to_bytes_be()),
            line: line(issuer, &parsed),
            issuer: issuer.into(),
            scope,
            serials: Serials::new(entries)?,
            algorithms,
            signer: Mutex::new(Signer::Sought { list: list.as_ref().into(), refuted: Vec::new() }),
        })
    }

    /// What it is called.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Until when it holds.
    pub fn next_update(&self) -> UnixTime {
        self.next_update
    }

    /// How many certificates it names.
    pub fn entries(&self) -> usize {
        self.serials.len()
    }

    /// Whether it is past its nextUpdate: who needs it is refused.
    pub fn is_stale(&self, now: UnixTime) -> bool {
        self.next_update.as_secs() < now.as_secs()
    }

    /// Whether one of the two is the other's successor: by the same issuer and key, for the same scope.
    pub fn is_in_line_with(&self, other: &Self) -> bool {
        self.line == other.line
    }

    /// Whether `newer`, of the same issuer, key and scope, would take back what it says: it has a lower CRL
    /// number, or the same and an earlier thisUpdate. Without numbers thisUpdate alone counts.
    pub fn is_ahead_of(&self, newer: &Self) -> bool {
        let (old, new) = (self.this_update.as_secs(), newer.this_update.as_secs());
        match (&self.number, &newer.number) {
            (Some(number), Some(later)) => (number.len(), number, old) > (later.len(), later, new),
            (Some(_) | None, _) => old > new,
        }
    }

    /// Whether its issuer has this name, as [`Issuer::name`] has it.
    pub fn is_from(&self, name: &[u8]) -> bool {
        *self.issuer == *name
    }

    /// Verifies it with those of `anchors` that have its issuer's name. If there is none, that is left to the
    /// first path by way of its issuer.
    ///
    /// # Errors
    ///
    /// If none of them has signed it.
    pub fn check_signature(&self, anchors: &[TrustAnchor<'_>]) -> Result<(), TrustError> {
        let named = || anchors.iter().filter(|anchor| self.is_from(&anchor.subject));
        let signed = |anchor: &TrustAnchor<'_>| {
            let (name, key) = (&*anchor.subject, &*anchor.subject_public_key_info);
            self.is_signed_by(&Issuer { name, key, certificate: None }) == Some(true)
        };
        if named().next().is_some() && !named().any(signed) {
            return Err(TrustError::ForgedList(self.label.clone()));
        }
        Ok(())
    }

    /// Verifies it with those of `certificates` that have its issuer's name. They need not be trusted: it says
    /// something only about what the same key has issued.
    ///
    /// # Errors
    ///
    /// If some have, and none of them has signed it.
    pub fn check_issuers(&self, certificates: &[CertificateDer<'_>]) -> Result<(), TrustError> {
        let mut named = false;
        for der in certificates {
            let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else { continue };
            let name = inside(certificate.subject().as_raw());
            let key = inside(certificate.public_key().raw);
            let (Some(name), Some(key)) = (name, key) else { continue };
            if self.is_from(name) {
                named = true;
                let certificate = Some(der.clone());
                if self.is_signed_by(&Issuer { name, key, certificate }) == Some(true) {
                    return Ok(());
                }
            }
        }
        if named { Err(TrustError::ForgedList(self.label.clone())) } else { Ok(()) }
    }

    /// Whether this issuer has signed it; `None` while nobody is known who has. Verifies the signature, until
    /// it is known.
    pub fn is_signed_by(&self, issuer: &Issuer<'_>) -> Option<bool> {
        let mut signer = self.signer();
        let (list, refuted) = match &mut *signer {
            Signer::Known(key) => return Some(**key == *issuer.key),
            Signer::Sought { list, refuted } => (list, refuted),
        };
        if refuted.iter().any(|key| **key == *issuer.key) {
            return None;
        }
        let verified = may_sign_lists(issuer)
            && Signed::read(list).is_some_and(|signed| signed.verify(issuer.key, &self.algorithms));
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

impl Revocation for RevocationList {
    fn status(&self, subject: &Subject<'_>, issuer: &Issuer<'_>, now: UnixTime) -> Status {
        let in_scope = match self.scope {
            Scope::All => true,
            Scope::EndEntities => !subject.is_authority,
            Scope::Authorities => subject.is_authority,
        };
        if !in_scope || !self.is_from(issuer.name) {
            return Status::Unknown;
        }
        match self.is_signed_by(issuer) {
            Some(true) if self.serials.contain(subject.serial) => Status::Revoked,
            Some(true) if self.is_stale(now) => Status::Stale(self.next_update),
            Some(true) => Status::Good(self.next_update),
            Some(false) => Status::Unknown,
            None => Status::Unproven,
        }
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList")
            .field("label", &self.label)
            .field("next_update", &self.next_update)
            .field("entries", &self.serials.len())
            .finish_non_exhaustive()
    }
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

#[cfg(test)]
#[path = "list/tests.rs"]
mod tests;
