//! Everything that can be done to a machine, in any order: it never panics, it stays within its
//! bounds, and once dead it stays dead.

use bytes::Bytes;
use countersign_testkit::SeededRandom;
use proptest::prelude::*;

use super::super::fixtures::{
    answer, client_with, generic, payload, policy, refusal, request, server_with, targeted,
};
use crate::client::{ClientMachine, ClientTransmit};
use crate::link::Place;
use crate::server::{ServerMachine, ServerPolicy};
use crate::{ChallengeId, FrameKind, Setting, Violation};

/// What a peer, a transport and a caller can do. Numbers are small so that they meet.
#[derive(Clone, Debug)]
enum Deed {
    Start,
    Acked,
    Settings(Vec<Setting>),
    Header(FrameKind, Place),
    /// A payload that decodes, of these contexts.
    Good(Vec<u8>),
    Bad(Vec<u8>),
    Answer(u64, usize),
    Decline(u64),
    Keep(u64),
    TakeKept,
    Challenge(bool),
    Withdraw(u64),
    SetLimit(u32),
    Transmit(usize),
    Event,
    Fail,
}

fn setting() -> impl Strategy<Value = Setting> {
    let ids = prop::sample::select(vec![0xff0c, 0xff0c, 0xff0d, 4]);
    // Rarely 0, which ends most stories.
    let values = prop::sample::select(vec![0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
    (ids, values).prop_map(|(id, value)| Setting { id, value })
}

fn deed() -> impl Strategy<Value = Deed> {
    let kind = prop::sample::select(vec![
        FrameKind::AuthenticatorRequests,
        FrameKind::Certificate,
        FrameKind::ServerCertificate,
    ]);
    let place = prop::sample::select(vec![Place::Control, Place::Control, Place::Stream(1)]);
    prop_oneof![
        2 => Just(Deed::Start),
        1 => Just(Deed::Acked),
        4 => prop::collection::vec(setting(), 0..3).prop_map(Deed::Settings),
        1 => (kind, place).prop_map(|(kind, place)| Deed::Header(kind, place)),
        6 => prop::collection::vec(0..30u8, 1..3).prop_map(Deed::Good),
        1 => prop::collection::vec(any::<u8>(), 0..50).prop_map(Deed::Bad),
        3 => (0..20u64, 0..200usize).prop_map(|(id, len)| Deed::Answer(id, len)),
        3 => (0..20u64).prop_map(Deed::Decline),
        3 => (0..20u64).prop_map(Deed::Keep),
        1 => Just(Deed::TakeKept),
        4 => any::<bool>().prop_map(Deed::Challenge),
        1 => (0..20u64).prop_map(Deed::Withdraw),
        1 => (0..5u32).prop_map(Deed::SetLimit),
        6 => (0..300usize).prop_map(Deed::Transmit),
        3 => Just(Deed::Event),
        1 => Just(Deed::Fail),
    ]
}

/// Does it to a client; what only a server has is nothing to it.
fn to_client(client: &mut ClientMachine, deed: &Deed) -> Result<(), Violation> {
    match deed {
        Deed::Start => client.settings_sent(),
        Deed::Acked => client.settings_acked(),
        Deed::Settings(settings) => client.peer_settings(settings)?,
        Deed::Header(kind, place) => client.frame_header(*kind, *place)?,
        Deed::Good(contexts) => {
            let requests: Vec<_> = contexts.iter().map(|context| request(*context)).collect();
            client.requests(&payload(&requests))?;
        }
        Deed::Bad(bytes) => client.requests(&Bytes::copy_from_slice(bytes))?,
        Deed::Answer(id, len) => drop(client.answer(ChallengeId(*id), vec![0; *len])),
        Deed::Decline(id) => drop(client.decline(ChallengeId(*id))),
        Deed::Keep(id) => drop(client.keep(ChallengeId(*id))),
        Deed::TakeKept => drop(client.take_kept(|_| true)),
        Deed::SetLimit(limit) => drop(client.set_limit(*limit)),
        Deed::Transmit(len) => {
            if let Some(ClientTransmit::Frame(frame)) = client.poll_transmit(*len) {
                assert_eq!(frame.kind, FrameKind::Certificate);
                // A refusal is short enough for every transport there is.
                assert!(frame.payload.len() <= (*len).max(36));
            }
        }
        Deed::Event => drop(client.poll_event()),
        Deed::Fail => client.fail(Violation::FrameTooLong),
        Deed::Challenge(_) | Deed::Withdraw(_) => {}
    }
    client.failed().map_or(Ok(()), Err)
}

/// Does it to a server; what only a client has is nothing to it.
fn to_server(server: &mut ServerMachine, deed: &Deed) -> Result<(), Violation> {
    match deed {
        Deed::Start => server.settings_sent(),
        Deed::Settings(settings) => server.peer_settings(settings)?,
        Deed::Header(kind, place) => server.frame_header(*kind, *place)?,
        Deed::Good(contexts) => {
            let request = request(contexts[0]);
            let bytes = if contexts.len() > 1 { answer(&request) } else { refusal(&request) };
            drop(server.certificate(bytes.into())?);
        }
        Deed::Bad(bytes) => drop(server.certificate(Bytes::copy_from_slice(bytes))?),
        Deed::Challenge(true) => drop(server.challenge(&targeted())),
        Deed::Challenge(false) => drop(server.challenge(&generic())),
        Deed::Withdraw(id) => server.withdraw(ChallengeId(*id)),
        Deed::Transmit(len) => {
            if let Some(frame) = server.poll_transmit(*len) {
                assert_eq!(frame.kind, FrameKind::AuthenticatorRequests);
                assert!(server.is_negotiated());
                assert!(!frame.payload.is_empty() && frame.payload.len() <= *len);
            }
        }
        Deed::Event => drop(server.poll_event()),
        Deed::Fail => server.fail(Violation::FrameTooLong),
        Deed::Acked
        | Deed::Answer(..)
        | Deed::Decline(_)
        | Deed::Keep(_)
        | Deed::TakeKept
        | Deed::SetLimit(_) => {}
    }
    server.failed().map_or(Ok(()), Err)
}

proptest! {
    #[test]
    fn a_client_bears_everything(
        limit in 0..4u32,
        deeds in prop::collection::vec(deed(), 1..100),
    ) {
        const CONTEXTS: usize = 12;
        let mut client = client_with(limit, CONTEXTS);
        let mut death = None;
        for deed in &deeds {
            let verdict = to_client(&mut client, deed);
            match death {
                None => death = verdict.err(),
                Some(violation) => prop_assert_eq!(verdict, Err(violation)),
            }
            prop_assert!(client.outstanding() <= 4);
            if death.is_some() {
                prop_assert_eq!(client.outstanding(), 0);
                prop_assert_eq!(client.poll_transmit(usize::MAX), None);
            }
        }
        let waiting = std::iter::from_fn(|| client.poll_event()).count();
        // At worst nobody ever looked: each context asked with and its answer too long.
        prop_assert!(waiting <= 2 * CONTEXTS + 1);
    }

    #[test]
    fn a_server_bears_everything(
        generic_challenges in 0..4usize,
        deeds in prop::collection::vec(deed(), 1..100),
    ) {
        const CONTEXTS: usize = 12;
        let policy = ServerPolicy { generic_challenges, max_outstanding: 2, ..policy() };
        let mut server = server_with(policy, CONTEXTS, SeededRandom::leaked(5));
        let mut death = None;
        for deed in &deeds {
            let verdict = to_server(&mut server, deed);
            match death {
                None => death = verdict.err(),
                Some(violation) => prop_assert_eq!(verdict, Err(violation)),
            }
            prop_assert!(server.outstanding() <= 2);
            if death.is_some() {
                prop_assert_eq!(server.outstanding(), 0);
                prop_assert_eq!(server.poll_transmit(usize::MAX), None);
            }
        }
        let waiting = std::iter::from_fn(|| server.poll_event()).count();
        prop_assert!(waiting <= CONTEXTS + 1);
    }
}
