//! The client's side of the draft: challenges come in, answers go out in the same order.
//!
//! Each request that arrives becomes a challenge with a number. The caller answers it at once (with an
//! authenticator made elsewhere, or by declining) or keeps it in the pool, to present a certificate
//! with it later. Answers may be given in any order; they are sent in the order of the requests. A
//! kept challenge that stands before a given answer is declined, so that nothing waits for ever.

mod limits;

use std::collections::VecDeque;

use bytes::Bytes;
use exported_authenticator::{
    AuthenticatorRequest, Connection, ContextError, RequestError, stateless,
};

use self::limits::Limits;
use crate::frame;
use crate::link::{Frame, Place};
use crate::support::{PeerSettings, check_header};
use crate::{ChallengeId, CodePoints, FrameKind, Misuse, Role, Setting, Violation};

/// What a client tells its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The peer's SETTINGS have arrived, or changed.
    PeerSettings(PeerSettings),
    /// The server asks for a certificate. It waits until it is answered, declined or kept.
    Challenge(ChallengeId, AuthenticatorRequest),
    /// This answer was longer than the peer's largest frame, and was declined instead.
    AnswerTooLong(ChallengeId),
}

/// What a client has to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientTransmit {
    /// A CERTIFICATE frame.
    Frame(Frame),
    /// A further SETTINGS frame.
    Settings(Vec<Setting>),
}

/// One connection's client.
#[derive(Debug)]
pub struct ClientMachine {
    connection: Connection,
    points: CodePoints,
    limits: Limits,
    peer: PeerSettings,
    challenges: VecDeque<Challenge>,
    first: u64,
    events: VecDeque<ClientEvent>,
    dead: Option<Violation>,
}

#[derive(Debug)]
struct Challenge {
    request: AuthenticatorRequest,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// The caller works on it.
    Open,
    /// In the pool, for the caller to present something with.
    Kept,
    /// To be sent when everything before it has been.
    Answered(Bytes),
}

impl ClientMachine {
    /// A client that announces that it provides `limit` credentials at a time; 0 announces nothing.
    pub fn new(connection: Connection, points: CodePoints, limit: u32) -> Self {
        Self {
            connection,
            points,
            limits: Limits::new(limit),
            peer: PeerSettings::default(),
            challenges: VecDeque::new(),
            first: 0,
            events: VecDeque::new(),
            dead: None,
        }
    }

    /// The entries for the first SETTINGS.
    pub fn local_settings(&self) -> Vec<Setting> {
        match self.limits.first() {
            0 => Vec::new(),
            limit => vec![self.setting(limit)],
        }
    }

    fn setting(&self, limit: u32) -> Setting {
        Setting {
            id: self.points.settings_client_cert_auth.into(),
            value: limit.into(),
        }
    }

    /// The first SETTINGS went out.
    pub fn settings_sent(&mut self) {
        self.limits.start();
    }

    /// The peer acknowledged our oldest unacknowledged SETTINGS.
    pub fn settings_acked(&mut self) {
        self.limits.acked();
    }

    /// Announces another limit, in a further SETTINGS frame (HTTP/2 only), never in the first.
    ///
    /// It holds for what the server asks from then on; what is outstanding stays valid. Of several
    /// that were not sent yet only the last counts.
    pub fn set_limit(&mut self, limit: u32) -> Result<(), Misuse> {
        if self.dead.is_some() {
            return Err(Misuse::Closed);
        }
        self.limits.change(limit)
    }

    /// Takes in the peer's SETTINGS.
    pub fn peer_settings(&mut self, settings: &[Setting]) -> Result<(), Violation> {
        self.guard(|machine| {
            let before = machine.peer;
            machine.peer.update(&machine.points, settings)?;
            if machine.peer != before {
                // Only the latest matters, so a peer cannot fill the queue with changes.
                machine
                    .events
                    .retain(|event| !matches!(event, ClientEvent::PeerSettings(_)));
                machine
                    .events
                    .push_back(ClientEvent::PeerSettings(machine.peer));
            }
            Ok(())
        })
    }

    /// Whether both sides have announced support.
    pub fn is_negotiated(&self) -> bool {
        self.limits.in_force() > 0 && self.peer.supports_client_auth()
    }

    /// What the server has announced.
    pub fn peer(&self) -> PeerSettings {
        self.peer
    }

    /// How many requests the client owes an answer.
    pub fn outstanding(&self) -> usize {
        self.challenges.len()
    }

    /// Checks a frame's header.
    pub fn frame_header(&mut self, kind: FrameKind, place: Place) -> Result<(), Violation> {
        self.guard(|machine| check_header(Role::Client, kind, place, machine.is_negotiated()))
    }

    /// Takes in the payload of AUTHENTICATOR_REQUESTS.
    pub fn requests(&mut self, payload: &Bytes) -> Result<(), Violation> {
        self.guard(|machine| machine.take_requests(payload))
    }

