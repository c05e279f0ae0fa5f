//! Ways around a gateway's decision that were found in other gateways, and what becomes of them here.
//!
//! | trap | tests |
//! | --- | --- |
//! | a session of another virtual host is resumed (CVE-2025-23419), or by another client | [`a_resumed_session_has_no_identity`], `decisions::sessions_are_not_resumed_where_handshake_certificates_count`, `http3::neither_sessions_nor_early_data_are_taken_up` |
//! | a ClientHello in pieces hides the name that policy hangs on (CVE-2026-32305) | [`a_client_hello_in_pieces_changes_nothing`] |
//! | another Host than the handshake's name (CVE-2026-48491), coalesced connections | `origins::over_http1_the_handshakes_certificate_decides`, `origins::a_client_that_takes_no_further_certificates_is_misdirected`, `origins::credentials_and_routes_are_the_same_for_the_second_origin` |
//! | a policy that HTTP/3 does not have (CVE-2026-53622) | all of `decisions`, for both versions; `http1::the_same_decisions_as_over_http2` |
//! | identity fields of clients (CVE-2026-46579), in other spellings, several times, in trailers, named by `Connection` | all of `spoofing` |
//! | the client's address from the client, or by the PROXY protocol | `spoofing::the_address_is_the_connections_and_the_host_the_requests`, [`a_proxy_line_is_no_handshake`] |
//! | a revoked certificate on a live connection, lists that are not read anew or go back | `reload::revocation_lists_only_go_forward`, `reload::what_new_trust_does_not_grant_is_gone`, `expiry::an_identity_ends_with_its_revocation_list` |
//! | a path that gateway and backend read in two ways | `paths::the_table_in_the_documentation_is_what_happens`, `decisions::paths_that_could_mean_two_things_reach_nobody` |
//! | two authorities, absolute targets, HTTP/1.0 | [`other_forms_of_a_request_are_decided_alike`], [`messages_that_could_be_two_reach_nobody`], `http1::requests_without_one_host_are_refused` |
//! | one request for the gateway and two for the backend | [`messages_that_could_be_two_reach_nobody`], `http1::a_smuggled_request_is_one_request_or_none`, `http3::a_body_that_is_not_as_long_as_announced_is_an_error` |
//! | requests before or beside those that authenticate | [`what_is_pipelined_is_decided_one_by_one`], `hostile::a_client_that_never_answers_is_refused_in_time` |
//! | one client's identity on what another one sends | [`callers_on_one_upstream_connection_are_told_apart`], `http3::identities_do_not_pass_from_one_connection_to_another` |
//! | early data | `http3::sessions_that_are_taken_up_bring_no_early_data` |
//! | a tunnel that outlives the identity | `websocket::what_is_no_longer_allowed_ends`, `audit::a_tunnel_that_is_not_allowed_any_more_is_said` |
//! | names in certificates that only look like those of `allow` | [`a_name_that_only_looks_like_it_is_another`] |

use std::sync::Arc;

use countersign::client;
use countersign_testkit::pki::{Authority, KeyKind, Leaf, crls_pem};
use countersign_testkit::raw::{self, RawPeer, flag};
use countersign_testkit::raw_h3::{self, RawH3Peer};
use countersign_testkit::tls::{TlsOptions, roots, test_pki};
use countersign_testkit::{CountingVerifier, Frame, within};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{
    Backend, Client, HEAD, Http1, Running, Version, connect_to, for_both_versions, origin,
    shown_to, tls,
};

for_both_versions! {
    a_resumed_session_has_no_identity,
    callers_on_one_upstream_connection_are_told_apart,
    messages_that_could_be_two_reach_nobody,
    a_name_that_only_looks_like_it_is_another,
}

async fn world() -> (Backend, Running) {
    let backend = Backend::start().await;
    let gateway = Running::standard(&format!("http://{}", backend.address)).await;
    (backend, gateway)
}

