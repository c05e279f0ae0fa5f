//! A chain of certificates to authenticate with, and whether it suits a request.

use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
};
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::{AuthenticatorRequest, Extension, ExtensionType, Offered, signing_schemes};

/// Certificates, end entity first, with the extensions that may accompany them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    extensions: Vec<Vec<Extension>>,
    issuers: Vec<Vec<u8>>,
    /// By which schemes each certificate counts as signed. A self-signed certificate is left empty:
    /// nobody checks its signature.
    signed_with: Vec<Option<Vec<SignatureScheme>>>,
}

/// A chain that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// There is no certificate.
    #[error("the chain has no certificate")]
    Empty,
    /// A certificate does not decode; the first has the number 1.
    #[error("certificate {0} of the chain does not decode")]
    BadCertificate(usize),
    /// A certificate is of an older version of X.509 than 3; the first has the number 1.
    #[error("certificate {0} of the chain is not of version 3 of X.509")]
    Version(usize),
    /// The key usage extension of the first certificate leaves digitalSignature out.
    #[error("the first certificate of the chain does not allow digital signatures")]
    KeyUsage,
    /// The private key belongs to another certificate.
    #[error("the private key does not belong to the first certificate of the chain")]
    KeyMismatch,
    /// The private key does not decode, or is of a kind that the provider does not know.
    #[error("the private key does not decode or is of an unknown kind")]
    UnknownKey,
    /// The key cannot sign with any scheme of TLS 1.3.
    #[error("the private key cannot sign with any signature scheme of TLS 1.3")]
    NoScheme,
}

/// Why a chain does not suit a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsuitable {
    /// The key can sign with none of the schemes in signature_algorithms.
    #[error("the key cannot sign with any of the offered signature schemes")]
    NoCommonScheme,
    /// A certificate is signed with an algorithm that was not offered.
    #[error("certificate {0} of the chain is signed with an algorithm that was not offered")]
    CertificateAlgorithm(usize),
    /// No certificate was issued by one of the named authorities.
    #[error("no certificate of the chain was issued by one of the named authorities")]
    Authority,
    /// The end-entity certificate does not meet a filter.
    #[error("the certificate does not meet the request's OID filters")]
    OidFilter,
}

impl Chain {
    /// Takes the certificates, end entity first.
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, ChainError> {
        let mut parsed = Vec::new();
        for (index, certificate) in certificates.iter().enumerate() {
            //= specs/exported-authenticators.md#section-5.2.1
            //# Certificates MUST be X.509 certificates.
            //= specs/exported-authenticators.md#section-5.2.1
            //# Other kinds of certificate such as raw public keys MUST NOT be used.
            let Ok(([], certificate)) = parse_x509_certificate(certificate) else {
                return Err(ChainError::BadCertificate(index + 1));
            };
            //= specs/exported-authenticators.md#section-5.2.1
            //# Certificates MUST be of version 3.
            if certificate.version() != X509Version::V3 {
                return Err(ChainError::Version(index + 1));
            }
            parsed.push(certificate);
        }
        let leaf = parsed.first().ok_or(ChainError::Empty)?;
        //= specs/exported-authenticators.md#section-5.2.1
        //# The chosen certificates MUST satisfy what the negotiated version of TLS asks of a
        //# Certificate message.
        if !may_sign(leaf) {
            return Err(ChainError::KeyUsage);
        }
        let issuers = parsed.iter().map(|one| one.issuer().as_raw().to_vec()).collect();
        let signed_with = parsed
            .iter()
            //= specs/exported-authenticators.md#section-5.2.1
            //# A self-signed certificate MAY be signed with any algorithm.
            .map(|one| (one.issuer() != one.subject()).then(|| schemes_of(one, &parsed)))
            .collect();
        let extensions = vec![Vec::new(); certificates.len()];
        Ok(Self { certificates, extensions, issuers, signed_with })
    }

    /// Attaches an extension to the certificate at `index`. It is sent only where it was asked for.
    pub fn with_extension(mut self, index: usize, extension: Extension) -> Self {
        if let Some(extensions) = self.extensions.get_mut(index) {
            extensions.retain(|other| other.typ != extension.typ);
            extensions.push(extension);
        }
        self
    }

    /// Attaches an OCSP response, in DER, to the end-entity certificate.
    pub fn with_ocsp(self, response: &[u8]) -> Self {
        let len = u32::try_from(response.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut body = vec![1];
        body.extend(len.into_iter().skip(1));
        body.extend_from_slice(response);
        self.with_extension(0, Extension { typ: ExtensionType::STATUS_REQUEST, body })
    }

    /// The certificates, end entity first. Never empty.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&CertificateDer<'static>, &[Extension])> {
        self.certificates.iter().zip(self.extensions.iter().map(Vec::as_slice))
    }

