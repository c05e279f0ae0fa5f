//! What a further identity costs a server: on the connection that is there, or with a second one.
//!
//! On the live connection the client proves a certificate when a request needs it, or ahead of the request
//! with a challenge that the server has left with it. The second connection is a full handshake with the
//! same certificate and the same request, served by hyper, or h3 on h3-quinn, without anything of ours. All
//! keys are P-256, all chains have one intermediate, no session is resumed.
//!
//! The server has a thread of its own, whose CPU time is read before and after; system calls count. Round
//! trips are counted on a network in memory with a virtual clock. Fails if an identity costs more CPU than
//! a connection, or if one that is proven ahead does not save a round trip.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot run has nothing to report"
)]

mod cpu;
mod ends;
mod net;
mod trips;

use std::process::ExitCode;

/// How often each way is measured, in turn with the others.
const ROUNDS: usize = 50;

/// How a request comes to its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// On a live connection, without any, for comparison.
    Get,
    /// On a live connection: the server asks when the request has come.
    OnDemand,
    /// On a live connection: the client answers a challenge that it has kept, then sends the request.
    Ahead,
    /// On a second connection, in its handshake.
    Second,
}

impl Way {
    const ALL: [Self; 4] = [Self::Get, Self::OnDemand, Self::Ahead, Self::Second];

    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET alone",
            Self::OnDemand => "identity, asked for by the request",
            Self::Ahead => "identity, proven ahead of the request",
            Self::Second => "second connection with mutual TLS",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Get | Self::Second => "/",
            Self::OnDemand | Self::Ahead => "/device",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    H2,
    H3,
}

fn main() -> ExitCode {
    // `cargo test` runs benches too, but is not asked for figures.
    let measured = std::env::args().any(|arg| arg == "--bench");
    let rounds = if measured { ROUNDS } else { 1 };
    let mut within = true;
    println!("| | over | server's CPU | ratio | round trips |");
    println!("| --- | --- | ---: | ---: | ---: |");
    for (version, over) in [(Version::H2, "HTTP/2"), (Version::H3, "HTTP/3")] {
        let micros = cpu::of_server(version, rounds);
        let trips = Way::ALL.map(|way| trips::count(version, way));
        let (second, second_trips) = (micros[3], trips[3]);
        for ((way, micros), trips) in Way::ALL.into_iter().zip(micros).zip(trips) {
            let ratio = micros / second;
            println!("| {} | {over} | {micros:.0} µs | {ratio:.2} | {trips:.2} |", way.name());
            within &= way == Way::Second || !measured || ratio < 1.0;
            within &= way != Way::Ahead || trips.round() <= second_trips.round() - 1.0;
        }
    }
    if within {
        ExitCode::SUCCESS
    } else {
        eprintln!("an identity costs more than a connection");
        ExitCode::FAILURE
    }
}
