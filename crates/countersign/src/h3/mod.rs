//! HTTP/3: stock quinn and h3, with the same handles, identities and rules as HTTP/2.
//!
//! [`Acceptor`] and [`Connection`] serve any tower service, an axum `Router` with a wrapped body included;
//! [`Handshaker`] and [`Client`] send requests. Nothing is asked, exported or granted before the handshake
//! is complete, and early data is not taken.

mod body;
mod client;
mod informational;
mod server;

pub use body::{RequestBody, ResponseBody, TransferError};
pub use client::{Client, ConnectError, Handshaker};
pub use informational::Informational;
pub use server::{AcceptError, Acceptor, Connection};

/// The protocol id of HTTP/3 in ALPN.
pub const ALPN_H3: &[u8] = b"h3";

type BoxError = Box<dyn std::error::Error + Send + Sync>;
