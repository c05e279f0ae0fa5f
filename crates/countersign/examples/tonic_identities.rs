//! A tonic gRPC service that sees its caller's identities and asks for one when it needs it.
//!
//! `cargo run -p countersign --example tonic_identities` makes a PKI, serves, calls and ends.
//! The handle is in the extensions of every request, of generated services too.

use std::error::Error;
use std::sync::Arc;
use std::task::{Context, Poll};

use countersign::axum::{Listener, into_make_service};
use countersign::client::{self, Connector, Handshaker, Origin, StaticCredentials};
use countersign::server::{self, Acceptor, AuthHandle, CredentialKind};
use countersign::{BoxFuture, Credential};
use countersign_pki::TestPki;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use tonic::{Request, Response, Status, body::Body, server::NamedService, server::UnaryService};
use tonic_prost::ProstCodec;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// `rpc WhoAmI(()) returns (string)`, by hand: no protoc is needed to run this example.
#[derive(Clone)]
struct WhoAmI;

impl UnaryService<()> for WhoAmI {
    type Response = String;
    type Future = BoxFuture<'static, std::result::Result<Response<String>, Status>>;

    fn call(&mut self, request: Request<()>) -> Self::Future {
        Box::pin(async move {
            let handle = request.extensions().get::<AuthHandle>();
            let handle = handle.ok_or_else(|| Status::internal("not served by countersign"))?;
            let user = handle.require("user").await;
            let user = user.map_err(|denied| Status::permission_denied(denied.to_string()))?;
            let size = user.leaf().len();
            Ok(Response::new(format!("a {} whose certificate has {size} bytes", user.credential())))
        })
    }
}

impl NamedService for WhoAmI {
    const NAME: &'static str = "example.Identities";
}

impl tower_service::Service<http::Request<Body>> for WhoAmI {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<'static, std::result::Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<std::result::Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut grpc = tonic::server::Grpc::new(ProstCodec::<String, ()>::default());
        Box::pin(async move { Ok(grpc.unary(WhoAmI, request).await) })
    }
}

fn roots(root: &rustls::pki_types::CertificateDer<'static>) -> Result<Arc<RootCertStore>> {
    let mut store = RootCertStore::empty();
    store.add(root.clone())?;
    Ok(Arc::new(store))
}

#[tokio::main]
async fn main() -> Result<()> {
    let _already_installed = default_provider().install_default();
    let (pki, provider) = (TestPki::generate()?, Arc::new(default_provider()));

    let (chain, key) = (pki.server.chain.clone(), pki.server.key.clone_key());
    let mut tls = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let user = WebPkiClientVerifier::builder(roots(&pki.user_ca)?).build()?;
    let kind = CredentialKind::new("user", user);
    let auth = server::AuthConfig::builder(provider.clone()).credential(kind).build()?;
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let origin = Origin::new("localhost", tcp.local_addr()?.port());
    let listener = Listener::new(tcp, Acceptor::new(Arc::new(tls), Arc::new(auth)))?;
    let app = tonic::service::Routes::new(WhoAmI).into_axum_router();
    tokio::spawn(async move { axum::serve(listener, into_make_service(app)).await });
    let trust = roots(&pki.server_ca)?;
    let mut tls = ClientConfig::builder().with_root_certificates(trust).with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let (chain, key) = (pki.alice.chain.clone(), pki.alice.key.clone_key());
    let alice = Credential::load(&provider, chain, key)?;
    let shown = Arc::new(StaticCredentials::new().identity(origin.clone(), alice));
    let auth = client::AuthConfig::builder(provider).resolver(shown).build()?;
    let connector = Connector::new(Handshaker::new(Arc::new(tls), Arc::new(auth)));
    let http2 = Client::builder(TokioExecutor::new()).http2_only(true).build(connector);
    let mut grpc = tonic::client::Grpc::with_origin(http2, origin.to_string().parse()?);
    grpc.ready().await?;
    let (path, codec) = ("/example.Identities/WhoAmI".parse()?, ProstCodec::default());
    let answer: Response<String> = grpc.unary(Request::new(()), path, codec).await?;
    println!("the server sees {}", answer.into_inner());
    Ok(())
}
