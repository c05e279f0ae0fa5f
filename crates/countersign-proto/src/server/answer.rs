//! A client's answer, and what it proves.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use exported_authenticator::{
    Authenticator, AuthenticatorRequest, ContextError, ExporterValues, InvalidAuthenticator,
    Malformed, Validated, stateless,
};
use rustls::crypto::WebPkiSupportedAlgorithms;

use crate::{ChallengeId, Role, Violation};

/// A client's answer, taken off the front of the outstanding requests but not verified.
pub struct Answer {
    /// The challenge that it answers.
    pub id: ChallengeId,
    /// Whether that was a generic challenge.
    pub generic: bool,
    /// The request that it answers.
    pub request: AuthenticatorRequest,
    pub(super) payload: Bytes,
    pub(super) values: Arc<ExporterValues>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl Answer {
    /// Verifies possession: one signature and a few hashes, about 60 µs for P-256. Needs nothing from
    /// the machine, so it may run elsewhere. A [`Violation`] must be handed to
    /// [`ServerMachine::fail`](super::ServerMachine::fail).
    pub fn verify(self) -> Result<Validated, Violation> {
        let authenticator =
            Authenticator::parse(&self.payload).map_err(|_| Violation::MalformedAuthenticator)?;
        stateless::validate(
            &self.values,
            Role::Client,
            &self.request,
            &authenticator,
            &self.algorithms,
        )
        .map_err(authenticator_violation)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("id", &self.id)
            .field("generic", &self.generic)
            .field("len", &self.payload.len())
            .finish_non_exhaustive()
    }
}

//= specs/client-certs.md#decisions-bad
//# (ours) An authenticator that fails to decode, is out of order or has a wrong context, extension,
//# scheme, signature or MAC MUST be a connection error, PROTOCOL_ERROR in HTTP/2 and
//# H3_MESSAGE_ERROR in HTTP/3.
fn authenticator_violation(error: InvalidAuthenticator) -> Violation {
    match error {
        InvalidAuthenticator::Malformed(Malformed::DuplicateExtension(_))
        | InvalidAuthenticator::ExtensionNotRequested(_) => Violation::AuthenticatorExtension,
        InvalidAuthenticator::ContextMismatch => Violation::WrongContext,
        InvalidAuthenticator::Context(
            ContextError::Repeated
            | ContextError::Replayed
            | ContextError::Unknown
            | ContextError::Exhausted,
        ) => Violation::Replayed,
        InvalidAuthenticator::SchemeNotTls13(_)
        | InvalidAuthenticator::SchemeNotOffered(_)
        | InvalidAuthenticator::SchemeKeyMismatch(_) => Violation::SignatureScheme,
        InvalidAuthenticator::BadSignature => Violation::BadSignature,
        InvalidAuthenticator::BadFinished => Violation::BadFinished,
        InvalidAuthenticator::Malformed(
            Malformed::Truncated(_)
            | Malformed::Trailing(_)
            | Malformed::Length(_)
            | Malformed::NoRequest(_)
            | Malformed::NoSignatureAlgorithms
            | Malformed::DuplicateOid
            | Malformed::MessageSequence,
        )
        | InvalidAuthenticator::EmptyCertificateList
        | InvalidAuthenticator::BadCertificate
        | InvalidAuthenticator::SpontaneousClient => Violation::MalformedAuthenticator,
    }
}
