//! `explain`: the gateway's decision without a network.

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
