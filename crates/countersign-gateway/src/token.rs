//! Keys that are not in files: opened by whoever runs the gateway, checked here.

use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::sign::SigningKey;

type Open =
    dyn Fn(&str, &CertificateDer<'static>) -> Result<Arc<dyn SigningKey>, String> + Send + Sync;

/// Opens the keys that a configuration names by `pkcs11:` URIs (RFC 7512). Cheap to clone.
#[derive(Clone)]
pub struct KeyOpener(Arc<Open>);

impl KeyOpener {
    /// `open` gets a URI and the certificate that the key is for. Its error is the end of a sentence
    /// without secrets.
    ///
    /// The key signs while a handshake waits, on a thread of the runtime: where that takes long it has to make
    /// room for other tasks, such as with `tokio::task::block_in_place`.
    pub fn new(
        open: impl Fn(&str, &CertificateDer<'static>) -> Result<Arc<dyn SigningKey>, String>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Arc::new(open))
    }

    /// The key, once it has shown that it is that of `certificate`.
    pub(crate) fn open(
        &self,
        uri: &str,
        certificate: &CertificateDer<'static>,
        provider: &CryptoProvider,
    ) -> Result<Arc<dyn SigningKey>, String> {
        let key = (self.0)(uri, certificate)?;
        prove(&*key, certificate, provider)?;
        Ok(key)
    }
}

impl fmt::Debug for KeyOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyOpener")
    }
}

/// Has `key` sign something that is not used for anything else.
fn prove(
    key: &dyn SigningKey,
    certificate: &CertificateDer<'_>,
    provider: &CryptoProvider,
) -> Result<(), String> {
    const MESSAGE: &[u8] = b"countersign gateway: is this the key of the certificate?";
    let algorithms = provider.signature_verification_algorithms.mapping;
    let schemes: Vec<SignatureScheme> = algorithms.iter().map(|(scheme, _)| *scheme).collect();
    let signer = key.choose_scheme(&schemes).ok_or("it is of no supported kind")?;
    let signature = signer.sign(MESSAGE).map_err(|error| format!("it does not sign: {error}"))?;
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|_| "the certificate cannot be read")?;
    let public = &parsed.public_key().subject_public_key.data;
    let scheme = signer.scheme();
    let verified = algorithms
        .iter()
        .filter(|(of, _)| *of == scheme)
        .flat_map(|(_, algorithms)| algorithms.iter())
        .any(|algorithm| algorithm.verify_signature(public, MESSAGE, &signature).is_ok());
    verified.then_some(()).ok_or_else(|| "it is not the key of the certificate".to_owned())
}
