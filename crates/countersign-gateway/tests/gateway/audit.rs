//! The audit log: who did what, and who was let.

use std::sync::Arc;
use std::time::Duration;

use countersign::client::{self, CredentialResolver, Origin, Resolution, StaticCredentials};
use countersign::{AuthenticatorRequest, BoxFuture};
use countersign_testkit::pki::{Authority, KeyKind, Leaf, Validity};
use countersign_testkit::tls::{TlsOptions, test_pki};
use countersign_testkit::within;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{
    Backend, Client, HEAD, Http1, Running, Version, credential as credential_of, empty,
    for_both_versions, full, origin, serve, tls, try_start,
};
use crate::tunnels::{Front, Peer, SocketBackend, accepting};

for_both_versions! {
    who_passes_and_who_does_not_is_said,
    what_is_proven_and_lost_is_said,
    a_file_that_is_moved_away_is_opened_anew_and_no_line_is_lost,
    who_goes_away_is_said_too,
    who_goes_away_instead_of_answering_is_not_refused,
    a_question_without_an_answer_is_said_once,
    what_is_presented_unasked_is_said,
}

const ROUTES: &str = r#"
[audit]
file = "log/audit.log"
[[routes]]
path = "/public/"
upstream = "http://UPSTREAM"
[[routes]]
path = "/user/"
require = ["user"]
allow = [{ credential = "user", subject_alt_names = ["alice@example.test"] }]
upstream = "http://UPSTREAM"
[[routes]]
path = "/gone/"
upstream = "http://127.0.0.1:9"
"#;

fn config(upstream: &str) -> String {
    format!("{HEAD}{}", ROUTES.replace("UPSTREAM", upstream))
}

async fn start(upstream: &str) -> Running {
    Running::start_with(&config(upstream), &[("log/audit.log", String::new())]).await
}

/// The lines of a file, each of which is one JSON object.
fn lines_of(gateway: &Running, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(gateway.path(file)).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Those of an event, once there are so many.
pub(crate) async fn events(gateway: &Running, event: &str, count: usize) -> Vec<Value> {
    within(async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        loop {
            let lines = lines_of(gateway, "log/audit.log");
            let found: Vec<_> = lines.into_iter().filter(|line| line["event"] == event).collect();
            if found.len() >= count {
                assert_eq!(found.len(), count, "{found:?}");
                break found;
            }
            ticks.tick().await;
        }
    })
    .await
}

