//! A server's proof that it holds a further certificate's key.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use exported_authenticator::{Authenticator, ExporterValues, Offered, Proven, stateless};
use rustls::crypto::WebPkiSupportedAlgorithms;

use crate::Violation;

/// What SERVER_CERTIFICATE carried: its context is new on the connection, nothing else is verified.
pub struct ServerProof {
    pub(super) payload: Bytes,
    pub(super) offered: Arc<Offered>,
    pub(super) values: Arc<ExporterValues>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl ServerProof {
    /// Verifies possession: one signature and a few hashes, about 60 µs for P-256. Needs nothing from
    /// the machine, so it may run elsewhere. A [`Violation`] must be handed to
    /// [`ClientMachine::fail`](super::ClientMachine::fail). Whether the chain is acceptable is for the caller to find out.
    pub fn verify(&self) -> Result<Proven, Violation> {
        Authenticator::parse(&self.payload)
            .map_err(Into::into)
            .and_then(|authenticator| {
                stateless::validate_spontaneous(
                    &self.values,
                    &self.offered,
                    &authenticator,
                    &self.algorithms,
                )
            })
            .map_err(|_| Violation::ServerCertificateInvalid)
    }
}

impl fmt::Debug for ServerProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerProof").field("len", &self.payload.len()).finish_non_exhaustive()
    }
}
