//! What is too much, too slow or too often: each limit shows in the client's answer and in its counter.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use countersign_testkit::tls::test_pki;
use countersign_testkit::within;
use futures_util::StreamExt;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::admin::ask;
use crate::audit::Silent;
use crate::streaming::long_body;
use crate::support::{
    Body, Client, HEAD, Http1, Running, Version, connect, empty, for_both_versions, full, serve,
};

for_both_versions! {
    a_body_that_is_too_long_is_refused,
    a_body_that_stands_still_is_not_waited_for,
    a_client_that_takes_nothing_is_left,
    only_so_many_requests_wait_on_a_connection,
    only_so_many_requests_wait_in_all,
    authenticators_are_verified_at_a_pace,
    one_challenge_at_a_time_is_enough,
}

async fn gateway(limits: &str, routes: &str) -> Running {
    let head = HEAD.replace("http3 = true", "http3 = true\nadmin = \"127.0.0.1:0\"");
    let head = head.replace("ask = \"on-connect\"\n", "");
    Running::start(&format!("{head}[limits]\n{limits}\n{routes}")).await
}

fn route(require: &str, upstream: impl std::fmt::Display) -> String {
    format!("[[routes]]\npath = \"/\"\nrequire = [{require}]\nupstream = \"http://{upstream}\"\n")
}

async fn reached(gateway: &Running, limit: &str) -> u64 {
    let metrics = ask(gateway, "GET", "/metrics").await.body;
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    let name = format!("countersign_gateway_limits_reached_total{{limit=\"{limit}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

/// A body that begins and never ends.
fn endless() -> Body {
    let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"x")))]);
    StreamBody::new(first.chain(futures_util::stream::pending())).boxed_unsync()
}

/// A backend that counts bodies that came to their end.
async fn whole_bodies() -> (std::net::SocketAddr, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (begun, whole) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&begun), Arc::clone(&whole));
    let address = serve(move |request| {
        let (begun, whole) = counters.clone();
        async move {
            begun.fetch_add(1, Ordering::SeqCst);
            if request.into_body().collect().await.is_ok() {
                whole.fetch_add(1, Ordering::SeqCst);
            }
            Response::new(full("taken"))
        }
    })
    .await;
    (address, begun, whole)
}

