//! `countersign decode`, of bytes and of captures of what `fetch` and the gateway say to each other.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use countersign_testkit::capture::Recording;
use countersign_testkit::relay::{self, Fate, Relay, Way};
use countersign_testkit::within;
use tokio::io::AsyncWriteExt;

use crate::support::{Done, Folder, Http, Setting, countersign, run};

over_both!(a_capture_with_its_key_log_is_explained);
over_both!(a_capture_without_secrets_says_what_is_missing);
over_both!(a_proof_that_is_not_this_connections_is_told);

#[tokio::test]
async fn bytes_are_explained() {
    let mut command = countersign(&["decode"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let request = b"0d00000b000008000d000400020807 # a request\n";
    child.stdin.take().unwrap().write_all(request).await.unwrap();
    let output = within(child.wait_with_output()).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(text.contains("CertificateRequest (13), 11 bytes\n"), "{text}");
    assert!(text.ends_with("ed25519\n"), "{text}");
}

/// What passed between `fetch` and the gateway, as a file, beside the key log.
async fn captured(http: Http, identities: &[&str], paths: &[&str]) -> (Folder, Done) {
    let setting = Setting::new(http).await;
    let gateway = ([127, 0, 0, 1], setting.port).into();
    let client = ([127, 0, 0, 1], 40_000).into();
    let recording = Arc::new(Mutex::new(Recording::new(client, gateway)));
    let recorder = Arc::clone(&recording);
    let mut udp = None;
    let address = match http {
        Http::Two => {
            recording.lock().unwrap().tcp_opened();
            let tell = move |way, bytes: &[u8]| recorder.lock().unwrap().tcp(way, bytes, 1400);
            relay::tcp(gateway, tell).await
        }
        Http::Three => {
            let fate = move |way: Way, datagram: &bytes::Bytes| {
                recorder.lock().unwrap().udp(way, datagram);
                Fate::Pass
            };
            udp.insert(Relay::new(gateway, fate).await).address()
        }
    };
    let folder = Folder::new();
    let detour = format!("localhost:{}:{address}", setting.port);
    let mut command =
        setting.fetch_command(identities, &["--json", "--connect-to", &detour], paths);
    command.env("SSLKEYLOGFILE", folder.path("keys"));
    let done = run(command).await;
    std::fs::write(folder.path("capture"), recording.lock().unwrap().pcap()).unwrap();
    (folder, done)
}

async fn a_capture_with_its_key_log_is_explained(http: Http) {
    let (folder, fetched) = captured(http, &["device", "alice"], &["/public/", "/admin/"]).await;
    assert_eq!(fetched.statuses(), [200, 200], "{}", fetched.err);
    let mut command = countersign(&["decode", "--extension", &folder.path("capture")]);
    command.env("SSLKEYLOGFILE", folder.path("keys"));
    let done = run(command).await;
    assert_eq!(done.exit, 0, "{}", done.err);
    let text = &done.out;
    let mut from = 0;
    for expected in [
        format!(", {}\n", http.alpn()),
        " client".to_owned(),
        "SETTINGS_HTTP_CLIENT_CERT_AUTH (0xff0c): 2\n".to_owned(),
    ] {
        from += text[from..].find(&expected).unwrap_or_else(|| panic!("{expected}: {text}"));
    }
    for expected in [
        "SETTINGS_HTTP_CLIENT_CERT_AUTH (0xff0c): 1\n",
        "  AUTHENTICATOR_REQUESTS: type 0xf5, ",
        "  CERTIFICATE: type 0xf6, ",
        "CN=Device root",
        "CN=alice\n",
        "subject alternative name: RFC822Name(alice@example.test)\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(text.matches("valid on this connection: signature and Finished verify").count(), 2);
    assert!(!text.contains('!') && !text.contains("HEADERS"), "{text}");
    // Contexts are those that fetch tells of.
    for challenge in fetched.named("challenge") {
        let context = challenge["context"].as_str().unwrap();
        assert_eq!(text.matches(&context[..32]).count(), 2, "{context}: {text}");
    }
    let named = format!("--key-log={}", folder.path("keys"));
    let whole = run(countersign(&["decode", &named, &folder.path("capture")])).await;
    assert!(whole.out.contains("  HEADERS: type 0x01, "), "{}", whole.out);
    assert!(!whole.out.contains('!'), "{}", whole.out);
}

async fn a_capture_without_secrets_says_what_is_missing(http: Http) {
    let (folder, _) = captured(http, &["device"], &["/public/"]).await;
    let done = run(countersign(&["decode", &folder.path("capture")])).await;
    assert_eq!(done.exit, 1);
    assert!(
        done.out.contains("! the key log has no SERVER_HANDSHAKE_TRAFFIC_SECRET"),
        "{}",
        done.out
    );
    assert!(done.err.contains("without a key log nothing can be decrypted"), "{}", done.err);
    let empty = folder.write("empty", "");
    let done = run(countersign(&["decode", "--key-log", &empty, &folder.path("capture")])).await;
    assert_eq!(done.exit, 1);
    assert!(done.err.contains("has the secrets of no connection in the capture"), "{}", done.err);
    let capture = std::fs::read(folder.path("capture")).unwrap();
    std::fs::write(folder.path("cut"), &capture[..capture.len() - 1]).unwrap();
    let named = format!("--key-log={}", folder.path("keys"));
    let done = run(countersign(&["decode", &named, &folder.path("cut")])).await;
    assert_eq!(done.exit, 1);
    assert!(done.err.contains("damaged or cut behind its packet"), "{}", done.err);
    std::fs::write(folder.path("none"), &capture[..24]).unwrap();
    let done = run(countersign(&["decode", &named, &folder.path("none")])).await;
    assert_eq!(done.exit, 1);
    assert!(done.err.contains("in 0 packets no connection"), "{}", done.err);
}

async fn a_proof_that_is_not_this_connections_is_told(http: Http) {
    let (folder, _) = captured(http, &["device"], &["/public/", "/device/"]).await;
    let keys = folder.read("keys");
    // The same with a digit of the exporter's secret changed.
    let spoilt: String = keys
        .lines()
        .map(|line| match line.strip_prefix("EXPORTER_SECRET") {
            Some(_) if line.ends_with('0') => format!("{}1\n", &line[..line.len() - 1]),
            Some(_) => format!("{}0\n", &line[..line.len() - 1]),
            None => format!("{line}\n"),
        })
        .collect();
    let named = format!("--key-log={}", folder.write("spoilt", &spoilt));
    let done = run(countersign(&["decode", &named, &folder.path("capture")])).await;
    assert_eq!(done.exit, 0, "{}", done.err);
    assert!(
        done.out.contains("! not valid on this connection: the signature does not verify\n"),
        "{}",
        done.out
    );
    // Without the exporter's secret nothing is claimed.
    let without: String = keys
        .lines()
        .filter(|line| !line.starts_with("EXPORTER_SECRET"))
        .map(|line| format!("{line}\n"))
        .collect();
    let named = format!("--key-log={}", folder.write("without", &without));
    let done = run(countersign(&["decode", &named, &folder.path("capture")])).await;
    assert!(!done.out.contains("valid on this connection"), "{}", done.out);
}
