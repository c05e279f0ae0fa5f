//! What fuzzers call, and the inputs that they begin with.
//!
//! Each [`Target`] takes any bytes and panics if something is wrong. The programs under `fuzz/` let libFuzzer look for
//! such bytes; the tests here replay what the targets begin with, cut and changed everywhere.

mod backend;
mod decode;
mod link;
mod machines;
mod messages;
mod seeds;
mod tap;
mod tool;

use std::fmt;

/// Something that takes bytes from a peer or from a file.
pub struct Target {
    /// What it is called by.
    pub name: &'static str,
    /// Takes them.
    pub run: fn(&[u8]),
    /// What to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All of them.
pub const TARGETS: [Target; 12] = [
    Target { name: "request", run: messages::request, seeds: seeds::requests },
    Target { name: "authenticator", run: messages::authenticator, seeds: seeds::authenticators },
    Target { name: "validation", run: messages::validation, seeds: seeds::authenticators },
    Target { name: "request_list", run: messages::request_list, seeds: seeds::request_lists },
    Target {
        name: "revocation_list",
        run: messages::revocation_list,
        seeds: seeds::revocation_lists,
    },
    Target { name: "server", run: machines::server, seeds: seeds::server_events },
    Target { name: "client", run: machines::client, seeds: seeds::client_events },
    Target { name: "tap", run: tap::run, seeds: tap::seeds },
    Target { name: "backend", run: backend::run, seeds: backend::seeds },
    Target { name: "decoder", run: decode::bytes, seeds: decode::seeds },
    Target { name: "tool", run: tool::run, seeds: seeds::for_the_tool },
    Target { name: "capture", run: decode::capture, seeds: decode::captures },
];

/// The one of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    static ALL: [Target; 12] = TARGETS;
    ALL.iter().find(|target| target.name == name)
}
