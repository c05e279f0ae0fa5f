//! The promise of the README: a PKI, a gateway, and who gets what over one connection.

use serde_json::Value;
use tokio::process::Command;

use crate::support::{Http, Setting, run};

fn problem(event: &Value) -> String {
    let body: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
    assert_eq!(event["headers"]["content-type"], "application/problem+json");
    body["type"].as_str().unwrap().to_owned()
}

over_both!(alice_gets_both_pages_on_one_connection);
async fn alice_gets_both_pages_on_one_connection(http: Http) {
    let setting = Setting::new(http).await;
    let done = setting.fetch(&["device", "alice"], &["--json"], &["/public/", "/admin/"]).await;
    assert_eq!(done.exit, 0, "{}", done.err);
    assert_eq!(done.statuses(), [200, 200]);
    assert_eq!(done.named("connected").len(), 1);
    assert_eq!(done.named("connected")[0]["protocol"], http.alpn());
    assert_eq!(done.named("settings")[0]["client_cert_auth"], 1);

    let challenges = done.named("challenge");
    assert_eq!(challenges.len(), 2);
    assert_eq!(challenges[0]["message_type"], 17);
    let authority = &challenges[0]["certificate_authorities"][0];
    assert_eq!(authority, "O=Countersign test PKI, CN=Device root");
    // Answers are told as they are made, which is not always the order in which they may be sent.
    let answers = done.named("answer");
    assert_eq!(answers.len(), 2);
    for (challenge, subject) in challenges.iter().zip(["device-1", "alice"]) {
        let mut theirs = answers.iter().filter(|one| one["context"] == challenge["context"]);
        let answer = theirs.next().unwrap();
        assert_eq!(answer["subject"], format!("O=Countersign test PKI, CN={subject}"));
        assert_eq!(answer["reason"], Value::Null);
    }

    let events = done.events();
    assert_eq!(events.first().unwrap()["event"], "connected");
    let closed = events.last().unwrap();
    assert_eq!((&closed["event"], &closed["initiator"]), (&"closed".into(), &"client".into()));
    assert_eq!(closed["name"], http.no_error());

    // What the backend was told.
    let seen = done.named("response")[1]["body"].as_str().unwrap().to_owned();
    let seen: Value = serde_json::from_str(&seen).unwrap();
    let identities = seen["headers"]["client-identities"].as_str().unwrap();
    assert!(identities.contains("alice@example.test"), "{identities}");
    assert!(identities.contains("device-1.example.test"), "{identities}");
}

over_both!(others_are_refused_for_their_own_reasons_and_the_connection_lives_on);
async fn others_are_refused_for_their_own_reasons_and_the_connection_lives_on(http: Http) {
    let setting = Setting::new(http).await;
    for (name, expected) in [
        ("bob", "urn:countersign:not-allowed"),
        ("revoked", "urn:countersign:credential-revoked"),
        ("expired", "urn:countersign:credential-expired"),
    ] {
        let paths = ["/public/", "/admin/", "/public/"];
        let done = setting.fetch(&["device", name], &["--json"], &paths).await;
        assert_eq!(done.exit, 0, "{name}: {}", done.err);
        assert_eq!(done.statuses(), [200, 403, 200], "{name}");
        assert_eq!(problem(&done.named("response")[1]), expected);
        assert_eq!(done.named("connected").len(), 1, "{name}");
    }
    // Without a user's certificate the client says no; without the extension it cannot be asked.
    let done = setting.fetch(&["device"], &["--json"], &["/admin/"]).await;
    assert_eq!(problem(&done.named("response")[0]), "urn:countersign:credential-declined");
    let done = setting.fetch(&["device", "alice"], &["--json", "--no-auth"], &["/admin/"]).await;
    assert_eq!(problem(&done.named("response")[0]), "urn:countersign:credential-missing");
    assert!(done.named("challenge").is_empty());
}

over_both!(identity_fields_of_clients_do_not_reach_the_backend);
async fn identity_fields_of_clients_do_not_reach_the_backend(http: Http) {
    let setting = Setting::new(http).await;
    let forged = ["-H", "Client-Identities: \"user\"", "-H", "Client-Cert: :AA==:", "-H", "X: 1"];
    let done = setting.fetch(&[], &forged, &["/public/"]).await;
    let seen: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(seen["headers"]["x"], "1");
    assert!(seen["headers"].get("client-identities").is_none(), "{seen}");
    assert!(seen["headers"].get("client-cert").is_none(), "{seen}");
}

#[tokio::test]
async fn a_client_of_http_1_can_be_a_user_by_its_handshake() {
    let setting =
        Setting::with(Http::Two, |text| text.replace("[\"device\", \"user\"]", "[\"user\"]")).await;
    let options = ["--http1.1", "-w", " %{http_code} %{http_version}\\n", "-o", "/dev/null"];
    let done = setting.fetch(&["alice"], &options, &["/admin/"]).await;
    assert_eq!(done.out, " 200 1.1\n", "{}", done.err);
    let done = setting.fetch(&["bob"], &options, &["/admin/"]).await;
    assert_eq!(done.out, " 403 1.1\n", "{}", done.err);
}

#[tokio::test]
async fn curl_gets_what_needs_no_certificate() {
    let setting = Setting::new(Http::Two).await;
    let version = Command::new("curl").arg("--version").output().await;
    if !version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("HTTP2")) {
        eprintln!("skipped: there is no curl with HTTP/2 here");
        return;
    }
    for (path, status, word) in
        [("/public/", "200 2", "headers"), ("/admin/", "403 2", "credential-missing")]
    {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--http2", "-w", "\n%{http_code} %{http_version}"]);
        curl.args(["--cacert", &setting.pki.path("server-ca.pem"), &setting.url(path)]);
        let done = run(curl).await;
        assert_eq!(done.exit, 0, "{}", done.err);
        assert!(done.out.ends_with(status) && done.out.contains(word), "{}", done.out);
    }
}

over_both!(a_certificate_can_be_presented_before_it_is_asked_for);
async fn a_certificate_can_be_presented_before_it_is_asked_for(http: Http) {
    let setting = Setting::with(http, |text| {
        text.replace("generic_challenges = 0", "generic_challenges = 1")
    })
    .await;
    let alice = setting.identity("alice");
    let options = ["--json", "--limit", "3", "--present", &alice];
    let done = setting.fetch(&["device"], &options, &["/admin/"]).await;
    assert_eq!(done.statuses(), [200], "{}\n{}", done.out, done.err);
    let untargeted = |event: &Value| {
        event["certificate_authorities"].as_array().is_some_and(|names| names.is_empty())
    };
    let challenges = done.named("challenge");
    let answers = done.named("answer");
    let used =
        answers.iter().find(|answer| answer["subject"] == "O=Countersign test PKI, CN=alice");
    let used = &used.unwrap()["context"];
    let challenge = challenges.iter().find(|challenge| challenge["context"] == *used).unwrap();
    assert!(untargeted(challenge));
}
