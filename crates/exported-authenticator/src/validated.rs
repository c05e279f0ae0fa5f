//! What a valid authenticator proves, and what it proves once a verifier accepted the chain.

use std::fmt;

use rustls::SignatureScheme;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use x509_parser::parse_x509_certificate;

use crate::certificate::Entry;
use crate::chain::may_sign;
use crate::codec::Reader;
use crate::{Extension, ExtensionType};

/// The peer has proven, on this connection, that it holds the key of the first certificate.
///
/// Nothing is said of whether the chain can be trusted. Only validation makes values of this type.
///
/// ```compile_fail,E0451
/// fn forge(chain: Vec<rustls::pki_types::CertificateDer<'static>>) -> exported_authenticator::Proven {
///     exported_authenticator::Proven {
///         context: Vec::new(),
///         chain,
///         extensions: Vec::new(),
///         scheme: rustls::SignatureScheme::ED25519,
///     }
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
//= specs/exported-authenticators.md#decisions
//# (ours) A proof of possession and an accepted chain MUST be two types, neither of which can be
//# made outside of the crate.
pub struct Proven {
    context: Vec<u8>,
    chain: Vec<CertificateDer<'static>>,
    extensions: Vec<Vec<Extension>>,
    scheme: SignatureScheme,
}

impl Proven {
    pub(crate) fn new(context: &[u8], entries: Vec<Entry>, scheme: SignatureScheme) -> Self {
        let (chain, extensions) =
            entries.into_iter().map(|entry| (entry.certificate, entry.extensions)).unzip();
        Self { context: context.to_vec(), chain, extensions, scheme }
    }

    /// The certificate_request_context that was answered.
    pub fn context(&self) -> &[u8] {
        &self.context
    }

    /// The certificates, end entity first. Never empty.
    //= specs/exported-authenticators.md#section-7.4
    //# The interface MUST return the identity, such as the chain with its extensions, when
    //# validation succeeds.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The extensions of the certificate at `index`.
    pub fn extensions(&self, index: usize) -> &[Extension] {
        self.extensions.get(index).map(Vec::as_slice).unwrap_or_default()
    }

    /// The OCSP response that came with the first certificate, in DER, not verified; empty if there was none.
    pub fn ocsp_response(&self) -> &[u8] {
        self.extensions(0)
            .iter()
            .find(|extension| extension.typ == ExtensionType::STATUS_REQUEST)
            .and_then(|extension| ocsp_response(&extension.body))
            .unwrap_or_default()
    }

    /// The scheme that the possession was proven with.
    pub fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// Asks `verifier` whether the chain is acceptable for a client at the time `now`.
    ///
    /// Trust, extended key usage and revocation are the verifier's business.
    pub fn verify_client(
        self,
        verifier: &dyn ClientCertVerifier,
        now: UnixTime,
    ) -> Result<Verified, ChainRejected> {
        self.verify(|leaf, rest| verifier.verify_client_cert(leaf, rest, now).map(drop))
    }

    /// Asks `verifier` whether the chain is acceptable for the server `name` at the time `now`.
    pub fn verify_server(
        self,
        verifier: &dyn ServerCertVerifier,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<Verified, ChainRejected> {
        let ocsp = self.ocsp_response().to_vec();
        self.verify(|leaf, rest| {
            verifier.verify_server_cert(leaf, rest, name, &ocsp, now).map(drop)
        })
    }

    //= specs/exported-authenticators.md#section-7
    //# An implementation MAY shape these interfaces otherwise.
    fn verify(
        self,
        accept: impl FnOnce(
            &CertificateDer<'static>,
            &[CertificateDer<'static>],
        ) -> Result<(), rustls::Error>,
    ) -> Result<Verified, ChainRejected> {
        //= specs/exported-authenticators.md#section-7.4
        //# The interface MUST report whether the authenticator is valid after that function has
        //# judged its chain.
        let verdict = match self.chain.split_first() {
            //= specs/exported-authenticators.md#decisions
            //# (ours) A certificate whose key usage leaves out digitalSignature MUST NOT be accepted.
            Some((leaf, _)) if !is_for_signatures(leaf) => {
                Err(rustls::CertificateError::InvalidPurpose.into())
            }
            Some((leaf, intermediates)) => accept(leaf, intermediates),
            None => Err(rustls::Error::NoCertificatesPresented),
        };
        match verdict {
            Ok(()) => Ok(Verified(self)),
            Err(reason) => Err(ChainRejected { reason, proven: Box::new(self) }),
        }
    }
}

/// Whether the certificate lets its key sign (RFC 8446, section 4.4.2.2), of which verifiers know nothing. One that
/// does not decode is theirs to judge.
fn is_for_signatures(leaf: &CertificateDer<'_>) -> bool {
    parse_x509_certificate(leaf).map_or(true, |(_, leaf)| may_sign(&leaf))
}

/// The response in a CertificateStatus of type ocsp (RFC 6066, section 8).
fn ocsp_response(body: &[u8]) -> Option<&[u8]> {
    match body {
        [1, rest @ ..] => {
            let mut reader = Reader::new(rest);
            let response = reader.vec24("OCSP response").ok()?;
            reader.is_empty().then_some(response)
        }
        _ => None,
    }
}

impl fmt::Debug for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proven")
            .field("certificates", &self.chain.len())
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

/// The peer holds the key, and a verifier has accepted the chain.
///
/// Only [`Proven::verify_client`] and [`Proven::verify_server`] make values of this type.
///
/// ```compile_fail,E0423
/// fn accept(proven: exported_authenticator::Proven) -> exported_authenticator::Verified {
///     exported_authenticator::Verified(proven)
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Verified(Proven);

impl Verified {
    /// What was proven.
    pub fn proven(&self) -> &Proven {
        &self.0
    }

    /// The certificates, end entity first. Never empty.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        self.0.chain()
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verified").field(&self.0).finish()
    }
}

/// The verifier did not accept the chain. The possession is proven all the same.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the certificate chain was not accepted: {reason}")]
pub struct ChainRejected {
    /// The verifier's own word.
    pub reason: rustls::Error,
    /// What was proven, to be reported or tried with another verifier.
    pub proven: Box<Proven>,
}

#[cfg(test)]
mod tests {
    use countersign_pki::{Authority, KeyKind, KeyUsage, Leaf};

    use super::*;

    #[test]
    fn a_key_that_is_not_for_signatures_is_not_accepted() {
        //= specs/exported-authenticators.md#decisions
        //= type=test
        //# (ours) A certificate whose key usage leaves out digitalSignature MUST NOT be accepted.
        let authority = Authority::root("Users", KeyKind::P256).unwrap();
        let proven = |usages: Vec<KeyUsage>| {
            let issued = authority.issue(&Leaf::client("alice").key_usages(usages)).unwrap();
            let entry = |certificate| Entry { certificate, extensions: Vec::new() };
            let entries = issued.chain.into_iter().map(entry).collect();
            Proven::new(b"", entries, SignatureScheme::ECDSA_NISTP256_SHA256)
        };
        proven(vec![]).verify(|_, _| Ok(())).unwrap();
        proven(vec![KeyUsage::DigitalSignature, KeyUsage::KeyAgreement])
            .verify(|_, _| Ok(()))
            .unwrap();
        let refused = proven(vec![KeyUsage::KeyAgreement]).verify(|_, _| Ok(())).unwrap_err();
        let reason = rustls::CertificateError::InvalidPurpose.into();
        assert_eq!(refused.reason, reason);
    }
}
