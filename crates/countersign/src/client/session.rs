//! One connection's client: the machine, and the tasks that answer its challenges.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use countersign_proto::client::{ClientEvent, ClientMachine, ClientTransmit};
use countersign_proto::link::{Closed, Link, Place, Transmit};
use countersign_proto::{
    ChallengeId, CodePoints, FrameKind, Misuse, PeerSettings, Role, Setting, Violation,
};
use exported_authenticator::{AuthenticatorRequest, Connection, ExporterValues};
use rustls::pki_types::CertificateDer;
use tokio::sync::Notify;

use super::proofs::{Peer, Proofs, offered};
use super::{AuthConfig, ClientCredential, Origin, Resolution};

/// Is told what happens on a client's connections. Called in order for each connection; must not
/// block.
pub trait Observer: Send + Sync + 'static {
    /// Something happened on the connection to `origin`.
    fn event(&self, origin: &Origin, event: &Event);
}

/// Something that happened on a client's connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The server's SETTINGS have arrived, or changed.
    PeerSettings(PeerSettings),
    /// The server asks for a certificate.
    Challenge(AuthenticatorRequest),
    /// A challenge was answered: with a credential, or with an empty authenticator for a reason. It is told when the answer
    /// is made, which may be before one that has to be sent first.
    Answer {
        /// The certificate_request_context of the challenge.
        context: Vec<u8>,
        /// What was presented; `None` where it was declined.
        credential: Option<Arc<ClientCredential>>,
        /// Why it was declined.
        reason: Option<String>,
    },
    /// The server has proven that it holds the key of a further certificate.
    ServerCertificate {
        /// The certificates, end entity first.
        chain: Vec<CertificateDer<'static>>,
        /// The dNSNames and iPAddresses of the first.
        names: Vec<String>,
        /// Why the chain is not accepted; `None` if it is.
        rejected: Option<String>,
    },
    /// The connection ended.
    Closed(Closed),
}

pub(crate) struct ClientSession {
    config: Arc<AuthConfig>,
    origin: Origin,
    values: Option<Arc<ExporterValues>>,
    state: Mutex<State>,
    waker: AtomicWaker,
    pending: AtomicBool,
    changed: Notify,
}

pub(super) struct State {
    machine: Option<ClientMachine>,
    pub(super) proofs: Proofs,
    pub(super) closed: Option<Closed>,
}

impl ClientSession {
    /// Without exported values the connection cannot carry the extension.
    pub(crate) fn new(
        config: Arc<AuthConfig>,
        origin: Origin,
        values: Option<ExporterValues>,
        peer: &Peer,
    ) -> Arc<Self> {
        let values = values.map(Arc::new);
        let machine = values.clone().map(|values| {
            let algorithms = config.provider.signature_verification_algorithms;
            let connection = Connection::new(values, Role::Client, algorithms);
            let machine = ClientMachine::new(connection, config.points, config.limit);
            match &config.authority {
                Some(rules) => machine.with_server_certificates(offered(rules)),
                None => machine,
            }
        });
        let proofs = Proofs::new(&origin, peer);
        Arc::new(Self {
            config,
            origin,
            values,
            state: Mutex::new(State { machine, proofs, closed: None }),
            waker: AtomicWaker::new(),
            pending: AtomicBool::new(true),
            changed: Notify::new(),
        })
    }

