//! A gateway with its files, a backend that remembers what it got, and clients.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use countersign::client::{
    self, ClientCredential, ClientHandle, CredentialResolver, Handshaker, Origin, StaticCredentials,
};
use countersign::{Chain, Credential, h3};
use countersign_gateway::{Config, Gateway, GatewayError, ReloadError, Reloader};
use countersign_testkit::pki::Issued;
use countersign_testkit::tls::{TlsOptions, test_pki};
use countersign_testkit::within;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// The versions that the tests which are not about framing run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http2,
    Http3,
}

impl Version {
    /// Its protocol id in ALPN.
    pub(crate) fn alpn(self) -> &'static str {
        match self {
            Self::Http2 => "h2",
            Self::Http3 => "h3",
        }
    }
}

/// Makes a test of each function, for both versions.
macro_rules! for_both_versions {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn http2() {
                super::$name(crate::support::Version::Http2).await;
            }

            #[tokio::test]
            async fn http3() {
                super::$name(crate::support::Version::Http3).await;
            }
        }
    )+};
}
pub(crate) use for_both_versions;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body that tests send.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(crate) fn empty() -> Body {
    Empty::new().boxed_unsync()
}

pub(crate) fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).boxed_unsync()
}

/// A request as it reached a backend.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A backend for HTTP/1.1 and h2c. It answers `hello` and keeps what it got.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let kept = Arc::clone(&seen);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<AtomicUsize> = Arc::default();
        tokio::spawn(serve_on(listener, Arc::clone(&connections), move |request| {
            let kept = Arc::clone(&kept);
            async move {
                let (parts, body) = request.into_parts();
                let collected = body.collect().await.unwrap();
                kept.lock().unwrap().push(Seen {
                    line: format!("{} {} {:?}", parts.method, parts.uri, parts.version),
                    headers: parts.headers,
                    trailers: collected.trailers().cloned(),
                    body: collected.to_bytes(),
                });
                Response::builder()
                    .header("connection", "x-hop")
                    .header("x-hop", "1")
                    .header("x-end", "1")
                    .body(full("hello"))
                    .unwrap()
            }
        }));
        Self { address, seen, connections }
    }

    /// How many connections it was asked for.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// All that it got so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request that it got.
    pub(crate) fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }
}

/// Serves HTTP/1.1 and h2c without TLS until the test's runtime ends.
pub(crate) async fn serve<F, A>(answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_on(listener, Arc::default(), answer));
    address
}

/// Serves on `listener` and counts the connections.
pub(crate) async fn serve_on<F, A>(listener: TcpListener, connections: Arc<AtomicUsize>, answer: F)
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::SeqCst);
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answering = answer(request);
            async move { Ok::<_, Infallible>(answering.await) }
        });
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            builder.serve_connection(TokioIo::new(stream), service).await
        });
    }
}

/// Answers one request on each h2c connection, then says goodbye.
pub(crate) async fn serve_once_each(listener: TcpListener, served: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            let answered = Notify::new();
            let service = service_fn(|_| {
                served.fetch_add(1, Ordering::SeqCst);
                answered.notify_one();
                std::future::ready(Ok::<_, Infallible>(Response::new(full("once"))))
            });
            let builder = auto::Builder::new(TokioExecutor::new()).http2_only();
            let mut connection =
                std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
            tokio::select! {
                _ = connection.as_mut() => return,
                () = answered.notified() => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        });
    }
}

/// An address that nobody listens on.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A gateway that runs.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) reloader: Reloader,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    files: tempfile::TempDir,
}

/// What every configuration of these tests begins with.
pub(crate) const HEAD: &str = r#"
[listen]
address = "127.0.0.1:0"
http3 = true
[[tls]]
certificate = "server.pem"
key = "server.key"
[credentials.device]
trust = "device-ca.pem"
ask = "on-connect"
[credentials.user]
trust = "user-ca.pem"
crl = ["user.crl"]
subject_alt_names = ["*@example.test"]
handshake = "accept"
"#;

impl Running {
    /// The routes of CLI.md in front of one backend.
    pub(crate) async fn standard(upstream: &str) -> Self {
        let routes = r#"
[[routes]]
path = "/public/"
upstream = "UPSTREAM"
[[routes]]
path = "/admin/"
require = ["device", "user"]
allow = [{ credential = "user", subject_alt_names = ["alice@example.test"] }]
upstream = "UPSTREAM"
forward = { client_cert = "user", xfcc = true, identities = true }
[[routes]]
path = "/user/"
require = ["user"]
upstream = "UPSTREAM"
forward = { identities = true }
"#;
        Self::start(&format!("{HEAD}{}", routes.replace("UPSTREAM", upstream))).await
    }

    /// One open route to one backend.
    pub(crate) async fn open(upstream: &str) -> Self {
        Self::start(&format!("{HEAD}[[routes]]\npath = \"/\"\nupstream = \"{upstream}\"\n")).await
    }

