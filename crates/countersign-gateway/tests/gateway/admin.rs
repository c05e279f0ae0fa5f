//! What the gateway tells whoever watches over it.

use countersign_testkit::tls::test_pki;
use countersign_testkit::within;
use http::{Request, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

use crate::support::{
    Answer, Backend, Body, Client, HEAD, Http1, Running, Version, empty, full, nobody, serve,
    try_start,
};

fn with_admin(upstream: &str) -> String {
    let head = HEAD.replace("http3 = true", "http3 = true\nadmin = \"127.0.0.1:0\"");
    format!("{head}[[routes]]\npath = \"/\"\nupstream = \"http://{upstream}\"\n")
}

pub(crate) async fn ask(gateway: &Running, method: &str, path: &str) -> Answer {
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
    let server = serde_json::json!({
        "server": format!("http://{}", backend.address),
        "up": true, "in_flight": 0, "answered": 0, "failed": 0,
    });
    assert_eq!(told["servers"], serde_json::json!([server]));
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
async fn servers_that_are_left_out_are_told_and_the_gateway_stays_ready() {
    let (backend, gone) = (Backend::start().await, nobody().await);
    let two = format!("upstream = [\"http://{}\", \"http://{gone}\"]", backend.address);
    let one = format!("upstream = \"http://{}\"", backend.address);
    let text = with_admin(&backend.address.to_string()).replace(&one, &two);
    let gateway = Running::start(&text).await;
    let client = Client::plain(Version::Http2, &gateway, None).await;
    for _ in 0..6 {
        assert_eq!(client.get("/").await.status, 200);
    }
    let (status, told) = readiness(&gateway).await;
    assert_eq!(status, 200);
    let of = |address: std::net::SocketAddr| {
        let url = format!("http://{address}");
        told["servers"].as_array().unwrap().iter().find(|one| one["server"] == url).unwrap()
    };
    assert_eq!((&of(gone)["up"], &of(gone)["answered"]), (&false.into(), &0.into()), "{told}");
    assert!(of(gone)["failed"].as_u64().unwrap() >= 3, "{told}");
    assert_eq!(
        (&of(backend.address)["up"], &of(backend.address)["answered"]),
        (&true.into(), &6.into())
    );
    let text = ask(&gateway, "GET", "/metrics").await.body;
    let text = String::from_utf8(text.to_vec()).unwrap();
    let value = |name: &str, address: std::net::SocketAddr| {
        let labels = format!("{{server=\"http://{address}\",upstream=\"\"}}");
        metric(&text, &format!("countersign_gateway_server_{name}{labels}"))
    };
    assert_eq!((value("up", gone), value("up", backend.address)), (Some(0.0), Some(1.0)), "{text}");
    assert_eq!(value("answers_total", backend.address), Some(6.0), "{text}");
    assert_eq!(value("failures_total", backend.address), Some(0.0), "{text}");
    assert!(value("failures_total", gone).is_some_and(|failed| failed >= 3.0), "{text}");
    assert_eq!(value("requests", backend.address), Some(0.0), "{text}");
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
    assert_eq!(told["configuration"]["refusals"], 1);
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

/// The value of the metric whose line begins with `name`, labels included.
pub(crate) fn metric(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().parse().ok()
}

#[tokio::test]
async fn what_is_counted_can_be_scraped_and_names_nobody() {
    let backend = Backend::start().await;
    let config = with_admin(&backend.address.to_string())
        .replace("path = \"/\"", "path = \"/user/\"\nrequire = [\"user\"]");
    let gateway = Running::start(&config).await;
    let pki = test_pki();
    let scrape = async || {
        let answer = ask(&gateway, "GET", "/metrics").await;
        assert!(answer.headers["content-type"].to_str().unwrap().contains("openmetrics"));
        String::from_utf8(answer.body.to_vec()).unwrap()
    };
    let alice = Client::showing(Version::Http2, &gateway, &[&pki.alice]).await;
    let nobody = Client::showing(Version::Http3, &gateway, &[]).await;
    assert_eq!(alice.get("/user/").await.status, 200);
    assert_eq!(alice.get("/elsewhere").await.status, 404);
    assert_eq!(nobody.get("/user/").await.status, 403);

    let text = scrape().await;
    let requests = |route: &str, protocol: &str, outcome: &str, status: u16, reason: &str| {
        let labels = format!(
            "route=\"{route}\",protocol=\"{protocol}\",outcome=\"{outcome}\",status=\"{status}\",reason=\"{reason}\""
        );
        metric(&text, &format!("countersign_gateway_requests_total{{{labels}}}"))
    };
    assert_eq!(requests("/user/", "h2", "answered", 200, ""), Some(1.0), "{text}");
    assert_eq!(requests("", "h2", "refused", 404, "destination_not_found"), Some(1.0), "{text}");
    assert_eq!(
        requests("/user/", "h3", "refused", 403, "credential-declined"),
        Some(1.0),
        "{text}"
    );
    let credentials = |outcome: &str| {
        let labels = format!("credential=\"user\",outcome=\"{outcome}\",reason=\"\"");
        metric(&text, &format!("countersign_gateway_credentials_total{{{labels}}}"))
    };
    assert_eq!((credentials("proven"), credentials("declined")), (Some(1.0), Some(1.0)), "{text}");
    for (protocol, route, name, count) in [
        ("h2", "/user/", "response_time", 1.0),
        ("h3", "/user/", "response_time", 1.0),
        ("h2", "", "response_time", 1.0),
        ("h2", "/user/", "held_time", 1.0),
    ] {
        let labels = format!("route=\"{route}\",protocol=\"{protocol}\"");
        let name = format!("countersign_gateway_{name}_seconds");
        assert_eq!(metric(&text, &format!("{name}_count{{{labels}}}")), Some(count), "{text}");
        let all = metric(&text, &format!("{name}_bucket{{le=\"+Inf\",{labels}}}"));
        assert_eq!(all, Some(count), "{text}");
        let sum = metric(&text, &format!("{name}_sum{{{labels}}}")).unwrap();
        assert!(sum > 0.0 && sum < 20.0, "{text}");
    }
    let version =
        format!("countersign_gateway_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(metric(&text, &version), Some(1.0), "{text}");
    let started = metric(&text, "countersign_gateway_started_at_seconds").unwrap();
    assert!(started > 1.0e9, "{text}");
    let open = |protocol| {
        metric(&text, &format!("countersign_gateway_connections{{protocol=\"{protocol}\"}}"))
    };
    assert_eq!((open("h2"), open("h3")), (Some(1.0), Some(1.0)), "{text}");
    assert_eq!(
        metric(&text, "countersign_gateway_configurations_loaded_total"),
        Some(1.0),
        "{text}"
    );
    assert_eq!(metric(&text, "countersign_gateway_configuration_refused"), Some(0.0), "{text}");
    let list = "countersign_gateway_revocation_list_next_update_seconds{credential=\"user\",file=\"user.crl\"}";
    assert!(metric(&text, list).is_some_and(|at| at > 1.0e9), "{text}");
    assert!(text.ends_with("# EOF\n") && !text.contains("alice"), "{text}");
    let described = include_str!("../../../../docs/operations.md");
    for line in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let name = line.split(' ').next().unwrap();
        assert!(described.contains(name), "docs/operations.md does not know {name}");
    }

    gateway.write("gateway.toml", "nonsense");
    gateway.reload().await.unwrap_err();
    let text = scrape().await;
    assert_eq!(metric(&text, "countersign_gateway_configuration_refused"), Some(1.0));
    assert_eq!(metric(&text, "countersign_gateway_configurations_refused_total"), Some(1.0));

    // The counters of a route go on for as long as it is there.
    let more = "[[routes]]\npath = \"/more/\"\nupstream = \"http://127.0.0.1:9\"\n";
    gateway.write("gateway.toml", format!("{config}{more}"));
    gateway.reload().await.unwrap();
    assert_eq!(alice.get("/user/").await.status, 200);
    assert_eq!(alice.get("/more/").await.status, 502);
    let text = scrape().await;
    let of = |route, outcome| {
        let labels = format!("route=\"{route}\",protocol=\"h2\",outcome=\"{outcome}\"");
        let name = format!("countersign_gateway_requests_total{{{labels},");
        let line = text.lines().find_map(|line| line.strip_prefix(&name))?;
        line.split_once("} ")?.1.parse::<u64>().ok()
    };
    assert_eq!((of("/user/", "answered"), of("/more/", "failed")), (Some(2), Some(1)), "{text}");
    gateway.write("gateway.toml", config);
    gateway.reload().await.unwrap();
    let text = scrape().await;
    assert!(text.contains("route=\"/user/\"") && !text.contains("/more/"), "{text}");
}