    pub(super) fn config(&self) -> &AuthConfig {
        &self.config
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(super) fn changed(&self) -> &Notify {
        &self.changed
    }

    /// What the server has announced; `None` on a connection that cannot carry the extension.
    pub(super) fn peer(&self) -> Option<PeerSettings> {
        self.lock().machine.as_ref().map(ClientMachine::peer)
    }

    pub(super) fn closed_reason(&self) -> Option<Closed> {
        self.lock().closed.clone()
    }

    pub(super) fn accepts_server_certificates(&self) -> bool {
        let state = self.lock();
        state.machine.as_ref().is_some_and(ClientMachine::accepts_server_certificates)
    }

    pub(super) fn can_be_shown_certificates(&self) -> bool {
        self.lock().machine.as_ref().is_some_and(ClientMachine::can_be_shown)
    }

    /// The server broke a rule, as was found out away from the transport.
    pub(super) fn violate(&self, violation: Violation) {
        let mut state = self.lock();
        if let Some(machine) = &mut state.machine {
            machine.fail(violation);
        }
        state.proofs.closing.get_or_insert(violation);
        drop(state);
        self.wake();
        self.changed.notify_waiters();
    }

    pub(super) fn set_limit(&self, limit: u32) -> Result<(), Misuse> {
        self.with_machine(|machine| machine.set_limit(limit))
    }

    /// Takes a kept challenge that `credential` suits; `None` if the server may still leave one.
    pub(super) fn take_kept(
        &self,
        credential: &ClientCredential,
    ) -> Result<Option<(ChallengeId, AuthenticatorRequest)>, Misuse> {
        let mut state = self.lock();
        let machine = state.machine.as_mut().ok_or(Misuse::NotNegotiated)?;
        match machine.take_kept(|request| credential.suits(request).is_ok()) {
            Ok(id) => {
                let request = machine.request(id).cloned().ok_or(Misuse::NoSuchChallenge)?;
                Ok(Some((id, request)))
            }
            Err(Misuse::PoolEmpty) if machine.can_be_asked() => Ok(None),
            Err(Misuse::PoolEmpty) => Err(Misuse::NotNegotiated),
            Err(misuse) => Err(misuse),
        }
    }

    /// Whether the answer to a challenge has been handed to the transport; `None` if not yet.
    pub(super) fn is_sent(&self, id: ChallengeId) -> Result<Option<()>, Misuse> {
        let state = self.lock();
        let machine = state.machine.as_ref().ok_or(Misuse::NotNegotiated)?;
        Ok(machine.is_sent(id).then_some(()))
    }

    /// Signs and hands the answer over; declines where no signature can be had, and says why.
    pub(super) async fn prove(
        &self,
        id: ChallengeId,
        request: &AuthenticatorRequest,
        credential: Arc<ClientCredential>,
    ) -> Result<(), String> {
        let Some(values) = &self.values else {
            return Ok(());
        };
        match credential.authenticate(values, request).await {
            Ok(authenticator) => {
                if self.with_machine(|machine| machine.answer(id, authenticator)).is_ok() {
                    self.answered(request, Some(credential), None);
                }
                Ok(())
            }
            Err(reason) => {
                self.decline(id, request, reason.clone());
                Err(reason)
            }
        }
    }

    fn decline(&self, id: ChallengeId, request: &AuthenticatorRequest, reason: String) {
        if self.with_machine(|machine| machine.decline(id)).is_ok() {
            self.answered(request, None, Some(reason));
        }
    }

    fn answered(
        &self,
        request: &AuthenticatorRequest,
        credential: Option<Arc<ClientCredential>>,
        reason: Option<String>,
    ) {
        self.tell(&Event::Answer { context: request.context().to_vec(), credential, reason });
    }

    /// Answers one challenge as the resolver says.
    async fn resolve(&self, id: ChallengeId, request: AuthenticatorRequest) {
        match self.config.resolver.resolve(&self.origin, &request).await {
            Resolution::Present(credential) => {
                if let Err(reason) = self.prove(id, &request, credential).await {
                    tracing::warn!(origin = %self.origin, %reason, "a challenge was declined");
                }
            }
            Resolution::Decline(reason) => self.decline(id, &request, reason.into_owned()),
            Resolution::Later => {
                let _kept = self.with_machine(|machine| machine.keep(id));
                self.changed.notify_waiters();
            }
        }
    }

    /// Ends when the connection does.
    async fn ended(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.lock().closed.is_some() {
                return;
            }
            changed.await;
        }
    }

    fn with_machine<T>(
        &self,
        act: impl FnOnce(&mut ClientMachine) -> Result<T, Misuse>,
    ) -> Result<T, Misuse> {
        let done = {
            let mut state = self.lock();
            act(state.machine.as_mut().ok_or(Misuse::NotNegotiated)?)
        };
        self.wake();
        done
    }

    pub(super) fn tell(&self, event: &Event) {
        if let Some(observer) = &self.config.observer {
            observer.event(&self.origin, event);
        }
    }

