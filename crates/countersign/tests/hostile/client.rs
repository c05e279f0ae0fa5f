//! The real client, and a raw server on the attack.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use countersign::client::{
    AuthConfig, AuthConfigBuilder, ClientCredential, ClientHandle, CredentialResolver, Handshaker,
    Origin, Resolution,
};
use countersign::{AuthenticatorRequest, BoxFuture, Closed, Violation, h3};
use countersign_testkit::{RawH3Peer, RawPeer, TlsOptions, Version, quic, within};
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::hosts::FURTHER;
use crate::peer::{Seen, ServerWire, Wire};
use crate::people::{credential, people, provider};
use crate::server::Server;
use crate::wire::{CERTIFICATE, Code, SERVER_CERT_AUTH};

/// One connection of the real client.
pub(crate) struct Client {
    pub(crate) handle: ClientHandle,
    pub(crate) requests: Requests,
    /// The port that it leads to.
    pub(crate) port: u16,
    /// Ends with the client's side of the connection.
    pub(crate) driven: JoinHandle<()>,
}

/// What sends its requests.
#[derive(Clone)]
pub(crate) enum Requests {
    H2(SendRequest<Empty<Bytes>>),
    H3(h3::Client),
}

/// The status of a response.
type Status = Result<u16, Box<dyn std::error::Error + Send + Sync>>;

impl Client {
    pub(crate) async fn connect(
        version: Version,
        address: SocketAddr,
        rules: AuthConfigBuilder,
    ) -> Self {
        let rules = Arc::new(rules.build().unwrap());
        match version {
            Version::H2 => {
                let tls = TlsOptions::default().client_config();
                Self::connect_h2(Arc::new(tls), address, rules).await
            }
            Version::H3 => {
                Self::connect_h3(address, rules, quinn::TransportConfig::default()).await
            }
        }
    }

    /// Over HTTP/2, with the memory of earlier connections in `tls`.
    pub(crate) async fn connect_h2(
        tls: Arc<ClientConfig>,
        address: SocketAddr,
        rules: Arc<AuthConfig>,
    ) -> Self {
        let handshaker = Handshaker::new(tls, rules);
        let tcp = within(TcpStream::connect(address)).await.unwrap();
        let origin = Origin::new("localhost", address.port());
        let (stream, handle) = within(handshaker.connect_to(tcp, origin, address)).await.unwrap();
        let (requests, connection) =
            within(http2::handshake(TokioExecutor::new(), TokioIo::new(stream))).await.unwrap();
        let driven = tokio::spawn(async move {
            // How it ends is the handle's to tell.
            let _ended = connection.await;
        });
        Self { handle, requests: Requests::H2(requests), port: address.port(), driven }
    }

    async fn connect_h3(
        address: SocketAddr,
        rules: Arc<AuthConfig>,
        transport: quinn::TransportConfig,
    ) -> Self {
        let tls = TlsOptions::default().client_config();
        let config = quic::client_config(tls, transport);
        let origin = Origin::new("localhost", address.port());
        let handshaker = h3::Handshaker::new(config, rules);
        let endpoint = quic::client();
        let (client, handle) =
            within(handshaker.connect(&endpoint, address, origin)).await.unwrap();
        let connection = client.quic().clone();
        let driven = tokio::spawn(async move {
            let _ended = connection.closed().await;
        });
        Self { handle, requests: Requests::H3(client), port: address.port(), driven }
    }

    /// The status of a GET.
    pub(crate) async fn get(&mut self, path: &str) -> Status {
        within(self.requests.get(path)).await
    }
}

impl Requests {
    async fn get(&mut self, path: &str) -> Status {
        let uri = format!("https://localhost{path}");
        let request = Request::get(uri).body(Empty::new()).unwrap();
        Ok(match self {
            Self::H2(requests) => requests.send_request(request).await?.status(),
            Self::H3(client) => client.send(request).await?.status(),
        }
        .as_u16())
    }
}

/// Answers every challenge in the same way.
struct Always(Resolution);

impl CredentialResolver for Always {
    fn resolve<'a>(
        &'a self,
        _origin: &'a Origin,
        _request: &'a AuthenticatorRequest,
    ) -> BoxFuture<'a, Resolution> {
        Box::pin(std::future::ready(self.0.clone()))
    }
}

fn rules(resolution: Resolution) -> AuthConfigBuilder {
    AuthConfig::builder(provider()).resolver(Arc::new(Always(resolution)))
}

