//! What is known about the client of a connection, as decisions need it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use countersign::server::{AuthHandle, Denied, Identity, ServerCertificates};
use countersign_proto::Rejection;

use crate::caller::Caller;
use crate::certificates::offer_for;
use crate::headers::Whence;
use crate::policy::{self, Step};
use crate::problem::Denial;
use crate::tunnel::Tunnels;
use crate::witness::Witness;

/// One connection's client.
pub(crate) struct Session {
    auth: AuthHandle,
    certificates: Arc<ServerCertificates>,
    witness: Arc<Witness>,
    /// The facts about identities that were looked at before: each certificate is read once.
    callers: Mutex<Vec<(Identity, Arc<Caller>)>>,
    tunnels: Tunnels,
    whence: Whence,
}

impl Session {
    /// A client of which nothing was asked yet.
    pub(crate) fn new(
        auth: AuthHandle,
        certificates: Arc<ServerCertificates>,
        witness: Arc<Witness>,
    ) -> Self {
        let whence = Whence::new(witness.client().ip());
        let (callers, tunnels) = Default::default();
        Self { auth, certificates, witness, callers, tunnels, whence }
    }

    /// Who tells about it.
    pub(crate) fn witness(&self) -> &Witness {
        &self.witness
    }

    /// Its address.
    pub(crate) fn client(&self) -> IpAddr {
        self.witness.client().ip()
    }

    /// What backends are told of its address.
    pub(crate) fn whence(&self) -> &Whence {
        &self.whence
    }

    /// Completes once an identity has come or gone, from the call on.
    pub(crate) fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.auth.changed()
    }

    /// The tunnels in its connection.
    pub(crate) fn tunnels(&self) -> &Tunnels {
        &self.tunnels
    }

    fn caller(&self, identity: &Identity) -> Result<Arc<Caller>, Rejection> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, caller)) = callers.iter().find(|(known, _)| known == identity) {
            return Ok(Arc::clone(caller));
        }
        let caller = Arc::new(Caller::share(identity.credential(), identity.shared_chain())?);
        callers.retain(|(known, _)| known.credential() != identity.credential());
        callers.push((identity.clone(), Arc::clone(&caller)));
        Ok(caller)
    }

    /// Shows the client a certificate for `host`, if there is one and the client takes it.
    //= specs/server-certs.md#section-1
    //# A proxy MAY prove certificates of origins that it can serve itself and so spare the client a
    //# tunnel to them.
    fn offer(&self, host: &str) -> bool {
        let Some(certificate) = offer_for(&self.certificates, host) else {
            return false;
        };
        let offered = self.auth.offer(&certificate);
        if let Err(error) = &offered {
            tracing::debug!(client = %self.client(), host, %error, "a certificate is not offered");
        }
        offered.is_ok()
    }
}

impl policy::Connection for Session {
    async fn require(&self, credential: &str) -> Result<Arc<Caller>, Denial> {
        match self.auth.require(credential).await {
            Ok(identity) => self.caller(&identity).map_err(Denial::Rejected),
            Err(Denied::Declined) => Err(Denial::Declined),
            Err(Denied::Rejected(rejection)) => Err(Denial::Rejected(rejection)),
            Err(Denied::Timeout) => Err(Denial::Timeout),
            Err(Denied::Closed) => Err(Denial::Gone),
            Err(Denied::Missing | Denied::UnknownCredential) => Err(Denial::Missing),
        }
    }

    fn held(&self) -> Vec<Arc<Caller>> {
        let identities = self.auth.identities();
        identities.iter().filter_map(|identity| self.caller(identity).ok()).collect()
    }

    fn is_certified_for(&self, host: &str) -> bool {
        self.auth.is_certified_for(host) == Some(true) || self.offer(host)
    }
    /// What has expired is gone, so that the next request asks for something better.
    fn follow(&self, step: Step<'_>) {
        if let Step::Credential { outcome: Err(Denial::Rejected(Rejection::Expired)), .. } = step {
            self.auth.reevaluate();
        }
    }
}
