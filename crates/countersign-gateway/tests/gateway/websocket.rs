//! WebSocket from every version to an HTTP/1.1 backend: one decision, then bytes.

use std::sync::atomic::Ordering;

use countersign_testkit::tls::test_pki;
use countersign_testkit::within;
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Backend, Client, HEAD, Running, Version, connect, empty};
use crate::tunnels::{
    ACCEPT, Front, KEY, Peer, REQUEST, SocketBackend, accepting, extended, for_all_fronts,
};

for_all_fronts! {
    what_is_sent_comes_back,
    more_than_all_buffers_hold_goes_both_ways,
    either_side_can_end_it,
    without_the_credential_nothing_reaches_the_backend,
    a_switch_that_does_not_fit_is_refused,
    a_backend_may_decline,
    what_is_no_longer_allowed_ends,
    the_end_of_a_drain_cuts_it_off,
    an_upstream_over_http2_is_asked_with_extended_connect,
}

async fn what_is_sent_comes_back(front: Front) {
    let backend = SocketBackend::start(accepting).await;
    let gateway = Running::open(&backend.url()).await;
    let mut peer = Peer::open(front, &gateway, "/chat?room=1", None).await;
    assert_eq!(peer.status, if front == Front::Http1 { 101 } else { 200 });
    for turn in 0..20_u8 {
        peer.send(&[turn; 300]).await;
        peer.expect(&[turn; 300]).await;
    }
    let head = backend.only();
    assert!(head.starts_with("get /chat?room=1 http/1.1\r\n"), "{head}");
    for line in ["connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"] {
        assert_eq!(head.matches(line).count(), 1, "{line}: {head}");
    }
    assert_eq!(head.matches("sec-websocket-key: ").count(), 1, "{head}");
    assert!(head.contains("sec-websocket-protocol: chat\r\n"), "{head}");
    assert!(head.contains("x-forwarded-for: 127.0.0.1\r\n"), "{head}");
    for absent in ["content-length", "transfer-encoding", "protocol: websocket"] {
        assert!(!head.contains(&format!("\r\n{absent}")), "{head}");
    }
    match front {
        Front::Http1 => {
            assert!(head.contains(&KEY.to_lowercase()), "{head}");
            assert!(peer.head.contains(&format!("sec-websocket-accept: {ACCEPT}\r\n")));
            assert!(peer.head.contains("upgrade: websocket\r\n"), "{}", peer.head);
        }
        Front::Http2 | Front::Http3 => {
            assert!(!peer.head.contains("sec-websocket-accept"), "{}", peer.head);
        }
    }
}

async fn more_than_all_buffers_hold_goes_both_ways(front: Front) {
    let backend = SocketBackend::start(accepting).await;
    let gateway = Running::open(&backend.url()).await;
    let mut peer = Peer::open(front, &gateway, "/", None).await;
    let chunk: Vec<u8> = (0..64 * 1024_u32).map(|at| (at % 251) as u8).collect();
    // The backend does not read on while nobody takes what it echoes.
    for _ in 0..64 {
        peer.send(&chunk).await;
        peer.expect(&chunk).await;
    }
}

async fn either_side_can_end_it(front: Front) {
    let backend = SocketBackend::start(accepting).await;
    let gateway = Running::open(&backend.url()).await;
    let mut leaving = Peer::open(front, &gateway, "/", None).await;
    leaving.send(b"last words").await;
    leaving.finish().await;
    // The other direction is still there.
    leaving.expect(b"last words").await;
    leaving.expect_end().await;
    backend.ended(1).await;

    let mut staying = Peer::open(front, &gateway, "/", None).await;
    staying.send(b"bye").await;
    staying.expect(b"bye").await;
    backend.close().await;
    staying.expect_end().await;

    let gone = Peer::open(front, &gateway, "/", None).await;
    drop(gone);
    backend.ended(3).await;
}

async fn without_the_credential_nothing_reaches_the_backend(front: Front) {
    let backend = SocketBackend::start(accepting).await;
    let gateway = Running::standard(&backend.url()).await;
    for (path, status) in [("/user/", 403), ("/admin/", 403), ("/elsewhere", 404), ("/a/../b", 400)]
    {
        let peer = Peer::open(front, &gateway, path, None).await;
        assert_eq!(peer.status, status, "{path}");
    }
    assert_eq!(backend.connections.load(Ordering::SeqCst), 0);
    let mut alice = Peer::open(front, &gateway, "/user/", Some(&test_pki().alice)).await;
    alice.send(b"hello").await;
    alice.expect(b"hello").await;
    assert!(backend.only().contains("client-identities: \"user\""));
}

