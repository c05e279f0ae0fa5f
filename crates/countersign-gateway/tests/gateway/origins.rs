//! Several certificates: one by SNI for the handshake, the others on the live connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use countersign::BoxFuture;
use countersign::client::{
    self, AuthorityRules, ClientHandle, Event, NotAuthoritative, Observer, Origin, Resolve,
};
use countersign_testkit::pki::{Authority, Issued, KeyKind, Leaf};
use countersign_testkit::raw_h3::{Arrival, Frame, kind};
use countersign_testkit::tls::{TlsOptions, roots, test_pki};
use countersign_testkit::{RawH3Peer, within};
use http::Request;
use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;

use crate::support::{
    Answer, Backend, BoxError, Client, HEAD, Http1, Running, Version, connect_to, empty,
    for_both_versions, origin, shown_to,
};

for_both_versions! {
    the_server_name_picks_the_certificate,
    one_connection_serves_two_origins,
    credentials_and_routes_are_the_same_for_the_second_origin,
    a_client_that_takes_no_further_certificates_is_misdirected,
    a_connect_shows_the_client_that_it_needs_none,
    a_request_shows_interest_too,
}

/// Certificates of two more certification authorities.
struct World {
    backend: Backend,
    gateway: Running,
    /// Vouches for `b.test` and `www.c.test`.
    one: CertificateDer<'static>,
    /// Vouches for `*.c.test`.
    another: CertificateDer<'static>,
}

fn server(authority: &Authority, name: &str) -> Issued {
    authority.issue(&Leaf::server(name).dns(name)).unwrap()
}

fn tls_entry(file: &str) -> String {
    format!("[[tls]]\ncertificate = \"{file}.pem\"\nkey = \"{file}.key\"\n")
}

impl World {
    /// The certificate of the test PKI first, then `fillers` that nobody is interested in, then these.
    async fn new(fillers: usize) -> Self {
        let one = Authority::root("One", KeyKind::P256).unwrap();
        let another = Authority::root("Another", KeyKind::P256).unwrap();
        let mut certificates: Vec<_> = (0..fillers)
            .map(|index| (format!("filler-{index}"), server(&one, &format!("f{index}.test"))))
            .collect();
        certificates.push(("b".to_owned(), server(&one, "b.test")));
        certificates.push(("any-c".to_owned(), server(&another, "*.c.test")));
        certificates.push(("www-c".to_owned(), server(&one, "www.c.test")));
        let entries: String = certificates.iter().map(|(file, _)| tls_entry(file)).collect();
        let files = certificates.iter().flat_map(|(file, issued)| {
            [(format!("{file}.pem"), issued.pem()), (format!("{file}.key"), issued.key_pem())]
        });
        let files: Vec<_> = files.collect();
        let files: Vec<_> =
            files.iter().map(|(file, content)| (file.as_str(), content.clone())).collect();
        let backend = Backend::start().await;
        let routes = format!(
            r#"
[[routes]]
path = "/public/"
upstream = "http://{0}"
[[routes]]
path = "/user/"
require = ["user"]
allow = [{{ credential = "user", subject_alt_names = ["alice@example.test"] }}]
upstream = "http://{0}"
forward = {{ identities = true }}
"#,
            backend.address
        );
        let gateway = Running::start_with(&format!("{HEAD}{entries}{routes}"), &files).await;
        Self { backend, gateway, one: one.root_der(), another: another.root_der() }
    }

    fn origin(&self, host: &str) -> Origin {
        Origin::new(host, self.gateway.address.port())
    }

    /// A client that takes further certificates, connected to `localhost`.
    async fn coalescing(&self, version: Version, identities: &[&Issued]) -> Coalescing {
        let (told, events) = mpsc::unbounded_channel();
        let trusted = [&test_pki().server_ca, &self.one, &self.another];
        let verifier = verifier(&trusted);
        let auth = client::AuthConfig::builder(TlsOptions::default().provider())
            .resolver(Arc::new(shown_to(&self.gateway, identities)))
            .authority(AuthorityRules::new(verifier).resolver(Arc::new(At(self.gateway.address))))
            .observer(Arc::new(Names(told)))
            .build()
            .unwrap();
        let (own, tls) = (origin(&self.gateway), trusting(version.alpn(), &trusted));
        let connected = Client::to(version, &self.gateway, own, tls, auth).await;
        let (client, handle) = connected.unwrap();
        Coalescing { client, handle, events }
    }
}

