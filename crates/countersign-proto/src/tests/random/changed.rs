//! Messages that were changed on the way: an authenticator that was is worth nothing, and neither is
//! one to a request that was.

use bytes::Bytes;
use exported_authenticator::{AuthenticatorRequest, Validated, stateless};
use proptest::prelude::*;

use super::super::fixtures::{
    alice, answer, generic, negotiated_client, negotiated_server, policy, refusal, targeted, values,
};
use super::super::pair::MAX_PAYLOAD;
use crate::client::ClientEvent;
use crate::frame::read_requests;
use crate::link::Place;
use crate::server::ServerMachine;
use crate::{FrameKind, Role, Violation};

#[derive(Clone, Debug)]
enum Change {
    Flip { at: usize, bit: u8 },
    Cut { at: usize },
    Insert { at: usize, byte: u8 },
    Remove { at: usize },
    Repeat { at: usize },
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<usize>(), 0..8u8).prop_map(|(at, bit)| Change::Flip { at, bit }),
        1 => any::<usize>().prop_map(|at| Change::Cut { at }),
        1 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Insert { at, byte }),
        1 => any::<usize>().prop_map(|at| Change::Remove { at }),
        1 => any::<usize>().prop_map(|at| Change::Repeat { at }),
    ]
}

fn changed(bytes: &[u8], change: &Change) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match *change {
        Change::Flip { at, bit } => {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        Change::Cut { at } => bytes.truncate(at % bytes.len()),
        Change::Insert { at, byte } => bytes.insert(at % (bytes.len() + 1), byte),
        Change::Remove { at } => drop(bytes.remove(at % bytes.len())),
        Change::Repeat { at } => bytes.extend_from_within(at % bytes.len()..),
    }
    bytes
}

/// A server that has asked for two certificates, and the frame it asked with.
fn asking() -> (ServerMachine, Bytes) {
    let mut server = negotiated_server(policy(), 2);
    server.challenge(&generic()).unwrap();
    server.challenge(&targeted()).unwrap();
    let frame = server.poll_transmit(MAX_PAYLOAD).unwrap();
    (server, frame.payload)
}

fn requests_in(payload: &Bytes) -> Vec<AuthenticatorRequest> {
    let requests = read_requests(payload).unwrap();
    requests.iter().map(|bytes| AuthenticatorRequest::parse(bytes).unwrap()).collect()
}

fn receive(server: &mut ServerMachine, payload: Vec<u8>) -> Result<Validated, Violation> {
    server.frame_header(FrameKind::Certificate, Place::Control)?;
    let answer = server.certificate(payload.into())?;
    answer.verify().inspect_err(|violation| server.fail(*violation))
}

proptest! {
    #[test]
    fn a_changed_authenticator_proves_nothing(change in change(), refuse: bool, late: bool) {
        let (mut server, asked) = asking();
        let requests = requests_in(&asked);
        if late {
            prop_assert_eq!(receive(&mut server, refusal(&requests[0])), Ok(Validated::Empty));
        }
        let request = &requests[usize::from(late)];
        let good = if refuse { refusal(request) } else { answer(request) };
        let bad = changed(&good, &change);
        prop_assume!(bad != good);
        let violation = receive(&mut server, bad).unwrap_err();
        prop_assert_eq!(server.failed(), Some(violation));
        prop_assert_eq!(receive(&mut server, good), Err(violation), "dead stays dead");
    }

    #[test]
    fn a_changed_request_is_refused_or_cannot_be_answered(change in change()) {
        let (mut server, asked) = asking();
        let meant = requests_in(&asked);
        let mut client = negotiated_client(2);
        let received = client.requests(&changed(&asked, &change).into());
        let mut got = Vec::new();
        while let Some(event) = client.poll_event() {
            if let ClientEvent::Challenge(_, request) = event {
                got.push(request);
            }
        }
        if let Err(violation) = received {
            prop_assert!(got.is_empty());
            prop_assert_eq!(client.failed(), Some(violation));
            prop_assert_eq!(client.requests(&asked), Err(violation), "dead stays dead");
        }
        for (got, meant) in got.iter().zip(&meant) {
            // A length may be written in another way, which changes nothing.
            let proven = receive(&mut server, answer_to(got)).is_ok();
            prop_assert_eq!(proven, got == meant);
            if !proven {
                break;
            }
        }
    }
}

/// Alice's answer; a refusal where the change left no scheme that her key has.
fn answer_to(request: &AuthenticatorRequest) -> Vec<u8> {
    stateless::authenticate(&values(0), Role::Client, request, alice())
        .unwrap_or_else(|_| refusal(request))
}
