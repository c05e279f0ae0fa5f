//! The client's side of the draft: challenges come in, answers go out in the same order.
//!
//! Each request that arrives becomes a challenge with a number. The caller answers it at once (with an
//! authenticator made elsewhere, or by declining) or keeps it in the pool, to present a certificate
//! with it later. Answers may be given in any order; they are sent in the order of the requests. A
//! kept challenge that stands before a given answer is declined, so that nothing waits for ever.

mod limits;
mod proof;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use exported_authenticator::{
    Authenticator, AuthenticatorRequest, Connection, ContextError, Offered, RequestError, stateless,
};

use self::limits::Limits;
pub use self::proof::ServerProof;
use crate::frame;
use crate::link::{Frame, Place};
use crate::support::{Negotiated, PeerSettings, check_header};
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
    //= specs/server-certs.md#section-3.2
    //= type=implication
    //# A client MUST NOT send certificates under this mechanism.
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
    /// What our ClientHello offered; `None` without support for secondary certificates of servers.
    offered: Option<Arc<Offered>>,
    sent: bool,
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
            offered: None,
            sent: false,
            peer: PeerSettings::default(),
            challenges: VecDeque::new(),
            first: 0,
            events: VecDeque::new(),
            dead: None,
        }
    }

    /// Announces support for secondary certificates of servers too. `offered` is what the ClientHello of
    /// this connection offered.
    pub fn with_server_certificates(mut self, offered: Arc<Offered>) -> Self {
        self.offered = Some(offered);
        self
    }

    /// The entries for the first SETTINGS.
    pub fn local_settings(&self) -> Vec<Setting> {
        let mut settings = self.client_auth_setting();
        if self.offered.is_some() {
            //= specs/server-certs.md#section-1.3
            //# Both endpoints MUST announce support through the setting of their HTTP version.
            //= specs/server-certs.md#section-3.1
            //# An endpoint that supports the mechanism MUST have SETTINGS_HTTP_SERVER_CERT_AUTH
            //# with the value 1 in its SETTINGS frame.
            //= specs/server-certs.md#section-4.1
            //# In HTTP/2 the setting MUST be an entry of the SETTINGS frame under its own
            //# identifier.
            //= specs/server-certs.md#section-4.2
            //# In HTTP/3 the setting MUST be a parameter of the SETTINGS frame under its own
            //# identifier.
            settings.push(Setting { id: self.points.settings_server_cert_auth.into(), value: 1 });
        }
        settings
    }

    fn client_auth_setting(&self) -> Vec<Setting> {
        match self.limits.first() {
            //= specs/client-certs.md#section-3.1
            //# The value announced by a client that takes part MUST be greater than zero.
            0 => Vec::new(),
            //= specs/client-certs.md#section-1.1
            //# A client that supports the mechanism MUST say so, with the largest number of
            //# credentials it expects to give as long as the connection lasts, in its SETTINGS.
            //= specs/client-certs.md#section-3.1
            //# A client MUST announce in this setting the largest number of certificate credentials
            //# it expects to provide as long as the connection lasts.
            //= specs/client-certs.md#section-3.1
            //# Every endpoint MUST announce support on its own behalf.
            limit => vec![self.setting(limit)],
        }
    }

    fn setting(&self, limit: u32) -> Setting {
        Setting {
            id: self.points.settings_client_cert_auth.into(),
            //= specs/client-certs.md#section-3.1.1
            //# An HTTP/2 client MUST set a positive integer, the number of credentials it is
            //# willing to give.
            //= specs/client-certs.md#section-3.1.2
            //# An HTTP/3 client MUST set a positive integer, the number of credentials it is
            //# willing to give.
            value: limit.into(),
        }
    }

    /// The first SETTINGS went out.
    pub fn settings_sent(&mut self) {
        self.sent = true;
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
    //= specs/client-certs.md#decisions-limits
    //# (ours) A client MAY raise or lower a positive limit with a later SETTINGS frame of HTTP/2.
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
                machine.events.retain(|event| !matches!(event, ClientEvent::PeerSettings(_)));
                machine.events.push_back(ClientEvent::PeerSettings(machine.peer));
            }
            Ok(())
        })
    }

    /// Whether both sides have announced support.
    //= specs/client-certs.md#section-3.1
    //# A client MUST NOT send CERTIFICATE before client and server have both announced support.
    pub fn is_negotiated(&self) -> bool {
        self.limits.in_force() > 0 && self.peer.supports_client_auth()
    }

    /// Whether both sides have announced support for secondary certificates of servers.
    //= specs/server-certs.md#section-3.1
    //# An endpoint MUST NOT use any part of the mechanism before it has sent the value 1 and
    //# received the value 1.
    pub fn accepts_server_certificates(&self) -> bool {
        self.sent && self.offered.is_some() && self.peer.supports_server_certificates()
    }

    /// Whether the server may (still) show further certificates: we have announced support, or will with
    /// our first SETTINGS, and the server has not shown that it has none.
    pub fn can_be_shown(&self) -> bool {
        self.offered.is_some() && (!self.peer.received || self.peer.supports_server_certificates())
    }

    /// Whether the server may (still) ask: we have announced support, or will with our first SETTINGS,
    /// and the server has not shown that it has none.
    pub fn can_be_asked(&self) -> bool {
        let refused = self.peer.received && !self.peer.supports_client_auth();
        self.limits.announces_support() && !refused
    }

    /// Whether the answer to the challenge `id` has been handed out to be sent.
    pub fn is_sent(&self, id: ChallengeId) -> bool {
        id.0 < self.first
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
        self.guard(|machine| {
            let negotiated = Negotiated {
                client_auth: machine.is_negotiated(),
                server_certificates: machine.accepts_server_certificates(),
            };
            check_header(Role::Client, kind, place, negotiated)
        })
    }

    /// Takes in the payload of SERVER_CERTIFICATE, to be verified elsewhere.
    pub fn server_certificate(&mut self, payload: Bytes) -> Result<ServerProof, Violation> {
        if let Some(violation) = self.dead {
            return Err(violation);
        }
        self.take_server_certificate(payload).inspect_err(|violation| self.fail(*violation))
    }

    //= specs/server-certs.md#decisions
    //# (ours) An authenticator that is empty, repeats a context of its connection or fails
    //# validation in any other way MUST be a connection error SERVER_CERTIFICATE_INVALID in HTTP/2
    //# and HTTP/3 alike.
    fn take_server_certificate(&mut self, payload: Bytes) -> Result<ServerProof, Violation> {
        if !self.accepts_server_certificates() {
            return Err(Violation::ServerCertificateNotNegotiated);
        }
        let offered = self.offered.clone().ok_or(Violation::ServerCertificateNotNegotiated)?;
        //= specs/server-certs.md#section-5.3
        //# A client that negotiated the mechanism MUST take the certificate_request_context out of
        //# an authenticator with the "get context" interface.
        //= specs/server-certs.md#decisions
        //# (ours) A SERVER_CERTIFICATE that holds only a portion of an authenticator MUST be
        //# treated as one that cannot be validated.
        let context = Authenticator::parse(&payload)
            .ok()
            .and_then(|authenticator| authenticator.context())
            .ok_or(Violation::ServerCertificateInvalid)?;
        //= specs/server-certs.md#section-5.3
        //# An implementation MAY use the context of an authenticator without a request as it likes.
        self.connection.contexts().spontaneous(context).map_err(|error| match error {
            //= specs/server-certs.md#decisions
            //# (ours) A client that cannot remember any more contexts of SERVER_CERTIFICATE MUST
            //# end the connection, with ENHANCE_YOUR_CALM in HTTP/2 and H3_EXCESSIVE_LOAD in
            //# HTTP/3.
            ContextError::Exhausted => Violation::TooManyContexts,
            ContextError::Repeated | ContextError::Replayed | ContextError::Unknown => {
                Violation::ServerCertificateInvalid
            }
        })?;
        Ok(ServerProof {
            payload,
            offered,
            values: Arc::clone(self.connection.values()),
            algorithms: self.connection.algorithms(),
        })
    }

    /// Takes in the payload of AUTHENTICATOR_REQUESTS.
    pub fn requests(&mut self, payload: &Bytes) -> Result<(), Violation> {
        self.guard(|machine| machine.take_requests(payload))
    }

    fn take_requests(&mut self, payload: &Bytes) -> Result<(), Violation> {
        if !self.is_negotiated() {
            //= specs/client-certs.md#decisions-limits
            //# (ours) AUTHENTICATOR_REQUESTS that reaches a client whose own setting is 0 MUST be
            //# treated as not negotiated.
            return Err(Violation::NotNegotiated);
        }
        // Counted before anything is kept, so that a frame of tiny requests costs nothing.
        let mut count = 0;
        for request in frame::requests(payload) {
            request?;
            count += 1;
        }
        if count == 0 {
            //= specs/client-certs.md#section-4.1
            //# The list in AUTHENTICATOR_REQUESTS MUST NOT be empty.
            return Err(Violation::EmptyRequests);
        }
        //= specs/client-certs.md#section-4.1
        //# A client MUST end the connection with an error when the server goes over that limit.
        //= specs/client-certs.md#section-4.1.4
        //# A client MUST treat a server that exceeds the announced number as the cause of a
        //# connection error.
        //= specs/client-certs.md#decisions-limits
        //# (ours) The client's value MUST bound the requests outstanding at one time, as section
        //# 4.1 has it, not the requests made over the life of the connection, of which sections 1.1
        //# and 3.1 speak.
        if self.challenges.len() + count > self.limits.in_force() as usize {
            return Err(Violation::TooManyRequests);
        }
        for request in frame::requests(payload) {
            let request = self
                .connection
                //= specs/client-certs.md#section-4.1.3
                //# The measured bytes MUST be a ClientCertificateRequest as RFC 9261, section 4,
                //# defines it.
                //= specs/client-certs.md#decisions-frames
                //# (ours) A client MUST accept requests of message type 17 and of message type 13.
                .receive_request(request?)
                .map_err(request_violation)?;
            let id = ChallengeId(self.first + self.challenges.len() as u64);
            self.events.push_back(ClientEvent::Challenge(id, request.clone()));
            self.challenges.push_back(Challenge { request, state: State::Open });
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
        self.challenges.get(index).map(|challenge| &challenge.request)
    }

    /// Answers with an authenticator that was made for this challenge's request.
    //= specs/client-certs.md#section-4
    //# A client MAY spend the requests it was given on CERTIFICATE frames.
    //= specs/client-certs.md#section-4
    //# A CERTIFICATE frame that presents a credential MUST hold an exported authenticator with the
    //# chain and the proof that its key is held.
    pub fn answer(&mut self, id: ChallengeId, authenticator: Vec<u8>) -> Result<(), Misuse> {
        self.unanswered(id)?.state = State::Answered(authenticator.into());
        Ok(())
    }

    /// Declines with an empty authenticator.
    //= specs/client-certs.md#section-4
    //# A client that does not want to authenticate for a request MAY answer it with an empty
    //# authenticator.
    //= specs/client-certs.md#section-4.2
    //# A CERTIFICATE frame MAY hold an empty authenticator.
    //= specs/client-certs.md#section-5.3
    //# A client that need not authenticate MAY prefer an empty authenticator.
    //= specs/client-certs.md#section-4.2
    //# A refusal by an empty authenticator MUST leave the connection alive.
    pub fn decline(&mut self, id: ChallengeId) -> Result<(), Misuse> {
        let request = self.unanswered(id)?.request.clone();
        let empty = self.empty_authenticator(&request);
        self.answer(id, empty)
    }

    /// Leaves the challenge in the pool, to be used with [`ClientMachine::take_kept`].
    //= specs/client-certs.md#decisions-pool
    //# (ours) A client MAY keep an untargeted challenge and answer it when it has something to
    //# present.
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
            //= specs/client-certs.md#decisions-pool
            //# (ours) A client that presents a certificate unasked MUST use the oldest fitting
            //# challenge it was left with.
            .find(|(_, challenge)| challenge.state == State::Kept && suits(&challenge.request))
            .ok_or(Misuse::PoolEmpty)?;
        challenge.state = State::Open;
        Ok(ChallengeId(self.first + index as u64))
    }

    fn unanswered(&mut self, id: ChallengeId) -> Result<&mut Challenge, Misuse> {
        if self.dead.is_some() {
            return Err(Misuse::Closed);
        }
        let index = id.0.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        index
            .and_then(|index| self.challenges.get_mut(index))
            .filter(|challenge| !matches!(challenge.state, State::Answered(_)))
            .ok_or(Misuse::NoSuchChallenge)
    }

    /// What to send next; `max_payload` is the longest payload the peer accepts, in bytes.
    pub fn poll_transmit(&mut self, max_payload: usize) -> Option<ClientTransmit> {
        if self.dead.is_some() {
            return None;
        }
        if let Some(limit) = self.limits.send() {
            //= specs/server-certs.md#section-3.1
            //= type=implication
            //# An endpoint MUST NOT set SETTINGS_HTTP_SERVER_CERT_AUTH to 0 once it has set it to
            //# 1.
            return Some(ClientTransmit::Settings(vec![self.setting(limit)]));
        }
        let id = ChallengeId(self.first);
        //= specs/client-certs.md#section-4.1.4
        //# A client MUST answer every request with a CERTIFICATE frame, in the order in which
        //# AUTHENTICATOR_REQUESTS listed them.
        //= specs/client-certs.md#section-4.2
        //# The CERTIFICATE frames MUST follow each other in the order of the requests they answer.
        //= specs/client-certs.md#section-4.2
        //# A client MUST NOT send CERTIFICATE other than in answer to a request that is still
        //# outstanding.
        let challenge = self.challenges.front()?;
        let payload = match &challenge.state {
            State::Open => return None,
            State::Kept if !self.later_is_answered() => return None,
            //= specs/client-certs.md#decisions-pool
            //# (ours) A client that answers a targeted request behind unused untargeted ones MUST
            //# decline those first, in their order.
            State::Kept => self.empty_authenticator(&challenge.request).into(),
            //= specs/client-certs.md#decisions-frames
            //# (ours) An authenticator too long for the frame size that the peer accepts MUST be
            //# replaced by an empty one.
            State::Answered(answer) if answer.len() > max_payload => {
                let empty = self.empty_authenticator(&challenge.request);
                self.events.push_back(ClientEvent::AnswerTooLong(id));
                empty.into()
            }
            State::Answered(answer) => answer.clone(),
        };
        //= specs/client-certs.md#section-4.2
        //# A client MUST send one CERTIFICATE frame, neither fewer nor more, per request received.
        //= specs/client-certs.md#section-4.1
        //# Each request MUST serve for the construction of one exported authenticator.
        self.challenges.pop_front();
        self.first += 1;
        Some(ClientTransmit::Frame(Frame {
            //= specs/client-certs.md#section-1.1
            //# A client MUST answer with CERTIFICATE frames that hold one exported authenticator
            //# each.
            //= specs/client-certs.md#section-4.2
            //# A CERTIFICATE frame MUST hold exactly one exported authenticator, made as RFC 9261,
            //# section 5.2, says.
            //= specs/client-certs.md#section-4.2
            //# A client's CERTIFICATE MUST have the format that the server draft gives it,
            //# unchanged.
            //= specs/client-certs.md#decisions-frames
            //# (ours) One authenticator MUST travel in one frame, never in several.
            kind: FrameKind::Certificate,
            payload,
        }))
    }

    fn later_is_answered(&self) -> bool {
        self.challenges.iter().any(|challenge| matches!(challenge.state, State::Answered(_)))
    }

    fn empty_authenticator(&self, request: &AuthenticatorRequest) -> Vec<u8> {
        // It is a Finished message of hash length; nothing in it can become too long.
        stateless::decline(self.connection.values(), Role::Client, request).unwrap_or_default()
    }

    /// Ends the machine: nothing is accepted or sent any more.
    //= specs/server-certs.md#section-6.1
    //# An error by which a peer breaks the rules, or which casts doubt on the connection, MUST be
    //# fatal to what it concerns.
    pub fn fail(&mut self, violation: Violation) {
        self.dead.get_or_insert(violation);
        self.challenges.clear();
        self.events.retain(|event| !matches!(event, ClientEvent::Challenge(..)));
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
        //= specs/client-certs.md#decisions-limits
        //# (ours) A client that cannot remember any more request contexts MUST end the connection,
        //# with ENHANCE_YOUR_CALM in HTTP/2 and H3_EXCESSIVE_LOAD in HTTP/3.
        RequestError::Context(ContextError::Exhausted) => Violation::TooManyContexts,
        RequestError::Context(
            ContextError::Repeated | ContextError::Replayed | ContextError::Unknown,
        //= specs/client-certs.md#decisions-frames
        //# (ours) A request that repeats a context of its connection MUST be treated as malformed.
        ) => Violation::RepeatedContext,
        RequestError::ContextTooLong
        | RequestError::ExtensionsTooLong
        | RequestError::ServerName
        | RequestError::NotInRequests(_)
        //= specs/client-certs.md#decisions-frames
        //# (ours) A request without signature_algorithms MUST be treated as malformed.
        //= specs/client-certs.md#decisions-frames
        //# (ours) A request with bytes after its end MUST be treated as malformed.
        //= specs/client-certs.md#decisions-frames
        //# (ours) A request that has an extension twice MUST be treated as malformed.
        | RequestError::Malformed(_) => Violation::MalformedRequest,
    }
}
