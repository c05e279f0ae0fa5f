//! What an application holds of a connection.

use std::fmt;
use std::sync::Arc;

use countersign_proto::Rejection;
use countersign_proto::link::Closed;

use super::session::{Outcome, ServerSession, Step};
use super::{AuthConfig, Identity, OfferError, ServerCertificate};

/// One connection's identities, and the way to ask for more. Cheap to clone.
///
/// It is in the extensions of every request that comes over the connection. It is there for
/// connections without the extension too; their clients cannot be asked.
#[derive(Clone)]
pub struct AuthHandle {
    session: Arc<ServerSession>,
    server_name: Option<Arc<str>>,
}

/// Why a credential that was required is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Denied {
    /// The client cannot be asked.
    #[error("the client does not support being asked for certificates")]
    Missing,
    /// The client was asked and declined.
    #[error("the client declined to present a certificate")]
    Declined,
    /// The client proved a certificate that is not accepted.
    #[error(transparent)]
    Rejected(Rejection),
    /// The client did not answer in time.
    #[error("the client did not answer in time")]
    Timeout,
    /// The connection ended.
    #[error("the connection ended")]
    Closed,
    /// There is no credential of that name.
    #[error("no credential of that name is configured")]
    UnknownCredential,
}

impl Denied {
    /// The `type` of the problem document (RFC 9457) that tells a client of it.
    pub fn problem_type(self) -> &'static str {
        match self {
            Self::Missing | Self::UnknownCredential => "urn:countersign:credential-missing",
            Self::Declined => "urn:countersign:credential-declined",
            Self::Rejected(Rejection::Expired) => "urn:countersign:credential-expired",
            Self::Rejected(Rejection::Revoked) => "urn:countersign:credential-revoked",
            Self::Rejected(_) => "urn:countersign:credential-untrusted",
            Self::Timeout | Self::Closed => "urn:countersign:credential-timeout",
        }
    }
}

impl AuthHandle {
    pub(crate) fn new(session: Arc<ServerSession>, server_name: Option<&str>) -> Self {
        Self { session, server_name: server_name.map(Arc::from) }
    }

    /// The number of requests that the client takes at a time, or `None` if it cannot be asked (or its
    /// SETTINGS have not arrived yet).
    pub fn peer_limit(&self) -> Option<u64> {
        self.session.peer().client_cert_auth.filter(|limit| *limit > 0)
    }

    /// Everything that the client has proven on this connection and that was accepted.
    pub fn identities(&self) -> Vec<Identity> {
        self.session.identities()
    }

    /// The identity for `credential`, if the client has proven one.
    pub fn identity(&self, credential: &str) -> Option<Identity> {
        self.identities().into_iter().find(|identity| identity.credential() == credential)
    }

    /// The identity for `credential`; the client is asked if it has not proven one.
    ///
    /// Returns at once if the identity is there or the client cannot be asked. Waits no longer than
    /// the configured time. Several who require the same credential share one question. Dropping the
    /// future withdraws nothing: the client's answer still counts for whoever comes next.
    pub async fn require(&self, credential: &str) -> Outcome {
        if let Some(identity) = self.session.held(credential) {
            return Ok(identity);
        }
        //= specs/client-certs.md#decisions-identities
        //# (ours) Whoever needs an identity MUST wait for outstanding answers with a deadline.
        let deadline = self.config().answer_timeout;
        // Boxed, since most requests need none of it.
        let resolving = Box::pin(self.resolve(credential));
        let answered = tokio::time::timeout(deadline, resolving).await;
        answered.unwrap_or_else(|_| {
            self.session.overdue(credential);
            Err(Denied::Timeout)
        })
    }

    /// Looks at every identity of this connection again, as [`AuthConfig::reevaluate`] does for all: what has
    /// expired is gone, and is asked for anew. Returns how many were taken away.
    pub fn reevaluate(&self) -> usize {
        self.session.reevaluate_now()
    }

    /// Completes once an identity has come or gone, or something else has changed that somebody may wait for.
    /// What happens from the call on counts, not only from when it is polled first.
    pub fn changed(&self) -> impl Future<Output = ()> + '_ {
        let mut changed = Box::pin(self.session.changed().notified());
        changed.as_mut().enable();
        changed
    }

    async fn resolve(&self, credential: &str) -> Outcome {
        loop {
            // Enlisted before the state is looked at, so that no change goes by unseen.
            let changed = self.session.changed().notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.session.step(credential) {
                Step::Done(outcome) => return outcome,
                Step::Changed => changed.await,
                Step::Await(mut answer) => {
                    let outcome = match answer.wait_for(Option::is_some).await {
                        Ok(outcome) => outcome.clone(),
                        Err(_) => None,
                    };
                    return match outcome.unwrap_or(Err(Denied::Closed)) {
                        Ok(identity) => Ok(identity),
                        Err(denied) => self.after_denial(credential, denied).await,
                    };
                }
            }
        }
    }

    /// Over HTTP/3 a request may overtake the certificate that was presented for it.
    async fn after_denial(&self, credential: &str, denied: Denied) -> Outcome {
        loop {
            let changed = self.session.changed().notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(outcome) = self.session.after_denial(credential, denied) {
                return outcome;
            }
            changed.await;
        }
    }

    /// Offers a secondary certificate of the server, unless the client has been offered it already, ahead
    /// of whatever the connection sends next. Signs with the certificate's key on the spot.
    ///
    /// What [`ServerCertificates`](super::ServerCertificates) offers unasked need not be offered. Offer only what is served on
    /// this connection (server draft, section 3.2).
    //= specs/server-certs.md#section-1
    //# A server MAY prove further certificates on a connection besides the one of its TLS
    //# handshake.
    //= specs/server-certs.md#section-3.2
    //# A server MAY send certificates at any moment after both endpoints have announced support.
    //= specs/server-certs.md#section-3.2
    //# A server MAY send certificates later on, for example when CONNECT shows which origin a
    //# client is interested in.
    //= specs/server-certs.md#decisions
    //# (ours) The server MUST be able to offer a certificate on demand, as upon CONNECT for a name
    //# that it serves.
    pub fn offer(&self, certificate: &Arc<ServerCertificate>) -> Result<(), OfferError> {
        self.session.offer(certificate)
    }

    /// Whether the client has been shown a certificate for `host` on this connection, in the handshake or
    /// since. `None` if it is not known what the handshake was answered with, because no secondary
    /// certificates are configured.
    pub fn is_certified_for(&self, host: &str) -> Option<bool> {
        self.session.is_certified_for(host)
    }

    /// Why the connection can no longer be used, once it cannot.
    pub fn closed_reason(&self) -> Option<Closed> {
        self.session.closed_reason()
    }

    /// The server name that the client indicated in the TLS handshake.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    fn config(&self) -> &AuthConfig {
        self.session.config()
    }
}

impl fmt::Debug for AuthHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthHandle")
            .field("peer_limit", &self.peer_limit())
            .field("identities", &self.identities())
            .finish_non_exhaustive()
    }
}
