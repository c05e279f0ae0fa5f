//! TLS and QUIC beneath. Clients offer the cipher suites of one hash at a time, so that it is known.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::quic::Suite;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, KeyLogFile, ServerConfig, SupportedProtocolVersion};

use crate::authenticator::Hash;
use crate::case::Version;

/// The cipher suites that a connection may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suites {
    /// All of TLS 1.3 and of TLS 1.2, for servers.
    BothVersions,
    /// Those of TLS 1.3 with this hash.
    Of(Hash),
    /// All of TLS 1.3.
    Any,
    /// TLS 1.2 with SHA-256, and with the extended master secret, which rustls always has.
    Tls12,
    /// The same with SHA-384.
    Tls12Sha384,
}

impl Suites {
    fn versions(self) -> [&'static SupportedProtocolVersion; 1] {
        match self {
            // What a server has besides TLS 1.3.
            Self::BothVersions => [&TLS12],
            Self::Of(_) | Self::Any => [&TLS13],
            Self::Tls12 | Self::Tls12Sha384 => [&TLS12],
        }
    }
}

fn provider(suites: Suites) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = match suites {
        Suites::Any | Suites::BothVersions => return Arc::new(provider),
        Suites::Tls12 => vec![
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ],
        Suites::Tls12Sha384 => vec![
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ],
        Suites::Of(Hash::Sha256) => vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        Suites::Of(Hash::Sha384) => vec![cipher_suite::TLS13_AES_256_GCM_SHA384],
    };
    Arc::new(provider)
}

/// A client's configuration; sessions are kept in it.
pub fn client(
    verifier: &Arc<dyn ServerCertVerifier>,
    suites: Suites,
    version: Version,
) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::builder_with_provider(provider(suites))
        .with_protocol_versions(&suites.versions())
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![version.alpn().into()];
    // Writes to the file that SSLKEYLOGFILE names, if it does.
    config.key_log = Arc::new(KeyLogFile::new());
    Ok(config)
}

/// A server's configuration.
pub fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    suites: Suites,
    version: Version,
) -> Result<ServerConfig, String> {
    let both = [&TLS13, &TLS12];
    let one = suites.versions();
    let versions = if suites == Suites::BothVersions { &both[..] } else { &one };
    let mut config = ServerConfig::builder_with_provider(provider(suites))
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![version.alpn().into()];
    config.key_log = Arc::new(KeyLogFile::new());
    Ok(config)
}

/// The same for QUIC.
pub fn quic_client(config: ClientConfig) -> Result<quinn::ClientConfig, String> {
    let crypto = QuicClientConfig::with_initial(Arc::new(config), initial()?)
        .map_err(|error| error.to_string())?;
    Ok(quinn::ClientConfig::new(Arc::new(crypto)))
}

/// The same for QUIC.
pub fn quic_server(config: ServerConfig) -> Result<quinn::ServerConfig, String> {
    let crypto = QuicServerConfig::with_initial(Arc::new(config), initial()?)
        .map_err(|error| error.to_string())?;
    Ok(quinn::ServerConfig::with_crypto(Arc::new(crypto)))
}

/// What QUIC's first packets are protected with, whatever is negotiated later.
fn initial() -> Result<Suite, String> {
    cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(|suite| suite.quic_suite())
        .ok_or_else(|| "there is no cipher suite for QUIC".to_owned())
}
