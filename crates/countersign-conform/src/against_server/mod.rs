//! Cases against a server, which the tool visits as a client.

mod answers;
mod certificates;
mod forged;
mod frames;
mod negotiation;
mod offers;
mod pacing;
mod requests;
mod sessions;
mod signatures;
mod streams;
mod target;
mod visit;

use std::time::Duration;

use tokio::time::Instant;

pub use self::target::Target;
pub use self::visit::Visit;
use crate::case::{Case, Running, Stop, Verdict, Version};
use crate::report::Outcome;

/// A case against a server.
pub type ServerCase = Case<for<'a> fn(&'a Visit<'a>) -> Running<'a>>;

/// Longer than any case takes whose steps are all in time, with a server that lets its deadline go by at each.
const CASE_LIMIT: Duration = Duration::from_secs(300);

/// All cases, in the order in which they are run.
pub fn cases() -> impl Iterator<Item = &'static ServerCase> {
    [
        negotiation::CASES,
        requests::CASES,
        answers::CASES,
        sessions::CASES,
        certificates::CASES,
        offers::CASES,
        forged::CASES,
        signatures::CASES,
        frames::CASES,
        streams::CASES,
        pacing::CASES,
    ]
    .into_iter()
    .flatten()
}

/// Runs the cases that `chosen` picks by their id over one version, and tells of each.
pub async fn run(
    target: &Target,
    version: Version,
    chosen: impl Fn(&str) -> bool,
    mut tell: impl FnMut(&Outcome),
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for case in cases() {
        if !case.about.over.includes(version) || !chosen(case.about.id) {
            continue;
        }
        let began = Instant::now();
        let verdict = try_one(target, version, case).await;
        let outcome = Outcome { about: case.about, version, verdict, took: began.elapsed() };
        tell(&outcome);
        outcomes.push(outcome);
    }
    outcomes
}

async fn try_one(target: &Target, version: Version, case: &ServerCase) -> Verdict {
    let visit = Visit { target, version };
    let done = match tokio::time::timeout(CASE_LIMIT, (case.run)(&visit)).await {
        Ok(done) => done,
        Err(_) => Err(Stop::Failed(format!("it was not over within {CASE_LIMIT:?}"))),
    };
    match done {
        Ok(()) => Verdict::from(visit.serves_others().await),
        Err(stop) => Verdict::from(Err(stop)),
    }
}
