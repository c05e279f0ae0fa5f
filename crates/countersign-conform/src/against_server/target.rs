//! The server under test, and connections to it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::visit::Visit;
use crate::authenticator::{Hash, Secrets};
use crate::case::{Done, Version, failed};
use crate::code_points::CodePoints;
use crate::identity::{Identity, Mint};
use crate::raw::Peer;
use crate::tls::{self, Suites};

/// What is known about the server.
#[derive(Debug)]
pub struct Target {
    /// Where it listens, for TCP and UDP.
    pub address: SocketAddr,
    /// Its name, for TLS.
    pub host: String,
    /// The authority of requests.
    pub authority: String,
    /// What judges the server's certificate.
    pub verifier: Arc<dyn ServerCertVerifier>,
    /// The numbers in use.
    pub points: CodePoints,
    /// How long to wait for anything.
    pub patience: Duration,
    /// A path that needs no credential.
    pub public: Option<String>,
    /// Paths that need one credential each.
    pub paths: Vec<String>,
    /// What the server accepts for the paths.
    pub identities: Vec<Identity>,
    /// What the server must not accept for the first path.
    pub rejected: Vec<Identity>,
    /// What makes identities that the server accepts for the first path.
    pub mint: Option<Mint>,
    /// Somebody whom the server does not trust.
    pub stranger: Identity,
}

impl Visit<'_> {
    /// A client whose handshake is done, and nothing else.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn connect(&self) -> Done<Peer> {
        self.connect_over(Suites::Of(Hash::Sha256)).await
    }

    /// The same with other cipher suites.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn connect_over(&self, suites: Suites) -> Done<Peer> {
        let hash = match suites {
            Suites::BothVersions => return failed("clients speak one version of TLS at a time"),
            Suites::Of(hash) => hash,
            Suites::Tls12 | Suites::Any => Hash::Sha256,
            Suites::Tls12Sha384 => Hash::Sha384,
        };
        self.connect_with(self.tls(suites)?, hash).await
    }

    /// What handshakes are made with.
    pub(super) fn tls(&self, suites: Suites) -> Done<Arc<ClientConfig>> {
        Ok(Arc::new(tls::client(&self.target.verifier, suites, self.version)?))
    }

    /// The same, with the number of handshakes in which the server had to show a certificate: those that resume no session.
    pub(super) fn tls_counted(&self, suites: Suites) -> Done<(Arc<ClientConfig>, Arc<Counting>)> {
        self.tls_watched(suites, None)
    }

    /// The same with a ClientHello that does not offer this signature scheme.
    pub(super) fn tls_without(&self, suites: Suites, scheme: u16) -> Done<Arc<ClientConfig>> {
        Ok(self.tls_watched(suites, Some(scheme.into()))?.0)
    }

    fn tls_watched(
        &self,
        suites: Suites,
        without: Option<SignatureScheme>,
    ) -> Done<(Arc<ClientConfig>, Arc<Counting>)> {
        let inner = Arc::clone(&self.target.verifier);
        let counting = Arc::new(Counting { inner, without, shown: AtomicUsize::new(0) });
        let verifier: Arc<dyn ServerCertVerifier> = Arc::<Counting>::clone(&counting);
        Ok((Arc::new(tls::client(&verifier, suites, self.version)?), counting))
    }

    /// The same with the memory of earlier connections in `config`.
    pub(super) async fn connect_with(&self, config: Arc<ClientConfig>, hash: Hash) -> Done<Peer> {
        let target = self.target;
        let connecting = async {
            match self.version {
                Version::Http2 => self.connect_tls(config, hash).await,
                Version::Http3 => self.connect_quic(config, hash).await,
            }
        };
        match timeout(target.patience, connecting).await {
            Ok(connected) => Ok(connected?),
            Err(_) => failed(format!("no connection within {:?}", target.patience)),
        }
    }

    async fn connect_tls(&self, config: Arc<ClientConfig>, hash: Hash) -> Result<Peer, String> {
        let target = self.target;
        let tcp = TcpStream::connect(target.address).await;
        let tcp = tcp.map_err(|error| format!("{}: {error}", target.address))?;
        let _ = tcp.set_nodelay(true);
        let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(config)
            .connect(name, tcp)
            .await
            .map_err(|error| format!("the TLS handshake failed: {error}"))?;
        let (_, session) = stream.get_ref();
        if session.alpn_protocol() != Some(b"h2") {
            return Err("the server does not speak HTTP/2".to_owned());
        }
        let secrets = Secrets::export(hash, |value, label| {
            session.export_keying_material(value, label, Some(&[])).map(|_| ())
        })
        .map_err(|error| error.to_string())?;
        Ok(Peer::over_tls(stream.into(), secrets, target.points, target.patience))
    }

    async fn connect_quic(&self, config: Arc<ClientConfig>, hash: Hash) -> Result<Peer, String> {
        let target = self.target;
        let local = match target.address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let endpoint = quinn::Endpoint::client(local).map_err(|error| error.to_string())?;
        let config = tls::quic_client(config.as_ref().clone())?;
        let connection = endpoint
            .connect_with(config, target.address, &target.host)
            .map_err(|error| error.to_string())?
            .await
            .map_err(|error| format!("the QUIC handshake failed: {error}"))?;
        let secrets = Secrets::export(hash, |value, label| {
            connection.export_keying_material(value, label, &[])
        })
        .map_err(|_| "QUIC's exporter failed".to_owned())?;
        Ok(Peer::over_quic(connection, secrets, target.points, target.patience))
    }
}

/// Counts the certificates that servers show. QUIC tells in no other way whether a session was resumed.
#[derive(Debug)]
pub(super) struct Counting {
    inner: Arc<dyn ServerCertVerifier>,
    /// A scheme that is not offered.
    without: Option<SignatureScheme>,
    shown: AtomicUsize,
}

impl Counting {
    /// How many certificates were shown.
    pub(super) fn shown(&self) -> usize {
        self.shown.load(Ordering::SeqCst)
    }
}

impl ServerCertVerifier for Counting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.shown.fetch_add(1, Ordering::SeqCst);
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.inner.supported_verify_schemes();
        schemes.retain(|scheme| Some(*scheme) != self.without);
        schemes
    }
}
