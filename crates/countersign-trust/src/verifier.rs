//! A path to a trust anchor on which nothing is revoked.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use webpki::{Cert, EndEntityCert, KeyUsage, VerifiedPath};

use crate::chains::{Key, VerifiedChains};
use crate::revocation::{Issuer, Revocation, Status, Subject};
use crate::{der, failure};

/// Trust from which no verifier can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Nobody is trusted.
    #[error("there is no trust anchor")]
    NoTrustAnchors,
    /// A revocation list has the name of a certificate that is there, but not the signature of its key.
    #[error("the revocation list `{0}` was not signed by the issuer that it names")]
    ForgedList(String),
}

/// What becomes of an end-entity certificate of which nobody knows whether it is revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownStatus {
    /// It is refused.
    #[default]
    Refuse,
    /// It passes. One about which the word is stale, or unproven, is refused all the same.
    Pass,
}

/// A chain that was accepted, and for how long it may count as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The latest notBefore on the path.
    pub from: UnixTime,
    /// The earliest notAfter on the path, or before that the time up to which the path's revocation status is known.
    pub until: UnixTime,
}

impl Verified {
    /// Whether it holds at this time. Both ends belong to it.
    pub fn holds_at(&self, now: UnixTime) -> bool {
        (self.from.as_secs()..=self.until.as_secs()).contains(&now.as_secs())
    }

    fn within(self, from: UnixTime, until: UnixTime) -> Self {
        let from = if self.from.as_secs() < from.as_secs() { from } else { self.from };
        let until = if self.until.as_secs() > until.as_secs() { until } else { self.until };
        Self { from, until }
    }
}

/// Verifies the chains of clients.
pub struct ChainVerifier {
    roots: Arc<RootCertStore>,
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
    revocation: Vec<Arc<dyn Revocation>>,
    unknown: UnknownStatus,
    known: Option<Arc<VerifiedChains>>,
    /// What was verified by another one is nothing to this one.
    generation: u64,
}

impl ChainVerifier {
    /// Trusts `roots`, and asks nobody about revocation.
    ///
    /// # Errors
    ///
    /// If there is no trust anchor.
    pub fn new(
        roots: Arc<RootCertStore>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, TrustError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        if roots.is_empty() {
            return Err(TrustError::NoTrustAnchors);
        }
        Ok(Self {
            hints: roots.subjects(),
            roots,
            algorithms,
            revocation: Vec::new(),
            unknown: UnknownStatus::default(),
            known: None,
            generation: NEXT.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Asks all of these about every certificate below the trust anchor. The end-entity certificate's status must
    /// be known, unless `unknown` lets it pass; those above it must not be revoked or of stale status.
    pub fn ask(mut self, revocation: Vec<Arc<dyn Revocation>>, unknown: UnknownStatus) -> Self {
        (self.revocation, self.unknown) = (revocation, unknown);
        self
    }

    /// Remembers there what it has verified. Verifiers may share it: each finds only its own.
    pub fn remember_in(mut self, known: &Arc<VerifiedChains>) -> Self {
        self.known = Some(Arc::clone(known));
        self
    }

    /// The trust anchors.
    pub fn trust_anchors(&self) -> &[TrustAnchor<'static>] {
        &self.roots.roots
    }

    /// Verifies a chain, leaf first. That its client has the leaf's key is not looked at.
    ///
    /// # Errors
    ///
    /// As `WebPkiClientVerifier` of rustls.
    pub fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Verified, Error> {
        let verify = || self.find_path(leaf, intermediates, now);
        match &self.known {
            Some(known) => known.get_or(self.key(leaf, intermediates), now, verify),
            None => verify(),
        }
    }

    /// A chain, to the octet, with everything that this verifier judges it by, except for the time.
    fn key(&self, leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Key {
        let mut digest = Context::new(&SHA256);
        digest.update(&self.generation.to_be_bytes());
        for source in &self.revocation {
            digest.update(&source.generation().to_be_bytes());
        }
        for certificate in std::iter::once(leaf).chain(intermediates) {
            digest.update(&certificate.len().to_be_bytes());
            digest.update(certificate);
        }
        let mut key = Key::default();
        key.copy_from_slice(digest.finish().as_ref());
        key
    }

    fn find_path(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Verified, Error> {
        let leaf = EndEntityCert::try_from(leaf).map_err(failure::told)?;
        let verified = Cell::new(None);
        let check = |path: &VerifiedPath<'_>| {
            verified.set(Some(self.check_path(path, now)?));
            Ok(())
        };
        let path = leaf.verify_for_usage(
            self.algorithms.all,
            &self.roots.roots,
            intermediates,
            now,
            KeyUsage::client_auth(),
            None,
            Some(&check),
        );
        path.map_err(failure::told)?;
        verified.get().ok_or_else(|| CertificateError::ApplicationVerificationFailure.into())
    }

    fn check_path(
        &self,
        path: &VerifiedPath<'_>,
        now: UnixTime,
    ) -> Result<Verified, webpki::Error> {
        let anchor = path.anchor();
        let authorities: Vec<&Cert<'_>> = path.intermediate_certificates().collect();
        let leaf: &Cert<'_> = path.end_entity();
        let (never, always) = (der::unix_time(0), der::unix_time(i64::MAX));
        let mut verified = Verified { from: never, until: always };
        let certificates = std::iter::once(leaf).chain(authorities.iter().copied());
        for (depth, certificate) in certificates.enumerate() {
            let (from, until) = der::validity(&certificate.der()).ok_or(webpki::Error::BadDer)?;
            verified = verified.within(from, until);
            if self.revocation.is_empty() {
                continue;
            }
            let subject = Subject { serial: certificate.serial(), is_authority: depth > 0 };
            let status = match authorities.get(depth) {
                Some(authority) => {
                    let key = authority.subject_public_key_info();
                    let key = der::inside(&key).ok_or(webpki::Error::BadDer)?;
                    let (name, certificate) = (authority.subject(), Some(authority.der()));
                    self.status(&subject, &Issuer { name, key, certificate }, now)
                }
                None => {
                    let (name, key) = (&*anchor.subject, &*anchor.subject_public_key_info);
                    self.status(&subject, &Issuer { name, key, certificate: None }, now)
                }
            };
            match (status, self.unknown) {
                (Status::Good(known), _) => verified = verified.within(from, known),
                (Status::Revoked, _) => return Err(webpki::Error::CertRevoked),
                (Status::Stale(next_update), _) => {
                    return Err(webpki::Error::CrlExpired { time: now, next_update });
                }
                (Status::Unproven, _) => return Err(webpki::Error::UnknownRevocationStatus),
                (Status::Unknown, UnknownStatus::Refuse) if !subject.is_authority => {
                    return Err(webpki::Error::UnknownRevocationStatus);
                }
                (Status::Unknown, UnknownStatus::Refuse | UnknownStatus::Pass) => {}
            }
        }
        Ok(verified)
    }

    /// What all together say.
    fn status(&self, subject: &Subject<'_>, issuer: &Issuer<'_>, now: UnixTime) -> Status {
        let words = self.revocation.iter().map(|source| source.status(subject, issuer, now));
        words.fold(Status::Unknown, Status::and)
    }
}

impl ClientCertVerifier for ChainVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates, now).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for ChainVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainVerifier")
            .field("trust_anchors", &self.roots.len())
            .field("revocation", &self.revocation)
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "verifier/tests.rs"]
mod tests;
