//! The cases catch what they are for: every one is red against at least one broken client.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign_conform::against_client::{self, Host};
use countersign_conform::against_server::Target;
use countersign_conform::authenticator::{Check, Hash};
use countersign_conform::identity::{Identity, stranger};
use countersign_conform::report::Outcome;
use countersign_conform::tls::Suites;
use countersign_conform::{CodePoints, Verdict, Version};
use countersign_pki::{Authority, KeyKind, Leaf};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::task::{JoinHandle, JoinSet};

use crate::broken::{self, Fault};

/// Each fault, and the cases that it turns red, over all versions that they are for.
const TABLE: &[(Fault, &[&str])] = &[
    (Fault::AnnouncesNothing, &["client/3.1/c1"]),
    (Fault::AnnouncesServerTwo, &["server/4/c1"]),
    (Fault::LetsServerSettingBeAnything, &["server/4/c2", "server/3.1/c1"]),
    (Fault::LetsTakeBack, &["client/3.1/c4"]),
    (Fault::TakesSecondSettings, &["http3/7.2.4/c1"]),
    (Fault::NeedsNoControlStream, &["http3/6.2.1/c1"]),
    (Fault::FearsTheUnknown, &["client/3.1/c2"]),
    (Fault::FearsOrigin, &["rfc8336/2.1/c1", "rfc8336/2.2/c1", "rfc8336/2.2/c2", "rfc8336/2.2/c3"]),
    (Fault::PresentsAtOnce, &["client/3/c1", "client/4.2/c1"]),
    (Fault::AnswersTwice, &["client/4.2/c2"]),
    (Fault::AnswersLastFirst, &["client/4.1.4/c2", "client/4.2/c3"]),
    (Fault::AnswersThrice, &["client/4.1/c1"]),
    (Fault::Forges, &["client/4.1.4/c1", "client/4.1/c2"]),
    (Fault::AnswersOnAStream, &["client/4.1.4/c1"]),
    (Fault::MindsType13, &["rfc9261/4/c1"]),
    (Fault::MindsOddExtensions, &["rfc9261/5.2.1/c1"]),
    (Fault::MindsLongRequests, &["client/4.1.3/c1"]),
    (Fault::MindsEmptyContexts, &["rfc9261/4/c2"]),
    (Fault::MindsWideLengths, &["client/4.1.3/c2"]),
    (Fault::MindsFlags, &["http2/4.1/c1", "server/5.1/c2"]),
    (Fault::UsesAnyScheme, &["rfc9261/5.2.2/c1"]),
    (Fault::IgnoresAuthorities, &["rfc9261/5.2.1/c2", "rfc9261/5.2.1/c4", "rfc9261/5.2.1/c5"]),
    (Fault::KnowsSha256Only, &["rfc9261/5.1/c1"]),
    (Fault::KnowsTls13Only, &["rfc9261/5.1/c2"]),
    (Fault::IgnoresTheLimit, &["client/4.1.4/c3"]),
    (Fault::TakesEmptyLists, &["client/4.1/c3"]),
    (
        Fault::Swallows,
        &[
            "client/4.1.1/c1",
            "client/4.1.1/c2",
            "client/4.1.1/c3",
            "client/4.1.2/c1",
            "client/4.1.2/c2",
            "client/4.1.2/c3",
            "client/4.1.3/c3",
            "client/4.1.3/c4",
        ],
    ),
    (Fault::TakesRepeatedContexts, &["rfc9261/4/c3"]),
    (Fault::NeedsNoAlgorithms, &["rfc9261/7.1/c1"]),
    (Fault::TakesTwins, &["rfc9261/4/c4"]),
    (Fault::NeedsNoNegotiation, &["client/3.1/c3", "client/4.2/c4"]),
    (
        Fault::IgnoresStrays,
        &["client/4.1.1/c4", "client/4.1.2/c4", "server/5.1/c1", "server/5.2/c1"],
    ),
    (Fault::IgnoresOpenBlocks, &["http2/6.10/c1"]),
    (Fault::AwaitsAnyLength, &["http2/4.2/c1", "client/5.5/c1"]),
    (Fault::RefusesServers, &["server/3.2/c1"]),
    (Fault::ComplainsOfExpired, &["server/6.2/c1", "server/6.2/c2"]),
    (Fault::Skips(&[Check::Shape]), &["server/5.3/c1", "server/5.3/c6"]),
    (Fault::Skips(&[Check::Signature]), &["server/5.3/c2"]),
    (Fault::Skips(&[Check::Finished]), &["server/5.3/c3"]),
    (Fault::Skips(&[Check::Signature, Check::Finished]), &["server/5.3/c4"]),
    (Fault::Skips(&[Check::Trailing]), &["server/5.3/c5"]),
    (Fault::TakesEmptyProofs, &["server/5.3/c7"]),
    (Fault::TakesRepeatedProofs, &["server/5.3/c8"]),
    (Fault::Skips(&[Check::Scheme]), &["rfc9261/5.2.2/c2"]),
    (Fault::Skips(&[Check::Scheme, Check::Signature]), &["rfc9261/5.2.2/c3"]),
    (Fault::Skips(&[Check::Extensions]), &["rfc9261/5.2.1/c3"]),
];