    fn wake(&self) {
        self.pending.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done where a panic could strike, so the state is still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the transport gets.
#[derive(Clone)]
pub(crate) struct ClientLink(pub(crate) Arc<ClientSession>);

impl ClientLink {
    /// Takes what happened out of the machine: tells the observer, and starts answering.
    fn drain(&self, machine: &mut ClientMachine) -> Vec<ClientEvent> {
        std::iter::from_fn(|| machine.poll_event()).collect()
    }

    fn handle(&self, events: Vec<ClientEvent>) {
        for event in events {
            match event {
                ClientEvent::PeerSettings(settings) => {
                    self.0.tell(&Event::PeerSettings(settings));
                    self.0.changed.notify_waiters();
                }
                ClientEvent::Challenge(id, request) => {
                    self.0.tell(&Event::Challenge(request.clone()));
                    let session = Arc::clone(&self.0);
                    tokio::spawn(async move {
                        tokio::select! {
                            () = session.resolve(id, request) => {}
                            () = session.ended() => {}
                        }
                    });
                }
                ClientEvent::AnswerTooLong(_) => {
                    tracing::warn!(origin = %self.0.origin,
                        "an authenticator is longer than the server's largest frame; declined instead");
                }
            }
        }
    }
}

impl Link for ClientLink {
    fn role(&self) -> Role {
        Role::Client
    }

    fn code_points(&self) -> CodePoints {
        self.0.config.points
    }

    fn local_settings(&self) -> Vec<Setting> {
        self.0.lock().machine.as_ref().map(ClientMachine::local_settings).unwrap_or_default()
    }

    fn max_frame_len(&self) -> usize {
        self.0.config.max_frame_len
    }

    fn settings_sent(&self) {
        if let Some(machine) = &mut self.0.lock().machine {
            machine.settings_sent();
        }
        self.0.wake();
    }

    fn settings_acked(&self) {
        if let Some(machine) = &mut self.0.lock().machine {
            machine.settings_acked();
        }
    }

    fn peer_settings(&self, settings: &[Setting]) -> Result<(), Violation> {
        let events = {
            let mut state = self.0.lock();
            let Some(machine) = &mut state.machine else {
                return Ok(());
            };
            machine.peer_settings(settings)?;
            self.drain(machine)
        };
        self.handle(events);
        Ok(())
    }

    fn frame_header(&self, kind: FrameKind, place: Place, _len: u64) -> Result<(), Violation> {
        match &mut self.0.lock().machine {
            Some(machine) => machine.frame_header(kind, place),
            None => Err(Violation::NotNegotiated),
        }
    }

    fn frame(&self, kind: FrameKind, payload: Bytes) -> Result<(), Violation> {
        let events = {
            let mut state = self.0.lock();
            let machine = state.machine.as_mut().ok_or(Violation::NotNegotiated)?;
            if kind == FrameKind::ServerCertificate {
                let proof = machine.server_certificate(payload)?;
                drop(state);
                //= specs/server-certs.md#section-5
                //# A client MAY validate the authenticator through the interface of RFC 9261 as
                //# soon as the frame is there.
                //= specs/server-certs.md#decisions
                //= type=implication
                //# (ours) A client MUST NOT read SERVER_CERTIFICATE as a sign that a request or a
                //# tunnel begun before it is now served by the proxy itself.
                return self.0.take_proof(proof);
            }
            machine.requests(&payload)?;
            self.drain(machine)
        };
        self.handle(events);
        Ok(())
    }

    fn origin(&self, payload: &Bytes) {
        self.0.lock().proofs.authority.claim(payload);
    }

    fn poll_transmit(&self, cx: &mut Context<'_>, max_payload: usize) -> Poll<Transmit> {
        self.0.waker.register(cx.waker());
        if !self.0.pending.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let (transmit, events) = {
            let mut state = self.0.lock();
            let closed = state.closed.is_some();
            if let Some(violation) = state.proofs.closing.filter(|_| !closed) {
                return Poll::Ready(Transmit::Close(violation));
            }
            match &mut state.machine {
                Some(machine) if !closed => {
                    (machine.poll_transmit(max_payload), self.drain(machine))
                }
                _ => (None, Vec::new()),
            }
        };
        self.handle(events);
        let Some(transmit) = transmit else {
            return Poll::Pending;
        };
        self.0.pending.store(true, Ordering::Release);
        Poll::Ready(match transmit {
            ClientTransmit::Frame(frame) => {
                self.0.changed.notify_waiters();
                Transmit::Frame(frame)
            }
            ClientTransmit::Settings(settings) => Transmit::Settings(settings),
        })
    }

    fn closed(&self, how: Closed) {
        let mut state = self.0.lock();
        if state.closed.is_some() {
            return;
        }
        state.closed = Some(how.clone());
        drop(state);
        self.0.tell(&Event::Closed(how));
        self.0.changed.notify_waiters();
    }
}
