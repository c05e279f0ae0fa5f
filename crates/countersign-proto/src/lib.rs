//! Secondary certificate authentication of HTTP clients, without I/O.
//!
//! This crate holds the rules of draft-rosomakho-httpbis-secondary-client-certs-00: the settings and
//! frames, and the two state machines ([`client::ClientMachine`], [`server::ServerMachine`]) that HTTP/2 and
//! HTTP/3 share. It opens no socket, reads no clock and draws no random numbers of its own; all
//! three are handed in. A transport drives it through [`link::Link`].
//!
//! Three kinds of bad are three types: a peer that breaks the protocol is a [`Violation`] and costs
//! it the connection; a certificate that is not acceptable is a [`Rejection`] and costs it nothing
//! but the access; a caller that asks for what cannot be is told so with a [`Misuse`].

pub mod client;
mod code_points;
mod error;
pub mod frame;
pub mod link;
mod pace;
pub mod server;
mod setting;
mod support;
#[cfg(test)]
mod tests;
pub mod varint;
mod violation;

pub use code_points::{CodePointError, CodePoints, FrameKind};
pub use error::{Misuse, Rejection};
pub use pace::Pace;
pub use setting::Setting;
pub use support::PeerSettings;
pub use violation::{ErrorCode, Violation};

/// Which side of the connection an endpoint is.
pub use exported_authenticator::Role;

/// The number of a challenge on its connection, from 0 upwards in the order of making or arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChallengeId(pub u64);
