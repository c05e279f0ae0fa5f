//! TLS and QUIC beneath: TLS 1.3 alone; clients offer one hash at a time, so that it is known.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::quic::Suite;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use crate::authenticator::Hash;
use crate::case::Version;

fn provider(hash: Hash) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = match hash {
        Hash::Sha256 => vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        Hash::Sha384 => vec![cipher_suite::TLS13_AES_256_GCM_SHA384],
    };
    Arc::new(provider)
}

/// A client's configuration; sessions are kept in it.
pub fn client(
    verifier: &Arc<dyn ServerCertVerifier>,
    hash: Hash,
    version: Version,
) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::builder_with_provider(provider(hash))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![version.alpn().into()];
    Ok(config)
}

/// A server's configuration, for one hash or for any.
pub fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    hash: Option<Hash>,
    version: Version,
) -> Result<ServerConfig, String> {
    let provider = match hash {
        Some(hash) => provider(hash),
        None => Arc::new(aws_lc_rs::default_provider()),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![version.alpn().into()];
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