async fn a_resumed_session_has_no_identity(version: Version) {
    let backend = Backend::start().await;
    let text = format!(
        "{HEAD}[[routes]]\npath = \"/\"\nrequire = [\"user\"]\nupstream = \"http://{}\"\n",
        backend.address
    );
    // Where handshakes bring certificates no session is resumed at all.
    let gateway = Running::start(&text.replace("handshake = \"accept\"\n", "")).await;
    let options = TlsOptions::default().alpn([version.alpn()]);
    let trusted = roots([&options.server_ca]);
    let inner = WebPkiServerVerifier::builder_with_provider(trusted, options.provider());
    let verifier = CountingVerifier::new(inner.build().unwrap());
    let mut tls = options.client_config();
    tls.dangerous().set_certificate_verifier(Arc::clone(&verifier) as Arc<_>);
    let tls = Arc::new(tls);
    let alice = &test_pki().alice;
    for (shown, status) in [(vec![alice], 200), (vec![], 403), (vec![alice], 200)] {
        let auth = client::AuthConfig::builder(TlsOptions::default().provider())
            .resolver(Arc::new(shown_to(&gateway, &shown)))
            .build()
            .unwrap();
        let own = origin(&gateway);
        let (client, _handle) =
            Client::to(version, &gateway, own, Arc::clone(&tls), auth).await.unwrap();
        assert_eq!(client.get("/").await.status, status, "{version:?}");
    }
    assert_eq!(verifier.chains(), 1, "the others were resumptions");
    assert_eq!(backend.seen().len(), 2);
}

#[tokio::test]
async fn a_client_hello_in_pieces_changes_nothing() {
    let (backend, gateway) = world().await;
    for alpn in ["http/1.1", "h2"] {
        let mut pieces = Arc::unwrap_or_clone(tls(alpn, None));
        pieces.max_fragment_size = Some(32);
        let stream = connect_to(&gateway, "localhost", Arc::new(pieces)).await;
        let (refused, served) = if alpn == "h2" {
            let client = Client::over(stream, &gateway).await;
            (client.get("/admin/").await, client.get("/public/").await)
        } else {
            let mut client = Http1::over(stream).await;
            (client.get("/admin/").await, client.get("/public/").await)
        };
        assert_eq!((refused.status.as_u16(), served.status.as_u16()), (403, 200), "{alpn}");
        assert_eq!(refused.problem().1, ["device", "user"]);
    }
    assert!(backend.seen().iter().all(|seen| seen.line == "GET /public/ HTTP/1.1"));
}

#[tokio::test]
async fn a_proxy_line_is_no_handshake() {
    let (backend, gateway) = world().await;
    let version2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x01\x7f\0\0\x01\x01\xbb\x01\xbb";
    for line in [&b"PROXY TCP4 10.0.0.1 127.0.0.1 443 443\r\n"[..], version2] {
        let mut tcp = TcpStream::connect(gateway.address).await.unwrap();
        tcp.write_all(line).await.unwrap();
        let connector = TlsConnector::from(tls("http/1.1", None));
        let name = ServerName::try_from("localhost").unwrap();
        assert!(within(connector.connect(name, tcp)).await.is_err());
    }
    assert_eq!(Http1::connect(&gateway, None).await.get("/public/").await.status, 200);
    assert_eq!(backend.only().header("x-forwarded-for"), Some("127.0.0.1"));
}

/// What the gateway answers to these octets over HTTP/1.1, until it closes.
async fn over_http1(gateway: &Running, octets: &str) -> String {
    let mut peer = RawPeer::connect(gateway.address, tls("http/1.1", None)).await;
    peer.send_bytes(octets.as_bytes()).await;
    String::from_utf8_lossy(&within(peer.rest()).await).into_owned()
}

#[tokio::test]
async fn other_forms_of_a_request_are_decided_alike() {
    let (backend, gateway) = world().await;
    let close = "connection: close\r\n\r\n";
    for (before, after) in [
        ("GET /", " HTTP/1.0\r\nhost: localhost\r\n"),
        ("GET https://localhost/", " HTTP/1.1\r\nhost: localhost\r\n"),
        ("GET /", "?path=/public/ HTTP/1.1\r\nhost: localhost\r\nx-original-url: /public/\r\n"),
    ] {
        let refused = over_http1(&gateway, &format!("{before}admin/{after}{close}")).await;
        assert!(
            refused.starts_with("HTTP/1.1 403 ") || refused.starts_with("HTTP/1.0 403 "),
            "{refused}"
        );
        let served = over_http1(&gateway, &format!("{before}public/{after}{close}")).await;
        assert!(served.contains(" 200 OK\r\n"), "{served}");
    }
    assert_eq!(backend.seen().len(), 3);
    assert!(backend.seen().iter().all(|seen| seen.line.starts_with("GET /public/")));
}

