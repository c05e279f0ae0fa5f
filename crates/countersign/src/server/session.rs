//! One connection's server: the machine, who waits for its answers, and what was proven.
//!
//! The transport calls it through [`Link`]; applications call it through [`super::AuthHandle`]. Both take one
//! short lock. Signatures and chains are checked in a pool, never on the connection's task.

mod judging;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use countersign_proto::link::{Closed, Link, Place, Transmit};
use countersign_proto::server::{ServerEvent, ServerMachine};
use countersign_proto::{
    ChallengeId, CodePoints, FrameKind, Misuse, PeerSettings, Rejection, Role, Setting, Violation,
};
use exported_authenticator::{Connection, ExporterValues};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::expiry::Ends;
use super::hello::Hello;
use super::kinds::Kind;
use super::offering::Offering;
use super::pool::{Lane, VerificationPool};
use super::{AuthConfig, Denied, Event, Identity, Loss, Observer};

/// What became of a question, for everybody who asked it.
pub(super) type Outcome = Result<Identity, Denied>;

pub(crate) struct ServerSession {
    config: Arc<AuthConfig>,
    observer: Option<Arc<dyn Observer>>,
    state: Mutex<State>,
    waker: AtomicWaker,
    /// Set when `poll_transmit` may have something; keeps the lock out of the fast path.
    pending: AtomicBool,
    /// Its place where proofs are verified.
    lane: Arc<Lane>,
    /// When the first of its identities ends.
    ends: Ends,
    /// Woken when anything changed that someone may wait for.
    changed: Notify,
}

pub(super) struct State {
    /// None where the connection cannot carry the extension.
    pub(super) machine: Option<ServerMachine>,
    pub(super) offering: Offering,
    asks: HashMap<ChallengeId, Ask>,
    /// Answers to generic challenges that are being verified.
    verifying: usize,
    asked_on_connect: bool,
    //= specs/client-certs.md#section-5.4
    //# A server MUST NOT assume that two streams of one connection can have different certificate
    //# identities.
    //= specs/client-certs.md#section-5.4
    //# An identity MUST NOT be carried over to another connection unless a policy expressly allows
    //# it.
    //= specs/client-certs.md#decisions-identities
    //# (ours) An identity MUST belong to the connection it was proven on, never to a stream or to a
    //# resumed session.
    identities: Vec<Identity>,
    /// Why the handshake's certificate is not a credential that it could have been.
    handshake_rejected: Vec<(Arc<str>, Rejection)>,
    pub(super) closing: Option<Violation>,
    pub(super) closed: Option<Closed>,
}

/// A question that the client has not answered.
struct Ask {
    credential: Arc<str>,
    outcome: watch::Sender<Option<Outcome>>,
    /// Somebody has given up waiting for it.
    overdue: bool,
}

/// What someone who requires a credential has to do next.
pub(super) enum Step {
    /// It is decided.
    Done(Outcome),
    /// Wait for the answer to this question.
    Await(watch::Receiver<Option<Outcome>>),
    /// Wait for a change, then ask again.
    Changed,
}

impl ServerSession {
    /// Without exported values the connection cannot carry the extension; without what its ClientHello
    /// offered, the server draft's part of it.
    pub(crate) fn new(
        config: Arc<AuthConfig>,
        values: Option<ExporterValues>,
        hello: Option<Hello>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Arc<Self> {
        let provider = &config.provider;
        let machine = values.map(|values| {
            let algorithms = provider.signature_verification_algorithms;
            let connection = Connection::new(Arc::new(values), Role::Server, algorithms);
            let mut policy = config.policy.clone();
            policy.server_certificates = config.server_certificates.is_some() && hello.is_some();
            ServerMachine::new(connection, config.points, policy, provider.secure_random)
        });
        let state = State {
            machine,
            offering: Offering::new(hello),
            asks: HashMap::new(),
            verifying: 0,
            asked_on_connect: false,
            identities: Vec::new(),
            handshake_rejected: Vec::new(),
            closing: None,
            closed: None,
        };
        let session = Arc::new(Self {
            config,
            observer,
            state: Mutex::new(state),
            waker: AtomicWaker::new(),
            pending: AtomicBool::new(true),
            lane: VerificationPool::lane(),
            ends: Ends::default(),
            changed: Notify::new(),
        });
        session.config.credentials.enlist(&session);
        if let Some(certificates) = &session.config.server_certificates {
            certificates.enlist(&session);
        }
        session
    }

    fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(observer) = &self.observer {
            observer.event(&event());
        }
    }

