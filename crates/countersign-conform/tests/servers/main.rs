//! Cases against servers: this project's gateway, and servers that are broken on purpose.

#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a fault has its arm, all others behave")]

mod broken;
mod faults;
mod gateway;
mod identifiers;
mod lenient;
mod mutations;
mod trust;
mod world;
