//! `countersign conform server`, against the gateway of `pki init` with routes for one credential each.

use serde_json::Value;

use countersign_testkit::within;

use crate::support::{Folder, Http, Setting, countersign, run};

async fn setting() -> Setting {
    Setting::with(Http::Two, |text| text.replace("ask = \"on-connect\"\n", "")).await
}

#[tokio::test]
async fn the_gateway_passes_what_is_chosen_and_the_outcomes_are_written() {
    let setting = setting().await;
    let report = Folder::new();
    let mut command = countersign(&["conform", "server", &format!("localhost:{}", setting.port)]);
    command.args(["--cacert", &setting.pki.path("server-ca.pem"), "--json"]);
    command.args(["--identity", &setting.identity("alice"), "--path", "/user"]);
    command.args(["--identity", &setting.identity("device"), "--path", "/device"]);
    command.args([
        "--reject",
        &setting.identity("revoked"),
        "--reject",
        &setting.identity("expired"),
    ]);
    command.args(["--public", "/public/", "--junit", &report.path("junit.xml")]);
    for id in ["rfc9261/5.2.4/s1", "client/5.1/s5", "client/4.1/s2", "rfc9261/5.2.2/s9"] {
        command.args(["--only", id]);
    }
    let done = run(command).await;
    assert_eq!(done.exit, 0, "{}{}", done.out, done.err);
    let events = done.events();
    assert_eq!(events.len(), 9);
    let skipped: Vec<_> = events.iter().filter(|event| event["verdict"] == "skipped").collect();
    assert_eq!(skipped.len(), 2);
    assert!(skipped.iter().all(|event| event["reason"] == "it needs --issuer"));
    assert_eq!(events[8], serde_json::json!({ "passed": 6, "failed": 0, "skipped": 2 }));
    let xml = report.read("junit.xml");
    assert!(xml.contains("<testsuite name=\"server h3\" tests=\"4\" failures=\"0\" skipped=\"1\""));
}

#[tokio::test]
async fn a_failed_case_is_told_and_is_the_exit_code() {
    let setting = setting().await;
    let mut command = countersign(&["conform", "server", &format!("localhost:{}", setting.port)]);
    command.args(["--cacert", &setting.pki.path("server-ca.pem"), "--http2"]);
    // Revoked is not what the server accepts.
    command.args(["--identity", &setting.identity("revoked"), "--path", "/user"]);
    command.args(["--only", "rfc9261/5.2.4/s1"]);
    let done = run(command).await;
    assert_eq!(done.exit, 1, "{}", done.err);
    assert!(done.out.starts_with("fail    h2 MUST"), "{}", done.out);
    assert!(done.out.contains("status 403 instead of success"), "{}", done.out);
    assert!(done.out.ends_with("0 passed, 1 failed, 0 skipped\n"), "{}", done.out);
}

#[tokio::test]
async fn cases_are_listed_for_people_and_machines() {
    let done = run(countersign(&["conform", "server", "--list", "--json"])).await;
    assert_eq!(done.exit, 0, "{}", done.err);
    let cases: Vec<Value> = done.events();
    let text = run(countersign(&["conform", "server", "--list"])).await.out;
    assert_eq!(text.lines().count(), cases.len());
    assert!(cases.iter().all(|case| text.contains(case["case"].as_str().unwrap())));
    let clients = run(countersign(&["conform", "client", "--list"])).await.out;
    let all = run(countersign(&["conform", "list"])).await.out;
    assert_eq!(all, text + &clients);

    let done = run(countersign(&["conform", "server", "--list", "--only", "nonsense"])).await;
    assert_eq!(done.exit, 2);
    assert!(done.err.contains("no case has the id \"nonsense\""), "{}", done.err);
}

over_both!(fetch_passes_every_case);
async fn fetch_passes_every_case(http: Http) {
    fetch_passes(http, &[]).await;
}

#[tokio::test]
async fn fetch_passes_with_other_code_points() {
    let points = ["--frame-server-certificate", "0xf7", "--settings-client-cert-auth", "0xff1c"];
    fetch_passes(Http::Two, &points).await;
}

async fn fetch_passes(http: Http, points: &[&str]) {
    let pki = Folder::new();
    let done = run(countersign(&["pki", "init", &pki.path("")])).await;
    assert_eq!(done.exit, 0, "{}", done.err);
    let alice = format!("{},{}", pki.path("alice.pem"), pki.path("alice.key"));
    let fetch = format!(
        "exec {} fetch {{http}} --cacert {} --identity {alice} --limit 4 --coalesce certificate {} {{url}} {{further}}",
        env!("CARGO_BIN_EXE_countersign"),
        pki.path("conform-ca.pem"),
        points.join(" "),
    );
    let mut command = countersign(&["conform", "client", "--listen", "127.0.0.1:0", "--json"]);
    command.args(["--write-ca", &pki.path("conform-ca.pem"), "--command", &fetch]);
    command.args([http.flag(), "--timeout", "20"]).args(points);
    let output = tokio::time::timeout(std::time::Duration::from_secs(120), command.output()).await;
    let output = output.unwrap().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, cases) = events.split_last().unwrap();
    for case in cases {
        assert_eq!(case["verdict"], "pass", "{case}");
    }
    assert!(output.status.success());
    assert!(cases.len() > 45, "{summary}");
}

#[tokio::test]
async fn the_document_is_what_the_tool_prints() {
    let done = run(countersign(&["conform", "list", "--markdown"])).await;
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance.md");
    let document = std::fs::read_to_string(file).unwrap();
    let hint = "countersign conform list --markdown > docs/conformance.md";
    assert!(done.out == document, "it is made anew by: {hint}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_at_once() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let done = run(countersign(&["conform", "server", &nobody.to_string(), "-k", "--http2"])).await;
    assert_eq!((done.exit, done.out.as_str()), (7, ""), "{}", done.err);
    assert!(done.err.contains("HTTP/2"), "{}", done.err);
}

#[tokio::test]
async fn somebody_is_told_where_to_visit() {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

    let folder = Folder::new();
    let mut command = countersign(&["conform", "client", "--listen", "127.0.0.1:0", "--http2"]);
    command.args(["--only", "client/3.1/c1", "--write-ca", &folder.path("ca.pem")]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut tool = command.spawn().unwrap();
    let mut lines = BufReader::new(tool.stderr.take().unwrap()).lines();
    let line = within(lines.next_line()).await.unwrap().unwrap();
    let url = line.strip_prefix("visit ").unwrap().strip_suffix(" over h2").unwrap();
    assert!(url.ends_with("/client-3.1-c1"), "{url}");
    // It gets no response: the case is about its SETTINGS.
    run(countersign(&["fetch", "--http2", "--cacert", &folder.path("ca.pem"), url])).await;
    let mut out = String::new();
    within(tool.stdout.take().unwrap().read_to_string(&mut out)).await.unwrap();
    assert!(out.starts_with("pass "), "{out}");
    assert!(within(tool.wait()).await.unwrap().success());
}
