//! `countersign conform server`, against the gateway of `pki init` with routes for one credential each.

use serde_json::Value;

use crate::support::{Folder, Http, Setting, countersign, run};

async fn setting() -> Setting {
    Setting::with(Http::Two, |text| {
        let route = |path: &str, require: &str| {
            let upstream = text.lines().rfind(|line| line.starts_with("upstream")).unwrap();
            format!("[[routes]]\npath = \"{path}\"\nrequire = [\"{require}\"]\n{upstream}\n")
        };
        let text = text.replace("ask = \"on-connect\"\n", "");
        format!("{text}\n{}{}", route("/user", "user"), route("/device", "device"))
    })
    .await
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
    let table = run(countersign(&["conform", "server", "--list", "--markdown"])).await.out;
    assert_eq!(table.lines().count(), cases.len() + 2);

    let done = run(countersign(&["conform", "server", "--list", "--only", "nonsense"])).await;
    assert_eq!(done.exit, 2);
    assert!(done.err.contains("no case has the id \"nonsense\""), "{}", done.err);
}
