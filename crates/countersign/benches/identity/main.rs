//! What one more identity, and one more origin, cost: on the connection that is there, or with another.
//!
//! For an identity the client proves a certificate when a request needs it, or ahead of the request with a
//! challenge that the server has left with it. The second connection is a full handshake with the same
//! certificate and the same request.
//!
//! For an origin the server proves a certificate, unasked, while the connection has nothing else to do, as it
//! would right behind its SETTINGS; the client verifies it, and sends a request for its name when it has to.
//! No name is looked up. The new connection is a full handshake with that certificate and the same request.
//!
//! Both other connections are served by hyper, or h3 on h3-quinn, without anything of ours; the client is
//! the same for all. All keys are P-256, all chains have one intermediate, no session is resumed.
//!
//! Each side has a thread of its own, whose CPU time is read before and after; system calls count. Round
//! trips and bytes are counted on a network in memory with a virtual clock; bytes are what TCP and UDP carry.
//! Fails if an identity costs more CPU than a connection, or if one that is proven ahead does not save a
//! round trip. The figures of origins have no target.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot run has nothing to report"
)]

mod client;
mod cpu;
mod net;
mod pki;
mod server;
mod trips;
mod way;

use std::process::ExitCode;

use crate::cpu::Spent;
use crate::trips::Passed;
use crate::way::{Version, Way};

/// How often each way is measured, in turn with the others.
const ROUNDS: usize = 50;

fn main() -> ExitCode {
    // `cargo test` runs benches too, but is not asked for figures.
    let measured = std::env::args().any(|arg| arg == "--bench");
    let rounds = if measured { ROUNDS } else { 1 };
    let identities = Version::ALL.map(|version| Figures::of(version, &Way::IDENTITY, rounds));
    let origins = Version::ALL.map(|version| Figures::of(version, &Way::ORIGIN, rounds));
    print_identities(&identities);
    println!();
    print_origins(&origins);
    let within = |figures: &Figures| {
        let (ahead, second) = (figures.line(Way::Ahead), figures.line(Way::Second));
        let cheaper = |line: &Line| line.spent.server < second.spent.server;
        let mut on_live = figures.0.iter().filter(|line| line.way != Way::Second);
        ahead.passed.trips.round() <= second.passed.trips.round() - 1.0
            && (!measured || on_live.all(cheaper))
    };
    if identities.iter().all(within) {
        ExitCode::SUCCESS
    } else {
        eprintln!("an identity costs more than a connection");
        ExitCode::FAILURE
    }
}

/// A table's lines for one version of HTTP; the last way is what the others are compared with.
struct Figures(Vec<Line>);

struct Line {
    version: Version,
    way: Way,
    spent: Spent,
    passed: Passed,
}

impl Figures {
    fn of(version: Version, ways: &'static [Way], rounds: usize) -> Self {
        let line = |(way, spent): (&Way, Spent)| Line {
            version,
            way: *way,
            spent,
            passed: trips::count(version, *way),
        };
        Self(ways.iter().zip(cpu::of(version, ways, rounds)).map(line).collect())
    }

    fn line(&self, way: Way) -> &Line {
        self.0.iter().find(|line| line.way == way).unwrap()
    }
}

fn print_identities(all: &[Figures]) {
    println!("| | over | server's CPU | ratio | round trips |");
    println!("| --- | --- | ---: | ---: | ---: |");
    for figures in all {
        let second = figures.line(Way::Second);
        for line in &figures.0 {
            let (name, over) = (line.way.name(), line.version.name());
            let cpu = micros(line.spent.server, second.spent.server);
            println!("| {name} | {over} | {cpu} | {:.2} |", line.passed.trips);
        }
    }
}

fn print_origins(all: &[Figures]) {
    println!("| | over | sent, bytes | ratio | received, bytes | ratio |");
    println!("| --- | --- | ---: | ---: | ---: | ---: |");
    for (figures, new) in all.iter().map(|figures| (figures, figures.line(Way::New))) {
        for line in &figures.0 {
            let (name, over) = (line.way.name(), line.version.name());
            let sent = bytes(line.passed.sent, new.passed.sent);
            let received = bytes(line.passed.received, new.passed.received);
            println!("| {name} | {over} | {sent} | {received} |");
        }
    }
    println!();
    println!("| | over | server's CPU | ratio | client's CPU | ratio | round trips |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
    for (figures, new) in all.iter().map(|figures| (figures, figures.line(Way::New))) {
        for line in &figures.0 {
            let (name, over) = (line.way.name(), line.version.name());
            let server = micros(line.spent.server, new.spent.server);
            let client = micros(line.spent.client, new.spent.client);
            println!("| {name} | {over} | {server} | {client} | {:.2} |", line.passed.trips);
        }
    }
}

/// Two cells: the figure and its ratio.
fn micros(figure: f64, whole: f64) -> String {
    format!("{figure:.0} µs | {:.2}", figure / whole)
}

/// Two cells: the figure and its ratio.
fn bytes(figure: u64, whole: u64) -> String {
    format!("{figure} | {:.2}", figure as f64 / whole as f64)
}
