//! A hyper client that decides for each challenge what to show, and tells what it was asked.
//!
//! `cargo run -p countersign --example hyper_client` makes a PKI and a server to talk to.

use std::error::Error;
use std::sync::Arc;

use countersign::client::{self, ClientCredential, CredentialResolver, Handshaker, Origin};
use countersign::server::{self, Acceptor, CredentialKind};
use countersign::{AuthenticatorRequest, BoxFuture, Credential};
use countersign_pki::TestPki;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore, ServerConfig, server::WebPkiClientVerifier};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Shows its one certificate to whoever asks for its issuer. It could ask a person first.
struct Wallet(Arc<ClientCredential>);

impl CredentialResolver for Wallet {
    fn resolve<'a>(
        &'a self,
        origin: &'a Origin,
        request: &'a AuthenticatorRequest,
    ) -> BoxFuture<'a, client::Resolution> {
        Box::pin(async move {
            println!(
                "{origin} asks for one of {} issuers",
                request.certificate_authorities().len()
            );
            match self.0.suits(request) {
                Ok(()) => client::Resolution::Present(self.0.clone()),
                Err(reason) => client::Resolution::Decline(reason.to_string().into()),
            }
        })
    }
}

/// A hyper server that asks for a device certificate and answers once it has been proven.
async fn serve(pki: TestPki, tcp: tokio::net::TcpListener) -> Result<()> {
    let mut tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(pki.server.chain.clone(), pki.server.key.clone_key())?;
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let verifier = WebPkiClientVerifier::builder(roots(&pki.device_ca)?).build()?;
    let auth = server::AuthConfig::builder(Arc::new(default_provider()))
        .credential(CredentialKind::new("device", verifier))
        .build()?;
    let acceptor = Acceptor::new(Arc::new(tls), Arc::new(auth));
    let (stream, handle) = acceptor.accept(tcp.accept().await?.0).await?;
    let answer = hyper::service::service_fn(move |_request| {
        let handle = handle.clone();
        async move {
            let status = if handle.require("device").await.is_ok() { 200 } else { 403 };
            http::Response::builder().status(status).body(Empty::<bytes::Bytes>::new())
        }
    });
    let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    Ok(http2.serve_connection(TokioIo::new(stream), answer).await?)
}

fn roots(root: &rustls::pki_types::CertificateDer<'static>) -> Result<Arc<RootCertStore>> {
    let mut store = RootCertStore::empty();
    store.add(root.clone())?;
    Ok(Arc::new(store))
}

#[tokio::main]
async fn main() -> Result<()> {
    let _already_installed = default_provider().install_default();
    let pki = TestPki::generate()?;
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = tcp.local_addr()?;
    tokio::spawn(serve(pki.clone(), tcp));

    let provider = Arc::new(default_provider());
    let (chain, key) = (pki.device.chain.clone(), pki.device.key.clone_key());
    let device = Credential::load(&provider, chain, key)?;
    let wallet = Arc::new(Wallet(Arc::new(device.into())));
    let auth = client::AuthConfig::builder(provider).resolver(wallet).build()?;
    let trust = roots(&pki.server_ca)?;
    let mut tls = ClientConfig::builder().with_root_certificates(trust).with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = tokio::net::TcpStream::connect(address).await?;
    let origin = Origin::new("localhost", tcp.peer_addr()?.port());
    let handshaker = Handshaker::new(Arc::new(tls), Arc::new(auth));
    let (stream, _handle) = handshaker.connect(tcp, origin.clone()).await?;

    // From here on it is hyper as always.
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut send, connection) = builder.handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = http::Request::get(format!("{origin}/")).body(Empty::<bytes::Bytes>::new())?;
    let response = send.send_request(request).await?;
    println!("{origin}/: {}", response.status());
    response.status().is_success().then_some(()).ok_or("the device was refused".into())
}
