//! The server's table. The client's limit is 2 unless the state says otherwise; the server's
//! challenges have the contexts 0, 1, ... in the order of making.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use exported_authenticator::{AuthenticatorRequest, MessageType, RequestTemplate, Validated};
use rustls::crypto::{GetRandomFailed, SecureRandom};

use super::super::fixtures::{
    answer, client_auth, generic, policy, refusal, server_with, targeted,
};
use super::super::pair::MAX_PAYLOAD;
use super::{Event, State, Subject, announced, done, said, standing, table};
use crate::frame::read_requests;
use crate::link::Place;
use crate::server::{Answer, ServerEvent, ServerMachine, ServerPolicy};
use crate::{ChallengeId, FrameKind, Setting, Violation};

#[test]
fn server_table() {
    insta::assert_snapshot!(table(STATES, EVENTS));
}

const STATES: &[State<Asking>] = &[
    ("nothing sent", || fresh(0)),
    ("nothing sent, client announced 2", || {
        let mut server = fresh(0);
        server.machine.peer_settings(&client_auth(2)).unwrap();
        quiet(server)
    }),
    ("sent, client silent", || sent(0)),
    ("sent, client announced nothing", || announced_by(0, &[])),
    ("sent, client announced 0", || announced_by(0, &client_auth(0))),
    ("negotiated, idle", || asked(0)),
    ("#0 not sent", || challenged(asked(0), 1)),
    ("#0 outstanding", || asked(1)),
    ("#0, #1 outstanding (at the limit)", || asked(2)),
    ("#0, #1 outstanding, #2 not sent", || challenged(asked(2), 1)),
    ("#0, #1 outstanding, #2 and #3 not sent (full)", || challenged(asked(2), 2)),
    ("#0, #1 outstanding, limit lowered to 1", || {
        let mut server = asked(2);
        server.machine.peer_settings(&client_auth(1)).unwrap();
        quiet(server)
    }),
    ("#0 generic outstanding", || pool()),
    ("#0 generic outstanding, limit 1", || announced_by(1, &client_auth(1))),
    ("#0 generic, #1 targeted outstanding", || quiet(challenged(pool(), 1))),
    ("#0 answered", || {
        let mut server = asked(1);
        let bytes = answer(&server.request(0));
        server.machine.certificate(bytes.into()).unwrap();
        server
    }),
    ("#0 answered, #1 outstanding", || {
        let mut server = asked(2);
        let bytes = answer(&server.request(0));
        server.machine.certificate(bytes.into()).unwrap();
        server
    }),
    ("dead", || {
        let mut server = challenged(asked(2), 1);
        server.machine.fail(Violation::InsideHeaderBlock);
        server
    }),
];

const EVENTS: &[Event<Asking>] = &[
    ("(nothing)", |_| "ok".into()),
    ("our SETTINGS go out", |server| {
        server.machine.settings_sent();
        "ok".into()
    }),
    ("SETTINGS without the extension", |server| {
        said(server.machine.peer_settings(&[Setting { id: 4, value: 0 }]))
    }),
    ("SETTINGS client=0", |server| said(server.machine.peer_settings(&client_auth(0)))),
    ("SETTINGS client=1", |server| said(server.machine.peer_settings(&client_auth(1)))),
    ("SETTINGS client=2", |server| said(server.machine.peer_settings(&client_auth(2)))),
    ("SETTINGS client=3", |server| said(server.machine.peer_settings(&client_auth(3)))),
    ("SETTINGS server=1", |server| {
        said(server.machine.peer_settings(&[Setting { id: 0xff0d, value: 1 }]))
    }),
    ("header CERTIFICATE", |server| {
        said(server.machine.frame_header(FrameKind::Certificate, Place::Control))
    }),
    ("header CERTIFICATE, stream 1", |server| {
        said(server.machine.frame_header(FrameKind::Certificate, Place::Stream(1)))
    }),
    ("header AUTHENTICATOR_REQUESTS", |server| {
        said(server.machine.frame_header(FrameKind::AuthenticatorRequests, Place::Control))
    }),
    ("header SERVER_CERTIFICATE", |server| {
        said(server.machine.frame_header(FrameKind::ServerCertificate, Place::Control))
    }),
    ("CERTIFICATE for #0", |server| certificate(server, answer(&server.request(0)))),
    ("CERTIFICATE for #1", |server| certificate(server, answer(&server.request(1)))),
    ("CERTIFICATE refusing #0", |server| certificate(server, refusal(&server.request(0)))),
    ("CERTIFICATE refusing #1", |server| certificate(server, refusal(&server.request(1)))),
    ("CERTIFICATE of an unknown context", |server| {
        certificate(server, answer(&server.request(99)))
    }),
    ("CERTIFICATE, malformed", |server| certificate(server, vec![0xff; 9])),
    ("CERTIFICATE, empty", |server| certificate(server, vec![])),
    ("challenge", |server| done(server.machine.challenge(&targeted()), |id| format!("#{}", id.0))),
    ("challenge for nothing", |server| {
        let template = RequestTemplate::new(Vec::new());
        done(server.machine.challenge(&template), |id| format!("#{}", id.0))
    }),
    ("withdraw #0", |server| {
        server.machine.withdraw(ChallengeId(0));
        "ok".into()
    }),
    ("withdraw #2", |server| {
        server.machine.withdraw(ChallengeId(2));
        "ok".into()
    }),
    ("send to a peer that accepts 10 bytes", |server| {
        let sent = server.machine.poll_transmit(10).is_some();
        format!("sends something: {sent}")
    }),
    ("the transport fails it", |server| {
        server.machine.fail(Violation::WrongStream);
        "ok".into()
    }),
];

