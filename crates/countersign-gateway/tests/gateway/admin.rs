//! What the gateway tells whoever watches over it.

use countersign_testkit::within;
use http::{Request, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

use crate::support::{Answer, Backend, Body, HEAD, Http1, Running, empty, full, serve, try_start};

fn with_admin(upstream: &str) -> String {
    let head = HEAD.replace("http3 = true", "http3 = true\nadmin = \"127.0.0.1:0\"");
    format!("{head}[[routes]]\npath = \"/\"\nupstream = \"http://{upstream}\"\n")
}

async fn ask(gateway: &Running, method: &str, path: &str) -> Answer {
    let tcp = TcpStream::connect(gateway.admin.unwrap()).await.unwrap();
    let (mut send, connection) =
        within(http1::handshake::<_, Body>(TokioIo::new(tcp))).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header("host", "admin");
    Answer::of(within(send.send_request(request.body(empty()).unwrap())).await.unwrap()).await
}

async fn readiness(gateway: &Running) -> (StatusCode, serde_json::Value) {
    let answer = ask(gateway, "GET", "/readyz").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

#[tokio::test]
async fn it_is_alive_and_ready_and_tells_what_it_serves() {
    let backend = Backend::start().await;
    let gateway = Running::start(&with_admin(&backend.address.to_string())).await;
    assert_eq!(ask(&gateway, "GET", "/healthz").await.body, "alive\n");
    assert_eq!(ask(&gateway, "GET", "/").await.status, 404);
    let posted = ask(&gateway, "POST", "/readyz").await;
    assert_eq!(
        (posted.status.as_u16(), &posted.headers["allow"]),
        (405, &"GET, HEAD".parse().unwrap())
    );
    let head = ask(&gateway, "HEAD", "/readyz").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));

    let (status, told) = readiness(&gateway).await;
    assert_eq!((status.as_u16(), &told["ready"]), (200, &true.into()));
    assert_eq!(told["listeners"]["tcp"], gateway.address.to_string());
    assert_eq!(told["listeners"]["udp"], gateway.address.to_string());
    assert_eq!(told["configuration"]["generation"], 1);
    let list = &told["revocation_lists"][0];
    assert_eq!((&list["credential"], &list["file"]), (&"user".into(), &"user.crl".into()));
    assert!(
        list["next_update"].as_i64().unwrap()
            > told["configuration"]["loaded_at"].as_i64().unwrap()
    );
    assert_eq!(list["stale"], false);
}

#[tokio::test]
async fn a_reload_that_failed_is_told() {
    let backend = Backend::start().await;
    let good = with_admin(&backend.address.to_string());
    let gateway = Running::start(&good).await;
    gateway.write("gateway.toml", "nonsense");
    gateway.reload().await.unwrap_err();
    let (status, told) = readiness(&gateway).await;
    let reason = told["configuration"]["failure"]["reason"].as_str().unwrap();
    assert!(status == 200 && reason.contains("gateway.toml:1"), "{told}");
    gateway.write("gateway.toml", good);
    gateway.reload().await.unwrap();
    let (_, told) = readiness(&gateway).await;
    assert_eq!(told["configuration"]["generation"], 2);
    assert!(told["configuration"]["failure"].is_null());
}

#[tokio::test]
async fn whoever_drains_is_alive_and_not_ready() {
    let (arrived, go) =
        (std::sync::Arc::new(Notify::new()), std::sync::Arc::new(Semaphore::new(0)));
    let held = (arrived.clone(), go.clone());
    let backend = serve(move |_| {
        let (arrived, go) = held.clone();
        async move {
            arrived.notify_one();
            let _permit = go.acquire().await.unwrap();
            http::Response::new(full("late"))
        }
    })
    .await;
    let mut gateway = Running::start(&with_admin(&backend.to_string())).await;
    let mut client = Http1::connect(&gateway, None).await;
    let answer = tokio::spawn(async move { client.get("/").await });
    within(arrived.notified()).await;
    assert_eq!(readiness(&gateway).await.0, 200);
    gateway.end();
    let told = within(async {
        loop {
            let (status, told) = readiness(&gateway).await;
            if status == 503 {
                break told;
            }
        }
    })
    .await;
    assert_eq!(told["reasons"], serde_json::json!(["draining"]));
    assert_eq!(ask(&gateway, "GET", "/healthz").await.status, 200);
    go.add_permits(1);
    assert_eq!(within(answer).await.unwrap().body, "late");
    gateway.ended().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_at_the_start() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = with_admin("127.0.0.1:9")
        .replace("admin = \"127.0.0.1:0\"", &format!("admin = \"{address}\""));
    let error = try_start(&text).await.unwrap_err().to_string();
    assert!(error.contains(&address) && error.contains("admin"), "{error}");
}
