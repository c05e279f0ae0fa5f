//! The real client, and a raw server on the attack.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use countersign::client::{
    AuthConfig, AuthConfigBuilder, ClientCredential, ClientHandle, CredentialResolver, Handshaker,
    Origin, Resolution,
};
use countersign::{AuthenticatorRequest, BoxFuture, Closed, Violation};
use countersign_testkit::raw::kind;
use countersign_testkit::{RawPeer, TlsOptions, within};
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;

use crate::people::{credential, people, provider};
use crate::server::Server;
use crate::wire::{CLIENT_CERT_AUTH, noise};

/// One connection of the real client.
pub(crate) struct Client {
    pub(crate) handle: ClientHandle,
    pub(crate) requests: SendRequest<Empty<Bytes>>,
    /// Ends with the client's side of the connection.
    pub(crate) driven: JoinHandle<()>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, rules: AuthConfigBuilder) -> Self {
        let tls = Arc::new(TlsOptions::default().client_config());
        let handshaker = Handshaker::new(tls, Arc::new(rules.build().unwrap()));
        let tcp = within(TcpStream::connect(address)).await.unwrap();
        let origin = Origin::new("localhost", address.port());
        let (stream, handle) = within(handshaker.connect(tcp, origin)).await.unwrap();
        let (requests, connection) =
            within(http2::handshake(TokioExecutor::new(), TokioIo::new(stream))).await.unwrap();
        let driven = tokio::spawn(async move {
            // How it ends is the handle's to tell.
            let _ended = connection.await;
        });
        Self { handle, requests, driven }
    }

    /// The status of a GET.
    pub(crate) async fn get(&mut self, path: &str) -> hyper::Result<u16> {
        let uri = format!("https://localhost{path}");
        let request = Request::get(uri).body(Empty::new()).unwrap();
        let response = within(self.requests.send_request(request)).await?;
        Ok(response.status().as_u16())
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
    pub(crate) wire: RawPeer<TlsStream<TcpStream>>,
    pub(crate) client: Client,
    /// The client's GET on stream 1.
    pub(crate) waiting: JoinHandle<hyper::Result<u16>>,
}

impl Impostor {
    /// The TLS handshake is done, and the client has sent a request, and nothing was sent to it.
    pub(crate) async fn lure(rules: AuthConfigBuilder) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tls = Arc::new(TlsOptions::default().server_config());
        let address = listener.local_addr().unwrap();
        let (client, wire) =
            tokio::join!(Client::connect(address, rules), RawPeer::accept(&listener, tls));
        let request = Request::get("https://localhost/").body(Empty::new()).unwrap();
        let response = client.requests.clone().send_request(request);
        let waiting = tokio::spawn(async move { Ok(response.await?.status().as_u16()) });
        Self { wire, client, waiting }
    }

    /// The same; SETTINGS have been exchanged, with this value for the extension.
    pub(crate) async fn opened(rules: AuthConfigBuilder, value: u32) -> Self {
        let mut impostor = Self::lure(rules).await;
        impostor.wire.open(&[(CLIENT_CERT_AUTH, value)]).await;
        let request = impostor.wire.expect_kind(kind::HEADERS).await;
        assert_eq!(request.stream, 1);
        impostor
    }

    /// The client closes the connection with this error, tells everybody who has to know, and goes on
    /// to talk to others.
    pub(crate) async fn refused(mut self, code: u32, violation: Violation) {
        //= specs/client-certs.md#decisions-bad
        //= type=test
        //# (ours) A connection error MUST be sent so that the peer can read it, by lingering over unread input before TCP is closed.
        assert!(self.wire.try_send_bytes(noise()).await, "the connection was reset");
        let goaway = self.wire.expect_goaway(code).await;
        assert!(self.wire.try_send_bytes(noise()).await, "what was under way was not waited for");
        assert_eq!(goaway.debug_text(), Some(violation.to_string()));
        assert_eq!(goaway.payload[..4], [0; 4], "servers open no streams");

        let Self { wire, client, waiting } = self;
        assert_eq!(client.handle.closed_reason(), Some(Closed::Violation(violation)));
        drop(wire);
        assert!(within(waiting).await.unwrap().is_err());
        within(client.driven).await.unwrap();
        Server::start().await.serves_others().await;
    }
}
