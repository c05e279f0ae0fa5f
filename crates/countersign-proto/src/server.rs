//! The server's side of the draft: requests go out within the client's limit, answers come back in
//! the same order.
//!
//! A challenge that the limit leaves no room for waits its turn. Generic challenges are kept
//! outstanding up to a number, for clients that present what they like when they like; one that was
//! used is replaced, one that was declined is not.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use exported_authenticator::{
    Authenticator, AuthenticatorRequest, Connection, ContextError, ExporterValues,
    InvalidAuthenticator, MessageType, RequestError, RequestTemplate, Validated, stateless,
};
use rustls::crypto::{SecureRandom, WebPkiSupportedAlgorithms};

use crate::frame::put_request;
use crate::link::{Frame, Place};
use crate::support::{PeerSettings, check_header};
use crate::{ChallengeId, CodePoints, FrameKind, Misuse, Role, Setting, Violation};

/// How a server uses the extension.
#[derive(Clone, Debug)]
pub struct ServerPolicy {
    /// The message type of its requests.
    pub message_type: MessageType,
    /// How many requests it keeps outstanding at most, whatever the client's limit.
    pub max_outstanding: usize,
    /// How many challenges wait for room at most.
    pub max_queued: usize,
    /// How many generic challenges it keeps outstanding.
    pub generic_challenges: usize,
    /// What a generic challenge asks for.
    pub generic: Arc<RequestTemplate>,
}

/// What a server tells its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// The peer's SETTINGS have arrived, or changed.
    PeerSettings(PeerSettings),
    /// This challenge was longer than the peer's largest frame and was never sent.
    ChallengeTooLong(ChallengeId),
}

/// One connection's server.
#[derive(Debug)]
pub struct ServerMachine {
    connection: Connection,
    points: CodePoints,
    policy: ServerPolicy,
    random: &'static dyn SecureRandom,
    sent: bool,
    peer: PeerSettings,
    next: u64,
    queued: VecDeque<Challenge>,
    outstanding: VecDeque<Challenge>,
    generic_wanted: usize,
    events: VecDeque<ServerEvent>,
    dead: Option<Violation>,
}

#[derive(Debug)]
struct Challenge {
    id: ChallengeId,
    request: AuthenticatorRequest,
    generic: bool,
}

/// A client's answer, taken off the front of the outstanding requests but not verified.
pub struct Answer {
    /// The challenge that it answers.
    pub id: ChallengeId,
    /// Whether that was a generic challenge.
    pub generic: bool,
    /// The request that it answers.
    pub request: AuthenticatorRequest,
    payload: Bytes,
    values: Arc<ExporterValues>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Answer {
    /// Verifies possession: one signature and a few hashes, about 60 µs for P-256. Needs nothing from
    /// the machine, so it may run elsewhere. A [`Violation`] must be handed to [`ServerMachine::fail`].
    pub fn verify(self) -> Result<Validated, Violation> {
        let authenticator =
            Authenticator::parse(&self.payload).map_err(|_| Violation::MalformedAuthenticator)?;
        stateless::validate(
            &self.values,
            Role::Client,
            &self.request,
            &authenticator,
            &self.algorithms,
        )
        .map_err(authenticator_violation)
    }
}

/// The bytes of a context: enough that no peer can guess one.
const CONTEXT_LEN: usize = 32;

impl ServerMachine {
    /// A server that announces support. `random` makes the contexts.
    pub fn new(
        connection: Connection,
        points: CodePoints,
        policy: ServerPolicy,
        random: &'static dyn SecureRandom,
    ) -> Self {
        Self {
            connection,
            points,
            generic_wanted: policy.generic_challenges,
            policy,
            random,
            sent: false,
            peer: PeerSettings::default(),
            next: 0,
            queued: VecDeque::new(),
            outstanding: VecDeque::new(),
            events: VecDeque::new(),
            dead: None,
        }
    }

    /// The entries for the first SETTINGS.
    pub fn local_settings(&self) -> Vec<Setting> {
        vec![Setting {
            id: self.points.settings_client_cert_auth.into(),
            value: 1,
        }]
    }

    /// The first SETTINGS went out.
    pub fn settings_sent(&mut self) {
        self.sent = true;
        self.replenish();
    }

