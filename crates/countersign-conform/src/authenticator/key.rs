//! Keys that sign, and signature schemes (RFC 8446, section 4.2.3).

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, PqdsaKeyPair, PqdsaSigningAlgorithm,
    RsaEncoding, RsaKeyPair, VerificationAlgorithm,
};
use countersign_pki::KeyKind;

/// A scheme with its name and what verifies it.
#[derive(Clone, Copy)]
pub struct Scheme {
    /// The number on the wire.
    pub number: u16,
    /// The name in the registry.
    pub name: &'static str,
    /// Whether TLS 1.3 allows it for signatures.
    pub allowed: bool,
    pub(crate) verification: &'static dyn VerificationAlgorithm,
}

impl fmt::Debug for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const fn scheme(
    number: u16,
    name: &'static str,
    verification: &'static dyn VerificationAlgorithm,
) -> Scheme {
    Scheme { number, name, allowed: true, verification }
}

/// All that the tool can sign with and verify.
pub const SCHEMES: [Scheme; 11] = [
    scheme(0x0403, "ecdsa_secp256r1_sha256", &signature::ECDSA_P256_SHA256_ASN1),
    scheme(0x0503, "ecdsa_secp384r1_sha384", &signature::ECDSA_P384_SHA384_ASN1),
    scheme(0x0603, "ecdsa_secp521r1_sha512", &signature::ECDSA_P521_SHA512_ASN1),
    scheme(0x0807, "ed25519", &signature::ED25519),
    scheme(0x0804, "rsa_pss_rsae_sha256", &signature::RSA_PSS_2048_8192_SHA256),
    scheme(0x0805, "rsa_pss_rsae_sha384", &signature::RSA_PSS_2048_8192_SHA384),
    scheme(0x0806, "rsa_pss_rsae_sha512", &signature::RSA_PSS_2048_8192_SHA512),
    scheme(0x0904, "mldsa44", &signature::ML_DSA_44),
    scheme(0x0905, "mldsa65", &signature::ML_DSA_65),
    scheme(0x0906, "mldsa87", &signature::ML_DSA_87),
    Scheme {
        number: 0x0401,
        name: "rsa_pkcs1_sha256",
        allowed: false,
        verification: &signature::RSA_PKCS1_2048_8192_SHA256,
    },
];

/// The name of a scheme, or its number.
pub fn scheme_name(number: u16) -> String {
    let known = SCHEMES.iter().find(|scheme| scheme.number == number);
    known.map_or_else(|| format!("{number:#06x}"), |scheme| scheme.name.to_owned())
}

/// A private key.
pub enum Key {
    /// ECDSA, with the one scheme of its curve.
    Ecdsa(EcdsaKeyPair, u16),
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
    /// RSA.
    Rsa(RsaKeyPair),
    /// ML-DSA, with the one scheme of its size.
    MlDsa(PqdsaKeyPair, u16),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// Reads PKCS#8, whatever kind of key it is.
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let curves: [(&'static EcdsaSigningAlgorithm, u16); 3] = [
            (&signature::ECDSA_P256_SHA256_ASN1_SIGNING, 0x0403),
            (&signature::ECDSA_P384_SHA384_ASN1_SIGNING, 0x0503),
            (&signature::ECDSA_P521_SHA512_ASN1_SIGNING, 0x0603),
        ];
        for (algorithm, scheme) in curves {
            if let Ok(key) = EcdsaKeyPair::from_pkcs8(algorithm, der) {
                return Some(Self::Ecdsa(key, scheme));
            }
        }
        let sizes: [(&'static PqdsaSigningAlgorithm, u16); 3] = [
            (&signature::ML_DSA_44_SIGNING, 0x0904),
            (&signature::ML_DSA_65_SIGNING, 0x0905),
            (&signature::ML_DSA_87_SIGNING, 0x0906),
        ];
        for (algorithm, scheme) in sizes {
            if let Ok(key) = PqdsaKeyPair::from_pkcs8(algorithm, der) {
                return Some(Self::MlDsa(key, scheme));
            }
        }
        if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Some(Self::Ed25519(key));
        }
        RsaKeyPair::from_pkcs8(der).ok().map(Self::Rsa)
    }

    /// A P-521 key that signs with SHA-384, which TLS 1.3 has no scheme for; it goes by the name of P-384's.
    pub fn p521_with_sha384(der: &[u8]) -> Option<Self> {
        let key = EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P521_SHA384_ASN1_SIGNING, der);
        Some(Self::Ecdsa(key.ok()?, 0x0503))
    }

    /// The schemes that TLS 1.3 allows this key.
    pub fn schemes(&self) -> &[u16] {
        match self {
            Self::Ecdsa(_, scheme) | Self::MlDsa(_, scheme) => std::slice::from_ref(scheme),
            Self::Ed25519(_) => &[0x0807],
            Self::Rsa(_) => &[0x0804, 0x0805, 0x0806],
        }
    }

    /// PKCS#8 of an ECDSA key.
    pub fn ecdsa_to_pkcs8(&self) -> Option<Vec<u8>> {
        let Self::Ecdsa(key, _) = self else { return None };
        Some(key.to_pkcs8v1().ok()?.as_ref().to_vec())
    }

    /// What is generated to have a key of the same kind.
    pub fn kind(&self) -> KeyKind {
        match self.schemes() {
            [0x0403] => KeyKind::P256,
            [0x0503] => KeyKind::P384,
            [0x0603] => KeyKind::P521,
            [0x0904] => KeyKind::MlDsa44,
            [0x0905] => KeyKind::MlDsa65,
            [0x0906] => KeyKind::MlDsa87,
            [0x0807] => KeyKind::Ed25519,
            _ => KeyKind::Rsa2048,
        }
    }

    /// Signs; the scheme matters for RSA only, which can also do what TLS 1.3 forbids.
    pub fn sign(&self, scheme: u16, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        Some(match self {
            Self::Ecdsa(key, _) => key.sign(&random, message).ok()?.as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let encoding: &'static dyn RsaEncoding = match scheme {
                    0x0401 => &signature::RSA_PKCS1_SHA256,
                    0x0805 => &signature::RSA_PSS_SHA384,
                    0x0806 => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PSS_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(encoding, &random, message, &mut signature).ok()?;
                signature
            }
            Self::MlDsa(key, _) => {
                let mut signature = vec![0; key.algorithm().signature_len()];
                let length = key.sign(message, &mut signature).ok()?;
                signature.truncate(length);
                signature
            }
        })
    }
}
