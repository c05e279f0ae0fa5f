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
use countersign::{Chain, Credential, h3};
use countersign_testkit::tls::{roots, test_pki};
use countersign_testkit::{Suite, TlsOptions, Version, pki::Issued, quic};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use quinn::TransportConfig;
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
    AuthConfig::builder(provider())
        .credential(device().ask_on_connect())
        .credential(user())
        .answer_timeout(Duration::from_secs(15))
}

/// Serves one router in the background until the test's runtime ends: HTTP/2 over TCP and HTTP/3 over
/// UDP, on the same port.
pub(crate) async fn serve(tls: &TlsOptions, rules: AuthConfigBuilder) -> SocketAddr {
    serve_by(tls, Arc::new(rules.build().unwrap())).await
}

/// The same by rules that the test keeps hold of.
pub(crate) async fn serve_by(tls: &TlsOptions, rules: Arc<AuthConfig>) -> SocketAddr {
    let names = |identities: Identities| async move {
        let names: Vec<_> = identities.0.iter().map(|one| one.credential().to_owned()).collect();
        names.join(",")
    };
    let app = Router::new()
        .route("/admin", get(names).layer(RequireCredentialLayer::new("user")))
        .route("/device", get(names).layer(RequireCredentialLayer::new("device")))
        .route("/", get(names));
    let (tcp, udp) = bind(tls).await;
    let address = tcp.local_addr().unwrap();
    if let Some(endpoint) = udp {
        tokio::spawn(serve_h3(endpoint, h3::Acceptor::new(rules.clone()), app.clone()));
    }
    let listener = Listener::new(tcp, Acceptor::new(Arc::new(tls.server_config()), rules)).unwrap();
    tokio::spawn(async move { axum::serve(listener, into_make_service(app)).await });
    address
}

/// A TCP listener, and a QUIC endpoint on the same port where TLS 1.3 is spoken.
async fn bind(tls: &TlsOptions) -> (TcpListener, Option<quinn::Endpoint>) {
    if matches!(tls.suite, Suite::Tls12Sha256 | Suite::Tls12Sha384) {
        return (TcpListener::bind("127.0.0.1:0").await.unwrap(), None);
    }
    loop {
        let udp = quic::server(tls.server_config(), TransportConfig::default());
        // Another program may have the port in TCP.
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (tcp, Some(udp));
        }
    }
}

async fn serve_h3(endpoint: quinn::Endpoint, acceptor: h3::Acceptor, app: Router) {
    while let Some(incoming) = endpoint.accept().await {
        let (acceptor, app) = (acceptor.clone(), app.clone());
        tokio::spawn(async move {
            let (connection, _handle) = acceptor.accept(incoming).await?;
            let service = tower::service_fn(move |request: http::Request<h3::RequestBody>| {
                tower::ServiceExt::oneshot(app.clone(), request.map(axum::body::Body::new))
            });
            connection.serve(service, std::future::pending()).await;
            Ok::<_, h3::AcceptError>(())
        });
    }
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
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Waits for what is only to be looked at.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
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
    pub(crate) send: Send,
    pub(crate) handle: ClientHandle,
    pub(crate) log: Arc<Log>,
    pub(crate) address: SocketAddr,
}

/// What sends its requests.
#[derive(Clone)]
pub(crate) enum Send {
    H2(SendRequest<Empty<Bytes>>),
    H3(h3::Client),
}

impl Client {
    pub(crate) async fn connect(
        version: Version,
        address: SocketAddr,
        resolver: impl CredentialResolver,
        limit: u32,
    ) -> Self {
        Self::connect_with(version, &TlsOptions::default(), address, resolver, limit).await
    }

    pub(crate) async fn connect_with(
        version: Version,
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
        let config = tls.client_config();
        let (send, handle) = match version {
            Version::H2 => connect_h2(config, auth, address).await,
            Version::H3 => connect_h3(config, auth, address).await,
        };
        Self { send, handle, log, address }
    }

    /// Status and body of a GET.
    pub(crate) async fn get(&mut self, path: &str) -> (u16, String) {
        self.send.get(self.address, path).await
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

pub(crate) async fn connect_h2(
    config: rustls::ClientConfig,
    auth: client::AuthConfig,
    address: SocketAddr,
) -> (Send, ClientHandle) {
    let handshaker = Handshaker::new(Arc::new(config), Arc::new(auth));
    let tcp = TcpStream::connect(address).await.unwrap();
    let (stream, handle) = handshaker.connect(tcp, origin(address)).await.unwrap();
    let (send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    (Send::H2(send), handle)
}

async fn connect_h3(
    config: rustls::ClientConfig,
    auth: client::AuthConfig,
    address: SocketAddr,
) -> (Send, ClientHandle) {
    let (client, handle) = connect_on(&quic::client(), config, auth, address).await;
    (Send::H3(client), handle)
}

/// An HTTP/3 connection from `endpoint`.
pub(crate) async fn connect_on(
    endpoint: &quinn::Endpoint,
    config: rustls::ClientConfig,
    auth: client::AuthConfig,
    address: SocketAddr,
) -> (h3::Client, ClientHandle) {
    let handshaker = h3::Handshaker::new(quic_config(config), Arc::new(auth));
    handshaker.connect(endpoint, address, origin(address)).await.unwrap()
}

/// The same TLS for QUIC.
pub(crate) fn quic_config(tls: rustls::ClientConfig) -> quinn::ClientConfig {
    quic::client_config(tls, TransportConfig::default())
}

impl Send {
    pub(crate) async fn get(&mut self, address: SocketAddr, path: &str) -> (u16, String) {
        let request = http::Request::get(format!("https://{address}{path}"));
        self.request(request.body(Empty::new()).unwrap()).await
    }

    /// Status and body of the response.
    pub(crate) async fn request(&mut self, request: http::Request<Empty<Bytes>>) -> (u16, String) {
        let (status, body) = match self {
            Self::H2(send) => {
                let response = send.send_request(request).await.unwrap();
                (response.status(), response.into_body().collect().await.unwrap().to_bytes())
            }
            Self::H3(send) => {
                let response = send.send(request).await.unwrap();
                (response.status(), response.into_body().collect().await.unwrap().to_bytes())
            }
        };
        (status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    }
}
