//! An axum server with an open page and a page that needs a user certificate.
//!
//! `cargo run -p countersign --example axum_step_up` makes a PKI, serves, visits both pages and ends.
//! In a program of your own, only `app` and `serve` are of interest.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::{Router, routing::get};
use bytes::Bytes;
use countersign::Credential;
use countersign::axum::{Identities, Listener, into_make_service};
use countersign::client::{CredentialSet, Origin, PooledClient, StaticCredentials};
use countersign::server::{Acceptor, AuthConfig, CredentialKind, RequireCredentialLayer};
use countersign_pki::TestPki;
use http_body_util::{BodyExt, Empty};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn app() -> Router {
    Router::new()
        .route("/", get(async || "everybody is welcome\n"))
        .route("/admin", get(admin).layer(RequireCredentialLayer::new("user")))
}

async fn admin(identities: Identities) -> String {
    let certificates = identities.get("user").map_or(0, |user| user.chain().len());
    format!("you have proven a user certificate (a chain of {certificates})\n")
}

/// Serves `app` with the certificate of `pki`, asking for certificates of its users.
async fn serve(pki: &TestPki) -> Result<SocketAddr> {
    let mut tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(pki.server.chain.clone(), pki.server.key.clone_key())?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];

    let verifier = WebPkiClientVerifier::builder(roots(&pki.user_ca)?).build()?;
    let auth = AuthConfig::builder(Arc::new(default_provider()))
        .credential(CredentialKind::new("user", verifier))
        .build()?;

    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = tcp.local_addr()?;
    let listener = Listener::new(tcp, Acceptor::new(Arc::new(tls), Arc::new(auth)))?;
    tokio::spawn(async move { axum::serve(listener, into_make_service(app())).await });
    Ok(address)
}

/// A client that shows alice's certificate to this server.
fn client(pki: &TestPki, port: u16) -> Result<(PooledClient<Empty<Bytes>>, CredentialSet)> {
    let provider = Arc::new(default_provider());
    let mut tls = ClientConfig::builder()
        .with_root_certificates(roots(&pki.server_ca)?)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let (chain, key) = (pki.alice.chain.clone(), pki.alice.key.clone_key());
    let alice = Credential::load(&provider, chain, key)?;
    let shown = StaticCredentials::new().identity(Origin::new("localhost", port), alice);
    let set = CredentialSet::with_resolver(provider, Arc::new(shown), 1)?;
    Ok((PooledClient::new(Arc::new(tls)), set))
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
    let port = serve(&pki).await?.port();
    let (client, set) = client(&pki, port)?;
    for path in ["/", "/admin"] {
        let uri = format!("https://localhost:{port}{path}");
        let response = client.request(&set, http::Request::get(&uri).body(Empty::new())?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        print!("{uri}: {status}: {}", String::from_utf8_lossy(&body));
        assert!(status.is_success(), "{uri} was refused");
    }
    Ok(())
}
