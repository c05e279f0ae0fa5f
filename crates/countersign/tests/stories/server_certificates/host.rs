//! A server that offers certificates for further names.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use countersign::server::{
    Acceptor, AuthConfigBuilder, AuthHandle, ServerCertificate, ServerCertificates, WithAuthHandle,
};
use countersign::{Chain, Credential, h3};
use countersign_testkit::pki::{Authority, Issued, KeyKind, Leaf};
use countersign_testkit::{TlsOptions, Version, quic};
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use quinn::TransportConfig;
use quinn::crypto::rustls::QuicServerConfig;
use tokio::net::TcpListener;

/// Two authorities that clients trust, and one that they do not.
pub(super) struct Authorities {
    /// Vouches for the handshake's certificate.
    pub(super) own: Authority,
    /// Vouches for the others.
    pub(super) other: Authority,
    pub(super) untrusted: Authority,
}

pub(super) fn authorities() -> &'static Authorities {
    static AUTHORITIES: LazyLock<Authorities> = LazyLock::new(|| {
        let root = |name| Authority::root(name, KeyKind::P256).unwrap();
        Authorities { own: root("Own"), other: root("Other"), untrusted: root("Untrusted") }
    });
    &AUTHORITIES
}

pub(super) fn leaf(name: &str) -> Leaf {
    Leaf::server(name).dns(name)
}

/// What a server can prove for `leaf`, by an authority that has nothing to do with the handshake's.
pub(super) fn other(leaf: &Leaf) -> ServerCertificate {
    certificate(&authorities().other.issue(leaf).unwrap())
}

pub(super) fn certificate(issued: &Issued) -> ServerCertificate {
    let key = TlsOptions::default().provider().key_provider;
    let key = key.load_private_key(issued.key.clone_key()).unwrap();
    let chain = Chain::new(issued.chain.clone()).unwrap();
    ServerCertificate::new(Credential::new(chain, key).unwrap())
}

/// Certificates that are all offered unasked.
pub(super) fn offering(
    certificates: impl IntoIterator<Item = ServerCertificate>,
) -> Arc<ServerCertificates> {
    Arc::new(ServerCertificates::new(certificates))
}

/// A server whose handshake is for `a.test`.
pub(super) struct Host {
    pub(super) tls: rustls::ServerConfig,
    pub(super) rules: AuthConfigBuilder,
    pub(super) certificates: Arc<ServerCertificates>,
    /// Whether support is announced.
    pub(super) announces: bool,
}

impl Host {
    pub(super) fn new(certificates: Arc<ServerCertificates>) -> Self {
        let server = authorities().own.issue(&leaf("a.test")).unwrap();
        Self {
            tls: TlsOptions { server, ..TlsOptions::default() }.server_config(),
            rules: crate::support::rules(),
            certificates,
            announces: true,
        }
    }

    /// Serves one version of HTTP in the background until the test's runtime ends.
    pub(super) async fn serve(self, version: Version) -> SocketAddr {
        let Self { tls, mut rules, certificates, announces } = self;
        if announces {
            rules = rules.server_certificates(Arc::clone(&certificates));
        }
        let rules = Arc::new(rules.build().unwrap());
        match version {
            Version::H2 => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let acceptor = Acceptor::new(Arc::new(tls), rules);
                tokio::spawn(serve_h2(listener, acceptor, certificates));
                address
            }
            Version::H3 => {
                let endpoint = quic::server(tls.clone(), TransportConfig::default());
                let address = endpoint.local_addr().unwrap();
                let acceptor = h3_acceptor(tls, rules);
                tokio::spawn(serve_h3(endpoint, acceptor, certificates));
                address
            }
        }
    }
}

fn h3_acceptor(
    mut tls: rustls::ServerConfig,
    rules: Arc<countersign::server::AuthConfig>,
) -> h3::Acceptor {
    tls.alpn_protocols = vec![h3::ALPN_H3.to_vec()];
    let tls = Arc::new(tls);
    let crypto = QuicServerConfig::try_from(Arc::clone(&tls)).unwrap();
    h3::Acceptor::new(rules).tls(quinn::ServerConfig::with_crypto(Arc::new(crypto)), tls)
}

async fn serve_h2(
    listener: TcpListener,
    acceptor: Acceptor,
    certificates: Arc<ServerCertificates>,
) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, certificates) = (acceptor.clone(), Arc::clone(&certificates));
        tokio::spawn(async move {
            let (stream, handle) = acceptor.accept(tcp).await.unwrap();
            let service =
                tower::service_fn(move |request| respond(request, Arc::clone(&certificates)));
            let service = TowerToHyperService::new(WithAuthHandle::new(service, handle));
            let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            // How the client leaves is its own affair.
            let _ended = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn serve_h3(
    endpoint: quinn::Endpoint,
    acceptor: h3::Acceptor,
    certificates: Arc<ServerCertificates>,
) {
    while let Some(incoming) = endpoint.accept().await {
        let (acceptor, certificates) = (acceptor.clone(), Arc::clone(&certificates));
        tokio::spawn(async move {
            let (connection, _) = acceptor.accept(incoming).await.unwrap();
            let service =
                tower::service_fn(move |request| respond(request, Arc::clone(&certificates)));
            connection.serve(service, std::future::pending()).await;
        });
    }
}

/// Says which host was asked. `/admin` is for users. CONNECT opens no tunnel; it gets the certificate
/// with which the host is served on this connection.
async fn respond<B>(
    request: Request<B>,
    certificates: Arc<ServerCertificates>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let handle = request.extensions().get::<AuthHandle>().unwrap().clone();
    let host = request.uri().host().unwrap().to_owned();
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::CONNECT, _) => match certificates.find(&host).map(|one| handle.offer(&one)) {
            Some(Ok(())) => (503, "offered".to_owned()),
            Some(Err(error)) => (502, error.to_string()),
            None => (404, host),
        },
        (_, "/admin") => match handle.require("user").await {
            Ok(_) => (200, host),
            Err(denied) => (403, denied.to_string()),
        },
        (_, "/certified") => (200, format!("{:?}", handle.is_certified_for(&host))),
        _ => (200, host),
    };
    Ok(Response::builder().status(status).body(Full::from(text)).unwrap())
}