    pub(crate) async fn start(text: &str) -> Self {
        Self::start_with(text, &[]).await
    }

    /// With further files beside the configuration.
    pub(crate) async fn start_with(text: &str, more: &[(&str, String)]) -> Self {
        let (files, gateway) = bind(text, more).await;
        let gateway = gateway.unwrap();
        let address = gateway.local_addr();
        assert!(gateway.udp_addr().is_none_or(|udp| udp == address));
        let admin = gateway.admin_addr();
        let reloader = gateway.reloader().clone();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(gateway.run(async {
            let _ = stopped.await;
        }));
        Self { address, admin, reloader, stop: Some(stop), task, files }
    }

    /// The path of one of its files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Writes one of its files anew.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Goes over to the configuration file as it is now.
    pub(crate) async fn reload(&self) -> Result<(), ReloadError> {
        self.reloader.reload(self.path("gateway.toml")).await
    }

    /// Tells the gateway to end, without waiting.
    pub(crate) fn end(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) {
        within(self.task).await.unwrap();
    }
}

async fn bind(
    text: &str,
    more: &[(&str, String)],
) -> (tempfile::TempDir, Result<Gateway, GatewayError>) {
    let files = tempfile::tempdir().unwrap();
    for (name, content) in test_pki().files() {
        std::fs::write(files.path().join(name), content).unwrap();
    }
    for (name, content) in more {
        let path = files.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let file = files.path().join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    let config = Config::load(&file).unwrap_or_else(|error| panic!("{error}"));
    let gateway = Gateway::bind(config).await;
    (files, gateway)
}

/// A gateway that need not start.
pub(crate) async fn try_start(text: &str) -> Result<Gateway, GatewayError> {
    bind(text, &[]).await.1
}

/// TLS as a client does it; `shown` is for the handshake itself.
pub(crate) fn tls(alpn: &str, shown: Option<&Issued>) -> Arc<ClientConfig> {
    let mut options = TlsOptions::default().alpn([alpn]);
    options.client = shown.cloned();
    Arc::new(options.client_config())
}

/// QUIC as a client does it.
pub(crate) fn quic(shown: Option<&Issued>) -> quinn::ClientConfig {
    quic_with(tls("h3", shown))
}

fn quic_with(tls: Arc<ClientConfig>) -> quinn::ClientConfig {
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    quinn::ClientConfig::new(Arc::new(tls))
}

pub(crate) fn credential(issued: &Issued) -> ClientCredential {
    let provider = TlsOptions::default().provider();
    let key = provider.key_provider.load_private_key(issued.key.clone_key()).unwrap();
    Credential::new(Chain::new(issued.chain.clone()).unwrap(), key).unwrap().into()
}

pub(crate) fn origin(gateway: &Running) -> Origin {
    Origin::new("localhost", gateway.address.port())
}

/// Shows these to the gateway and to nobody else.
pub(crate) fn shown_to(gateway: &Running, identities: &[&Issued]) -> StaticCredentials {
    identities.iter().fold(StaticCredentials::new(), |shown, issued| {
        shown.identity(origin(gateway), credential(issued))
    })
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of<B>(response: Response<B>) -> Self
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: std::fmt::Debug,
    {
        let (parts, body) = response.into_parts();
        let body = within(body.collect()).await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body }
    }

    /// The type and the credentials of a problem document, after looking at its form.
    #[track_caller]
    pub(crate) fn problem(&self) -> (String, Vec<String>) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let document: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(document["status"], self.status.as_u16());
        let status = self.headers["proxy-status"].to_str().unwrap();
        assert!(status.starts_with("\"localhost\";error="), "{status}");
        let credentials = document["credentials"].as_array().into_iter().flatten();
        (
            document["type"].as_str().unwrap().to_owned(),
            credentials.map(|name| name.as_str().unwrap().to_owned()).collect(),
        )
    }
}

#[derive(Clone)]
enum Sender {
    Http2(http2::SendRequest<Body>),
    Http3(h3::Client),
}

/// A body that tests receive.
pub(crate) type Received = UnsyncBoxBody<Bytes, BoxError>;

/// A client on one connection.
pub(crate) struct Client {
    send: Sender,
    pub(crate) authority: String,
}

impl Client {
    /// With the extension, showing `identities` when asked.
    pub(crate) async fn showing(
        version: Version,
        gateway: &Running,
        identities: &[&Issued],
    ) -> Self {
        Self::resolving(version, gateway, shown_to(gateway, identities)).await
    }

    /// With the extension, answering by `resolver`.
    pub(crate) async fn resolving(
        version: Version,
        gateway: &Running,
        resolver: impl CredentialResolver,
    ) -> Self {
        let auth = client::AuthConfig::builder(TlsOptions::default().provider())
            .resolver(Arc::new(resolver))
            .limit(4)
            .build()
            .unwrap();
        let tls = tls(version.alpn(), None);
        Self::to(version, gateway, origin(gateway), tls, auth).await.unwrap().0
    }

