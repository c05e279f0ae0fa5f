//! Cases against clients: clients that are broken on purpose. This project's own client visits in the tests of the
//! command line.

#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a fault has its arm, all others behave")]

mod broken;
mod flaws;
mod lies;
mod mutations;
mod wire;
mod world;