    fn take_requests(&mut self, payload: &Bytes) -> Result<(), Violation> {
        if !self.is_negotiated() {
            return Err(Violation::NotNegotiated);
        }
        // Counted before anything is kept, so that a frame of tiny requests costs nothing.
        let mut count = 0;
        for request in frame::requests(payload) {
            request?;
            count += 1;
        }
        if count == 0 {
            return Err(Violation::EmptyRequests);
        }
        if self.challenges.len() + count > self.limits.in_force() as usize {
            return Err(Violation::TooManyRequests);
        }
        for request in frame::requests(payload) {
            let request = self
                .connection
                .receive_request(request?)
                .map_err(request_violation)?;
            let id = ChallengeId(self.first + self.challenges.len() as u64);
            self.events
                .push_back(ClientEvent::Challenge(id, request.clone()));
            self.challenges.push_back(Challenge {
                request,
                state: State::Open,
            });
        }
        Ok(())
    }

    /// What happened, oldest first. Call it until it returns `None` after everything that was taken in.
    ///
    /// What waits here is bounded by the limit: a challenge cannot be answered before it is known.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// The request of a challenge, until its answer is sent.
    pub fn request(&self, id: ChallengeId) -> Option<&AuthenticatorRequest> {
        let index = usize::try_from(id.0.checked_sub(self.first)?).ok()?;
        self.challenges
            .get(index)
            .map(|challenge| &challenge.request)
    }

    /// Answers with an authenticator that was made for this challenge's request.
    pub fn answer(&mut self, id: ChallengeId, authenticator: Vec<u8>) -> Result<(), Misuse> {
        self.unanswered(id)?.state = State::Answered(authenticator.into());
        Ok(())
    }

    /// Declines with an empty authenticator.
    pub fn decline(&mut self, id: ChallengeId) -> Result<(), Misuse> {
        let request = self.unanswered(id)?.request.clone();
        let empty = self.empty_authenticator(&request);
        self.answer(id, empty)
    }

    /// Leaves the challenge in the pool, to be used with [`ClientMachine::take_kept`].
    pub fn keep(&mut self, id: ChallengeId) -> Result<(), Misuse> {
        self.unanswered(id)?.state = State::Kept;
        Ok(())
    }

    /// Takes the oldest challenge out of the pool that `suits`, to be answered.
    pub fn take_kept(
        &mut self,
        suits: impl Fn(&AuthenticatorRequest) -> bool,
    ) -> Result<ChallengeId, Misuse> {
        if self.dead.is_some() {
            return Err(Misuse::Closed);
        }
        let (index, challenge) = self
            .challenges
            .iter_mut()
            .enumerate()
            .find(|(_, challenge)| challenge.state == State::Kept && suits(&challenge.request))
            .ok_or(Misuse::PoolEmpty)?;
        challenge.state = State::Open;
        Ok(ChallengeId(self.first + index as u64))
    }

    fn unanswered(&mut self, id: ChallengeId) -> Result<&mut Challenge, Misuse> {
        if self.dead.is_some() {
            return Err(Misuse::Closed);
        }
        let index =
            id.0.checked_sub(self.first)
                .and_then(|index| usize::try_from(index).ok());
        index
            .and_then(|index| self.challenges.get_mut(index))
            .filter(|challenge| !matches!(challenge.state, State::Answered(_)))
            .ok_or(Misuse::NoSuchChallenge)
    }

    /// What to send next; `max_payload` is the longest payload the peer accepts, in bytes.
    pub fn poll_transmit(&mut self, max_payload: usize) -> Option<ClientTransmit> {
        if self.dead.is_some() || !self.limits.is_started() {
            return None;
        }
        if let Some(limit) = self.limits.send() {
            return Some(ClientTransmit::Settings(vec![self.setting(limit)]));
        }
        let id = ChallengeId(self.first);
        let challenge = self.challenges.front()?;
        let payload = match &challenge.state {
            State::Open => return None,
            State::Kept if !self.later_is_answered() => return None,
            State::Kept => self.empty_authenticator(&challenge.request).into(),
            State::Answered(answer) if answer.len() > max_payload => {
                let empty = self.empty_authenticator(&challenge.request);
                self.events.push_back(ClientEvent::AnswerTooLong(id));
                empty.into()
            }
            State::Answered(answer) => answer.clone(),
        };
        self.challenges.pop_front();
        self.first += 1;
        Some(ClientTransmit::Frame(Frame {
            kind: FrameKind::Certificate,
            payload,
        }))
    }

    fn later_is_answered(&self) -> bool {
        self.challenges
            .iter()
            .any(|challenge| matches!(challenge.state, State::Answered(_)))
    }

    fn empty_authenticator(&self, request: &AuthenticatorRequest) -> Vec<u8> {
        // It is a Finished message of hash length; nothing in it can become too long.
        stateless::decline(self.connection.values(), Role::Client, request).unwrap_or_default()
    }

    /// Ends the machine: nothing is accepted or sent any more.
    pub fn fail(&mut self, violation: Violation) {
        self.dead.get_or_insert(violation);
        self.challenges.clear();
        self.events
            .retain(|event| !matches!(event, ClientEvent::Challenge(..)));
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

fn request_violation(error: RequestError) -> Violation {
    match error {
        RequestError::Context(ContextError::Exhausted) => Violation::TooManyContexts,
        RequestError::Context(
            ContextError::Repeated | ContextError::Replayed | ContextError::Unknown,
        ) => Violation::RepeatedContext,
        RequestError::ContextTooLong
        | RequestError::ExtensionsTooLong
        | RequestError::ServerName
        | RequestError::Malformed(_) => Violation::MalformedRequest,
    }
}
