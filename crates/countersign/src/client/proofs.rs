//! A server's further certificates, from their frames to what the connection may be used for.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use countersign_proto::client::ServerProof;
use countersign_proto::{Misuse, Violation};
use exported_authenticator::{ExtensionType, Offered, Proven};
use rustls::pki_types::{CertificateDer, UnixTime};

use super::authority::{Authority, AuthorityRules, NotAuthoritative, Verdict};
use super::session::{ClientSession, Event};
use super::{ClientHandle, Origin};
use crate::names::{names_of, sample};

/// How many certificates wait to be verified at most: more than a polite server has.
const MAX_WAITING: usize = 64;

/// What a connection knows of the other end of it.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// The certificates of the handshake, end entity first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// Its address, where that is known.
    pub(crate) address: Option<SocketAddr>,
}

/// What rustls' ClientHello offers with `rules`' verifier.
pub(super) fn offered(rules: &AuthorityRules) -> Arc<Offered> {
    Arc::new(Offered {
        signature_algorithms: rules.verifier.supported_verify_schemes(),
        extensions: vec![ExtensionType::STATUS_REQUEST],
    })
}

/// One connection's part of a session's state.
pub(super) struct Proofs {
    pub(super) authority: Authority,
    waiting: VecDeque<ServerProof>,
    verifying: bool,
    /// A violation that verification found, to be reported when the transport asks.
    pub(super) closing: Option<Violation>,
}

impl Proofs {
    pub(super) fn new(origin: &Origin, peer: &Peer) -> Self {
        Self {
            authority: Authority::new(origin.clone(), peer.address, &peer.chain),
            waiting: VecDeque::new(),
            verifying: false,
            closing: None,
        }
    }

    /// Takes in one more; says whether someone has to begin to verify.
    fn push(&mut self, proof: ServerProof) -> Result<bool, Violation> {
        //= specs/server-certs.md#decisions
        //# (ours) More SERVER_CERTIFICATE frames waiting for verification than the client keeps
        //# MUST be a connection error, ENHANCE_YOUR_CALM in HTTP/2 and H3_EXCESSIVE_LOAD in HTTP/3.
        if self.waiting.len() >= MAX_WAITING {
            return Err(Violation::TooManyServerCertificates);
        }
        self.waiting.push_back(proof);
        Ok(!std::mem::replace(&mut self.verifying, true))
    }

    fn next(&mut self) -> Option<ServerProof> {
        let next = self.waiting.pop_front();
        self.verifying = next.is_some();
        next
    }
}

impl ClientSession {
    /// A SERVER_CERTIFICATE has arrived. One at a time is verified, away from the connection's task.
    pub(super) fn take_proof(self: &Arc<Self>, proof: ServerProof) -> Result<(), Violation> {
        if self.lock().proofs.push(proof)? {
            let session = Arc::clone(self);
            tokio::spawn(async move {
                while let Some(proof) = session.next_proof() {
                    match proof.verify() {
                        Ok(proven) => session.proven(proven),
                        Err(violation) => {
                            session.violate(violation);
                            return;
                        }
                    }
                    tokio::task::yield_now().await;
                }
                session.changed().notify_waiters();
            });
        }
        Ok(())
    }

    fn next_proof(&self) -> Option<ServerProof> {
        self.lock().proofs.next()
    }

    fn proven(&self, proven: Proven) {
        let (chain, now) = (proven.chain().to_vec(), UnixTime::now());
        let names = chain.first().map(names_of).unwrap_or_default();
        let verdict = match (&self.config().authority, names.iter().find_map(|name| sample(name))) {
            (Some(rules), Some(name)) => rules
                .accept(proven, &name, now)
                .map_err(|error| format!("the certificate is not accepted: {error}")),
            (_, None) => Err("the certificate has no name of a server".to_owned()),
            (None, _) => Err("no further certificates are accepted".to_owned()),
        };
        let rejected = match verdict {
            Ok(shown) => {
                self.lock().proofs.authority.add(shown);
                None
            }
            Err(reason) => Some(reason),
        };
        self.tell(&Event::ServerCertificate { chain, names, rejected });
    }

    fn judge(&self, origin: &Origin, now: UnixTime) -> (Verdict, Option<SocketAddr>) {
        let state = self.lock();
        let authority = &state.proofs.authority;
        if state.closed.is_some() || state.proofs.closing.is_some() {
            return (Verdict::Refused(NotAuthoritative::Unavailable), None);
        }
        (authority.judge(origin, now), authority.remote())
    }
}

impl ClientHandle {
    /// Whether requests for `origin` may be sent on this connection: it is the connection's own, or
    /// a certificate that was shown on it is valid for the name and leads to the same port, the server does not
    /// deny it (421, ORIGIN), and DNS agrees as far as it is asked.
    ///
    /// A positive answer holds for a minute; ask again before each request.
    pub async fn is_authoritative_for(&self, origin: &Origin) -> Result<(), NotAuthoritative> {
        let session = self.session();
        let now = UnixTime::now();
        let (verdict, remote) = session.judge(origin, now);
        match verdict {
            Verdict::Admitted => Ok(()),
            Verdict::Refused(reason) => Err(reason),
            Verdict::Verify { chains, claimed } => {
                let rules =
                    session.config().authority.as_ref().ok_or(NotAuthoritative::Unavailable)?;
                rules.decide(origin, &chains, claimed, remote, now).await?;
                // A 421 or an ORIGIN frame may have come in the meantime.
                if let (Verdict::Refused(reason), _) = session.judge(origin, now) {
                    return Err(reason);
                }
                session.lock().proofs.authority.admit(origin.clone(), now);
                Ok(())
            }
        }
    }

    /// Waits until [`ClientHandle::is_authoritative_for`] says yes, for as long as only a certificate is missing
    /// that the server may still show. Put a deadline around it.
    pub async fn becomes_authoritative_for(&self, origin: &Origin) -> Result<(), NotAuthoritative> {
        loop {
            let changed = self.session().changed().notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let awaited = self.session().can_be_shown_certificates();
            match self.is_authoritative_for(origin).await {
                Err(NotAuthoritative::NotCertified) if awaited => {}
                verdict => return verdict,
            }
            changed.await;
        }
    }

    /// The server has answered 421 (Misdirected Request) for `origin`: this connection is not used for it
    /// again.
    pub fn misdirected(&self, origin: &Origin) {
        self.session().lock().proofs.authority.misdirect(origin.clone());
    }

    /// Whether both sides have announced support for further certificates of the server.
    pub fn accepts_server_certificates(&self) -> bool {
        self.session().accepts_server_certificates()
    }

    /// Waits until every certificate that the server has sent so far is verified.
    pub async fn server_certificates_settled(&self) {
        let settled = || {
            let settled = !self.session().lock().proofs.verifying;
            Ok::<_, Misuse>(settled.then_some(()))
        };
        // It is settled, too, when the connection is over.
        let _over = self.until(settled).await;
    }
}
