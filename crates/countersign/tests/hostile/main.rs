//! What a hostile peer gets: its own connection closed with the right error, and nothing else.
//!
//! One end is always the real thing, a server or client of this crate with unmodified hyper and axum
//! above it. The other is a raw peer that sends what it is told to, over TLS 1.3 or QUIC on loopback.
//! Every test runs over HTTP/2 and HTTP/3 unless it is about the framing of HTTP/2. Whatever the peer
//! does, the tests look at the same: the error code and the text of GOAWAY, which must be readable
//! behind a megabyte that was sent for nothing, or of CONNECTION_CLOSE; what the handle says; that whoever waits hears
//! of it; and that the next peer, a polite one, is served.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod against_client;
mod against_server;
mod client;
mod forge;
mod hosts;
mod listen;
mod peer;
mod people;
mod server;
mod untapped;
mod wire;
