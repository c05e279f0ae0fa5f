//! A peer that tests other implementations of secondary certificate authentication.
//!
//! It plays a client against a server ([`against_server`]) and a server against a client ([`against_client`]), over HTTP/2
//! and HTTP/3. What it says is put together by its own
//! frame layer ([`raw`]) and from RFC 9261's formulas ([`authenticator`]): it shares no code of the protocol with
//! the implementation that it is shipped with, lest a bug hide by being on both sides. TLS and QUIC come from
//! rustls and quinn, primitives from aws-lc-rs.
//!
//! A [`Case`](case::Case) is a row of data with an async function. To add one, add its row to the module that its
//! section belongs to.

pub mod against_client;
pub mod against_server;
pub mod authenticator;
pub mod bytes;
pub mod case;
pub mod code_points;
mod document;
pub mod identity;
pub mod raw;
pub mod report;
pub mod tls;
pub mod vectors;

pub use self::case::{Done, Level, Stop, Verdict, Version};
pub use self::code_points::CodePoints;
pub use self::document::document;
