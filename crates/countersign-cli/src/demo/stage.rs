//! Where the demo plays: a fresh PKI, a backend and the gateway, all on loopback.

use std::convert::Infallible;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use countersign_gateway::{Config, Gateway};
use countersign_pki::{Authority, KeyKind, Leaf, TestPki};
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::failure::{Exit, Failure};

/// A second name of the gateway, with a certificate that has nothing to do with the first.
pub(super) const OTHER_NAME: &str = "other.test";

/// Everything but the clients.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) pki: TestPki,
    /// The root that vouches for the gateway's second name, [`OTHER_NAME`].
    pub(super) other_ca: CertificateDer<'static>,
    /// Where the gateway listens.
    pub(super) gateway: SocketAddr,
    /// Where the backend listens.
    pub(super) backend: SocketAddr,
    log: Log,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    backend_task: JoinHandle<()>,
    _folder: Folder,
}

/// A request as the backend saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) fields: HeaderMap,
}

type Log = Arc<Mutex<Vec<Seen>>>;

impl Stage {
    /// Makes certificates and starts both servers.
    pub(super) async fn set() -> Result<Self, Failure> {
        let pki = TestPki::generate().map_err(failed)?;
        let folder = Folder::make()?;
        pki.write_to(&folder.0).map_err(failed)?;
        let other_ca = Authority::root("Other root", KeyKind::P256).map_err(failed)?;
        let other = Leaf::server(OTHER_NAME).dns(OTHER_NAME);
        let other = other_ca.issue(&other).map_err(failed)?;
        fs::write(folder.0.join("other.pem"), other.pem()).map_err(failed)?;
        fs::write(folder.0.join("other.key"), other.key_pem()).map_err(failed)?;

        let log = Log::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let backend = listener.local_addr().map_err(failed)?;
        let backend_task = tokio::spawn(run_backend(listener, Arc::clone(&log)));

        let config = Config::parse(&configuration(backend), &folder.0.join("demo.toml"));
        let gateway = Gateway::bind(config.map_err(failed)?).await.map_err(failed)?;
        let address = gateway.local_addr();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(gateway.run(async {
            // Whether it was sent or dropped: the play is over.
            let _ = stopped.await;
        }));
        Ok(Self {
            pki,
            other_ca: other_ca.root_der(),
            gateway: address,
            backend,
            log,
            stop,
            serving,
            backend_task,
            _folder: folder,
        })
    }

    /// What the backend has seen since the last call.
    pub(super) fn seen_by_backend(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends both servers and removes the certificates.
    pub(super) async fn strike(self) {
        // It ends either way; a gateway that failed is noticed by the story.
        let _ = self.stop.send(());
        let _ = self.serving.await;
        self.backend_task.abort();
    }
}

/// The gateway's configuration: that of `pki init` with a page for devices.
fn configuration(backend: SocketAddr) -> String {
    format!(
        r#"
[listen]
address = "127.0.0.1:0"
http3 = true

[[tls]]
certificate = "server.pem"
key = "server.key"

[[tls]]
certificate = "other.pem"
key = "other.key"

[credentials.device]
trust = "device-ca.pem"
ask = "on-connect"

[credentials.user]
trust = "user-ca.pem"
crl = ["user.crl"]
subject_alt_names = ["*@example.test"]

[[routes]]
path = "/public/"
upstream = "http://{backend}"

[[routes]]
path = "/device/"
require = ["device"]
upstream = "http://{backend}"
forward = {{ identities = true }}

[[routes]]
path = "/admin/"
require = ["device", "user"]
allow = [{{ credential = "user", subject_alt_names = ["alice@example.test"] }}]
upstream = "http://{backend}"
forward = {{ client_cert = "user", xfcc = true, identities = true }}
"#
    )
}

/// An ordinary HTTP/1.1 server that remembers what it was asked.
async fn run_backend(listener: TcpListener, log: Log) {
    while let Ok((stream, _)) = listener.accept().await {
        let log = Arc::clone(&log);
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let seen =
                Seen { path: request.uri().path().to_owned(), fields: request.headers().clone() };
            let answer = format!("This is {}.\n", seen.path);
            log.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
            async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer)))) }
        });
        tokio::spawn(async move {
            // A gateway that goes away is no event in a backend's life.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A folder that is gone when this is.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self, Failure> {
        let unique = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
        let name = format!("countersign-demo-{}-{unique}", std::process::id());
        let path = std::env::temp_dir().join(name);
        create_private(&path).map_err(|error| {
            Failure::new(Exit::Failed, format!("{} could not be made: {error}", path.display()))
        })?;
        Ok(Self(path))
    }
}

/// A new folder that nobody else can look into.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is test certificates that expire.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("the demo could not be set up: {error}"))
}
