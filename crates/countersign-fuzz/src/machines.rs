//! Sequences of events for the two machines: a byte says what happens, those behind it with what.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use countersign_proto::client::{ClientEvent, ClientMachine, ClientTransmit};
use countersign_proto::link::Place;
use countersign_proto::server::{ServerMachine, ServerPolicy};
use countersign_proto::{CodePoints, FrameKind, Role, Setting, Violation};
use exported_authenticator::MessageType;
use rustls::crypto::{GetRandomFailed, SecureRandom};

use crate::seeds::{connection, template};

/// Challenges that a server here keeps outstanding, and frames that it may send.
const MAX_OUTSTANDING: usize = 5;
const MAX_FRAME: usize = 2_000;
/// A client's limit.
const LIMIT: u32 = 4;

const KINDS: [FrameKind; 3] =
    [FrameKind::AuthenticatorRequests, FrameKind::Certificate, FrameKind::ServerCertificate];

/// Never the same twice, but nothing that a run depends on.
#[derive(Debug)]
struct Counting(AtomicU64);

static RANDOM: Counting = Counting(AtomicU64::new(0));

impl SecureRandom for Counting {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        let number = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (to, from) in buffer.iter_mut().zip(number.iter().cycle()) {
            *to = *from;
        }
        Ok(())
    }
}

/// What is left of the input.
struct Events<'a>(&'a [u8]);

impl<'a> Events<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn payload(&mut self) -> Option<Bytes> {
        let (length, rest) = self.0.split_first_chunk::<2>()?;
        let (payload, rest) =
            rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        self.0 = rest;
        Some(Bytes::copy_from_slice(payload))
    }

    fn settings(&mut self) -> Option<Vec<Setting>> {
        let points = CodePoints::default();
        let value = self.byte()?;
        let id = if value < 200 {
            points.settings_client_cert_auth
        } else {
            points.settings_server_cert_auth
        };
        Some(vec![Setting { id: id.into(), value: u64::from(value % 100) }])
    }

    fn header(&mut self) -> Option<(FrameKind, Place)> {
        let byte = self.byte()?;
        let kind = KINDS.get(usize::from(byte % 3)).copied()?;
        Some((kind, if byte < 200 { Place::Control } else { Place::Stream(1) }))
    }
}

/// A violation that was there stays, whatever comes.
fn stays(before: Option<Violation>, after: Option<Violation>) {
    assert!(before.is_none() || before == after, "{before:?} became {after:?}");
}

pub(crate) fn server(input: &[u8]) {
    let policy = ServerPolicy {
        message_type: MessageType::ClientCertificateRequest,
        max_outstanding: MAX_OUTSTANDING,
        max_queued: 8,
        generic_challenges: 2,
        generic: Arc::new(template()),
        server_certificates: false,
    };
    let points = CodePoints::default();
    let mut machine = ServerMachine::new(connection(Role::Server), points, policy, &RANDOM);
    let mut events = Events(input);
    while let Some(event) = events.byte() {
        let before = machine.failed();
        match event % 8 {
            0 => machine.settings_sent(),
            1 => {
                let Some(settings) = events.settings() else { break };
                let _outcome = machine.peer_settings(&settings);
            }
            2 => {
                let Some((kind, place)) = events.header() else { break };
                let _outcome = machine.frame_header(kind, place);
            }
            3 => {
                let _outcome = machine.challenge(&template());
            }
            4 => {
                let Some(payload) = events.payload() else { break };
                if let Ok(answer) = machine.certificate(payload) {
                    let _verdict = answer.verify().map_err(|violation| machine.fail(violation));
                }
            }
            5 => while machine.poll_event().is_some() {},
            _ => {
                if let Some(frame) = machine.poll_transmit(MAX_FRAME) {
                    assert!(frame.payload.len() <= MAX_FRAME);
                    assert_eq!(frame.kind.sender(), Role::Server);
                    assert!(machine.is_negotiated(), "a frame before both have announced support");
                }
            }
        }
        assert!(machine.outstanding() <= MAX_OUTSTANDING);
        stays(before, machine.failed());
    }
}

pub(crate) fn client(input: &[u8]) {
    let mut machine = ClientMachine::new(connection(Role::Client), CodePoints::default(), LIMIT);
    let (mut asked, mut events) = (Vec::new(), Events(input));
    while let Some(event) = events.byte() {
        let before = machine.failed();
        match event % 9 {
            0 => machine.settings_sent(),
            1 => {
                let Some(settings) = events.settings() else { break };
                let _outcome = machine.peer_settings(&settings);
            }
            2 => {
                let Some(payload) = events.payload() else { break };
                let _outcome = machine.requests(&payload);
            }
            3 => {
                while let Some(event) = machine.poll_event() {
                    if let ClientEvent::Challenge(id, _) = event {
                        asked.push(id);
                    }
                }
            }
            4 => {
                if let Some(id) = asked.pop() {
                    let _outcome = machine.decline(id);
                }
            }
            5 => {
                if let Some(id) = asked.last() {
                    let _outcome = machine.keep(*id);
                }
            }
            6 => {
                let Some((kind, place)) = events.header() else { break };
                let _outcome = machine.frame_header(kind, place);
            }
            7 => {
                if let Some(id) = asked.pop() {
                    let _outcome = machine.answer(id, vec![0; 40]);
                }
            }
            _ => match machine.poll_transmit(MAX_FRAME) {
                Some(ClientTransmit::Frame(frame)) => {
                    assert!(frame.payload.len() <= MAX_FRAME);
                    assert_eq!(frame.kind, FrameKind::Certificate);
                    assert!(machine.is_negotiated(), "a frame before both have announced support");
                }
                Some(ClientTransmit::Settings(_)) | None => {}
            },
        }
        assert!(machine.outstanding() <= LIMIT as usize);
        stays(before, machine.failed());
    }
}
