//! The certificates that a server offers on live connections, beside that of the handshake.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use exported_authenticator::Credential;
use rustls::pki_types::CertificateDer;

use super::live::LiveSessions;
use super::session::ServerSession;
use crate::names::{covers, names_of};

/// A certificate with its key, and the names it is for.
pub struct ServerCertificate {
    credential: Credential,
    names: Vec<String>,
}

impl ServerCertificate {
    /// What a client can be shown for the names in the subjectAltName of the first certificate.
    pub fn new(credential: Credential) -> Self {
        let names = credential.chain().certificates().first().map(names_of).unwrap_or_default();
        Self { credential, names }
    }

    /// The certificate chain and its key.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The dNSNames and iPAddresses of the certificate.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it is for `host`: a DNS name, or an IP address without brackets.
    pub fn covers(&self, host: &str) -> bool {
        self.leaf().is_some_and(|leaf| covers(leaf, host))
    }

    pub(super) fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.credential.chain().certificates().first()
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").field("names", &self.names).finish_non_exhaustive()
    }
}

/// A server's certificates, shared by its connections, and replaced while they live.
///
/// A client that supports the server draft is offered all of them but the one of its handshake, once
/// both sides have announced support. When they are replaced, live connections are offered what is
/// new.
pub struct ServerCertificates {
    unasked: usize,
    current: Mutex<Arc<[Arc<ServerCertificate>]>>,
    live: LiveSessions,
}

/// How many certificates are offered unasked, unless it is set otherwise.
const DEFAULT_UNASKED: usize = 16;

impl ServerCertificates {
    /// Begins with `certificates`, of which the first 16 are offered unasked.
    pub fn new(certificates: impl IntoIterator<Item = ServerCertificate>) -> Self {
        Self::with_unasked(certificates, DEFAULT_UNASKED)
    }

    /// Offers the first `unasked` without being asked, the others with
    /// [`AuthHandle::offer`](super::AuthHandle::offer) only.
    pub fn with_unasked(
        certificates: impl IntoIterator<Item = ServerCertificate>,
        unasked: usize,
    ) -> Self {
        let current = certificates.into_iter().map(Arc::new).collect();
        Self { unasked, current: Mutex::new(current), live: LiveSessions::default() }
    }

    /// What is offered now.
    pub fn current(&self) -> Arc<[Arc<ServerCertificate>]> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The first certificate that is for `host`.
    pub fn find(&self, host: &str) -> Option<Arc<ServerCertificate>> {
        self.current().iter().find(|one| one.covers(host)).cloned()
    }

    /// Replaces all of them. Live connections are offered those that they have not been offered yet.
    //= specs/server-certs.md#decisions
    //# (ours) The server MUST offer on live connections the certificates that have replaced others.
    pub fn replace(&self, certificates: impl IntoIterator<Item = ServerCertificate>) {
        let current = certificates.into_iter().map(Arc::new).collect();
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = current;
        for session in self.live.all() {
            session.offer_unasked();
        }
    }

    pub(super) fn unasked(&self) -> impl Iterator<Item = Arc<ServerCertificate>> {
        let current = self.current();
        (0..self.unasked.min(current.len())).filter_map(move |index| current.get(index).cloned())
    }

    pub(super) fn enlist(&self, session: &Arc<ServerSession>) {
        self.live.enlist(session);
    }
}

impl fmt::Debug for ServerCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificates")
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}
