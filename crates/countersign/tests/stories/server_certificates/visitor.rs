//! A client that is connected to `a.test` and would like to see what else is there.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use countersign::client::{
    self, AuthorityRules, ClientHandle, DnsRule, Event, Handshaker, NotAuthoritative, Origin,
    Resolve, StaticCredentials,
};
use countersign::{BoxFuture, CodePoints, h3};
use countersign_testkit::pki::Issued;
use countersign_testkit::tls::roots;
use countersign_testkit::{TlsOptions, Version, quic};
use http::Request;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use tokio::net::TcpStream;

use super::host::authorities;
use crate::support::{Log, Send, credential, provider, quic_config, until};

/// Where every name leads; nowhere if there is no address.
pub(super) struct Leads(pub(super) Option<SocketAddr>);

impl Resolve for Leads {
    fn resolve(&self, _origin: &Origin) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        let found = self.0.map(|address| vec![address]);
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }
}

/// Trusts both of the hosts' authorities.
pub(super) fn verifier() -> Arc<dyn ServerCertVerifier> {
    let roots = roots([&authorities().own.root_der(), &authorities().other.root_der()]);
    let provider = TlsOptions::default().provider();
    WebPkiServerVerifier::builder_with_provider(roots, provider).build().unwrap()
}

/// How to connect.
pub(super) struct Visitor {
    pub(super) address: SocketAddr,
    pub(super) tls: rustls::ClientConfig,
    /// Without any, support is not announced.
    pub(super) rules: Option<AuthorityRules>,
    pub(super) points: CodePoints,
    /// What it can show.
    pub(super) identities: Vec<Issued>,
}

impl Visitor {
    /// One to whom DNS says that all names lead to `address`.
    pub(super) fn new(address: SocketAddr) -> Self {
        Self::asking(address, Leads(Some(address)), DnsRule::Always)
    }

    pub(super) fn asking(address: SocketAddr, names: Leads, dns: DnsRule) -> Self {
        let mut tls = TlsOptions::default().client_config();
        tls.dangerous().set_certificate_verifier(verifier());
        let rules = AuthorityRules::new(verifier()).resolver(Arc::new(names)).dns(dns);
        let points = CodePoints::default();
        Self { address, tls, rules: Some(rules), points, identities: Vec::new() }
    }

    /// Connects to `a.test`.
    pub(super) async fn visit(&self, version: Version) -> Visit {
        let own = Origin::new("a.test", self.address.port());
        let shown = self.identities.iter().fold(StaticCredentials::new(), |shown, issued| {
            shown.identity(own.clone(), credential(issued))
        });
        let log = Arc::<Log>::default();
        let mut auth = client::AuthConfig::builder(provider())
            .resolver(Arc::new(shown))
            .code_points(self.points)
            .observer(Arc::clone(&log) as Arc<_>);
        if let Some(rules) = &self.rules {
            auth = auth.authority(rules.clone());
        }
        let auth = Arc::new(auth.build().unwrap());
        let (send, handle) = match version {
            Version::H2 => {
                let handshaker = Handshaker::new(Arc::new(self.tls.clone()), auth);
                let tcp = TcpStream::connect(self.address).await.unwrap();
                let opened = handshaker.connect_to(tcp, own, self.address).await;
                let (stream, handle) = opened.unwrap();
                let http = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
                let (send, connection) = http.handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                (Send::H2(send), handle)
            }
            Version::H3 => {
                let handshaker = h3::Handshaker::new(quic_config(self.tls.clone()), auth);
                let opened = handshaker.connect(&quic::client(), self.address, own).await;
                let (client, handle) = opened.unwrap();
                (Send::H3(client), handle)
            }
        };
        Visit { send, handle, log, port: self.address.port() }
    }
}

/// One connection.
pub(super) struct Visit {
    send: Send,
    pub(super) handle: ClientHandle,
    log: Arc<Log>,
    port: u16,
}

/// The names of a certificate that was shown, and why it was not accepted.
type Shown = (Vec<String>, Option<String>);

impl Visit {
    pub(super) async fn get(&mut self, host: &str, path: &str) -> (u16, String) {
        let request = Request::get(format!("https://{host}:{}{path}", self.port));
        self.send.request(request.body(Empty::<Bytes>::new()).unwrap()).await
    }

    pub(super) async fn connect(&mut self, host: &str) -> (u16, String) {
        let request = Request::connect(format!("{host}:{}", self.port));
        self.send.request(request.body(Empty::<Bytes>::new()).unwrap()).await
    }

    /// What the server has shown on the connection so far.
    pub(super) fn shown(&self) -> Vec<Shown> {
        let log = self.log.0.lock().unwrap();
        let shown = log.iter().filter_map(|event| {
            let Event::ServerCertificate { names, rejected, .. } = event else {
                return None;
            };
            Some((names.clone(), rejected.clone()))
        });
        shown.collect()
    }

    /// The same, when there are `number`.
    pub(super) async fn shown_all(&self, number: usize) -> Vec<Shown> {
        until(|| self.shown().len() >= number).await;
        self.shown()
    }

    /// Whether `host` can be asked for on this connection.
    pub(super) async fn authority(&self, host: &str) -> Result<(), NotAuthoritative> {
        self.handle.is_authoritative_for(&Origin::new(host, self.port)).await
    }
}

/// What is shown of an accepted certificate for `name`.
pub(super) fn accepted(name: &str) -> Shown {
    (vec![name.to_owned()], None)
}
