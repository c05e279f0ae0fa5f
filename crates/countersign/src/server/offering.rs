//! Offering secondary certificates on one connection (server draft, section 3.2).

use std::sync::Arc;

use countersign_proto::Misuse;
use countersign_proto::server::{OfferId, ServerMachine};
use exported_authenticator::AuthenticateError;

use super::ServerCertificate;
use super::hello::Hello;
use super::session::ServerSession;
use crate::names::covers;

/// A secondary certificate could not be offered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// The connection cannot carry it: no support on either side, or closed.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// No authenticator can be made, for example because the client verifies no such signatures.
    #[error("no authenticator can be made for the certificate: {0}")]
    Authenticate(#[from] AuthenticateError),
    /// The client takes no frame as long as the certificate needs.
    #[error("the certificate is longer than the client's largest frame")]
    TooLong,
}

/// What a connection knows of its handshake, and what it has offered since.
pub(super) struct Offering {
    hello: Option<Hello>,
    /// The host that the handshake's certificate was last found to be for: mostly there is but one.
    certified: Option<Box<str>>,
    begun: bool,
    offered: Vec<Offered>,
}

struct Offered {
    id: OfferId,
    certificate: Arc<ServerCertificate>,
    /// It was never sent.
    too_long: bool,
}

impl Offering {
    //= specs/server-certs.md#section-7.1
    //# A server MAY present its certificates again on a resumed session.
    pub(super) fn new(hello: Option<Hello>) -> Self {
        Self { hello, certified: None, begun: false, offered: Vec::new() }
    }

    /// Whether it is time to offer what is offered unasked.
    //= specs/server-certs.md#section-3.2
    //# A server MAY queue its certificates as soon as the client's SETTINGS frame has announced
    //# support.
    //= specs/server-certs.md#section-3.2
    //# A server whose client has announced support MAY send certificates directly after its own
    //# SETTINGS frame.
    pub(super) fn begin(&mut self, machine: Option<&ServerMachine>) -> bool {
        let can_offer = machine.is_some_and(ServerMachine::can_offer);
        can_offer && !std::mem::replace(&mut self.begun, true)
    }

    /// The client's frames turned out to be too short for the certificate of this offer.
    pub(super) fn too_long(&mut self, id: OfferId) {
        for offered in self.offered.iter_mut().filter(|offered| offered.id == id) {
            offered.too_long = true;
        }
    }

    /// Whether the client has been offered `certificate`, in the handshake or since.
    fn has(&self, certificate: &ServerCertificate) -> Result<bool, OfferError> {
        let leaf = certificate.leaf();
        let handshake = self.hello.as_ref().and_then(Hello::leaf);
        match self.offered.iter().find(|offered| offered.certificate.leaf() == leaf) {
            Some(offered) if offered.too_long => Err(OfferError::TooLong),
            found => Ok(found.is_some() || leaf == handshake),
        }
    }
}

impl ServerSession {
    /// Offers what the connection was not offered yet and what it is to be offered unasked.
    //= specs/server-certs.md#decisions
    //# (ours) The server MUST offer every certificate but that of the handshake, up to the number
    //# that it is set to, once both sides have announced support.
    pub(super) fn offer_unasked(self: &Arc<Self>) {
        let Some(certificates) = self.config().server_certificates.clone() else {
            return;
        };
        let session = Arc::clone(self);
        // Signing is no work for the connection's task.
        tokio::spawn(async move {
            session.forget_replaced();
            for certificate in certificates.unasked() {
                if let Err(error) = session.offer(&certificate) {
                    let names = certificate.names();
                    tracing::debug!(?names, %error, "a secondary certificate is not offered");
                }
            }
        });
    }

    /// Offers `certificate`, unless the client has it already.
    pub(super) fn offer(&self, certificate: &Arc<ServerCertificate>) -> Result<(), OfferError> {
        let (offer, offered) = {
            let mut guard = self.lock();
            let state = &mut *guard;
            if state.closed.is_some() || state.closing.is_some() {
                return Err(Misuse::Closed.into());
            }
            if state.offering.has(certificate)? {
                return Ok(());
            }
            let machine = state.machine.as_mut().ok_or(Misuse::NotNegotiated)?;
            let hello = state.offering.hello.as_ref().ok_or(Misuse::NotNegotiated)?;
            let (offer, offered) = (machine.begin_offer()?, Arc::clone(&hello.offered));
            state.offering.offered.push(Offered {
                id: offer.id(),
                certificate: Arc::clone(certificate),
                too_long: false,
            });
            (offer, offered)
        };
        //= specs/server-certs.md#section-3
        //# A SERVER_CERTIFICATE MUST convey the chain of certificates together with the proof that
        //# the key of its end-entity certificate is held.
        let authenticated = offer.authenticate(&offered, certificate.credential());
        let mut state = self.lock();
        match authenticated {
            Ok(authenticator) => {
                let machine = state.machine.as_mut().ok_or(Misuse::NotNegotiated)?;
                machine.offer(offer.id(), authenticator)?;
                drop(state);
                self.wake();
                Ok(())
            }
            Err(error) => {
                state.offering.offered.retain(|one| one.id != offer.id());
                Err(error.into())
            }
        }
    }

    /// What was replaced is not served any more.
    fn forget_replaced(&self) {
        let Some(certificates) = &self.config().server_certificates else {
            return;
        };
        let current = certificates.current();
        let is_current = |one: &Offered| {
            current.iter().any(|certificate| certificate.leaf() == one.certificate.leaf())
        };
        self.lock().offering.offered.retain(is_current);
    }

    /// Whether the handshake's certificate, or one that was offered and is still current, is for `host`.
    /// `None` if it is not known what the handshake was answered with.
    pub(super) fn is_certified_for(&self, host: &str) -> Option<bool> {
        let mut state = self.lock();
        let offering = &mut state.offering;
        let handshake = offering.hello.as_ref()?.leaf()?;
        if offering.certified.as_deref() == Some(host) {
            return Some(true);
        }
        if covers(handshake, host) {
            offering.certified = Some(host.into());
            return Some(true);
        }
        let mut shown = offering.offered.iter().filter(|one| !one.too_long);
        Some(shown.any(|one| one.certificate.covers(host)))
    }
}
