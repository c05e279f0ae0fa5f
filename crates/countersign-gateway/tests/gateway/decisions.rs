//! Who gets in, and what those are told who do not.

use countersign_testkit::pki::{Authority, Issued, KeyKind, Leaf};
use countersign_testkit::tls::test_pki;
use sfv::{List, ListEntry, Parser};

use crate::support::{Backend, Client, HEAD, Running, Version, for_both_versions};

for_both_versions! {
    alice_on_her_device_gets_both_pages_over_one_connection,
    the_backends_hop_by_hop_fields_end_at_the_gateway,
    bob_is_not_allowed,
    a_revoked_certificate_is_told_so,
    an_expired_certificate_is_told_so,
    a_client_that_declines_is_told_what_it_declined,
    a_client_without_the_extension_is_told_what_it_lacks,
    a_handshake_certificate_is_the_credential_where_it_is_accepted,
    a_handshake_certificate_that_is_not_acceptable_grants_nothing,
    post_quantum_chains_fit,
    paths_that_could_mean_two_things_reach_nobody,
    a_head_request_is_refused_without_a_body,
}

async fn world() -> (Backend, Running) {
    let backend = Backend::start().await;
    let gateway = Running::standard(&format!("http://{}", backend.address)).await;
    (backend, gateway)
}

fn credential(name: &str) -> (String, Vec<String>) {
    (format!("urn:countersign:{name}"), vec!["user".to_owned()])
}

async fn alice_on_her_device_gets_both_pages_over_one_connection(version: Version) {
    let (backend, gateway) = world().await;
    let pki = test_pki();
    let client = Client::showing(version, &gateway, &[&pki.device, &pki.alice]).await;
    let public = client.get("/public/").await;
    assert_eq!((public.status.as_u16(), &public.body[..]), (200, &b"hello"[..]));
    let admin = client.get("/admin/?q=1").await;
    assert_eq!((admin.status.as_u16(), &admin.body[..]), (200, &b"hello"[..]));

    let seen = backend.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].line, "GET /public/ HTTP/1.1");
    assert_eq!(seen[0].header("host"), Some(client.authority.as_str()));
    assert_eq!(seen[0].header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen[0].header("x-forwarded-proto"), Some("https"));
    for name in ["client-cert", "client-cert-chain", "x-forwarded-client-cert", "client-identities"]
    {
        assert_eq!(seen[0].header(name), None);
        assert!(seen[1].header(name).is_some(), "{name}");
    }
    assert_eq!(seen[1].line, "GET /admin/?q=1 HTTP/1.1");
    let identities: List =
        Parser::new(seen[1].header("client-identities").unwrap()).parse().unwrap();
    let names: Vec<String> = identities
        .iter()
        .map(|entry| match entry {
            ListEntry::Item(item) => item.bare_item.as_string().unwrap().as_str().to_owned(),
            ListEntry::InnerList(_) => panic!("an inner list"),
        })
        .collect();
    assert_eq!(names, ["device", "user"]);
    let xfcc = seen[1].header("x-forwarded-client-cert").unwrap();
    assert!(xfcc.starts_with("Hash=") && xfcc.contains("Subject=\"CN=alice"), "{xfcc}");
}

async fn the_backends_hop_by_hop_fields_end_at_the_gateway(version: Version) {
    let (_backend, gateway) = world().await;
    let answer = Client::plain(version, &gateway, None).await.get("/public/").await;
    assert!(answer.headers.contains_key("x-end"));
    assert!(!answer.headers.contains_key("x-hop") && !answer.headers.contains_key("connection"));
}

async fn refused(version: Version, shown: &[&Issued], path: &str) -> (u16, (String, Vec<String>)) {
    let (backend, gateway) = world().await;
    let client = Client::showing(version, &gateway, shown).await;
    let answer = client.get(path).await;
    let refusal = (answer.status.as_u16(), answer.problem());
    assert_eq!(client.get("/public/").await.status, 200, "the connection lives on");
    assert_eq!(backend.only().line, "GET /public/ HTTP/1.1");
    refusal
}

async fn bob_is_not_allowed(version: Version) {
    let pki = test_pki();
    assert_eq!(
        refused(version, &[&pki.device, &pki.bob], "/admin/").await,
        (403, credential("not-allowed"))
    );
}

async fn a_revoked_certificate_is_told_so(version: Version) {
    let pki = test_pki();
    let refusal = refused(version, &[&pki.device, &pki.revoked], "/admin/").await;
    assert_eq!(refusal, (403, credential("credential-revoked")));
}

async fn an_expired_certificate_is_told_so(version: Version) {
    let pki = test_pki();
    let refusal = refused(version, &[&pki.device, &pki.expired], "/user/").await;
    assert_eq!(refusal, (403, credential("credential-expired")));
}