    fn tell_lost(&self, identities: Vec<Identity>, reason: Loss) {
        for identity in identities {
            self.tell(|| Event::Lost(identity, reason));
        }
    }

    /// Somebody has waited for `credential` in vain.
    pub(super) fn overdue(&self, credential: &str) {
        let mut state = self.lock();
        let asked = state.asks.values_mut().find(|ask| &*ask.credential == credential);
        if let Some(ask) = asked
            && !std::mem::replace(&mut ask.overdue, true)
        {
            let credential = Arc::clone(&ask.credential);
            drop(state);
            self.tell(|| Event::Unanswered { credential });
        }
    }

    pub(super) fn config(&self) -> &AuthConfig {
        &self.config
    }

    pub(super) fn changed(&self) -> &Notify {
        &self.changed
    }

    pub(super) fn peer(&self) -> PeerSettings {
        self.lock().machine.as_ref().map(ServerMachine::peer).unwrap_or_default()
    }

    pub(super) fn identities(&self) -> Vec<Identity> {
        self.lock().identities.clone()
    }

    pub(super) fn closed_reason(&self) -> Option<Closed> {
        self.lock().closed.clone()
    }

    /// The identity for `credential`, if it is there.
    pub(super) fn held(&self, credential: &str) -> Option<Identity> {
        self.config.credentials.current().get(credential)?;
        self.lock().held(credential).cloned()
    }

    /// One step towards `credential`.
    pub(super) fn step(&self, credential: &str) -> Step {
        let kinds = self.config.credentials.current();
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(wanted) = kinds.get(credential) else {
            return Step::Done(Err(Denied::UnknownCredential));
        };
        if let Some(identity) = state.held(credential) {
            return Step::Done(Ok(identity.clone()));
        }
        if state.closed.is_some() || state.closing.is_some() {
            return Step::Done(Err(Denied::Closed));
        }
        let rejected = state.handshake_rejected.iter().find(|(name, _)| &**name == credential);
        let unasked = rejected.map_or(Denied::Missing, |(_, reason)| Denied::Rejected(*reason));
        let Some(machine) = &mut state.machine else {
            return Step::Done(Err(unasked));
        };
        if !machine.peer().received {
            return Step::Changed;
        }
        if !machine.peer().supports_client_auth() {
            return Step::Done(Err(unasked));
        }
        if !machine.is_negotiated() || state.verifying > 0 {
            return Step::Changed;
        }
        if let Some(ask) = state.asks.values().find(|ask| &*ask.credential == credential) {
            return Step::Await(ask.outcome.subscribe());
        }
        match state.ask(wanted) {
            Ok(outcome) => {
                drop(guard);
                self.wake();
                Step::Await(outcome)
            }
            Err(misuse) => {
                tracing::debug!(credential, %misuse, "cannot ask for a credential");
                Step::Done(Err(Denied::Missing))
            }
        }
    }

    /// What a denial comes to. A certificate that was presented unasked may be on its way through
    /// verification, or have come while the question was open: `None` means to wait for that.
    pub(super) fn after_denial(&self, credential: &str, denied: Denied) -> Option<Outcome> {
        let state = self.lock();
        let held = state.held(credential);
        let over = state.closing.is_some() || state.closed.is_some();
        match held {
            Some(identity) => Some(Ok(identity.clone())),
            None if over || state.verifying == 0 => Some(Err(denied)),
            None => None,
        }
    }

