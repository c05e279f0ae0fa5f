//! The files that a configuration names: certificates, keys, trust anchors, revocation lists.
//!
//! Each is read once, when the configuration is; what is wrong with one is reported where the
//! configuration names it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use countersign_trust::{RevocationList, UnusableList};
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::sign::{CertifiedKey, SigningKey};

use super::diagnostic::Source;
use super::input::Input;
use super::table::At;

/// Reads the file that `name` names.
fn read(source: &Source<'_>, name: &At<&str>, what: &str) -> Option<(PathBuf, Vec<u8>)> {
    let path = source.folder().join(name.value);
    let content = std::fs::read(&path);
    source.names(Input::new(path.clone(), content.as_deref().ok()));
    match content {
        Ok(content) => Some((path, content)),
        Err(error) => {
            source.mistake(
                name.span.clone(),
                format!("the {what} `{}` cannot be read: {error}", path.display()),
                "paths are relative to the folder of the configuration".to_owned(),
            );
            None
        }
    }
}

fn certificates(
    source: &Source<'_>,
    name: &At<&str>,
    what: &str,
) -> Option<Vec<CertificateDer<'static>>> {
    let (path, content) = read(source, name, what)?;
    let parsed: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&content).collect();
    match parsed {
        Ok(certificates) if !certificates.is_empty() => Some(certificates),
        outcome => {
            source.mistake(
                name.span.clone(),
                match outcome {
                    Err(error) => format!("the {what} `{}` is not PEM: {error}", path.display()),
                    Ok(_) => format!("the {what} `{}` holds no certificate", path.display()),
                },
                "a PEM file with one or more blocks `-----BEGIN CERTIFICATE-----`".to_owned(),
            );
            None
        }
    }
}

/// The trust anchors of a credential.
pub(crate) fn trust(source: &Source<'_>, name: &At<&str>) -> Option<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates(source, name, "trust store")?.into_iter().enumerate() {
        if let Err(error) = roots.add(certificate) {
            source.mistake(
                name.span.clone(),
                format!("certificate {} of the trust store is no trust anchor: {error}", index + 1),
                "a PEM file of CA certificates".to_owned(),
            );
            return None;
        }
    }
    Some(Arc::new(roots))
}

