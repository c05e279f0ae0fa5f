//! What `[upstreams.NAME]` says about times, health and second attempts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use countersign_testkit::within;
use futures_util::StreamExt;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{
    Backend, Client, HEAD, Running, Version, empty, for_both_versions, full, nobody, serve,
};
use crate::upstreams::deaf;

for_both_versions! {
    a_server_that_takes_too_long_to_begin_is_504,
    a_server_that_does_not_accept_in_time_is_504,
    a_body_that_stands_still_is_broken_off,
    a_server_is_taken_out_and_in_by_its_health_checks,
    a_request_is_sent_again_only_where_that_does_no_harm,
    a_stream_that_was_refused_is_sent_again,
    a_stream_that_a_goaway_left_out_is_sent_again,
}

/// A gateway whose only route leads to these servers.
async fn in_front_of(scheme: &str, servers: &[SocketAddr], more: &str) -> Running {
    let servers: Vec<_> = servers.iter().map(|server| format!("\"{scheme}://{server}\"")).collect();
    let servers = servers.join(", ");
    Running::start(&format!(
        "{HEAD}[[routes]]\npath = \"/\"\nupstream = \"backend\"\n\
         [upstreams.backend]\nservers = [{servers}]\n{more}\n"
    ))
    .await
}

async fn a_server_that_takes_too_long_to_begin_is_504(version: Version) {
    for scheme in ["http", "h2c"] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let silent = serve(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            std::future::pending()
        })
        .await;
        let gateway = in_front_of(scheme, &[silent], "first_byte_timeout = \"100ms\"").await;
        let answer = Client::plain(version, &gateway, None).await.get("/").await;
        assert_eq!(answer.status, 504);
        let told = answer.headers["proxy-status"].to_str().unwrap();
        assert!(told.contains("error=http_response_timeout"), "{told}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "what takes too long is not sent again");
    }
}

async fn a_server_that_does_not_accept_in_time_is_504(version: Version) {
    let (address, _waiting, _listener) = deaf().await;
    for scheme in ["http", "h2c"] {
        let gateway = in_front_of(scheme, &[address], "connect_timeout = \"100ms\"").await;
        let begun = Instant::now();
        let answer = Client::plain(version, &gateway, None).await.get("/").await;
        assert_eq!(answer.status, 504);
        let told = answer.headers["proxy-status"].to_str().unwrap();
        assert!(told.contains("error=connection_timeout"), "{told}");
        assert!(begun.elapsed() < Duration::from_secs(4), "the time is the configured one");
    }
}

async fn a_body_that_stands_still_is_broken_off(version: Version) {
    for scheme in ["http", "h2c"] {
        let backend = serve(|_| async {
            let some = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"some")))]);
            let body = StreamBody::new(some.chain(futures_util::stream::pending()));
            Response::new(body.boxed_unsync())
        })
        .await;
        let gateway = in_front_of(scheme, &[backend], "idle_timeout = \"100ms\"").await;
        let client = Client::plain(version, &gateway, None).await;
        let response = client.start(client.request("/").body(empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        let first = within(body.frame()).await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "some");
        // No end, which would be a short success.
        assert!(within(body.frame()).await.unwrap().is_err(), "{scheme}");
    }
}

/// A server that says its name, and whether it is well.
async fn checked(name: &'static str, well: &Arc<AtomicBool>) -> SocketAddr {
    let well = Arc::clone(well);
    serve(move |request| {
        let is_well = well.load(Ordering::SeqCst);
        let mut response = Response::new(full(name));
        if request.uri().path() == "/health" && !is_well {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        async { response }
    })
    .await
}

async fn a_server_is_taken_out_and_in_by_its_health_checks(version: Version) {
    for scheme in ["http", "h2c"] {
        let well = Arc::new(AtomicBool::new(true));
        let first = checked("first", &well).await;
        let second = checked("second", &Arc::new(AtomicBool::new(true))).await;
        let health = "health = { path = \"/health\", interval = \"10ms\", timeout = \"5s\", healthy = 1, unhealthy = 2 }";
        let gateway = in_front_of(scheme, &[first, second], health).await;
        let client = Client::plain(version, &gateway, None).await;
        let asked_in_turn = async || {
            let names = [client.get("/").await.body, client.get("/").await.body];
            names[0] != names[1]
        };
        let until = async |in_turn: bool| {
            within(async { while asked_in_turn().await != in_turn {} }).await;
        };
        assert!(asked_in_turn().await);
        well.store(false, Ordering::SeqCst);
        until(false).await;
        for _ in 0..6 {
            assert_eq!(client.get("/").await.body, "second", "{scheme}");
        }
        well.store(true, Ordering::SeqCst);
        until(true).await;
    }
}

/// Reads this much of a request, then closes.
async fn reading(bytes: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = 0;
                let mut buffer = vec![0; 64 * 1024];
                while read < bytes {
                    match stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => return,
                        Ok(more) => read += more,
                    }
                }
            });
        }
    });
    address
}

