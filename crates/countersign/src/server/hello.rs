//! What a ClientHello offered. It binds what a server may say of its own accord later (RFC 9261,
//! section 5.2), and rustls shows it to nobody but whoever picks the certificate.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use exported_authenticator::Offered;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// One handshake, as far as secondary certificates are concerned.
#[derive(Clone)]
pub(crate) struct Hello {
    pub(crate) offered: Arc<Offered>,
    /// The certificate that the handshake was answered with.
    key: Option<Arc<CertifiedKey>>,
}

impl Hello {
    /// Its end entity.
    pub(crate) fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.key.as_ref()?.cert.first()
    }
}

/// Picks as another resolver does, and remembers.
pub(crate) struct Listening {
    inner: Arc<dyn ResolvesServerCert>,
    heard: Mutex<Option<Hello>>,
}

impl Listening {
    /// The configuration for a single handshake, and what will have been heard of it.
    pub(crate) fn on(tls: &rustls::ServerConfig) -> (rustls::ServerConfig, Arc<Self>) {
        let mut tls = tls.clone();
        let inner = Arc::clone(&tls.cert_resolver);
        let listening = Arc::new(Self { inner, heard: Mutex::new(None) });
        tls.cert_resolver = Arc::clone(&listening) as Arc<dyn ResolvesServerCert>;
        (tls, listening)
    }

    pub(crate) fn heard(&self) -> Option<Hello> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Listening {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls does not say which extensions there were, so none is taken for offered.
        //= specs/server-certs.md#decisions
        //# (ours) The server of this project MUST send its certificates without extensions.
        let offered = Offered {
            signature_algorithms: hello.signature_schemes().to_vec(),
            extensions: Vec::new(),
        };
        let key = self.inner.resolve(hello);
        let heard = Hello { offered: Arc::new(offered), key: key.clone() };
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(heard);
        key
    }

    fn only_raw_public_keys(&self) -> bool {
        self.inner.only_raw_public_keys()
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").finish_non_exhaustive()
    }
}
