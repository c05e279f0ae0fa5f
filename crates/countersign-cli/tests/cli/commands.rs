//! `pki`, `demo`, `gateway` and `conform`: what they print, what they refuse, how they end.

use std::process::Stdio;

use serde_json::Value;

use crate::support::{Folder, Http, Setting, countersign, run, vectors};

#[tokio::test]
async fn pki_init_writes_all_files_once() {
    let folder = Folder::new();
    let init = || run(countersign(&["pki", "init", &folder.0.join("p").display().to_string()]));
    let done = init().await;
    assert_eq!(done.exit, 0, "{}", done.err);
    for name in [
        "server.pem",
        "server.key",
        "server-ca.pem",
        "device-ca.pem",
        "user-ca.pem",
        "device-ca.key",
        "user-ca.key",
        "user.crl",
        "device.pem",
        "device.key",
        "alice.pem",
        "alice.key",
        "bob.pem",
        "bob.key",
        "expired.pem",
        "expired.key",
        "revoked.pem",
        "revoked.key",
        "gateway.toml",
    ] {
        assert!(folder.0.join("p").join(name).is_file(), "{name}");
    }
    let before = folder.read("p/alice.key");
    let done = init().await;
    assert_eq!(done.exit, 1);
    assert!(done.err.contains("is there already"), "{}", done.err);
    assert_eq!(folder.read("p/alice.key"), before);

    let config = folder.path("p/gateway.toml");
    let done = run(countersign(&["gateway", "--check", "--config", &config])).await;
    assert_eq!(done.exit, 0, "{}", done.err);
}

#[tokio::test]
async fn the_gateway_prints_the_schema_of_its_configuration() {
    let done = run(countersign(&["gateway", "--schema"])).await;
    assert_eq!((done.exit, done.err.as_str()), (0, ""));
    let schema: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["limits"]["properties"]["streams"]["default"], 128);
    for wrong in [&["gateway"][..], &["gateway", "--schema", "--check"]] {
        assert_eq!(run(countersign(wrong)).await.exit, 2);
    }
}

#[tokio::test]
async fn the_demo_holds_what_it_promises() {
    for (arguments, chapters) in [
        (&["demo"][..], &["HTTP/2 over TCP", "HTTP/3 over QUIC over UDP"][..]),
        (&["demo", "--http2"], &["HTTP/2 over TCP"]),
        (&["demo", "--http3"], &["HTTP/3 over QUIC over UDP"]),
    ] {
        let done = run(countersign(arguments)).await;
        assert_eq!(done.exit, 0, "{}\n{}", done.out, done.err);
        assert!(done.out.contains("expectations came true"), "{}", done.out);
        let told: Vec<_> = done.out.lines().filter_map(|line| line.strip_prefix("=== ")).collect();
        let expected: Vec<_> = chapters.iter().map(|chapter| format!("{chapter} ===")).collect();
        assert_eq!(told, expected);
        for seen in ["I am device-1.example.test", "I am alice@example.test", "not-allowed"] {
            assert!(done.out.contains(seen), "{seen}: {}", done.out);
        }
        assert!(!done.out.contains('\x1b'), "colour is for terminals");
        assert_eq!(done.err, "");
    }
}

#[tokio::test]
async fn a_configuration_is_checked_with_line_and_advice() {
    let setting = Setting::new(Http::Two).await;
    let text = setting.pki.read("gateway.toml").replace("require = [", "requires = [");
    let line = 1 + text.lines().position(|line| line.starts_with("requires")).unwrap();
    let file = setting.pki.write("wrong.toml", &text);
    for arguments in
        [&["gateway", "--check", "--config", &file][..], &["gateway", "--config", &file]]
    {
        let done = run(countersign(arguments)).await;
        assert_eq!(done.exit, 1);
        assert_eq!(done.out, "");
        assert!(done.err.contains(&format!("{file}:{line}:")), "{}", done.err);
        assert!(done.err.contains("require"), "{}", done.err);
    }
    let done = run(countersign(&["gateway", "--config", "/no/such/file.toml"])).await;
    assert_eq!(done.exit, 1);
    assert!(done.err.contains("/no/such/file.toml"), "{}", done.err);
}

#[tokio::test]
async fn an_address_in_use_is_said_so() {
    let setting = Setting::new(Http::Two).await;
    let taken = format!("127.0.0.1:{}", setting.port);
    let text = setting.pki.read("gateway.toml").replace("127.0.0.1:8443", &taken);
    let file = setting.pki.write("taken.toml", &text);
    let done = run(countersign(&["gateway", "--config", &file])).await;
    assert_eq!(done.exit, 1);
    assert!(done.err.contains(&taken), "{}", done.err);
}

#[tokio::test]
async fn all_vectors_pass() {
    let file = vectors().display().to_string();
    let done = run(countersign(&["conform", "vectors", &file])).await;
    assert_eq!(done.exit, 0, "{}", done.out);
    assert_eq!(done.out.lines().last(), Some("69 passed, 0 failed"));

    let list = run(countersign(&["conform", "vectors", "--list", &file])).await;
    assert_eq!(list.out.lines().count(), 69);

    let only = ["conform", "vectors", "--json", "--only", "ok-sha256-empty", &file];
    let done = run(countersign(&only)).await;
    let events: Vec<Value> = done.events();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["case"], "ok-sha256-empty");
    assert_eq!(events[1]["passed"], 1);
}

#[tokio::test]
async fn vectors_that_do_not_hold_fail() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(vectors()).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    let cases = file["vectors"].as_array_mut().unwrap();
    cases.truncate(3);
    cases[1]["expect"] = "bad_signature".into();
    let path = folder.write("wrong.json", &file.to_string());
    let done = run(countersign(&["conform", "vectors", &path])).await;
    assert_eq!(done.exit, 1);
    assert!(done.out.contains("FAILED"), "{}", done.out);
    assert!(done.out.ends_with("2 passed, 1 failed\n"), "{}", done.out);

    for (name, text) in [("a.json", "{}"), ("b.json", "no JSON"), ("c.json", "{\"vectors\": []}")] {
        let path = folder.write(name, text);
        let done = run(countersign(&["conform", "vectors", &path])).await;
        assert_eq!(done.exit, 1);
        assert!(done.err.contains(name), "{}", done.err);
    }
    let path = vectors().display().to_string();
    let done = run(countersign(&["conform", "vectors", "--only", "nonsense", &path])).await;
    assert_eq!(done.exit, 1);
    assert!(done.err.contains("nonsense"), "{}", done.err);
}

#[tokio::test]
async fn a_wrong_command_line_is_explained() {
    for arguments in [&["fetch"][..], &["nonsense"], &["gateway"], &["demo", "--http9"]] {
        let mut command = countersign(arguments);
        command.stderr(Stdio::piped());
        let done = run(command).await;
        assert_eq!(done.exit, 2, "{arguments:?}");
        assert!(done.err.contains("Usage"), "{}", done.err);
    }
}
