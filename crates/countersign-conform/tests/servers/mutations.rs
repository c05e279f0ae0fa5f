//! The cases catch what they are for: every one is red against at least one broken server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign_conform::authenticator::Check;
use countersign_conform::{Verdict, Version, against_server};

use tokio::task::JoinSet;

use crate::broken::{self, Fault};
use crate::world::World;

/// Each fault, and the cases that it turns red, over all versions that they are for.
const TABLE: &[(Fault, &[&str])] = &[
    (Fault::AnnouncesTwo, &["client/3.1/s1"]),
    (Fault::AnnouncesServerTwo, &["server/4/s1"]),
    (Fault::AsksAnybody, &["client/3/s1", "client/3.1/s2"]),
    (Fault::OffersToAnybody, &["server/3.1/s1"]),
    (Fault::LetsTakeBack, &["client/3.1/s3"]),
    (Fault::LetsServerSettingBeAnything, &["server/4/s2", "server/3.1/s2"]),
    (Fault::TakesLimitAsSigned, &["client/3.1/s4"]),
    (Fault::HeedsFirstSettingsOnly, &["client/3.1/s6"]),
    (Fault::EndsWithoutAWord, &["http2/5.4.1/s1"]),
    (Fault::FearsTheUnknown, &["client/3.1/s5"]),
    (Fault::TakesSecondSettings, &["http3/7.2.4/s1"]),
    (Fault::NeedsNoSettings, &["http3/6.2.1/s1"]),
    (Fault::AsksEmpty, &["client/4.1/s1"]),
    (Fault::AsksOnAStream, &["client/4.1/s1"]),
    (Fault::AsksAtTheEnd, &["client/4.1/s4"]),
    (Fault::AsksBeforeSettings, &["client/3/s2"]),
    (Fault::KeepsReadyInVain, &["client/4.1/s3"]),
    (Fault::AsksWithOddExtension, &["rfc9261/4/s1"]),
    (Fault::AsksWithServerName, &["rfc9261/8.1/s1", "rfc9261/4/s1"]),
    (Fault::AsksWithoutSchemes, &["rfc9261/7.1/s1"]),
    (Fault::OffersPkcs1, &["rfc9261/5.2.2/s1"]),
    (Fault::CountsContexts, &["rfc9261/4/s2"]),
    (Fault::RepeatsContexts, &["rfc9261/4/s3", "client/5.2/s1", "rfc9261/4/s2"]),
    (Fault::IgnoresTheLimit, &["client/4.1.4/s1"]),
    (Fault::AsksOnce, &["client/4.1/s2"]),
    (Fault::AsksForThePublic, &["client/1.1/s1"]),
    (
        Fault::Skips(&[Check::Finished]),
        &[
            "rfc9261/5.2.3/s1",
            "rfc9261/5.2.3/s2",
            "rfc9261/5.1/s3",
            "rfc9261/5.2.4/s8",
            "rfc9261/6/s1",
            "rfc9261/6/s2",
        ],
    ),
    (
        Fault::Skips(&[Check::Signature]),
        &["rfc9261/5.2.2/s2", "rfc9261/5.2.2/s3", "rfc9261/5.2.2/s5", "rfc9261/5.1/s2"],
    ),
    (
        Fault::Skips(&[Check::Signature, Check::Finished]),
        &["rfc9261/5.2.2/s4", "rfc9261/5.2.2/s6", "rfc9261/5.2.2/s7"],
    ),
    (Fault::Skips(&[Check::Scheme]), &["rfc9261/5.2.2/s9"]),
    (Fault::SkipsOfFew(&[Check::Scheme]), &["rfc9261/5.2.2/s8"]),
    (Fault::Skips(&[Check::Scheme, Check::Signature]), &["rfc9261/5.2.2/s10"]),
    (Fault::Skips(&[Check::Context]), &["rfc9261/5.2.1/s1", "rfc9261/5.2.1/s2"]),
    (Fault::Skips(&[Check::Extensions]), &["rfc9261/5.2.1/s3", "rfc9261/5.2.1/s4"]),
    (
        Fault::Skips(&[Check::Shape]),
        &[
            "rfc9261/5.2.1/s5",
            "rfc9261/5.2.1/s6",
            "rfc9261/5.2.4/s2",
            "rfc9261/5.2.4/s3",
            "rfc9261/5.2.4/s4",
            "rfc9261/5.2.4/s6",
            "rfc9261/5.2.4/s7",
        ],
    ),
    (Fault::Skips(&[Check::Trailing]), &["rfc9261/5.2.4/s5", "client/4.2/s8"]),
    (
        Fault::RefusesEverybody,
        &["rfc9261/5.2.4/s1", "rfc9261/5.2.2/s20", "client/4.2/s2", "client/4.2/s3"],
    ),
    (
        Fault::KnowsP256Only,
        &[
            "rfc9261/5.2.2/s21",
            "rfc9261/5.2.2/s22",
            "rfc9261/5.2.2/s23",
            "rfc9261/5.2.2/s24",
            "rfc9261/5.2.2/s25",
            "rfc9261/5.2.2/s26",
            "rfc9261/5.2.2/s27",
            "rfc9261/5.2.2/s28",
            "rfc9261/5.2.2/s29",
        ],
    ),
    (Fault::RefusesLongChains, &["rfc9261/5.2.1/s20"]),
    (Fault::RefusesLongFrames, &["rfc9261/5.2.1/s21"]),
    (Fault::KnowsSha256Only, &["rfc9261/5.1/s1"]),
    (Fault::SpeaksTls12, &["rfc9261/5.1/s4"]),
    (Fault::MindsFlags, &["http2/4.1/s1"]),
    (Fault::ExpectsTheLastFirst, &["client/4.1.4/s2"]),
    (Fault::TakesAnyOrder, &["client/4.1.4/s3"]),
    (Fault::TakesReplays, &["client/5.2/s2"]),
    (Fault::EndsOnDecline, &["client/4.2/s1"]),
    (Fault::EndsOnStranger, &["client/4.2.1/s1"]),
    (
        Fault::TrustsAnybody,
        &["client/5.1/s1", "client/5.1/s2", "client/5.1/s3", "client/5.1/s4", "client/5.1/s5"],
    ),
    (Fault::ForgetsIdentities, &["client/5.4/s1"]),
    (Fault::RemembersForAll, &["client/5.4/s2", "client/5.4/s3"]),
    (Fault::IgnoresRequests, &["client/4.1.1/s1", "client/4.1.2/s1"]),
    (
        Fault::IgnoresStrays,
        &["client/4.1.1/s2", "client/4.1.2/s2", "server/5.1/s1", "server/5.2/s1"],
    ),
    (
        Fault::IgnoresUnsolicited,
        &[
            "client/4.2/s4",
            "client/4.2/s5",
            "client/4.2/s6",
            "client/4.2/s7",
            "server/3.2/s1",
            "client/5.5/s2",
        ],
    ),
    (Fault::IgnoresOpenBlocks, &["http2/6.10/s1"]),
    (Fault::AwaitsAnyLength, &["http2/4.2/s1", "client/5.5/s1"]),
    (Fault::NeedsNoControlStream, &["http3/6.2.1/s2"]),
    (Fault::DiesOfAbsence, &["client/5.5/s3"]),
    (Fault::OffersForged, &["server/5.3/s1"]),
    (Fault::OffersUnderOneContext, &["server/5.3/s1"]),
];

