//! `Expect: 100-continue`: a body is not asked for before the backend wants it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use countersign_testkit::within;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

use crate::support::{Backend, Client, Running, Version, connect, for_both_versions, full};
use crate::tunnels::read_head;

for_both_versions! {
    a_refused_body_stays_with_the_client,
    a_wanted_body_comes_whole,
    what_else_is_expected_fails,
}

const HEAD: &str = "POST / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n\
    content-length: 4\r\n\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const TOO_LARGE: &[u8] = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 5\r\n\r\nlarge";

/// A backend that does `serve` with each connection, once it has read a header section that expects.
async fn backend<F, D>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> D + Send + 'static,
    D: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = read_head(&mut stream).await.unwrap();
            assert_eq!(head.matches("expect: 100-continue\r\n").count(), 1, "{head}");
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// A backend that answers at once, and tells what comes behind the header section up to the end.
async fn answering(answer: &'static [u8]) -> (SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (tell, told) = mpsc::unbounded_channel();
    let address = backend(move |mut stream| {
        let tell = tell.clone();
        async move {
            stream.write_all(answer).await.unwrap();
            let mut rest = Vec::new();
            // A connection that is reset has ended too.
            let _ = stream.read_to_end(&mut rest).await;
            tell.send(rest).unwrap();
        }
    });
    (address.await, told)
}

async fn expect(stream: &mut (impl AsyncRead + Unpin), wanted: &[u8]) {
    let mut got = vec![0; wanted.len()];
    within(stream.read_exact(&mut got)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(wanted));
}

#[tokio::test]
async fn continue_comes_from_the_backend() {
    let go = Arc::new(Notify::new());
    let waiting = Arc::clone(&go);
    let backend = backend(move |mut stream| {
        let go = Arc::clone(&waiting);
        async move {
            go.notified().await;
            stream.write_all(CONTINUE).await.unwrap();
            expect(&mut stream, b"body").await;
            stream.write_all(OK).await.unwrap();
        }
    })
    .await;
    let gateway = Running::open(&format!("http://{backend}")).await;
    let mut stream = connect(&gateway, "http/1.1", None).await;
    stream.write_all(HEAD.as_bytes()).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await;
    assert!(early.is_err(), "nothing was said yet");
    go.notify_one();
    expect(&mut stream, CONTINUE).await;
    stream.write_all(b"body").await.unwrap();
    expect(&mut stream, b"HTTP/1.1 200 OK\r\n").await;
    // The connection goes on.
    assert!(!read_head(&mut stream).await.unwrap().contains("connection: close"));
    expect(&mut stream, b"ok").await;
}

#[tokio::test]
async fn a_final_status_comes_without_continue() {
    let (backend, mut told) = answering(TOO_LARGE).await;
    let gateway = Running::open(&format!("http://{backend}")).await;
    let mut stream = connect(&gateway, "http/1.1", None).await;
    stream.write_all(HEAD.as_bytes()).await.unwrap();
    let head = within(read_head(&mut stream)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert!(head.contains("connection: close\r\n"), "{head}");
    expect(&mut stream, b"large").await;
    assert_eq!(within(told.recv()).await.unwrap(), b"");
    assert!(matches!(within(stream.read(&mut [0])).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_silent_backend_gets_the_body_after_a_second() {
    let backend = backend(|mut stream| async move {
        expect(&mut stream, b"body").await;
        stream.write_all(OK).await.unwrap();
    })
    .await;
    let gateway = Running::open(&format!("http://{backend}")).await;
    let mut stream = connect(&gateway, "http/1.1", None).await;
    let begun = Instant::now();
    stream.write_all(HEAD.as_bytes()).await.unwrap();
    expect(&mut stream, CONTINUE).await;
    assert!(begun.elapsed() >= Duration::from_millis(900));
    stream.write_all(b"body").await.unwrap();
    expect(&mut stream, b"HTTP/1.1 200 OK\r\n").await;
}

#[tokio::test]
async fn what_is_refused_here_gets_no_continue() {
    let backend = Backend::start().await;
    let gateway = Running::standard(&format!("http://{}", backend.address)).await;
    for (path, expected, status) in [
        ("/user/", "100-continue", "HTTP/1.1 403 "),
        ("/elsewhere", "100-continue", "HTTP/1.1 404 "),
        ("/public/", "200-ok", "HTTP/1.1 417 "),
        ("/public/", "100-continue, more", "HTTP/1.1 417 "),
    ] {
        let mut stream = connect(&gateway, "http/1.1", None).await;
        let head =
            HEAD.replace("POST /", &format!("POST {path}")).replace("100-continue", expected);
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = within(read_head(&mut stream)).await.unwrap();
        assert!(answer.starts_with(status), "{path} {expected}: {answer}");
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn an_upstream_over_http2_takes_the_body_at_once() {
    let backend = Backend::start().await;
    let gateway = Running::open(&format!("h2c://{}", backend.address)).await;
    let mut stream = connect(&gateway, "http/1.1", None).await;
    stream.write_all(HEAD.as_bytes()).await.unwrap();
    expect(&mut stream, CONTINUE).await;
    stream.write_all(b"body").await.unwrap();
    expect(&mut stream, b"HTTP/1.1 200 OK\r\n").await;
    let seen = backend.only();
    assert_eq!((seen.header("expect"), &seen.body[..]), (None, &b"body"[..]));
}

#[tokio::test]
async fn continue_that_nobody_expects_is_not_passed_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Running::open(&format!("http://{}", listener.local_addr().unwrap())).await;
    let mut stream = connect(&gateway, "http/1.1", None).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let (mut backend, _) = within(listener.accept()).await.unwrap();
    assert!(!read_head(&mut backend).await.unwrap().contains("expect"));
    backend.write_all(&[CONTINUE, OK].concat()).await.unwrap();
    expect(&mut stream, b"HTTP/1.1 200 OK\r\n").await;
}

async fn a_refused_body_stays_with_the_client(version: Version) {
    let (backend, mut told) = answering(TOO_LARGE).await;
    let gateway = Running::open(&format!("http://{backend}")).await;
    let client = Client::plain(version, &gateway, None).await;
    let endless =
        futures_util::stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[7; 16 * 1024]))));
    let body = StreamBody::new(endless).boxed_unsync();
    let request = client.request("/").method("POST").header("expect", "100-continue");
    let answer = client.send(request.body(body).unwrap()).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (413, &b"large"[..]));
    assert_eq!(within(told.recv()).await.unwrap(), b"");
}

async fn a_wanted_body_comes_whole(version: Version) {
    let backend = backend(|mut stream| async move {
        stream.write_all(CONTINUE).await.unwrap();
        expect(&mut stream, b"wanted body").await;
        stream.write_all(OK).await.unwrap();
    })
    .await;
    let gateway = Running::open(&format!("http://{backend}")).await;
    let client = Client::plain(version, &gateway, None).await;
    let request = client.request("/").method("POST").header("expect", "100-continue");
    let request = request.header("content-length", 11).body(full("wanted body")).unwrap();
    assert_eq!(client.send(request).await.body, "ok");
}

async fn what_else_is_expected_fails(version: Version) {
    let backend = Backend::start().await;
    let gateway = Running::open(&format!("http://{}", backend.address)).await;
    let client = Client::plain(version, &gateway, None).await;
    let request = client.request("/").method("POST").header("expect", "miracles");
    let answer = client.send(request.body(full("x")).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.problem().0.as_str()), (417, "about:blank"));
    assert_eq!(backend.connections(), 0);
}
