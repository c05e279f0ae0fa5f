//! Whoever wants to know what clients prove, and when it is gone.

use std::sync::Arc;

use countersign_proto::Rejection;
use rustls::pki_types::CertificateDer;

use super::{Denied, Identity};

/// Is told what becomes of one connection's identities. Must not block.
///
/// It is told of a proof before anybody who waits for it goes on.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn event(&self, event: &Event);
}

/// Something that happened to a connection's identities.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The client has proven an identity and it was accepted.
    Proven(Identity),
    /// The client has proven a certificate, and it was not accepted.
    Rejected {
        /// What it was asked for as, or could have been from the handshake; `None` where it was presented
        /// unasked and is no credential at all.
        credential: Option<Arc<str>>,
        /// The certificates as the client sent them, end entity first.
        chain: Vec<CertificateDer<'static>>,
        /// Why not.
        reason: Denied,
    },
    /// The client was asked and declined. Not told of challenges that ask for nothing in particular.
    Declined {
        /// What it was asked for.
        credential: Arc<str>,
    },
    /// The client was asked, and somebody waited in vain. Told once for each question; an answer may still come.
    Unanswered {
        /// What it was asked for.
        credential: Arc<str>,
    },
    /// An authenticator has come and has to wait for its turn to be verified.
    Delayed,
    /// An identity is gone.
    Lost(Identity, Loss),
}

impl Event {
    pub(super) fn rejected(
        credential: Option<Arc<str>>,
        chain: &[CertificateDer<'static>],
        reason: Denied,
    ) -> Self {
        Self::Rejected { credential, chain: chain.to_vec(), reason }
    }
}

/// Why an identity is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// The credential no longer accepts it.
    Rejected(Rejection),
    /// There is no such credential any more.
    NotConfigured,
    /// Another certificate was proven for the same credential.
    Replaced,
    /// The connection ended.
    Closed,
}
