//! The server's certificates: which one answers a handshake, and which one is for a host.
//!
//! An exact name goes before a wildcard. A handshake without a name, or with one that no certificate
//! has, gets the first certificate.

use std::collections::HashMap;
use std::sync::Arc;

use countersign::server::{ServerCertificate, ServerCertificates};
use exported_authenticator::Credential;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// One `[[tls]]`.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// As handshakes use it.
    pub(crate) key: Arc<CertifiedKey>,
    /// As live connections are offered it.
    pub(crate) credential: Credential,
    /// The dNSNames, in lower case, and iPAddresses. Never empty.
    pub(crate) names: Vec<String>,
}

/// All of them, as live connections are offered them.
//= specs/server-certs.md#section-3.2
//# A server SHOULD NOT send a certificate whose origins it is not ready to serve on the connection.
pub(crate) fn offers(certificates: &[Certificate]) -> impl Iterator<Item = ServerCertificate> {
    certificates.iter().map(|one| ServerCertificate::new(one.credential.clone()))
}

/// The certificate that a client is offered for `host`.
pub(crate) fn offer_for(
    certificates: &ServerCertificates,
    host: &str,
) -> Option<Arc<ServerCertificate>> {
    let current = certificates.current();
    let has_name = |one: &&Arc<ServerCertificate>| {
        one.names().iter().any(|name| name.eq_ignore_ascii_case(host))
    };
    current.iter().find(has_name).cloned().or_else(|| certificates.find(host))
}

/// Picks the certificate for a handshake by the name that the client indicates (SNI).
#[derive(Debug)]
pub(crate) struct ByServerName {
    first: Option<Arc<CertifiedKey>>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

impl ByServerName {
    /// Picks from `certificates`.
    pub(crate) fn new(certificates: &[Certificate]) -> Self {
        let names = |one: &Certificate| {
            let key = Arc::clone(&one.key);
            one.names.clone().into_iter().map(move |name| (name, Arc::clone(&key)))
        };
        Self {
            first: certificates.first().map(|one| Arc::clone(&one.key)),
            by_name: certificates.iter().flat_map(names).collect(),
        }
    }

    /// The certificate of a handshake with this name, if the client indicates one.
    pub(crate) fn choose(&self, server_name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let named = server_name.and_then(|name| self.find(name));
        named.or(self.first.as_ref()).cloned()
    }

    fn find(&self, server_name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = server_name.to_ascii_lowercase();
        let by_wildcard = || {
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        };
        self.by_name.get(&name).or_else(by_wildcard)
    }
}

impl ResolvesServerCert for ByServerName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name())
    }
}
