//! Cases against a client, which visits the tool: one connection for each case, and for each thing that it tries.

mod announcements;
mod answers;
mod authority;
mod choices;
mod forged;
mod frames;
mod guest;
mod host;
mod malformed;
mod origins;
mod requests;
mod servers;
mod shown;
mod streams;

use std::time::Duration;

use tokio::time::{Instant, timeout};

use self::announcements::TakenBack;
pub use self::authority::further_url;
pub use self::guest::Guest;
pub use self::host::Host;
use crate::authenticator::Hash;
use crate::case::{Case, Done, Running, Verdict, Version, failed, skipped};
use crate::raw::{Listener, Peer};
use crate::report::Outcome;
use crate::tls::Suites;

/// A case against a client.
pub type ClientCase = Case<for<'a> fn(&'a mut Guest<'_>) -> Running<'a>>;

/// Longer than any case takes whose steps are all in time.
const CASE_LIMIT: Duration = Duration::from_secs(60);

/// What the connections of a case may have.
fn suites(id: &str) -> Suites {
    match id {
        "rfc9261/5.1/c1" | "rfc9261/5.1/c5" => Suites::Of(Hash::Sha384),
        "rfc9261/5.1/c2" => Suites::Tls12,
        "rfc9261/5.1/c3" => Suites::Tls12Sha384,
        _ => Suites::Of(Hash::Sha256),
    }
}

/// On how many connections a case is tried, one after the other.
fn rounds(id: &str) -> usize {
    match id {
        "client/4.1.1/c5" | "client/4.1.2/c5" => malformed::INSIDE.len(),
        "http2/3.4/c1" | "http3/6.2.1/c2" => streams::BEFORE_SETTINGS,
        "rfc9261/4/c2" => answers::CONTEXTS.len(),
        "server/1.1/c1" => 1 + authority::UNFIT.len(),
        "rfc9261/5.2.1/c6" => 1 + authority::NOT_FOR_SIGNATURES.len(),
        "server/5.3/c20" => forged::PLACES,
        "server/5.3/c21" => forged::LENGTHS.len(),
        _ => 1,
    }
}

/// All cases, in the order in which they are run.
pub fn cases() -> impl Iterator<Item = &'static ClientCase> {
    [
        answers::CASES,
        choices::CASES,
        requests::CASES,
        malformed::CASES,
        frames::CASES,
        streams::CASES,
        servers::CASES,
        shown::CASES,
        authority::CASES,
        forged::CASES,
        origins::CASES,
        announcements::CASES,
    ]
    .into_iter()
    .flatten()
}

/// Runs the cases that `chosen` picks by their id over one version, and tells of each. `invite` is told the URL to be
/// visited; what it returns is dropped when the case is over.
pub async fn run<I>(
    host: &Host,
    version: Version,
    chosen: impl Fn(&str) -> bool,
    mut invite: impl FnMut(&str, Version) -> Result<I, String>,
    mut tell: impl FnMut(&Outcome),
) -> Vec<Outcome> {
    let (mut outcomes, mut taken_back) = (Vec::new(), Vec::new());
    for case in cases() {
        if !case.about.over.includes(version) || !chosen(case.about.id) {
            continue;
        }
        let began = Instant::now();
        let mut done = Ok(());
        for round in 0..rounds(case.about.id) {
            done =
                done.and(try_one(host, version, case, round, &mut taken_back, &mut invite).await);
            if done.is_err() {
                break;
            }
        }
        let verdict = Verdict::from(done);
        let outcome = Outcome { about: case.about, version, verdict, took: began.elapsed() };
        tell(&outcome);
        outcomes.push(outcome);
    }
    outcomes
}

async fn try_one<I>(
    host: &Host,
    version: Version,
    case: &ClientCase,
    round: usize,
    taken_back: &mut Vec<TakenBack>,
    invite: &mut impl FnMut(&str, Version) -> Result<I, String>,
) -> Done {
    let id = case.about.id;
    // A listener of its own, so that nobody who tries again is taken for the next case's visitor.
    let own = (host.chain.clone(), host.key.clone_key());
    let listener =
        Listener::bind(host.address, version, own, suites(id), host.points, host.patience).await?;
    let port = listener.address().port();
    let url = format!("https://{}:{port}/{}", host.name, id.replace('/', "-"));
    let _visitor = invite(&url, version)?;
    let Ok(arrived) = timeout(host.visit_within, arrive(&listener)).await else {
        return skipped(format!("nobody came within {:?}", host.visit_within));
    };
    let mut guest = Guest::new(arrived?, host, &listener, round);
    guest.taken_back.clone_from(taken_back);
    let tried = timeout(CASE_LIMIT, (case.run)(&mut guest)).await;
    for setting in [host.points.client_cert_auth, host.points.server_cert_auth] {
        taken_back.extend(guest.takes_back(setting).then_some((setting, id)));
    }
    guest.goodbye().await;
    tried.unwrap_or_else(|_| failed(format!("it was not over within {CASE_LIMIT:?}")))
}

async fn arrive(listener: &Listener) -> Done<Peer> {
    match listener.accept().await?.handshake().await {
        Ok(peer) => Ok(peer),
        Err(reason) => skipped(reason),
    }
}
