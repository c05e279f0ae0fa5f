//! A [`Link`] that tells what the state machines make of frames.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use countersign_conform::vectors::{Announced, Event, Vector};
use countersign_proto::client::{ClientEvent, ClientMachine};
use countersign_proto::link::{Closed, Frame, Link, Place, Transmit};
use countersign_proto::server::{ServerMachine, ServerPolicy};
use countersign_proto::{CodePoints, FrameKind, Role, Setting, Violation};
use exported_authenticator::{
    AuthenticatorHash, AuthenticatorRequest, Connection, ExporterValues, MessageType,
    RequestTemplate, TLS13_SCHEMES, Validated,
};
use rustls::crypto::hash::HashAlgorithm;
use rustls::crypto::{CryptoProvider, GetRandomFailed, SecureRandom};
use tokio::sync::Notify;

use super::super::validate;

/// The receiver of a vector's frames.
pub(super) struct Witness {
    role: Role,
    announced: Announced,
    /// To be sent by a server as soon as it may.
    outstanding: Vec<AuthenticatorRequest>,
    state: Mutex<State>,
    /// Something was told.
    told: Notify,
}

struct State {
    machine: Machine,
    asked: bool,
    sending: VecDeque<Frame>,
    events: Vec<Event>,
    closed: Option<Closed>,
}

enum Machine {
    Client(ClientMachine),
    Server(ServerMachine),
}

/// "Random" numbers that are a vector's contexts.
#[derive(Debug)]
struct Contexts(Mutex<VecDeque<Vec<u8>>>);

impl SecureRandom for Contexts {
    fn fill(&self, output: &mut [u8]) -> Result<(), GetRandomFailed> {
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let next = next.filter(|next| next.len() == output.len()).ok_or(GetRandomFailed)?;
        output.copy_from_slice(&next);
        Ok(())
    }
}

