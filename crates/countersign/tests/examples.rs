//! The examples run to their end.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use std::path::PathBuf;
use std::process::Command;

/// Runs an example that cargo has built beside this test.
fn run(name: &str) -> String {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(name);
    let output = Command::new(&path).output().unwrap_or_else(|error| {
        panic!("{}: {error}; run `cargo build --examples`", path.display())
    });
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} failed: {printed}{complaint}");
    printed
}

#[test]
fn axum_step_up() {
    assert!(run("axum_step_up").contains("you have proven a user certificate"));
}

#[test]
fn hyper_client() {
    let printed = run("hyper_client");
    assert!(
        printed.contains("asks for one of 1 issuers") && printed.contains("200 OK"),
        "{printed}"
    );
}

#[test]
fn tonic_identities() {
    assert!(run("tonic_identities").contains("the server sees a user"));
}