/// A client that is alice to whoever asks, four times at a time.
pub(crate) fn alices_rules() -> AuthConfigBuilder {
    let alice = ClientCredential::from(credential(&people().alice));
    rules(Resolution::Present(Arc::new(alice)))
}

/// One that leaves every challenge in the pool.
pub(crate) fn silent_rules() -> AuthConfigBuilder {
    rules(Resolution::Later)
}

/// One that declines.
pub(crate) fn declining_rules() -> AuthConfigBuilder {
    rules(Resolution::Decline("not today".into()))
}

/// A raw server with the real client in its hands.
pub(crate) struct Impostor {
    pub(crate) wire: ServerWire,
    pub(crate) client: Client,
    /// The client's GET on stream 1.
    pub(crate) waiting: JoinHandle<Status>,
}

impl Impostor {
    /// The TLS handshake is done, and the client has sent a request, and nothing was sent to it.
    pub(crate) async fn lure(version: Version, rules: AuthConfigBuilder) -> Self {
        let (client, wire) = match version {
            Version::H2 => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let tls = TlsOptions::default().server_config();
                let connecting = Client::connect(version, listener.local_addr().unwrap(), rules);
                let (client, wire) =
                    tokio::join!(connecting, RawPeer::accept(&listener, Arc::new(tls)));
                (client, Wire::H2(wire.into()))
            }
            Version::H3 => return Self::lure_over(rules, Default::default).await,
        };
        Self::asking(client, wire)
    }

    /// The same over HTTP/3 with settings of QUIC's own on both sides.
    pub(crate) async fn lure_over(
        rules: AuthConfigBuilder,
        transport: impl Fn() -> quinn::TransportConfig,
    ) -> Self {
        let endpoint = quic::server(TlsOptions::default().server_config(), transport());
        let (address, rules) = (endpoint.local_addr().unwrap(), rules.build().unwrap());
        let connecting = Client::connect_h3(address, Arc::new(rules), transport());
        let (client, wire) = tokio::join!(connecting, RawH3Peer::accept(&endpoint));
        Self::asking(client, Wire::H3(wire.into()))
    }

    /// With these two ends of a connection.
    pub(crate) fn asking(client: Client, wire: ServerWire) -> Self {
        let mut requests = client.requests.clone();
        let waiting = tokio::spawn(async move { requests.get("/").await });
        Self { wire, client, waiting }
    }

    /// The same; SETTINGS have been exchanged, with this value for the extension.
    pub(crate) async fn opened(version: Version, rules: AuthConfigBuilder, value: u32) -> Self {
        let mut impostor = Self::lure(version, rules).await;
        impostor.wire.open(Some(value)).await;
        impostor.be_asked().await;
        impostor
    }

    /// The same; SETTINGS have been exchanged, and each end takes or has certificates of the server.
    pub(crate) async fn offering(version: Version, rules: AuthConfigBuilder) -> Self {
        let mut impostor = Self::lure(version, rules).await;
        impostor.wire.open_with(&[(SERVER_CERT_AUTH, 1)]).await;
        impostor.be_asked().await;
        impostor
    }

    /// The further origin, at the connection's port.
    pub(crate) fn further(&self) -> Origin {
        Origin::new(FURTHER, self.client.port)
    }

    /// Answers the client's request, which gets through.
    pub(crate) async fn goes_on(mut self) {
        self.wire.respond(1, 200).await;
        assert_eq!(within(self.waiting).await.unwrap().unwrap(), 200);
        assert_eq!(self.client.handle.closed_reason(), None);
    }

    /// Waits for the client's request.
    pub(crate) async fn be_asked(&mut self) {
        let request = self.wire.expect_kind_or_head(CERTIFICATE).await;
        assert_eq!(request, Some(Seen::Head(1, None)));
    }

    /// The client closes the connection with this error, tells everybody who has to know, and goes on
    /// to talk to others.
    pub(crate) async fn refused(mut self, code: Code, violation: Violation) {
        let text = self.wire.expect_closed_behind_noise(code).await;
        assert_eq!(text, violation.to_string());

        let Self { wire, client, waiting } = self;
        assert_eq!(client.handle.closed_reason(), Some(Closed::Violation(violation)));
        let version = wire.version();
        drop(wire);
        assert!(within(waiting).await.unwrap().is_err());
        within(client.driven).await.unwrap();
        Server::start(version).await.serves_others().await;
    }
}
