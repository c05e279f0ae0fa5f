//! Backends that are away, broken or slow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use countersign_testkit::within;
use http::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::{
    Backend, Client, HEAD, Running, Version, for_both_versions, full, nobody, serve, serve_on,
    serve_once_each,
};

for_both_versions! {
    a_backend_that_is_not_there_is_502,
    a_backend_that_hangs_up_is_502,
    a_backend_that_speaks_something_else_is_502,
    a_backend_that_switches_protocols_unasked_is_502,
    a_backend_that_comes_back_is_used_again,
    connections_to_backends_are_kept,
    an_http2_connection_that_ended_is_replaced_without_a_failed_request,
    requests_in_flight_finish_when_the_gateway_ends,
    a_backend_that_does_not_accept_is_504,
    requests_for_a_deaf_backend_wait_together,
    servers_that_are_alike_get_requests_in_turn,
    a_request_with_a_body_goes_on_where_nothing_was_sent,
    only_an_idempotent_request_is_repeated,
}

async fn status(version: Version, upstream: String) -> (u16, String) {
    let gateway = Running::open(&upstream).await;
    let client = Client::plain(version, &gateway, None).await;
    let answer = client.get("/").await;
    let (kind, _) = answer.problem();
    assert_eq!(kind, "about:blank");
    let detail = answer.headers["proxy-status"].to_str().unwrap().to_owned();
    let error = detail.split(';').nth(1).unwrap().to_owned();
    let told = format!("{detail}{}", String::from_utf8_lossy(&answer.body));
    assert!(!told.contains("127.0.0.1"), "the client is told no address: {told}");
    (answer.status.as_u16(), error)
}

/// A backend that reads a little, answers these bytes and closes.
async fn answering(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut some = [0; 1024];
            let _ = stream.read(&mut some).await;
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
        }
    });
    address.to_string()
}

async fn a_backend_that_is_not_there_is_502(version: Version) {
    for scheme in ["http", "h2c"] {
        let told = status(version, format!("{scheme}://{}", nobody().await)).await;
        assert_eq!(told, (502, "error=connection_refused".to_owned()), "{scheme}");
    }
}

async fn a_backend_that_hangs_up_is_502(version: Version) {
    for scheme in ["http", "h2c"] {
        let told = status(version, format!("{scheme}://{}", answering(b"").await)).await;
        assert_eq!(told, (502, "error=connection_terminated".to_owned()), "{scheme}");
    }
}

async fn a_backend_that_speaks_something_else_is_502(version: Version) {
    let told = status(version, format!("http://{}", answering(b"SSH-2.0-x\r\n\r\n").await)).await;
    assert_eq!(told, (502, "error=http_protocol_error".to_owned()));
}

async fn a_backend_that_switches_protocols_unasked_is_502(version: Version) {
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
    let gateway = Running::open(&format!("http://{}", answering(answer).await)).await;
    let client = Client::plain(version, &gateway, None).await;
    assert_eq!(client.get("/").await.status, 502);
}

async fn a_backend_that_comes_back_is_used_again(version: Version) {
    for scheme in ["http", "h2c"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let gateway = Running::open(&format!("{scheme}://{address}")).await;
        let client = Client::plain(version, &gateway, None).await;
        assert_eq!(client.get("/").await.status, 502);
        let listener = TcpListener::bind(address).await.unwrap();
        let serving = tokio::spawn(serve_on(listener, Arc::default(), |_| async {
            Response::new(full("back"))
        }));
        assert_eq!(client.get("/").await.body, "back");
        serving.abort();
    }
}

async fn connections_to_backends_are_kept(version: Version) {
    for scheme in ["http", "h2c"] {
        let backend = Backend::start().await;
        let gateway = Running::open(&format!("{scheme}://{}", backend.address)).await;
        let client = Client::plain(version, &gateway, None).await;
        for _ in 0..3 {
            assert_eq!(client.get("/").await.status, 200);
        }
        assert_eq!(backend.connections(), 1, "{scheme}");
    }
}

async fn an_http2_connection_that_ended_is_replaced_without_a_failed_request(version: Version) {
    let served = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_once_each(listener, Arc::clone(&served)));
    let gateway = Running::open(&format!("h2c://{address}")).await;
    let client = Client::plain(version, &gateway, None).await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.status, 200);
    }
    assert_eq!(served.load(Ordering::SeqCst), 5);
}