/// A visitor, who leaves with its case.
struct Visitor(JoinHandle<()>);

impl Drop for Visitor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn outcomes(
    version: Version,
    fault: Fault,
    patience: Duration,
    chosen: impl Fn(&str) -> bool,
) -> Vec<Outcome> {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let (mut host, authority) = Host::new(local, CodePoints::default(), patience).unwrap();
    host.visit_within = Duration::from_secs(10);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier: Arc<_> = verifier.build().unwrap();
    let users = Authority::root("Users", KeyKind::P256).unwrap();
    let alice = Arc::new(users.issue(&Leaf::client("alice")).unwrap());
    let invite = |url: &str, version| {
        let (port, case) = url.strip_prefix("https://localhost:").unwrap().split_once('/').unwrap();
        // It offers the one kind of cipher suites that the tool takes.
        let suites = match case {
            "rfc9261-5.1-c1" => Suites::Of(Hash::Sha384),
            "rfc9261-5.1-c2" => Suites::Tls12,
            _ => Suites::Of(Hash::Sha256),
        };
        let target = Target {
            address: SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())),
            host: "localhost".to_owned(),
            authority: format!("localhost:{port}"),
            verifier: verifier.clone(),
            points: CodePoints::default(),
            patience: Duration::from_secs(20),
            public: None,
            paths: Vec::new(),
            identities: vec![Identity::issued(&alice).unwrap()],
            rejected: Vec::new(),
            mint: None,
            stranger: stranger().unwrap(),
        };
        Ok(Visitor(tokio::spawn(async move {
            broken::visit(&target, version, suites, fault).await;
        })))
    };
    against_client::run(&host, version, chosen, invite, |_| {}).await
}

async fn without_a_fault_all_pass(version: Version) {
    let patience = Duration::from_secs(10);
    for outcome in outcomes(version, Fault::None, patience, |_| true).await {
        assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.line());
    }
}

#[tokio::test]
async fn without_a_fault_all_pass_over_http2() {
    without_a_fault_all_pass(Version::Http2).await;
}

#[tokio::test]
async fn without_a_fault_all_pass_over_http3() {
    without_a_fault_all_pass(Version::Http3).await;
}

/// Silence is a failure, too; there is no need to listen to it for long.
const SILENCE: Duration = Duration::from_secs(2);

async fn red(version: Version) {
    let mut all = JoinSet::new();
    for (fault, ids) in TABLE {
        all.spawn(async move {
            let chosen = |id: &str| ids.contains(&id);
            for outcome in outcomes(version, *fault, SILENCE, chosen).await {
                let red = matches!(outcome.verdict, Verdict::Fail(_));
                assert!(red, "{fault:?} goes unnoticed: {}", outcome.line());
            }
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn every_fault_is_seen_over_http2() {
    red(Version::Http2).await;
}

#[tokio::test]
async fn every_fault_is_seen_over_http3() {
    red(Version::Http3).await;
}

#[test]
fn the_table_has_no_blank() {
    let caught: BTreeSet<_> = TABLE.iter().flat_map(|(_, ids)| ids.iter().copied()).collect();
    let all: BTreeSet<_> = against_client::cases().map(|case| case.about.id).collect();
    assert_eq!(all.difference(&caught).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!(caught.difference(&all).collect::<Vec<_>>(), Vec::<&&str>::new());
}