#[tokio::test]
async fn what_is_pipelined_is_decided_one_by_one() {
    let (backend, gateway) = world().await;
    let request = |path, more| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n");
    let all = ["/public/", "/user/", "/admin/", "/public/"].map(|path| request(path, ""));
    let last = request("/user/", "connection: close\r\n");
    let answers = over_http1(&gateway, &format!("{}{last}", all.concat())).await;
    let statuses: Vec<_> =
        answers.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect();
    assert_eq!(statuses, ["200", "403", "403", "200", "403"], "{answers}");
    assert_eq!(backend.seen().len(), 2);
}

async fn callers_on_one_upstream_connection_are_told_apart(version: Version) {
    let pki = test_pki();
    for scheme in ["http", "h2c"] {
        let backend = Backend::start().await;
        let gateway = Running::standard(&format!("{scheme}://{}", backend.address)).await;
        let alice = Client::showing(version, &gateway, &[&pki.alice]).await;
        let bob = Client::showing(version, &gateway, &[&pki.bob]).await;
        let nobody = Client::plain(version, &gateway, None).await;
        for _ in 0..3 {
            for (client, path) in
                [(&alice, "/user/"), (&nobody, "/public/"), (&bob, "/user/"), (&alice, "/public/")]
            {
                assert_eq!(client.get(path).await.status, 200);
            }
            assert_eq!(nobody.get("/user/").await.status, 403);
        }
        assert_eq!(backend.connections(), 1, "otherwise nothing could be mixed up");
        for round in backend.seen().chunks(4) {
            let told = |at: usize| round[at].header("client-identities");
            assert!(told(0).unwrap().contains("email=\"alice@example.test\""));
            assert!(told(2).unwrap().contains("email=\"bob@example.test\""));
            assert_eq!((told(1), told(3)), (None, None));
        }
    }
}

/// An integer of HPACK and QPACK with a prefix of so many bits below `first`.
fn integer(out: &mut Vec<u8>, first: u8, bits: u32, value: usize) {
    let most = (1_usize << bits) - 1;
    if value < most {
        out.push(first | u8::try_from(value).unwrap());
        return;
    }
    out.push(first | u8::try_from(most).unwrap());
    let mut rest = value - most;
    while rest >= 128 {
        out.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap());
}

/// A field section of literals, exactly as given, as a request; the status of what comes back.
async fn sent(version: Version, gateway: &Running, fields: &[(&str, &str)]) -> Option<u16> {
    let mut section = if version == Version::Http3 { vec![0, 0] } else { Vec::new() };
    for (name, value) in fields {
        if version == Version::Http3 {
            integer(&mut section, 0x20, 3, name.len());
        } else {
            section.push(0);
            integer(&mut section, 0, 7, name.len());
        }
        section.extend_from_slice(name.as_bytes());
        integer(&mut section, 0, 7, value.len());
        section.extend_from_slice(value.as_bytes());
    }
    if version == Version::Http3 {
        let tls = Arc::unwrap_or_clone(tls("h3", None));
        let mut peer = RawH3Peer::connect(gateway.address, tls).await;
        within(peer.open(&[])).await;
        let headers = raw_h3::Frame::new(raw_h3::kind::HEADERS, section);
        let id = peer.open_request(&headers.encode()).await;
        peer.finish(id).await;
        return within(peer.whole_response(id)).await.map(|(status, _)| status);
    }
    let mut peer = RawPeer::connect(gateway.address, tls("h2", None)).await;
    within(peer.open(&[])).await;
    let flags = flag::END_HEADERS | flag::END_STREAM;
    let frame = Frame { kind: raw::kind::HEADERS, flags, stream: 1, payload: section.into() };
    peer.send(&frame).await;
    within(peer.response(1)).await
}

