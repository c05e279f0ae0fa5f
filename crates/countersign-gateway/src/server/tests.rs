//! Limits, made short: what stalls is ended.

use countersign_testkit::tls::{TlsOptions, test_pki};
use countersign_testkit::within;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::limits::Limits;

const SHORT: Duration = Duration::from_millis(100);

/// Limits that let nothing but `one` of them end a connection in the time of a test.
fn limits(one: impl FnOnce(&mut Limits)) -> Limits {
    let long = Duration::from_secs(300);
    let mut limits = Limits {
        connections: 100,
        handshake: long,
        headers: long,
        idle: long,
        closing: SHORT,
        drain: long,
        ..Limits::default()
    };
    one(&mut limits);
    limits
}

struct Running {
    address: SocketAddr,
    live: Arc<Live>,
    _stop: oneshot::Sender<()>,
    _files: tempfile::TempDir,
}

async fn start(limits: Limits) -> Running {
    let files = tempfile::tempdir().unwrap();
    for (name, content) in test_pki().files() {
        let content = content.replace("127.0.0.1:8443", "127.0.0.1:0");
        std::fs::write(files.path().join(name), content).unwrap();
    }
    let mut config = Config::load(files.path().join("gateway.toml")).unwrap();
    config.http3 = true;
    config.limits = limits;
    let gateway = Gateway::bind(config).await.unwrap();
    let live = Arc::clone(&gateway.live);
    let address = gateway.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(gateway.run(async {
        let _ = stopped.await;
    }));
    Running { address, live, _stop: stop, _files: files }
}

