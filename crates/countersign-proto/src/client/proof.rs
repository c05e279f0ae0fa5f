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
    //= specs/server-certs.md#section-1.3
    //= type=implication
    //# The mechanism MUST work alike with every version of TLS that carries HTTP/2 or HTTP/3 and
    //# has exported authenticators.
    pub(super) values: Arc<ExporterValues>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl ServerProof {
    /// Verifies possession: one signature and a few hashes, about 60 µs for P-256. Needs nothing from
    /// the machine, so it may run elsewhere. A [`Violation`] must be handed to
    /// [`ClientMachine::fail`](super::ClientMachine::fail). Whether the chain is acceptable is for the caller to find out.
    //= specs/server-certs.md#section-5
    //# Validation MUST yield either an error or the chain with its extensions.
    pub fn verify(&self) -> Result<Proven, Violation> {
        //= specs/server-certs.md#section-5
        //# SERVER_CERTIFICATE MUST carry an exported authenticator that has a chain, its extensions
        //# and the proof of the end-entity key.
        //= specs/server-certs.md#section-5.3
        //# A client that negotiated the mechanism MUST check an authenticator with the "validate"
        //# interface.
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
            //= specs/server-certs.md#section-5.3
            //# An authenticator that fails this validation MUST be treated as a connection error
            //# SERVER_CERTIFICATE_INVALID.
            .map_err(|_| Violation::ServerCertificateInvalid)
    }
}

impl fmt::Debug for ServerProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerProof").field("len", &self.payload.len()).finish_non_exhaustive()
    }
}
