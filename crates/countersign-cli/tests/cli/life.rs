//! The gateway's process: signals, reloads, and what a service manager is told.

use std::process::Stdio;

use countersign_testkit::within;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, UnixDatagram};
use tokio::process::{Child, Command};

use crate::support::{Folder, Http, Setting, countersign, run, start_gateway_by};

pub(crate) async fn signal(process: &Child, signal: &str) {
    let mut kill = Command::new("kill");
    kill.args([signal, &process.id().unwrap().to_string()]);
    assert_eq!(run(kill).await.exit, 0);
}

pub(crate) async fn exit_code(process: &mut Child) -> Option<i32> {
    within(process.wait()).await.unwrap().code()
}

#[tokio::test]
async fn it_ends_in_peace_when_told_to() {
    for name in ["-TERM", "-INT"] {
        let mut setting = Setting::new(Http::Two).await;
        signal(&setting.gateway, name).await;
        assert_eq!(exit_code(&mut setting.gateway).await, Some(0), "{name}");
    }
}

/// A gateway in front of a backend that never answers, and a request that it has in flight.
async fn with_a_request_in_flight(folder: &Folder, manager: &str) -> (Child, Child) {
    let done = run(countersign(&["pki", "init", &folder.path("p")])).await;
    assert_eq!(done.exit, 0, "{}", done.err);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = folder
        .read("p/gateway.toml")
        .replace("127.0.0.1:8443", "127.0.0.1:0")
        .replace("127.0.0.1:9000", &silent.local_addr().unwrap().to_string());
    let config = folder.write("p/test.toml", &text);
    let mut command = countersign(&["gateway", "--config", &config]);
    command.env("NOTIFY_SOCKET", manager).stderr(Stdio::null());
    let (gateway, port) = start_gateway_by(command).await;
    let url = format!("https://localhost:{port}/public/");
    let mut fetch = countersign(&["fetch", "--cacert", &folder.path("p/server-ca.pem"), &url]);
    let client = fetch.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // It has arrived at the backend, which keeps the connection and says nothing.
    let (stream, _) = within(silent.accept()).await.unwrap();
    tokio::spawn(async move {
        let _open = (stream, silent);
        std::future::pending::<()>().await;
    });
    (gateway, client)
}

