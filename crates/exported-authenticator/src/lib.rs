//! TLS Exported Authenticators (RFC 9261) on rustls' keys, hashes and verifiers.
//!
//! After a TLS handshake has completed, either side can prove that it holds the key of a further
//! certificate. The proof is a byte string that travels over the application's own protocol and is
//! bound to the one connection it was made for. This crate makes and checks those byte strings; it
//! opens no socket, reads no clock and draws no random numbers.
//!
//! The four APIs of RFC 9261, section 7, are methods of [`Connection`]:
//!
//! | RFC 9261 | here |
//! | --- | --- |
//! | request (7.1) | [`Connection::request`], [`Connection::receive_request`] |
//! | get context (7.2) | [`AuthenticatorRequest::context`], [`Authenticator::context`] |
//! | authenticate (7.3) | [`Connection::authenticate`], [`Connection::decline`], [`Connection::authenticate_spontaneously`] |
//! | validate (7.4) | [`Connection::validate`], [`Connection::validate_spontaneous`] |
//!
//! A validated authenticator is [`Proven`]: the peer holds the leaf's key on this very connection.
//! Whether the chain is *acceptable* is another question, asked with [`Proven::verify_client`] or
//! [`Proven::verify_server`] through rustls' own verifier traits; the answer is a [`Verified`]. Neither type can
//! be made outside of this crate.
//!
//! The module [`mod@stateless`] holds the same operations without the memory of used contexts, for
//! callers that keep it themselves.

mod authenticator;
mod certificate;
mod chain;
mod codec;
mod connection;
mod context;
mod error;
mod exporter;
mod extension;
mod hash;
mod oid_filter;
mod request;
mod scheme;
pub mod stateless;
mod validated;

pub use authenticator::Authenticator;
pub use chain::{Chain, ChainError, Credential, Unsuitable};
pub use connection::Connection;
pub use context::{ContextError, Contexts, DEFAULT_CONTEXT_LIMIT};
pub use error::{AuthenticateError, InvalidAuthenticator, Malformed, RequestError, Unavailable};
pub use exporter::{ExporterValues, ExtendedMasterSecret};
pub use extension::{Extension, ExtensionType};
pub use hash::AuthenticatorHash;
pub use oid_filter::OidFilter;
pub use request::{AuthenticatorRequest, MessageType, RequestTemplate};
pub use scheme::{TLS13_SCHEMES, is_tls13, signing_schemes, tls13_schemes_of};
pub use stateless::{Offered, UnsignedAuthenticator, Validated};
pub use validated::{ChainRejected, Proven, Verified};

/// Which side of a connection an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The side that opened the connection.
    Client,
    /// The side that was connected to.
    Server,
}

impl Role {
    /// The other side.
    pub fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}
