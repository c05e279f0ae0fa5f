//! Plain HTTP/3 (RFC 9114, RFC 9204) on the backend: what h3 does on h3-quinn, it does on it.
//!
//! Each case is streams of a peer and what the RFC allows to come of them. It runs against h3 on h3-quinn, against h3 on a
//! backend that announces nothing, and on one that announces the extension; the three have to be alike in what the
//! peer sees. Where h3 itself does otherwise than the RFC says, `DEVIATIONS` has it in writing.

#![cfg(test)]

mod client;
mod client_cases;
mod control_cases;
#[path = "../support/mock.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod mock;
#[path = "../support/quic.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod quic;
mod request_cases;
mod server;

use std::fmt::Write as _;
use std::future::Future;

use tokio::task::JoinSet;

use self::server::Seen::{self, Closed, Fine, Status};
use self::server::{Case, Stack};

/// Where h3 (0.0.8) does otherwise than the RFC demands: the case, and what comes of it.
const DEVIATIONS: &[(&str, Seen)] = &[
    // A frame that is not known may come before SETTINGS.
    ("9114/6.2.1/4", Fine),
    // Entries of SETTINGS that are cut have another code.
    ("9114/7.2.4/6", Closed(0x109)),
    ("9114/7.2.4/7", Closed(0x109)),
    // What pushes are about is left alone, for there are none.
    ("9114/7.2.7/3", Fine),
    ("9114/7.2.3/1", Fine),
    ("9114/6.2.2/1", Fine),
    // What is left of a frame is taken for the next one.
    ("9114/7.2.6/5", Closed(0x100)),
    // Empty DATA frames in a row are taken for the end.
    ("9114/4.1/6", Closed(0x105)),
    // QPACK's streams are not read: the table has no room.
    ("9204/4.2/4", Fine),
    ("9204/4.2/5", Fine),
    ("9204/4.3.1/1", Fine),
    ("9204/4.3.3/1", Fine),
    ("9204/4.3.4/1", Fine),
    ("9204/4.4.1/1", Fine),
    ("9204/4.4.3/1", Fine),
    ("9204/4.4.3/2", Fine),
    // A section that needs what was not inserted is waited for.
    ("9204/4.5/2", Fine),
    // Malformed requests that are taken.
    ("9114/4.1.2/2", Status(200)),
    ("9114/4.1.2/3", Status(200)),
    ("9114/4.1.2/4", Status(200)),
    ("9114/4.1.2/5", Status(200)),
    ("9114/4.1.2/6", Status(200)),
    ("9114/4.2/2", Status(200)),
    ("9114/4.2/3", Status(200)),
    ("9114/4.2/4", Status(200)),
    ("9114/4.2/5", Status(200)),
    ("9114/4.2/6", Status(200)),
    ("9114/4.3/2", Status(200)),
    ("9114/4.3/3", Status(200)),
    ("9114/4.3/4", Status(200)),
    ("9114/4.3.1/5", Status(200)),
    ("9114/4.3.1/6", Status(200)),
    ("9114/4.4/1", Status(200)),
];

/// Where the backend keeps to the RFC and h3 does not: it reads SETTINGS itself, before h3 does.
const BETTER: &[(&str, Seen)] = &[
    ("9114/6.2.1/4", Closed(0x10a)),
    ("9114/7.2.4/6", Closed(0x106)),
    ("9114/7.2.4/7", Closed(0x106)),
];

fn server_cases() -> Vec<Case> {
    let mut cases = control_cases::cases();
    cases.extend(request_cases::cases());
    cases
}

/// What is wrong with a case: the demand is not met, or the backend makes a difference.
async fn judge(case: Case) -> Option<String> {
    let deviation = DEVIATIONS.iter().find(|(id, _)| *id == case.id).map(|(_, seen)| *seen);
    let allowed = deviation.map_or_else(|| case.demand.clone(), |seen| vec![seen]);
    let plain = server::run(&case, Stack::Plain, &allowed).await;
    let mut wrong = String::new();
    if !allowed.contains(&plain.seen) {
        let _ = write!(wrong, "{:?} instead of {allowed:?}; ", plain.seen);
    }
    if deviation.is_some_and(|seen| case.demand.contains(&seen)) {
        wrong.push_str("no deviation any more; ");
    }
    let better = BETTER.iter().find(|(id, _)| *id == case.id).map(|(_, seen)| *seen);
    for stack in [Stack::Silent, Stack::Announcing] {
        let allowed = better.map_or_else(|| allowed.clone(), |seen| vec![seen]);
        let ours = server::run(&case, stack, &allowed).await;
        let alike = better.map_or(ours == plain, |seen| ours.seen == seen);
        if !alike || better.is_some_and(|seen| !case.demand.contains(&seen)) {
            let _ = write!(wrong, "{stack:?}: {ours:?}, but plain: {plain:?}; ");
        }
    }
    (!wrong.is_empty()).then(|| format!("{} ({}): {wrong}", case.id, case.says))
}

/// Runs all, a few at a time: each has sockets of its own. Nothing may be wrong with any.
async fn assert_fine<F>(cases: Vec<F>)
where
    F: Future<Output = Option<String>> + Send + 'static,
{
    println!("{} cases", cases.len());
    let mut wrong = Vec::new();
    let mut running = JoinSet::new();
    let mut judged = |one: Result<Option<String>, tokio::task::JoinError>| {
        wrong.extend(one.unwrap_or_else(|panicked| Some(panicked.to_string())));
    };
    for case in cases {
        if running.len() >= 16 {
            judged(running.join_next().await.unwrap());
        }
        running.spawn(case);
    }
    while let Some(one) = running.join_next().await {
        judged(one);
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn servers_are_as_they_are_without_the_backend() {
    let cases = server_cases();
    let mut ids: Vec<_> = cases.iter().map(|case| case.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), cases.len(), "an id twice");
    for (id, _) in DEVIATIONS.iter().chain(BETTER) {
        assert!(ids.contains(id), "{id} is no case");
    }
    assert_fine(cases.into_iter().map(judge).collect()).await;
}

#[tokio::test]
async fn clients_are_as_they_are_without_the_backend() {
    assert_fine(client_cases::cases().into_iter().map(client::judge).collect()).await;
}

/// A stack that loses one kind of frame gives red cases, whichever it is.
#[tokio::test]
async fn whoever_swallows_a_frame_is_caught() {
    let cases = server_cases();
    let closes = |case: &&Case| {
        case.demand.iter().all(|seen| matches!(seen, Closed(_) | Fine))
            && !DEVIATIONS.iter().any(|(id, _)| *id == case.id)
    };
    for lost in [0x0, 0x1, 0x3, 0x4, 0x5, 0x7, 0xd, 0x2, 0x6, 0x8, 0x9] {
        let mut red = false;
        for case in cases.iter().filter(closes).filter(|case| case.has(lost)) {
            let seen = server::run(case, Stack::Losing(lost), &case.demand).await.seen;
            red |= !case.demand.contains(&seen);
        }
        assert!(red, "nobody misses frames of type {lost:#x}");
    }
}