async fn a_request_is_sent_again_only_where_that_does_no_harm(version: Version) {
    const SHORT: usize = 1000;
    const LONG: usize = 200 * 1024;
    let (hangs_up, reads_all, away) = (reading(1).await, reading(LONG).await, nobody().await);
    for (first, method, size, retries, expected) in [
        (hangs_up, "GET", 0, 1, 200),
        (hangs_up, "PUT", SHORT, 1, 200),
        (hangs_up, "DELETE", 0, 1, 200),
        (hangs_up, "POST", SHORT, 1, 502),
        (hangs_up, "PATCH", 0, 1, 502),
        (reads_all, "PUT", LONG, 1, 502),
        (away, "POST", SHORT, 1, 200),
        (away, "POST", LONG, 1, 200),
        (away, "POST", SHORT, 0, 502),
        (hangs_up, "GET", 0, 0, 502),
    ] {
        let backend = Backend::start().await;
        let more = format!("retries = {retries}");
        let gateway = in_front_of("http", &[first, backend.address], &more).await;
        let client = Client::plain(version, &gateway, None).await;
        // Of two that are alike, the first is asked first.
        let content = vec![7; size];
        let request = client.request("/").method(method).body(full(content.clone())).unwrap();
        let status = client.send(request).await.status;
        assert_eq!(status, expected, "{method} {size} {retries}");
        assert!(backend.seen().iter().all(|seen| seen.body == content), "{method} {size}");
        assert_eq!(backend.seen().len(), usize::from(expected == 200));
    }
}

/// Serves HTTP/2, and refuses the first stream of all.
async fn refusing_once(listener: TcpListener) {
    let mut refused = false;
    while let Ok((stream, _)) = listener.accept().await {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((mut request, mut respond))) = connection.accept().await {
            if !refused {
                refused = true;
                respond.send_reset(h2::Reason::REFUSED_STREAM);
                continue;
            }
            tokio::spawn(async move {
                let body = request.body_mut().data().await.unwrap().unwrap();
                let mut sending = respond.send_response(Response::new(()), false).unwrap();
                sending.send_data(body, true).unwrap();
            });
        }
    }
}

async fn a_stream_that_was_refused_is_sent_again(version: Version) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(refusing_once(listener));
    let gateway = in_front_of("h2c", &[address], "").await;
    let client = Client::plain(version, &gateway, None).await;
    let request = client.request("/").method("POST").body(full("again")).unwrap();
    assert_eq!(client.send(request).await.body, "again");
}

/// Reads an HTTP/2 connection up to its first header section.
async fn read_headers(stream: &mut tokio::net::TcpStream) {
    stream.read_exact(&mut [0; 24]).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        if head[3] == 1 {
            return;
        }
    }
}

async fn a_stream_that_a_goaway_left_out_is_sent_again(version: Version) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        read_headers(&mut first).await;
        // SETTINGS, then GOAWAY: no error, and no stream was processed.
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        first.write_all(&[&settings[..], &goaway].concat()).await.unwrap();
        let rest = tokio::spawn(async move { first.read_to_end(&mut Vec::new()).await });
        let answer = |request: http::Request<hyper::body::Incoming>| async {
            Response::new(full(request.into_body().collect().await.unwrap().to_bytes()))
        };
        crate::support::serve_on(listener, Arc::default(), answer).await;
        drop(rest);
    });
    let gateway = in_front_of("h2c", &[address], "").await;
    let client = Client::plain(version, &gateway, None).await;
    let request = client.request("/").method("POST").body(full("again")).unwrap();
    assert_eq!(client.send(request).await.body, "again");
}