/// Takes in an answer and verifies it, as its user does.
fn certificate(server: &mut Asking, payload: Vec<u8>) -> String {
    let server = &mut server.machine;
    let verified = server.certificate(payload.into()).and_then(|answer| {
        let Answer { id, generic, .. } = answer;
        let validated = answer.verify().inspect_err(|violation| server.fail(*violation))?;
        Ok((id, generic, validated))
    });
    match verified {
        Ok((id, generic, validated)) => {
            let generic = if generic { "generic " } else { "" };
            let what = match validated {
                Validated::Empty => "refused",
                Validated::Proven(_) => "proven",
            };
            format!("{generic}#{} {what}", id.0)
        }
        Err(violation) => format!("VIOLATION {violation:?}"),
    }
}

/// A server with the requests that it has sent.
struct Asking {
    machine: ServerMachine,
    sent: Vec<AuthenticatorRequest>,
}

impl Asking {
    /// What it asked with number `id`, or would have.
    fn request(&self, id: u8) -> AuthenticatorRequest {
        let sent = self.sent.iter().find(|sent| sent.context() == [id; 32]);
        sent.cloned().unwrap_or_else(|| {
            targeted().build(MessageType::ClientCertificateRequest, &[id; 32]).unwrap()
        })
    }
}

impl Subject for Asking {
    fn drain(&mut self, out: &mut Vec<String>) {
        loop {
            if let Some(event) = self.machine.poll_event() {
                out.push(match event {
                    ServerEvent::PeerSettings(peer) => announced(&peer),
                    ServerEvent::ChallengeTooLong(id) => format!("tells #{} is too long", id.0),
                    ServerEvent::OfferTooLong(id) => format!("tells offer {} is too long", id.0),
                });
            } else if let Some(frame) = self.machine.poll_transmit(MAX_PAYLOAD) {
                let contexts: Vec<_> = read_requests(&frame.payload)
                    .unwrap()
                    .iter()
                    .map(|bytes| {
                        let request = AuthenticatorRequest::parse(bytes).unwrap();
                        let kind = if request.is_targeted() { "" } else { "generic " };
                        let name = format!("{kind}#{}", request.context()[0]);
                        self.sent.push(request);
                        name
                    })
                    .collect();
                out.push(format!("sends {} {}", frame.kind, contexts.join("+")));
            } else {
                return;
            }
        }
    }

    fn standing(&self) -> String {
        let machine = &self.machine;
        standing(machine.failed(), machine.is_negotiated(), machine.outstanding())
    }
}

fn fresh(generic_challenges: usize) -> Asking {
    let policy = ServerPolicy {
        generic_challenges,
        max_queued: 2,
        generic: Arc::new(generic()),
        ..policy()
    };
    let random = Box::leak(Box::new(Counting(AtomicU8::new(0))));
    Asking { machine: server_with(policy, 100, random), sent: Vec::new() }
}

fn quiet(mut server: Asking) -> Asking {
    server.drain(&mut Vec::new());
    server
}

fn sent(generic_challenges: usize) -> Asking {
    let mut server = fresh(generic_challenges);
    server.machine.settings_sent();
    server
}

fn announced_by(generic_challenges: usize, settings: &[Setting]) -> Asking {
    let mut server = sent(generic_challenges);
    server.machine.peer_settings(settings).unwrap();
    quiet(server)
}

fn challenged(mut server: Asking, count: usize) -> Asking {
    for _ in 0..count {
        server.machine.challenge(&targeted()).unwrap();
    }
    server
}

fn asked(count: usize) -> Asking {
    quiet(challenged(announced_by(0, &client_auth(2)), count))
}

/// With one generic challenge outstanding.
fn pool() -> Asking {
    announced_by(1, &client_auth(2))
}

/// 32 times 0, then 32 times 1, and so on.
#[derive(Debug)]
struct Counting(AtomicU8);

impl SecureRandom for Counting {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
        Ok(())
    }
}
