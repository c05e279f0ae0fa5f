//! A client and a server with the two directions of a connection between them.

use std::collections::VecDeque;

use exported_authenticator::{AuthenticatorRequest, Validated, stateless};

use super::fixtures::{alice, client, server, values};
use crate::client::{ClientEvent, ClientMachine, ClientTransmit};
use crate::frame::read_requests;
use crate::link::{Frame, Place};
use crate::server::{ServerEvent, ServerMachine, ServerPolicy};
use crate::{ChallengeId, FrameKind, Role, Setting, Violation};

/// What travels, in order and reliably, in one direction.
#[derive(Clone, Debug)]
pub(super) enum Wire {
    Settings(Vec<Setting>),
    /// The acknowledgement of one SETTINGS, and whether the extension was in that.
    Ack(bool),
    Frame(Frame),
}

/// The longest payload of HTTP/2's default SETTINGS_MAX_FRAME_SIZE.
pub(super) const MAX_PAYLOAD: usize = 16_384;

pub(super) struct Pair {
    pub(super) client: ClientMachine,
    pub(super) server: ServerMachine,
    pub(super) to_client: VecDeque<Wire>,
    pub(super) to_server: VecDeque<Wire>,
    /// The longest payload that the client accepts.
    pub(super) client_max: usize,
    /// The longest payload that the server accepts.
    pub(super) server_max: usize,
    /// What the client was told and has not looked at.
    pub(super) asked: VecDeque<(ChallengeId, AuthenticatorRequest)>,
    pub(super) too_long: Vec<ChallengeId>,
    /// What the server got, verified, in order.
    pub(super) answers: Vec<(ChallengeId, Validated)>,
    pub(super) never_sent: Vec<ChallengeId>,
    /// The contexts that were asked with, and those that were answered, in order.
    pub(super) sent: Vec<Vec<u8>>,
    pub(super) answered: Vec<Vec<u8>>,
}

impl Pair {
    /// Both ends, before anything was said.
    pub(super) fn new(limit: u32, policy: ServerPolicy) -> Self {
        Self {
            client: client(limit),
            server: server(policy),
            to_client: VecDeque::new(),
            to_server: VecDeque::new(),
            client_max: MAX_PAYLOAD,
            server_max: MAX_PAYLOAD,
            asked: VecDeque::new(),
            too_long: Vec::new(),
            answers: Vec::new(),
            never_sent: Vec::new(),
            sent: Vec::new(),
            answered: Vec::new(),
        }
    }

    /// Both ends after both have announced what they can, and after what follows from it.
    pub(super) fn negotiated(limit: u32, policy: ServerPolicy) -> Self {
        let mut pair = Self::new(limit, policy);
        pair.start_client();
        pair.start_server();
        pair.settle();
        pair
    }

    pub(super) fn start_client(&mut self) {
        let settings = self.client.local_settings();
        self.to_server.push_back(Wire::Settings(settings));
        self.client.settings_sent();
    }

    pub(super) fn start_server(&mut self) {
        let settings = self.server.local_settings();
        self.to_client.push_back(Wire::Settings(settings));
        self.server.settings_sent();
    }

    /// Lets the client send one thing, if it has one.
    pub(super) fn client_sends(&mut self) -> bool {
        let wire = match self.client.poll_transmit(self.server_max) {
            Some(ClientTransmit::Frame(frame)) => Wire::Frame(frame),
            Some(ClientTransmit::Settings(settings)) => Wire::Settings(settings),
            None => return false,
        };
        self.to_server.push_back(wire);
        true
    }

    /// Lets the server send one thing, if it has one.
    pub(super) fn server_sends(&mut self) -> bool {
        let Some(frame) = self.server.poll_transmit(self.client_max) else {
            return false;
        };
        for request in read_requests(&frame.payload).unwrap() {
            let request = AuthenticatorRequest::parse(&request).unwrap();
            self.sent.push(request.context().to_vec());
        }
        self.to_client.push_back(Wire::Frame(frame));
        true
    }

