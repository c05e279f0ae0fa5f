//! `countersign fetch`: curl's options, outputs and exit codes.

use std::sync::Arc;

use countersign_testkit::pki::TestPki;
use countersign_testkit::raw::{Frame, RawPeer, kind};
use countersign_testkit::{TlsOptions, within};
use serde_json::Value;
use tokio::net::{TcpListener, UdpSocket};

use crate::support::{Done, Folder, Http, Setting, countersign, run};

over_both!(bodies_go_where_they_are_sent);
async fn bodies_go_where_they_are_sent(http: Http) {
    let setting = Setting::new(http).await;
    let folder = Folder::new();
    let (one, two) = (folder.path("one"), folder.path("two"));
    let options = ["-o", &one, "-o", &two];
    let done = setting.fetch(&[], &options, &["/public/1", "/public/2", "/public/3"]).await;
    assert_eq!(done.exit, 0, "{}", done.err);
    assert!(folder.read("one").contains("/public/1") && folder.read("two").contains("/public/2"));
    assert!(done.out.contains("/public/3") && !done.out.contains("/public/1"));

    let mut command = setting.fetch_command(&[], &["-O"], &["/public/page.txt"]);
    command.current_dir(&folder.0);
    assert_eq!(run(command).await.out, "");
    assert!(folder.read("page.txt").contains("/public/page.txt"));
    let done = setting.fetch(&[], &["-O"], &["/public/"]).await;
    assert_eq!(done.exit, 23);
    let done = setting.fetch(&[], &["-o", "/no/such/folder/x"], &["/public/"]).await;
    assert_eq!(done.exit, 23);
    assert!(done.err.contains("/no/such/folder/x"), "{}", done.err);
}

over_both!(requests_are_made_as_told);
async fn requests_are_made_as_told(http: Http) {
    let setting = Setting::new(http).await;
    let seen = |done: &Done| serde_json::from_str::<Value>(&done.out).unwrap();
    let done =
        setting.fetch(&[], &["-d", "a=1", "--data", "b=2", "-H", "X: y"], &["/public/"]).await;
    let request = seen(&done);
    assert_eq!(request["method"], "POST");
    assert_eq!(request["body"], "a=1&b=2");
    assert_eq!(request["headers"]["x"], "y");
    assert_eq!(request["headers"]["content-type"], "application/x-www-form-urlencoded");

    let file = setting.pki.write("data", "line\nline\n");
    let options = ["-X", "PUT", "--data-binary", &format!("@{file}")];
    let request = seen(&setting.fetch(&[], &options, &["/public/"]).await);
    assert_eq!((&request["method"], &request["body"]), (&"PUT".into(), &"line\nline\n".into()));
    let done = setting.fetch(&[], &["-d", "@/no/such/file"], &["/public/"]).await;
    assert_eq!(done.exit, 26);

    let done = setting.fetch(&[], &["-I"], &["/public/"]).await;
    let first = format!("HTTP/{} 200 \r\n", http.number());
    assert!(done.out.starts_with(&first) && done.out.ends_with("\r\n\r\n"));
    let done = setting.fetch(&[], &["-i", "--http1.1"], &["/public/"]).await;
    assert!(done.out.starts_with("HTTP/1.1 200 OK\r\n"), "{}", done.out);
    assert!(done.out.contains("\r\n\r\n{"), "{}", done.out);
}

over_both!(write_out_counts_connections);
async fn write_out_counts_connections(http: Http) {
    let setting = Setting::new(http).await;
    let format = "%{http_code} %{http_version} %{num_connects} %{size_download}\\n";
    let options = ["-w", format, "-o", "/dev/null", "-o", "/dev/null"];
    let done = setting.fetch(&["device"], &options, &["/public/", "/nowhere/"]).await;
    let lines: Vec<_> = done.out.lines().collect();
    let number = http.number();
    assert!(lines[0].starts_with(&format!("200 {number} 1 ")), "{lines:?}");
    assert!(lines[1].starts_with(&format!("404 {number} 0 ")), "{lines:?}");
}

