//! Signature schemes that TLS 1.3 allows in CertificateVerify (RFC 8446, section 4.2.3).

use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::SignatureVerificationAlgorithm;
use rustls::sign::SigningKey;

/// The schemes for CertificateVerify, strongest habits first: no PKCS#1 v1.5, no SHA-1.
//= specs/exported-authenticators.md#section-5.2.2
//# The scheme MUST be one that TLS 1.3 allows for signatures.
//= specs/exported-authenticators.md#section-5.2.2
//# An RSASSA-PKCS1-v1_5 scheme MUST NOT be used.
pub const TLS13_SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::ML_DSA_44,
    SignatureScheme::ML_DSA_65,
    SignatureScheme::ML_DSA_87,
    SignatureScheme::ED448,
];

/// Whether `scheme` may sign a CertificateVerify in TLS 1.3.
pub fn is_tls13(scheme: SignatureScheme) -> bool {
    TLS13_SCHEMES.contains(&scheme)
}

/// The schemes of TLS 1.3 that `algorithms` can verify, in the order of preference.
pub fn tls13_schemes_of(algorithms: &WebPkiSupportedAlgorithms) -> Vec<SignatureScheme> {
    let known = |scheme: &SignatureScheme| verification(algorithms, *scheme).is_some();
    TLS13_SCHEMES.iter().copied().filter(known).collect()
}

/// The schemes of TLS 1.3 that `key` can sign with.
pub fn signing_schemes(key: &dyn SigningKey) -> Vec<SignatureScheme> {
    TLS13_SCHEMES.iter().copied().filter(|scheme| key.choose_scheme(&[*scheme]).is_some()).collect()
}

/// The one algorithm that `scheme` means in TLS 1.3, where a scheme binds its curve.
///
/// rustls maps a scheme to several algorithms because TLS 1.2 leaves the curve open; the first is
/// the one of TLS 1.3.
pub(crate) fn verification(
    algorithms: &WebPkiSupportedAlgorithms,
    scheme: SignatureScheme,
) -> Option<&'static dyn SignatureVerificationAlgorithm> {
    if !is_tls13(scheme) {
        return None;
    }
    let (_, mapped) = algorithms.mapping.iter().find(|(known, _)| *known == scheme)?;
    //= specs/exported-authenticators.md#section-5.2.2
    //# A pair of ECDSA curve and hash that TLS 1.3 does not have MUST NOT be used.
    //= specs/exported-authenticators.md#decisions
    //# (ours) A signature scheme MUST bind the curve of its key.
    mapped.first().copied()
}
