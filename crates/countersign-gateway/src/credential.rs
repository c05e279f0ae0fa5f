//! Credentials: what a certificate must be to be one of `[credentials]`.
//!
//! Revocation fails closed. With `crl` given, the end-entity certificate's status must be known
//! from a list that is not past its nextUpdate, unless `crl_policy` lets it pass where there is no list of its
//! issuer; every certificate above it must not be revoked by any of the lists, where there is one for its issuer.
//! Without `crl` nothing about revocation is checked.

mod revocation;

use std::sync::Arc;
use std::time::Duration;

use countersign_proto::Rejection;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertRevocationListError, CertificateError, DigitallySignedStruct, DistinguishedName, Error,
    RootCertStore, SignatureScheme,
};
use webpki::VerifiedPath;

use self::revocation::{Issuer, Status};
pub(crate) use self::revocation::{RevocationList, UnusableList};
use crate::caller::{names_in, parse};
use crate::names::{Pattern, any_match};

/// One of `[credentials]`.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Chain, validity, purpose and revocation.
    pub(crate) verifier: Arc<dyn ClientCertVerifier>,
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
        let accepted = self.verifier.verify_client_cert(leaf, rest, now);
        accepted.map_err(|reason| Rejection::from(&reason))?;
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

/// What becomes of an end-entity certificate for which there is no revocation list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CrlPolicy {
    /// It is refused.
    #[default]
    Require,
    /// It passes. One whose list is stale, or was signed by nobody known, is refused all the same.
    IfPresent,
}

/// Makes the verifier of a credential. Empty `lists` mean that revocation is not checked.
///
/// # Errors
///
/// Also if a list by the name of a trust anchor was not signed with such an anchor's key.
pub(crate) fn verifier(
    provider: &Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    lists: Vec<Arc<RevocationList>>,
    policy: CrlPolicy,
) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider));
    let chain = builder.build()?;
    if lists.is_empty() {
        return Ok(chain);
    }
    let algorithms = provider.signature_verification_algorithms;
    for list in &lists {
        let named = || roots.roots.iter().filter(|anchor| list.is_from(&anchor.subject));
        let signed = |anchor: &TrustAnchor<'_>| {
            let issuer = Issuer {
                name: &anchor.subject,
                key: &anchor.subject_public_key_info,
                certificate: None,
            };
            list.is_signed_by(&issuer, &algorithms) == Some(true)
        };
        if named().next().is_some() && !named().any(signed) {
            return Err(CertRevocationListError::BadSignature.into());
        }
    }
    Ok(Arc::new(WithRevocation { chain, roots, algorithms, lists, policy }))
}

/// A path to a trust anchor, on which nothing is revoked.
#[derive(Debug)]
struct WithRevocation {
    /// Chains alone.
    chain: Arc<dyn ClientCertVerifier>,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    lists: Vec<Arc<RevocationList>>,
    policy: CrlPolicy,
}

impl WithRevocation {
    fn check_path(&self, path: &VerifiedPath<'_>, now: UnixTime) -> Result<(), webpki::Error> {
        let anchor = path.anchor();
        let authorities: Vec<&webpki::Cert<'_>> = path.intermediate_certificates().collect();
        let leaf: &webpki::Cert<'_> = path.end_entity();
        let subjects = std::iter::once(leaf).chain(authorities.iter().copied());
        for (depth, subject) in subjects.enumerate() {
            let status = match authorities.get(depth) {
                Some(authority) => {
                    let key = authority.subject_public_key_info();
                    let key = revocation::inside(&key).ok_or(webpki::Error::BadDer)?;
                    let (name, certificate) = (authority.subject(), Some(authority.der()));
                    self.status(subject, depth > 0, &Issuer { name, key, certificate }, now)
                }
                None => {
                    let (name, key) = (&*anchor.subject, &*anchor.subject_public_key_info);
                    self.status(subject, depth > 0, &Issuer { name, key, certificate: None }, now)
                }
            };
            match (status, self.policy) {
                (Status::Good, _) => {}
                (Status::Revoked, _) => return Err(webpki::Error::CertRevoked),
                (Status::Stale(at), _) => {
                    let next_update = UnixTime::since_unix_epoch(Duration::from_secs(at));
                    return Err(webpki::Error::CrlExpired { time: now, next_update });
                }
                (Status::Unproven, _) => return Err(webpki::Error::UnknownRevocationStatus),
                (Status::Unknown, CrlPolicy::Require) if depth == 0 => {
                    return Err(webpki::Error::UnknownRevocationStatus);
                }
                (Status::Unknown, CrlPolicy::Require | CrlPolicy::IfPresent) => {}
            }
        }
        Ok(())
    }

    /// What all lists together say: the worst that is known, then what is known best.
    fn status(
        &self,
        subject: &webpki::Cert<'_>,
        is_authority: bool,
        issuer: &Issuer<'_>,
        now: UnixTime,
    ) -> Status {
        let mut best = Status::Unknown;
        for list in &self.lists {
            let status = list.status(subject.serial(), is_authority, issuer, &self.algorithms, now);
            best = match (status, best) {
                (Status::Revoked, _) => return Status::Revoked,
                (Status::Good, _) | (_, Status::Good) => Status::Good,
                (Status::Stale(one), Status::Stale(other)) => Status::Stale(one.max(other)),
                (Status::Stale(at), _) | (_, Status::Stale(at)) => Status::Stale(at),
                (Status::Unproven, _) | (_, Status::Unproven) => Status::Unproven,
                (Status::Unknown, _) => best,
            };
        }
        best
    }
}

impl ClientCertVerifier for WithRevocation {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let leaf = webpki::EndEntityCert::try_from(end_entity)
            .map_err(|_| CertificateError::BadEncoding)?;
        let outcome = leaf.verify_for_usage(
            self.algorithms.all,
            &self.roots.roots,
            intermediates,
            now,
            webpki::KeyUsage::client_auth(),
            None,
            Some(&|path| self.check_path(path, now)),
        );
        let Err(reason) = outcome else {
            return Ok(ClientCertVerified::assertion());
        };
        if let webpki::Error::CertRevoked = reason {
            return Err(CertificateError::Revoked.into());
        }
        if let webpki::Error::CrlExpired { time, next_update } = reason {
            return Err(CertificateError::ExpiredRevocationListContext { time, next_update }.into());
        }
        if let webpki::Error::UnknownRevocationStatus = reason {
            return Err(CertificateError::UnknownRevocationStatus.into());
        }
        // It is the chain; its errors are told best by who knows only chains.
        self.chain.verify_client_cert(end_entity, intermediates, now)?;
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
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
