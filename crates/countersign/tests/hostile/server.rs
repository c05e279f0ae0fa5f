//! The real server, and a raw client on the attack.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use countersign::server::{
    Acceptor, AuthConfig, AuthConfigBuilder, AuthHandle, CredentialKind, Denied, Identity,
    RequireCredentialLayer, WithAuthHandle,
};
use countersign::{AuthenticatorRequest, Closed, CodePoints, Rejection, Violation};
use countersign_testkit::tls::roots;
use countersign_testkit::{Frame, RawPeer, TlsOptions, within};
use futures_util::stream;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use crate::client::{Client, alices_rules};
use crate::forge::Secrets;
use crate::people::{people, provider};
use crate::wire::{CLIENT_CERT_AUTH, REQUESTS, noise, read_requests};

/// Longer than any test: who waits this long was not told.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// A server with `/open` for everybody, `/user` and `/device` for who proves it, and `/endless`.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    points: CodePoints,
    accepted: mpsc::UnboundedReceiver<(AuthHandle, JoinHandle<()>)>,
}

/// The server's rules: a user, who must not be bob, and a device.
pub(crate) fn rules() -> AuthConfigBuilder {
    rules_with(provider())
}

/// The same with another provider for authenticators.
pub(crate) fn rules_with(provider: Arc<CryptoProvider>) -> AuthConfigBuilder {
    let people = people();
    let user = CredentialKind::new("user", verifier(&people.users, vec![people.crl.clone()]))
        .constraint(|chain| if people.is_bob(chain) { Err(Rejection::WrongName) } else { Ok(()) });
    AuthConfig::builder(provider)
        .credential(user)
        .credential(CredentialKind::new("device", verifier(&people.devices, Vec::new())))
        .answer_timeout(FOR_EVER)
}

fn verifier(
    root: &CertificateDer<'static>,
    crls: Vec<CertificateRevocationListDer<'static>>,
) -> Arc<dyn ClientCertVerifier> {
    WebPkiClientVerifier::builder_with_provider(roots([root]), provider())
        .with_crls(crls)
        .build()
        .unwrap()
}