over_both!(verbose_tells_the_story_and_no_secrets);
async fn verbose_tells_the_story_and_no_secrets(http: Http) {
    let setting = Setting::new(http).await;
    let options = ["-v", "-H", "Authorization: Bearer hunter2"];
    let done = setting.fetch(&["device", "alice"], &options, &["/admin/"]).await;
    let number = http.number();
    let alpn = format!("ALPN chose {}", http.alpn());
    let get = format!("> GET /admin/ HTTP/{number}");
    let status = format!("< HTTP/{number} 200");
    let closed = format!("closed by the client with {}", http.no_error());
    for part in [
        "* Connected to https://localhost:",
        "* TLSv1.3",
        &alpn,
        "may ask for certificates at any time",
        "asks for a certificate from O=Countersign test PKI, CN=User root",
        "* Proved to be alice@example.test",
        &get,
        "> authorization: (hidden)",
        &status,
        &closed,
    ] {
        assert!(done.err.contains(part), "{part}: {}", done.err);
    }
    assert!(!done.err.contains("hunter2"), "{}", done.err);
}

over_both!(exit_codes_are_curls);
async fn exit_codes_are_curls(http: Http) {
    let setting = Setting::new(http).await;
    let exit = async |options: &[&str], path: &str| setting.fetch(&[], options, &[path]).await.exit;
    assert_eq!(exit(&["-f"], "/admin/").await, 22);
    let done = setting.fetch(&[], &["-f", "-s"], &["/admin/", "/public/"]).await;
    assert_eq!((done.exit, done.err.as_str()), (22, ""));
    assert!(done.out.contains("/public/") && !done.out.contains("urn:"), "{}", done.out);
    let done = setting.fetch(&[], &["-f", "-s", "-S"], &["/admin/"]).await;
    assert!(done.err.contains("403"), "{}", done.err);

    let plain =
        |arguments: &[&str]| run(countersign(&[&["fetch", http.flag()], arguments].concat()));
    let url = setting.url("/public/");
    assert_eq!(plain(&["http://localhost/"]).await.exit, 1);
    assert_eq!(plain(&["localhost"]).await.exit, 3);
    assert_eq!(plain(&["-k", "https://no-such-host.invalid/"]).await.exit, 6);
    let ca = setting.pki.path("device-ca.pem");
    assert_eq!(plain(&["--cacert", &ca, &url]).await.exit, 60);
    assert_eq!(plain(&["-k", &url]).await.exit, 0);
    assert_eq!(plain(&["--cacert", "/no/such/file", &url]).await.exit, 77);
    assert_eq!(plain(&["--cacert", &setting.pki.path("alice.key"), &url]).await.exit, 77);

    // Nobody listens there: bound, and closed again.
    let free = match http {
        Http::Two => TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap(),
        Http::Three => UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap(),
    };
    assert_eq!(plain(&["-k", &format!("https://{free}/")]).await.exit, 7);
    // Somebody listens there who speaks no TLS, and somebody who says nothing.
    if http == Http::Two {
        let backend = crate::support::start_backend().await;
        assert_eq!(plain(&["-k", &format!("https://{backend}/")]).await.exit, 35);
    }
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = tcp.local_addr().unwrap();
    let _udp = UdpSocket::bind(silent).await.unwrap();
    assert_eq!(plain(&["-k", "-m", "0.2", &format!("https://{silent}/")]).await.exit, 28);
}

