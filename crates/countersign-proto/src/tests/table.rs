//! Every state times every event, for both machines, as snapshots to be read line by line.
//!
//! Each line is a fresh machine in the state of the heading, to which one thing happens. After `->`
//! stands what the machine said to that, then everything it tells and sends until it is quiet, then
//! whether the extension is negotiated and how many answers are owed.

mod client;
mod server;

use std::fmt::Write;

use crate::{Misuse, PeerSettings, Violation};

/// A machine in a test, with what is needed to act on it and to name what it does.
trait Subject {
    /// What it tells and sends until it is quiet.
    fn drain(&mut self, out: &mut Vec<String>);
    /// Where it stands after that.
    fn standing(&self) -> String;
}

type State<S> = (&'static str, fn() -> S);
type Event<S> = (&'static str, fn(&mut S) -> String);

fn table<S: Subject>(states: &[State<S>], events: &[Event<S>]) -> String {
    let mut table = String::new();
    for (state, make) in states {
        writeln!(table, "## {state}").unwrap();
        for (event, act) in events {
            let mut subject = make();
            let mut outcome = vec![act(&mut subject)];
            subject.drain(&mut outcome);
            let (outcome, standing) = (outcome.join(", "), subject.standing());
            writeln!(table, "{event:<42} -> {outcome} | {standing}").unwrap();
        }
        table.push('\n');
    }
    table
}

fn said(verdict: Result<(), Violation>) -> String {
    match verdict {
        Ok(()) => "ok".into(),
        Err(violation) => format!("VIOLATION {violation:?}"),
    }
}

fn done<T>(result: Result<T, Misuse>, show: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(value) => show(value),
        Err(misuse) => format!("misuse {misuse:?}"),
    }
}

fn announced(peer: &PeerSettings) -> String {
    let value = |value: Option<u64>| value.map_or("-".into(), |value| value.to_string());
    format!(
        "tells settings client={} server={}",
        value(peer.client_cert_auth),
        value(peer.server_cert_auth)
    )
}

fn standing(dead: Option<Violation>, negotiated: bool, owed: usize) -> String {
    match (dead, negotiated) {
        (Some(_), _) => format!("dead, {owed} owed"),
        (None, true) => format!("negotiated, {owed} owed"),
        (None, false) => format!("not negotiated, {owed} owed"),
    }
}
