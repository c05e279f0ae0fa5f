//! The least that a proxy on hyper can be: mutual TLS in the handshake, no routes, no rules.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, version};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::pki;

const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");

#[derive(Clone)]
struct Proxy {
    acceptor: TlsAcceptor,
    client: Client<HttpConnector, Incoming>,
    backend: Authority,
}

pub(crate) async fn run(
    address: SocketAddr,
    backend: SocketAddr,
    files: &Path,
) -> anyhow::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let proxy = Proxy {
        acceptor: TlsAcceptor::from(Arc::new(tls(files)?)),
        client: Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(256)
            .build(connector),
        backend: backend.to_string().parse()?,
    };
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let proxy = proxy.clone();
        // A client that leaves is the end of every connection here.
        tokio::spawn(async move { drop(proxy.serve(stream).await) });
    }
}

fn tls(files: &Path) -> anyhow::Result<ServerConfig> {
    let verifier = WebPkiClientVerifier::builder(pki::roots(files, "client")?)
        .allow_unauthenticated()
        .build()?;
    let (chain, key) = pki::identity(files, "server")?;
    let mut tls = ServerConfig::builder_with_protocol_versions(&[&version::TLS13])
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    tls.alpn_protocols = vec![b"h2".to_vec()];
    Ok(tls)
}

impl Proxy {
    async fn serve(self, stream: TcpStream) -> anyhow::Result<()> {
        let stream = self.acceptor.accept(stream).await?;
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = leaf
            .map(|leaf| HeaderValue::try_from(format!(":{}:", STANDARD.encode(leaf))))
            .transpose()?;
        let service = service_fn(move |request| self.clone().forward(request, certificate.clone()));
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(128);
        let served = builder.serve_connection(TokioIo::new(stream), service).await;
        served.map_err(anyhow::Error::from_boxed)
    }

    async fn forward(
        self,
        mut request: Request<Incoming>,
        certificate: Option<HeaderValue>,
    ) -> anyhow::Result<Response<Incoming>> {
        if let Some(authority) = request.uri().authority() {
            let host = HeaderValue::from_str(authority.as_str())?;
            request.headers_mut().insert(HOST, host);
        }
        let mut target = std::mem::take(request.uri_mut()).into_parts();
        (target.scheme, target.authority) = (Some(Scheme::HTTP), Some(self.backend));
        *request.uri_mut() = Uri::from_parts(target)?;
        *request.version_mut() = Version::HTTP_11;
        for name in [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE, CLIENT_CERT] {
            request.headers_mut().remove(name);
        }
        if let Some(certificate) = certificate {
            request.headers_mut().insert(CLIENT_CERT, certificate);
        }
        let mut response = self.client.request(request).await?;
        response.headers_mut().remove(CONNECTION);
        *response.version_mut() = Version::HTTP_2;
        Ok(response)
    }
}