#[tokio::test]
async fn bad_identities_are_explained() {
    let setting = Setting::new(Http::Two).await;
    let (pem, key) = (setting.pki.path("alice.pem"), setting.pki.path("alice.key"));
    let encrypted = setting.pki.write(
        "encrypted.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let der = setting.pki.path("alice.p12");
    std::fs::write(&der, [0x30, 0x82, 0, 0]).unwrap();
    let identity = async |argument: String| {
        setting.fetch(&[], &["--identity", &argument], &["/public/"]).await
    };
    for (argument, part) in [
        (pem.clone(), "name its file after a comma"),
        (format!("{pem},/no/such.key"), "/no/such.key"),
        (format!("{pem},{}", setting.pki.path("bob.key")), "does not belong"),
        (format!("{key},{key}"), "no PEM certificate"),
        (format!("{pem},{encrypted}"), "openssl pkcs8"),
        (der, "--pass"),
    ] {
        let done = identity(argument.clone()).await;
        assert_eq!(done.exit, 58, "{argument}: {}", done.err);
        assert!(done.err.contains(part), "{argument}: {}", done.err);
    }
}

over_both!(names_can_be_sent_elsewhere);
async fn names_can_be_sent_elsewhere(http: Http) {
    let setting = Setting::new(http).await;
    let ca = setting.pki.path("server-ca.pem");
    // The certificate is for localhost, wherever the connection goes.
    let to = format!("localhost:443:127.0.0.1:{}", setting.port);
    let url = "https://localhost/public/";
    let flag = http.flag();
    let done = run(countersign(&["fetch", flag, "--cacert", &ca, "--connect-to", &to, url])).await;
    assert_eq!(done.exit, 0, "{}", done.err);
    let resolve = format!("elsewhere.test:{}:127.0.0.1", setting.port);
    let url = format!("https://elsewhere.test:{}/public/", setting.port);
    let done =
        run(countersign(&["fetch", flag, "--cacert", &ca, "--resolve", &resolve, &url])).await;
    assert_eq!(done.exit, 60, "{}", done.err);
    let done = run(countersign(&["fetch", flag, "-k", "--resolve", &resolve, &url])).await;
    assert_eq!(done.exit, 0, "{}", done.err);
}

over_both!(tls_secrets_go_to_the_key_log_only_when_asked);
async fn tls_secrets_go_to_the_key_log_only_when_asked(http: Http) {
    let setting = Setting::new(http).await;
    let log = setting.pki.path("keys.log");
    let mut command = setting.fetch_command(&[], &[], &["/public/"]);
    command.env("SSLKEYLOGFILE", &log);
    assert_eq!(run(command).await.exit, 0);
    assert!(setting.pki.read("keys.log").contains("CLIENT_TRAFFIC_SECRET_0"));
}

over_both!(other_code_points_find_no_server);
async fn other_code_points_find_no_server(http: Http) {
    let setting = Setting::new(http).await;
    let options = ["--json", "--settings-client-cert-auth", "0xfff0"];
    let done = setting.fetch(&["device", "alice"], &options, &["/admin/"]).await;
    assert_eq!(done.statuses(), [403]);
    assert_eq!(done.named("settings")[0]["client_cert_auth"], Value::Null);
    let done = setting.fetch(&[], &["--frame-certificate", "0xf5"], &["/public/"]).await;
    assert_eq!(done.exit, 2);
}

/// A server that answers each connection with this after the SETTINGS.
async fn hostile(pki: &Folder, frame: Frame) -> (u16, tokio::task::JoinHandle<u32>) {
    let made = TestPki::generate().unwrap();
    made.write_to(&pki.0).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(TlsOptions::from_pki(&made).server_config());
    let serving = tokio::spawn(async move {
        let mut peer = RawPeer::accept(&listener, config).await;
        peer.open(&[(0xff0c, 1)]).await;
        peer.send(&frame).await;
        let goaway = peer.expect_kind(kind::GOAWAY).await;
        goaway.error_code().unwrap()
    });
    (port, serving)
}

#[tokio::test]
async fn a_server_that_breaks_the_rules_is_left() {
    let pki = Folder::new();
    // AUTHENTICATOR_REQUESTS whose list is empty.
    let (port, serving) = hostile(&pki, Frame::control(0xf5, &b""[..])).await;
    let url = format!("https://localhost:{port}/");
    let ca = pki.path("server-ca.pem");
    let done = run(countersign(&["fetch", "--json", "--cacert", &ca, &url])).await;
    assert_eq!(within(serving).await.unwrap(), 1);
    assert_eq!(done.exit, 16, "{}", done.err);
    assert!(done.err.contains("PROTOCOL_ERROR"), "{}", done.err);
    let closed = &done.named("closed")[0];
    assert_eq!(closed["initiator"], "client");
    assert_eq!((&closed["code"], &closed["name"]), (&1.into(), &"PROTOCOL_ERROR".into()));
    assert!(closed["reason"].as_str().unwrap().len() > 10, "{closed}");
    assert_eq!(done.named("error")[0]["exit_code"], 16);
}

#[tokio::test]
async fn a_server_that_ends_the_connection_is_quoted() {
    let pki = Folder::new();
    let goaway = Frame::control(kind::GOAWAY, &[0, 0, 0, 0, 0, 0, 0, 11][..]);
    let (port, serving) = hostile(&pki, goaway).await;
    let url = format!("https://localhost:{port}/");
    let ca = pki.path("server-ca.pem");
    let done = run(countersign(&["fetch", "--json", "--cacert", &ca, &url])).await;
    serving.abort();
    assert_eq!(done.exit, 16, "{}\n{}", done.out, done.err);
    let closed = &done.named("closed")[0];
    assert_eq!(closed["initiator"], "server");
    assert_eq!(closed["name"], "ENHANCE_YOUR_CALM");
}

/// The same over QUIC: the server sends `control` on its control stream, takes a request and ends the
/// connection with `end`; or tells how the client did.
async fn hostile_over_quic(
    pki: &Folder,
    control: &'static [u8],
    end: Option<(u32, &'static str)>,
) -> (u16, tokio::task::JoinHandle<quinn::ConnectionError>) {
    let made = TestPki::generate().unwrap();
    made.write_to(&pki.0).unwrap();
    let mut tls = TlsOptions::from_pki(&made).server_config();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let port = endpoint.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let quic = endpoint.accept().await.unwrap().await.unwrap();
        let mut stream = quic.open_uni().await.unwrap();
        stream.write_all(control).await.unwrap();
        if let Some((code, reason)) = end {
            quic.accept_bi().await.unwrap();
            quic.close(code.into(), reason.as_bytes());
        }
        let closed = quic.closed().await;
        endpoint.wait_idle().await;
        closed
    });
    (port, serving)
}

