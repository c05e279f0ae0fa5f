//! Credentials: what a certificate must be to be one of `[credentials]`.
//!
//! Revocation fails closed. With `crl` given, the end-entity certificate's status must be known
//! from a list that is not past its nextUpdate, unless `crl_policy` lets it pass where there is no list of its
//! issuer; every certificate above it must not be revoked by any of the lists, where there is one for its issuer.
//! Without `crl` nothing about revocation is checked.

use std::sync::Arc;

use countersign_proto::Rejection;
use countersign_trust::{ChainVerifier, RevocationList};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::caller::{names_in, parse};
use crate::names::{Pattern, any_match};

/// One of `[credentials]`.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Chain, validity, purpose and revocation.
    pub(crate) verifier: Arc<ChainVerifier>,
    /// What else the certificate must have.
    pub(crate) constraint: Constraint,
    /// Whether clients are asked when they connect.
    pub(crate) ask_on_connect: bool,
    /// Whether a certificate from the TLS handshake may be this credential.
    pub(crate) accept_handshake: bool,
    /// Where revocation is known from.
    pub(crate) revocation_lists: Vec<Arc<RevocationList>>,
}

impl Credential {
    /// Whether a chain, leaf first, is this credential, if its client has the leaf's key.
    pub(crate) fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Rejection> {
        let (leaf, rest) = chain.split_first().ok_or(Rejection::Untrusted)?;
        self.verifier.verify(leaf, rest, now).map_err(|reason| Rejection::from(&reason))?;
        self.constraint.check(chain)
    }
}

/// What a certificate must have beyond a chain to `trust`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Constraint {
    /// One of these must fit one of the names; empty: no constraint.
    pub(crate) subject_alt_names: Vec<Pattern>,
    /// Each of these must be in the extension, as dotted numbers; empty: no constraint.
    pub(crate) extended_key_usages: Vec<String>,
}

impl Constraint {
    /// Checks a verified chain, leaf first.
    pub(crate) fn check(&self, chain: &[CertificateDer<'_>]) -> Result<(), Rejection> {
        if *self == Self::default() {
            return Ok(());
        }
        let certificate = parse(chain.first().ok_or(Rejection::Untrusted)?)?;
        if !self.extended_key_usages.is_empty() {
            let purposes = purposes_of(&certificate)?;
            if !self.extended_key_usages.iter().all(|needed| purposes.contains(needed)) {
                return Err(Rejection::WrongPurpose);
            }
        }
        if !self.subject_alt_names.is_empty()
            && !any_match(&self.subject_alt_names, &names_in(&certificate)?)
        {
            return Err(Rejection::WrongName);
        }
        Ok(())
    }
}

/// The purposes that have names, as used in the configuration.
pub(crate) const PURPOSES: [(&str, &str); 8] = [
    ("serverAuth", "1.3.6.1.5.5.7.3.1"),
    ("clientAuth", "1.3.6.1.5.5.7.3.2"),
    ("codeSigning", "1.3.6.1.5.5.7.3.3"),
    ("emailProtection", "1.3.6.1.5.5.7.3.4"),
    ("timeStamping", "1.3.6.1.5.5.7.3.8"),
    ("OCSPSigning", "1.3.6.1.5.5.7.3.9"),
    ("smartcardLogon", "1.3.6.1.4.1.311.20.2.2"),
    ("anyExtendedKeyUsage", "2.5.29.37.0"),
];

fn purposes_of(
    certificate: &x509_parser::certificate::X509Certificate<'_>,
) -> Result<Vec<String>, Rejection> {
    let extension = certificate.extended_key_usage().map_err(|_| Rejection::Untrusted)?;
    let Some(extension) = extension else {
        return Ok(Vec::new());
    };
    let usage = extension.value;
    let flagged = [
        (usage.server_auth, "1.3.6.1.5.5.7.3.1"),
        (usage.client_auth, "1.3.6.1.5.5.7.3.2"),
        (usage.code_signing, "1.3.6.1.5.5.7.3.3"),
        (usage.email_protection, "1.3.6.1.5.5.7.3.4"),
        (usage.time_stamping, "1.3.6.1.5.5.7.3.8"),
        (usage.ocsp_signing, "1.3.6.1.5.5.7.3.9"),
        (usage.any, "2.5.29.37.0"),
    ];
    let named = flagged.into_iter().filter(|(set, _)| *set).map(|(_, oid)| oid.to_owned());
    Ok(named.chain(usage.other.iter().map(x509_parser::oid_registry::Oid::to_id_string)).collect())
}

/// The TLS handshake's part where a credential has `handshake = "accept"`: it asks for a
/// certificate, requires none, and takes any whose key the client proves to have.
///
/// What the certificate is worth is decided afterwards, by each credential's own verifier and
/// constraint as everywhere else: a certificate that none accepts grants nothing, and a handshake
/// failure would only hide why.
#[derive(Debug)]
pub(crate) struct PossessionOnly {
    hints: Vec<DistinguishedName>,
    provider: Arc<CryptoProvider>,
}

impl PossessionOnly {
    /// Asks for certificates from the issuers that `credentials` accept in the handshake; `None` if
    /// none does.
    pub(crate) fn for_credentials(
        credentials: &[Credential],
        provider: &Arc<CryptoProvider>,
    ) -> Option<Self> {
        let accepting = || credentials.iter().filter(|credential| credential.accept_handshake);
        accepting().next()?;
        let mut hints: Vec<DistinguishedName> = Vec::new();
        for hint in accepting().flat_map(|credential| credential.verifier.root_hint_subjects()) {
            if !hints.iter().any(|known| known.as_ref() == hint.as_ref()) {
                hints.push(hint.clone());
            }
        }
        Some(Self { hints, provider: Arc::clone(provider) })
    }
}

impl ClientCertVerifier for PossessionOnly {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
