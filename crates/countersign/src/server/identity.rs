//! An identity that a connection holds.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

/// Where a certificate was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// By an exported authenticator, after the handshake.
    Authenticator,
    /// In the TLS handshake of this connection.
    Handshake,
}

/// A certificate whose key the client has proven to hold on this connection, and which was accepted
/// as a credential. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity(Arc<Fields>);

#[derive(PartialEq, Eq)]
struct Fields {
    credential: Arc<str>,
    chain: Arc<[CertificateDer<'static>]>,
    source: Source,
}

impl Identity {
    pub(crate) fn new(
        credential: &Arc<str>,
        chain: Vec<CertificateDer<'static>>,
        source: Source,
    ) -> Self {
        Self(Arc::new(Fields { credential: Arc::clone(credential), chain: chain.into(), source }))
    }

    /// The name of the credential that it was accepted as.
    pub fn credential(&self) -> &str {
        &self.0.credential
    }

    /// The certificates as the client sent them, end entity first. Never empty.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.0.chain
    }

    /// The same, for whoever keeps them: no copy is made.
    pub fn shared_chain(&self) -> Arc<[CertificateDer<'static>]> {
        Arc::clone(&self.0.chain)
    }

    /// The end-entity certificate, in DER.
    pub fn leaf(&self) -> &[u8] {
        self.0.chain.first().map(|leaf| leaf.as_ref()).unwrap_or_default()
    }

    /// Where it was proven.
    pub fn source(&self) -> Source {
        self.0.source
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("credential", &self.0.credential)
            .field("certificates", &self.0.chain.len())
            .field("source", &self.0.source)
            .finish()
    }
}
