//! The cases catch what they are for: every one is red against at least one broken client, and for the right reason.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign_conform::authenticator::{Check, extension};
use countersign_conform::case::About;
use countersign_conform::report::Outcome;
use countersign_conform::{Verdict, Version, against_client};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::broken::{Blemish, Fault, Oddity};
use crate::flaws::{Flaw, Shape};
use crate::lies::Lie;
use crate::world::{WithoutEd25519, World};

/// What a reason for red contains, over HTTP/2 and over HTTP/3.
type Reason = [&'static str; 2];

/// The client goes on where it has to end.
const GOES_ON: Reason = ["the connection did not end within"; 2];
/// It ends where it has to go on.
const UNEXPECTED: Reason = ["ended with PROTOCOL_ERROR", "ended with H3_FRAME_UNEXPECTED"];
/// The same with another code.
const MALFORMED: Reason = ["ended with PROTOCOL_ERROR", "ended with H3_MESSAGE_ERROR"];
/// The same with the one of certificates.
const INVALID: Reason = ["ended with SERVER_CERTIFICATE_INVALID"; 2];
/// It complains, but not with the code that is due.
const ELSE_UNEXPECTED: Reason =
    ["INTERNAL_ERROR (no) instead of PROTOCOL_ERROR", "instead of H3_FRAME_UNEXPECTED"];
/// The same for another code.
const ELSE_MALFORMED: Reason = ["instead of PROTOCOL_ERROR", "instead of H3_MESSAGE_ERROR"];
/// The same for the one of certificates.
const ELSE_INVALID: Reason = ["INTERNAL_ERROR (no) instead of SERVER_CERTIFICATE_INVALID"; 2];
/// It goes away, and does not say why.
const NOT_A_WORD: Reason = ["the connection ended without an error"; 2];
/// It answers something else.
const ANOTHER_CONTEXT: Reason = ["another context than the request's"; 2];
/// It does not answer.
const NO_ANSWER: Reason = ["CERTIFICATE did not come within"; 2];
/// It declines where it should not.
const DECLINES: Reason = ["the client declined, but presents a certificate"; 2];
/// It presents what it should not.
const PRESENTS: Reason = ["the client presented a certificate"; 2];

/// The cases of requests that are malformed inside.
const INSIDE: &[&str] = &["client/4.1.1/c5", "client/4.1.2/c5"];

/// Each fault, a part of the reason that is told, and the cases that it turns red, over all versions that they are for.
const TABLE: &[(Fault, Reason, &[&str])] = &[
    (
        Fault::AnotherCode,
        ELSE_UNEXPECTED,
        &[
            "client/4.1.1/c4",
            "client/4.1.2/c4",
            "client/4.1.4/c3",
            "client/4.2/c4",
            "http2/6.10/c1",
            "http3/7.2.4/c1",
        ],
    ),
    (
        Fault::AnotherCode,
        ELSE_MALFORMED,
        &[
            "client/4.1.1/c1",
            "client/4.1.1/c2",
            "client/4.1.1/c3",
            "client/4.1.2/c1",
            "client/4.1.2/c2",
            "client/4.1.2/c3",
            "client/4.1.1/c5",
            "client/4.1.2/c5",
            "client/4.1.3/c3",
            "client/4.1.3/c4",
        ],
    ),
    (
        Fault::AnotherCode,
        ELSE_INVALID,
        &[
            "server/5.3/c1",
            "server/5.3/c2",
            "server/5.3/c3",
            "server/5.3/c4",
            "server/5.3/c5",
            "server/5.3/c6",
            "server/5.3/c7",
            "server/5.3/c8",
            "server/5.3/c9",
            "server/5.3/c10",
            "server/5.3/c11",
            "server/5.3/c12",
            "server/5.3/c13",
            "server/5.3/c14",
            "server/5.3/c15",
            "server/5.3/c16",
            "server/5.3/c17",
            "server/5.3/c18",
            "server/5.3/c19",
            "server/5.3/c20",
            "server/5.3/c21",
            "rfc9261/5.2.1/c3",
            "rfc9261/5.2.2/c2",
            "rfc9261/5.2.2/c3",
            "rfc9261/5.2.2/c4",
            "rfc9261/5.2.2/c5",
            "rfc9261/5.2.2/c6",
        ],
    ),
    (Fault::AnotherCode, ["instead of FRAME_SIZE_ERROR"; 2], &["http2/4.2/c1"]),
    (
        Fault::AnotherCode,
        ["instead of H3_CLOSED_CRITICAL_STREAM"; 2],
        &["http3/6.2.1/c1", "http3/6.2.1/c3"],
    ),
    (Fault::AnotherCode, ["instead of H3_FRAME_ERROR"; 2], &["http3/7.1/c1"]),
    (Fault::AnotherCode, ["instead of H3_STREAM_CREATION_ERROR"; 2], &["http3/6.2.1/c4"]),
    (
        Fault::AnotherCode,
        ["instead of PROTOCOL_ERROR", "instead of H3_MISSING_SETTINGS"],
        &["http2/3.4/c1", "http3/6.2.1/c2"],
    ),
    (
        Fault::EndsWithoutAWord,
        NOT_A_WORD,
        &[
            "client/3.1/c3",
            "client/3.1/c4",
            "client/3.1/c6",
            "client/4.1/c3",
            "client/4.1.2/c6",
            "client/5.5/c1",
            "client/5.5/c2",
            "rfc9261/4/c3",
            "rfc9261/4/c4",
            "rfc9261/4/c5",
            "rfc9261/7.1/c1",
            "server/3.1/c1",
            "server/4/c2",
            "server/5.1/c1",
            "server/5.2/c1",
        ],
    ),
    (Fault::AnnouncesNothing, ["the client announced nothing"; 2], &["client/3.1/c1"]),
    (Fault::AnnouncesServerTwo, ["the client announced 2"; 2], &["server/4/c1"]),
    (Fault::TakesBack(0xff0c), ["the client took its announcement back"; 2], &["client/3.1/c5"]),
    (Fault::TakesBack(0xff0d), ["the client took its announcement back"; 2], &["server/3.1/c2"]),
    (Fault::LetsServerAnnounceTwo, GOES_ON, &["server/4/c2"]),
    (Fault::LetsServerTakeBack, GOES_ON, &["server/3.1/c1"]),
    (Fault::LetsTakeBack, GOES_ON, &["client/3.1/c4"]),
    (Fault::LetsTakeBackAtOnce, GOES_ON, &["client/3.1/c6"]),
    (Fault::TakesSecondSettings, GOES_ON, &["http3/7.2.4/c1"]),
    (Fault::NeedsNoControlStream, GOES_ON, &["http3/6.2.1/c1", "http3/6.2.1/c3", "http3/7.1/c1"]),
    (Fault::FearsTheUnknown, UNEXPECTED, &["client/3.1/c2"]),
    (Fault::FearsUnknownSettings, UNEXPECTED, &["client/3.1/c2"]),
    (Fault::FearsOriginOnAStream, UNEXPECTED, &["rfc8336/2.2/c1"]),
    (Fault::FearsNonsenseInOrigin, UNEXPECTED, &["rfc8336/2.2/c2"]),
    (Fault::FearsFlagsOfOrigin(0x1), UNEXPECTED, &["rfc8336/2.2/c3"]),
    (Fault::FearsFlagsOfOrigin(0x2), UNEXPECTED, &["rfc8336/2.2/c3"]),
    (Fault::FearsFlagsOfOrigin(0x4), UNEXPECTED, &["rfc8336/2.2/c3"]),
    (Fault::FearsFlagsOfOrigin(0x8), UNEXPECTED, &["rfc8336/2.2/c3"]),
    (Fault::FearsEmptyOrigin, UNEXPECTED, &["rfc8336/2.1/c1"]),
    (Fault::FearsLongOrigin, UNEXPECTED, &["rfc8336/2.1/c1"]),
    (Fault::PresentsAtOnce, ["that nobody asked for"; 2], &["client/3/c1", "client/4.2/c1"]),
    (
        Fault::PresentsAsServer,
        ["a CERTIFICATE that nobody asked for", "SERVER_CERTIFICATE, which only servers send"],
        &["client/4.2/c1"],
    ),
    (Fault::AsksItself, ["AUTHENTICATOR_REQUESTS, which only"; 2], &["client/4.2/c1"]),
    (Fault::AnswersTwice, ["that nobody asked for"; 2], &["client/4.2/c2"]),
    (Fault::AnswersLastFirstOfAFrame, ANOTHER_CONTEXT, &["client/4.1.4/c2"]),
    (Fault::AnswersLastFrameFirst, ANOTHER_CONTEXT, &["client/4.2/c3"]),
    (Fault::AnswersTimes(7), NO_ANSWER, &["client/4.1/c1", "client/4.1/c4"]),
    (Fault::CountsForever, UNEXPECTED, &["client/4.1/c1", "client/4.1/c4"]),
    (
        Fault::Forges,
        ["a wrong signature"; 2],
        &["client/4.1.4/c1", "client/4.1/c2", "http3/7.1/c2"],
    ),
    (Fault::AnswersOnAStream, ["CERTIFICATE on a stream of its own"; 2], &["client/4.1.4/c1"]),
    (Fault::AnswersAtLength, ["CERTIFICATE of "; 2], &["http2/4.2/c2"]),
    (Fault::Minds(Oddity::Type13), MALFORMED, &["rfc9261/4/c1"]),
    (Fault::Minds(Oddity::Extension), MALFORMED, &["rfc9261/5.2.1/c1"]),
    (Fault::Minds(Oddity::Length), MALFORMED, &["client/4.1.3/c1"]),
    (Fault::Minds(Oddity::EmptyContext), MALFORMED, &["rfc9261/4/c2"]),
    (Fault::Minds(Oddity::LongContext), MALFORMED, &["rfc9261/4/c2"]),
    (Fault::Minds(Oddity::WideLength), MALFORMED, &["client/4.1.3/c2"]),
    (Fault::Minds(Oddity::Flags), MALFORMED, &["http2/4.1/c1"]),
    (Fault::Minds(Oddity::Sha384), MALFORMED, &["rfc9261/5.1/c1", "rfc9261/5.1/c3"]),
    (Fault::Minds(Oddity::Tls12), MALFORMED, &["rfc9261/5.1/c2", "rfc9261/5.1/c3"]),
    (Fault::Declines(Oddity::Type13), DECLINES, &["rfc9261/4/c1"]),
    (Fault::Declines(Oddity::Extension), DECLINES, &["rfc9261/5.2.1/c1"]),
    (Fault::Declines(Oddity::EmptyContext), DECLINES, &["rfc9261/4/c2"]),
    (Fault::Declines(Oddity::LongContext), DECLINES, &["rfc9261/4/c2"]),
    (Fault::Declines(Oddity::WideLength), DECLINES, &["client/4.1.3/c2"]),
    (Fault::Declines(Oddity::Flags), DECLINES, &["http2/4.1/c1"]),
    (Fault::Declines(Oddity::AfterTheUnknown), DECLINES, &["client/3.1/c2"]),
    (Fault::MindsFlags, UNEXPECTED, &["server/5.1/c2"]),
    (Fault::UsesAnyScheme, ["a signature scheme that was not offered"; 2], &["rfc9261/5.2.2/c1"]),
    (Fault::IgnoresExtension(extension::CERTIFICATE_AUTHORITIES), PRESENTS, &["rfc9261/5.2.1/c2"]),
    (
        Fault::IgnoresExtension(extension::SIGNATURE_ALGORITHMS_CERT),
        PRESENTS,
        &["rfc9261/5.2.1/c4"],
    ),
    (Fault::IgnoresExtension(extension::OID_FILTERS), PRESENTS, &["rfc9261/5.2.1/c5"]),
    (Fault::IgnoresTheLimit, GOES_ON, &["client/4.1.4/c3"]),
    (Fault::Swallows(Flaw::Empty), GOES_ON, &["client/4.1/c3"]),
    (Fault::Swallows(Flaw::CutLength), GOES_ON, &["client/4.1.1/c1", "client/4.1.2/c1"]),
    (Fault::Swallows(Flaw::BeyondFrame), GOES_ON, &["client/4.1.1/c2", "client/4.1.2/c2"]),
    (Fault::Swallows(Flaw::LongerThanItsPlace), GOES_ON, &["client/4.1.1/c3", "client/4.1.2/c3"]),
    (Fault::Swallows(Flaw::OtherType), GOES_ON, &["client/4.1.3/c3"]),
    (Fault::Swallows(Flaw::ShorterThanItsPlace), GOES_ON, &["client/4.1.3/c4"]),
    (
        Fault::Swallows(Flaw::ContextBeyond),
        ["a context beyond the end of the request: the connection did not end"; 2],
        INSIDE,
    ),
    (
        Fault::Swallows(Flaw::ListBeyond),
        ["extensions beyond the end of the request: the connection did not end"; 2],
        INSIDE,
    ),
    (
        Fault::Swallows(Flaw::ExtensionBeyond),
        ["an extension beyond the end of the list: the connection did not end"; 2],
        INSIDE,
    ),
    (
        Fault::Swallows(Flaw::BytesInside),
        ["bytes behind the extensions: the connection did not end"; 2],
        INSIDE,
    ),
    (
        Fault::Swallows(Flaw::OddAlgorithms),
        ["signature_algorithms of an odd length: the connection did not end"; 2],
        INSIDE,
    ),
    (
        Fault::Swallows(Flaw::ZeroLength),
        ["an element of length 0: the connection did not end"; 2],
        INSIDE,
    ),
    (
        Fault::Swallows(Flaw::HugeLength),
        ["an element of length 2^62-1: the connection did not end"; 2],
        INSIDE,
    ),
    (Fault::AnswersAnybody, ["the client answered with CERTIFICATE"; 2], &["client/3/c2"]),
    (Fault::TakesRepeatedContexts, GOES_ON, &["rfc9261/4/c3"]),
    (Fault::TakesContextsTwiceInAFrame, GOES_ON, &["rfc9261/4/c5"]),
    (Fault::NeedsNoAlgorithms, ["a signature scheme that was not offered"; 2], &["rfc9261/7.1/c1"]),
    (Fault::TakesTwins, PRESENTS, &["rfc9261/4/c4"]),
    (Fault::NeedsNoNegotiationToBeAsked, GOES_ON, &["client/3.1/c3"]),
    (Fault::NeedsNoNegotiationToBeShown, GOES_ON, &["client/4.2/c4"]),
    (Fault::IgnoresStrayRequests, GOES_ON, &["client/4.1.1/c4", "client/4.1.2/c4"]),
    (Fault::IgnoresStrayCertificates, GOES_ON, &["server/5.1/c1", "server/5.2/c1"]),
    (Fault::IgnoresPushedRequests, GOES_ON, &["client/4.1.2/c6"]),
    (Fault::IgnoresOpenBlocks, GOES_ON, &["http2/6.10/c1"]),
    (Fault::AwaitsAnyLength, GOES_ON, &["http2/4.2/c1", "client/5.5/c1", "client/5.5/c2"]),
    (
        Fault::TakesRequestsBeforeSettings,
        ["AUTHENTICATOR_REQUESTS: the connection did not end"; 2],
        &["http2/3.4/c1", "http3/6.2.1/c2"],
    ),
    (
        Fault::TakesCertificatesBeforeSettings,
        ["SERVER_CERTIFICATE: the connection did not end"; 2],
        &["http2/3.4/c1", "http3/6.2.1/c2"],
    ),
    (Fault::TakesSecondControlStreams, GOES_ON, &["http3/6.2.1/c4"]),
    (Fault::KnowsP256Only, INVALID, &["server/3.2/c2"]),
    (Fault::ComplainsOfLongChains, INVALID, &["server/3.2/c3"]),
    (Fault::ComplainsOfLongProofs, INVALID, &["server/3.2/c4"]),
    (Fault::KnowsSha256Only, INVALID, &["rfc9261/5.1/c5"]),
    (Fault::ComplainsOf(Blemish::Namesake), INVALID, &["server/6.2/c3"]),
    (Fault::RefusesServers, INVALID, &["server/3.2/c1"]),
    (Fault::ComplainsOf(Blemish::Expired), INVALID, &["server/6.2/c1"]),
    (Fault::ComplainsOf(Blemish::Early), INVALID, &["server/6.2/c4"]),
    (Fault::ComplainsOf(Blemish::Stranger), INVALID, &["server/6.2/c2"]),
    (Fault::Takes(Shape::Rubbish), GOES_ON, &["server/5.3/c1"]),
    (Fault::Takes(Shape::Cut), GOES_ON, &["server/5.3/c6"]),
    (Fault::Takes(Shape::Empty), GOES_ON, &["server/5.3/c7"]),
    (Fault::Takes(Shape::NoFinished), GOES_ON, &["server/5.3/c13"]),
    (Fault::Takes(Shape::NoVerify), GOES_ON, &["server/5.3/c14"]),
    (Fault::Takes(Shape::Swapped), GOES_ON, &["server/5.3/c15"]),
    (Fault::Takes(Shape::Nothing), GOES_ON, &["server/5.3/c16"]),
    (Fault::Takes(Shape::NoEntries), GOES_ON, &["server/5.3/c17"]),
    (Fault::Takes(Shape::NotX509), GOES_ON, &["server/5.3/c18"]),
    (
        Fault::Takes(Shape::Finished(0)),
        ["0 bytes in Finished: the connection did not end"; 2],
        &["server/5.3/c21"],
    ),
    (
        Fault::Takes(Shape::Finished(1)),
        ["1 bytes in Finished: the connection did not end"; 2],
        &["server/5.3/c21"],
    ),
    (
        Fault::Takes(Shape::Finished(31)),
        ["31 bytes in Finished: the connection did not end"; 2],
        &["server/5.3/c21"],
    ),
    (
        Fault::Takes(Shape::Finished(33)),
        ["33 bytes in Finished: the connection did not end"; 2],
        &["server/5.3/c21"],
    ),
    (Fault::Believes(Lie::SignatureBit), GOES_ON, &["server/5.3/c2"]),
    (Fault::Believes(Lie::MacBit), GOES_ON, &["server/5.3/c3"]),
    (Fault::Believes(Lie::ClientsThroughout), GOES_ON, &["server/5.3/c4"]),
    (Fault::Believes(Lie::HandshakeString), GOES_ON, &["server/5.3/c9"]),
    (Fault::Believes(Lie::ClientsContext), GOES_ON, &["server/5.3/c10"]),
    (Fault::Believes(Lie::ClientsMac), GOES_ON, &["server/5.3/c11"]),
    (Fault::Believes(Lie::Elsewhere), GOES_ON, &["server/5.3/c12"]),
    (Fault::Believes(Lie::Twice), GOES_ON, &["server/5.3/c19"]),
    (Fault::Believes(Lie::Unknown), GOES_ON, &["rfc9261/5.2.1/c3"]),
    (Fault::Believes(Lie::AnotherScheme), GOES_ON, &["rfc9261/5.2.2/c3"]),
    (Fault::Believes(Lie::SecondKey), GOES_ON, &["rfc9261/5.2.2/c4"]),
    (Fault::Believes(Lie::P521WithSha384), GOES_ON, &["rfc9261/5.2.2/c5"]),
    (Fault::Skips(&[Check::Signature, Check::Finished]), GOES_ON, &["server/5.3/c20"]),
    (Fault::Skips(&[Check::Trailing]), GOES_ON, &["server/5.3/c5"]),
    (
        Fault::Trusts(Blemish::OtherName),
        ["a certificate for another name: the client made"; 2],
        &["server/1.1/c1"],
    ),
    (
        Fault::Trusts(Blemish::Expired),
        ["an expired certificate: the client made"; 2],
        &["server/1.1/c1"],
    ),
    (
        Fault::Trusts(Blemish::Early),
        ["a certificate that is not valid yet: the client made"; 2],
        &["server/1.1/c1"],
    ),
    (
        Fault::Trusts(Blemish::Stranger),
        ["a certificate of a stranger: the client made"; 2],
        &["server/1.1/c1"],
    ),
    (
        Fault::Trusts(Blemish::Namesake),
        ["a certificate of a namesake: the client made"; 2],
        &["server/1.1/c1"],
    ),
    (
        Fault::Trusts(Blemish::ForClients),
        ["a certificate for clients: the client made"; 2],
        &["server/1.1/c1"],
    ),
    (
        Fault::Trusts(Blemish::NotForSignatures),
        ["a certificate that is not for signatures: the client made"; 2],
        &["rfc9261/5.2.1/c6"],
    ),
    (Fault::TakesRepeatedProofs, GOES_ON, &["server/5.3/c8"]),
    (Fault::Skips(&[Check::Scheme]), GOES_ON, &["rfc9261/5.2.2/c2"]),
    (Fault::TakesAnyScheme, GOES_ON, &["rfc9261/5.2.2/c6"]),
];

async fn without_a_fault_all_pass(version: Version) {
    let world = World::new(Duration::from_secs(10));
    for outcome in world.outcomes(version, Fault::None, |_| true).await {
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

/// Which cases are skipped where the client lacks something; none fails.
async fn skipped_without(fault: Fault, version: Version, separate: bool) -> Vec<&'static str> {
    let mut world = World::new(Duration::from_secs(10));
    if separate {
        world.host.points.server_certificate = 0xf7;
    }
    let outcomes = world.outcomes(version, fault, |_| true).await;
    let skipped = outcomes.iter().filter(|outcome| match outcome.verdict {
        Verdict::Pass => false,
        Verdict::Skipped(_) => true,
        Verdict::Fail(_) => panic!("{}", outcome.line()),
    });
    skipped.map(|outcome| outcome.about.id).collect()
}

#[tokio::test]
async fn who_lacks_the_servers_draft_fails_nothing() {
    for (version, separate) in [(Version::Http2, true), (Version::Http3, false)] {
        let skipped = skipped_without(Fault::LacksServersDraft, version, separate).await;
        let of_ours = |id: &str| {
            let shown = [
                "server/",
                "rfc9261/5.2.2/c",
                "rfc9261/5.2.1/c3",
                "rfc9261/5.2.1/c6",
                "rfc9261/5.1/c5",
            ];
            shown.iter().any(|start| id.starts_with(start)) || separate && id == "client/4.2/c4"
        };
        assert!(skipped.iter().all(|id| of_ours(id)), "{skipped:?}");
        for id in ["server/4/c2", "server/5.3/c1", "server/3.2/c1", "rfc9261/5.2.2/c2"] {
            assert!(skipped.contains(&id), "{id}");
        }
        assert_eq!(skipped.contains(&"client/4.2/c4"), separate);
    }
}

#[tokio::test]
async fn who_has_no_identity_fails_nothing_and_passes_nothing_that_needs_one() {
    let skipped = skipped_without(Fault::LacksIdentity, Version::Http2, false).await;
    let expected = [
        "rfc9261/4/c1",
        "rfc9261/5.2.1/c1",
        "rfc9261/4/c2",
        "client/4.1.3/c2",
        "client/4.1/c2",
        "http2/4.1/c1",
        "client/3.1/c2",
        "rfc9261/5.2.2/c1",
        "rfc9261/5.2.1/c2",
        "rfc9261/5.2.1/c4",
        "rfc9261/5.2.1/c5",
    ];
    assert_eq!(skipped, expected);
}

#[tokio::test]
async fn who_does_not_go_on_to_the_second_origin_shows_nothing_of_authority() {
    let world = World::new(Duration::from_secs(10));
    let chosen = |id: &str| id == "server/1.1/c1";
    let outcomes = world.outcomes(Version::Http2, Fault::TrustsNobody, chosen).await;
    let line = outcomes[0].line();
    assert!(line.starts_with("skipped") && line.contains("has to fetch {further}"), "{line}");
}

#[tokio::test]
async fn a_certificate_that_is_not_for_signatures_may_end_the_connection() {
    let world = World::new(Duration::from_secs(10));
    let chosen = |id: &str| id == "rfc9261/5.2.1/c6";
    for version in [Version::Http2, Version::Http3] {
        let complains = Fault::ComplainsOf(Blemish::NotForSignatures);
        let outcomes = world.outcomes(version, complains, chosen).await;
        assert_eq!(outcomes[0].verdict, Verdict::Pass, "{}", outcomes[0].line());
    }
}

/// Silence is a failure, too; there is no need to listen to it for long.
const SILENCE: Duration = Duration::from_secs(2);

/// So many clients at a time: enough that nobody waits for the silence of others, too few to make each other late.
const TOGETHER: usize = 16;

async fn red(version: Version) {
    // Who is not heard of is waited for, but not for long; who says something may take its time.
    let [short, long] = [SILENCE, Duration::from_secs(20)].map(|patience| {
        let mut world = World::new(patience);
        if version == Version::Http3 {
            // Servers' certificates in a frame of their own.
            world.host.points.server_certificate = 0xf7;
        } else {
            world.verifier = Arc::new(WithoutEd25519(world.verifier));
        }
        Arc::new(world)
    });
    let places = Arc::new(Semaphore::new(TOGETHER));
    let mut all = JoinSet::new();
    for (fault, reasons, ids) in TABLE {
        let part = reasons[usize::from(version == Version::Http3)];
        let world = Arc::clone(if part.contains("did not") { &short } else { &long });
        let places = Arc::clone(&places);
        all.spawn(async move {
            let _place = places.acquire().await.unwrap();
            let outcomes = world.outcomes(version, *fault, |id| ids.contains(&id)).await;
            let seen = |outcome: &Outcome| {
                matches!(&outcome.verdict, Verdict::Fail(reason) if reason.contains(part))
            };
            let unseen = outcomes.iter().filter(|outcome| !seen(outcome));
            unseen.map(|outcome| format!("{fault:?}: {}\n", outcome.line())).collect::<String>()
        });
    }
    let unseen = all.join_all().await.concat();
    assert!(
        unseen.is_empty(),
        "faults that go unnoticed, or are noticed for another reason:\n{unseen}"
    );
}

#[tokio::test]
async fn every_fault_is_seen_over_http2() {
    red(Version::Http2).await;
}

#[tokio::test]
async fn every_fault_is_seen_over_http3() {
    red(Version::Http3).await;
}

#[tokio::test]
async fn what_is_taken_back_in_another_case_is_noticed() {
    let world = World::new(SILENCE);
    let chosen = |id: &str| ["rfc9261/5.2.1/c1", "client/3.1/c5"].contains(&id);
    let outcomes = world.outcomes(Version::Http2, Fault::TakesBackOnce, chosen).await;
    assert_eq!(outcomes[0].verdict, Verdict::Pass);
    let line = outcomes[1].line();
    assert!(line.starts_with("fail") && line.ends_with("in the case rfc9261/5.2.1/c1"), "{line}");
}

#[test]
fn the_table_has_no_blank() {
    let caught: BTreeSet<_> = TABLE.iter().flat_map(|(_, _, ids)| ids.iter().copied()).collect();
    let all: BTreeSet<_> = against_client::cases().map(|case| case.about.id).collect();
    assert_eq!(all.difference(&caught).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!(caught.difference(&all).collect::<Vec<_>>(), Vec::<&&str>::new());
}

/// Who has to end with a code is seen to end with another one; who has to end with any is seen to end without.
#[test]
fn every_code_is_looked_at() {
    for case in against_client::cases() {
        let About { id, expects, .. } = case.about;
        let caught = |wanted: Fault| {
            TABLE.iter().any(|(fault, _, ids)| *fault == wanted && ids.contains(&id))
        };
        if ["_ERROR", "_INVALID", "H3_"].iter().any(|part| expects.contains(part)) {
            assert!(caught(Fault::AnotherCode), "{id}");
        } else if expects.contains("a connection error") {
            assert!(caught(Fault::EndsWithoutAWord), "{id}");
        }
    }
}