/// What cannot be tried where all schemes are offered, where one is not, and where no challenge is kept ready.
const ALL_OFFERED: &str = "rfc9261/5.2.2/s8";
const ED25519: &str = "rfc9261/5.2.2/s23";
const NONE_READY: &str = "client/4.1/s3";
/// What cannot be tried where there is no TLS 1.2.
const TLS12: &str = "rfc9261/5.1/s4";

async fn without_a_fault_all_pass(version: Version) {
    let world = World::new();
    let variants = [
        (Fault::None, &[ALL_OFFERED, NONE_READY, TLS12][..]),
        (Fault::LacksEd25519, &[ED25519, NONE_READY, TLS12]),
    ];
    for (fault, skipped) in variants {
        let address = broken::start(&world, version, fault).await;
        let target = world.target(address, Duration::from_secs(10));
        for outcome in against_server::run(&target, version, |_| true, |_| {}).await {
            let tried = !skipped.contains(&outcome.about.id);
            assert_eq!(outcome.verdict == Verdict::Pass, tried, "{}", outcome.line());
        }
    }
}

async fn a_challenge_that_is_kept_ready_is_used(version: Version) {
    let world = World::new();
    let address = broken::start(&world, version, Fault::KeepsReady).await;
    let target = world.target(address, Duration::from_secs(10));
    let outcomes = against_server::run(&target, version, |id| id == NONE_READY, |_| {}).await;
    assert_eq!(outcomes[0].verdict, Verdict::Pass, "{}", outcomes[0].line());
}

#[tokio::test]
async fn a_challenge_that_is_kept_ready_is_used_over_both() {
    a_challenge_that_is_kept_ready_is_used(Version::Http2).await;
    a_challenge_that_is_kept_ready_is_used(Version::Http3).await;
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
    let world = Arc::new(World::new());
    let mut all = JoinSet::new();
    for (fault, ids) in TABLE {
        let world = Arc::clone(&world);
        all.spawn(async move {
            let address = broken::start(&world, version, *fault).await;
            let target = world.target(address, SILENCE);
            let chosen = |id: &str| ids.contains(&id);
            for outcome in against_server::run(&target, version, chosen, |_| {}).await {
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
    let all: BTreeSet<_> = against_server::cases().map(|case| case.about.id).collect();
    assert_eq!(all.difference(&caught).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!(caught.difference(&all).collect::<Vec<_>>(), Vec::<&&str>::new());
}
