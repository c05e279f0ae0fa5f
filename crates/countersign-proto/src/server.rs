//! The server's side of the draft: requests go out within the client's limit, answers come back in
//! the same order.
//!
//! A challenge that the limit leaves no room for waits its turn. What is left of the limit is used to
//! keep a number of generic challenges outstanding, for clients that present what they like when they
//! like. One that was used is replaced. One that was declined is not, unless the client had to decline
//! it because a challenge behind it could not be answered otherwise.

mod answer;
mod offers;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use exported_authenticator::{
    Authenticator, AuthenticatorRequest, Connection, MessageType, RequestError, RequestTemplate,
};
use rustls::crypto::SecureRandom;

pub use self::answer::Answer;
pub use self::offers::{Offer, OfferId};

use self::offers::Offers;
use crate::frame::put_request;
use crate::link::{Frame, Place};
use crate::support::{Negotiated, PeerSettings, check_header};
use crate::{ChallengeId, CodePoints, FrameKind, Misuse, Role, Setting, Violation};

/// How a server uses the extension.
#[derive(Clone, Debug)]
pub struct ServerPolicy {
    /// The message type of its requests.
    pub message_type: MessageType,
    /// How many requests it keeps outstanding at most, whatever the client's limit.
    pub max_outstanding: usize,
    /// How many challenges wait for room at most.
    //= specs/client-certs.md#section-5.5
    //# An implementation SHOULD bound the memory that one connection can take.
    pub max_queued: usize,
    /// How many generic challenges it keeps outstanding.
    pub generic_challenges: usize,
    /// What a generic challenge asks for.
    pub generic: Arc<RequestTemplate>,
    /// Whether it has secondary certificates of its own to offer.
    pub server_certificates: bool,
}

