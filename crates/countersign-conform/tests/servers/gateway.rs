//! This project's gateway passes everything.

use std::net::SocketAddr;
use std::time::Duration;

use countersign_conform::against_server::{self, Target};
use countersign_conform::report::Summary;
use countersign_conform::{Verdict, Version};
use countersign_gateway::{Config, Gateway};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::world::World;

const CONFIG: &str = r#"
[listen]
address = "127.0.0.1:0"
http3 = true
[[tls]]
certificate = "server.pem"
key = "server.key"
[[tls]]
certificate = "further.pem"
key = "further.key"
[credentials.device]
trust = "device-ca.pem"
[credentials.user]
trust = "minted-ca.pem"
crl = ["minted.crl"]
crl_policy = "if-present"
subject_alt_names = ["*@example.test"]
[[routes]]
path = "/public"
upstream = "UPSTREAM"
[[routes]]
path = "/user"
require = ["user"]
upstream = "UPSTREAM"
[[routes]]
path = "/device"
require = ["device"]
upstream = "UPSTREAM"
"#;

/// Answers every request of HTTP/1.1 with 204.
async fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut received = Vec::new();
                while stream.read_buf(&mut received).await.is_ok_and(|read| read > 0) {
                    while let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                        received.drain(..end + 4);
                        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
                    }
                }
                Ok::<_, std::io::Error>(())
            });
        }
    });
    address
}

/// A gateway that runs until the test's runtime ends, and what the tool has to know about it.
async fn gateway(more: &str) -> (tempfile::TempDir, Target) {
    let world = World::new();
    let files = tempfile::tempdir().unwrap();
    let config =
        [CONFIG, more].concat().replace("UPSTREAM", &format!("http://{}", backend().await));
    for (name, text) in world.files().into_iter().chain([("gateway.toml".to_owned(), config)]) {
        std::fs::write(files.path().join(name), text).unwrap();
    }
    let config = Config::load(files.path().join("gateway.toml")).unwrap();
    let gateway = Gateway::bind(config).await.unwrap();
    let address = gateway.local_addr();
    tokio::spawn(gateway.run(std::future::pending()));
    (files, world.target(address, Duration::from_secs(10)))
}

/// What needs an extension that a certificate may answer with.
const REQUESTED: &str = "rfc9261/5.2.1/s4";
/// What needs a server that does not announce that it offers certificates.
const UNANNOUNCED: &str = "server/3.1/s5";
/// What needs challenges that are kept ready.
const KEPT_READY: [&str; 2] = ["client/4.1/s3", "client/4.1/s5"];

async fn passes(version: Version, more: &str, not_here: &[&str]) {
    let (_files, target) = gateway(more).await;
    let outcomes = against_server::run(
        &target,
        version,
        |_| true,
        |outcome| {
            println!("{}", outcome.line());
        },
    )
    .await;
    for outcome in &outcomes {
        let fine = match outcome.verdict {
            Verdict::Pass => true,
            Verdict::Skipped(_) => not_here.contains(&outcome.about.id),
            Verdict::Fail(_) => false,
        };
        assert!(fine, "{}", outcome.line());
    }
    let summary = Summary::of(&outcomes);
    assert!(summary.skipped <= not_here.len() && summary.passed > 80, "{}", summary.line());
}

/// Does not wait for answers as long as it usually would.
const SOON: &str = "[pool]\nanswer_timeout = \"4s\"\n";

#[tokio::test]
async fn passes_over_http2() {
    passes(Version::Http2, SOON, &[REQUESTED, UNANNOUNCED, KEPT_READY[0], KEPT_READY[1]]).await;
}

#[tokio::test]
async fn passes_over_http3() {
    passes(Version::Http3, SOON, &[REQUESTED, UNANNOUNCED, KEPT_READY[0], KEPT_READY[1]]).await;
}

/// Keeps challenges ready, so that some of what comes from a client is never unasked for.
const POOL: &str = "[pool]\nanswer_timeout = \"4s\"\ngeneric_challenges = 2\n";

#[tokio::test]
async fn passes_with_a_pool() {
    // The last needs a challenge that says whose certificates it is for.
    let not_here = [REQUESTED, UNANNOUNCED, "client/4.2/s4", "server/3.2/s1", "client/5.1/s4"];
    passes(Version::Http2, POOL, &not_here).await;
    passes(Version::Http3, POOL, &not_here).await;
}
