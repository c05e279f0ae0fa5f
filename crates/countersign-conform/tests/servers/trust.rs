//! Whom the little server trusts.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::faults::Fault;
use crate::world::{World, provider};

/// A credential that a path needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    User,
    Device,
}

/// Seconds.
const DAY: i64 = 86_400;

/// The authorities of both kinds.
pub(crate) struct Trust {
    fault: Fault,
    user: Authority,
    device: Authority,
}

struct Authority {
    root: CertificateDer<'static>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Trust {
    pub(crate) fn new(world: &World, fault: Fault) -> Self {
        let authority = |root: CertificateDer<'static>, crls| {
            let mut roots = RootCertStore::empty();
            roots.add(root.clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .with_crls(crls)
                .allow_unknown_revocation_status()
                .build()
                .unwrap();
            Authority { root, verifier }
        };
        let crls = match fault {
            Fault::IgnoresRevocation => Vec::new(),
            _ => vec![world.crl.clone()],
        };
        Self {
            fault,
            user: authority(world.users.root_der(), crls),
            device: authority(world.pki.device_ca.clone(), Vec::new()),
        }
    }

    /// The distinguished name of a kind's authority.
    pub(crate) fn name(&self, kind: Kind) -> Vec<u8> {
        let (_, parsed) = X509Certificate::from_der(&self.authority(kind).root).unwrap();
        parsed.subject().as_raw().to_vec()
    }

    /// Whether a chain, leaf first, is good for a kind.
    pub(crate) fn accepts(&self, kind: Kind, chain: &[Vec<u8>]) -> bool {
        let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let Some((leaf, rest)) = chain.split_first() else {
            // Only a server that does not read what it gets comes here.
            return true;
        };
        let (_, parsed) = X509Certificate::from_der(leaf).unwrap();
        let usage = parsed.key_usage().unwrap();
        let signs = usage.is_none_or(|usage| usage.value.digital_signature());
        let verifies = self.authority(kind).verifier.verify_client_cert(leaf, rest, self.now());
        (verifies.is_ok() || self.takes(kind, leaf, rest))
            && (signs || self.fault == Fault::IgnoresKeyUsage)
    }

    fn authority(&self, kind: Kind) -> &Authority {
        match kind {
            Kind::User => &self.user,
            Kind::Device => &self.device,
        }
    }

    fn now(&self) -> UnixTime {
        let now = i64::try_from(UnixTime::now().as_secs()).unwrap();
        let now = match self.fault {
            Fault::LivesInThePast => now - 2 * DAY,
            Fault::LivesInTheFuture => now + 2 * DAY,
            _ => now,
        };
        UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap()))
    }

    /// What a fault takes for good.
    fn takes(&self, kind: Kind, leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> bool {
        let Authority { root, verifier } = self.authority(kind);
        let (_, parsed) = X509Certificate::from_der(leaf).unwrap();
        let signed_by = |above: &CertificateDer<'_>| {
            let (_, above) = X509Certificate::from_der(above).unwrap();
            parsed.verify_signature(Some(above.public_key())).is_ok()
        };
        let current = parsed.validity().is_valid();
        match self.fault {
            Fault::TrustsAnybody => true,
            Fault::TakesAnyKind => {
                self.device.verifier.verify_client_cert(leaf, rest, self.now()).is_ok()
            }
            Fault::TakesLeavesForAuthorities => rest.split_first().is_some_and(|(above, rest)| {
                signed_by(above) && verifier.verify_client_cert(above, rest, self.now()).is_ok()
            }),
            Fault::IgnoresPurpose => current && signed_by(root),
            Fault::KnowsAuthoritiesByName => {
                current && rest.is_empty() && parsed.issuer().as_raw() == self.name(kind)
            }
            _ => false,
        }
    }
}