async fn messages_that_could_be_two_reach_nobody(version: Version) {
    let (backend, gateway) = world().await;
    let sound = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/public/"),
    ];
    let with = |more: &[(&'static str, &'static str)]| [&sound[..], more].concat();
    let with_path = |path| [&sound[..3], &[(":path", path)]].concat();
    let mut wrong = Vec::new();
    for fields in [
        with(&[("x", "a\r\nclient-cert: EVIL")]),
        with(&[("x", "a\nclient-cert: EVIL")]),
        with(&[("x", "a\0b")]),
        with(&[("x\r\nclient-cert", "EVIL")]),
        with(&[("x: y", "EVIL")]),
        with(&[("Client-Cert", "EVIL")]),
        with(&[("host", "elsewhere")]),
        with(&[("host", "localhost"), ("host", "elsewhere")]),
        with_path("/public/ HTTP/1.1\r\nclient-cert: EVIL"),
        with_path("/public/ HTTP/1.1"),
        with_path("https://localhost/admin/"),
        [&[(":method", "GET / HTTP/1.1\r\nx:")], &sound[1..]].concat(),
        with(&[("content-length", "1"), ("content-length", "2")]),
    ] {
        let status = sent(version, &gateway, &fields).await;
        if !matches!(status, None | Some(400)) || !backend.seen().is_empty() {
            wrong.push((fields, status));
        }
    }
    assert!(wrong.is_empty(), "{version:?} {wrong:?}");
    // h3 takes the last of a pseudo-header field that comes twice: what is decided about has to be what is forwarded.
    for (name, again) in [(":path", "/admin/"), (":path", "/user/"), (":method", "TRACE")] {
        for fields in [with(&[(name, again)]), with(&[("x", "y"), (name, again)])] {
            let status = sent(version, &gateway, &fields).await;
            assert_ne!(status, Some(200), "{version:?} {fields:?}");
            assert!(backend.seen().is_empty(), "{version:?} {fields:?}");
        }
    }
    // What no sound client sends, and what goes no further than here where it is taken at all.
    for field in [
        ("transfer-encoding", "chunked"),
        ("connection", "host, x-forwarded-for"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ("keep-alive", "EVIL"),
        ("te", "EVIL"),
    ] {
        sent(version, &gateway, &with(&[field])).await;
        for seen in backend.seen() {
            assert_eq!(seen.header(field.0), None, "{version:?}");
            assert_eq!(seen.header("host"), Some("localhost"));
            assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
        }
    }
    let before = backend.seen().len();
    assert_eq!(sent(version, &gateway, &with(&[("host", "localhost")])).await, Some(200));
    assert_eq!(backend.seen().len(), before + 1);
}

async fn a_name_that_only_looks_like_it_is_another(version: Version) {
    let (backend, gateway) = world().await;
    let users = Authority::root("Users", KeyKind::P256).unwrap();
    gateway.write("user-ca.pem", users.root_pem());
    gateway.write("user.crl", crls_pem(&[users.crl(&[]).unwrap()]));
    gateway.reload().await.unwrap();
    let device = &test_pki().device;
    for (name, status) in [
        ("alice@example.test", 200),
        ("alice@EXAMPLE.test", 200),
        ("Alice@example.test", 403),
        ("*@example.test", 403),
        ("alice@example.test.evil", 403),
        ("alice@sub.example.test", 403),
        ("alice@example.test\0.evil", 403),
        ("alice@example.test\0", 403),
        ("bob@evil,alice@example.test", 403),
        ("alice@xn--example-.test", 403),
    ] {
        let issued = users.issue(&Leaf::client("alice@example.test").email(name)).unwrap();
        let client = Client::showing(version, &gateway, &[device, &issued]).await;
        assert_eq!(client.get("/admin/").await.status, status, "{name:?}");
    }
    // As a host name, the same text is of another kind.
    let host = users.issue(&Leaf::client("alice").dns("alice.example.test")).unwrap();
    let client = Client::showing(version, &gateway, &[device, &host]).await;
    assert_eq!(client.get("/admin/").await.status, 403);
    assert_eq!(backend.seen().len(), 2);
}