async fn a_switch_that_does_not_fit_is_refused(front: Front) {
    const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\n";
    let answers: [fn(&str) -> String; 5] = [
        |_| format!("{SWITCH}upgrade: websocket\r\nconnection: upgrade\r\n\r\n"),
        |_| {
            format!(
                "{SWITCH}upgrade: websocket\r\nconnection: upgrade\r\n\
                 sec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
            )
        },
        |head| accepting(head).replace("upgrade: websocket", "upgrade: h2c"),
        |head| accepting(head).replace("upgrade: websocket", "upgrade: websocket, h2c"),
        |head| accepting(head).replace("connection: upgrade", "connection: x"),
    ];
    for answer in answers {
        let backend = SocketBackend::start(answer).await;
        let gateway = Running::open(&backend.url()).await;
        let peer = Peer::open(front, &gateway, "/", None).await;
        assert_eq!(peer.status, 502, "{}", peer.head);
        backend.ended(1).await;
    }
}

async fn a_backend_may_decline(front: Front) {
    let declining = SocketBackend::start(|_| {
        "HTTP/1.1 426 Upgrade Required\r\nsec-websocket-version: 12\r\ncontent-length: 2\r\n\r\nno"
            .to_owned()
    })
    .await;
    let gateway = Running::open(&declining.url()).await;
    let mut peer = Peer::open(front, &gateway, "/", None).await;
    assert_eq!(peer.status, 426);
    peer.expect(b"no").await;

    // In HTTP/2 and HTTP/3 a success would say that the tunnel is there.
    let ordinary =
        SocketBackend::start(|_| "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npage".to_owned())
            .await;
    let gateway = Running::open(&ordinary.url()).await;
    let mut peer = Peer::open(front, &gateway, "/", None).await;
    if front == Front::Http1 {
        assert_eq!(peer.status, 200);
        peer.expect(b"page").await;
    } else {
        assert_eq!(peer.status, 502);
    }
}

async fn what_is_no_longer_allowed_ends(front: Front) {
    let backend = SocketBackend::start(accepting).await;
    let routes = |path: &str| {
        format!(
            "{HEAD}[[routes]]\npath = \"/open/\"\nupstream = \"{0}\"\n\
             [[routes]]\npath = \"{path}\"\nrequire = [\"user\"]\nupstream = \"{0}\"\n",
            backend.url()
        )
    };
    let gateway = Running::start(&routes("/user/")).await;
    let mut open = Peer::open(front, &gateway, "/open/", None).await;
    let alice = Some(&test_pki().alice);
    let mut by_route = Peer::open(front, &gateway, "/user/", alice).await;
    gateway.reload().await.unwrap();
    by_route.send(b"still here").await;
    by_route.expect(b"still here").await;
    gateway.write("gateway.toml", routes("/users/"));
    gateway.reload().await.unwrap();
    by_route.expect_end().await;
    backend.ended(1).await;

    let mut by_identity = Peer::open(front, &gateway, "/users/", alice).await;
    by_identity.send(b"now here").await;
    by_identity.expect(b"now here").await;
    gateway.write(
        "user-ca.pem",
        test_pki().files().iter().find(|file| file.0 == "device-ca.pem").unwrap().1.clone(),
    );
    gateway.write("gateway.toml", routes("/users/").replace("crl = [\"user.crl\"]\n", ""));
    gateway.reload().await.unwrap();
    by_identity.expect_end().await;
    backend.ended(2).await;

    open.send(b"nobody asked").await;
    open.expect(b"nobody asked").await;
}

async fn the_end_of_a_drain_cuts_it_off(front: Front) {
    let backend = SocketBackend::start(accepting).await;
    let text = format!(
        "{HEAD}[limits]\ndrain_timeout = \"1s\"\n[[routes]]\npath = \"/\"\nupstream = \"{}\"\n",
        backend.url()
    );
    let mut gateway = Running::start(&text).await;
    let mut peer = Peer::open(front, &gateway, "/", None).await;
    gateway.end();
    peer.send(b"in time").await;
    peer.expect(b"in time").await;
    gateway.ended().await;
    peer.expect_end().await;
    backend.ended(1).await;
}

