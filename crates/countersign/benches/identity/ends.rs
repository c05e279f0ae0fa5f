//! Servers and clients of the bench, on whatever carries them.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use bytes::{Buf, Bytes};
use countersign::client::{self, ClientCredential, ClientHandle, Handshaker, StaticCredentials};
use countersign::server::{
    Acceptor, AuthConfig, CredentialKind, RequireCredentialLayer, WithAuthHandle,
};
use countersign::{Chain, Credential, h3};
use countersign_testkit::TlsOptions;
use countersign_testkit::tls::{roots, test_pki};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use quinn::crypto::rustls::QuicServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::Way;

/// What a server answers everybody with; nobody looks at it.
const PAGE: &[u8] = b"ok\n";

/// The TLS that both sides have: full handshakes only, with the client's certificate for a second
/// connection and without for a first.
pub(crate) fn tls(way: Way, alpn: &str) -> TlsOptions {
    let options = TlsOptions::default().alpn([alpn]);
    match way {
        Way::Second => TlsOptions {
            client: Some(test_pki().device.clone()),
            client_ca: Some(test_pki().device_ca.clone()),
            ..options
        },
        Way::Get | Way::OnDemand | Way::Ahead => options,
    }
}

fn server_tls(way: Way, alpn: &str) -> Arc<rustls::ServerConfig> {
    let mut config = tls(way, alpn).server_config();
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

fn client_tls(way: Way, alpn: &str) -> rustls::ClientConfig {
    let mut config = tls(way, alpn).client_config();
    config.resumption = rustls::client::Resumption::disabled();
    config
}

/// The server's rules for asking.
fn rules(way: Way) -> Arc<AuthConfig> {
    let provider = TlsOptions::default().provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(
        roots([&test_pki().device_ca]),
        Arc::clone(&provider),
    );
    let device = CredentialKind::new("device", verifier.build().unwrap());
    let kept = if way == Way::Ahead { 1 } else { 0 };
    Arc::new(
        AuthConfig::builder(provider).credential(device).generic_challenges(kept).build().unwrap(),
    )
}

/// `/device` is for known devices, `/` for everybody.
fn router() -> Router {
    Router::new()
        .route("/device", get(async || PAGE).layer(RequireCredentialLayer::new("device")))
        .route("/", get(async || PAGE))
}

/// A server for HTTP/2: of a second connection, which has a certificate from its handshake, without
/// anything of ours.
#[derive(Clone)]
pub(crate) enum H2Server {
    Asking(Acceptor),
    Mutual(TlsAcceptor),
}

impl H2Server {
    pub(crate) fn new(way: Way) -> Self {
        let tls = server_tls(way, "h2");
        match way {
            Way::Second => Self::Mutual(TlsAcceptor::from(tls)),
            Way::Get | Way::OnDemand | Way::Ahead => Self::Asking(Acceptor::new(tls, rules(way))),
        }
    }

    /// Serves one connection to its end.
    pub(crate) async fn serve<IO>(self, io: IO)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        // A client that leaves is the end of every connection here.
        drop(match self {
            Self::Asking(acceptor) => {
                let (stream, handle) = acceptor.accept(io).await.unwrap();
                let service = TowerToHyperService::new(WithAuthHandle::new(router(), handle));
                http.serve_connection(TokioIo::new(stream), service).await
            }
            Self::Mutual(acceptor) => {
                let stream = acceptor.accept(io).await.unwrap();
                assert!(stream.get_ref().1.peer_certificates().is_some());
                http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router()))
                    .await
            }
        });
    }
}

pub(crate) fn quic_server_config(way: Way) -> quinn::ServerConfig {
    let crypto = QuicServerConfig::try_from(server_tls(way, "h3")).unwrap();
    quinn::ServerConfig::with_crypto(Arc::new(crypto))
}

