//! Servers of the bench, on whatever carries them.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use bytes::{Buf, Bytes};
use countersign::h3;
use countersign::server::{
    Acceptor, AuthConfig, CredentialKind, RequireCredentialLayer, ServerCertificates,
    WithAuthHandle,
};
use countersign_testkit::TlsOptions;
use countersign_testkit::tls::{roots, test_pki};
use countersign_trust::{ChainVerifier, VerifiedChains};
use http::{Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use quinn::crypto::rustls::QuicServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::pki::{self, FURTHER, server_tls};
use crate::way::{Version, Way};

/// What a server answers everybody with; nobody looks at it.
const PAGE: &[u8] = b"ok\n";

/// How a server serves one way: with ours, or on a connection of its own without.
#[derive(Clone)]
pub(crate) struct Server {
    way: Way,
    tls: Arc<rustls::ServerConfig>,
    rules: Arc<AuthConfig>,
    further: Arc<ServerCertificates>,
}

impl Server {
    pub(crate) fn new(version: Version, way: Way) -> Self {
        let provider = TlsOptions::default().provider();
        // The same client comes again and again.
        let verifier = ChainVerifier::new(
            roots([&test_pki().device_ca]),
            provider.signature_verification_algorithms,
        );
        let known = Arc::new(VerifiedChains::new(10));
        let verifier = verifier.unwrap().remember_in(&known);
        let device = CredentialKind::new("device", Arc::new(verifier));
        let kept = if way == Way::Ahead { 1 } else { 0 };
        let mut rules = AuthConfig::builder(provider).credential(device).generic_challenges(kept);
        let further = Arc::new(ServerCertificates::new([]));
        if way == Way::Offered {
            rules = rules.server_certificates(Arc::clone(&further));
        }
        let rules = Arc::new(rules.build().unwrap());
        Self { way, tls: server_tls(way, version.alpn()), rules, further }
    }

    /// Offers the further certificate on all connections, if that is the way. It has to be called where the
    /// connections are served.
    pub(crate) fn offer(&self) {
        if self.way == Way::Offered {
            self.further.replace([pki::further()]);
        }
    }

    /// Offers nothing to the connections that come.
    pub(crate) fn withdraw(&self) {
        self.further.replace([]);
    }

    /// Serves one connection over HTTP/2 to its end.
    pub(crate) async fn serve_h2<IO>(self, io: IO)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        // A client that leaves is the end of every connection here.
        drop(if self.way.connects() {
            let stream = TlsAcceptor::from(self.tls).accept(io).await.unwrap();
            assert_eq!(stream.get_ref().1.peer_certificates().is_some(), self.way == Way::Second);
            http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router())).await
        } else {
            let (stream, handle) = Acceptor::new(self.tls, self.rules).accept(io).await.unwrap();
            let service = TowerToHyperService::new(WithAuthHandle::new(router(), handle));
            http.serve_connection(TokioIo::new(stream), service).await
        });
    }

    pub(crate) fn quic_config(&self) -> quinn::ServerConfig {
        let crypto = QuicServerConfig::try_from(Arc::clone(&self.tls)).unwrap();
        quinn::ServerConfig::with_crypto(Arc::new(crypto))
    }

    /// Serves HTTP/3 until the endpoint is closed.
    pub(crate) async fn serve_h3(self, endpoint: quinn::Endpoint) {
        let acceptor = h3::Acceptor::new(Arc::clone(&self.rules))
            .tls(self.quic_config(), Arc::clone(&self.tls));
        while let Some(incoming) = endpoint.accept().await {
            let (acceptor, way) = (acceptor.clone(), self.way);
            tokio::spawn(async move {
                if way.connects() {
                    return serve_plain_h3(incoming.await.unwrap(), way).await;
                }
                let (connection, _handle) = acceptor.accept(incoming).await.unwrap();
                let service = tower::service_fn(|request: Request<h3::RequestBody>| {
                    tower::ServiceExt::oneshot(router(), request.map(axum::body::Body::new))
                });
                connection.serve(service, std::future::pending()).await;
            });
        }
    }
}

/// `/device` is for known devices, `/further` for the further origin, `/` for everybody.
fn router() -> Router {
    let further = async |uri: Uri| match uri.host() {
        Some(FURTHER) => Ok(PAGE),
        Some(_) | None => Err(StatusCode::MISDIRECTED_REQUEST),
    };
    Router::new()
        .route("/device", get(async || PAGE).layer(RequireCredentialLayer::new("device")))
        .route("/further", get(further))
        .route("/", get(async || PAGE))
}

async fn serve_plain_h3(quic: quinn::Connection, way: Way) {
    assert_eq!(quic.peer_identity().is_some(), way == Way::Second);
    let connection = h3_quinn::Connection::new(quic);
    let mut connection = ::h3::server::Connection::new(connection).await.unwrap();
    while let Ok(Some(resolver)) = connection.accept().await {
        tokio::spawn(async move {
            let (request, mut stream) = resolver.resolve_request().await?;
            assert_eq!(request.uri().host() == Some(FURTHER), way == Way::New);
            while let Some(mut data) = stream.recv_data().await? {
                data.advance(data.remaining());
            }
            stream.send_response(Response::new(())).await?;
            stream.send_data(Bytes::from_static(PAGE)).await?;
            stream.finish().await
        });
    }
}
