//! Certificates and keys from files and tokens: what a client can present, and what it trusts.

mod pkcs11;
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

use self::pkcs11::TokenUri;
use crate::failure::{Exit, Failure};
use countersign_gateway::KeyOpener;

/// `CERT[,KEY]` on the command line: a PEM file with the chain, leaf first, and one with the key, which
/// may be the same file; a PKCS#12 file with both; or a `pkcs11:` URI, for the key or for both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdentityArg {
    Files { certificate: PathBuf, key: PathBuf },
    Token { certificate: Option<PathBuf>, uri: TokenUri },
}

impl FromStr for IdentityArg {
    type Err = String;

    /// A URI is looked into later: what is wrong here is repeated to the user with the PIN in it.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("name a certificate file, and a key file after a comma".to_owned());
        }
        if text.starts_with("pkcs11:") {
            return Ok(Self::Token { certificate: None, uri: TokenUri::new(text) });
        }
        // A URI may have a comma in it as well.
        if let Some((certificate, uri)) = text.split_once(",pkcs11:") {
            let uri = TokenUri::new(&format!("pkcs11:{uri}"));
            return Ok(Self::Token { certificate: Some(certificate.into()), uri });
        }
        let (certificate, key) = match text.split_once(',') {
            // A file's name may have a comma in it.
            Some(_) if Path::new(text).exists() => (text, text),
            Some((_, "")) => return Err("there is no key file after the comma".to_owned()),
            Some((certificate, key)) => (certificate, key),
            None => (text, text),
        };
        Ok(Self::Files { certificate: certificate.into(), key: key.into() })
    }
}

/// Something to present, in the two forms that the extension and the TLS handshake want it.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) credential: ClientCredential,
    /// None for a key in a token, which only the extension can use.
    pub(crate) certified_key: Option<Arc<CertifiedKey>>,
}

impl IdentityArg {
    /// Reads what is named and checks that files belong together. `passphrase` opens a PKCS#12 file.
    pub(crate) fn load(
        &self,
        passphrase: &str,
        provider: &CryptoProvider,
    ) -> Result<Identity, Failure> {
        match self {
            Self::Files { certificate, key } => load_files(certificate, key, passphrase, provider),
            Self::Token { certificate, uri } => {
                let chain = match certificate {
                    Some(path) => Some(certificates(path, &read(path)?)?),
                    None => None,
                };
                let credential = uri.load(chain).map_err(local)?;
                Ok(Identity { credential, certified_key: None })
            }
        }
    }
}

fn load_files(
    certificate: &Path,
    key: &Path,
    passphrase: &str,
    provider: &CryptoProvider,
) -> Result<Identity, Failure> {
    let is_one_file = key == certificate;
    let unusable = |reason: String| {
        let certificate = certificate.display();
        local(if is_one_file {
            format!("{certificate}: {reason}")
        } else {
            format!("{certificate} and {}: {reason}", key.display())
        })
    };
    let bytes = read(certificate)?;
    let (chain, key) = match bytes.first() {
        // What begins like this is no text but DER.
        Some(0x30) if is_one_file => pkcs12::read(&bytes, passphrase).map_err(unusable)?,
        _ => (certificates(certificate, &bytes)?, read_key(key, is_one_file)?),
    };
    identity(chain, key, provider).map_err(unusable)
}

/// Opens the gateway's keys that are in tokens.
pub(crate) fn opener() -> KeyOpener {
    KeyOpener::new(|uri, certificate| TokenUri::new(uri).signing_key(certificate))
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
    Ok(Identity { credential, certified_key: Some(certified_key) })
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

/// The chain in a PEM file, leaf first.
pub(crate) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    certificates(path, &read(path)?)
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
        let files = |certificate: &str, key: &str| {
            Ok(IdentityArg::Files { certificate: certificate.into(), key: key.into() })
        };
        let token = |certificate: Option<&str>, uri| {
            let certificate = certificate.map(PathBuf::from);
            Ok(IdentityArg::Token { certificate, uri: TokenUri::new(uri) })
        };
        assert_eq!(parse("a.pem,a.key"), files("a.pem", "a.key"));
        assert_eq!(parse("a.pem"), files("a.pem", "a.pem"));
        assert_eq!(parse("pkcs11:object=a,b"), token(None, "pkcs11:object=a,b"));
        assert_eq!(parse("a.pem,pkcs11:token=x"), token(Some("a.pem"), "pkcs11:token=x"));
        let secret = parse("pkcs11:token=x?pin-value=hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(parse("").is_err());
        assert!(parse("a.pem,").is_err());
    }
}
