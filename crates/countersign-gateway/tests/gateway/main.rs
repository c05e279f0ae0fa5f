//! The gateway with real sockets on both of its sides.

mod decisions;
mod hostile;
mod http1;
mod spoofing;
mod streaming;
mod support;
mod upstreams;
