//! A real client and a real server over TLS on loopback: unmodified axum, hyper and hyper-util, with the
//! extension below them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod client;
mod early_data;
mod handshake;
mod informational;
mod lossy;
mod observed;
mod pool;
mod quic;
mod replaced;
mod server;
mod server_certificates;
mod support;
mod websocket;