#[tokio::test]
async fn an_http1_connection_counts_as_long_as_its_tunnel() {
    let backend = SocketBackend::start(accepting).await;
    let text = format!(
        "{HEAD}[limits]\nidle_timeout = \"50ms\"\n[[routes]]\npath = \"/\"\nupstream = \"{}\"\n",
        backend.url()
    );
    let gateway = Running::start(&text).await;
    for front in [Front::Http1, Front::Http2, Front::Http3] {
        let mut peer = Peer::open(front, &gateway, "/", None).await;
        let pause = std::future::pending::<()>();
        let _ = tokio::time::timeout(std::time::Duration::from_millis(300), pause).await;
        peer.send(b"not idle").await;
        peer.expect(b"not idle").await;
    }
}

#[tokio::test]
async fn what_an_eager_client_sends_waits_for_the_backend() {
    // Early data of a client whose backend agrees is the first data of the tunnel.
    let backend = SocketBackend::start(accepting).await;
    let gateway = Running::open(&backend.url()).await;
    let mut stream = connect(&gateway, "http/1.1", None).await;
    stream.write_all(format!("{REQUEST}early").as_bytes()).await.unwrap();
    let mut peer = Peer::over(stream).await;
    peer.expect(b"early").await;
    assert!(!backend.only().contains("early"));

    // That of a client whose backend declines never reaches the backend as it is.
    let smuggled = "GET /user/smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let declining =
        SocketBackend::start(|_| "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_owned())
            .await;
    let gateway = Running::standard(&declining.url()).await;
    let mut stream = connect(&gateway, "http/1.1", None).await;
    let request = REQUEST.replace("GET / ", "GET /public/ ");
    stream.write_all(format!("{request}{smuggled}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("credential-missing") {
        assert_ne!(within(stream.read_buf(&mut answer)).await.unwrap(), 0);
    }
    assert!(!declining.only().contains("smuggled"));
}

#[tokio::test]
async fn what_is_no_clean_request_for_websocket_is_none() {
    let backend = SocketBackend::start(accepting).await;
    let gateway = Running::open(&backend.url()).await;
    let key = format!("sec-websocket-key: {KEY}\r\n");
    for (what, request) in [
        ("a body", REQUEST.replace("\r\n\r\n", "\r\ncontent-length: 4\r\n\r\nbody")),
        (
            "a chunked body",
            REQUEST.replace("\r\n\r\n", "\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        ("no key", REQUEST.replace(&key, "")),
        ("two keys", REQUEST.replace(&key, &key.repeat(2))),
        ("a short key", REQUEST.replace(KEY, "c2hvcnQ=")),
    ] {
        let mut stream = connect(&gateway, "http/1.1", None).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(Peer::over(stream).await.status, 400, "{what}");
    }
    assert_eq!(backend.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn other_switches_are_not_passed_on() {
    let backend = SocketBackend::start(|_| {
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned()
    })
    .await;
    let gateway = Running::open(&backend.url()).await;
    let h2c = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n";
    let websocket = "connection: upgrade\r\nupgrade: websocket\r\n";
    for request in [
        REQUEST.replace(websocket, h2c),
        REQUEST.replace("upgrade: websocket", "upgrade: tls/1.0"),
        REQUEST.replace("connection: upgrade", "connection: keep-alive"),
        REQUEST.replace("HTTP/1.1", "HTTP/1.0"),
        REQUEST.replace("GET ", "POST "),
    ] {
        let before = backend.heads().len();
        let mut stream = connect(&gateway, "http/1.1", None).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(Peer::over(stream).await.status, 200, "{request}");
        let head = backend.heads().remove(before);
        for absent in ["\r\nupgrade", "\r\nconnection: upgrade", "http2-settings"] {
            assert!(!head.contains(absent), "{head}");
        }
    }
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_refused() {
    let backend = SocketBackend::start(|_| {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-accept: {ACCEPT}\r\n\r\n"
        )
    })
    .await;
    let gateway = Running::open(&backend.url()).await;
    let mut stream = connect(&gateway, "http/1.1", None).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(Peer::over(stream).await.status, 502);
}

#[tokio::test]
async fn other_protocols_and_bare_tunnels_are_refused() {
    let backend = SocketBackend::start(accepting).await;
    let gateway = Running::open(&backend.url()).await;
    for front in [Front::Http2, Front::Http3] {
        for protocol in [Some("connect-udp"), Some("webtransport"), Some("anything"), None] {
            let peer = Peer::connect_by(front, &gateway, "/", None, protocol).await;
            assert_eq!(peer.status, 501, "{front:?} {protocol:?}");
        }
    }
    assert_eq!(backend.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_client_is_asked_on_its_connection_and_has_several_tunnels_there() {
    let sockets = SocketBackend::start(accepting).await;
    let pages = Backend::start().await;
    let routes = format!(
        "{HEAD}[[routes]]\npath = \"/chat\"\nrequire = [\"user\", \"device\"]\nupstream = \"{}\"\n\
         [[routes]]\npath = \"/\"\nupstream = \"http://{}\"\n",
        sockets.url(),
        pages.address
    );
    let gateway = Running::start(&routes).await;
    let pki = test_pki();
    let client = Client::showing(Version::Http2, &gateway, &[&pki.device, &pki.alice]).await;
    let mut tunnels = Vec::new();
    for _ in 0..5 {
        let mut request = client.request("/chat").method("CONNECT").body(empty()).unwrap();
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        let response = client.start(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let upgraded = within(hyper::upgrade::on(response)).await.unwrap();
        tunnels.push(TokioIo::new(upgraded));
    }
    for (turn, tunnel) in tunnels.iter_mut().enumerate() {
        let text = format!("tunnel {turn}");
        within(tunnel.write_all(text.as_bytes())).await.unwrap();
        assert_eq!(client.get("/page").await.body, "hello");
        let mut got = vec![0; text.len()];
        within(tunnel.read_exact(&mut got)).await.unwrap();
        assert_eq!(got, text.as_bytes());
    }
    drop(tunnels.remove(2));
    sockets.ended(1).await;
    within(tunnels[3].write_all(b"another")).await.unwrap();
    within(tunnels[3].read_exact(&mut [0; 7])).await.unwrap();
    let stranger = Client::showing(Version::Http2, &gateway, &[&pki.device]).await;
    let mut request = stranger.request("/chat").method("CONNECT").body(empty()).unwrap();
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    assert_eq!(stranger.send(request).await.problem().1, ["user"]);
    assert_eq!(sockets.connections.load(Ordering::SeqCst), 5);
}

async fn an_upstream_over_http2_is_asked_with_extended_connect(front: Front) {
    let (backend, mut told) = extended(true, 200).await;
    let gateway = Running::open(&format!("h2c://{backend}")).await;
    let mut peer = Peer::open(front, &gateway, "/chat?room=1", None).await;
    assert_eq!(peer.status, if front == Front::Http1 { 101 } else { 200 });
    if front == Front::Http1 {
        assert!(peer.head.contains(&format!("sec-websocket-accept: {ACCEPT}\r\n")));
    }
    let chunk = vec![7; 50_000];
    for _ in 0..20 {
        peer.send(&chunk).await;
        peer.expect(&chunk).await;
    }
    peer.finish().await;
    peer.expect_end().await;
    let asked = within(told.recv()).await.unwrap();
    assert_eq!((asked.method().as_str(), asked.uri().path()), ("CONNECT", "/chat"));
    assert_eq!(asked.uri().query(), Some("room=1"));
    assert_eq!(asked.extensions().get::<Protocol>().unwrap().as_str(), "websocket");
    assert_eq!(asked.headers()["sec-websocket-version"], "13");
    for absent in ["sec-websocket-key", "upgrade", "connection", "host"] {
        assert_eq!(asked.headers().get(absent), None, "{absent}");
    }

    let (declining, _told) = extended(true, 403).await;
    let gateway = Running::open(&format!("h2c://{declining}")).await;
    assert_eq!(Peer::open(front, &gateway, "/", None).await.status, 403);
    let (confused, _told) = extended(true, 204).await;
    let gateway = Running::open(&format!("h2c://{confused}")).await;
    assert_eq!(Peer::open(front, &gateway, "/", None).await.status, 502);
}

#[tokio::test]
async fn an_upstream_that_announces_no_extended_connect_is_not_asked() {
    let (backend, mut told) = extended(false, 200).await;
    let gateway = Running::open(&format!("h2c://{backend}")).await;
    for _ in 0..4 {
        assert_eq!(Peer::open(Front::Http2, &gateway, "/", None).await.status, 502);
    }
    // And is not left out for that.
    let client = Client::plain(Version::Http2, &gateway, None).await;
    assert_eq!(client.get("/page").await.status, 200);
    assert_eq!(within(told.recv()).await.unwrap().uri().path(), "/page");
}

#[test]
fn the_request_is_one() {
    // What the cases above replace has to be there.
    for part in ["connection: upgrade\r\nupgrade: websocket\r\n", "GET / HTTP/1.1", KEY] {
        assert!(REQUEST.contains(part));
    }
}
