//! A real client and a real server over TLS on loopback: unmodified axum, hyper and hyper-util, with the
//! extension below them.

mod client;
mod handshake;
mod pool;
mod server;
mod support;