async fn connect(gateway: &Running, alpn: &str) -> TlsStream<TcpStream> {
    let connector =
        TlsConnector::from(Arc::new(TlsOptions::default().alpn([alpn]).client_config()));
    let tcp = TcpStream::connect(gateway.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    within(connector.connect(name, tcp)).await.unwrap()
}

fn endpoint() -> quinn::Endpoint {
    let tls = TlsOptions::default().alpn(["h3"]).client_config();
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
    endpoint
}

async fn connect_quic(gateway: &Running) -> quinn::Connection {
    within(endpoint().connect(gateway.address, "localhost").unwrap()).await.unwrap()
}

/// Reads until the gateway ends the connection.
async fn ended(mut stream: impl tokio::io::AsyncRead + Unpin) {
    within(async {
        let mut some = [0; 4096];
        while stream.read(&mut some).await.is_ok_and(|read| read > 0) {}
    })
    .await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_ended() {
    let gateway = start(limits(|limits| limits.handshake = SHORT)).await;
    ended(TcpStream::connect(gateway.address).await.unwrap()).await;
    assert_eq!(gateway.live.meters().refusals.get(crate::refusals::Reason::HandshakeTimeout), 1);
}

#[tokio::test]
async fn a_header_section_that_does_not_come_is_ended() {
    let gateway = start(limits(|limits| limits.headers = SHORT)).await;
    let mut stream = connect(&gateway, "http/1.1").await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
    ended(stream).await;
}

#[tokio::test]
async fn a_connection_without_requests_is_ended() {
    let gateway = start(limits(|limits| limits.idle = SHORT)).await;
    ended(connect(&gateway, "http/1.1").await).await;
    // Not even the preface.
    ended(connect(&gateway, "h2").await).await;
    // The preface and no request: the goodbye is not answered either.
    let mut stream = connect(&gateway, "h2").await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    ended(stream).await;
}

#[tokio::test]
async fn a_quic_connection_without_requests_is_ended() {
    let gateway = start(limits(|limits| limits.idle = SHORT)).await;
    let connection = connect_quic(&gateway).await;
    within(connection.closed()).await;
    // A request that begins and does not go on is none either.
    let connection = connect_quic(&gateway).await;
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(&[1]).await.unwrap();
    let quinn::ConnectionError::ApplicationClosed(close) = within(connection.closed()).await else {
        panic!("it was closed otherwise");
    };
    assert_eq!(close.error_code.into_inner(), 0x100, "H3_NO_ERROR");
}

#[tokio::test]
async fn a_crowded_gateway_wants_addresses_shown() {
    let gateway = start(limits(|limits| limits.connections = 2)).await;
    // Half of the places are taken: from now on, QUIC clients come the longer way.
    let _first = connect(&gateway, "h2").await;
    let second = connect_quic(&gateway).await;
    let third = connect_quic(&gateway);
    let mut third = std::pin::pin!(third);
    assert!(timeout(SHORT, third.as_mut()).await.is_err());
    second.close(quinn::VarInt::from_u32(0x100), b"");
    third.await;
}

#[tokio::test]
async fn a_connection_with_requests_is_not_idle() {
    let gateway = start(limits(|limits| limits.idle = Duration::from_secs(2))).await;
    let mut stream = connect(&gateway, "http/1.1").await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        stream.write_all(b"GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut some = [0; 4096];
        let read = within(stream.read(&mut some)).await.unwrap();
        assert!(some[..read].starts_with(b"HTTP/1.1 404 "));
        sleep_until(Instant::now() + SHORT).await;
    }
    ended(stream).await;
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_their_turn() {
    let gateway = start(limits(|limits| limits.connections = 1)).await;
    let first = connect(&gateway, "h2").await;
    let second = connect(&gateway, "h2");
    let mut second = std::pin::pin!(second);
    assert!(timeout(SHORT, second.as_mut()).await.is_err());
    drop(first);
    second.await;
}

#[tokio::test]
async fn an_address_has_its_share_of_the_connections() {
    let gateway = start(limits(|limits| limits.connections_per_address = 2)).await;
    let _first = connect(&gateway, "h2").await;
    let second = connect_quic(&gateway).await;
    let refused = |gateway: &Running| {
        gateway.live.meters().refusals.get(crate::refusals::Reason::ConnectionsPerAddress)
    };
    ended(TcpStream::connect(gateway.address).await.unwrap()).await;
    assert_eq!(refused(&gateway), 1);
    let third = within(endpoint().connect(gateway.address, "localhost").unwrap()).await;
    let Err(quinn::ConnectionError::ConnectionClosed(close)) = third else {
        panic!("it was not refused");
    };
    assert_eq!(close.error_code, quinn::TransportErrorCode::CONNECTION_REFUSED);
    assert_eq!(refused(&gateway), 2);
    // Once one has ended, there is room again.
    second.close(quinn::VarInt::from_u32(0x100), b"");
    within(async {
        while endpoint().connect(gateway.address, "localhost").unwrap().await.is_err() {}
    })
    .await;
}

#[tokio::test]
async fn handshakes_over_the_rate_wait_for_their_turn() {
    let gateway = start(limits(|limits| limits.handshakes_per_second = 2)).await;
    let begun = Instant::now();
    for _ in 0..4 {
        drop(connect(&gateway, "h2").await);
    }
    assert!(begun.elapsed() >= Duration::from_millis(900), "two at once, then two per second");
    let counted = gateway.live.meters().refusals.get(crate::refusals::Reason::HandshakeRate);
    assert!(counted > 0);
}

#[tokio::test]
async fn an_address_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let files = tempfile::tempdir().unwrap();
    for (name, content) in test_pki().files() {
        let content = content.replace("127.0.0.1:8443", &address.to_string());
        std::fs::write(files.path().join(name), content).unwrap();
    }
    let config = Config::load(files.path().join("gateway.toml")).unwrap();
    let error = Gateway::bind(config).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {address}: ")), "{error}");
}

#[test]
fn the_task_of_a_connection_is_small() {
    fn size<A, B, C, F: Future>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }
    let size = size(Arrival::serve);
    // It is there for as long as a client idles, and there are tens of thousands.
    assert!(size <= 3 << 10, "{size} bytes");
}
