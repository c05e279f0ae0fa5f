//! A server for a.test and b.test, with a certificate for each of them from an authority of its own.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use countersign::BoxFuture;
use countersign::client::{
    self, AuthorityRules, ClientHandle, CredentialSet, Event, Origin, PooledClient, Resolve,
};
use countersign::server::{
    Acceptor, AuthConfig, ServerCertificate, ServerCertificates, ServerStream,
};
use countersign::{Chain, Credential};
use countersign_testkit::pki::{Authority, Issued, KeyKind, Leaf};
use countersign_testkit::tls::roots;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::server::ResolvesServerCertUsingSni;
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::support::{Log, provider};

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Certificates for the two names, and one for b.test that no client trusts.
struct Pki {
    roots: [rustls::pki_types::CertificateDer<'static>; 2],
    a: Issued,
    b: Issued,
    untrusted: Issued,
}

static PKI: LazyLock<Pki> = LazyLock::new(|| {
    let issue =
        |authority: &Authority, name: &str| authority.issue(&Leaf::server(name).dns(name)).unwrap();
    let [one, other, stranger] =
        ["One", "Other", "Stranger"].map(|name| Authority::root(name, KeyKind::P256).unwrap());
    Pki {
        roots: [one.root_der(), other.root_der()],
        a: issue(&one, "a.test"),
        b: issue(&other, "b.test"),
        untrusted: issue(&stranger, "b.test"),
    }
});

/// How the server goes about it.
#[derive(Clone, Default)]
pub(crate) struct Ways {
    /// It answers 421 to requests for another name than that of the handshake, as long as this is set.
    pub(crate) misdirects: Arc<AtomicBool>,
    /// It answers 421 to everything, as long as this is set.
    pub(crate) disowns: Arc<AtomicBool>,
    /// What it offers for b.test is from an authority that nobody trusts.
    pub(crate) untrusted: bool,
    /// It speaks HTTP/1.1 only.
    pub(crate) http1: bool,
    /// How many streams it takes at a time, if not very many.
    pub(crate) streams: Option<u32>,
    /// Lets requests for `/held` go on.
    pub(crate) held: Arc<Notify>,
}

/// A running server.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    /// Has every connection shut down once its streams are through.
    pub(crate) shut_down: Arc<Notify>,
}

impl Site {
    pub(crate) async fn serve(ways: Ways) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let site = Self {
            address: listener.local_addr().unwrap(),
            accepted: Arc::default(),
            shut_down: Arc::default(),
        };
        let (accepted, shut_down) = (Arc::clone(&site.accepted), Arc::clone(&site.shut_down));
        let acceptor = acceptor(&ways);
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::SeqCst);
                let (acceptor, ways, shut_down) =
                    (acceptor.clone(), ways.clone(), Arc::clone(&shut_down));
                tokio::spawn(async move {
                    let (stream, _handle) = acceptor.accept(tcp).await.unwrap();
                    speak(stream, &ways, &shut_down).await;
                });
            }
        });
        site
    }

    /// How many connections there have been.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn origin(&self, host: &str) -> Origin {
        Origin::new(host, self.address.port())
    }
}

fn acceptor(ways: &Ways) -> Acceptor {
    let pki = &*PKI;
    let mut by_name = ResolvesServerCertUsingSni::new();
    for (name, issued) in [("a.test", &pki.a), ("b.test", &pki.b)] {
        let key = credential_key(&provider(), issued);
        by_name.add(name, CertifiedKey::new(issued.chain.clone(), key)).unwrap();
    }
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(by_name));
    tls.alpn_protocols = if ways.http1 { vec![b"http/1.1".to_vec()] } else { vec![b"h2".to_vec()] };
    let offered = if ways.untrusted { &pki.untrusted } else { &pki.b };
    let chain = Chain::new(offered.chain.clone()).unwrap();
    let key = credential_key(&provider(), offered);
    let offered = ServerCertificate::new(Credential::new(chain, key).unwrap());
    let auth = AuthConfig::builder(provider())
        .server_certificates(Arc::new(ServerCertificates::new([offered])))
        .build()
        .unwrap();
    Acceptor::new(Arc::new(tls), Arc::new(auth))
}

fn credential_key(provider: &CryptoProvider, issued: &Issued) -> Arc<dyn rustls::sign::SigningKey> {
    provider.key_provider.load_private_key(issued.key.clone_key()).unwrap()
}