fn verifier(trusted: &[&CertificateDer<'static>]) -> Arc<WebPkiServerVerifier> {
    let provider = TlsOptions::default().provider();
    let roots = roots(trusted.iter().copied());
    WebPkiServerVerifier::builder_with_provider(roots, provider).build().unwrap()
}

fn trusting(alpn: &str, trusted: &[&CertificateDer<'static>]) -> Arc<ClientConfig> {
    let mut tls = ClientConfig::builder_with_provider(TlsOptions::default().provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_webpki_verifier(verifier(trusted))
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    Arc::new(tls)
}

/// All names lead here.
struct At(SocketAddr);

impl Resolve for At {
    fn resolve(&self, _: &Origin) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        Box::pin(std::future::ready(Ok(vec![self.0])))
    }
}

/// Tells the names of accepted certificates.
struct Names(mpsc::UnboundedSender<String>);

impl Observer for Names {
    fn event(&self, _: &Origin, event: &Event) {
        if let Event::ServerCertificate { names, rejected: None, .. } = event {
            let _ = self.0.send(names.join(" "));
        }
    }
}

struct Coalescing {
    client: Client,
    handle: ClientHandle,
    events: mpsc::UnboundedReceiver<String>,
}

impl Coalescing {
    /// Waits for the next `count` certificates.
    async fn certificates(&mut self, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(within(self.events.recv()).await.unwrap());
        }
        names
    }

    /// Asks as a careful client does, then sends.
    async fn get(&self, origin: &Origin, path: &str) -> Result<Answer, NotAuthoritative> {
        self.handle.is_authoritative_for(origin).await?;
        Ok(get(&self.client, origin, path).await)
    }
}

async fn get(client: &Client, origin: &Origin, path: &str) -> Answer {
    client.send(Request::get(format!("{origin}{path}")).body(empty()).unwrap()).await
}

async fn connect(client: &Client, origin: &Origin) -> (u16, String) {
    let target = format!("{}:{}", origin.host(), origin.port());
    let answer = client.send(Request::connect(target).body(empty()).unwrap()).await;
    assert_eq!(answer.problem().0, "about:blank");
    let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    (answer.status.as_u16(), document["detail"].as_str().unwrap().to_owned())
}

async fn the_server_name_picks_the_certificate(version: Version) {
    let world = World::new(0).await;
    let ours = &test_pki().server_ca;
    let connected = async |host: &str, trusted| -> Result<u16, BoxError> {
        let auth = client::AuthConfig::builder(TlsOptions::default().provider()).build()?;
        let (tls, origin) = (trusting(version.alpn(), &[trusted]), world.origin(host));
        let (client, _) = Client::to(version, &world.gateway, origin.clone(), tls, auth).await?;
        Ok(get(&client, &origin, "/public/").await.status.as_u16())
    };
    for (host, trusted) in [
        ("localhost", ours),
        ("b.test", &world.one),
        ("x.c.test", &world.another),
        ("www.c.test", &world.one),
        // No server name is sent for an address.
        ("127.0.0.1", ours),
    ] {
        assert_eq!(connected(host, trusted).await.unwrap(), 200, "{host}");
    }
    for host in ["unknown.test", "c.test", "x.y.c.test"] {
        let error = connected(host, ours).await.unwrap_err().to_string();
        assert!(error.contains("only valid for DnsName(\"localhost\")"), "{host}: {error}");
    }
}

async fn one_connection_serves_two_origins(version: Version) {
    //= specs/server-certs.md#section-3.2
    //= type=test
    //# A server SHOULD NOT send a certificate whose origins it is not ready to serve on the
    //# connection.
    let world = World::new(0).await;
    let mut client = world.coalescing(version, &[]).await;
    assert_eq!(client.certificates(3).await, ["b.test", "*.c.test", "www.c.test"]);
    for host in ["localhost", "b.test", "x.c.test", "www.c.test"] {
        let answer = client.get(&world.origin(host), "/public/").await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"hello"[..]), "{host}");
        let port = world.gateway.address.port();
        let seen = world.backend.seen().pop().unwrap();
        assert_eq!(seen.header("host"), Some(format!("{host}:{port}").as_str()));
    }
    let other = get(&client.client, &world.origin("unknown.test"), "/public/").await;
    assert_eq!((other.status.as_u16(), other.problem().0.as_str()), (421, "about:blank"));
    assert_eq!(world.backend.seen().len(), 4);
}

async fn credentials_and_routes_are_the_same_for_the_second_origin(version: Version) {
    let world = World::new(0).await;
    let second = world.origin("b.test");
    let pki = test_pki();
    for (identities, status, problem) in [
        (vec![&pki.alice], 200, None),
        (vec![&pki.bob], 403, Some("urn:countersign:not-allowed")),
        (vec![], 403, Some("urn:countersign:credential-declined")),
    ] {
        let mut client = world.coalescing(version, &identities).await;
        client.certificates(3).await;
        let answer = client.get(&second, "/user/").await.unwrap();
        assert_eq!(answer.status, status);
        if let Some(problem) = problem {
            assert_eq!(answer.problem(), (problem.to_owned(), vec!["user".into()]));
        }
        assert_eq!(client.get(&second, "/elsewhere").await.unwrap().status, 404);
    }
    let identities = world.backend.only().header("client-identities").unwrap().to_owned();
    assert!(identities.contains("email=\"alice@example.test\""), "{identities}");
}