async fn requests_in_flight_finish_when_the_gateway_ends(version: Version) {
    let go = Arc::new(tokio::sync::Notify::new());
    let arrived = Arc::new(tokio::sync::Notify::new());
    let (waiting, here) = (Arc::clone(&go), Arc::clone(&arrived));
    let backend = serve(move |_| {
        let (go, arrived) = (Arc::clone(&waiting), Arc::clone(&here));
        async move {
            arrived.notify_one();
            go.notified().await;
            Response::new(full("late"))
        }
    })
    .await;
    let mut gateway = Running::open(&format!("http://{backend}")).await;
    let idle = Client::plain(version, &gateway, None).await;
    let client = Client::plain(version, &gateway, None).await;
    let getting = client.get("/");
    let ending = async {
        within(arrived.notified()).await;
        gateway.end();
        // An idle connection is closed, and no new one is taken.
        idle.closed().await;
        assert!(TcpStream::connect(gateway.address).await.is_err());
        go.notify_one();
    };
    let (answer, ()) = within(async { tokio::join!(getting, ending) }).await;
    assert_eq!(answer.body, "late");
    drop((client, idle));
    gateway.ended().await;
}

/// An address whose queue of connections is full: further ones get no answer at all.
pub(crate) async fn deaf() -> (SocketAddr, Vec<TcpStream>, TcpListener) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
    }
    (address, waiting, listener)
}

async fn a_backend_that_does_not_accept_is_504(version: Version) {
    let (address, _waiting, _listener) = deaf().await;
    let expected = (504, "error=connection_timeout".to_owned());
    let (http1, http2) = tokio::join!(
        status(version, format!("http://{address}")),
        status(version, format!("h2c://{address}"))
    );
    assert_eq!((http1, http2), (expected.clone(), expected));
}

async fn requests_for_a_deaf_backend_wait_together(version: Version) {
    let (address, _waiting, _listener) = deaf().await;
    let gateway = Running::open(&format!("h2c://{address}")).await;
    let client = Client::plain(version, &gateway, None).await;
    let begun = Instant::now();
    let answers = futures_util::future::join_all((0..4).map(|_| client.get("/"))).await;
    assert!(answers.iter().all(|answer| answer.status == 504));
    assert!(begun.elapsed() < Duration::from_secs(9), "one after the other: {:?}", begun.elapsed());
}

/// A gateway in front of a list of servers, on one open route.
async fn in_front_of(urls: &[String]) -> Running {
    let list = urls.iter().map(|url| format!("\"{url}\"")).collect::<Vec<_>>().join(", ");
    Running::start(&format!("{HEAD}[[routes]]\npath = \"/\"\nupstream = [{list}]\n")).await
}

async fn servers_that_are_alike_get_requests_in_turn(version: Version) {
    for scheme in ["http", "h2c"] {
        let backends = [Backend::start().await, Backend::start().await];
        let urls = backends.each_ref().map(|backend| format!("{scheme}://{}", backend.address));
        let gateway = in_front_of(&urls).await;
        let client = Client::plain(version, &gateway, None).await;
        for _ in 0..10 {
            assert_eq!(client.get("/").await.status, 200);
        }
        assert_eq!(backends.each_ref().map(|backend| backend.seen().len()), [5, 5], "{scheme}");
    }
}

async fn a_request_with_a_body_goes_on_where_nothing_was_sent(version: Version) {
    for scheme in ["http", "h2c"] {
        let backend = Backend::start().await;
        let urls = [nobody().await, backend.address].map(|address| format!("{scheme}://{address}"));
        let gateway = in_front_of(&urls).await;
        let client = Client::plain(version, &gateway, None).await;
        for _ in 0..6 {
            let request = client.request("/").method("POST").body(full("once")).unwrap();
            assert_eq!(client.send(request).await.status, 200, "{scheme}");
        }
        let seen = backend.seen();
        assert_eq!(seen.len(), 6);
        assert!(seen.iter().all(|seen| seen.body == "once"));
    }
}

async fn only_an_idempotent_request_is_repeated(version: Version) {
    for scheme in ["http", "h2c"] {
        for method in ["PUT", "POST"] {
            let backend = Backend::start().await;
            let urls = [answering(b"").await, backend.address.to_string()]
                .map(|address| format!("{scheme}://{address}"));
            let gateway = in_front_of(&urls).await;
            let client = Client::plain(version, &gateway, None).await;
            let mut statuses = Vec::new();
            for _ in 0..2 {
                let request = client.request("/").method(method).body(full("again")).unwrap();
                statuses.push(client.send(request).await.status.as_u16());
            }
            let expected = if method == "PUT" { [200, 200] } else { [502, 200] };
            assert_eq!(statuses, expected, "{method} {scheme}");
            assert!(backend.seen().iter().all(|seen| seen.body == "again"));
        }
    }
}
