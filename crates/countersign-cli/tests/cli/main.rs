//! The binary `countersign`, run as people run it.

#![cfg(test)]

#[macro_use]
mod support;

mod coalescing;
mod commands;
mod conform;
mod decode;
mod explain;
mod fetch;
#[cfg(unix)]
mod life;
#[cfg(all(unix, feature = "otlp"))]
mod otlp;
mod pkcs11;
mod promises;
mod scenario;
mod vectors;