/// Answers with the name in the handshake, the name in the request, and the request's body and
/// trailers.
async fn speak(stream: ServerStream<TcpStream>, ways: &Ways, shut_down: &Notify) {
    let handshake = stream.tls().server_name().unwrap().to_owned();
    let (misdirects, held) = (Arc::clone(&ways.misdirects), Arc::clone(&ways.held));
    let disowns = Arc::clone(&ways.disowns);
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let (handshake, misdirects) = (handshake.clone(), misdirects.load(Ordering::SeqCst));
        let (held, disowns) = (Arc::clone(&held), disowns.load(Ordering::SeqCst));
        async move {
            if request.uri().path() == "/held" {
                held.notified().await;
            }
            let host = match request.uri().host() {
                Some(host) => host.to_owned(),
                None => request.headers()["host"].to_str().unwrap().to_owned(),
            };
            let host = host.split(':').next().unwrap().to_owned();
            let mut response = http::Response::builder();
            if disowns || misdirects && host != handshake {
                response = response.status(421);
            }
            let body = request.into_body().collect().await?;
            let trailers = body.trailers().map_or(0, http::HeaderMap::len);
            let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
            let answer = format!("{handshake} {host} {} {trailers}", body.len());
            Ok::<_, hyper::Error>(response.body(Full::new(Bytes::from(answer))).unwrap())
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(ways.streams.unwrap_or(200));
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = &mut connection => {}
        () = shut_down.notified() => {
            connection.as_mut().graceful_shutdown();
            let _ended = connection.await;
        }
    }
}

/// All names lead to one address.
struct LeadTo(IpAddr);

impl Resolve for LeadTo {
    fn resolve(&self, origin: &Origin) -> BoxFuture<'_, std::io::Result<Vec<SocketAddr>>> {
        let address = SocketAddr::new(self.0, origin.port());
        Box::pin(std::future::ready(Ok(vec![address])))
    }
}

type Lookup =
    tower::util::BoxCloneSyncService<Name, std::vec::IntoIter<SocketAddr>, std::io::Error>;

/// A pooled client to whose connector all names lead to loopback.
pub(crate) struct Caller {
    pub(crate) client: PooledClient<Body, HttpConnector<Lookup>>,
    pub(crate) log: Arc<Log>,
    pub(crate) set: CredentialSet,
}

/// What came of a request.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// See [`speak`].
    pub(crate) body: String,
    pub(crate) handle: ClientHandle,
}

impl Caller {
    /// DNS, as far as coalescing asks it, says loopback.
    pub(crate) fn new() -> Self {
        Self::with_dns(Ipv4Addr::LOCALHOST.into())
    }

    pub(crate) fn with_dns(address: IpAddr) -> Self {
        let lookup = tower::service_fn(async |_: Name| {
            Ok::<_, std::io::Error>(
                vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)].into_iter(),
            )
        });
        let lookup = Lookup::new(lookup);
        let mut tcp = HttpConnector::new_with_resolver(lookup);
        tcp.enforce_http(false);
        let mut tls = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(&PKI.roots))
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let log = Arc::new(Log::default());
        let set = Self::set(address, &log);
        Self { client: PooledClient::over(tcp, Arc::new(tls)), log, set }
    }

    /// A further set of credentials, which `log` is told of.
    pub(crate) fn set(dns: IpAddr, log: &Arc<Log>) -> CredentialSet {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots(&PKI.roots), provider());
        let rules = AuthorityRules::new(verifier.build().unwrap());
        let auth = client::AuthConfig::builder(provider())
            .authority(rules.resolver(Arc::new(LeadTo(dns))))
            .observer(log.clone())
            .build();
        CredentialSet::new(Arc::new(auth.unwrap()))
    }

    pub(crate) async fn get(&self, site: &Site, host: &str) -> Answer {
        self.send(&self.set, site, host, empty()).await
    }

    pub(crate) async fn send(
        &self,
        set: &CredentialSet,
        site: &Site,
        host: &str,
        body: Body,
    ) -> Answer {
        let uri = format!("https://{host}:{}/", site.address.port());
        let request = http::Request::post(uri).body(body).unwrap();
        let response = self.client.request(set, request).await.unwrap();
        let handle = response.extensions().get::<ClientHandle>().unwrap().clone();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, body: String::from_utf8(body.to_vec()).unwrap(), handle }
    }

    /// Waits until so many further certificates of servers have been judged.
    pub(crate) async fn certificates(&self, count: usize) {
        let judged = || {
            let log = self.log.0.lock().unwrap();
            log.iter().filter(|event| matches!(event, Event::ServerCertificate { .. })).count()
        };
        while judged() < count {
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) fn empty() -> Body {
    full(0)
}

/// A body that tells its size.
pub(crate) fn full(bytes: usize) -> Body {
    Full::new(Bytes::from(vec![b'x'; bytes])).boxed_unsync()
}

/// Waits until the connection is over.
pub(crate) async fn closed(handle: &ClientHandle) {
    while handle.closed_reason().is_none() {
        tokio::task::yield_now().await;
    }
}
