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
        //= specs/exported-authenticators.md#decisions
        //# (ours) A chain that answers no request MUST be judged by signature_algorithms alone
        //# where the TLS library does not tell whether the ClientHello has
        //# signature_algorithms_cert.
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

#[cfg(test)]
mod tests {
    use countersign_testkit::TlsOptions;
    use countersign_testkit::pki::{Authority, KeyKind, Leaf};
    use countersign_testkit::tls::{roots, test_pki, transfer};
    use exported_authenticator::{Credential, Unsuitable};
    use rustls::crypto::CryptoProvider;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, ServerConnection, SignatureScheme};

    use super::*;

    /// What is heard of a client that offers `scheme` and nothing else.
    fn heard_of(scheme: SignatureScheme) -> Hello {
        let options = TlsOptions::default();
        let mut provider = CryptoProvider::clone(&options.provider());
        let algorithms = &mut provider.signature_verification_algorithms;
        let at = algorithms.mapping.iter().position(|(known, _)| *known == scheme).unwrap();
        algorithms.mapping = &algorithms.mapping[at..=at];
        let client = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots([&test_pki().server_ca]))
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut tls = options.server_config();
        tls.alpn_protocols.clear();
        let (tls, listening) = Listening::on(&tls);
        let mut server = ServerConnection::new(Arc::new(tls)).unwrap();
        transfer(&mut client, &mut server);
        listening.heard().unwrap()
    }

    #[test]
    fn a_chain_is_judged_by_the_one_list_that_is_heard_of() {
        //= specs/exported-authenticators.md#decisions
        //= type=test
        //# (ours) A chain that answers no request MUST be judged by signature_algorithms alone
        //# where the TLS library does not tell whether the ClientHello has
        //# signature_algorithms_cert.
        let p256 = SignatureScheme::ECDSA_NISTP256_SHA256;
        let heard = heard_of(p256);
        assert_eq!(heard.offered.signature_algorithms, [p256]);
        let other = Err(Unsuitable::CertificateAlgorithm(1));
        for (signed_by, expected) in [(KeyKind::P256, Ok(p256)), (KeyKind::P384, other)] {
            let authority = Authority::root("Servers", signed_by).unwrap();
            let leaf = Leaf::server("further").dns("further.test").key(KeyKind::P256);
            let issued = authority.issue(&leaf).unwrap();
            let provider = TlsOptions::default().provider();
            let credential = Credential::load(&provider, issued.chain, issued.key).unwrap();
            assert_eq!(credential.choose_spontaneous_scheme(&heard.offered), expected);
        }
    }
}
