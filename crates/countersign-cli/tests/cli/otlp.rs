//! Traces of the gateway, as a collector gets them.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::life::{exit_code, signal};
use crate::support::{Http, Setting, countersign, run, start_gateway_by};

/// What was posted: paths and bodies.
type Posted = Arc<Mutex<Vec<(String, Bytes)>>>;

async fn start_collector() -> (String, Posted) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let posted = Posted::default();
    let kept = Arc::clone(&posted);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let kept = Arc::clone(&kept);
            let service = service_fn(move |request: Request<Incoming>| {
                let kept = Arc::clone(&kept);
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    kept.lock().unwrap().push((path, body));
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (format!("http://{address}"), posted)
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

async fn requests_are_traced_from_the_client_to_the_backend(http: Http) {
    let setting = Setting::new(http).await;
    let (collector, posted) = start_collector().await;
    let mut command = countersign(&["gateway", "--config", &setting.pki.path("test.toml")]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector);
    command.env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=testing");
    let (mut gateway, port) = start_gateway_by(command).await;
    let url = |path: &str| format!("https://localhost:{port}{path}");
    let parent = format!("traceparent: 00-{TRACE}-{SPAN}-01");
    let root = setting.pki.path("server-ca.pem");
    let (public, admin) = (url("/public/x?token=secret"), url("/admin/"));
    let done = run(countersign(&[
        "fetch",
        "--json",
        http.flag(),
        "--cacert",
        &root,
        "-H",
        &parent,
        "-H",
        "tracestate: vendor=1",
        &public,
        &admin,
    ]))
    .await;
    assert_eq!(done.statuses(), [200, 403]);
    let seen = done.named("response")[0]["body"].as_str().unwrap().to_owned();
    let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
    let passed: Vec<_> = seen["headers"]["traceparent"].as_str().unwrap().split('-').collect();
    assert_eq!((passed[0], passed[1], passed[3]), ("00", TRACE, "01"));
    assert_ne!(passed[2], SPAN, "the backend\u{2019}s parent is the gateway");
    assert_eq!(seen["headers"]["tracestate"], "vendor=1");

    // What is left is exported before the end.
    signal(&gateway, "-TERM").await;
    assert_eq!(exit_code(&mut gateway).await, Some(0));
    let posted = posted.lock().unwrap();
    assert!(posted.iter().all(|(path, _)| path == "/v1/traces"), "{posted:?}");
    let all: Vec<u8> = posted.iter().flat_map(|(_, body)| body.to_vec()).collect();
    let has = |wanted: &[u8]| all.windows(wanted.len()).any(|window| window == wanted);
    for text in [
        "GET /public/",
        "GET /admin/",
        "http.route",
        "http.response.status_code",
        "countersign.outcome",
        "refused",
        "credential-declined",
        "network.protocol.version",
        "/public/x",
        "countersign.upstream",
        "countersign-gateway",
        "deployment.environment.name",
    ] {
        assert!(has(text.as_bytes()), "{text} is not exported");
    }
    for id in [TRACE, SPAN, passed[2]] {
        assert!(has(&bytes_of(id)), "{id} is not exported");
    }
    assert!(!has(b"secret"));
}

over_both!(requests_are_traced_from_the_client_to_the_backend);

#[tokio::test]
async fn without_a_collector_traces_pass_as_they_came() {
    let setting = Setting::new(Http::Two).await;
    let parent = format!("traceparent: 00-{TRACE}-{SPAN}-01");
    let done = setting.fetch(&[], &["--json", "-H", &parent], &["/public/"]).await;
    let seen = done.named("response")[0]["body"].as_str().unwrap().to_owned();
    assert!(seen.contains(&format!("00-{TRACE}-{SPAN}-01")), "{seen}");
}

#[tokio::test]
async fn what_cannot_be_exported_to_is_told_at_the_start() {
    let setting = Setting::new(Http::Two).await;
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "no URL at all"),
    ] {
        let mut command = countersign(&["gateway", "--config", &setting.pki.path("test.toml")]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9").env(name, value);
        let done = run(command).await;
        assert!(done.exit == 1 && done.err.contains("traces cannot be exported"), "{}", done.err);
    }
}