async fn who_passes_and_who_does_not_is_said(version: Version) {
    let pki = test_pki();
    let backend = Backend::start().await;
    let gateway = start(&backend.address.to_string()).await;
    let alice = Client::showing(version, &gateway, &[&pki.alice]).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = alice
        .request("/user/%61?token=secret")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .header("authorization", "secret")
        .body(empty());
    assert_eq!(alice.send(request.unwrap()).await.status, 200);
    assert_eq!(alice.get("/nowhere").await.status, 404);
    assert_eq!(alice.get("/public/../x%0aA").await.status, 400);
    assert_eq!(alice.get("/gone/").await.status, 502);
    let bob = Client::showing(version, &gateway, &[&pki.bob]).await;
    assert_eq!(bob.get("/user/").await.status, 403);
    let nobody = Client::plain(version, &gateway, None).await;
    assert_eq!(nobody.get("/user/").await.status, 403);

    let requests = events(&gateway, "request", 6).await;
    let [passed, nowhere, bad, gone, bob, nobody] = &requests[..] else { panic!() };
    assert_eq!(passed["connection"]["protocol"], version.alpn());
    assert!(passed["connection"]["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(passed["request"]["id"], 1);
    assert_eq!(passed["request"]["method"], "GET");
    assert_eq!(passed["request"]["authority"], alice.authority);
    assert_eq!(passed["request"]["path"], "/user/a");
    assert_eq!(passed["request"]["trace"], trace);
    assert_eq!((&passed["route"], &passed["decision"]), (&json!("/user/"), &json!("pass")));
    assert_eq!((&passed["status"], passed.get("reason")), (&json!(200), None));
    assert!(passed["held"].as_f64().unwrap() <= passed["duration"].as_f64().unwrap());
    let held = &passed["credentials"][0];
    assert_eq!((&held["credential"], &held["outcome"]), (&json!("user"), &json!("held")));
    assert!(held["subject"].as_str().unwrap().contains("alice"), "{held}");
    assert!(held["issuer"].as_str().is_some_and(|issuer| !issuer.is_empty()));
    assert_eq!(held["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(held["names"], json!(["alice@example.test"]));
    assert!(held["serial"].as_str().is_some_and(|serial| !serial.is_empty()));

    assert_eq!(nowhere["connection"]["id"], passed["connection"]["id"]);
    assert_eq!((&nowhere["request"]["id"], &nowhere["decision"]), (&json!(2), &json!("refuse")));
    assert_eq!((&nowhere["status"], nowhere.get("route")), (&json!(404), None));
    assert_eq!(bad["request"]["path"], "/public/../x%0aA");
    assert_eq!((&bad["status"], &bad["reason"]), (&json!(400), &json!("http_request_error")));
    assert_eq!((&gone["decision"], &gone["status"]), (&json!("pass"), &json!(502)));
    assert_eq!(gone["reason"], "connection_refused");
    assert_eq!((&bob["decision"], &bob["reason"]), (&json!("refuse"), &json!("not-allowed")));
    assert!(bob["credentials"][0]["subject"].as_str().unwrap().contains("bob"));
    assert_ne!(bob["connection"]["id"], passed["connection"]["id"]);
    assert_eq!(nobody["reason"], "credential-missing");
    assert_eq!(nobody["credentials"], json!([{ "credential": "user", "outcome": "missing" }]));
    let text = std::fs::read_to_string(gateway.path("log/audit.log")).unwrap();
    assert!(!text.contains("secret"), "{text}");
}

async fn what_is_proven_and_lost_is_said(version: Version) {
    let pki = test_pki();
    let backend = Backend::start().await;
    let gateway = start(&backend.address.to_string()).await;
    let alice = Client::showing(version, &gateway, &[&pki.alice, &pki.device]).await;
    assert_eq!(alice.get("/user/").await.status, 200);
    let proven = events(&gateway, "identity-proven", 2).await;
    let device = proven.iter().find(|line| line["credentials"][0]["credential"] == "device");
    assert_eq!(device.unwrap()["credentials"][0]["outcome"], "proven");

    let revoked = Client::showing(version, &gateway, &[&pki.revoked]).await;
    assert_eq!(revoked.get("/user/").await.status, 403);
    let rejected = events(&gateway, "identity-rejected", 1).await;
    assert_eq!(rejected[0]["reason"], "revoked");
    assert!(rejected[0]["credentials"][0]["subject"].as_str().unwrap().contains("revoked"));
    let declined = events(&gateway, "identity-declined", 1).await;
    assert_eq!(declined[0]["credentials"][0]["credential"], "device");

    // Another authority for users, and no devices any more.
    let other = Authority::root("Other users", KeyKind::P256).unwrap();
    gateway.write("user-ca.pem", other.root_pem());
    let device = "[credentials.device]\ntrust = \"device-ca.pem\"\nask = \"on-connect\"\n";
    let text = config(&backend.address.to_string());
    assert!(text.contains(device));
    gateway.write("gateway.toml", text.replace(device, ""));
    gateway.reload().await.unwrap();
    let lost = events(&gateway, "identity-lost", 2).await;
    for (credential, reason) in [("user", "untrusted"), ("device", "not-configured")] {
        let line = lost.iter().find(|line| line["credentials"][0]["credential"] == credential);
        assert_eq!(line.unwrap()["reason"], reason);
        assert_eq!(line.unwrap()["connection"]["id"], proven[0]["connection"]["id"]);
    }
}

/// Leaves every challenge unanswered.
pub(crate) struct Silent;

impl CredentialResolver for Silent {
    fn resolve<'a>(
        &'a self,
        _: &'a Origin,
        _: &'a AuthenticatorRequest,
    ) -> BoxFuture<'a, Resolution> {
        Box::pin(std::future::pending())
    }
}

/// The same, and says that it was asked.
struct Asked(Arc<Notify>);

impl CredentialResolver for Asked {
    fn resolve<'a>(
        &'a self,
        _: &'a Origin,
        _: &'a AuthenticatorRequest,
    ) -> BoxFuture<'a, Resolution> {
        self.0.notify_one();
        Box::pin(std::future::pending())
    }
}

