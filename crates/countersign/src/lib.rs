//! Client-certificate identities on live HTTP connections.
//!
//! A server asks for client certificates after the TLS handshake, at any time and several of them,
//! over the connection that is there (draft-rosomakho-httpbis-secondary-client-certs-00). This crate
//! puts that under unmodified hyper, axum and tower:
//!
//! * [`server`]: an [`server::Acceptor`] around tokio-rustls, an [`server::AuthHandle`] for every connection, a
//!   tower layer that requires a credential, and, with the feature `axum`, a listener for
//!   `axum::serve` and extractors.
//! * [`client`]: a connector for hyper-util's pooled client, and the [`client::CredentialResolver`] that
//!   decides which certificate to show to whom.
//!
//! An identity belongs to the connection on which it was proven, to all its streams alike, and to
//! nothing else: no other connection and no resumed session has it.

pub mod client;
mod names;
pub mod server;
mod stream;

#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "h3")]
pub mod h3;

pub use countersign_proto::link::Closed;
pub use countersign_proto::{
    CodePointError, CodePoints, ErrorCode, Misuse, PeerSettings, Rejection, Violation,
};
pub use exported_authenticator::{
    AuthenticatorRequest, Chain, ChainError, Credential, MessageType, OidFilter, Unsuitable,
};

/// A boxed future, as async traits that are used as objects return it.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The protocol id of HTTP/2 in ALPN.
pub(crate) const ALPN_H2: &[u8] = b"h2";