    /// Takes in the peer's SETTINGS.
    pub fn peer_settings(&mut self, settings: &[Setting]) -> Result<(), Violation> {
        self.guard(|machine| {
            let before = machine.peer;
            machine.peer.update(&machine.points, settings)?;
            if machine.peer != before {
                machine
                    .events
                    .retain(|event| !matches!(event, ServerEvent::PeerSettings(_)));
                machine
                    .events
                    .push_back(ServerEvent::PeerSettings(machine.peer));
            }
            machine.replenish();
            Ok(())
        })
    }

    /// Whether both sides have announced support.
    pub fn is_negotiated(&self) -> bool {
        self.sent && self.peer.supports_client_auth()
    }

    /// What the client has announced.
    pub fn peer(&self) -> PeerSettings {
        self.peer
    }

    /// How many requests the client owes an answer.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Asks for what `template` describes, as soon as the client's limit leaves room.
    pub fn challenge(&mut self, template: &RequestTemplate) -> Result<ChallengeId, Misuse> {
        self.enqueue(template, false)
    }

    fn enqueue(
        &mut self,
        template: &RequestTemplate,
        generic: bool,
    ) -> Result<ChallengeId, Misuse> {
        if self.dead.is_some() {
            return Err(Misuse::Closed);
        }
        if !self.is_negotiated() {
            return Err(Misuse::NotNegotiated);
        }
        if self.queued.len() >= self.policy.max_queued {
            return Err(Misuse::QueueFull);
        }
        let mut context = [0; CONTEXT_LEN];
        self.random.fill(&mut context).map_err(|_| Misuse::Random)?;
        let request = self
            .connection
            .request(template, self.policy.message_type, &context)
            .map_err(|error| match error {
                RequestError::Context(_) => Misuse::ContextsExhausted,
                RequestError::ContextTooLong
                | RequestError::ExtensionsTooLong
                | RequestError::ServerName
                | RequestError::Malformed(_) => Misuse::BadTemplate,
            })?;
        let id = ChallengeId(self.next);
        self.next += 1;
        self.queued.push_back(Challenge {
            id,
            request,
            generic,
        });
        Ok(id)
    }

    /// Withdraws a challenge that nobody waits for any more, if it has not been sent.
    pub fn withdraw(&mut self, id: ChallengeId) {
        self.queued.retain(|challenge| challenge.id != id);
    }

    /// Keeps the wanted number of generic challenges, as far as the client's limit has room for them.
    fn replenish(&mut self) {
        if !self.is_negotiated() {
            return;
        }
        let generic = |challenges: &VecDeque<Challenge>| {
            challenges
                .iter()
                .filter(|challenge| challenge.generic)
                .count()
        };
        let limit = self.limit();
        // Where the client allows more than one, the last place stays free for a targeted request.
        let room = if limit > 1 { limit - 1 } else { limit };
        let wanted = self.generic_wanted.min(room);
        let template = Arc::clone(&self.policy.generic);
        for _ in generic(&self.outstanding) + generic(&self.queued)..wanted {
            if self.enqueue(&template, true).is_err() {
                return;
            }
        }
    }

    fn limit(&self) -> usize {
        let peer = usize::try_from(self.peer.client_cert_auth.unwrap_or(0)).unwrap_or(usize::MAX);
        peer.min(self.policy.max_outstanding)
    }

    /// Checks a frame's header.
    pub fn frame_header(&mut self, kind: FrameKind, place: Place) -> Result<(), Violation> {
        self.guard(|machine| {
            check_header(Role::Server, kind, place, machine.is_negotiated())?;
            if machine.outstanding.is_empty() {
                Err(Violation::Unsolicited)
            } else {
                Ok(())
            }
        })
    }

    /// Takes in the payload of CERTIFICATE: it answers the oldest outstanding request or nothing.
    pub fn certificate(&mut self, payload: Bytes) -> Result<Answer, Violation> {
        if let Some(violation) = self.dead {
            return Err(violation);
        }
        self.take_certificate(payload)
            .inspect_err(|violation| self.fail(*violation))
    }