async fn a_client_that_takes_no_further_certificates_is_misdirected(version: Version) {
    let world = World::new(0).await;
    for client in [
        Client::plain(version, &world.gateway, None).await,
        Client::showing(version, &world.gateway, &[&test_pki().alice]).await,
    ] {
        for path in ["/public/", "/user/", "/elsewhere"] {
            let answer = get(&client, &world.origin("b.test"), path).await;
            assert_eq!((answer.status.as_u16(), answer.problem().0.as_str()), (421, "about:blank"));
        }
        let (status, detail) = connect(&client, &world.origin("b.test")).await;
        assert_eq!((status, detail.as_str()), (501, "The method CONNECT is not passed on."));
        assert_eq!(client.get("/elsewhere").await.status, 404, "the connection lives on");
    }
    assert!(world.backend.seen().is_empty());
}

#[tokio::test]
async fn over_http1_the_handshakes_certificate_decides() {
    let world = World::new(0).await;
    let tls = trusting("http/1.1", &[&world.one]);
    let mut client = Http1::over(connect_to(&world.gateway, "b.test", tls).await).await;
    for (host, status) in
        [("b.test", 200), ("B.test:8443", 200), ("localhost", 421), ("www.c.test", 421)]
    {
        let request = Request::get("/public/").header("host", host).body(empty()).unwrap();
        assert_eq!(client.send(request).await.status, status, "{host}");
    }
    assert_eq!(world.backend.seen().len(), 2);
}

async fn a_connect_shows_the_client_that_it_needs_none(version: Version) {
    //= specs/server-certs.md#section-1
    //= type=test
    //# A proxy MAY prove certificates of origins that it can serve itself and so spare the client a
    //# tunnel to them.
    //= specs/server-certs.md#section-3.2
    //= type=test
    //# A server MAY send certificates later on, for example when CONNECT shows which origin a
    //# client is interested in.
    let world = World::new(20).await;
    let mut client = world.coalescing(version, &[]).await;
    let unasked = client.certificates(15).await;
    assert!(unasked.iter().all(|names| names.starts_with('f')), "{unasked:?}");
    let (second, unknown) = (world.origin("b.test"), world.origin("unknown.test"));
    let refused = client.get(&second, "/public/").await.unwrap_err();
    assert_eq!(refused, NotAuthoritative::NotCertified);

    let (status, detail) = connect(&client.client, &unknown).await;
    assert_eq!((status, detail.as_str()), (501, "The method CONNECT is not passed on."));
    let (status, detail) = connect(&client.client, &second).await;
    assert_eq!(status, 501);
    assert!(detail.contains("b.test is served here: send the requests for it"), "{detail}");
    assert_eq!(client.certificates(1).await, ["b.test"]);
    assert_eq!(client.get(&second, "/public/").await.unwrap().status, 200);

    // The exact one of the two that would do, and none twice.
    connect(&client.client, &second).await;
    connect(&client.client, &world.origin("www.c.test")).await;
    assert_eq!(client.certificates(1).await, ["www.c.test"]);
    assert_eq!(world.backend.seen().len(), 1);
}

async fn a_request_shows_interest_too(version: Version) {
    let world = World::new(20).await;
    let mut client = world.coalescing(version, &[]).await;
    client.certificates(15).await;
    let second = world.origin("x.c.test");
    assert_eq!(get(&client.client, &second, "/public/").await.status, 200);
    assert_eq!(client.certificates(1).await, ["*.c.test"]);
    assert_eq!(client.get(&second, "/public/").await.unwrap().status, 200);
}

#[tokio::test]
async fn connect_has_neither_scheme_nor_path() {
    let world = World::new(0).await;
    let tls = TlsOptions::default().alpn(["h3"]).client_config();
    let mut peer = RawH3Peer::connect(world.gateway.address, tls).await;
    within(peer.open(&[])).await;
    for (authority, served) in [("localhost:443", true), ("unknown.test:443", false)] {
        // RFC 9204: no dynamic table; :method by its line in the static table, :authority by name.
        let mut fields = vec![0, 0, 0xc0 | 15, 0x50, u8::try_from(authority.len()).unwrap()];
        fields.extend_from_slice(authority.as_bytes());
        let id = peer.open_request(&Frame::new(kind::HEADERS, fields).encode()).await;
        peer.finish(id).await;
        let data = |arrival: &Arrival| matches!(arrival, Arrival::Exchange(of, frame) if *of == id && frame.kind == kind::DATA);
        let Some(Arrival::Exchange(_, frame)) = peer.next_matching(data).await else {
            panic!("no document");
        };
        let document: serde_json::Value = serde_json::from_slice(&frame.payload).unwrap();
        let told = document["detail"].as_str().unwrap().contains("localhost is served here");
        assert_eq!((&document["status"], told), (&501.into(), served), "{document}");
    }
    assert!(world.backend.seen().is_empty());
}
