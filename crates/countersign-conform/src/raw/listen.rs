//! Where peers that are servers come from.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::SupportedCipherSuite;
use rustls::crypto::hash::HashAlgorithm;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::Peer;
use crate::authenticator::{Hash, Secrets};
use crate::case::Version;
use crate::code_points::CodePoints;
use crate::tls::{self, Suites};

/// HKDF gives at most this many times the hash's length (RFC 5869, section 2.3).
const MOST_HASHES: usize = 255;

/// Accepts connections of one version.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    hellos: Arc<Hellos>,
    address: SocketAddr,
    points: CodePoints,
    patience: Duration,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener, Tls),
    Quic(quinn::Endpoint),
}

struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Chooses certificates as another does, and remembers what was offered.
#[derive(Debug)]
struct Hellos {
    resolver: Arc<dyn ResolvesServerCert>,
    /// signature_algorithms of the last ClientHello.
    offered: Mutex<Vec<u16>>,
}

impl ResolvesServerCert for Hellos {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offered = hello.signature_schemes().iter().map(|scheme| u16::from(*scheme)).collect();
        *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = offered;
        self.resolver.resolve(hello)
    }
}

impl Listener {
    /// Listens, with this chain and key for TLS.
    pub async fn bind(
        address: SocketAddr,
        version: Version,
        (chain, key): (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
        suites: Suites,
        points: CodePoints,
        patience: Duration,
    ) -> Result<Self, String> {
        let mut config = tls::server(chain, key, suites, version)?;
        let resolver = Arc::clone(&config.cert_resolver);
        let hellos = Arc::new(Hellos { resolver, offered: Mutex::default() });
        config.cert_resolver = hellos.clone();
        let failed = |error: std::io::Error| format!("{address}: {error}");
        let (socket, address) = match version {
            Version::Http2 => {
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let bound = listener.local_addr().map_err(failed)?;
                (Socket::Tcp(listener, Tls(TlsAcceptor::from(Arc::new(config)))), bound)
            }
            Version::Http3 => {
                let endpoint = quinn::Endpoint::server(tls::quic_server(config)?, address);
                let endpoint = endpoint.map_err(failed)?;
                let bound = endpoint.local_addr().map_err(failed)?;
                (Socket::Quic(endpoint), bound)
            }
        };
        Ok(Self { socket, hellos, address, points, patience })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection, whose handshake is not done yet.
    pub async fn accept(&self) -> Result<Arriving, String> {
        let incoming = match &self.socket {
            Socket::Tcp(listener, Tls(acceptor)) => {
                let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
                let _ = stream.set_nodelay(true);
                Incoming::Tcp(Box::new(acceptor.accept(stream)))
            }
            Socket::Quic(endpoint) => {
                let incoming = endpoint.accept().await.ok_or("the endpoint is closed")?;
                Incoming::Quic(Box::new(incoming.accept().map_err(|error| error.to_string())?))
            }
        };
        let hellos = Arc::clone(&self.hellos);
        Ok(Arriving { incoming, hellos, points: self.points, patience: self.patience })
    }
}

/// A connection whose handshake is not done yet.
pub struct Arriving {
    incoming: Incoming,
    hellos: Arc<Hellos>,
    points: CodePoints,
    patience: Duration,
}

impl std::fmt::Debug for Arriving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arriving").finish_non_exhaustive()
    }
}

enum Incoming {
    Tcp(Box<tokio_rustls::Accept<tokio::net::TcpStream>>),
    Quic(Box<quinn::Connecting>),
}

impl Arriving {
    /// Waits for the end of the handshake. Of connections whose handshakes overlap, what was offered may be mixed up.
    pub async fn handshake(self) -> Result<Peer, String> {
        let Self { incoming, hellos, points, patience } = self;
        let mut peer = Self::shake(incoming, points, patience).await?;
        peer.offered = hellos.offered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(peer)
    }

    async fn shake(
        incoming: Incoming,
        points: CodePoints,
        patience: Duration,
    ) -> Result<Peer, String> {
        match incoming {
            Incoming::Tcp(accept) => {
                let stream =
                    accept.await.map_err(|error| format!("the TLS handshake failed: {error}"))?;
                let (_, session) = stream.get_ref();
                if session.alpn_protocol() != Some(b"h2") {
                    return Err("the client does not offer HTTP/2".to_owned());
                }
                let hash = match session.negotiated_cipher_suite().ok_or("no cipher suite")? {
                    SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider.algorithm(),
                    SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider.algorithm(),
                };
                let hash = if hash == HashAlgorithm::SHA384 { Hash::Sha384 } else { Hash::Sha256 };
                let secrets = Secrets::export(hash, |value, label| {
                    session.export_keying_material(value, label, Some(&[])).map(|_| ())
                })
                .map_err(|error| error.to_string())?;
                Ok(Peer::over_tls(stream.into(), secrets, points, patience))
            }
            Incoming::Quic(connecting) => {
                let connection = connecting
                    .await
                    .map_err(|error| format!("the QUIC handshake failed: {error}"))?;
                let secrets = find(|value, label| {
                    connection.export_keying_material(value, label, &[]).is_ok()
                })?;
                Ok(Peer::over_quic(connection, secrets, points, patience))
            }
        }
    }
}

/// Exports with the hash of QUIC's cipher suite, which the exporter tells by how much it gives.
fn find(export: impl Fn(&mut [u8], &[u8]) -> bool) -> Result<Secrets, String> {
    let mut too_much_for_sha256 = vec![0; MOST_HASHES * 32 + 1];
    let hash = match export(&mut too_much_for_sha256, b"EXPORTER-countersign-conform-probe") {
        true => Hash::Sha384,
        false => Hash::Sha256,
    };
    let export =
        |value: &mut [u8], label: &[u8]| if export(value, label) { Ok(()) } else { Err(()) };
    Secrets::export(hash, export).map_err(|()| "the exporter failed".to_owned())
}