    /// Without the extension, as any client today.
    pub(crate) async fn plain(
        version: Version,
        gateway: &Running,
        handshake: Option<&Issued>,
    ) -> Self {
        if version == Version::Http3 {
            let auth = client::AuthConfig::builder(TlsOptions::default().provider()).limit(0);
            let (tls, auth) = (tls("h3", handshake), auth.build().unwrap());
            return Self::to(version, gateway, origin(gateway), tls, auth).await.unwrap().0;
        }
        let stream = connect(gateway, "h2", handshake).await;
        Self::over(stream, gateway).await
    }

    /// On a connection to `origin`, in every detail.
    pub(crate) async fn to(
        version: Version,
        gateway: &Running,
        origin: Origin,
        tls: Arc<ClientConfig>,
        auth: client::AuthConfig,
    ) -> Result<(Self, ClientHandle), BoxError> {
        let auth = Arc::new(auth);
        if version == Version::Http3 {
            let handshaker = h3::Handshaker::new(quic_with(tls), auth);
            let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse()?)?;
            let connecting = handshaker.connect(&endpoint, gateway.address, origin);
            let (client, handle) = within(connecting).await?;
            return Ok((Self::new(Sender::Http3(client), gateway), handle));
        }
        let handshaker = Handshaker::new(tls, auth);
        let tcp = TcpStream::connect(gateway.address).await?;
        let connecting = handshaker.connect_to(tcp, origin, gateway.address);
        let (stream, handle) = within(connecting).await?;
        Ok((Self::over(stream, gateway).await, handle))
    }

    /// HTTP/2 over a stream that is there.
    pub(crate) async fn over<S>(stream: S, gateway: &Running) -> Self
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = within(
            http2::Builder::new(TokioExecutor::new())
                .max_frame_size(64 * 1024)
                .handshake(TokioIo::new(stream)),
        )
        .await
        .unwrap();
        tokio::spawn(connection);
        Self::new(Sender::Http2(send), gateway)
    }

    fn new(send: Sender, gateway: &Running) -> Self {
        Self { send, authority: format!("localhost:{}", gateway.address.port()) }
    }

    /// Waits until the connection takes no more requests.
    pub(crate) async fn closed(&self) {
        within(async {
            match self.send.clone() {
                Sender::Http2(mut send) => {
                    while !send.is_closed() && send.ready().await.is_ok() {
                        tokio::task::yield_now().await
                    }
                }
                Sender::Http3(client) => drop(client.quic().closed().await),
            }
        })
        .await;
    }

    /// What is below it, which has to be of HTTP/3.
    pub(crate) fn http3(&self) -> h3::Client {
        match &self.send {
            Sender::Http3(client) => client.clone(),
            Sender::Http2(_) => panic!("this client speaks HTTP/2"),
        }
    }

    pub(crate) fn request(&self, path: &str) -> http::request::Builder {
        Request::builder().uri(format!("https://{}{path}", self.authority))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(path).body(empty()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.start(request).await.unwrap()).await
    }

    /// Sends, and comes back with the response's header section.
    pub(crate) async fn start(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Received>, BoxError> {
        match self.send.clone() {
            Sender::Http2(mut send) => {
                within(send.ready()).await?;
                let response = within(send.send_request(request)).await?;
                Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
            }
            Sender::Http3(mut client) => {
                let response = within(Box::pin(client.send(request))).await?;
                Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
            }
        }
    }
}

/// A TLS connection to the gateway.
pub(crate) async fn connect(
    gateway: &Running,
    alpn: &str,
    handshake: Option<&Issued>,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    connect_to(gateway, "localhost", tls(alpn, handshake)).await
}

/// The same for another name.
pub(crate) async fn connect_to(
    gateway: &Running,
    name: &'static str,
    tls: Arc<ClientConfig>,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let connector = TlsConnector::from(tls);
    let tcp = TcpStream::connect(gateway.address).await.unwrap();
    let name = ServerName::try_from(name).unwrap();
    within(connector.connect(name, tcp)).await.unwrap()
}

/// A client on one HTTP/1.1 connection.
pub(crate) struct Http1 {
    send: http1::SendRequest<Body>,
}

impl Http1 {
    pub(crate) async fn connect(gateway: &Running, handshake: Option<&Issued>) -> Self {
        Self::over(connect(gateway, "http/1.1", handshake).await).await
    }

    /// Over a stream that is there.
    pub(crate) async fn over(stream: tokio_rustls::client::TlsStream<TcpStream>) -> Self {
        let (send, connection) = within(http1::handshake(TokioIo::new(stream))).await.unwrap();
        tokio::spawn(connection);
        Self { send }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let request = Request::get(path).header("host", "localhost").body(empty()).unwrap();
        self.send(request).await
    }

    pub(crate) async fn send(&mut self, request: Request<Body>) -> Answer {
        within(self.send.ready()).await.unwrap();
        Answer::of(within(self.send.send_request(request)).await.unwrap()).await
    }
}