async fn a_client_that_declines_is_told_what_it_declined(version: Version) {
    let pki = test_pki();
    let refusal = refused(version, &[&pki.device], "/admin/").await;
    assert_eq!(refusal, (403, credential("credential-declined")));
    let both =
        ("urn:countersign:credential-declined".to_owned(), vec!["device".into(), "user".into()]);
    assert_eq!(refused(version, &[], "/admin/").await, (403, both));
}

async fn a_client_without_the_extension_is_told_what_it_lacks(version: Version) {
    let (backend, gateway) = world().await;
    let client = Client::plain(version, &gateway, None).await;
    let answer = client.get("/admin/").await;
    let missing = "urn:countersign:credential-missing".to_owned();
    assert_eq!(
        (answer.status.as_u16(), answer.problem()),
        (403, (missing, vec!["device".into(), "user".into()]))
    );
    assert_eq!(client.get("/user/").await.problem(), credential("credential-missing"));
    assert_eq!(client.get("/public/").await.status, 200);
    assert_eq!(backend.seen().len(), 1);
}

async fn a_handshake_certificate_is_the_credential_where_it_is_accepted(version: Version) {
    let (backend, gateway) = world().await;
    let client = Client::plain(version, &gateway, Some(&test_pki().alice)).await;
    assert_eq!(client.get("/user/").await.status, 200);
    let identities = backend.only().header("client-identities").unwrap().to_owned();
    assert!(
        identities.starts_with("\"user\";") && identities.contains("email=\"alice@example.test\"")
    );

    // A device certificate is none in the handshake: `device` does not accept it there.
    let client = Client::plain(version, &gateway, Some(&test_pki().device)).await;
    let answer = client.get("/admin/").await;
    assert_eq!(answer.problem().1, ["device", "user"]);
}

async fn a_handshake_certificate_that_is_not_acceptable_grants_nothing(version: Version) {
    let (backend, gateway) = world().await;
    for issued in [&test_pki().revoked, &test_pki().expired] {
        let client = Client::plain(version, &gateway, Some(issued)).await;
        assert_eq!(client.get("/user/").await.status, 403);
        assert_eq!(client.get("/public/").await.status, 200);
    }
    assert_eq!(backend.seen().len(), 2);
}

#[tokio::test]
async fn sessions_are_not_resumed_where_handshake_certificates_count() {
    let (_backend, gateway) = world().await;
    let config = crate::support::tls("h2", Some(&test_pki().alice));
    let connector = tokio_rustls::TlsConnector::from(config);
    for _ in 0..2 {
        let tcp = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, tcp).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
        let client = Client::over(stream, &gateway).await;
        assert_eq!(client.get("/user/").await.status, 200);
    }
}

async fn post_quantum_chains_fit(version: Version) {
    let backend = Backend::start().await;
    let root = Authority::root("Post-quantum root", KeyKind::MlDsa87).unwrap();
    let users = root.intermediate("Post-quantum users", KeyKind::MlDsa87).unwrap();
    let carol = users.issue(&Leaf::client("carol").key(KeyKind::MlDsa87)).unwrap();
    let text = format!(
        "{HEAD}[credentials.quantum]\ntrust = \"quantum.pem\"\n\
         [[routes]]\npath = \"/\"\nrequire = [\"quantum\"]\nupstream = \"http://{}\"\n\
         forward = {{ client_cert = \"quantum\" }}\n",
        backend.address
    );
    let gateway = Running::start_with(&text, &[("quantum.pem", root.root_pem())]).await;
    let client = Client::showing(version, &gateway, &[&carol]).await;
    assert_eq!(client.get("/").await.status, 200);
    assert!(backend.only().header("client-cert").is_some_and(|field| field.len() > 8_000));
}

async fn paths_that_could_mean_two_things_reach_nobody(version: Version) {
    let (backend, gateway) = world().await;
    let client = Client::plain(version, &gateway, None).await;
    for path in [
        "/public/%2e%2e/admin/",
        "/public/..;/admin/",
        "/public/%2fadmin",
        "/public/%5cadmin",
        "/public/%00",
        "/public/%252e%252e/admin/",
        "/%41DMIN/",
        "//admin/",
        "/;x/admin/",
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.problem().0, "about:blank");
    }
    assert_eq!(client.get("/elsewhere").await.status, 404);
    assert!(backend.seen().is_empty());
    // What is one thing in two spellings is forwarded in one.
    assert_eq!(client.get("/%70ublic/%7ex").await.status, 200);
    assert_eq!(backend.only().line, "GET /public/~x HTTP/1.1");
    assert_eq!(client.get("/%61dmin/").await.status, 403);
}

async fn a_head_request_is_refused_without_a_body(version: Version) {
    let (_backend, gateway) = world().await;
    let client = Client::plain(version, &gateway, None).await;
    let request = client.request("/admin/").method("HEAD").body(crate::support::empty()).unwrap();
    let answer = client.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (403, 0));
}