/// Serves HTTP/3 until the endpoint is closed; the same as [`H2Server`] otherwise.
pub(crate) async fn serve_h3(endpoint: quinn::Endpoint, way: Way) {
    let acceptor = h3::Acceptor::new(rules(way));
    while let Some(incoming) = endpoint.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            match way {
                Way::Second => serve_mutual_h3(incoming.await.unwrap()).await,
                Way::Get | Way::OnDemand | Way::Ahead => {
                    let (connection, _handle) = acceptor.accept(incoming).await.unwrap();
                    let service = tower::service_fn(|request: Request<h3::RequestBody>| {
                        tower::ServiceExt::oneshot(router(), request.map(axum::body::Body::new))
                    });
                    connection.serve(service, std::future::pending()).await;
                }
            }
        });
    }
}

async fn serve_mutual_h3(quic: quinn::Connection) {
    assert!(quic.peer_identity().is_some());
    let connection = h3_quinn::Connection::new(quic);
    let mut connection = ::h3::server::Connection::new(connection).await.unwrap();
    while let Ok(Some(resolver)) = connection.accept().await {
        tokio::spawn(async move {
            let (_, mut stream) = resolver.resolve_request().await?;
            while let Some(mut data) = stream.recv_data().await? {
                data.advance(data.remaining());
            }
            stream.send_response(Response::new(())).await?;
            stream.send_data(Bytes::from_static(PAGE)).await?;
            stream.finish().await
        });
    }
}

/// A client's connection.
pub(crate) struct Client {
    send: Sender,
    handle: ClientHandle,
}

enum Sender {
    H2(SendRequest<Empty<Bytes>>),
    H3(h3::Client),
}

fn origin() -> client::Origin {
    client::Origin::new("localhost", 443)
}

fn credential() -> ClientCredential {
    let (provider, device) = (TlsOptions::default().provider(), &test_pki().device);
    let key = provider.key_provider.load_private_key(device.key.clone_key()).unwrap();
    Credential::new(Chain::new(device.chain.clone()).unwrap(), key).unwrap().into()
}

/// The client's rules for answering.
fn answers(way: Way) -> Arc<client::AuthConfig> {
    let shown = match way {
        Way::OnDemand => StaticCredentials::new().identity(origin(), credential()),
        Way::Ahead => StaticCredentials::new().keep_generic(),
        Way::Get | Way::Second => StaticCredentials::new(),
    };
    let limit = if way == Way::Second { 0 } else { 4 };
    let builder = client::AuthConfig::builder(TlsOptions::default().provider());
    Arc::new(builder.resolver(Arc::new(shown)).limit(limit).build().unwrap())
}

impl Client {
    pub(crate) async fn over_tcp<IO>(way: Way, io: IO) -> Self
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshaker = Handshaker::new(Arc::new(client_tls(way, "h2")), answers(way));
        let (stream, handle) = handshaker.connect(io, origin()).await.unwrap();
        let (send, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        Self { send: Sender::H2(send), handle }
    }

    pub(crate) async fn over_quic(
        way: Way,
        endpoint: &quinn::Endpoint,
        address: SocketAddr,
    ) -> Self {
        let config =
            countersign_testkit::quic::client_config(client_tls(way, "h3"), Default::default());
        let handshaker = h3::Handshaker::new(config, answers(way));
        let (send, handle) = handshaker.connect(endpoint, address, origin()).await.unwrap();
        Self { send: Sender::H3(send), handle }
    }

    /// A GET that has to succeed.
    pub(crate) async fn get(&mut self, path: &str) {
        let uri = format!("https://localhost{path}");
        let request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
        let status = match &mut self.send {
            Sender::H2(send) => {
                let response = send.send_request(request).await.unwrap();
                let status = response.status();
                response.into_body().collect().await.unwrap();
                status
            }
            Sender::H3(send) => {
                let response = send.send(request).await.unwrap();
                let status = response.status();
                response.into_body().collect().await.unwrap();
                status
            }
        };
        assert_eq!(status, 200);
    }

    /// What is measured on a connection that is there already.
    pub(crate) async fn step_up(&mut self, way: Way) {
        if way == Way::Ahead {
            self.handle.present(Arc::new(credential())).await.unwrap();
        }
        self.get(way.path()).await;
    }
}
