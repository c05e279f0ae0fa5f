//! A certificate with its chain and key, and their PEM form.

use pem::{EncodeConfig, LineEnding, Pem};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

/// A certificate's serial number, big-endian.
pub type Serial = Vec<u8>;

/// A leaf that was issued.
#[derive(Debug)]
pub struct Issued {
    /// The leaf, then the intermediates up to but without the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's private key (PKCS#8).
    pub key: PrivateKeyDer<'static>,
    /// The leaf's serial number.
    pub serial: Serial,
}

impl Clone for Issued {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key(), serial: self.serial.clone() }
    }
}

impl Issued {
    /// The chain as PEM, leaf first.
    pub fn pem(&self) -> String {
        self.chain.iter().map(|certificate| certificate_pem(certificate)).collect()
    }

    /// The private key as PEM.
    pub fn key_pem(&self) -> String {
        key_pem(&self.key)
    }
}

/// Several revocation lists in one PEM text.
pub fn crls_pem<'a>(
    crls: impl IntoIterator<Item = &'a CertificateRevocationListDer<'static>>,
) -> String {
    crls.into_iter().map(|crl| encode("X509 CRL", crl)).collect()
}

pub(crate) fn key_pem(key: &PrivateKeyDer<'_>) -> String {
    encode("PRIVATE KEY", key.secret_der())
}

pub(crate) fn certificate_pem(certificate: &[u8]) -> String {
    encode("CERTIFICATE", certificate)
}

fn encode(label: &str, der: &[u8]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), config)
}