    fn take_certificate(&mut self, payload: Bytes) -> Result<Answer, Violation> {
        if !self.is_negotiated() {
            return Err(Violation::NotNegotiated);
        }
        let oldest = self.outstanding.front().ok_or(Violation::Unsolicited)?;
        let authenticator =
            Authenticator::parse(&payload).map_err(|_| Violation::MalformedAuthenticator)?;
        let empty = authenticator.is_empty();
        if let Some(context) = authenticator.context()
            && context != oldest.request.context()
        {
            return Err(self.misplaced(context));
        }
        let Some(Challenge {
            id,
            request,
            generic,
        }) = self.outstanding.pop_front()
        else {
            return Err(Violation::Unsolicited);
        };
        self.connection
            .contexts()
            .answer(request.context())
            .map_err(|_| Violation::Replayed)?;
        if generic {
            if empty {
                self.generic_wanted = self.generic_wanted.saturating_sub(1);
            }
            self.replenish();
        }
        Ok(Answer {
            id,
            generic,
            request,
            payload,
            values: Arc::clone(self.connection.values()),
            algorithms: self.connection.algorithms(),
        })
    }

    /// Why an authenticator with this context cannot stand where it does.
    fn misplaced(&mut self, context: &[u8]) -> Violation {
        if self
            .outstanding
            .iter()
            .any(|challenge| challenge.request.context() == context)
        {
            Violation::OutOfOrder
        } else if self.connection.contexts().is_answered(context) {
            Violation::Replayed
        } else {
            Violation::WrongContext
        }
    }

    /// What happened since the last call.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// What to send next; `max_payload` is the longest payload the peer accepts, in bytes.
    pub fn poll_transmit(&mut self, max_payload: usize) -> Option<Frame> {
        if self.dead.is_some() || !self.is_negotiated() {
            return None;
        }
        let mut payload = Vec::new();
        while self.outstanding.len() < self.limit() {
            let Some(challenge) = self.queued.front() else {
                break;
            };
            let mut entry = Vec::new();
            put_request(&mut entry, challenge.request.as_bytes());
            if payload.len() + entry.len() > max_payload {
                if !payload.is_empty() {
                    break;
                }
                self.events
                    .push_back(ServerEvent::ChallengeTooLong(challenge.id));
                self.queued.pop_front();
                continue;
            }
            payload.append(&mut entry);
            self.outstanding.extend(self.queued.pop_front());
        }
        if payload.is_empty() {
            return None;
        }
        Some(Frame {
            kind: FrameKind::AuthenticatorRequests,
            payload: payload.into(),
        })
    }

    /// Ends the machine: nothing is accepted or sent any more.
    pub fn fail(&mut self, violation: Violation) {
        self.dead.get_or_insert(violation);
        self.queued.clear();
        self.outstanding.clear();
    }

    /// The violation that ended the machine.
    pub fn failed(&self) -> Option<Violation> {
        self.dead
    }

    fn guard(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        if let Some(violation) = self.dead {
            return Err(violation);
        }
        step(self).inspect_err(|violation| self.fail(*violation))
    }
}

fn authenticator_violation(error: InvalidAuthenticator) -> Violation {
    use exported_authenticator::Malformed;
    match error {
        InvalidAuthenticator::Malformed(Malformed::DuplicateExtension(_))
        | InvalidAuthenticator::ExtensionNotRequested(_) => Violation::AuthenticatorExtension,
        InvalidAuthenticator::ContextMismatch => Violation::WrongContext,
        InvalidAuthenticator::Context(
            ContextError::Repeated
            | ContextError::Replayed
            | ContextError::Unknown
            | ContextError::Exhausted,
        ) => Violation::Replayed,
        InvalidAuthenticator::SchemeNotTls13(_)
        | InvalidAuthenticator::SchemeNotOffered(_)
        | InvalidAuthenticator::SchemeKeyMismatch(_) => Violation::SignatureScheme,
        InvalidAuthenticator::BadSignature => Violation::BadSignature,
        InvalidAuthenticator::BadFinished => Violation::BadFinished,
        InvalidAuthenticator::Malformed(
            Malformed::Truncated(_)
            | Malformed::Trailing(_)
            | Malformed::Length(_)
            | Malformed::NoRequest(_)
            | Malformed::NoSignatureAlgorithms
            | Malformed::DuplicateOid
            | Malformed::MessageSequence,
        )
        | InvalidAuthenticator::EmptyCertificateList
        | InvalidAuthenticator::BadCertificate
        | InvalidAuthenticator::SpontaneousClient => Violation::MalformedAuthenticator,
    }
}
