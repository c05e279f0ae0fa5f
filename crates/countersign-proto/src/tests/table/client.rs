//! The client's table. Its limit is 2 unless the state says otherwise.

use super::super::fixtures::{client, client_auth, negotiated_client, payload, refusal, request};
use super::super::pair::MAX_PAYLOAD;
use super::{Event, State, Subject, announced, done, said, standing, table};
use crate::client::{ClientEvent, ClientMachine, ClientTransmit};
use crate::link::Place;
use crate::{ChallengeId, FrameKind, Misuse, Setting, Violation};

#[test]
fn client_table() {
    insta::assert_snapshot!(table(STATES, EVENTS));
}

const STATES: &[State<ClientMachine>] = &[
    ("nothing sent", || client(2)),
    ("nothing sent, server announced 1", || {
        let mut client = client(2);
        client.peer_settings(&client_auth(1)).unwrap();
        quiet(client)
    }),
    ("nothing sent, limit set to 5", || {
        let mut client = client(2);
        client.set_limit(5).unwrap();
        client
    }),
    ("sent, server silent", || sent(2)),
    ("sent, server announced nothing", || announced_by(2, &[])),
    ("sent, server announced 0", || announced_by(2, &client_auth(0))),
    ("limit 0, server announced 1", || announced_by(0, &client_auth(1))),
    ("negotiated, idle", || negotiated_client(2)),
    ("#0 open", || asked(1)),
    ("#0 kept", || kept(1)),
    ("#0 taken out of the pool", || {
        let mut client = kept(1);
        client.take_kept(|_| true).unwrap();
        client
    }),
    ("#0 answered, not sent", || {
        let mut client = asked(1);
        client.answer(ChallengeId(0), b"answer 0".into()).unwrap();
        client
    }),
    ("#0 open, #1 open (at the limit)", || asked(2)),
    ("#0 open, #1 answered", || {
        let mut client = asked(2);
        client.answer(ChallengeId(1), b"answer 1".into()).unwrap();
        client
    }),
    ("#0 kept, #1 open", || {
        let mut client = asked(2);
        client.keep(ChallengeId(0)).unwrap();
        client
    }),
    ("#0 kept, #1 kept", || kept(2)),
    ("#0 answered and sent", || {
        let mut client = asked(1);
        client.decline(ChallengeId(0)).unwrap();
        quiet(client)
    }),
    ("limit raised to 3, not sent", || {
        let mut client = asked(2);
        client.set_limit(3).unwrap();
        client
    }),
    ("limit lowered to 1, not acknowledged", || lowered(asked(0))),
    ("limit lowered to 1, acknowledged, #0 and #1 open", || {
        let mut client = lowered(asked(2));
        client.settings_acked();
        client
    }),
    ("dead", || {
        let mut client = asked(2);
        client.fail(Violation::InsideHeaderBlock);
        client
    }),
];