/// A control stream with SETTINGS that announce support, and nothing more.
const SETTINGS: &[u8] = &[0x00, 0x04, 5, 0x80, 0x00, 0xff, 0x0c, 1];
/// The same with AUTHENTICATOR_REQUESTS whose list is empty.
const EMPTY_REQUESTS: &[u8] = &[0x00, 0x04, 5, 0x80, 0x00, 0xff, 0x0c, 1, 0x40, 0xf5, 0];
/// The same with a second SETTINGS.
const SECOND_SETTINGS: &[u8] = &[0x00, 0x04, 5, 0x80, 0x00, 0xff, 0x0c, 1, 0x04, 0];

#[tokio::test]
async fn a_server_that_breaks_the_rules_over_quic_is_left() {
    for (control, code, name) in [
        (EMPTY_REQUESTS, 0x10e, "H3_MESSAGE_ERROR"),
        (SECOND_SETTINGS, 0x105, "H3_FRAME_UNEXPECTED"),
    ] {
        let pki = Folder::new();
        let (port, serving) = hostile_over_quic(&pki, control, None).await;
        let url = format!("https://localhost:{port}/");
        let ca = pki.path("server-ca.pem");
        let done = run(countersign(&["fetch", "--http3", "--json", "--cacert", &ca, &url])).await;
        let quinn::ConnectionError::ApplicationClosed(close) = within(serving).await.unwrap()
        else {
            panic!("{name}: not closed by the client");
        };
        assert_eq!(close.error_code.into_inner(), code, "{name}");
        assert_eq!(done.exit, 95, "{name}: {}", done.err);
        assert!(done.err.contains(name), "{}", done.err);
        let closed = &done.named("closed")[0];
        assert_eq!(closed["initiator"], "client");
        assert_eq!((&closed["code"], &closed["name"]), (&code.into(), &name.into()));
        assert!(closed["reason"].as_str().unwrap().len() > 10, "{closed}");
        assert_eq!(done.named("error")[0]["exit_code"], 95);
        assert_eq!(done.named("connected")[0]["cipher_suite"], Value::Null);
    }
}

#[tokio::test]
async fn a_server_that_ends_the_connection_over_quic_is_quoted() {
    for (code, exit, name) in [(0x107, 95, "H3_EXCESSIVE_LOAD"), (0x100, 52, "H3_NO_ERROR")] {
        let pki = Folder::new();
        let end = Some((code, "not today"));
        let (port, serving) = hostile_over_quic(&pki, SETTINGS, end).await;
        let url = format!("https://localhost:{port}/");
        let ca = pki.path("server-ca.pem");
        let done = run(countersign(&["fetch", "--http3", "--json", "--cacert", &ca, &url])).await;
        within(serving).await.unwrap();
        assert_eq!(done.exit, exit, "{}\n{}", done.out, done.err);
        let closed = &done.named("closed")[0];
        assert_eq!((&closed["initiator"], &closed["name"]), (&"server".into(), &name.into()));
        assert_eq!(closed["reason"], "not today");
    }
}
