//! The gateway with real sockets on both of its sides.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod admin;
mod audit;
mod bypass;
mod decisions;
mod expectations;
mod expiry;
mod grpc;
mod hostile;
mod http1;
mod http3;
mod interim;
mod limits;
mod origins;
mod paths;
mod reload;
mod spoofing;
mod streaming;
mod support;
mod tunnels;
mod upstream_tables;
mod upstream_tls;
mod upstreams;
mod websocket;