fn router() -> Router {
    let endless = || stream::repeat_with(|| Ok::<_, axum::Error>(Bytes::from_static(&[0; 8192])));
    Router::new()
        .route("/user", get(|| async { "user" }).layer(RequireCredentialLayer::new("user")))
        .route("/device", get(|| async { "device" }).layer(RequireCredentialLayer::new("device")))
        .route("/open", get(|| async { "open" }))
        .route("/endless", get(move || async move { Body::from_stream(endless()) }))
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(rules()).await
    }

    pub(crate) async fn start_with(rules: AuthConfigBuilder) -> Self {
        Self::start_tuned(rules, |_| {}).await
    }

    /// One with other code points.
    pub(crate) async fn start_at(points: CodePoints) -> Self {
        let server = Self::start_with(rules().code_points(points)).await;
        Self { points, ..server }
    }

    /// The same with a turn at hyper's own settings.
    pub(crate) async fn start_tuned(
        rules: AuthConfigBuilder,
        tune: fn(&mut auto::Builder<TokioExecutor>),
    ) -> Self {
        let mut hyper = auto::Builder::new(TokioExecutor::new());
        tune(&mut hyper);
        Self::start_on(rules, hyper).await
    }

    /// The same on any of hyper's servers.
    pub(crate) async fn start_on(
        rules: AuthConfigBuilder,
        hyper: auto::Builder<TokioExecutor>,
    ) -> Self {
        let tls = Arc::new(TlsOptions::default().server_config());
        let acceptor = Acceptor::new(tls, Arc::new(rules.build().unwrap()));
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let (sender, accepted) = mpsc::unbounded_channel();
        let app = router();
        tokio::spawn(async move {
            loop {
                let (tcp, _) = tcp.accept().await.unwrap();
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                let (hyper, app) = (hyper.clone(), app.clone());
                tokio::spawn(async move {
                    let Ok((stream, handle)) = acceptor.accept(tcp).await else {
                        return;
                    };
                    let app = TowerToHyperService::new(WithAuthHandle::new(app, handle.clone()));
                    let served = tokio::spawn(async move {
                        // How it ends is the handle's to tell.
                        let _ended = hyper.serve_connection(TokioIo::new(stream), app).await;
                    });
                    // The test may be over.
                    let _ = sender.send((handle, served));
                });
            }
        });
        let points = CodePoints::default();
        Self { address, points, accepted }
    }

    /// A raw client whose TLS handshake is done, and nothing else.
    pub(crate) async fn attacker(&mut self) -> Attacker {
        self.attacker_with(Arc::new(TlsOptions::default().client_config())).await
    }

    /// The same with the memory of earlier connections in `tls`.
    pub(crate) async fn attacker_with(&mut self, tls: Arc<ClientConfig>) -> Attacker {
        let wire = RawPeer::connect(self.address, tls).await;
        let (handle, served) = within(self.accepted.recv()).await.unwrap();
        Attacker { wire, handle, served, waiting: None }
    }

    /// One that has announced `limit` and knows that the server supports it.
    pub(crate) async fn opened(&mut self, limit: u32) -> Attacker {
        let mut attacker = self.attacker().await;
        let theirs = attacker.wire.open(&[(CLIENT_CERT_AUTH, limit)]).await;
        assert!(theirs.contains(&(CLIENT_CERT_AUTH, 1)), "{theirs:?}");
        attacker
    }

    /// One that asked for `/user` on stream 1, which is held, and was asked who it is.
    pub(crate) async fn challenged(&mut self) -> (Attacker, AuthenticatorRequest) {
        let mut attacker = self.opened(4).await;
        let request = attacker.get_and_be_asked(1, "/user").await;
        let handle = attacker.handle.clone();
        attacker.waiting = Some(tokio::spawn(async move { handle.require("user").await }));
        (attacker, request)
    }

    /// The server closes `attacker`'s connection with this error, tells everybody who has to know, and
    /// goes on to serve others.
    pub(crate) async fn refuses(
        &mut self,
        mut attacker: Attacker,
        code: u32,
        violation: Violation,
    ) {
        //= specs/client-certs.md#decisions-bad
        //= type=test
        //# (ours) A connection error MUST be sent so that the peer can read it, by lingering over unread input before TCP is closed.
        assert!(attacker.wire.try_send_bytes(noise()).await, "the connection was reset");
        let goaway = attacker.wire.expect_goaway(code).await;
        assert!(
            attacker.wire.try_send_bytes(noise()).await,
            "what was under way was not waited for"
        );
        assert_eq!(goaway.debug_text(), Some(violation.to_string()));

        let Attacker { wire, handle, served, waiting } = attacker;
        assert_eq!(handle.closed_reason(), Some(Closed::Violation(violation)));
        assert_eq!(handle.identities(), []);
        assert_eq!(within(handle.require("user")).await, Err(Denied::Closed));
        if let Some(waiting) = waiting {
            assert_eq!(within(waiting).await.unwrap(), Err(Denied::Closed));
        }
        drop(wire);
        within(served).await.unwrap();
        self.serves_others().await;
    }

    /// A polite client proves who it is, and is let in.
    pub(crate) async fn serves_others(&mut self) {
        let rules = alices_rules().code_points(self.points);
        let mut alice = Client::connect(self.address, rules).await;
        let _accepted = within(self.accepted.recv()).await.unwrap();
        assert_eq!(alice.get("/user").await.unwrap(), 200);
        assert_eq!(alice.get("/open").await.unwrap(), 200);
    }
}

/// A raw client, and what the server has of its connection.
pub(crate) struct Attacker {
    pub(crate) wire: RawPeer<TlsStream<TcpStream>>,
    pub(crate) handle: AuthHandle,
    /// Ends with the server's side of the connection.
    pub(crate) served: JoinHandle<()>,
    /// Somebody who requires a user.
    pub(crate) waiting: Option<JoinHandle<Result<Identity, Denied>>>,
}

impl Attacker {
    /// Sends a GET that needs a credential; returns the challenge that it causes.
    pub(crate) async fn get_and_be_asked(
        &mut self,
        stream: u32,
        path: &str,
    ) -> AuthenticatorRequest {
        self.wire.send(&Frame::get(stream, "localhost", path, &[])).await;
        self.be_asked().await
    }

    /// The next challenge, alone in its frame.
    pub(crate) async fn be_asked(&mut self) -> AuthenticatorRequest {
        let frame = self.wire.expect_kind(REQUESTS).await;
        let challenges = read_requests(&frame.payload);
        assert_eq!(challenges.len(), 1);
        challenges[0].clone()
    }

    pub(crate) fn secrets(&self) -> Secrets {
        Secrets::of(self.wire.stream().get_ref().1)
    }
}
