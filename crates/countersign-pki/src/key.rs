//! The kinds of keys that authorities and leaves can have.

use rcgen::{KeyPair, RsaKeySize, SignatureAlgorithm};

/// A kind of key; an authority's kind also says what its signatures look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// ECDSA on P-256, signing with SHA-256.
    #[default]
    P256,
    /// ECDSA on P-384, signing with SHA-384.
    P384,
    /// ECDSA on P-521, signing with SHA-512.
    P521,
    /// Ed25519.
    Ed25519,
    /// RSA of 2048 bits; as an authority it signs with PKCS#1 v1.5 and SHA-256.
    Rsa2048,
    /// RSA of 3072 bits, otherwise the same.
    Rsa3072,
    /// RSA of 4096 bits, otherwise the same.
    Rsa4096,
    /// ML-DSA-44 (FIPS 204).
    MlDsa44,
    /// ML-DSA-65 (FIPS 204).
    MlDsa65,
    /// ML-DSA-87 (FIPS 204).
    MlDsa87,
}

impl KeyKind {
    /// Every kind, for tests that run over all of them.
    pub const ALL: [Self; 10] = [
        Self::P256,
        Self::P384,
        Self::P521,
        Self::Ed25519,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
    ];

    /// A fresh key of this kind.
    pub(crate) fn generate(self) -> Result<KeyPair, rcgen::Error> {
        match self.rsa_size() {
            Some(size) => KeyPair::generate_rsa_for(self.algorithm(), size),
            None => KeyPair::generate_for(self.algorithm()),
        }
    }

    fn rsa_size(self) -> Option<RsaKeySize> {
        match self {
            Self::Rsa2048 => Some(RsaKeySize::_2048),
            Self::Rsa3072 => Some(RsaKeySize::_3072),
            Self::Rsa4096 => Some(RsaKeySize::_4096),
            Self::P256
            | Self::P384
            | Self::P521
            | Self::Ed25519
            | Self::MlDsa44
            | Self::MlDsa65
            | Self::MlDsa87 => None,
        }
    }

    fn algorithm(self) -> &'static SignatureAlgorithm {
        match self {
            Self::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::P521 => &rcgen::PKCS_ECDSA_P521_SHA512,
            Self::Ed25519 => &rcgen::PKCS_ED25519,
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &rcgen::PKCS_RSA_SHA256,
            Self::MlDsa44 => &rcgen::PKCS_ML_DSA_44,
            Self::MlDsa65 => &rcgen::PKCS_ML_DSA_65,
            Self::MlDsa87 => &rcgen::PKCS_ML_DSA_87,
        }
    }
}
