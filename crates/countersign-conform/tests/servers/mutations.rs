//! The cases catch what they are for: every one is red against at least one broken server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign_conform::authenticator::Check;
use countersign_conform::{Verdict, Version, against_server};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::broken;
use crate::faults::Fault;
use crate::lenient::Wrong;
use crate::world::World;

/// A fault, what the reason has to say, and the cases that turn red by it.
type Row = (Fault, &'static str, &'static [&'static str]);

const LET_IN: &str = "status 200: it was let in";
const STILL_THERE: &str = "the connection did not end within";
const REFUSED: &str = "status 403 instead of success";
const SILENT: &str = "neither a response nor a request";

/// Over all versions that the cases are for.
const TABLE: &[Row] = &[
    (Fault::AnnouncesTwo, "the server announced 2", &["client/3.1/s1"]),
    (Fault::AnnouncesServerTwo, "the server announced 2", &["server/4/s1"]),
    (Fault::AsksAnybody, "that may not be sent", &["client/3/s1", "client/3.1/s2"]),
    (Fault::OffersToAnybody, "sent SERVER_CERTIFICATE", &["server/3.1/s1", "server/3.1/s4"]),
    (Fault::OffersUnannounced, "the server sent SERVER_CERTIFICATE", &["server/3.1/s5"]),
    (Fault::TakesItselfBack, "the server went back to 0", &["client/3.1/s7", "server/3.1/s3"]),
    (Fault::LetsTakeBack, STILL_THERE, &["client/3.1/s3", "client/3.1/s9"]),
    (Fault::LetsServerSettingBeAnything, STILL_THERE, &["server/4/s2", "server/3.1/s2"]),
    (
        Fault::TakesLimitAsSigned,
        "answered with 403 and no request",
        &["client/3.1/s4", "client/3.1/s8"],
    ),
    (Fault::TakesLimitOf32Bits, "answered with 403 and no request", &["client/3.1/s8"]),
    (Fault::HeedsFirstSettingsOnly, "answered with 403 and no request", &["client/3.1/s6"]),
    (Fault::FearsManySettings, "instead of a request", &["client/5.5/s5"]),
    (Fault::FearsTheUnknown, "instead of a request", &["client/3.1/s5"]),
    (Fault::FearsUnknownSettings, "instead of a request", &["client/3.1/s5"]),
    (Fault::TakesSecondSettings, STILL_THERE, &["http3/7.2.4/s1"]),
    (Fault::NeedsNoSettings, "instead of H3_MISSING_SETTINGS", &["http3/6.2.1/s1"]),
    (Fault::AsksEmpty, "AUTHENTICATOR_REQUESTS without a request", &["client/4.1/s1"]),
    (Fault::AsksOnAStream, SILENT, &["client/4.1/s1"]),
    (Fault::AsksAtTheEnd, SILENT, &["client/4.1/s4"]),
    (Fault::AsksBeforeSettings, "before the client's SETTINGS", &["client/3/s2"]),
    (Fault::AsksAnybody, "before the client's SETTINGS", &["client/3/s3"]),
    (Fault::KeepsReadyInVain, REFUSED, &["client/4.1/s3"]),
    (Fault::KeepsReadyOnce, REFUSED, &["client/4.1/s5"]),
    (Fault::GivesUp, "answered with 403 and no request", &["client/4.1/s6"]),
    (Fault::AsksWithOddExtension, "extension 51 in a request", &["rfc9261/4/s1"]),
    (Fault::AsksWithServerName, "server_name in a server's request", &["rfc9261/8.1/s1"]),
    (Fault::AsksWithServerName, "extension 0 in a request", &["rfc9261/4/s1"]),
    (Fault::AsksWithoutSchemes, "signature_algorithms with []", &["rfc9261/7.1/s1"]),
    (Fault::OffersPkcs1, "scheme 0x0401 in signature_algorithms", &["rfc9261/5.2.2/s1"]),
    (Fault::CountsContexts, "eight bytes in common", &["rfc9261/4/s2"]),
    (Fault::RepeatsContexts, "a context twice on a connection", &["rfc9261/4/s3"]),
    (Fault::RepeatsContexts, "the same context on two connections", &["client/5.2/s1"]),
    (Fault::RepeatsContexts, "eight bytes in common", &["rfc9261/4/s2"]),
    (Fault::IgnoresTheLimit, "requests outstanding with a limit of 1", &["client/4.1.4/s1"]),
    (Fault::LimitsToOneMore, "requests outstanding with a limit of 2", &["client/4.1.4/s1"]),
    (Fault::AsksOnce, REFUSED, &["client/4.1/s2"]),
    (Fault::AsksForThePublic, SILENT, &["client/1.1/s1"]),
    (Fault::Overlooks(Wrong::MacBit), LET_IN, &["rfc9261/5.2.3/s1"]),
    (Fault::Overlooks(Wrong::MacOfElsewhere), LET_IN, &["rfc9261/5.2.3/s2"]),
    (Fault::Overlooks(Wrong::MacOfServer), LET_IN, &["rfc9261/5.1/s3"]),
    (Fault::Overlooks(Wrong::SignatureBit), LET_IN, &["rfc9261/5.2.2/s2"]),
    (Fault::Overlooks(Wrong::SignatureOfElsewhere), LET_IN, &["rfc9261/5.2.2/s3"]),
    (Fault::Overlooks(Wrong::SignatureOfServer), LET_IN, &["rfc9261/5.1/s2"]),
    (Fault::Overlooks(Wrong::SignatureOfTls), LET_IN, &["rfc9261/5.2.2/s5"]),
    (Fault::Overlooks(Wrong::ValuesOfElsewhere), LET_IN, &["rfc9261/5.2.2/s4", "client/5.4/s5"]),
    (Fault::Overlooks(Wrong::WithoutRequest), LET_IN, &["rfc9261/5.2.2/s6"]),
    (Fault::Overlooks(Wrong::WithRequestOfOtherType), LET_IN, &["rfc9261/5.2.2/s7"]),
    (Fault::SkipsOfFew(&[Check::Scheme]), LET_IN, &["rfc9261/5.2.2/s8"]),
    (Fault::Overlooks(Wrong::SignatureNamed(0x0809)), LET_IN, &["rfc9261/5.2.2/s8"]),
    (Fault::Overlooks(Wrong::SignatureNamed(0x0401)), LET_IN, &["rfc9261/5.2.2/s9"]),
    (Fault::Overlooks(Wrong::SignatureNamed(0x0503)), LET_IN, &["rfc9261/5.2.2/s10"]),
    (Fault::Overlooks(Wrong::SignatureOfSecond), LET_IN, &["rfc9261/5.2.2/s11"]),
    (Fault::Overlooks(Wrong::SignatureOfAnotherCurve), LET_IN, &["rfc9261/5.2.2/s12"]),
    (Fault::Overlooks(Wrong::MacOfLength(0)), "of 0 bytes: status 200", &["rfc9261/5.2.3/s3"]),
    (Fault::Overlooks(Wrong::MacOfLength(1)), "of 1 bytes: status 200", &["rfc9261/5.2.3/s3"]),
    (Fault::Overlooks(Wrong::MacOfLength(31)), "of 31 bytes: status 200", &["rfc9261/5.2.3/s3"]),
    (Fault::Overlooks(Wrong::MacOfLength(33)), "of 33 bytes: status 200", &["rfc9261/5.2.3/s3"]),
    (Fault::Overlooks(Wrong::ContextBit), LET_IN, &["rfc9261/5.2.1/s1"]),
    (Fault::Overlooks(Wrong::NoContext), LET_IN, &["rfc9261/5.2.1/s2"]),
    (Fault::Overlooks(Wrong::ForeignExtension), LET_IN, &["rfc9261/5.2.1/s3"]),
    (Fault::Overlooks(Wrong::ExtensionTwice), LET_IN, &["rfc9261/5.2.1/s4"]),
    (Fault::Overlooks(Wrong::NotX509), LET_IN, &["rfc9261/5.2.1/s5"]),
    (Fault::Overlooks(Wrong::NoEntries), LET_IN, &["rfc9261/5.2.1/s6"]),
    (Fault::Overlooks(Wrong::NoFinished), LET_IN, &["rfc9261/5.2.4/s2"]),
    (Fault::Overlooks(Wrong::NoVerify), LET_IN, &["rfc9261/5.2.4/s3"]),
    (Fault::Overlooks(Wrong::Swapped), LET_IN, &["rfc9261/5.2.4/s4"]),
    (Fault::Overlooks(Wrong::Trailing), LET_IN, &["rfc9261/5.2.4/s5"]),
    (Fault::Overlooks(Wrong::Cut), LET_IN, &["rfc9261/5.2.4/s6"]),
    (Fault::Overlooks(Wrong::Nothing), LET_IN, &["rfc9261/5.2.4/s7"]),
    (Fault::Overlooks(Wrong::TwoInOne), LET_IN, &["client/4.2/s8"]),
    (Fault::Skips(&[Check::Finished]), ": status 200: it was let in", &["rfc9261/5.2.4/s8"]),
    (Fault::Overlooks(Wrong::EmptyMacBit), STILL_THERE, &["rfc9261/6/s1"]),
    (Fault::Overlooks(Wrong::EmptyTwice), STILL_THERE, &["rfc9261/6/s2"]),
    (Fault::Overlooks(Wrong::EmptyOfLength(0)), "of 0 bytes: the connection", &["rfc9261/6/s3"]),
    (Fault::Overlooks(Wrong::EmptyOfLength(1)), "of 1 bytes: the connection", &["rfc9261/6/s3"]),
    (Fault::Overlooks(Wrong::EmptyOfLength(31)), "of 31 bytes: the connection", &["rfc9261/6/s3"]),
    (Fault::Overlooks(Wrong::EmptyOfLength(33)), "of 33 bytes: the connection", &["rfc9261/6/s3"]),
    (Fault::TakesReplays, STILL_THERE, &["rfc9261/6/s4"]),
    (
        Fault::RefusesEverybody,
        REFUSED,
        &["rfc9261/5.2.4/s1", "client/4.2/s2", "client/4.2/s3", "client/5.4/s4"],
    ),
    (Fault::RefusesScheme(0x0403), REFUSED, &["rfc9261/5.2.2/s20"]),
    (Fault::RefusesScheme(0x0503), REFUSED, &["rfc9261/5.2.2/s21"]),
    (Fault::RefusesScheme(0x0603), REFUSED, &["rfc9261/5.2.2/s22"]),
    (Fault::RefusesScheme(0x0807), REFUSED, &["rfc9261/5.2.2/s23"]),
    (Fault::RefusesScheme(0x0804), REFUSED, &["rfc9261/5.2.2/s24"]),
    (Fault::RefusesScheme(0x0805), REFUSED, &["rfc9261/5.2.2/s25"]),
    (Fault::RefusesScheme(0x0806), REFUSED, &["rfc9261/5.2.2/s26"]),
    (Fault::RefusesScheme(0x0904), REFUSED, &["rfc9261/5.2.2/s27"]),
    (Fault::RefusesScheme(0x0905), REFUSED, &["rfc9261/5.2.2/s28"]),
    (Fault::RefusesScheme(0x0906), REFUSED, &["rfc9261/5.2.2/s29"]),
    (Fault::RefusesLongChains, REFUSED, &["rfc9261/5.2.1/s20"]),
    (Fault::RefusesLongFrames, "instead of a response", &["rfc9261/5.2.1/s21"]),
    (Fault::KnowsSha256Only, "instead of a response", &["rfc9261/5.1/s1"]),
    (Fault::SpeaksTls12OfSha256, "instead of a response", &["rfc9261/5.1/s5"]),
    (Fault::SpeaksTls12InVain, REFUSED, &["rfc9261/5.1/s4", "rfc9261/5.1/s5"]),
    (Fault::MindsFlags, "PROTOCOL_ERROR (no) instead of a response", &["http2/4.1/s1"]),
    (Fault::MindsTheReservedBit, "PROTOCOL_ERROR (no) instead of a response", &["http2/4.1/s1"]),
    (Fault::NeedsShortIntegers, "instead of a response", &["http3/7.1/s2"]),
    (Fault::EndsOnGoodbye, "instead of a response", &["http2/6.8/s1", "http3/5.2/s1"]),
    (Fault::ExpectsTheLastFirst, "instead of a response", &["client/4.1.4/s2"]),
    (Fault::TakesAnyOrder, STILL_THERE, &["client/4.1.4/s3"]),
    (Fault::TakesReplays, LET_IN, &["client/5.2/s2"]),
    (Fault::EndsOnDecline, "the connection ended with", &["client/4.2/s1"]),
    (Fault::EndsOnStranger, "the connection ended with", &["client/4.2.1/s1"]),
    (Fault::TrustsAnybody, LET_IN, &["client/5.1/s1"]),
    (Fault::IgnoresPurpose, LET_IN, &["client/5.1/s3"]),
    (Fault::TakesAnyKind, LET_IN, &["client/5.1/s4"]),
    (Fault::IgnoresRevocation, LET_IN, &["client/5.1/s5"]),
    (Fault::LivesInThePast, LET_IN, &["client/5.1/s2"]),
    (Fault::LivesInTheFuture, LET_IN, &["client/5.1/s8"]),
    (Fault::TakesLeavesForAuthorities, LET_IN, &["client/5.1/s6"]),
    (Fault::KnowsAuthoritiesByName, LET_IN, &["client/5.1/s7", "client/5.1/s9"]),
    (Fault::IgnoresKeyUsage, LET_IN, &["rfc9261/5.2.1/s7"]),
    (Fault::ForgetsIdentities, SILENT, &["client/5.4/s1"]),
    (
        Fault::RemembersForAll,
        "status 200 on another connection",
        &["client/5.4/s2", "client/5.4/s3"],
    ),
    (Fault::IgnoresRequests, STILL_THERE, &["client/4.1.1/s1", "client/4.1.2/s1"]),
    (
        Fault::IgnoresStrays,
        STILL_THERE,
        &["client/4.1.1/s2", "client/4.1.2/s2", "server/5.1/s1", "server/5.2/s1"],
    ),
    (
        Fault::IgnoresUnsolicited,
        STILL_THERE,
        &[
            "client/4.2/s4",
            "client/4.2/s5",
            "client/4.2/s6",
            "client/4.2/s7",
            "server/3.2/s1",
            "client/5.5/s2",
        ],
    ),
    (Fault::IgnoresUnsolicited, STILL_THERE, &["client/4.2/s9", "client/4.2/s10"]),
    (Fault::NeverGivesUp, "it asked 5000 times", &["client/5.5/s9"]),
    (Fault::WaitsWithoutEnd, SILENT, &["client/5.5/s8"]),
    (Fault::IgnoresOpenBlocks, STILL_THERE, &["http2/6.10/s1"]),
    (Fault::AwaitsAnyLength, STILL_THERE, &["http2/4.2/s1", "client/5.5/s1", "client/5.5/s4"]),
    (
        Fault::NeedsNoControlStream,
        STILL_THERE,
        &["http3/6.2.1/s2", "http3/6.2.1/s3", "http3/7.1/s1"],
    ),
    (Fault::TakesAnyStream, STILL_THERE, &["http3/6.2.1/s4", "http3/6.2.2/s1"]),
    (Fault::DiesOfAbsence, "handshake failed", &["client/5.5/s3"]),
    (Fault::DiesOfFloods, "handshake failed", &["client/5.5/s2"]),
    (Fault::DiesOfResets, "handshake failed", &["client/5.5/s6"]),
    (Fault::OffersWithAnyScheme, "an offer with ed25519", &["rfc9261/5.2.2/s13"]),
    (Fault::OffersForged, "an authenticator with a wrong signature", &["server/5.3/s1"]),
    (Fault::OffersUnderOneContext, "a context that is used twice", &["server/5.3/s1"]),
    (Fault::OffersUnderOneContext, "a context twice on a connection", &["rfc9261/5.2.1/s9"]),
];

/// Over HTTP/2 alone: over HTTP/3 the little server cannot do this wrong.
const TABLE_HTTP2: &[Row] = &[
    (Fault::RemembersByTicket, "status 200 on another connection", &["client/5.4/s3"]),
    (Fault::RefusesTheResumed, REFUSED, &["client/5.4/s4"]),
    (Fault::NeedsWholeFrames, "PROTOCOL_ERROR (no) instead of a response", &["client/4.2/s2"]),
    (Fault::ForgetsWhoCancels, "PROTOCOL_ERROR (no) instead of a response", &["client/4.2/s3"]),
];

/// The same the other way round.
const TABLE_HTTP3: &[Row] = &[(
    Fault::NeedsWholeFrames,
    "H3_FRAME_UNEXPECTED (no) instead of a response",
    &["client/5.5/s7"],
)];

/// What a case expects says whether it looks at how the connection ends: without a word, and with another code, it is red.
fn by_their_words(word: &str) -> Vec<&'static str> {
    let all = against_server::cases().map(|case| case.about);
    all.filter(|about| about.expects.contains(word) && !about.expects.contains("the end of"))
        .map(|about| about.id)
        .collect()
}

fn rows() -> Vec<(Fault, &'static str, Vec<&'static str>)> {
    let mut rows: Vec<_> =
        TABLE.iter().map(|(fault, says, ids)| (*fault, *says, ids.to_vec())).collect();
    for word in ["connection error", "an error code", "_ERROR", "H3_"] {
        let says = "the connection ended without an error";
        rows.push((Fault::EndsWithoutAWord, says, by_their_words(word)));
    }
    for word in ["_ERROR", "H3_"] {
        rows.push((
            Fault::EndsWithAnotherCode,
            "INTERNAL_ERROR (no) instead of",
            by_their_words(word),
        ));
    }
    rows
}

/// What cannot be tried where a scheme is not offered, and where no challenge is kept ready.
const ED25519: &str = "rfc9261/5.2.2/s23";
const NONE_READY: [&str; 2] = ["client/4.1/s3", "client/4.1/s5"];
/// What cannot be tried where certificates of servers are announced.
const UNANNOUNCED: &str = "server/3.1/s5";
/// What cannot be tried where there is no TLS 1.2.
const TLS12: [&str; 2] = ["rfc9261/5.1/s4", "rfc9261/5.1/s5"];

async fn without_a_fault_all_pass(version: Version) {
    let world = World::new();
    let variants = [
        (Fault::None, [&NONE_READY[..], &[UNANNOUNCED], &TLS12].concat()),
        (Fault::LacksEd25519, [&NONE_READY[..], &[ED25519, UNANNOUNCED], &TLS12].concat()),
    ];
    for (fault, skipped) in variants {
        let address = broken::start(&world, version, fault).await;
        let target = world.target(address, Duration::from_secs(10));
        for outcome in against_server::run(&target, version, |_| true, |_| {}).await {
            let fine = match outcome.verdict {
                Verdict::Pass => !skipped.contains(&outcome.about.id),
                Verdict::Skipped(_) => skipped.contains(&outcome.about.id),
                Verdict::Fail(_) => false,
            };
            assert!(fine, "{}", outcome.line());
        }
    }
}

/// What a server without a fault needs another kind of server for.
async fn passes(version: Version, server: Fault, id: &str) {
    let world = World::new();
    let address = broken::start(&world, version, server).await;
    let target = world.target(address, Duration::from_secs(10));
    let outcomes = against_server::run(&target, version, |one| one == id, |_| {}).await;
    assert_eq!(outcomes[0].verdict, Verdict::Pass, "{}", outcomes[0].line());
}

#[tokio::test]
async fn a_challenge_that_is_kept_ready_is_used_over_both() {
    for id in NONE_READY {
        passes(Version::Http2, Fault::KeepsReady, id).await;
        passes(Version::Http3, Fault::KeepsReady, id).await;
    }
}

#[tokio::test]
async fn who_announces_no_offers_makes_none() {
    passes(Version::Http2, Fault::AnnouncesNoOffers, UNANNOUNCED).await;
    passes(Version::Http3, Fault::AnnouncesNoOffers, UNANNOUNCED).await;
}

#[tokio::test]
async fn authenticators_work_with_tls_12() {
    for id in TLS12 {
        passes(Version::Http2, Fault::SpeaksTls12, id).await;
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
const SILENCE: Duration = Duration::from_secs(3);

/// What the reasons of such rows say.
const SILENT_ROWS: [&str; 3] = [STILL_THERE, SILENT, "bytes: the connection"];

/// So few at a time that what is awaited is not late for want of time.
const AT_A_TIME: usize = 8;

async fn red(version: Version) {
    let world = Arc::new(World::new());
    let permits = Arc::new(Semaphore::new(AT_A_TIME));
    let mut all = JoinSet::new();
    let mut rows = rows();
    let of_one = match version {
        Version::Http2 => TABLE_HTTP2,
        Version::Http3 => TABLE_HTTP3,
    };
    rows.extend(of_one.iter().map(|(fault, says, ids)| (*fault, *says, ids.to_vec())));
    for (fault, says, ids) in rows {
        for id in ids {
            let (world, permits) = (Arc::clone(&world), Arc::clone(&permits));
            all.spawn(async move {
                let _permit = permits.acquire().await.unwrap();
                let address = broken::start(&world, version, fault).await;
                let silent = SILENT_ROWS.iter().any(|silence| says.contains(silence));
                let patience = if silent { SILENCE } else { Duration::from_secs(10) };
                let target = world.target(address, patience);
                for outcome in against_server::run(&target, version, |one| one == id, |_| {}).await
                {
                    let Verdict::Fail(reason) = &outcome.verdict else {
                        panic!("{fault:?} goes unnoticed: {}", outcome.line());
                    };
                    assert!(
                        reason.contains(says),
                        "{fault:?} is not \"{says}\": {}",
                        outcome.line()
                    );
                }
            });
        }
    }
    let mut wrong = Vec::new();
    while let Some(done) = all.join_next().await {
        wrong.extend(done.err());
    }
    assert!(wrong.is_empty(), "{} of the pairs are not as expected", wrong.len());
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
    let all = TABLE.iter().chain(TABLE_HTTP2).chain(TABLE_HTTP3);
    let caught: BTreeSet<_> = all.flat_map(|(_, _, ids)| ids.iter().copied()).collect();
    // GOAWAY with any code is looked at by its words alone.
    let caught: BTreeSet<_> = caught.into_iter().chain(by_their_words("an error code")).collect();
    let all: BTreeSet<_> = against_server::cases().map(|case| case.about.id).collect();
    assert_eq!(all.difference(&caught).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!(caught.difference(&all).collect::<Vec<_>>(), Vec::<&&str>::new());
}