const EVENTS: &[Event<ClientMachine>] = &[
    ("(nothing)", |_| "ok".into()),
    ("our SETTINGS go out", |client| {
        client.settings_sent();
        "ok".into()
    }),
    ("our SETTINGS are acknowledged", |client| {
        client.settings_acked();
        "ok".into()
    }),
    ("SETTINGS without the extension", |client| {
        said(client.peer_settings(&[Setting { id: 4, value: 0 }]))
    }),
    ("SETTINGS client=0", |client| said(client.peer_settings(&client_auth(0)))),
    ("SETTINGS client=1", |client| said(client.peer_settings(&client_auth(1)))),
    ("SETTINGS client=7", |client| said(client.peer_settings(&client_auth(7)))),
    ("SETTINGS server=1", |client| said(client.peer_settings(&[Setting { id: 0xff0d, value: 1 }]))),
    ("header AUTHENTICATOR_REQUESTS", |client| {
        said(client.frame_header(FrameKind::AuthenticatorRequests, Place::Control))
    }),
    ("header AUTHENTICATOR_REQUESTS, stream 1", |client| {
        said(client.frame_header(FrameKind::AuthenticatorRequests, Place::Stream(1)))
    }),
    ("header CERTIFICATE", |client| {
        said(client.frame_header(FrameKind::Certificate, Place::Control))
    }),
    ("header SERVER_CERTIFICATE", |client| {
        said(client.frame_header(FrameKind::ServerCertificate, Place::Control))
    }),
    ("AUTHENTICATOR_REQUESTS with 1", |client| said(client.requests(&payload([&request(10)])))),
    ("AUTHENTICATOR_REQUESTS with 2", |client| {
        said(client.requests(&payload([&request(10), &request(11)])))
    }),
    ("AUTHENTICATOR_REQUESTS with 3", |client| {
        said(client.requests(&payload([10, 11, 12].map(request).iter())))
    }),
    ("AUTHENTICATOR_REQUESTS with none", |client| said(client.requests(&payload([])))),
    ("AUTHENTICATOR_REQUESTS, length cut", |client| said(client.requests(&vec![0x40].into()))),
    ("AUTHENTICATOR_REQUESTS, malformed", |client| said(client.requests(&vec![1, 0].into()))),
    ("AUTHENTICATOR_REQUESTS, context of #0", |client| {
        said(client.requests(&payload([&request(0)])))
    }),
    ("answer #0", |client| unit(client.answer(ChallengeId(0), b"new 0".into()))),
    ("answer #0, longer than the peer accepts", |client| {
        unit(client.answer(ChallengeId(0), vec![0; TOO_LONG]))
    }),
    ("answer #1", |client| unit(client.answer(ChallengeId(1), b"new 1".into()))),
    ("decline #0", |client| unit(client.decline(ChallengeId(0)))),
    ("decline #1", |client| unit(client.decline(ChallengeId(1)))),
    ("keep #0", |client| unit(client.keep(ChallengeId(0)))),
    ("keep #1", |client| unit(client.keep(ChallengeId(1)))),
    ("take from the pool", |client| done(client.take_kept(|_| true), |id| format!("#{}", id.0))),
    ("set limit 0", |client| unit(client.set_limit(0))),
    ("set limit 1", |client| unit(client.set_limit(1))),
    ("set limit 2", |client| unit(client.set_limit(2))),
    ("set limit 9", |client| unit(client.set_limit(9))),
    ("the transport fails it", |client| {
        client.fail(Violation::WrongStream);
        "ok".into()
    }),
];

const TOO_LONG: usize = MAX_PAYLOAD + 1;

impl Subject for ClientMachine {
    fn drain(&mut self, out: &mut Vec<String>) {
        loop {
            if let Some(event) = self.poll_event() {
                out.push(match event {
                    ClientEvent::PeerSettings(peer) => announced(&peer),
                    ClientEvent::Challenge(id, _) => format!("asks #{}", id.0),
                    ClientEvent::AnswerTooLong(id) => format!("tells #{} is too long", id.0),
                });
            } else if let Some(transmit) = self.poll_transmit(MAX_PAYLOAD) {
                out.push(match transmit {
                    ClientTransmit::Settings(settings) => {
                        format!("sends SETTINGS client={}", settings[0].value)
                    }
                    ClientTransmit::Frame(frame) => {
                        format!("sends {} {}", frame.kind, answer_name(&frame.payload))
                    }
                });
            } else {
                return;
            }
        }
    }

    fn standing(&self) -> String {
        standing(self.failed(), self.is_negotiated(), self.outstanding())
    }
}

/// Which answer it is: answers in these tests are texts, refusals are real.
fn answer_name(payload: &[u8]) -> String {
    (0..20).find(|context| refusal(&request(*context)) == payload).map_or_else(
        || format!("{:?}", String::from_utf8_lossy(payload)),
        |context| format!("refusing context {context}"),
    )
}

fn unit(result: Result<(), Misuse>) -> String {
    done(result, |()| "ok".into())
}

fn quiet(mut client: ClientMachine) -> ClientMachine {
    client.drain(&mut Vec::new());
    client
}

fn sent(limit: u32) -> ClientMachine {
    let mut client = client(limit);
    client.settings_sent();
    client
}

fn announced_by(limit: u32, settings: &[Setting]) -> ClientMachine {
    let mut client = sent(limit);
    client.peer_settings(settings).unwrap();
    quiet(client)
}

/// Asked for the contexts from 0 up, told so, and nothing done about it.
fn asked(count: u8) -> ClientMachine {
    let mut client = negotiated_client(2);
    for context in 0..count {
        client.requests(&payload([&request(context)])).unwrap();
    }
    quiet(client)
}

fn kept(count: u8) -> ClientMachine {
    let mut client = asked(count);
    for id in 0..count {
        client.keep(ChallengeId(id.into())).unwrap();
    }
    client
}

fn lowered(mut client: ClientMachine) -> ClientMachine {
    client.settings_acked();
    client.set_limit(1).unwrap();
    quiet(client)
}
