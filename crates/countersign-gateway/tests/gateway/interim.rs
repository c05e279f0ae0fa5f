//! Informational responses of a backend.

use countersign_testkit::within;
use http::HeaderMap;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Client, Http1, Running, Version, empty, full};
use crate::tunnels::read_head;

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\
    connection: x-hop\r\nx-hop: 1\r\nalt-svc: h3=\":1\"\r\n\r\n";
const PROCESSING: &str = "HTTP/1.1 102 Processing\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const PAGE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\npage";

/// A backend that says `ahead`, reads a body of as many bytes, and answers with a page.
async fn world(ahead: String, body: usize) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_head(&mut stream).await.unwrap();
            stream.write_all(ahead.as_bytes()).await.unwrap();
            stream.read_exact(&mut vec![0; body]).await.unwrap();
            stream.write_all(PAGE.as_bytes()).await.unwrap();
        }
    });
    Running::open(&format!("http://{address}")).await
}

/// What a client of HTTP/3 hears ahead of the page.
async fn heard(client: &Client, expects: bool) -> Vec<(u16, HeaderMap)> {
    let request = client.request("/");
    let request = if expects {
        request.method("POST").header("expect", "100-continue").body(full("body"))
    } else {
        request.body(empty())
    };
    let mut heard = Vec::new();
    let mut http3 = client.http3();
    let response = http3.send_listening(request.unwrap(), |ahead| {
        heard.push((ahead.status().as_u16(), ahead.headers().clone()));
    });
    let response = within(Box::pin(response)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(within(response.into_body().collect()).await.unwrap().to_bytes(), "page");
    heard
}

fn statuses(heard: &[(u16, HeaderMap)]) -> Vec<u16> {
    heard.iter().map(|(status, _)| *status).collect()
}

#[tokio::test]
async fn clients_of_http3_hear_them() {
    let gateway = world([CONTINUE, HINTS, PROCESSING, HINTS].concat(), 0).await;
    let client = Client::plain(Version::Http3, &gateway, None).await;
    let heard = heard(&client, false).await;
    // 100 answers nothing here.
    assert_eq!(statuses(&heard), [103, 102, 103]);
    let fields = &heard[0].1;
    assert_eq!(fields["link"], "</style.css>; rel=preload");
    assert_eq!(fields["via"], "1.1 localhost");
    for absent in ["connection", "x-hop", "alt-svc"] {
        assert_eq!(fields.get(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn clients_of_http3_that_expect_hear_continue() {
    let gateway = world([HINTS, CONTINUE].concat(), 4).await;
    let client = Client::plain(Version::Http3, &gateway, None).await;
    assert_eq!(statuses(&heard(&client, true).await), [103, 100]);
    // A backend that says nothing gets the body after a second.
    let gateway = world(String::new(), 4).await;
    let client = Client::plain(Version::Http3, &gateway, None).await;
    assert_eq!(statuses(&heard(&client, true).await), [100]);
}

#[tokio::test]
async fn other_clients_get_the_response_alone() {
    let gateway = world([HINTS, PROCESSING].concat(), 0).await;
    let http2 = Client::plain(Version::Http2, &gateway, None).await;
    assert_eq!(http2.get("/").await.body, "page");
    let answer = Http1::connect(&gateway, None).await.get("/").await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"page"[..]));
    assert_eq!(answer.headers.get("link"), None);
}
