//! The real server, and a raw client on the attack.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign::server::{
    AuthConfig, AuthConfigBuilder, AuthHandle, CredentialKind, Denied, Identity,
};
use countersign::{AuthenticatorRequest, Closed, CodePoints, Rejection, Violation};
use countersign_testkit::tls::roots;
use countersign_testkit::{RawH3Peer, RawPeer, TlsOptions, Version, within};
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio::task::JoinHandle;

use crate::client::{Client, alices_rules};
use crate::forge::Secrets;
use crate::listen::{self, Accepted};
use crate::peer::{ClientWire, Wire};
use crate::people::{people, provider};
use crate::wire::{Code, REQUESTS, read_requests};

/// Longer than any test: who waits this long was not told.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// A server with `/open` for everybody, `/user` and `/device` for who proves it, and `/endless`.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    version: Version,
    points: CodePoints,
    accepted: Accepted,
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

impl Server {
    pub(crate) async fn start(version: Version) -> Self {
        Self::start_with(version, rules()).await
    }

    pub(crate) async fn start_with(version: Version, rules: AuthConfigBuilder) -> Self {
        match version {
            Version::H2 => Self::start_tuned(rules, |_| {}).await,
            Version::H3 => Self::start_over(rules, quinn::TransportConfig::default()),
        }
    }

    /// One with other code points.
    pub(crate) async fn start_at(version: Version, points: CodePoints) -> Self {
        Self::start_with(version, rules().code_points(points)).await.at(points)
    }

    /// Tells that it was started with these code points.
    pub(crate) fn at(self, points: CodePoints) -> Self {
        Self { points, ..self }
    }

    /// One for HTTP/3 with settings of QUIC's own.
    pub(crate) fn start_over(rules: AuthConfigBuilder, transport: quinn::TransportConfig) -> Self {
        let (address, accepted) = listen::over_quic(rules.build().unwrap(), transport);
        Self { version: Version::H3, address, points: CodePoints::default(), accepted }
    }

    /// One for HTTP/2 with a turn at hyper's own settings.
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
        Self::start_above(TlsOptions::default().server_config(), rules, hyper).await
    }

    /// The same above other settings of TLS.
    pub(crate) async fn start_above(
        tls: rustls::ServerConfig,
        rules: AuthConfigBuilder,
        hyper: auto::Builder<TokioExecutor>,
    ) -> Self {
        let (address, accepted) = listen::over_tcp(tls, rules.build().unwrap(), hyper).await;
        Self { version: Version::H2, address, points: CodePoints::default(), accepted }
    }

    /// A raw client whose TLS handshake is done, and nothing else.
    pub(crate) async fn attacker(&mut self) -> Attacker {
        self.attacker_with(Arc::new(TlsOptions::default().client_config())).await
    }

    /// The same with the memory of earlier connections in `tls`.
    pub(crate) async fn attacker_with(&mut self, tls: Arc<ClientConfig>) -> Attacker {
        let wire = match self.version {
            Version::H2 => Wire::H2(RawPeer::connect(self.address, tls).await.into()),
            Version::H3 => {
                let tls = tls.as_ref().clone();
                Wire::H3(RawH3Peer::connect(self.address, tls).await.into())
            }
        };
        self.met(wire).await
    }

    /// The client at the other end of the next connection to be accepted.
    pub(crate) async fn met(&mut self, wire: ClientWire) -> Attacker {
        let (handle, served) = within(self.accepted.recv()).await.unwrap();
        Attacker { wire, handle, served, waiting: None }
    }

    /// One that has announced `limit` and knows that the server supports it.
    pub(crate) async fn opened(&mut self, limit: u32) -> Attacker {
        let mut attacker = self.attacker().await;
        assert_eq!(attacker.wire.open(Some(limit)).await, Some(1));
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
        code: Code,
        violation: Violation,
    ) {
        let text = attacker.wire.expect_closed_behind_noise(code).await;
        assert_eq!(text, violation.to_string());

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
        let mut alice = Client::connect(self.version, self.address, rules).await;
        let _accepted = within(self.accepted.recv()).await.unwrap();
        assert_eq!(alice.get("/user").await.unwrap(), 200);
        assert_eq!(alice.get("/open").await.unwrap(), 200);
    }
}

/// A raw client, and what the server has of its connection.
pub(crate) struct Attacker {
    pub(crate) wire: ClientWire,
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
        self.wire.request(stream, path).await;
        self.be_asked().await
    }

    /// The next challenge, alone in its frame.
    pub(crate) async fn be_asked(&mut self) -> AuthenticatorRequest {
        let challenges = read_requests(&self.wire.expect_kind(REQUESTS).await);
        assert_eq!(challenges.len(), 1);
        challenges[0].clone()
    }

    pub(crate) fn secrets(&self) -> Secrets {
        Secrets::of(&self.wire)
    }
}
