//! The authenticator hash and HMAC, taken from rustls' provider (RFC 9261, section 5.1).

use std::fmt;

use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::crypto::tls13::{Hkdf, OkmBlock};
use rustls::crypto::{CryptoProvider, hmac};
use rustls::{CipherSuite, SupportedCipherSuite};

use crate::Unavailable;

/// The hash of the negotiated cipher suite, with its HMAC.
#[derive(Clone, Copy)]
pub struct AuthenticatorHash {
    hash: &'static dyn Hash,
    hkdf: &'static dyn Hkdf,
}

impl AuthenticatorHash {
    /// The hash of `suite`: that of the suite for TLS 1.3, that of the PRF for TLS 1.2.
    pub fn of_suite(
        suite: SupportedCipherSuite,
        provider: &CryptoProvider,
    ) -> Result<Self, Unavailable> {
        //= specs/exported-authenticators.md#section-5.1
        //# The authenticator hash MUST be the hash of the selected cipher suite on TLS 1.3 and that
        //# of the pseudorandom function on TLS 1.2.
        if let Some(tls13) = suite.tls13() {
            return Ok(Self { hash: tls13.common.hash_provider, hkdf: tls13.hkdf_provider });
        }
        match suite {
            //= specs/exported-authenticators.md#section-5.1
            //# Authenticators MUST NOT be used with a TLS 1.2 cipher suite that does without the
            //# TLS PRF.
            SupportedCipherSuite::Tls12(tls12) => {
                Self::of_algorithm(tls12.common.hash_provider.algorithm(), provider)
            }
            SupportedCipherSuite::Tls13(_) => Err(Unavailable::NoHash),
        }
    }

    /// The hash of the TLS 1.3 suite that has the number `suite`, if `provider` has that suite.
    pub fn of_suite_number(
        suite: CipherSuite,
        provider: &CryptoProvider,
    ) -> Result<Self, Unavailable> {
        let known = provider.cipher_suites.iter().find(|known| known.suite() == suite);
        Self::of_suite(*known.ok_or(Unavailable::NoHash)?, provider)
    }

    /// The hash named `algorithm`, if one of `provider`'s TLS 1.3 suites uses it.
    pub fn of_algorithm(
        algorithm: HashAlgorithm,
        provider: &CryptoProvider,
    ) -> Result<Self, Unavailable> {
        provider
            .cipher_suites
            .iter()
            .filter_map(SupportedCipherSuite::tls13)
            .find(|suite| suite.common.hash_provider.algorithm() == algorithm)
            .map(|suite| Self { hash: suite.common.hash_provider, hkdf: suite.hkdf_provider })
            //= specs/exported-authenticators.md#section-5.1
            //# Authenticators MUST NOT be used with a TLS 1.3 cipher suite that has no hash
            //# function.
            .ok_or(Unavailable::NoHash)
    }

    /// The length of its output in bytes: 32 or 48.
    pub fn output_len(&self) -> usize {
        self.hash.output_len()
    }

    /// Which hash it is.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.hash.algorithm()
    }

    pub(crate) fn start(&self) -> Box<dyn Context> {
        self.hash.start()
    }

    pub(crate) fn hash(&self, data: &[u8]) -> Output {
        self.hash.hash(data)
    }

    pub(crate) fn hmac(&self, key: &OkmBlock, message: &[u8]) -> hmac::Tag {
        self.hkdf.hmac_sign(key, message)
    }
}

impl fmt::Debug for AuthenticatorHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthenticatorHash({:?})", self.algorithm())
    }
}