async fn a_question_without_an_answer_is_said_once(version: Version) {
    let text = config("127.0.0.1:9") + "[pool]\nanswer_timeout = \"200ms\"\n";
    let gateway = Running::start_with(&text, &[("log/audit.log", String::new())]).await;
    let client = Client::resolving(version, &gateway, Silent).await;
    let answers = tokio::join!(client.get("/user/a"), client.get("/user/b"));
    assert_eq!((answers.0.status.as_u16(), answers.1.status.as_u16()), (403, 403));
    for line in events(&gateway, "request", 2).await {
        assert_eq!(
            (&line["decision"], &line["reason"]),
            (&json!("refuse"), &json!("credential-timeout"))
        );
        assert_eq!(line["credentials"][0]["outcome"], "unanswered");
        assert!(line["held"].as_f64().unwrap() >= 0.2, "{line}");
    }
    let line = events(&gateway, "identity-unanswered", 1).await.remove(0);
    assert_eq!(line["credentials"], json!([{ "credential": "user", "outcome": "unanswered" }]));
}

async fn what_is_presented_unasked_is_said(version: Version) {
    let text = config("127.0.0.1:9").replace("ask = \"on-connect\"\n", "")
        + "[pool]\ngeneric_challenges = 2\n";
    let gateway = Running::start_with(&text, &[("log/audit.log", String::new())]).await;
    let other = Authority::root("Somebody", KeyKind::P256).unwrap();
    let stranger = other.issue(&Leaf::client("stranger")).unwrap();
    for (issued, event, credential) in [
        (&test_pki().alice, "identity-proven", json!("user")),
        (&stranger, "identity-rejected", Value::Null),
    ] {
        let auth = client::AuthConfig::builder(TlsOptions::default().provider())
            .resolver(Arc::new(StaticCredentials::new().keep_generic()))
            .limit(4)
            .build()
            .unwrap();
        let tls = tls(version.alpn(), None);
        let (client, handle) =
            Client::to(version, &gateway, origin(&gateway), tls, auth).await.unwrap();
        assert_eq!(client.get("/gone/").await.status, 502);
        within(handle.present(Arc::new(credential_of(issued)))).await.unwrap();
        let line = events(&gateway, event, 1).await.remove(0);
        assert_eq!(line["credentials"][0]["credential"], credential, "{line}");
        assert!(line["credentials"][0]["subject"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn a_tunnel_that_is_not_allowed_any_more_is_said() {
    let backend = SocketBackend::start(accepting).await;
    let gateway = start(&backend.address.to_string()).await;
    let mut peer = Peer::open(Front::Http2, &gateway, "/public/chat", None).await;
    let opened = events(&gateway, "request", 1).await.remove(0);
    assert_eq!(
        (&opened["decision"], &opened["request"]["method"]),
        (&json!("pass"), &json!("CONNECT"))
    );
    let text = config(&backend.address.to_string()).replace("/public/", "/other/");
    gateway.write("gateway.toml", text);
    gateway.reload().await.unwrap();
    peer.expect_end().await;
    let ended = events(&gateway, "tunnel-ended", 1).await.remove(0);
    assert_eq!(ended["request"]["id"], opened["request"]["id"]);
    assert_eq!(ended["connection"]["id"], opened["connection"]["id"]);
    assert_eq!(ended["request"]["path"], "/public/chat");
}

#[tokio::test]
async fn what_ends_with_its_connection_is_said() {
    let pki = test_pki();
    let gateway = start("127.0.0.1:9").await;
    let mut alice = Http1::connect(&gateway, Some(&pki.alice)).await;
    assert_eq!(alice.get("/user/").await.status, 502);
    let bob = Client::showing(Version::Http2, &gateway, &[&pki.bob]).await;
    assert_eq!(bob.get("/user/").await.status, 403);
    let proven = events(&gateway, "identity-proven", 2).await;
    assert_eq!(proven[0]["connection"]["protocol"], "http/1.1");
    drop((alice, bob));
    for lost in events(&gateway, "identity-lost", 2).await {
        assert_eq!(lost["reason"], "connection-closed");
        let subjects = proven.iter().map(|line| &line["credentials"][0]["subject"]);
        assert!(subjects.into_iter().any(|subject| *subject == lost["credentials"][0]["subject"]));
    }
}

#[tokio::test]
async fn who_runs_out_is_asked_anew() {
    let authority = Authority::root("Short-lived users", KeyKind::P256).unwrap();
    let now = time::OffsetDateTime::now_utc();
    let validity = Validity {
        not_before: now - time::Duration::hours(1),
        not_after: now + time::Duration::seconds(3),
    };
    let leaf = Leaf::client("alice").email("alice@example.test").validity(validity);
    let short = authority.issue(&leaf).unwrap();
    let backend = Backend::start().await;
    let text = config(&backend.address.to_string()).replace("crl = [\"user.crl\"]\n", "");
    let files = [("log/audit.log", String::new())];
    let gateway = Running::start_with(&text, &files).await;
    gateway.write("user-ca.pem", authority.root_pem());
    gateway.reload().await.unwrap();
    let alice = Client::showing(Version::Http2, &gateway, &[&short]).await;
    assert_eq!(alice.get("/user/").await.status, 200);
    within(async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while alice.get("/user/").await.status == 200 {
            ticks.tick().await;
        }
    })
    .await;
    let lost = events(&gateway, "identity-lost", 1).await;
    assert_eq!(lost[0]["reason"], "expired");
    // It is asked for again, and shows the same.
    assert_eq!(alice.get("/user/").await.problem().0, "urn:countersign:credential-expired");
    assert_eq!(events(&gateway, "identity-rejected", 1).await[0]["reason"], "expired");
}

async fn a_file_that_is_moved_away_is_opened_anew_and_no_line_is_lost(version: Version) {
    let backend = Backend::start().await;
    let gateway = start(&backend.address.to_string()).await;
    let client = Client::plain(version, &gateway, None).await;
    let mut sent = 0;
    for round in 0..4 {
        let moved = format!("log/audit.log.{round}");
        for _ in 0..5 {
            assert_eq!(client.get("/public/").await.status, 200);
            sent += 1;
        }
        std::fs::rename(gateway.path("log/audit.log"), gateway.path(&moved)).unwrap();
        // It is opened anew by a reload that fails as well.
        if round % 2 == 0 {
            gateway.reload().await.unwrap();
        } else {
            let good = std::fs::read(gateway.path("gateway.toml")).unwrap();
            gateway.write("gateway.toml", "nonsense");
            gateway.reload().await.unwrap_err();
            gateway.write("gateway.toml", good);
        }
    }
    assert_eq!(client.get("/public/").await.status, 200);
    assert_eq!(events(&gateway, "request", 1).await[0]["request"]["id"], sent + 1);
    let mut numbers: Vec<_> = (0..4)
        .flat_map(|round| lines_of(&gateway, &format!("log/audit.log.{round}")))
        .filter(|line| line["event"] == "request")
        .map(|line| line["request"]["id"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=sent).collect::<Vec<_>>());
}

async fn who_goes_away_is_said_too(version: Version) {
    let arrived = std::sync::Arc::new(Notify::new());
    let told = arrived.clone();
    let backend = serve(move |_| {
        told.notify_one();
        async {
            std::future::pending::<()>().await;
            http::Response::new(full("never"))
        }
    })
    .await;
    let gateway = start(&backend.to_string()).await;
    let client = Client::plain(version, &gateway, None).await;
    let request = client.request("/public/").body(empty()).unwrap();
    let waiting = tokio::spawn(async move { client.start(request).await.map(drop) });
    within(arrived.notified()).await;
    waiting.abort();
    let _aborted = waiting.await;
    let line = events(&gateway, "request", 1).await.remove(0);
    assert_eq!((&line["decision"], &line["reason"]), (&json!("pass"), &json!("abandoned")));
    assert_eq!(line.get("status"), None);
}

async fn who_goes_away_instead_of_answering_is_not_refused(version: Version) {
    let text = config("127.0.0.1:9").replace("ask = \"on-connect\"\n", "");
    let gateway = Running::start_with(&text, &[("log/audit.log", String::new())]).await;
    let asked = Arc::new(Notify::new());
    let client = Client::resolving(version, &gateway, Asked(Arc::clone(&asked))).await;
    let waiting = tokio::spawn(async move { client.get("/user/").await.status });
    within(asked.notified()).await;
    waiting.abort();
    let _aborted = waiting.await;
    let line = events(&gateway, "request", 1).await.remove(0);
    assert_eq!((line.get("decision"), &line["reason"]), (None, &json!("abandoned")), "{line}");
    assert_eq!(line.get("status"), None);
}

#[tokio::test]
async fn the_end_waits_for_the_last_lines() {
    let backend = Backend::start().await;
    let mut gateway = start(&backend.address.to_string()).await;
    let client = Client::plain(Version::Http2, &gateway, None).await;
    for _ in 0..20 {
        assert_eq!(client.get("/public/").await.status, 200);
    }
    drop(client);
    gateway.end();
    let log = gateway.path("log/audit.log");
    let kept = std::fs::File::open(&log).unwrap();
    gateway.ended().await;
    let text = std::io::read_to_string(kept).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("\"request\"")).count(), 20, "{text}");
}

#[tokio::test]
async fn it_can_be_taken_up_moved_and_given_up_while_connections_live() {
    let backend = Backend::start().await;
    let with = config(&backend.address.to_string());
    let without = with.replace("[audit]\nfile = \"log/audit.log\"\n", "");
    let gateway = Running::start_with(&without, &[("log/other", String::new())]).await;
    let client = Client::plain(Version::Http2, &gateway, None).await;
    let take = async |text: &str| {
        gateway.write("gateway.toml", text);
        gateway.reload().await
    };
    assert_eq!(client.get("/public/").await.status, 200);
    take(&with).await.unwrap();
    assert_eq!(client.get("/public/").await.status, 200);
    assert_eq!(events(&gateway, "request", 1).await[0]["request"]["id"], 2);
    let bad = with.replace("log/audit.log", "nowhere/audit.log");
    let error = take(&bad).await.unwrap_err().to_string();
    assert!(error.contains("gateway.toml:") && error.contains("its folder"), "{error}");
    assert_eq!(client.get("/public/").await.status, 200);
    events(&gateway, "request", 2).await;
    take(&with.replace("audit.log", "other")).await.unwrap();
    assert_eq!(client.get("/public/").await.status, 200);
    take(&without).await.unwrap();
    assert_eq!(client.get("/public/").await.status, 200);
    let other = within(async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        loop {
            let lines = lines_of(&gateway, "log/other");
            if !lines.is_empty() {
                break lines;
            }
            ticks.tick().await;
        }
    })
    .await;
    assert_eq!((other.len(), &other[0]["request"]["id"]), (1, &json!(4)));
    events(&gateway, "request", 2).await;
}

