//! HTTP/1.1 in front: the same decisions, and messages that are no HTTP.

use countersign_testkit::tls::test_pki;
use countersign_testkit::within;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Backend, Http1, Running, connect, empty, full};

#[tokio::test]
async fn the_same_decisions_as_over_http2() {
    let backend = Backend::start().await;
    let gateway = Running::standard(&format!("http://{}", backend.address)).await;
    let mut anonymous = Http1::connect(&gateway, None).await;
    assert_eq!(anonymous.get("/public/").await.status, 200);
    let refused = anonymous.get("/user/").await;
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.problem(),
        ("urn:countersign:credential-missing".to_owned(), vec!["user".into()])
    );
    assert_eq!(anonymous.get("/public/../admin/").await.status, 400);
    assert_eq!(anonymous.get("/elsewhere").await.status, 404);

    let mut alice = Http1::connect(&gateway, Some(&test_pki().alice)).await;
    assert_eq!(alice.get("/user/").await.status, 200);
    assert_eq!(alice.get("/admin/").await.problem().1, ["device"]);
    let mut bob = Http1::connect(&gateway, Some(&test_pki().bob)).await;
    assert_eq!(bob.get("/user/").await.status, 200);
    let mut revoked = Http1::connect(&gateway, Some(&test_pki().revoked)).await;
    assert_eq!(revoked.get("/user/").await.status, 403);
}

#[tokio::test]
async fn bodies_with_and_without_length() {
    let backend = Backend::start().await;
    let gateway = Running::open(&format!("http://{}", backend.address)).await;
    let mut client = Http1::connect(&gateway, None).await;
    let request = |body| Request::post("/").header("host", "localhost").body(body).unwrap();
    assert_eq!(client.send(request(full("with length"))).await.body, "hello");
    assert_eq!(client.send(request(empty())).await.body, "hello");
    let seen = backend.seen();
    assert_eq!(seen[0].body, "with length");
    assert_eq!(seen[0].header("content-length"), Some("11"));
    assert!(seen[1].body.is_empty());
}

/// Sends bytes and reads until the gateway closes, or until it has answered `enough`.
async fn raw(gateway: &Running, bytes: &[u8], enough: &str) -> String {
    let mut stream = connect(gateway, "http/1.1", None).await;
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains(enough) {
        let mut some = [0; 4096];
        match within(stream.read(&mut some)).await {
            Ok(0) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&some[..read]),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn requests_without_one_host_are_refused() {
    let backend = Backend::start().await;
    let gateway = Running::open(&format!("http://{}", backend.address)).await;
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a@b\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let answer = raw(&gateway, request.as_bytes(), "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request:?} got {answer:?}");
    }
    for method in ["TRACE /", "CONNECT a:443"] {
        let request = format!("{method} HTTP/1.1\r\nhost: a:443\r\n\r\n");
        let answer = raw(&gateway, request.as_bytes(), "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 501 "), "{answer:?}");
    }
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn a_smuggled_request_is_one_request_or_none() {
    let backend = Backend::start().await;
    let gateway = Running::standard(&format!("http://{}", backend.address)).await;
    let smuggled = "GET /admin/ HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let request = format!(
        "POST /public/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        smuggled.len() + 5
    );
    raw(&gateway, request.as_bytes(), "credential-missing").await;
    assert!(backend.seen().iter().all(|seen| !seen.line.contains("admin")));
}
