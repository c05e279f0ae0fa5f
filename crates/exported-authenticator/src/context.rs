//! Which certificate_request_contexts a connection has used (RFC 9261, sections 4 and 5.2).

use std::collections::HashMap;
use std::fmt;

use crate::AuthenticatorHash;

/// How many contexts a connection tracks unless told otherwise.
///
/// A context is remembered as 32 bytes, so the memory is bounded by about 200 KB, which only a
/// connection that really exchanges so many requests ever uses.
pub const DEFAULT_CONTEXT_LIMIT: usize = 4096;

/// The contexts of one connection, in both directions together.
//= specs/exported-authenticators.md#section-4
//# A context used in a request of one kind MUST NOT be used in a request of the other kind on the
//# same connection.
//= specs/exported-authenticators.md#section-4
//# A context MAY equal one that occurred in the TLS handshake or in a message after it.
pub struct Contexts {
    hash: AuthenticatorHash,
    used: HashMap<Fingerprint, Use>,
    limit: usize,
}

type Fingerprint = [u8; 32];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// In a request that has no authenticator yet.
    Requested,
    /// In an authenticator that was made, or validated.
    Answered,
}

/// A context that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ContextError {
    /// It was in a request, or in a spontaneous authenticator, before.
    #[error("the certificate_request_context was used before on this connection")]
    Repeated,
    /// An authenticator with it was made or validated before.
    #[error("the certificate_request_context was answered before on this connection")]
    Replayed,
    /// No request of this connection has it.
    #[error("the certificate_request_context belongs to no request of this connection")]
    Unknown,
    /// The connection has used as many contexts as are tracked.
    #[error("the connection has used as many contexts as are tracked")]
    Exhausted,
}

impl Contexts {
    /// Tracks at most `limit` contexts.
    pub fn new(hash: AuthenticatorHash, limit: usize) -> Self {
        Self { hash, used: HashMap::new(), limit }
    }

    /// Takes `context` for a request, sent or received.
    pub fn request(&mut self, context: &[u8]) -> Result<(), ContextError> {
        //= specs/exported-authenticators.md#section-4
        //# A certificate_request_context MUST be different for every request of a connection.
        self.add(context, Use::Requested)
    }

    /// Takes `context` for an authenticator that answers no request.
    pub fn spontaneous(&mut self, context: &[u8]) -> Result<(), ContextError> {
        self.add(context, Use::Answered)
    }

    /// Marks the request with `context` as answered; only once per request.
    pub fn answer(&mut self, context: &[u8]) -> Result<(), ContextError> {
        self.check_open(context)?;
        self.used.insert(self.fingerprint(context), Use::Answered);
        Ok(())
    }

    /// Whether there is a request with `context` that has not been answered.
    pub fn check_open(&self, context: &[u8]) -> Result<(), ContextError> {
        match self.used.get(&self.fingerprint(context)) {
            Some(Use::Requested) => Ok(()),
            //= specs/exported-authenticators.md#section-5.2
            //# An endpoint that has made or successfully validated an authenticator with some
            //# context MUST NOT make another with the same context.
            //= specs/exported-authenticators.md#section-7.4
            //# The interface SHOULD fail if another authenticator with the same context was
            //# validated before.
            Some(Use::Answered) => Err(ContextError::Replayed),
            None => Err(ContextError::Unknown),
        }
    }

    /// Whether `context` may be taken for something new.
    pub fn check_new(&self, context: &[u8]) -> Result<(), ContextError> {
        if self.used.contains_key(&self.fingerprint(context)) {
            Err(ContextError::Repeated)
        } else if self.used.len() >= self.limit {
            Err(ContextError::Exhausted)
        } else {
            Ok(())
        }
    }

    /// Whether the request with `context` has been answered.
    pub fn is_answered(&self, context: &[u8]) -> bool {
        self.used.get(&self.fingerprint(context)) == Some(&Use::Answered)
    }

    fn add(&mut self, context: &[u8], how: Use) -> Result<(), ContextError> {
        self.check_new(context)?;
        self.used.insert(self.fingerprint(context), how);
        Ok(())
    }

    fn fingerprint(&self, context: &[u8]) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        let digest = self.hash.hash(context);
        for (to, from) in fingerprint.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        fingerprint
    }
}

impl fmt::Debug for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contexts")
            .field("used", &self.used.len())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
