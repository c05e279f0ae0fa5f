//! quinn endpoints on loopback, from the configurations that TLS over TCP has too.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Endpoint, TransportConfig};
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::quic::Suite;

/// The protocol id of HTTP/3.
const ALPN: &[u8] = b"h3";

/// An endpoint that accepts HTTP/3 connections on a free port.
pub fn server(mut tls: rustls::ServerConfig, transport: TransportConfig) -> Endpoint {
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = QuicServerConfig::with_initial(Arc::new(tls), initial()).unwrap();
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    Endpoint::server(config, loopback()).unwrap()
}

/// An endpoint that opens connections with [`client_config`].
pub fn client() -> Endpoint {
    Endpoint::client(loopback()).unwrap()
}

/// For connections that offer HTTP/3.
pub fn client_config(
    mut tls: rustls::ClientConfig,
    transport: TransportConfig,
) -> quinn::ClientConfig {
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = QuicClientConfig::with_initial(Arc::new(tls), initial()).unwrap();
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    config
}

/// What QUIC's first packets are protected with, whatever is negotiated later.
fn initial() -> Suite {
    cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap().quic_suite().unwrap()
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}