async fn a_body_that_is_too_long_is_refused(version: Version) {
    let (backend, begun, whole) = whole_bodies().await;
    let gateway = gateway("body_bytes = \"1KiB\"", &route("", backend)).await;
    let client = Client::plain(version, &gateway, None).await;
    let post = |body| client.request("/").method("POST").body(body).unwrap();
    let fits = client.send(post(full("x".repeat(1024)))).await;
    assert_eq!((fits.status.as_u16(), begun.load(Ordering::SeqCst)), (200, 1));
    let length = client.request("/").method("POST").header("content-length", 1025);
    let told = client.send(length.body(full("x".repeat(1025))).unwrap()).await;
    assert_eq!((told.status.as_u16(), begun.load(Ordering::SeqCst)), (413, 1));
    let found_out = client.send(post(long_body(Arc::default()))).await;
    assert_eq!(found_out.status, 413);
    assert_eq!(whole.load(Ordering::SeqCst), 1, "no part passes for the whole");
    assert_eq!(reached(&gateway, "body_bytes").await, 2);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_over_http1() {
    let (backend, _, whole) = whole_bodies().await;
    let gateway = gateway("body_bytes = \"1KiB\"", &route("", backend)).await;
    let mut client = Http1::connect(&gateway, None).await;
    let request = http::Request::post("/").header("host", "localhost");
    let answer = client.send(request.body(long_body(Arc::default())).unwrap()).await;
    assert_eq!(answer.status, 413);
    assert_eq!((whole.load(Ordering::SeqCst), reached(&gateway, "body_bytes").await), (0, 1));
}

async fn a_body_that_stands_still_is_not_waited_for(version: Version) {
    let (backend, _, whole) = whole_bodies().await;
    let gateway = gateway("body_timeout = \"200ms\"", &route("", backend)).await;
    let client = Client::plain(version, &gateway, None).await;
    let request = client.request("/").method("POST").body(endless()).unwrap();
    assert_eq!(client.send(request).await.status, 408);
    assert_eq!((whole.load(Ordering::SeqCst), reached(&gateway, "body_timeout").await), (0, 1));
    assert_eq!(client.get("/").await.status, 200, "the connection goes on");
}

async fn a_client_that_takes_nothing_is_left(version: Version) {
    let backend = serve(|_| async { Response::new(long_body(Arc::default())) }).await;
    let gateway = gateway("body_timeout = \"200ms\"", &route("", backend)).await;
    let client = Client::plain(version, &gateway, None).await;
    let response = client.start(client.request("/").body(empty()).unwrap()).await.unwrap();
    client.closed().await;
    assert!(within(response.into_body().collect()).await.is_err(), "the end is not made up");
    assert_eq!(reached(&gateway, "body_timeout").await, 1);
}

#[tokio::test]
async fn a_client_of_http1_that_takes_nothing_is_left() {
    let backend = serve(|_| async { Response::new(long_body(Arc::default())) }).await;
    let gateway = gateway("body_timeout = \"200ms\"", &route("", backend)).await;
    let mut stream = connect(&gateway, "http/1.1", None).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    within(async {
        while reached(&gateway, "body_timeout").await == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut rest = Vec::new();
    let _ = within(stream.read_to_end(&mut rest)).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the end is not made up");
}

const IMPATIENT: &str = "[pool]\nanswer_timeout = \"400ms\"\n";

async fn only_so_many_requests_wait_on_a_connection(version: Version) {
    let routes = route("\"user\"", "127.0.0.1:9") + IMPATIENT;
    let gateway = gateway("held_requests_per_connection = 2", &routes).await;
    let client = Client::resolving(version, &gateway, Silent).await;
    let answers = tokio::join!(client.get("/a"), client.get("/b"), client.get("/c"));
    let mut statuses = [&answers.0, &answers.1, &answers.2].map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [403, 403, 503]);
    let refused = [answers.0, answers.1, answers.2].into_iter().find(|one| one.status == 503);
    let refused = refused.unwrap();
    assert_eq!(
        (&refused.headers["retry-after"], refused.problem().1),
        (&"1".parse().unwrap(), vec!["user".to_owned()])
    );
    assert_eq!(client.get("/d").await.status, 403, "there is room again");
    assert_eq!(reached(&gateway, "held_requests_per_connection").await, 1);
}

async fn only_so_many_requests_wait_in_all(version: Version) {
    let routes = route("\"user\"", "127.0.0.1:9") + IMPATIENT;
    let gateway = gateway("held_requests = 1", &routes).await;
    let (one, other) = tokio::join!(
        Client::resolving(version, &gateway, Silent),
        Client::resolving(version, &gateway, Silent),
    );
    let answers = tokio::join!(one.get("/"), other.get("/"));
    let mut statuses = [answers.0.status.as_u16(), answers.1.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [403, 503]);
    assert_eq!(reached(&gateway, "held_requests").await, 1);
}

async fn authenticators_are_verified_at_a_pace(version: Version) {
    let (backend, ..) = whole_bodies().await;
    let gateway = gateway("authenticators_per_second = 1", &route("\"user\"", backend)).await;
    let pki = test_pki();
    for delayed in 0..=1 {
        let client = Client::showing(version, &gateway, &[&pki.alice]).await;
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!(reached(&gateway, "authenticators_per_second").await, delayed);
    }
}

async fn one_challenge_at_a_time_is_enough(version: Version) {
    let (backend, ..) = whole_bodies().await;
    let limits = "challenges_per_connection = 1";
    let gateway = gateway(limits, &route("\"device\", \"user\"", backend)).await;
    let pki = test_pki();
    let client = Client::showing(version, &gateway, &[&pki.device, &pki.alice]).await;
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn a_header_section_of_http1_that_does_not_end_costs_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let routes = route("", listener.local_addr().unwrap());
    let gateway = gateway("header_timeout = \"200ms\"", &routes).await;
    let mut stream = connect(&gateway, "http/1.1", None).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: loc").await.unwrap();
    let mut rest = Vec::new();
    let _ = within(stream.read_to_end(&mut rest)).await;
    within(async {
        while reached(&gateway, "header_timeout").await == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
