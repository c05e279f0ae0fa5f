//! Backends over TLS: whom the gateway trusts, whom it is, and which version is spoken.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use countersign_testkit::pki::{Authority, KeyKind};
use countersign_testkit::tls::{TlsOptions, test_pki};
use countersign_testkit::within;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::streaming::{CHUNK, CHUNKS, long_body, settled};
use crate::support::{Answer, Body, Client, HEAD, Http1, Running, Version, empty, full};

/// Serves over TLS, and counts the connections.
async fn serve_tls<F, A>(tls: ServerConfig, answer: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections: Arc<AtomicUsize> = Arc::default();
    let (counted, acceptor) = (Arc::clone(&connections), TlsAcceptor::from(Arc::new(tls)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let (acceptor, answer) = (acceptor.clone(), answer.clone());
            tokio::spawn(async move {
                let stream = match acceptor.accept(stream).into_fallible().await {
                    Ok(stream) => stream,
                    Err((_, mut refused)) => {
                        // A close over unread input would be a reset, which destroys the alert.
                        let _ = refused.read_to_end(&mut Vec::new()).await;
                        return;
                    }
                };
                let service = service_fn(move |request| {
                    let answering = answer(request);
                    async move { Ok::<_, Infallible>(answering.await) }
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, connections)
}

fn server(alpn: &[&str]) -> ServerConfig {
    TlsOptions::default().alpn(alpn.iter().copied()).server_config()
}

/// Tells how the request came.
async fn told(request: Request<Incoming>) -> Response<Body> {
    let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
    let named = request.uri().authority().map(ToString::to_string);
    let both = host.is_some() && named.is_some();
    let host = host.or(named).unwrap();
    assert!(!both, "one or the other names the host");
    Response::new(full(format!("{:?} for {host}", request.version())))
}

/// A gateway in front of one server, described in a table.
async fn in_front_of(address: SocketAddr, more: &str) -> Running {
    let other = Authority::root("Other servers", KeyKind::P256).unwrap();
    Running::start_with(&text(address, more), &[("other-ca.pem", other.root_pem())]).await
}

fn text(address: SocketAddr, more: &str) -> String {
    format!(
        "{HEAD}[[routes]]\npath = \"/\"\nupstream = \"backend\"\n\
         [upstreams.backend]\nservers = [\"https://{address}\"]\n{more}\n"
    )
}

async fn get(gateway: &Running) -> Answer {
    Client::plain(Version::Http2, gateway, None).await.get("/").await
}

/// The status and the error in `Proxy-Status`.
fn refusal(answer: &Answer) -> (u16, String) {
    let told = answer.headers["proxy-status"].to_str().unwrap();
    (answer.status.as_u16(), told.split(';').nth(1).unwrap().to_owned())
}

const TRUST: &str = "tls = { trust = \"server-ca.pem\" }";

#[tokio::test]
async fn the_version_is_what_alpn_comes_to() {
    for (alpn, http, version) in [
        (&["h2", "http/1.1"][..], "auto", "HTTP/2.0"),
        (&["http/1.1"], "auto", "HTTP/1.1"),
        (&["h2", "http/1.1"], "1.1", "HTTP/1.1"),
        (&["h2", "http/1.1"], "2", "HTTP/2.0"),
        (&[], "auto", "HTTP/1.1"),
    ] {
        let (address, connections) = serve_tls(server(alpn), told).await;
        let gateway = in_front_of(address, &format!("http = \"{http}\"\n{TRUST}")).await;
        let client = Client::plain(Version::Http2, &gateway, None).await;
        for _ in 0..3 {
            let answer = client.get("/").await;
            assert_eq!(
                answer.body,
                format!("{version} for {}", client.authority),
                "{alpn:?} {http}"
            );
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1, "{alpn:?} {http}");
    }
}

#[tokio::test]
async fn a_certificate_has_to_be_trusted_and_for_the_name() {
    let (address, _) = serve_tls(server(&["h2", "http/1.1"]), told).await;
    for (tls, expected) in [
        ("trust = \"server-ca.pem\", server_name = \"localhost\"", 200),
        ("trust = \"server-ca.pem\", server_name = \"elsewhere.test\"", 502),
        ("trust = \"other-ca.pem\"", 502),
    ] {
        let answer = get(&in_front_of(address, &format!("tls = {{ {tls} }}")).await).await;
        assert_eq!(answer.status, expected, "{tls}");
        if expected == 502 {
            assert_eq!(refusal(&answer), (502, "error=tls_certificate_error".to_owned()), "{tls}");
        }
    }
}

#[tokio::test]
async fn a_certificate_is_shown_where_the_server_demands_one() {
    let mut roots = RootCertStore::empty();
    roots.add(test_pki().device_ca.clone()).unwrap();
    let options = TlsOptions::default();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.into(), options.provider()).build();
    let mut tls = ServerConfig::builder_with_provider(options.provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.unwrap())
        .with_single_cert(options.server.chain.clone(), options.server.key.clone_key())
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (address, _) = serve_tls(tls, told).await;
    for (own, http, expected) in [
        (Some("device"), "1.1", Ok(200)),
        (Some("device"), "2", Ok(200)),
        (Some("alice"), "1.1", Err("error=tls_alert_received")),
        (None, "1.1", Err("error=tls_alert_received")),
        // What HTTP/2 tells of it is less.
        (None, "2", Err("error=tls_")),
    ] {
        let own = own.map(|own| format!(", certificate = \"{own}.pem\", key = \"{own}.key\""));
        let own = own.unwrap_or_default();
        let more = format!("http = \"{http}\"\ntls = {{ trust = \"server-ca.pem\"{own} }}");
        let answer = get(&in_front_of(address, &more).await).await;
        match expected {
            Ok(status) => assert_eq!(answer.status, status, "{own} {http}"),
            Err(error) => {
                let (status, told) = refusal(&answer);
                assert!(status == 502 && told.starts_with(error), "{own} {http}: {told}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_502() {
    let plain = crate::support::serve(|_| async { Response::new(full("plain")) }).await;
    let answer = get(&in_front_of(plain, TRUST).await).await;
    assert_eq!(refusal(&answer), (502, "error=tls_protocol_error".to_owned()));
}

#[tokio::test]
async fn messages_and_trailers_go_both_ways_over_http2() {
    let answer = |request: Request<Incoming>| async move {
        assert_eq!(request.headers()["te"], "trailers");
        let asked = request.into_body().collect().await.unwrap();
        let mut trailers = asked.trailers().unwrap().clone();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let frames = [Ok(Frame::data(asked.to_bytes())), Ok(Frame::trailers(trailers))];
        Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync())
    };
    let (address, _) = serve_tls(server(&["h2"]), answer).await;
    let gateway = in_front_of(address, TRUST).await;
    let client = Client::plain(Version::Http2, &gateway, None).await;
    let sum = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("7"))]);
    let frames = [Ok(Frame::data(Bytes::from_static(b"ping"))), Ok(Frame::trailers(sum))];
    let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
    let request = client.request("/x.X/Y").method("POST").header("te", "trailers").body(body);
    let response = client.start(request.unwrap()).await.unwrap();
    let got = within(response.into_body().collect()).await.unwrap();
    let trailers = got.trailers().unwrap();
    assert_eq!(
        (&trailers["x-sum"], &trailers["grpc-status"]),
        (&"7".parse().unwrap(), &"0".parse().unwrap())
    );
    assert_eq!(got.to_bytes(), "ping");
}

#[tokio::test]
async fn a_reload_takes_up_another_trust_and_keeps_no_connection_of_before() {
    let (address, connections) = serve_tls(server(&["h2", "http/1.1"]), told).await;
    let gateway = in_front_of(
        address,
        "tls = { trust = \"backend-ca.pem\" }".replace("backend", "server").as_str(),
    )
    .await;
    let client = Client::plain(Version::Http2, &gateway, None).await;
    assert_eq!(client.get("/").await.status, 200);
    // The same words: the connection is kept.
    gateway.reload().await.unwrap();
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    let good = std::fs::read(gateway.path("server-ca.pem")).unwrap();
    gateway.write("server-ca.pem", std::fs::read(gateway.path("other-ca.pem")).unwrap());
    gateway.reload().await.unwrap();
    assert_eq!(refusal(&client.get("/").await), (502, "error=tls_certificate_error".to_owned()));
    gateway.write("server-ca.pem", good);
    gateway.reload().await.unwrap();
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn bodies_are_held_back_in_both_directions() {
    for alpn in ["h2", "http/1.1"] {
        let go = Arc::new(Notify::new());
        let (waiting, given) = (Arc::clone(&go), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&given);
        let answer = move |request: Request<Incoming>| {
            let (go, given) = (Arc::clone(&waiting), Arc::clone(&counted));
            async move {
                go.notified().await;
                let body = request.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(body.len(), CHUNK * CHUNKS);
                Response::new(long_body(given))
            }
        };
        let (address, _) = serve_tls(server(&[alpn]), answer).await;
        let gateway = in_front_of(address, TRUST).await;
        let client = Client::plain(Version::Http2, &gateway, None).await;
        let taken = Arc::new(AtomicUsize::new(0));
        let request = client.request("/").method("POST").body(long_body(Arc::clone(&taken)));
        let sending = client.start(request.unwrap());
        let watching = async {
            while taken.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            let held = settled(&taken).await;
            assert!(held < CHUNKS / 2, "{alpn}: {held} chunks were taken while nobody read");
            go.notify_one();
        };
        let (response, ()) = within(async { tokio::join!(sending, watching) }).await;
        let body = response.unwrap().into_body();
        let held = settled(&given).await;
        assert!(held < CHUNKS / 2, "{alpn}: {held} chunks were given while nobody read");
        assert_eq!(within(body.collect()).await.unwrap().to_bytes().len(), CHUNK * CHUNKS);
    }
}

#[tokio::test]
async fn a_request_with_upgrade_goes_over_http1_beside_the_others() {
    let (address, connections) = serve_tls(server(&["h2", "http/1.1"]), told).await;
    let gateway = in_front_of(address, TRUST).await;
    let mut client = Http1::connect(&gateway, None).await;
    assert_eq!(client.get("/").await.body, "HTTP/2.0 for localhost");
    let request = Request::get("/")
        .header("host", "localhost")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    // This server does not switch; what counts is how it was asked.
    let answer = client.send(request.body(empty()).unwrap()).await;
    assert_eq!(answer.body, "HTTP/1.1 for localhost");
    assert_eq!(client.get("/").await.body, "HTTP/2.0 for localhost");
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}
