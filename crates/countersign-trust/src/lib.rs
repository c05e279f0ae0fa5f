//! Verifies certificate chains of clients for rustls, where the same chains come again and again and
//! revocation lists are long.
//!
//! - [`ChainVerifier`] is a [`ClientCertVerifier`](rustls::server::danger::ClientCertVerifier) on webpki: a path to a
//!   trust anchor (RFC 5280, section 6) on which nothing is revoked.
//! - [`Revocation`] is what it asks about each certificate. [`RevocationList`] answers from a CRL (RFC 5280,
//!   section 5) whose signature is verified once; others may ask a responder or follow a feed.
//! - [`VerifiedChains`] remembers what was verified, for as long as it holds and no longer. Possession of the key
//!   is never remembered: that is proven anew on each connection.
//!
//! ```
//! use std::sync::Arc;
//! use countersign_trust::{ChainVerifier, VerifiedChains};
//! # use countersign_testkit::tls::{roots, test_pki};
//! # let provider = rustls::crypto::aws_lc_rs::default_provider();
//! # let roots = roots([&test_pki().user_ca]);
//! let known = Arc::new(VerifiedChains::new(10_000));
//! let verifier = ChainVerifier::new(roots, provider.signature_verification_algorithms)?.remember_in(&known);
//! # let _: Arc<dyn rustls::server::danger::ClientCertVerifier> = Arc::new(verifier);
//! # Ok::<(), countersign_trust::TrustError>(())
//! ```

mod chains;
mod der;
mod failure;
mod list;
mod revocation;
mod verifier;

pub use self::chains::{ChainStats, VerifiedChains};
pub use self::list::{RevocationList, UnusableList};
pub use self::revocation::{Issuer, Revocation, Status, Subject};
pub use self::verifier::{ChainVerifier, TrustError, UnknownStatus, Verified};