    /// Asks for what is wanted from everybody, once both sides have announced support.
    fn ask_on_connect(&self, state: &mut State) {
        let negotiated = state.machine.as_ref().is_some_and(ServerMachine::is_negotiated);
        if !negotiated || std::mem::replace(&mut state.asked_on_connect, true) {
            return;
        }
        let kinds = self.config.credentials.current();
        for kind in kinds.iter().filter(|kind| kind.asks_on_connect()) {
            if state.held(kind.name()).is_none()
                && let Some(wanted) = kinds.get(kind.name())
                && let Err(misuse) = state.ask(wanted)
            {
                tracing::debug!(credential = %kind.name(), %misuse, "cannot ask on connect");
            }
        }
    }

    fn violate(&self, violation: Violation) {
        let mut state = self.lock();
        if let Some(machine) = &mut state.machine {
            machine.fail(violation);
        }
        state.closing.get_or_insert(violation);
        state.asks.clear();
        drop(state);
        self.wake();
        self.changed.notify_waiters();
    }

    pub(super) fn wake(&self) {
        self.pending.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done where a panic could strike, so the state is still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn held(&self, credential: &str) -> Option<&Identity> {
        self.identities.iter().find(|identity| identity.credential() == credential)
    }

    fn ask(&mut self, wanted: &Kind) -> Result<watch::Receiver<Option<Outcome>>, Misuse> {
        let machine = self.machine.as_mut().ok_or(Misuse::NotNegotiated)?;
        let id = machine.challenge(&wanted.template)?;
        let (outcome, receiver) = watch::channel(None);
        let credential = Arc::clone(wanted.kind.name());
        self.asks.insert(id, Ask { credential, outcome, overdue: false });
        Ok(receiver)
    }

    /// A later proof of the same credential replaces the earlier one.
    //= specs/client-certs.md#section-1.2
    //# A server MAY accept a certificate and tie it to the client's session or to certain later
    //# requests.
    //= specs/client-certs.md#section-4.2.1
    //# A server MAY tie an accepted certificate to the connection.
    //= specs/client-certs.md#section-4.2
    //# A client's CERTIFICATE MUST have the meaning that the server draft gives it, unchanged.
    //= specs/client-certs.md#section-5.4
    //# A certificate that was authenticated MUST be taken to hold for the whole HTTP connection
    //# with all its streams.
    ///
    /// Returns the earlier one, if it was of another certificate.
    fn grant(&mut self, identity: Identity) -> Vec<Identity> {
        if self.closing.is_some() || self.closed.is_some() {
            return Vec::new();
        }
        let mut earlier = self.take(|held| held.credential() == identity.credential());
        earlier.retain(|held| held.leaf() != identity.leaf());
        self.identities.push(identity);
        earlier
    }

    /// Takes some of the identities away.
    fn take(&mut self, which: impl Fn(&Identity) -> bool) -> Vec<Identity> {
        let (taken, left) = std::mem::take(&mut self.identities).into_iter().partition(which);
        self.identities = left;
        taken
    }
}

/// What the transport gets: the session, in an `Arc` of its own so that it can hand itself to tasks.
#[derive(Clone)]
pub(crate) struct ServerLink(pub(crate) Arc<ServerSession>);

impl ServerLink {
    /// Begins what begins once both sides have announced support.
    fn begin(&self, mut guard: MutexGuard<'_, State>) {
        let state = &mut *guard;
        self.0.ask_on_connect(state);
        let offers = state.offering.begin(state.machine.as_ref());
        drop(guard);
        if offers {
            self.0.offer_unasked();
        }
        self.0.wake();
    }
}

impl Link for ServerLink {
    fn role(&self) -> Role {
        Role::Server
    }

    fn code_points(&self) -> CodePoints {
        self.0.config.points
    }

    fn local_settings(&self) -> Vec<Setting> {
        self.0.lock().machine.as_ref().map(ServerMachine::local_settings).unwrap_or_default()
    }

    fn max_frame_len(&self) -> usize {
        self.0.config.max_frame_len
    }

