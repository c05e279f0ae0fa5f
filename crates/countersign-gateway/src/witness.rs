//! Who sees what a connection's client proves: it is counted, and said in the audit log.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use countersign::server::{Denied, Event, Identity, Loss, Observer};
use countersign_proto::Rejection;
use rustls::pki_types::CertificateDer;

use crate::audit::{self, Audit, Line};
use crate::caller::{Caller, hex, sha256};
use crate::held::Queue;
use crate::metrics::{Protocol, Traffic};
use crate::refusals::{Meters, Reason, Refusals};

/// One connection, as it is told about.
#[derive(Debug)]
pub(crate) struct Witness {
    /// Which one, of all that this process has had.
    number: u64,
    client: SocketAddr,
    protocol: Protocol,
    requests: AtomicU64,
    queue: Queue,
    refusals: Arc<Refusals>,
    traffic: Arc<Traffic>,
    audit: Arc<Audit>,
}

impl Witness {
    pub(crate) fn new(client: SocketAddr, protocol: Protocol, meters: &Meters) -> Arc<Self> {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            number: CONNECTIONS.fetch_add(1, Ordering::Relaxed),
            client,
            protocol,
            requests: AtomicU64::new(0),
            queue: Queue::new(&meters.held),
            refusals: Arc::clone(&meters.refusals),
            traffic: Arc::clone(&meters.traffic),
            audit: Arc::clone(&meters.audit),
        })
    }

    /// Where the client is.
    pub(crate) fn client(&self) -> SocketAddr {
        self.client
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The requests that wait for the client.
    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(crate) fn refusals(&self) -> &Arc<Refusals> {
        &self.refusals
    }

    /// Whether lines are wanted.
    pub(crate) fn is_audited(&self) -> bool {
        self.audit.is_on()
    }

    /// The number of the next request.
    pub(crate) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Writes `line`, about this connection.
    pub(crate) fn write(&self, line: Line<'_>) {
        let id = format!("{}-{}", *RUN, self.number);
        let connection =
            audit::Connection { id: &id, client: self.client, protocol: self.protocol };
        self.audit.write(&Line { connection: Some(connection), ..line });
    }

    fn tell(
        &self,
        event: &'static str,
        outcome: &'static str,
        credential: Option<&str>,
        reason: Option<&'static str>,
        chain: &[CertificateDer<'_>],
    ) {
        let label = credential.unwrap_or_default().into();
        self.traffic.credential(&label, outcome, reason.unwrap_or_default());
        if !self.is_audited() {
            return;
        }
        let caller = Caller::read(credential.unwrap_or_default(), chain).ok();
        let facts = match (&caller, chain.first()) {
            (Some(caller), _) => audit::Credential::of(caller, credential, outcome),
            // It cannot be read, and may still be found by its hash.
            (None, Some(leaf)) => {
                audit::Credential::unreadable(hex(&sha256(leaf)), credential, outcome)
            }
            (None, None) => audit::Credential::named(credential, outcome),
        };
        self.write(Line { event, reason, credentials: Some(&[facts]), ..Line::default() });
    }

    fn tell_identity(
        &self,
        event: &'static str,
        outcome: &'static str,
        identity: &Identity,
        reason: Option<&'static str>,
    ) {
        self.tell(event, outcome, Some(identity.credential()), reason, identity.chain());
    }
}

/// Tells the processes apart whose logs come together.
static RUN: LazyLock<String> = LazyLock::new(|| {
    let mut run = [0; 4];
    // Without random numbers no connection would have come about.
    let _ = aws_lc_rs::rand::fill(&mut run);
    hex(&run)
});

impl Observer for Witness {
    fn event(&self, event: &Event) {
        match event {
            Event::Proven(identity) => {
                self.tell_identity("identity-proven", "proven", identity, None);
            }
            Event::Rejected { credential, chain, reason } => {
                let reason = denied(*reason);
                let credential = credential.as_deref();
                self.tell("identity-rejected", "rejected", credential, Some(reason), chain);
            }
            Event::Declined { credential } => {
                self.tell("identity-declined", "declined", Some(credential), None, &[]);
            }
            Event::Unanswered { credential } => {
                self.tell("identity-unanswered", "unanswered", Some(credential), None, &[]);
            }
            Event::Lost(identity, reason) => {
                self.tell_identity("identity-lost", "lost", identity, Some(loss(*reason)));
            }
            // There are more in a later version of the library.
            Event::Delayed => self.refusals.count(Reason::AuthenticatorRate),
            _ => tracing::warn!(?event, "something happened to an identity that is not known here"),
        }
    }
}

fn denied(reason: Denied) -> &'static str {
    match reason {
        Denied::Rejected(rejection) => rejected(rejection),
        Denied::UnknownCredential => "not-configured",
        Denied::Missing => "missing",
        Denied::Declined => "declined",
        Denied::Timeout => "timeout",
        Denied::Closed => "connection-closed",
    }
}

fn loss(reason: Loss) -> &'static str {
    match reason {
        Loss::Rejected(rejection) => rejected(rejection),
        Loss::NotConfigured => "not-configured",
        Loss::Replaced => "replaced",
        Loss::Closed => "connection-closed",
        _ => "other",
    }
}

/// In a word.
pub(crate) fn rejected(rejection: Rejection) -> &'static str {
    match rejection {
        Rejection::Untrusted => "untrusted",
        Rejection::Expired => "expired",
        Rejection::Revoked => "revoked",
        Rejection::RevocationUnknown => "revocation-unknown",
        Rejection::RevocationStale => "revocation-stale",
        Rejection::WrongPurpose => "wrong-purpose",
        Rejection::WrongName => "wrong-name",
        _ => "other",
    }
}