/// The revocation lists of one configuration. Who names the same list shares it.
pub(crate) struct RevocationLists {
    known: HashMap<(String, Vec<u8>), Arc<RevocationList>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl RevocationLists {
    pub(crate) fn new(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { known: HashMap::new(), algorithms }
    }

    /// Reads a file with one or more lists.
    pub(crate) fn read(
        &mut self,
        source: &Source<'_>,
        name: &At<&str>,
    ) -> Option<Vec<Arc<RevocationList>>> {
        let (path, content) = read(source, name, "revocation list")?;
        // A DER list is a SEQUENCE.
        let (parsed, issuers) = if content.first() == Some(&0x30) {
            (Ok(vec![CertificateRevocationListDer::from(content)]), Ok(Vec::new()))
        } else {
            let lists = CertificateRevocationListDer::pem_slice_iter(&content).collect();
            let issuers = CertificateDer::pem_slice_iter(&content).collect::<Result<Vec<_>, _>>();
            (lists, issuers)
        };
        let parsed: Result<Vec<_>, pem::Error> = parsed;
        let parsed = issuers.and_then(|issuers| parsed.map(|lists| (lists, issuers)));
        let message = match parsed {
            Ok((lists, _)) if lists.is_empty() => {
                format!("the revocation list `{}` holds no list", path.display())
            }
            Ok((lists, issuers)) => {
                let load = |list| self.load(name.value, list).map_err(|error| error.to_string());
                let lists = lists.iter().map(load).collect::<Result<Vec<_>, _>>();
                let checked = lists.and_then(|lists| {
                    let check = |list: &Arc<RevocationList>| list.check_issuers(&issuers);
                    let checked = lists.iter().try_for_each(check);
                    checked.map(|()| lists).map_err(|error| error.to_string())
                });
                match checked {
                    Ok(lists) => return Some(lists),
                    Err(reason) => {
                        format!("the revocation list `{}` cannot be used: {reason}", path.display())
                    }
                }
            }
            Err(error) => format!("the revocation list `{}` is not PEM: {error}", path.display()),
        };
        source.mistake(
            name.span.clone(),
            message,
            "a PEM file with one or more blocks `-----BEGIN X509 CRL-----`, their issuers' certificates beside them if you like, or one list in DER"
                .to_owned(),
        );
        None
    }

    fn load(
        &mut self,
        file: &str,
        der: &CertificateRevocationListDer<'_>,
    ) -> Result<Arc<RevocationList>, UnusableList> {
        let digest = digest(&SHA256, der).as_ref().to_vec();
        match self.known.entry((file.to_owned(), digest)) {
            Entry::Occupied(known) => Ok(Arc::clone(known.get())),
            Entry::Vacant(new) => {
                let now = UnixTime::now();
                let list = RevocationList::new(file, der, self.algorithms, now)?;
                if list.is_stale(now) {
                    tracing::warn!(
                        list = file,
                        "the revocation list is past its nextUpdate: certificates that need it are refused"
                    );
                }
                Ok(Arc::clone(new.insert(Arc::new(list))))
            }
        }
    }
}

/// The server's certificate and key.
pub(crate) fn certified_key(
    source: &Source<'_>,
    certificate: &At<&str>,
    key: &At<&str>,
    provider: &CryptoProvider,
) -> Option<Arc<CertifiedKey>> {
    let chain = certificates(source, certificate, "certificate");
    if key.value.starts_with("pkcs11:") {
        let chain = chain?;
        let signer = token_key(source, key, chain.first()?, provider)?;
        return Some(Arc::new(CertifiedKey::new(chain, signer)));
    }
    let key_der = private_key(source, key);
    let (chain, key_der) = (chain?, key_der?);
    let signer = match provider.key_provider.load_private_key(key_der) {
        Ok(signer) => signer,
        Err(error) => {
            source.mistake(
                key.span.clone(),
                format!("the private key `{}` cannot be used: {error}", key.value),
                "an ECDSA, Ed25519, RSA or ML-DSA key in PEM".to_owned(),
            );
            return None;
        }
    };
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Some(Arc::new(certified))
        }
        Err(rustls::Error::InconsistentKeys(_)) => {
            source.mistake(
                key.span.clone(),
                format!(
                    "the key `{}` is not that of the certificate `{}`",
                    key.value, certificate.value
                ),
                "the key that the first certificate in the file was issued for".to_owned(),
            );
            None
        }
        Err(error) => {
            source.mistake(
                certificate.span.clone(),
                format!("the certificate `{}` cannot be used: {error}", certificate.value),
                "a PEM file with the server's certificate first, then its issuers".to_owned(),
            );
            None
        }
    }
}

/// A key in a token, by its `pkcs11:` URI.
fn token_key(
    source: &Source<'_>,
    name: &At<&str>,
    certificate: &CertificateDer<'static>,
    provider: &CryptoProvider,
) -> Option<Arc<dyn SigningKey>> {
    let opened = match source.opener() {
        Some(opener) => opener.open(name.value, certificate, provider),
        None => Err("this program does not open tokens".to_owned()),
    };
    match opened {
        Ok(key) => Some(key),
        Err(reason) => {
            // The PIN may stand behind it.
            let uri = name.value.split('?').next().unwrap_or_default();
            source.mistake(
                name.span.clone(),
                format!("the key `{uri}` cannot be used: {reason}"),
                "a `pkcs11:` URI of the certificate's key, in a token that is there; or the path of a PEM file".to_owned(),
            );
            None
        }
    }
}

fn private_key(source: &Source<'_>, name: &At<&str>) -> Option<PrivateKeyDer<'static>> {
    let (path, content) = read(source, name, "private key")?;
    let message = match PrivateKeyDer::from_pem_slice(&content) {
        Ok(key) => return Some(key),
        Err(pem::Error::NoItemsFound) => {
            format!("the file `{}` holds no private key", path.display())
        }
        Err(error) => format!("the private key `{}` is not PEM: {error}", path.display()),
    };
    source.mistake(
        name.span.clone(),
        message,
        "a PEM file with a block `-----BEGIN PRIVATE KEY-----`, not encrypted".to_owned(),
    );
    None
}
