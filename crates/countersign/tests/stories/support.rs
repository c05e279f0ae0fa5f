//! A server with an open page and two guarded ones, and clients for it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use countersign::axum::{Identities, Listener, into_make_service};
use countersign::client::{
    self, ClientCredential, ClientHandle, CredentialResolver, Event, Handshaker, Observer, Origin,
    StaticCredentials,
};
use countersign::server::{
    Acceptor, AuthConfig, AuthConfigBuilder, CredentialKind, RequireCredentialLayer,
};
use countersign::{Chain, Credential};
use countersign_testkit::tls::{roots, test_pki};
use countersign_testkit::{TlsOptions, pki::Issued};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio::net::{TcpListener, TcpStream};

/// A verifier for what `root` vouches for, with the revocation lists of the users.
pub(crate) fn verifier(root: &CertificateDer<'static>) -> Arc<dyn ClientCertVerifier> {
    let builder = WebPkiClientVerifier::builder_with_provider(
        roots([root]),
        TlsOptions::default().provider(),
    );
    if *root == test_pki().user_ca {
        builder.with_crls(test_pki().user_crls.clone()).build().unwrap()
    } else {
        builder.build().unwrap()
    }
}

pub(crate) fn device() -> CredentialKind {
    CredentialKind::new("device", verifier(&test_pki().device_ca))
}

pub(crate) fn user() -> CredentialKind {
    CredentialKind::new("user", verifier(&test_pki().user_ca))
}

/// The rules of most stories: the device is asked for on connect, the user when `/admin` is opened.
pub(crate) fn rules() -> AuthConfigBuilder {
    AuthConfig::builder(TlsOptions::default().provider())
        .credential(device().ask_on_connect())
        .credential(user())
        .answer_timeout(Duration::from_secs(15))
}

/// Serves in the background until the test's runtime ends.
pub(crate) async fn serve(tls: &TlsOptions, rules: AuthConfigBuilder) -> SocketAddr {
    let names = |identities: Identities| async move {
        let names: Vec<_> = identities.0.iter().map(|one| one.credential().to_owned()).collect();
        names.join(",")
    };
    let app = Router::new()
        .route("/admin", get(names).layer(RequireCredentialLayer::new("user")))
        .route("/device", get(names).layer(RequireCredentialLayer::new("device")))
        .route("/", get(names));
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let acceptor = Acceptor::new(Arc::new(tls.server_config()), Arc::new(rules.build().unwrap()));
    let listener = Listener::new(tcp, acceptor).unwrap();
    tokio::spawn(async move { axum::serve(listener, into_make_service(app)).await });
    address
}

pub(crate) fn credential(issued: &Issued) -> ClientCredential {
    let provider = TlsOptions::default().provider();
    let key = provider.key_provider.load_private_key(issued.key.clone_key()).unwrap();
    Credential::new(Chain::new(issued.chain.clone()).unwrap(), key).unwrap().into()
}

pub(crate) fn origin(address: SocketAddr) -> Origin {
    Origin::new("localhost", address.port())
}

/// Shows these to `address`.
pub(crate) fn show(address: SocketAddr, identities: &[&Issued]) -> StaticCredentials {
    identities.iter().fold(StaticCredentials::new(), |shown, issued| {
        shown.identity(origin(address), credential(issued))
    })
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    TlsOptions::default().provider()
}

/// What the client's observer was told.
#[derive(Default)]
pub(crate) struct Log(pub(crate) Mutex<Vec<Event>>);

impl Observer for Log {
    fn event(&self, _origin: &Origin, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// One connection with everything a test looks at.
pub(crate) struct Client {
    pub(crate) send: SendRequest<Empty<Bytes>>,
    pub(crate) handle: ClientHandle,
    pub(crate) log: Arc<Log>,
    pub(crate) address: SocketAddr,
}

impl Client {
    pub(crate) async fn connect(
        address: SocketAddr,
        resolver: impl CredentialResolver,
        limit: u32,
    ) -> Self {
        Self::connect_with(&TlsOptions::default(), address, resolver, limit).await
    }

    pub(crate) async fn connect_with(
        tls: &TlsOptions,
        address: SocketAddr,
        resolver: impl CredentialResolver,
        limit: u32,
    ) -> Self {
        let log = Arc::new(Log::default());
        let auth = client::AuthConfig::builder(tls.provider())
            .resolver(Arc::new(resolver))
            .limit(limit)
            .observer(log.clone())
            .build()
            .unwrap();
        let handshaker = Handshaker::new(Arc::new(tls.client_config()), Arc::new(auth));
        let tcp = TcpStream::connect(address).await.unwrap();
        let (stream, handle) = handshaker.connect(tcp, origin(address)).await.unwrap();
        let (send, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        Self { send, handle, log, address }
    }

    /// Status and body of a GET.
    pub(crate) async fn get(&mut self, path: &str) -> (u16, String) {
        let request = http::Request::get(format!("https://{}{path}", self.address))
            .body(Empty::new())
            .unwrap();
        let response = self.send.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// How many challenges arrived, and how many were answered with a certificate.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let log = self.log.0.lock().unwrap();
        let challenges = log.iter().filter(|event| matches!(event, Event::Challenge(_))).count();
        let proofs = log
            .iter()
            .filter(|event| matches!(event, Event::Answer { credential: Some(_), .. }))
            .count();
        (challenges, proofs)
    }
}
