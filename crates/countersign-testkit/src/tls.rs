//! rustls configurations for tests, and connections whose handshake has completed in memory.

use std::sync::{Arc, LazyLock};

use countersign_pki::{Issued, TestPki};
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::crypto::{CryptoProvider, SecureRandom};
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    SupportedCipherSuite, SupportedProtocolVersion,
};

/// One PKI for all tests of a process that need no particular one.
pub fn test_pki() -> &'static TestPki {
    static PKI: LazyLock<TestPki> = LazyLock::new(|| TestPki::generate().unwrap());
    &PKI
}

/// The protocol version and cipher suite that both sides shall agree on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Suite {
    /// TLS 1.3, TLS_AES_128_GCM_SHA256.
    #[default]
    Tls13Sha256,
    /// TLS 1.3, TLS_AES_256_GCM_SHA384.
    Tls13Sha384,
    /// TLS 1.2 with extended master secret (rustls always negotiates it with itself),
    /// TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256.
    Tls12Sha256,
    /// The same with TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384.
    Tls12Sha384,
}

impl Suite {
    /// Every one.
    pub const ALL: [Self; 4] =
        [Self::Tls13Sha256, Self::Tls13Sha384, Self::Tls12Sha256, Self::Tls12Sha384];

    fn cipher_suite(self) -> SupportedCipherSuite {
        match self {
            Self::Tls13Sha256 => cipher_suite::TLS13_AES_128_GCM_SHA256,
            Self::Tls13Sha384 => cipher_suite::TLS13_AES_256_GCM_SHA384,
            Self::Tls12Sha256 => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            Self::Tls12Sha384 => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        }
    }

    fn version(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::Tls13Sha256 | Self::Tls13Sha384 => &rustls::version::TLS13,
            Self::Tls12Sha256 | Self::Tls12Sha384 => &rustls::version::TLS12,
        }
    }
}

/// What the two configurations shall have in common, and what they shall not.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// Version and cipher suite.
    pub suite: Suite,
    /// ALPN on both sides, `h2` unless set otherwise.
    pub alpn: Vec<Vec<u8>>,
    /// The server's certificate and key.
    pub server: Issued,
    /// What the client trusts.
    pub server_ca: rustls::pki_types::CertificateDer<'static>,
    /// What the client shows in the handshake itself.
    pub client: Option<Issued>,
    /// Roots for a client certificate in the handshake, which the server then asks for but does not
    /// require.
    pub client_ca: Option<rustls::pki_types::CertificateDer<'static>>,
    /// Randomness for both sides' rustls; the system's unless set otherwise.
    pub random: Option<&'static dyn SecureRandom>,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self::from_pki(test_pki())
    }
}

impl TlsOptions {
    /// The server of `pki`, TLS 1.3 with SHA-256, ALPN `h2`, no client certificate in the handshake.
    pub fn from_pki(pki: &TestPki) -> Self {
        Self {
            suite: Suite::default(),
            alpn: vec![b"h2".to_vec()],
            server: pki.server.clone(),
            server_ca: pki.server_ca.clone(),
            client: None,
            client_ca: None,
            random: None,
        }
    }

    /// The same with another suite.
    pub fn suite(mut self, suite: Suite) -> Self {
        self.suite = suite;
        self
    }

    /// The same with other protocols in ALPN; none leaves it out.
    pub fn alpn<'a>(mut self, protocols: impl IntoIterator<Item = &'a str>) -> Self {
        self.alpn = protocols.into_iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// The cryptography of these options.
    pub fn provider(&self) -> Arc<CryptoProvider> {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites = vec![self.suite.cipher_suite()];
        if let Some(random) = self.random {
            provider.secure_random = random;
        }
        Arc::new(provider)
    }

    /// The server's side.
    pub fn server_config(&self) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(self.provider())
            .with_protocol_versions(&[self.suite.version()])
            .unwrap();
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots([ca]), self.provider())
                    .allow_unauthenticated()
                    .build()
                    .unwrap(),
            ),
        };
        let mut config = builder
            .with_single_cert(self.server.chain.clone(), self.server.key.clone_key())
            .unwrap();
        config.alpn_protocols.clone_from(&self.alpn);
        config
    }

    /// The client's side.
    pub fn client_config(&self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(self.provider())
            .with_protocol_versions(&[self.suite.version()])
            .unwrap()
            .with_root_certificates(roots([&self.server_ca]));
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                builder.with_client_auth_cert(client.chain.clone(), client.key.clone_key()).unwrap()
            }
        };
        config.alpn_protocols.clone_from(&self.alpn);
        config
    }
}

/// A store with these roots.
pub fn roots<'a>(
    roots: impl IntoIterator<Item = &'a rustls::pki_types::CertificateDer<'static>>,
) -> Arc<RootCertStore> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).unwrap();
    }
    Arc::new(store)
}

/// The two ends of a connection to `localhost` whose handshake has completed; nothing is in flight.
pub fn tls_pair(options: &TlsOptions) -> (ClientConnection, ServerConnection) {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(options.client_config()), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(options.server_config())).unwrap();
    while client.is_handshaking()
        || server.is_handshaking()
        || client.wants_write()
        || server.wants_write()
    {
        transfer(&mut client, &mut server);
        transfer(&mut server, &mut client);
    }
    (client, server)
}

/// Moves what `from` has to send over to `to`.
pub fn transfer<A, B>(
    from: &mut rustls::ConnectionCommon<A>,
    to: &mut rustls::ConnectionCommon<B>,
) {
    let mut records = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut records).unwrap();
    }
    let mut rest = records.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets().unwrap();
    }
}

#[cfg(test)]
mod tests {
    use rustls::ProtocolVersion;

    use super::*;

    #[test]
    fn pairs_agree_on_what_was_asked_for() {
        for suite in Suite::ALL {
            let (client, server) = tls_pair(&TlsOptions::default().suite(suite));
            let version = suite.version().version;
            assert_eq!(client.protocol_version(), Some(version));
            let agreed = server.negotiated_cipher_suite().unwrap().suite();
            assert_eq!(agreed, suite.cipher_suite().suite());
            assert_eq!(server.alpn_protocol(), Some(&b"h2"[..]));
            let export = |side: &rustls::CommonState| side.protocol_version();
            assert_eq!(export(&client), export(&server));
            let mut ours = [0; 32];
            let mut theirs = [0; 32];
            client.export_keying_material(&mut ours, b"EXPORTER-test", None).unwrap();
            server.export_keying_material(&mut theirs, b"EXPORTER-test", None).unwrap();
            assert_eq!(ours, theirs);
            assert!(version == ProtocolVersion::TLSv1_3 || version == ProtocolVersion::TLSv1_2);
        }
    }

    #[test]
    fn a_client_can_show_a_certificate_in_the_handshake() {
        let pki = test_pki();
        let options = TlsOptions {
            client: Some(pki.alice.clone()),
            client_ca: Some(pki.user_ca.clone()),
            ..TlsOptions::default()
        };
        let (_client, server) = tls_pair(&options);
        assert_eq!(server.peer_certificates(), Some(&pki.alice.chain[..]));
    }
}
