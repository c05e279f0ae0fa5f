//! Whose signature a list has.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::SignatureVerificationAlgorithm;

use crate::der::{inside, take};
use crate::revocation::Issuer;

/// A list as far as its signature goes.
pub(super) struct Signed<'a> {
    message: &'a [u8],
    /// What is inside the AlgorithmIdentifier.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// `None` also where the two AlgorithmIdentifiers differ (RFC 5280, section 5.1.1.2).
    pub(super) fn read(list: &'a [u8]) -> Option<Self> {
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
    pub(super) fn verify(&self, key: &[u8], algorithms: &WebPkiSupportedAlgorithms) -> bool {
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

/// Where a certificate says what its key is for, signing lists must be among it (RFC 5280, section 4.2.1.3).
pub(super) fn may_sign_lists(issuer: &Issuer<'_>) -> bool {
    let Some(certificate) = &issuer.certificate else { return true };
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return false;
    };
    match certificate.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.crl_sign()),
        Err(_) => false,
    }
}
