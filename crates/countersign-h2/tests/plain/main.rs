//! Plain HTTP/2 (RFC 9113, RFC 7541) through the tap: what hyper does without it, it does with it.
//!
//! Each case is bytes of a peer and what the RFC allows to come of them. It runs against hyper alone, against hyper on
//! a tap that announces nothing, and on one that announces the extension; the three have to be alike in all that the peer
//! sees. Where hyper itself does otherwise than the RFC says, `DEVIATIONS` has it in writing.

#![cfg(test)]

mod client;
mod client_cases;
mod double;
mod frame_cases;
mod hpack_cases;
mod message_cases;
#[path = "../support/mock.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod mock;
mod outcome;
mod server;
mod state_cases;
mod wire;

use std::fmt::Write as _;
use std::sync::Arc;

use tokio::task::JoinSet;

use self::outcome::Seen::{self, Closed, Goaway, Ignored, Pong, Reset, Status};
use self::server::{Case, Stack};

/// Where hyper (h2 0.4) does otherwise than the RFC demands: the case, and what comes of it.
const DEVIATIONS: &[(&str, Seen)] = &[
    // SETTINGS need not come first.
    ("9113/3.4/3", Status(200)),
    ("9113/3.4/4", Status(200)),
    // Frames of a wrong length, but for those longer than MAX_FRAME_SIZE, are PROTOCOL_ERROR.
    ("9113/6.3/2", Goaway(1)),
    ("9113/6.3/3", Goaway(1)),
    ("9113/6.4/2", Goaway(1)),
    ("9113/6.4/3", Goaway(1)),
    ("9113/6.5/1", Goaway(1)),
    ("9113/6.5/3", Goaway(1)),
    ("9113/6.7/4", Goaway(1)),
    ("9113/6.7/5", Goaway(1)),
    ("9113/6.8/2", Goaway(1)),
    ("9113/6.9/3", Goaway(1)),
    // So is a window that is too large in SETTINGS.
    ("9113/6.5.2/2", Goaway(1)),
    // Frames on streams that their sender has ended or reset are PROTOCOL_ERROR, or nothing.
    ("9113/5.1/4", Goaway(1)),
    ("9113/5.1/5", Goaway(1)),
    ("9113/5.1/10", Goaway(1)),
    ("9113/8.1/11", Goaway(1)),
    // Malformed requests that are taken.
    ("9113/8.1/10", Status(200)),
    ("9113/8.2.1/8", Status(200)),
    // All that HPACK forbids is PROTOCOL_ERROR.
    ("7541/2.3.3/1", Goaway(1)),
    ("7541/2.3.3/2", Goaway(1)),
    ("7541/2.3.3/3", Goaway(1)),
    ("7541/4.2/1", Goaway(1)),
    ("7541/4.2/4", Goaway(1)),
    ("7541/4.3/1", Goaway(1)),
    ("7541/4.4/1", Goaway(1)),
    ("7541/5.1/1", Goaway(1)),
    ("7541/5.1/2", Goaway(1)),
    ("7541/5.2/1", Goaway(1)),
    ("7541/5.2/2", Goaway(1)),
    ("7541/5.2/3", Goaway(1)),
    ("7541/5.2/4", Goaway(1)),
    ("7541/5.2/5", Goaway(1)),
    ("7541/6.1/1", Goaway(1)),
    ("7541/6.2/2", Goaway(1)),
];

fn server_cases() -> Vec<Case> {
    let mut cases = frame_cases::cases();
    cases.extend(state_cases::cases());
    cases.extend(message_cases::cases());
    cases.extend(hpack_cases::cases());
    cases
}

/// What is wrong with a case: the demand is not met, or the tap makes a difference.
async fn judge(case: &Case) -> Option<String> {
    let deviation = DEVIATIONS.iter().find(|(id, _)| *id == case.id).map(|(_, seen)| *seen);
    let allowed = deviation.map_or_else(|| case.demand.clone(), |seen| vec![seen]);
    let plain = server::run(case, Stack::Plain, &allowed).await;
    let mut wrong = String::new();
    if !allowed.contains(&plain.seen(case.stream)) {
        let _ = write!(wrong, "{:?} instead of {allowed:?}; ", plain.seen(case.stream));
    }
    if deviation.is_some_and(|seen| case.demand.contains(&seen)) {
        wrong.push_str("no deviation any more; ");
    }
    for stack in [Stack::Silent, Stack::Announcing] {
        let tapped = server::run(case, stack, &allowed).await;
        if tapped != plain {
            let _ = write!(wrong, "{stack:?}: {tapped:?}, but plain: {plain:?}; ");
        }
    }
    (!wrong.is_empty()).then(|| format!("{} ({}): {wrong}", case.id, case.says))
}

#[tokio::test]
async fn servers_are_as_they_are_without_the_tap() {
    let cases: Vec<_> = server_cases().into_iter().map(Arc::new).collect();
    let mut ids: Vec<_> = cases.iter().map(|case| case.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), cases.len(), "an id twice");
    for (id, _) in DEVIATIONS {
        assert!(ids.contains(id), "{id} is no case");
    }
    println!("{} cases", cases.len());
    let mut running = JoinSet::new();
    for case in cases {
        running.spawn(async move { judge(&case).await });
    }
    assert_fine(running).await;
}

#[tokio::test]
async fn clients_are_as_they_are_without_the_tap() {
    let mut running = JoinSet::new();
    for case in client_cases::cases() {
        running.spawn(async move { client::judge(&case).await });
    }
    println!("{} cases", running.len());
    assert_fine(running).await;
}

/// Nothing is wrong with any case.
async fn assert_fine(mut running: JoinSet<Option<String>>) {
    let mut wrong = Vec::new();
    while let Some(judged) = running.join_next().await {
        wrong.extend(judged.unwrap_or_else(|panicked| Some(panicked.to_string())));
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// A stack that loses one kind of frame gives red cases, whichever it is.
#[tokio::test]
async fn whoever_swallows_a_frame_is_caught() {
    let cases: Vec<_> = server_cases();
    // Where something is waited for on a stream, a lost frame is a wait without end.
    let at_once = |case: &&Case| {
        case.demand.iter().all(|seen| matches!(seen, Goaway(_) | Closed | Ignored | Pong))
            && !DEVIATIONS.iter().any(|(id, _)| *id == case.id)
    };
    for lost in double::Lost::ALL {
        let mut red = 0;
        for case in cases.iter().filter(at_once) {
            let seen = server::run(case, Stack::Losing(lost), &case.demand).await;
            red += usize::from(!case.demand.contains(&seen.seen(case.stream)));
        }
        assert!(red > 0, "nobody misses {lost:?}");
    }
}

/// Seen on a stream.
fn on_stream(seen: &Seen) -> bool {
    matches!(seen, Reset(_) | Status(_))
}
