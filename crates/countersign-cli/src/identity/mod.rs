//! Certificates and keys from files: what a client can present, and what it trusts.

mod pkcs12;

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use countersign::client::ClientCredential;
use countersign::{Chain, Credential};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::failure::{Exit, Failure};

/// `CERT[,KEY]` on the command line: a PEM file with the chain, leaf first, and one with the key, which
/// may be the same file; or a PKCS#12 file with both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdentityArg {
    certificate: PathBuf,
    key: PathBuf,
}

impl FromStr for IdentityArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("name a certificate file, and a key file after a comma".to_owned());
        }
        if text.split(',').any(|part| part.starts_with("pkcs11:")) {
            return Err("keys in PKCS#11 tokens are not supported yet; name PEM or PKCS#12 files"
                .to_owned());
        }
        let (certificate, key) = match text.split_once(',') {
            // A file's name may have a comma in it.
            Some(_) if Path::new(text).exists() => (text, text),
            Some((_, "")) => return Err("there is no key file after the comma".to_owned()),
            Some((certificate, key)) => (certificate, key),
            None => (text, text),
        };
        Ok(Self { certificate: certificate.into(), key: key.into() })
    }
}

/// Something to present, in the two forms that the extension and the TLS handshake want it.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) credential: ClientCredential,
    pub(crate) certified_key: Arc<CertifiedKey>,
}

impl IdentityArg {
    /// Reads both files and checks that they belong together. `passphrase` opens a PKCS#12 file.
    pub(crate) fn load(
        &self,
        passphrase: &str,
        provider: &CryptoProvider,
    ) -> Result<Identity, Failure> {
        let unusable = |reason: String| {
            let certificate = self.certificate.display();
            local(if self.is_one_file() {
                format!("{certificate}: {reason}")
            } else {
                format!("{certificate} and {}: {reason}", self.key.display())
            })
        };
        let bytes = read(&self.certificate)?;
        let (chain, key) = match bytes.first() {
            // What begins like this is no text but DER.
            Some(0x30) if self.is_one_file() => {
                pkcs12::read(&bytes, passphrase).map_err(unusable)?
            }
            _ => {
                (certificates(&self.certificate, &bytes)?, read_key(&self.key, self.is_one_file())?)
            }
        };
        identity(chain, key, provider).map_err(unusable)
    }

    fn is_one_file(&self) -> bool {
        self.key == self.certificate
    }
}

/// Joins a chain and a key; the error is the end of a sentence.
pub(crate) fn identity(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<Identity, String> {
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| format!("the key is of no supported kind ({error})"))?;
    let certified_key = Arc::new(CertifiedKey::new(chain.clone(), Arc::clone(&key)));
    let chain = Chain::new(chain).map_err(|error| error.to_string())?;
    let credential = Credential::new(chain, key).map_err(|error| error.to_string())?.into();
    Ok(Identity { credential, certified_key })
}

/// The roots in a PEM file.
pub(crate) fn read_roots(path: &Path) -> Result<RootCertStore, Failure> {
    let failed = |reason: String| {
        Failure::new(Exit::CaFile, format!("--cacert {}: {reason}", path.display()))
    };
    let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| failed(pem_reason(&error)))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failed("there is no PEM certificate in it".to_owned()));
    }
    Ok(roots)
}

fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let certificates = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| local(format!("{}: {}", path.display(), pem_reason(&error))))?;
    if certificates.is_empty() {
        return Err(local(format!("{}: there is no PEM certificate in it", path.display())));
    }
    Ok(certificates)
}

fn read_key(path: &Path, with_certificate: bool) -> Result<PrivateKeyDer<'static>, Failure> {
    let bytes = read(path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let path = path.display();
        // The label alone, never a line of the file: it may be a key.
        let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
        local(if bytes.windows(encrypted.len()).any(|window| window == encrypted) {
            format!(
                "{path}: the private key is encrypted; decrypt it with \
                 \"openssl pkcs8 -in {path} -out plain.key\""
            )
        } else if matches!(error, pem::Error::NoItemsFound) && with_certificate {
            format!("{path}: there is no private key in it; name its file after a comma")
        } else if matches!(error, pem::Error::NoItemsFound) {
            format!("{path}: there is no PEM private key in it")
        } else {
            format!("{path}: {}", pem_reason(&error))
        })
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| local(format!("{}: {error}", path.display())))
}

/// Says what is wrong with a PEM file without repeating any of it.
#[expect(clippy::wildcard_enum_match_arm, reason = "more reasons may come")]
fn pem_reason(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a PEM section has no end line",
        pem::Error::IllegalSectionStart { .. } => "a PEM section begins with a wrong line",
        pem::Error::Base64Decode(_) => "a PEM section is not Base64",
        pem::Error::NoItemsFound => "nothing of use is in it",
        _ => "it cannot be read as PEM",
    }
    .to_owned()
}

fn local(message: String) -> Failure {
    Failure::new(Exit::LocalCertificate, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_and_key_are_split_at_the_comma() {
        let parse = |text: &str| text.parse::<IdentityArg>();
        let both = parse("a.pem,a.key").unwrap();
        assert_eq!((both.certificate, both.key), ("a.pem".into(), "a.key".into()));
        let one = parse("a.pem").unwrap();
        assert_eq!(one.certificate, one.key);
        assert!(parse("").is_err());
        assert!(parse("a.pem,").is_err());
        assert!(parse("a.pem,pkcs11:token=x").unwrap_err().contains("not supported yet"));
    }
}