/// Nobody can make a file there, not even root.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_cannot_be_opened_is_told_at_the_start_and_changes_nothing_later() {
    let nowhere = "/proc/self/countersign-audit.log";
    let good = config("127.0.0.1:9");
    let bad = good.replace("log/audit.log", nowhere);
    let error = try_start(&bad).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("the audit log `{nowhere}` cannot be opened")), "{error}");

    let gateway = start("127.0.0.1:9").await;
    let client = Client::plain(Version::Http2, &gateway, None).await;
    assert_eq!(client.get("/gone/").await.status, 502);
    gateway.write("gateway.toml", bad.replace("path = \"/gone/\"", "path = \"/\""));
    let error = gateway.reload().await.unwrap_err().to_string();
    assert!(error.contains(nowhere), "{error}");
    assert_eq!(client.get("/elsewhere").await.status, 404, "the routes are those of before");
    events(&gateway, "request", 2).await;
}

#[tokio::test]
async fn lines_beside_the_configuration_do_not_hold_up_a_reload() {
    let backend = Backend::start().await;
    let text = config(&backend.address.to_string()).replace("log/audit.log", "audit.log");
    let gateway = Running::start_with(&text, &[]).await;
    let (ask, asked) = tokio::sync::mpsc::channel(1);
    tokio::spawn(gateway.reloader.clone().follow(gateway.path("gateway.toml"), asked));
    let client = Client::plain(Version::Http2, &gateway, None).await;
    let busy = tokio::spawn(async move {
        loop {
            assert_eq!(client.get("/public/").await.status, 200);
        }
    });
    // Were each to wait until the folder is quiet, it would take ten times five seconds.
    within(async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        for generation in 2..12 {
            ask.send(()).await.unwrap();
            while gateway.reloader.status().generation < generation {
                ticks.tick().await;
            }
        }
    })
    .await;
    assert_eq!(gateway.reloader.status().generation, 11);
    busy.abort();
}

#[tokio::test]
async fn a_hostile_subject_is_one_string() {
    let authority = Authority::root("Users\"}\n{\"event\":\"x\"}", KeyKind::P256).unwrap();
    let name = "mallory\"}\n{\"event\":\"request\",\"decision\":\"pass\"}";
    let mallory = authority.issue(&Leaf::client(name).email("mallory@example.test")).unwrap();
    let text = config("127.0.0.1:9").replace("crl = [\"user.crl\"]\n", "");
    let gateway = Running::start_with(&text, &[("log/audit.log", String::new())]).await;
    gateway.write("user-ca.pem", authority.root_pem());
    gateway.reload().await.unwrap();
    let client = Client::showing(Version::Http2, &gateway, &[&mallory]).await;
    assert_eq!(client.get("/user/").await.status, 403);
    let lines = events(&gateway, "request", 1).await;
    assert_eq!(lines[0]["decision"], "refuse");
    let subject = lines[0]["credentials"][0]["subject"].as_str().unwrap();
    assert!(subject.contains("mallory") && subject.contains("\\0A"), "{subject}");
}