impl Witness {
    pub(super) fn new(vector: &Vector, provider: &CryptoProvider) -> Result<Self, String> {
        let role = validate::role(&vector.role)?;
        let announced = vector.announced.clone().ok_or("the vector announces nothing")?;
        let values = if vector.hash.is_empty() {
            unused_values(provider)?
        } else {
            validate::values(vector, role.peer(), provider)?
        };
        let algorithms = provider.signature_verification_algorithms;
        let connection = Connection::new(Arc::new(values), role, algorithms);
        let outstanding = vector
            .outstanding
            .iter()
            .map(|bytes| AuthenticatorRequest::parse(&bytes.0).map_err(|error| error.to_string()))
            .collect::<Result<Vec<_>, _>>()?;
        let points = CodePoints::default();
        let machine = match role {
            Role::Client => {
                let client = ClientMachine::new(connection, points, announced.client_cert_auth);
                Machine::Client(if announced.server_cert_auth == 0 {
                    client
                } else {
                    client.with_server_certificates(Arc::new(validate::client_hello(vector)))
                })
            }
            Role::Server => {
                let contexts = outstanding.iter().map(|one| one.context().to_vec()).collect();
                // A few bytes for each case, until the tool ends.
                let random: &'static Contexts = Box::leak(Box::new(Contexts(Mutex::new(contexts))));
                let policy = ServerPolicy {
                    message_type: MessageType::ClientCertificateRequest,
                    max_outstanding: outstanding.len(),
                    max_queued: outstanding.len(),
                    generic_challenges: 0,
                    generic: Arc::new(RequestTemplate::new(TLS13_SCHEMES.to_vec())),
                    server_certificates: announced.server_cert_auth != 0,
                };
                Machine::Server(ServerMachine::new(connection, points, policy, random))
            }
        };
        let state = State {
            machine,
            asked: false,
            sending: VecDeque::new(),
            events: Vec::new(),
            closed: None,
        };
        Ok(Self { role, announced, outstanding, state: Mutex::new(state), told: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.state().events.clone()
    }

    pub(super) fn violation(&self) -> Option<Violation> {
        match self.state().closed {
            Some(Closed::Violation(violation)) => Some(violation),
            Some(Closed::Transport) | None => None,
        }
    }

    /// Waits until something has come of what arrived, or the connection is over.
    pub(super) async fn something(&self) {
        while self.state().events.is_empty() && self.state().closed.is_none() {
            self.told.notified().await;
        }
    }

    /// Runs a step of the machine and tells of it.
    fn step(
        &self,
        step: impl FnOnce(&mut State) -> Result<Vec<Event>, Violation>,
    ) -> Result<(), Violation> {
        let mut state = self.state();
        let events = step(&mut state)?;
        state.events.extend(events);
        self.told.notify_one();
        Ok(())
    }
}

/// For cases without an authenticator.
fn unused_values(provider: &CryptoProvider) -> Result<ExporterValues, String> {
    let hash = AuthenticatorHash::of_algorithm(HashAlgorithm::SHA256, provider)
        .map_err(|error| error.to_string())?;
    ExporterValues::from_exporter(hash, |output, _label, _context| {
        output.fill(0);
        Ok::<(), ()>(())
    })
    .map_err(|_| "there are no exporter values".to_owned())
}

impl State {
    fn negotiated(&self) -> Event {
        let (client_certificates, server_certificates) = match &self.machine {
            Machine::Client(client) => {
                (client.is_negotiated(), client.accepts_server_certificates())
            }
            Machine::Server(server) => (server.is_negotiated(), server.can_offer()),
        };
        Event::Settings { client_certificates, server_certificates }
    }

    /// Has a server send its requests, if it may.
    fn ask(&mut self, outstanding: &[AuthenticatorRequest]) {
        let Machine::Server(server) = &mut self.machine else { return };
        if self.asked || !server.is_negotiated() {
            return;
        }
        self.asked = true;
        for request in outstanding {
            let template = RequestTemplate::new(request.signature_algorithms().to_vec());
            // What cannot be asked for shows in an answer that nobody waits for.
            let _ = server.challenge(&template);
        }
        self.sending.extend(std::iter::from_fn(|| server.poll_transmit(1 << 14)));
    }

    fn take(&mut self, kind: FrameKind, payload: Bytes) -> Result<Vec<Event>, Violation> {
        match (&mut self.machine, kind) {
            (Machine::Client(client), FrameKind::ServerCertificate) => {
                let proof = client.server_certificate(payload)?;
                let proven = proof.verify().inspect_err(|violation| client.fail(*violation))?;
                Ok(vec![Event::ServerCertificate {
                    context: proven.context().into(),
                    certificates: proven.chain().len(),
                }])
            }
            (
                Machine::Client(client),
                FrameKind::AuthenticatorRequests | FrameKind::Certificate,
            ) => {
                client.requests(&payload)?;
                Ok(challenges(client))
            }
            (Machine::Server(server), _) => {
                let answer = server.certificate(payload)?;
                let context = answer.request.context().into();
                let validated = answer.verify().inspect_err(|violation| server.fail(*violation))?;
                Ok(vec![match validated {
                    Validated::Empty => Event::Declined { context },
                    Validated::Proven(proven) => {
                        Event::Proven { context, certificates: proven.chain().len() }
                    }
                }])
            }
        }
    }
}

fn challenges(client: &mut ClientMachine) -> Vec<Event> {
    std::iter::from_fn(|| client.poll_event())
        .filter_map(|event| match event {
            ClientEvent::Challenge(_, request) => Some(Event::Request {
                context: request.context().into(),
                message_type: request.message_type().number(),
            }),
            ClientEvent::PeerSettings(_) | ClientEvent::AnswerTooLong(_) => None,
        })
        .collect()
}

impl Link for Witness {
    fn role(&self) -> Role {
        self.role
    }

    fn code_points(&self) -> CodePoints {
        CodePoints::default()
    }

    fn local_settings(&self) -> Vec<Setting> {
        match &self.state().machine {
            Machine::Client(client) => client.local_settings(),
            Machine::Server(server) => server.local_settings(),
        }
    }

    fn max_frame_len(&self) -> usize {
        self.announced.max_frame_len as usize
    }

    fn settings_sent(&self) {
        match &mut self.state().machine {
            Machine::Client(client) => client.settings_sent(),
            Machine::Server(server) => server.settings_sent(),
        }
    }

    fn settings_acked(&self) {
        if let Machine::Client(client) = &mut self.state().machine {
            client.settings_acked();
        }
    }

    fn peer_settings(&self, settings: &[Setting]) -> Result<(), Violation> {
        self.step(|state| {
            match &mut state.machine {
                Machine::Client(client) => client.peer_settings(settings)?,
                Machine::Server(server) => server.peer_settings(settings)?,
            }
            state.ask(&self.outstanding);
            Ok(vec![state.negotiated()])
        })
    }

    fn frame_header(&self, kind: FrameKind, place: Place, _len: u64) -> Result<(), Violation> {
        match &mut self.state().machine {
            Machine::Client(client) => client.frame_header(kind, place),
            Machine::Server(server) => server.frame_header(kind, place),
        }
    }

    fn frame(&self, kind: FrameKind, payload: Bytes) -> Result<(), Violation> {
        self.step(|state| state.take(kind, payload))
    }

    fn poll_transmit(&self, _cx: &mut Context<'_>, _max_payload: usize) -> Poll<Transmit> {
        // What there is to send comes of what arrives, after which this is asked again.
        self.state()
            .sending
            .pop_front()
            .map_or(Poll::Pending, |frame| Poll::Ready(Transmit::Frame(frame)))
    }

    fn closed(&self, how: Closed) {
        self.state().closed.get_or_insert(how);
        self.told.notify_one();
    }
}
