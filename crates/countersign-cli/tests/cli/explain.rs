//! `explain`: the gateway's decision without a network.

use countersign_testkit::pki::{Authority, KeyKind, Leaf};
use serde_json::Value;

use crate::support::{Folder, countersign, run};

async fn pki() -> Folder {
    let folder = Folder::new();
    let done = run(countersign(&["pki", "init", &folder.path("p")])).await;
    assert_eq!(done.exit, 0, "{}", done.err);
    folder
}

#[tokio::test]
async fn decisions_are_explained_without_a_network() {
    let folder = pki().await;
    let config = folder.path("p/gateway.toml");
    for (options, identities, path, exit, said) in [
        (&["--http2"][..], &["device", "alice"][..], "/admin/x", 0, "x-forwarded-client-cert"),
        (&["--http3"], &["device", "bob"], "/admin/", 1, "urn:countersign:not-allowed"),
        (&[], &["device", "revoked"], "/admin/", 1, "urn:countersign:credential-revoked"),
        (&[], &["device", "expired"], "/admin/", 1, "urn:countersign:credential-expired"),
        (&[], &["device"], "/admin/", 1, "urn:countersign:credential-declined"),
        (&["--http1.1"], &["alice"], "/admin/", 1, "urn:countersign:credential-missing"),
        (&["--http1.1"], &[], "/public/%61", 0, "/public/%61 becomes /public/a"),
        (&[], &[], "/public/../admin/", 1, "400"),
        (&[], &[], "//admin/", 1, "read loosely /admin/"),
        (&[], &[], "/elsewhere", 1, "404"),
    ] {
        let mut arguments = vec!["explain".to_owned(), "--config".to_owned(), config.clone()];
        arguments.extend(options.iter().map(|option| (*option).to_owned()));
        for name in identities {
            arguments.extend(["--identity".to_owned(), folder.path(&format!("p/{name}.pem"))]);
        }
        arguments.extend(["GET".to_owned(), format!("https://localhost:8443{path}")]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let done = run(countersign(&arguments)).await;
        assert_eq!(done.exit, exit, "{path}: {}{}", done.out, done.err);
        let out = done.out.to_lowercase();
        assert!(out.contains(&said.to_lowercase()), "{path} {said}: {}", done.out);
    }
}

#[tokio::test]
async fn the_explanation_is_there_as_json() {
    let folder = pki().await;
    let config = folder.path("p/gateway.toml");
    let ask = |url| run(countersign(&["explain", "--json", "--config", &config, "GET", url]));
    let done = ask("https://elsewhere.test/admin/").await;
    assert_eq!(done.exit, 1);
    let told = &done.events()[0];
    assert_eq!((&told["allowed"], &told["status"]), (&false.into(), &421.into()));
    assert_eq!(told["steps"][0]["step"], "authority");
    let done = ask("https://localhost/public/").await;
    assert_eq!(done.exit, 0);
    assert_eq!(done.events()[0]["upstream"], "http://127.0.0.1:9000");
    assert_eq!(ask("http://localhost/").await.exit, 2);
    let text = folder.read("p/gateway.toml").replace("require", "requires");
    let wrong = folder.write("wrong.toml", &text);
    let url = "https://localhost/";
    let done = run(countersign(&["explain", "--config", &wrong, "GET", url])).await;
    assert_eq!(done.exit, 2, "{}", done.err);
}

/// Asks about one request; `identities` are names in the PKI.
async fn ask(
    folder: &Folder,
    config: &str,
    options: &[&str],
    identities: &[&str],
    (method, url): (&str, &str),
) -> Value {
    let mut arguments = vec!["explain", "--json", "--config", config];
    arguments.extend(options);
    let files: Vec<_> =
        identities.iter().map(|name| folder.path(&format!("p/{name}.pem"))).collect();
    for file in &files {
        arguments.extend(["--identity", file]);
    }
    arguments.extend([method, url]);
    let done = run(countersign(&arguments)).await;
    assert!(matches!(done.exit, 0 | 1), "{}", done.err);
    let told = done.events().remove(0);
    assert_eq!(told["allowed"], Value::from(done.exit == 0));
    told
}

/// Whether a step of this kind says so, and what came of it.
fn step(told: &Value, kind: &str, part: &str) -> Option<bool> {
    let steps = told["steps"].as_array().unwrap().iter();
    let mut said = steps.filter(|one| one["step"] == kind);
    said.find(|one| one["text"].as_str().unwrap().contains(part))?["passed"].as_bool()
}

#[tokio::test]
async fn offered_certificates_count_where_they_are_offered() {
    let folder = pki().await;
    let root = Authority::root("Others", KeyKind::P256).unwrap();
    let other = root.issue(&Leaf::server("other").dns("other.test")).unwrap();
    folder.write("p/other.pem", &other.pem());
    folder.write("p/other.key", &other.key_pem());
    let tls = "[[tls]]\ncertificate = \"other.pem\"\nkey = \"other.key\"\n\n[credentials.device]";
    let text = folder.read("p/gateway.toml").replace("[credentials.device]", tls);
    let config = folder.write("p/two.toml", &text);
    let (offered, shown) = ("https://other.test/public/", "https://localhost/public/");
    for (options, url, status, said) in [
        (&["--http2"][..], shown, None, "in the certificate of the handshake"),
        (&["--http1.1"], shown, None, "in the certificate of the handshake"),
        (&["--http2"], "https://third.test/public/", Some(421), "in no certificate"),
        (&["--http3"], "https://third.test/public/", Some(421), "in no certificate"),
        (&["--http1.1"], "https://third.test/public/", Some(421), "in no certificate"),
    ] {
        let told = ask(&folder, &config, options, &[], ("GET", url)).await;
        assert_eq!(told["status"], Value::from(status), "{options:?} {url}: {told}");
        assert_eq!(step(&told, "authority", said), Some(status.is_none()), "{url}: {told}");
    }
    for version in ["--http2", "--http3", "--http1.1"] {
        let told = ask(&folder, &config, &[version], &[], ("GET", offered)).await;
        assert_eq!(told["allowed"], true, "{version}: {told}");
    }
    // No tunnel for any of them, but a hint for those that are served here.
    for (url, hint) in [("https://other.test", true), ("https://third.test", false)] {
        let told = ask(&folder, &config, &[], &[], ("CONNECT", url)).await;
        assert_eq!(told["status"], 501, "{told}");
        let detail = told["detail"].as_str().unwrap();
        assert_eq!(detail.contains("served here"), hint, "{detail}");
    }
}

#[tokio::test]
async fn who_cannot_be_asked_is_sent_where_the_route_says() {
    let folder = pki().await;
    let url = ("GET", "https://localhost/admin/");
    let text = folder.read("p/gateway.toml").replace(
        "require = [",
        "without_extension = \"redirect:https://help.example.test/\"\nrequire = [",
    );
    let config = folder.write("p/help.toml", &text);
    let told = ask(&folder, &config, &["--http1.1"], &["alice"], url).await;
    assert_eq!(
        (&told["status"], &told["location"]),
        (&303.into(), &"https://help.example.test/".into())
    );
    assert_eq!(step(&told, "route", "sent to https://help.example.test/"), Some(true), "{told}");
    // A client that can be asked, and declines, is refused all the same.
    let told = ask(&folder, &config, &[], &["device"], url).await;
    assert_eq!((&told["status"], &told["location"]), (&403.into(), &Value::Null), "{told}");
}

#[tokio::test]
async fn each_denial_is_told_with_its_reason() {
    let folder = pki().await;
    let config = folder.path("p/gateway.toml");
    let root = Authority::root("Strangers", KeyKind::P256).unwrap();
    folder.write("p/stranger.pem", &root.issue(&Leaf::client("stranger")).unwrap().pem());
    for (options, identities, problem, said) in [
        (&[][..], &["device"][..], "credential-declined", "none to show"),
        (&["--http1.1"], &[], "credential-missing", "missing"),
        (&["--http1.1"], &["stranger"], "credential-missing", "not: "),
        (&[], &["device", "expired"], "credential-expired", "expired"),
        (&[], &["device", "revoked"], "credential-revoked", "revoked"),
    ] {
        let told =
            ask(&folder, &config, options, identities, ("GET", "https://localhost/admin/")).await;
        assert_eq!(told["problem"], format!("urn:countersign:{problem}"), "{told}");
        assert_eq!(step(&told, "credential", said), Some(false), "{said}: {told}");
        assert_eq!(told["upstream"], Value::Null);
    }
    let told =
        ask(&folder, &config, &[], &["device", "bob"], ("GET", "https://localhost/admin/")).await;
    assert_eq!(told["problem"], "urn:countersign:not-allowed");
    assert_eq!(step(&told, "allow", "alice@example.test does not let pass"), Some(false), "{told}");
}
