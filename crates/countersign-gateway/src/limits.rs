//! How much of everything the gateway takes: `[limits]`.

use std::num::NonZeroU32;
use std::time::Duration;

/// The limits, each safe for a public listener by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Connections at a time; further ones wait in the kernel's queue.
    pub(crate) connections: usize,
    /// Connections at a time from one IPv4 address or one /64 of IPv6; further ones are refused.
    pub(crate) connections_per_address: usize,
    /// New connections per second, with as many at once; further ones wait in the kernel's queue.
    pub(crate) handshakes_per_second: u32,
    /// Requests at a time on one connection.
    pub(crate) streams: u32,
    /// The longest header section of a request, in bytes.
    pub(crate) header_bytes: u32,
    /// The longest body of a request, in bytes.
    pub(crate) body_bytes: u64,
    /// Requests at a time that wait until a client has answered: on one connection, and in all.
    pub(crate) held_requests_per_connection: usize,
    pub(crate) held_requests: usize,
    /// Challenges at a time that a client has not answered.
    pub(crate) challenges_per_connection: u32,
    /// Authenticators that are verified per second, with as many at once; further ones wait.
    pub(crate) authenticators_per_second: NonZeroU32,
    /// Chains of certificates that are remembered as verified.
    pub(crate) verified_chains: u32,
    /// The time for a TLS handshake.
    pub(crate) handshake: Duration,
    /// The time for a request's header section in HTTP/1.1, also the time to wait for the next
    /// request.
    pub(crate) headers: Duration,
    /// How long a body may stand still on the client's side.
    pub(crate) body: Duration,
    /// How long a connection may be without a request.
    pub(crate) idle: Duration,
    /// How long a connection that was told to end may take, unless it has requests in flight.
    pub(crate) closing: Duration,
    /// How long requests in flight may take once the gateway was told to end.
    pub(crate) drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 1_000,
            handshakes_per_second: 2_000,
            streams: 128,
            header_bytes: 64 * 1024,
            body_bytes: 1 << 30,
            held_requests_per_connection: 32,
            held_requests: 10_000,
            challenges_per_connection: 16,
            authenticators_per_second: NonZeroU32::new(2_000).unwrap_or(NonZeroU32::MIN),
            verified_chains: 16_384,
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(30),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(120),
            closing: Duration::from_secs(5),
            drain: Duration::from_secs(30),
        }
    }
}