    /// The scheme to answer `request` with, of those in `schemes` that the key can sign with; the
    /// order of the request decides. An error says why the chain does not suit.
    pub fn choose_scheme(
        &self,
        request: &AuthenticatorRequest,
        schemes: &[SignatureScheme],
    ) -> Result<SignatureScheme, Unsuitable> {
        //= specs/client-certs.md#decisions-frames
        //# (ours) A client MUST ignore server_name in a server's request, as it ignores an
        //# extension that it does not recognise.
        let scheme = first_common(request.signature_algorithms(), schemes)?;
        //= specs/exported-authenticators.md#section-5.2.1
        //# The certificates MUST be valid for the algorithms in the peer's signature_algorithms and
        //# signature_algorithms_cert.
        self.check_algorithms(request.signature_algorithms_cert())?;
        //= specs/exported-authenticators.md#section-5.2.1
        //# The choice of a certificate SHOULD take account of certificate_authorities.
        let mut authorities = request.certificate_authorities();
        if authorities.len() > 0
            && !authorities.any(|name| self.issuers.iter().any(|issuer| issuer == name))
        {
            return Err(Unsuitable::Authority);
        }
        //= specs/exported-authenticators.md#section-5.2.1
        //# The choice of a certificate SHOULD take account of oid_filters.
        //= specs/exported-authenticators.md#section-5.2.1
        //# The end-entity certificate of a client MUST meet every oid_filters entry whose OID the
        //# client recognises.
        if !request.oid_filters().is_empty() && !self.meets_filters(request) {
            return Err(Unsuitable::OidFilter);
        }
        Ok(scheme)
    }

    /// The scheme to authenticate with where there is no request but a ClientHello.
    ///
    /// How the certificates may be signed is not known of a ClientHello with
    /// signature_algorithms_cert, so whoever chose the chain has seen to that.
    fn choose_spontaneous_scheme(
        &self,
        offered: &Offered,
        schemes: &[SignatureScheme],
    ) -> Result<SignatureScheme, Unsuitable> {
        let scheme = first_common(&offered.signature_algorithms, schemes)?;
        //= specs/exported-authenticators.md#section-5.2.1
        //# Without signature_algorithms_cert, signature_algorithms MUST govern the certificates'
        //# signatures too.
        if !offered.extensions.contains(&ExtensionType::SIGNATURE_ALGORITHMS_CERT) {
            self.check_algorithms(&offered.signature_algorithms)?;
        }
        Ok(scheme)
    }

    fn check_algorithms(&self, offered: &[SignatureScheme]) -> Result<(), Unsuitable> {
        let unsuitable = self.signed_with.iter().position(|signed_with| {
            signed_with
                .as_ref()
                .is_some_and(|schemes| !schemes.iter().any(|scheme| offered.contains(scheme)))
        });
        match unsuitable {
            Some(index) => Err(Unsuitable::CertificateAlgorithm(index + 1)),
            None => Ok(()),
        }
    }

    fn meets_filters(&self, request: &AuthenticatorRequest) -> bool {
        let Some(Ok((_, leaf))) =
            self.certificates.first().map(|leaf| parse_x509_certificate(leaf))
        else {
            return false;
        };
        request.oid_filters().iter().all(|filter| filter.is_met_by(&leaf))
    }
}

fn first_common(
    offered: &[SignatureScheme],
    schemes: &[SignatureScheme],
) -> Result<SignatureScheme, Unsuitable> {
    offered
        .iter()
        .copied()
        .find(|scheme| crate::is_tls13(*scheme) && schemes.contains(scheme))
        //= specs/exported-authenticators.md#section-5.2.2
        //# An authenticator MUST NOT be made when no signature scheme is available.
        .ok_or(Unsuitable::NoCommonScheme)
}

/// Whether the key may sign at all: with a key usage extension it needs the bit digitalSignature
/// (RFC 8446, section 4.4.2.2).
pub(crate) fn may_sign(leaf: &X509Certificate<'_>) -> bool {
    match leaf.key_usage() {
        Ok(Some(usage)) => usage.value.digital_signature(),
        Ok(None) => true,
        Err(_) => false,
    }
}