async fn told(manager: &UnixDatagram) -> String {
    let mut message = [0; 64];
    let length = within(manager.recv(&mut message)).await.unwrap();
    String::from_utf8_lossy(&message[..length]).into_owned()
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_requests() {
    let folder = Folder::new();
    let manager = UnixDatagram::bind(folder.path("manager")).unwrap();
    let (mut gateway, mut client) =
        with_a_request_in_flight(&folder, &folder.path("manager")).await;
    assert_eq!(told(&manager).await, "READY=1");
    signal(&gateway, "-TERM").await;
    assert_eq!(told(&manager).await, "STOPPING=1");
    assert!(gateway.try_wait().unwrap().is_none(), "it waits for the request");
    signal(&gateway, "-TERM").await;
    assert_eq!(exit_code(&mut gateway).await, Some(1));
    assert_ne!(exit_code(&mut client).await, Some(0));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_manager_may_listen_under_an_abstract_name() {
    use std::os::linux::net::SocketAddrExt;

    let name = format!("countersign-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let manager = std::os::unix::net::UnixDatagram::bind_addr(&address).unwrap();
    manager.set_nonblocking(true).unwrap();
    let manager = UnixDatagram::from_std(manager).unwrap();
    let folder = Folder::new();
    let (mut gateway, mut client) = with_a_request_in_flight(&folder, &format!("@{name}")).await;
    assert_eq!(told(&manager).await, "READY=1");
    gateway.kill().await.unwrap();
    client.kill().await.unwrap();
}

#[tokio::test]
async fn a_hangup_reloads_and_what_is_wrong_is_said() {
    let setting = Setting::new(Http::Two).await;
    let config = setting.pki.write("own.toml", &setting.pki.read("test.toml"));
    let mut command = countersign(&["gateway", "--config", &config]);
    command.env("RUST_LOG", "countersign_gateway::reload=info").stderr(Stdio::piped());
    let (mut gateway, port) = start_gateway_by(command).await;
    let mut log = BufReader::new(gateway.stderr.take().unwrap()).lines();
    signal(&gateway, "-HUP").await;
    let line = within(log.next_line()).await.unwrap().unwrap();
    assert!(line.contains("the configuration was reloaded"), "{line}");

    // Moved into place: whoever looks just now, for what was noticed before, sees no half of it.
    let replace = |text: &str| {
        let new = setting.pki.write("new.toml", text);
        std::fs::rename(new, setting.pki.path("own.toml")).unwrap();
    };
    replace(&setting.pki.read("test.toml").replace("/public/", "/open/"));
    let line = within(log.next_line()).await.unwrap().unwrap();
    assert!(line.contains("the configuration was reloaded"), "noticed without a signal: {line}");
    let url = |path: &str| format!("https://localhost:{port}{path}");
    let (old, new) = (url("/public/"), url("/open/"));
    let root = setting.pki.path("server-ca.pem");
    let done = run(countersign(&["fetch", "--json", "--cacert", &root, &old, &new])).await;
    assert_eq!(done.statuses(), [404, 200]);

    replace("nonsense");
    let line = within(log.next_line()).await.unwrap().unwrap();
    assert!(line.contains("not reloaded") && line.contains("own.toml:1:"), "{line}");
    let done = run(countersign(&["fetch", "--json", "--cacert", &root, &new])).await;
    assert_eq!(done.statuses(), [200]);
    gateway.kill().await.unwrap();
}

#[tokio::test]
async fn the_log_can_be_json() {
    let setting = Setting::new(Http::Two).await;
    let config = setting.pki.path("test.toml");
    let mut command = countersign(&["gateway", "--log-format", "json", "--config", &config]);
    command.stderr(Stdio::piped());
    let (mut gateway, _) = start_gateway_by(command).await;
    let mut log = BufReader::new(gateway.stderr.take().unwrap()).lines();
    signal(&gateway, "-HUP").await;
    let line = within(log.next_line()).await.unwrap().unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["level"], &line["generation"]), (&"INFO".into(), &2.into()));
    assert_eq!(line["message"], "the configuration was reloaded");
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    gateway.kill().await.unwrap();
}

fn lines(folder: &Folder, name: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.path(name)).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_audit_log_is_opened_anew_by_a_hangup_and_whole_at_the_end() {
    let audit = |text: String| format!("[audit]\nfile = \"audit.log\"\n{text}");
    let mut setting = Setting::with(Http::Two, audit).await;
    for _ in 0..3 {
        assert_eq!(setting.fetch(&[], &["--json"], &["/public/"]).await.statuses(), [200]);
    }
    std::fs::rename(setting.pki.path("audit.log"), setting.pki.path("audit.log.1")).unwrap();
    signal(&setting.gateway, "-HUP").await;
    let mut sent = 3;
    within(async {
        while lines(&setting.pki, "audit.log").is_empty() {
            assert_eq!(setting.fetch(&[], &["--json"], &["/public/"]).await.statuses(), [200]);
            sent += 1;
        }
    })
    .await;
    let done = setting.fetch(&["device", "alice"], &["--json"], &["/admin/"]).await;
    assert_eq!(done.statuses(), [200]);
    signal(&setting.gateway, "-TERM").await;
    assert_eq!(exit_code(&mut setting.gateway).await, Some(0));
    let (before, after) = (lines(&setting.pki, "audit.log.1"), lines(&setting.pki, "audit.log"));
    let requests = |lines: &[serde_json::Value]| {
        lines.iter().filter(|line| line["event"] == "request").count()
    };
    assert_eq!(requests(&before) + requests(&after), sent + 1);
    let of = |event: &str| after.iter().filter(|line| line["event"] == event).count();
    assert_eq!((of("identity-proven"), of("identity-lost")), (2, 2), "{after:?}");
}

#[tokio::test]
async fn the_audit_log_can_be_standard_output() {
    let setting = Setting::new(Http::Two).await;
    let text = format!("[audit]\nfile = \"-\"\n{}", setting.pki.read("test.toml"));
    let config = setting.pki.write("own.toml", &text);
    let mut command = countersign(&["gateway", "--config", &config]);
    let mut gateway = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let first = within(lines.next_line()).await.unwrap().unwrap();
    let port = first.split_once("tcp=127.0.0.1:").unwrap().1.split(' ').next().unwrap();
    let (root, url) =
        (setting.pki.path("server-ca.pem"), format!("https://localhost:{port}/public/?secret"));
    let done = run(countersign(&["fetch", "--json", "--cacert", &root, &url])).await;
    assert_eq!(done.statuses(), [200]);
    let told = loop {
        let line = within(lines.next_line()).await.unwrap().unwrap();
        assert!(!line.contains("secret"), "{line}");
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        // The device is asked for meanwhile.
        if told["event"] != "identity-declined" {
            break told;
        }
    };
    assert_eq!((&told["event"], &told["request"]["path"]), (&"request".into(), &"/public/".into()));
    gateway.kill().await.unwrap();
}
