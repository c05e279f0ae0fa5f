//! The client's side of a connection, the same for all proxies but for how it proves its certificate.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use bytes::Bytes;
use countersign::client::{AuthConfig, Handshaker, Origin, StaticCredentials};
use exported_authenticator::Credential;
use h2::client::SendRequest;
use http::{Request, StatusCode};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite, ClientConfig, version};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::pki::{self, HOST};

/// How the client's certificate is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Proof {
    /// In the TLS handshake.
    Handshake,
    /// On the live connection, when the server asks.
    Authenticator,
}

/// Opens connections.
#[derive(Clone)]
pub(crate) struct Connector {
    handshaker: Handshaker,
    address: SocketAddr,
}

/// A live connection; dropping it closes it.
pub(crate) struct Connection {
    pub(crate) send: SendRequest<Bytes>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    pub(crate) fn is_open(&self) -> bool {
        !self.driver.is_finished()
    }
}

impl Connector {
    pub(crate) fn new(address: SocketAddr, proof: Proof, files: &Path) -> anyhow::Result<Self> {
        Self::showing(address, proof, files, "client")
    }

    /// With another identity.
    pub(crate) fn showing(
        address: SocketAddr,
        proof: Proof,
        files: &Path,
        identity: &str,
    ) -> anyhow::Result<Self> {
        let provider = Arc::new(provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13])?
            .with_root_certificates(pki::roots(files, "server")?);
        let (chain, key) = pki::identity(files, identity)?;
        let mut shown = StaticCredentials::new();
        let mut tls = match proof {
            Proof::Handshake => builder.with_client_auth_cert(chain, key)?,
            Proof::Authenticator => {
                let device = Credential::load(&provider, chain, key)?;
                shown = shown.identity(Origin::new(HOST, 443), device);
                builder.with_no_client_auth()
            }
        };
        tls.alpn_protocols = vec![b"h2".to_vec()];
        tls.resumption = Resumption::disabled();
        let limit = if proof == Proof::Authenticator { 4 } else { 0 };
        let rules = AuthConfig::builder(provider).resolver(Arc::new(shown)).limit(limit).build()?;
        Ok(Self { handshaker: Handshaker::new(Arc::new(tls), Arc::new(rules)), address })
    }

    /// A new connection whose first request was answered, so that the identity is there.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let connection = self.open().await?;
        get(&connection.send, "/1k").await.context("the first request")?;
        Ok(connection)
    }

    /// A new connection without a request.
    pub(crate) async fn open(&self) -> anyhow::Result<Connection> {
        let io = TcpStream::connect(self.address).await?;
        io.set_nodelay(true)?;
        let (stream, _) = self.handshaker.connect(io, Origin::new(HOST, 443)).await?;
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(1 << 20)
            .initial_connection_window_size(8 << 20)
            .handshake(stream)
            .await?;
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { send, driver })
    }
}

/// What all proxies agree on.
pub(crate) fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider
}

/// A GET that has to succeed, to the end of its body.
pub(crate) async fn get(send: &SendRequest<Bytes>, path: &str) -> anyhow::Result<()> {
    let (status, _) = exchange(send, path).await?;
    ensure!(status == 200, "status {status}");
    Ok(())
}

/// A GET that has to be refused because of the certificate that was proven.
pub(crate) async fn refused(send: &SendRequest<Bytes>, path: &str) -> anyhow::Result<()> {
    let (status, body) = exchange(send, path).await?;
    let problem = String::from_utf8_lossy(&body);
    ensure!(status == 403 && problem.contains("credential-untrusted"), "{status}: {problem}");
    Ok(())
}

/// A GET, and what came of it; the body only if it is none that was wished for.
pub(crate) async fn exchange(
    send: &SendRequest<Bytes>,
    path: &str,
) -> anyhow::Result<(StatusCode, Vec<u8>)> {
    let mut send = send.clone().ready().await?;
    let request = Request::get(format!("https://{HOST}{path}")).body(())?;
    let (response, _) = send.send_request(request, true)?;
    let response = response.await?;
    let status = response.status();
    let (mut body, mut whole) = (response.into_body(), Vec::new());
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        if status != StatusCode::OK {
            whole.extend_from_slice(&data);
        }
    }
    Ok((status, whole))
}