    /// Delivers the next thing to the client. The HTTP stack acknowledges SETTINGS by itself.
    pub(super) fn client_receives(&mut self) -> Result<bool, Violation> {
        match self.to_client.pop_front() {
            None => return Ok(false),
            Some(Wire::Settings(settings)) => self.client.peer_settings(&settings)?,
            Some(Wire::Ack(true)) => self.client.settings_acked(),
            Some(Wire::Ack(false)) => {}
            Some(Wire::Frame(frame)) => {
                self.client.frame_header(frame.kind, Place::Control)?;
                self.client.requests(&frame.payload)?;
            }
        }
        while let Some(event) = self.client.poll_event() {
            match event {
                ClientEvent::PeerSettings(_) => {}
                ClientEvent::Challenge(id, request) => self.asked.push_back((id, request)),
                ClientEvent::AnswerTooLong(id) => self.too_long.push(id),
            }
        }
        Ok(true)
    }

    /// Delivers the next thing to the server and verifies what it is.
    pub(super) fn server_receives(&mut self) -> Result<bool, Violation> {
        match self.to_server.pop_front() {
            None => return Ok(false),
            Some(Wire::Settings(settings)) => {
                self.server.peer_settings(&settings)?;
                self.to_client.push_back(Wire::Ack(!settings.is_empty()));
            }
            Some(Wire::Ack(_)) => {}
            Some(Wire::Frame(frame)) => self.certificate(frame)?,
        }
        while let Some(event) = self.server.poll_event() {
            match event {
                ServerEvent::PeerSettings(_) => {}
                ServerEvent::ChallengeTooLong(id) => self.never_sent.push(id),
                ServerEvent::OfferTooLong(id) => panic!("nothing was offered, but {id:?}"),
            }
        }
        Ok(true)
    }

    fn certificate(&mut self, frame: Frame) -> Result<(), Violation> {
        assert_eq!(frame.kind, FrameKind::Certificate);
        self.server.frame_header(frame.kind, Place::Control)?;
        let answer = self.server.certificate(frame.payload)?;
        let id = answer.id;
        self.answered.push(answer.request.context().to_vec());
        let validated = answer.verify().inspect_err(|violation| self.server.fail(*violation))?;
        self.answers.push((id, validated));
        Ok(())
    }

    /// Passes everything on until nobody has anything to say.
    pub(super) fn settle(&mut self) {
        loop {
            let mut busy = self.client_sends() | self.server_sends();
            busy |= self.client_receives().unwrap();
            busy |= self.server_receives().unwrap();
            if !busy {
                break;
            }
        }
        while let Some(event) = self.client.poll_event() {
            if let ClientEvent::AnswerTooLong(id) = event {
                self.too_long.push(id);
            }
        }
        while let Some(event) = self.server.poll_event() {
            if let ServerEvent::ChallengeTooLong(id) = event {
                self.never_sent.push(id);
            }
        }
    }

    /// The numbers of what the client was asked for and has not looked at.
    pub(super) fn asked(&mut self) -> Vec<ChallengeId> {
        self.asked.drain(..).map(|(id, _)| id).collect()
    }

    /// Answers with Alice's certificate.
    pub(super) fn present(&mut self, id: ChallengeId) {
        let request = self.client.request(id).unwrap().clone();
        let answer = stateless::authenticate(&values(0), Role::Client, &request, alice()).unwrap();
        self.client.answer(id, answer).unwrap();
    }

    /// The answers the server got since the last look: `true` for a certificate, `false` for a refusal.
    pub(super) fn answers(&mut self) -> Vec<(u64, bool)> {
        self.answers
            .drain(..)
            .map(|(id, validated)| (id.0, matches!(validated, Validated::Proven(_))))
            .collect()
    }
}
