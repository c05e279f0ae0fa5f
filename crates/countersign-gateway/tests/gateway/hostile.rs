//! Peers that break rules or stall: each costs its own connection at most.

use countersign_testkit::raw::RawPeer;
use countersign_testkit::tls::test_pki;
use countersign_testkit::within;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Backend, Client, HEAD, Running, Version, empty, for_both_versions, tls};

for_both_versions! {
    header_sections_that_are_too_long_are_refused,
}

const CLIENT_CERT_AUTH: u16 = 0xff0c;
const AUTHENTICATOR_REQUESTS: u8 = 0xf5;
const CERTIFICATE: u8 = 0xf6;
const PROTOCOL_ERROR: u32 = 1;

async fn world() -> (Backend, Running) {
    let backend = Backend::start().await;
    let gateway = Running::standard(&format!("http://{}", backend.address)).await;
    (backend, gateway)
}

async fn still_serves(gateway: &Running) {
    for version in [Version::Http2, Version::Http3] {
        let pki = test_pki();
        let client = Client::showing(version, gateway, &[&pki.device, &pki.alice]).await;
        assert_eq!(client.get("/admin/").await.status, 200);
    }
}

#[tokio::test]
async fn certificates_that_nobody_asked_for_end_their_connection() {
    let (_backend, gateway) = world().await;
    for settings in [&[][..], &[(CLIENT_CERT_AUTH, 4)]] {
        let mut peer = RawPeer::connect(gateway.address, tls("h2", None)).await;
        within(peer.open(settings)).await;
        for _ in 0..8 {
            if !peer.try_send_bytes(&[0, 0, 1, CERTIFICATE, 0, 0, 0, 0, 0, 0]).await {
                break;
            }
        }
        within(peer.expect_goaway(PROTOCOL_ERROR)).await;
    }
    let mut peer = RawPeer::connect(gateway.address, tls("h2", None)).await;
    within(peer.open(&[])).await;
    peer.send_frame(AUTHENTICATOR_REQUESTS, 0, 0, b"x").await;
    within(peer.expect_goaway(PROTOCOL_ERROR)).await;
    still_serves(&gateway).await;
}

#[tokio::test]
async fn a_client_that_never_answers_is_refused_in_time() {
    let backend = Backend::start().await;
    let text = format!(
        "{HEAD}[pool]\nanswer_timeout = \"200ms\"\n[[routes]]\npath = \"/\"\nrequire = [\"user\"]\nupstream = \"http://{}\"\n",
        backend.address
    );
    let gateway = Running::start(&text).await;
    let mut peer = RawPeer::connect(gateway.address, tls("h2", None)).await;
    within(peer.open(&[(CLIENT_CERT_AUTH, 4)])).await;
    let (status, body) = within(async {
        peer.send(&countersign_testkit::Frame::get(1, "localhost", "/", &[])).await;
        peer.whole_response(1).await.unwrap()
    })
    .await;
    assert_eq!(status, 403);
    let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(document["type"], "urn:countersign:credential-timeout");
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn who_leaves_while_being_asked_leaves_nothing_behind() {
    let (backend, gateway) = world().await;
    for _ in 0..3 {
        let mut peer = RawPeer::connect(gateway.address, tls("h2", None)).await;
        within(peer.open(&[(CLIENT_CERT_AUTH, 4)])).await;
        peer.send(&countersign_testkit::Frame::get(1, "localhost", "/admin/", &[])).await;
        within(peer.expect_kind(AUTHENTICATOR_REQUESTS)).await;
        drop(peer);
    }
    still_serves(&gateway).await;
    assert_eq!(backend.seen().len(), 2, "one by each version");
}

#[tokio::test]
async fn what_is_no_tls_or_no_http_harms_nobody() {
    let (_backend, gateway) = world().await;
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[0x16, 3, 1, 0xff, 0xff]] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
    }
    let mut stream = crate::support::connect(&gateway, "h2", None).await;
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    still_serves(&gateway).await;
}

#[tokio::test]
async fn a_silent_connection_does_not_keep_others_waiting() {
    let (_backend, gateway) = world().await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(gateway.address).await.unwrap());
    }
    still_serves(&gateway).await;
}

async fn header_sections_that_are_too_long_are_refused(version: Version) {
    let (backend, gateway) = world().await;
    let client = Client::plain(version, &gateway, None).await;
    let request =
        client.request("/public/").header("x", "a".repeat(100_000)).body(empty()).unwrap();
    // Or the client itself finds it too long, by what the gateway announced.
    if let Ok(response) = client.start(request).await {
        assert_eq!(response.status(), 431);
    }
    assert!(backend.seen().is_empty());
    still_serves(&gateway).await;
}