/// The schemes that the signature on `certificate` may be called by.
///
/// In TLS 1.3 an ECDSA scheme names a curve: where the issuer is at hand its curve counts, else any
/// curve with that hash does.
fn schemes_of(
    certificate: &X509Certificate<'_>,
    chain: &[X509Certificate<'_>],
) -> Vec<SignatureScheme> {
    use SignatureScheme as S;
    let algorithm = &certificate.signature_algorithm;
    match algorithm.algorithm.to_id_string().as_str() {
        "2.16.840.1.101.3.4.3.17" => return vec![S::ML_DSA_44],
        "2.16.840.1.101.3.4.3.18" => return vec![S::ML_DSA_65],
        "2.16.840.1.101.3.4.3.19" => return vec![S::ML_DSA_87],
        "1.2.840.10045.4.3.2" => return ecdsa(S::ECDSA_NISTP256_SHA256, certificate, chain),
        "1.2.840.10045.4.3.3" => return ecdsa(S::ECDSA_NISTP384_SHA384, certificate, chain),
        "1.2.840.10045.4.3.4" => return ecdsa(S::ECDSA_NISTP521_SHA512, certificate, chain),
        "1.3.101.112" => return vec![S::ED25519],
        "1.3.101.113" => return vec![S::ED448],
        "1.2.840.113549.1.1.5" => return vec![S::RSA_PKCS1_SHA1],
        "1.2.840.113549.1.1.11" => return vec![S::RSA_PKCS1_SHA256],
        "1.2.840.113549.1.1.12" => return vec![S::RSA_PKCS1_SHA384],
        "1.2.840.113549.1.1.13" => return vec![S::RSA_PKCS1_SHA512],
        _ => {}
    }
    match SignatureAlgorithm::try_from(algorithm) {
        Ok(SignatureAlgorithm::RSASSA_PSS(params)) => {
            match params.hash_algorithm_oid().to_id_string().as_str() {
                "2.16.840.1.101.3.4.2.1" => vec![S::RSA_PSS_SHA256],
                "2.16.840.1.101.3.4.2.2" => vec![S::RSA_PSS_SHA384],
                "2.16.840.1.101.3.4.2.3" => vec![S::RSA_PSS_SHA512],
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

fn ecdsa(
    by_hash: SignatureScheme,
    certificate: &X509Certificate<'_>,
    chain: &[X509Certificate<'_>],
) -> Vec<SignatureScheme> {
    let mut issuers =
        chain.iter().filter(|other| other.subject() == certificate.issuer()).peekable();
    let fits = issuers.peek().is_none()
        || issuers.any(|issuer| curve_scheme(issuer.public_key()) == Some(by_hash));
    if fits { vec![by_hash] } else { Vec::new() }
}

fn curve_scheme(key: &SubjectPublicKeyInfo<'_>) -> Option<SignatureScheme> {
    if key.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
        return None;
    }
    let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
    [
        (OID_EC_P256, SignatureScheme::ECDSA_NISTP256_SHA256),
        (OID_NIST_EC_P384, SignatureScheme::ECDSA_NISTP384_SHA384),
        (OID_NIST_EC_P521, SignatureScheme::ECDSA_NISTP521_SHA512),
    ]
    .into_iter()
    .find_map(|(oid, scheme)| (oid == curve).then_some(scheme))
}

/// A chain with the private key of its first certificate.
#[derive(Clone)]
pub struct Credential {
    chain: Chain,
    //= specs/exported-authenticators.md#section-7.3
    //# The signer MAY be a private key or an interface to one.
    key: Arc<dyn SigningKey>,
    schemes: Vec<SignatureScheme>,
}

impl Credential {
    /// Joins a chain and its key. Where the key tells its public half, the two are compared.
    pub fn new(chain: Chain, key: Arc<dyn SigningKey>) -> Result<Self, ChainError> {
        if let (Some(public), Some(leaf)) = (key.public_key(), chain.certificates.first()) {
            let (_, leaf) =
                X509Certificate::from_der(leaf).map_err(|_| ChainError::BadCertificate(1))?;
            //= specs/exported-authenticators.md#section-5.2.1
            //# The sender's certificate MUST be the first entry.
            if leaf.public_key().raw != public.as_ref() {
                return Err(ChainError::KeyMismatch);
            }
        }
        let schemes = signing_schemes(&*key);
        if schemes.is_empty() {
            return Err(ChainError::NoScheme);
        }
        Ok(Self { chain, key, schemes })
    }

    /// Loads a private key with `provider` and joins it with its certificates, end entity first.
    pub fn load(
        provider: &CryptoProvider,
        certificates: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, ChainError> {
        let chain = Chain::new(certificates)?;
        let key = provider.key_provider.load_private_key(key);
        Self::new(chain, key.map_err(|_| ChainError::UnknownKey)?)
    }

    /// Takes over a rustls key, its chain and its OCSP response.
    pub fn from_certified_key(key: &CertifiedKey) -> Result<Self, ChainError> {
        let chain = Chain::new(key.cert.clone())?;
        let chain = match &key.ocsp {
            Some(response) => chain.with_ocsp(response),
            None => chain,
        };
        Self::new(chain, Arc::clone(&key.key))
    }

    /// The certificates.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The private key.
    pub fn key(&self) -> &Arc<dyn SigningKey> {
        &self.key
    }

    /// The schemes of TLS 1.3 that the key can sign with. Never empty.
    pub fn schemes(&self) -> &[SignatureScheme] {
        &self.schemes
    }

    /// The scheme to authenticate with of one's own accord, where the ClientHello offered `offered`.
    pub fn choose_spontaneous_scheme(
        &self,
        offered: &Offered,
    ) -> Result<SignatureScheme, Unsuitable> {
        self.chain.choose_spontaneous_scheme(offered, &self.schemes)
    }

    /// Whether this credential can answer `request`, and with which scheme.
    pub fn choose_scheme(
        &self,
        request: &AuthenticatorRequest,
    ) -> Result<SignatureScheme, Unsuitable> {
        self.chain.choose_scheme(request, &self.schemes)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("certificates", &self.chain.certificates.len())
            .field("schemes", &self.schemes)
            .finish_non_exhaustive()
    }
}