    fn settings_sent(&self) {
        let mut state = self.0.lock();
        if let Some(machine) = &mut state.machine {
            machine.settings_sent();
        }
        self.begin(state);
        self.0.changed.notify_waiters();
    }

    fn settings_acked(&self) {}

    fn peer_settings(&self, settings: &[Setting]) -> Result<(), Violation> {
        let mut state = self.0.lock();
        let Some(machine) = &mut state.machine else {
            return Ok(());
        };
        machine.peer_settings(settings)?;
        while let Some(event) = machine.poll_event() {
            if let ServerEvent::PeerSettings(settings) = event {
                tracing::debug!(?settings, "the client's settings");
            }
        }
        self.begin(state);
        self.0.changed.notify_waiters();
        Ok(())
    }

    fn frame_header(&self, kind: FrameKind, place: Place, _len: u64) -> Result<(), Violation> {
        match &mut self.0.lock().machine {
            Some(machine) => machine.frame_header(kind, place),
            None => Err(Violation::NotNegotiated),
        }
    }

    fn frame(&self, _kind: FrameKind, payload: Bytes) -> Result<(), Violation> {
        let mut state = self.0.lock();
        let Some(machine) = &mut state.machine else {
            return Err(Violation::NotNegotiated);
        };
        let answer = machine.certificate(payload)?;
        if answer.generic {
            state.verifying += 1;
        }
        drop(state);
        let session = Arc::clone(&self.0);
        //= specs/client-certs.md#section-5.5
        //# An implementation SHOULD bound the computation that one connection can cause.
        let turn = session.config.turns.as_ref().and_then(|turns| turns.take(Instant::now()));
        if turn.is_some() {
            session.tell(|| Event::Delayed);
        }
        match turn {
            None => session.submit(answer),
            Some(turn) => {
                tokio::spawn(async move {
                    sleep_until(turn).await;
                    session.submit(answer);
                });
            }
        }
        // The answer made room for what waits behind the limit.
        self.0.wake();
        Ok(())
    }

    fn poll_transmit(&self, cx: &mut Context<'_>, max_payload: usize) -> Poll<Transmit> {
        self.0.waker.register(cx.waker());
        if !self.0.pending.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let mut guard = self.0.lock();
        let state = &mut *guard;
        if state.closed.is_some() {
            return Poll::Pending;
        }
        if let Some(violation) = state.closing {
            return Poll::Ready(Transmit::Close(violation));
        }
        let Some(machine) = &mut state.machine else {
            return Poll::Pending;
        };
        let frame = machine.poll_transmit(max_payload);
        while let Some(event) = machine.poll_event() {
            match event {
                ServerEvent::PeerSettings(_) => {}
                ServerEvent::ChallengeTooLong(id) => {
                    tracing::warn!("a challenge is longer than the client's largest frame");
                    if let Some(ask) = state.asks.remove(&id) {
                        ask.outcome.send_replace(Some(Err(Denied::Missing)));
                    }
                }
                ServerEvent::OfferTooLong(id) => {
                    state.offering.too_long(id);
                    tracing::warn!("a certificate is longer than the client's largest frame");
                }
            }
        }
        match frame {
            Some(frame) => {
                self.0.pending.store(true, Ordering::Release);
                Poll::Ready(Transmit::Frame(frame))
            }
            None => Poll::Pending,
        }
    }

    fn closed(&self, how: Closed) {
        let mut state = self.0.lock();
        if state.closed.is_none() {
            state.closed = Some(how);
            state.asks.clear();
            //= specs/client-certs.md#section-5.4
            //= type=implication
            //# An application MUST let an authenticated identity end with its connection.
            let identities = std::mem::take(&mut state.identities);
            drop(state);
            self.0.tell_lost(identities, Loss::Closed);
            self.0.changed.notify_waiters();
        }
    }
}

/// Where the transport has nothing of the extension, nobody says that it is closed.
impl Drop for ServerSession {
    fn drop(&mut self) {
        let identities = std::mem::take(&mut self.lock().identities);
        self.tell_lost(identities, Loss::Closed);
    }
}