/// What a server tells its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// The peer's SETTINGS have arrived, or changed.
    PeerSettings(PeerSettings),
    /// This challenge was longer than the peer's largest frame and was never sent.
    ChallengeTooLong(ChallengeId),
    /// This secondary certificate was longer than the peer's largest frame and was never sent.
    OfferTooLong(OfferId),
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
    /// Targeted challenges that wait for room.
    queued: VecDeque<Challenge>,
    /// A generic challenge that found no place in the last frame.
    spare: Option<Challenge>,
    outstanding: VecDeque<Challenge>,
    offers: Offers,
    /// How many generic challenges the client has not shown that it has no use for.
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
            spare: None,
            outstanding: VecDeque::new(),
            offers: Offers::default(),
            events: VecDeque::new(),
            dead: None,
        }
    }

    /// The entries for the first SETTINGS.
    pub fn local_settings(&self) -> Vec<Setting> {
        let mut settings = vec![Setting {
            id: self.points.settings_client_cert_auth.into(),
            //= specs/client-certs.md#section-3.1
            //# A server that supports the mechanism MUST confirm this by setting the value 1.
            //= specs/client-certs.md#section-3.1.1
            //# An HTTP/2 server MUST set 1 when it supports the mechanism.
            //= specs/client-certs.md#section-3.1.2
            //# An HTTP/3 server MUST set 1 when it supports the mechanism.
            value: 1,
        }];
        if self.policy.server_certificates {
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

    /// The first SETTINGS went out.
    pub fn settings_sent(&mut self) {
        self.sent = true;
    }

    /// Takes in the peer's SETTINGS.
    pub fn peer_settings(&mut self, settings: &[Setting]) -> Result<(), Violation> {
        self.guard(|machine| {
            let before = machine.peer;
            machine.peer.update(&machine.points, settings)?;
            if machine.peer != before {
                machine.events.retain(|event| !matches!(event, ServerEvent::PeerSettings(_)));
                machine.events.push_back(ServerEvent::PeerSettings(machine.peer));
            }
            Ok(())
        })
    }

    /// Whether both sides have announced support.
    //= specs/client-certs.md#section-3.1
    //# A server MUST NOT send AUTHENTICATOR_REQUESTS before client and server have both announced
    //# support.
    //= specs/client-certs.md#section-3
    //# An endpoint MUST NOT send AUTHENTICATOR_REQUESTS or a client's CERTIFICATE to a peer whose
    //# SETTINGS have not announced support.
    pub fn is_negotiated(&self) -> bool {
        self.sent && self.peer.supports_client_auth()
    }

    /// Whether both sides have announced support for secondary certificates of servers.
    //= specs/server-certs.md#section-3.1
    //# An endpoint MUST NOT use any part of the mechanism before it has sent the value 1 and
    //# received the value 1.
    pub fn can_offer(&self) -> bool {
        self.sent && self.policy.server_certificates && self.peer.supports_server_certificates()
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
    //= specs/client-certs.md#section-1.1
    //# A server MAY ask for credentials with an AUTHENTICATOR_REQUESTS frame.
    //= specs/client-certs.md#section-1.1
    //# A server MAY ask again later on the same connection while the total number asked for stays
    //# within the client's limit.
    //= specs/client-certs.md#section-4
    //# After negotiation a server MAY start authentication whenever it likes by sending
    //# AUTHENTICATOR_REQUESTS.
    //= specs/client-certs.md#section-4.1
    //# A server MAY send AUTHENTICATOR_REQUESTS at any moment after the client announced support.
    //= specs/client-certs.md#section-4.1
    //# A server MAY send more than one AUTHENTICATOR_REQUESTS frame on a connection.
    pub fn challenge(&mut self, template: &RequestTemplate) -> Result<ChallengeId, Misuse> {
        if self.dead.is_some() {
            return Err(Misuse::Closed);
        }
        if !self.is_negotiated() {
            //= specs/client-certs.md#section-1.1
            //# Authentication MUST be begun by the server, and only after both endpoints have
            //# announced support.
            return Err(Misuse::NotNegotiated);
        }
        if self.queued.len() >= self.policy.max_queued {
            return Err(Misuse::QueueFull);
        }
        let challenge = self.make(template, false)?;
        let id = challenge.id;
        self.queued.push_back(challenge);
        Ok(id)
    }

    fn make(&mut self, template: &RequestTemplate, generic: bool) -> Result<Challenge, Misuse> {
        let context = self.new_context()?;
        let request = self
            .connection
            //= specs/client-certs.md#decisions-frames
            //# (ours) A server MUST send requests of message type 17 unless it was set to 13.
            //= specs/exported-authenticators.md#decisions
            //# (ours) A server's request MAY be of either message type, since the client draft
            //# names the other one.
            .request(template, self.policy.message_type, &context)
            .map_err(|error| match error {
                RequestError::Context(_) => Misuse::ContextsExhausted,
                RequestError::ContextTooLong
                | RequestError::ExtensionsTooLong
                | RequestError::ServerName
                | RequestError::NotInRequests(_)
                | RequestError::Malformed(_) => Misuse::BadTemplate,
            })?;
        let id = ChallengeId(self.next);
        self.next += 1;
        Ok(Challenge { id, request, generic })
    }

    fn new_context(&self) -> Result<[u8; CONTEXT_LEN], Misuse> {
        //= specs/client-certs.md#section-5.2
        //# A request MUST carry a context that has not been used before, because the protection
        //# against replay rests on it.
        //= specs/client-certs.md#section-5.2
        //# The same request context SHOULD NOT be used on more than one connection.
        //= specs/exported-authenticators.md#section-4
        //# A certificate_request_context SHOULD be unpredictable for the peer, lest a thief who has
        //# the key for a while prepares authenticators in advance.
        //= specs/exported-authenticators.md#decisions
        //# (ours) A context that the implementation draws itself MUST be 32 random bytes.
        //= specs/exported-authenticators.md#section-5.2.1
        //# The context of a Certificate without a request MUST be unpredictable for the peer.
        let mut context = [0; CONTEXT_LEN];
        self.random.fill(&mut context).map_err(|_| Misuse::Random)?;
        Ok(context)
    }

    /// Begins to offer a secondary certificate: draws the context to make the authenticator with.
    pub fn begin_offer(&mut self) -> Result<Offer, Misuse> {
        if self.dead.is_some() {
            return Err(Misuse::Closed);
        }
        //= specs/server-certs.md#section-3.2
        //# A server MUST check the value in the client's SETTINGS before it sends a certificate.
        //= specs/server-certs.md#section-3.2
        //# A server SHOULD NOT send a certificate to a client that has not announced support.
        if !self.can_offer() {
            //= specs/client-certs.md#section-4.2
            //# A server MUST NOT send CERTIFICATE unless certificate authentication of servers was
            //# negotiated as the server draft says.
            return Err(Misuse::NotNegotiated);
        }
        let context = self.new_context()?;
        self.connection.contexts().spontaneous(&context).map_err(|_| Misuse::ContextsExhausted)?;
        Ok(self.offers.begin(context.to_vec(), Arc::clone(self.connection.values())))
    }

    /// Offers the authenticator that was made for `id`.
    pub fn offer(&mut self, id: OfferId, authenticator: Vec<u8>) -> Result<(), Misuse> {
        if self.dead.is_some() {
            return Err(Misuse::Closed);
        }
        self.offers.complete(id, authenticator.into());
        Ok(())
    }

    /// Withdraws a challenge that nobody waits for any more, if it has not been sent.
    pub fn withdraw(&mut self, id: ChallengeId) {
        self.queued.retain(|challenge| challenge.id != id);
    }

    /// The next generic challenge to send, if the client is to have one more.
    //= specs/client-certs.md#section-4.1
    //# A server that has received CERTIFICATE frames MAY send further requests to refill the
    //# client's supply.
    //= specs/client-certs.md#decisions-pool
    //# (ours) A server MAY hand out untargeted challenges ahead of need.
    //= specs/client-certs.md#decisions-pool
    //# (ours) A server MUST replace an untargeted challenge that was used, up to the number it was
    //# set to keep.
    fn next_generic(&mut self) -> Option<Challenge> {
        let limit = self.limit();
        // Where the client allows more than one, the last place stays free for a targeted request.
        //= specs/client-certs.md#decisions-pool
        //# (ours) Where the limit is greater than 1, untargeted challenges MUST leave room for a
        //# targeted one.
        let room = if limit > 1 { limit - 1 } else { limit };
        let outstanding = self.outstanding.iter().filter(|one| one.generic).count();
        if outstanding >= self.generic_wanted.min(room) {
            return None;
        }
        if self.spare.is_some() {
            return self.spare.take();
        }
        let template = Arc::clone(&self.policy.generic);
        let made = self.make(&template, true).ok();
        if made.is_none() {
            // It will not go better the next time, and this is asked often.
            self.generic_wanted = 0;
        }
        made
    }

    fn limit(&self) -> usize {
        let peer = usize::try_from(self.peer.client_cert_auth.unwrap_or(0)).unwrap_or(usize::MAX);
        //= specs/client-certs.md#section-3.1
        //# The number of requests that a server can make MUST NOT depend on the value the server
        //# itself set.
        //= specs/client-certs.md#section-5.5
        //# A server SHOULD limit how many requests it is ready to issue.
        //= specs/client-certs.md#section-5.5
        //# A server MAY issue fewer requests than the client would take.
        peer.min(self.policy.max_outstanding)
    }

    /// Checks a frame's header.
    pub fn frame_header(&mut self, kind: FrameKind, place: Place) -> Result<(), Violation> {
        self.guard(|machine| {
            let negotiated = Negotiated {
                client_auth: machine.is_negotiated(),
                server_certificates: machine.can_offer(),
            };
            check_header(Role::Server, kind, place, negotiated)?;
            if machine.outstanding.is_empty() {
                //= specs/client-certs.md#section-4.2
                //# A server that receives CERTIFICATE with no request outstanding MUST treat that
                //# as a connection error.
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
        self.take_certificate(payload).inspect_err(|violation| self.fail(*violation))
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
            //= specs/client-certs.md#section-4.2
            //# The CERTIFICATE frames MUST follow each other in the order of the requests they
            //# answer.
            && context != oldest.request.context()
        {
            return Err(self.misplaced(context));
        }
        //= specs/client-certs.md#section-4.1
        //# Each request MUST serve for the construction of one exported authenticator.
        let Some(Challenge { id, request, generic }) = self.outstanding.pop_front() else {
            return Err(Violation::Unsolicited);
        };
        self.connection.contexts().answer(request.context()).map_err(|_| Violation::Replayed)?;
        // Each targeted challenge excuses at most the generic ones that stood before it, so a client
        // that declines everything gets no endless supply.
        if generic && empty && self.outstanding.iter().all(|one| one.generic) {
            //= specs/client-certs.md#section-5.5
            //# A server MAY leave used requests without replacement.
            self.generic_wanted = self.generic_wanted.saturating_sub(1);
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
        if self.outstanding.iter().any(|challenge| challenge.request.context() == context) {
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
        if self.dead.is_some() {
            return None;
        }
        self.next_requests(max_payload).or_else(|| self.next_offer(max_payload))
    }

    fn next_offer(&mut self, max_payload: usize) -> Option<Frame> {
        loop {
            let (id, payload) = self.offers.next()?;
            if payload.len() <= max_payload {
                //= specs/server-certs.md#section-5.1
                //# The HTTP/2 payload MUST be bytes that the "authenticate" interface of RFC 9261
                //# returned, unchanged.
                //= specs/server-certs.md#section-5.2
                //# The HTTP/3 payload MUST be bytes that the "authenticate" interface of RFC 9261
                //# returned, unchanged.
                //= specs/server-certs.md#decisions
                //# (ours) One authenticator of a server MUST travel in one SERVER_CERTIFICATE
                //# frame, never in portions.
                //= specs/client-certs.md#section-3
                //# A server MAY send CERTIFICATE frames of its own under the rules of the server draft,
                //# whatever was announced here.
                return Some(Frame { kind: FrameKind::ServerCertificate, payload });
            }
            self.events.push_back(ServerEvent::OfferTooLong(id));
        }
    }

    fn next_requests(&mut self, max_payload: usize) -> Option<Frame> {
        if !self.is_negotiated() {
            return None;
        }
        let mut payload = Vec::new();
        //= specs/client-certs.md#section-4.1
        //# The requests that a client has yet to answer MUST NOT outnumber the limit in its
        //# setting.
        //= specs/client-certs.md#section-4.1.4
        //# A server MUST NOT have more requests outstanding at any time than the client announced.
        while self.outstanding.len() < self.limit() {
            let next = self.queued.pop_front();
            let Some(challenge) = next.or_else(|| self.next_generic()) else {
                break;
            };
            let mut entry = Vec::new();
            //= specs/client-certs.md#section-4
            //# An AUTHENTICATOR_REQUESTS frame MUST hold a list of authenticator requests as RFC
            //# 9261, section 4, defines them.
            put_request(&mut entry, challenge.request.as_bytes());
            if entry.len() > max_payload {
                self.drop_too_long(&challenge);
            } else if payload.len() + entry.len() > max_payload {
                self.put_back(challenge);
                break;
            } else {
                payload.append(&mut entry);
                self.outstanding.push_back(challenge);
            }
        }
        if payload.is_empty() {
            return None;
        }
        Some(Frame { kind: FrameKind::AuthenticatorRequests, payload: payload.into() })
    }

    fn put_back(&mut self, challenge: Challenge) {
        if challenge.generic {
            self.spare = Some(challenge);
        } else {
            self.queued.push_front(challenge);
        }
    }

    fn drop_too_long(&mut self, challenge: &Challenge) {
        if challenge.generic {
            // The others are as long.
            self.generic_wanted = 0;
        } else {
            self.events.push_back(ServerEvent::ChallengeTooLong(challenge.id));
        }
    }

    /// Ends the machine: nothing is accepted or sent any more.
    pub fn fail(&mut self, violation: Violation) {
        self.dead.get_or_insert(violation);
        self.queued.clear();
        self.spare = None;
        self.outstanding.clear();
        self.offers.clear();
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
