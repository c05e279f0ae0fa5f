//! Polite peers: what is asked is answered, in order, and nothing before its time.

use exported_authenticator::MessageType;

use super::fixtures::{generic, policy, targeted};
use super::pair::{MAX_PAYLOAD, Pair, Wire};
use crate::frame::read_requests;
use crate::server::ServerPolicy;
use crate::{ChallengeId, Misuse, PeerSettings};

fn ids<const N: usize>(ids: [u64; N]) -> [ChallengeId; N] {
    ids.map(ChallengeId)
}

#[test]
fn nothing_is_sent_before_both_have_announced_support() {
    for client_first in [true, false] {
        let mut pair = Pair::new(
            2,
            ServerPolicy {
                generic_challenges: 1,
                ..policy()
            },
        );
        assert!(!pair.client_sends() && !pair.server_sends());
        if client_first {
            pair.start_client();
            assert!(pair.server_receives().unwrap());
        } else {
            pair.start_server();
            assert!(pair.client_receives().unwrap());
        }
        assert!(!pair.client_sends() && !pair.server_sends());
        assert_eq!(
            pair.server.challenge(&generic()),
            Err(Misuse::NotNegotiated)
        );
        if client_first {
            pair.start_server();
        } else {
            pair.start_client();
            assert!(!pair.server_sends(), "not before the SETTINGS have arrived");
            assert!(pair.server_receives().unwrap());
        }
        assert!(pair.server_sends());
        pair.settle();
        assert_eq!(pair.asked(), ids([0]));
    }
}

#[test]
fn a_connection_without_challenges_stays_silent() {
    let mut pair = Pair::negotiated(3, policy());
    assert!(pair.client.is_negotiated() && pair.server.is_negotiated());
    assert!(!pair.client_sends() && !pair.server_sends());
    assert_eq!(pair.asked(), ids([]));
    let announced = PeerSettings {
        client_cert_auth: Some(3),
        server_cert_auth: None,
        received: true,
    };
    assert_eq!(pair.server.peer(), announced);
}

#[test]
fn a_client_that_announces_nothing_is_not_asked() {
    let mut pair = Pair::negotiated(0, policy());
    assert_eq!(pair.client.local_settings(), []);
    assert!(!pair.client.is_negotiated() && !pair.server.is_negotiated());
    assert_eq!(
        pair.server.challenge(&generic()),
        Err(Misuse::NotNegotiated)
    );
}

#[test]
fn one_challenge_is_answered() {
    let mut pair = Pair::negotiated(1, policy());
    let id = pair.server.challenge(&targeted()).unwrap();
    pair.settle();
    assert_eq!(
        (pair.client.outstanding(), pair.server.outstanding()),
        (1, 1)
    );
    let (seen, request) = pair.asked.pop_front().unwrap();
    assert!(request.is_targeted());
    pair.present(seen);
    pair.settle();
    assert_eq!(pair.answers(), [(id.0, true)]);
    assert_eq!(
        (pair.client.outstanding(), pair.server.outstanding()),
        (0, 0)
    );
}

#[test]
fn answers_are_sent_in_the_order_of_the_requests() {
    let mut pair = Pair::negotiated(4, policy());
    for _ in 0..4 {
        pair.server.challenge(&generic()).unwrap();
    }
    pair.settle();
    assert_eq!(pair.asked(), ids([0, 1, 2, 3]));
    pair.present(ChallengeId(2));
    pair.client.decline(ChallengeId(3)).unwrap();
    pair.settle();
    assert_eq!(pair.answers(), []);
    pair.present(ChallengeId(0));
    pair.settle();
    assert_eq!(pair.answers(), [(0, true)]);
    pair.present(ChallengeId(1));
    pair.settle();
    assert_eq!(pair.answers(), [(1, true), (2, true), (3, false)]);
}

#[test]
fn a_refusal_leaves_the_connection_alive() {
    let mut pair = Pair::negotiated(1, policy());
    for number in 0..3 {
        pair.server.challenge(&generic()).unwrap();
        pair.settle();
        pair.client.decline(ChallengeId(number)).unwrap();
        pair.settle();
        assert_eq!(pair.answers(), [(number, false)]);
    }
}

#[test]
fn a_challenge_beyond_the_limit_waits_its_turn() {
    let mut pair = Pair::negotiated(2, policy());
    for _ in 0..5 {
        pair.server.challenge(&generic()).unwrap();
    }
    for number in 0..5 {
        pair.settle();
        assert!(pair.client.outstanding() <= 2);
        pair.present(ChallengeId(number));
    }
    pair.settle();
    let numbers: Vec<_> = pair.answers().iter().map(|(id, _)| *id).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
}

#[test]
fn a_challenge_that_was_withdrawn_is_not_sent() {
    let mut pair = Pair::negotiated(3, policy());
    let first = pair.server.challenge(&generic()).unwrap();
    let second = pair.server.challenge(&targeted()).unwrap();
    pair.server.withdraw(first);
    pair.settle();
    let (id, request) = pair.asked.pop_front().unwrap();
    assert!(request.is_targeted() && pair.asked.is_empty());
    pair.server.withdraw(second);
    pair.present(id);
    pair.settle();
    assert_eq!(pair.answers(), [(second.0, true)], "it was sent already");
}

#[test]
fn both_message_types_are_understood() {
    for (message_type, number) in [
        (MessageType::ClientCertificateRequest, 17),
        (MessageType::CertificateRequest, 13),
    ] {
        let mut pair = Pair::negotiated(
            1,
            ServerPolicy {
                message_type,
                ..policy()
            },
        );
        pair.server.challenge(&generic()).unwrap();
        assert!(pair.server_sends());
        let Some(Wire::Frame(frame)) = pair.to_client.front() else {
            panic!("no frame");
        };
        assert_eq!(read_requests(&frame.payload).unwrap()[0][0], number);
        pair.settle();
        pair.present(ChallengeId(0));
        pair.settle();
        assert_eq!(pair.answers(), [(0, true)]);
    }
}

#[test]
fn an_answer_too_long_for_the_peer_is_declined_and_told() {
    let mut pair = Pair::negotiated(2, policy());
    pair.server.challenge(&generic()).unwrap();
    pair.server.challenge(&generic()).unwrap();
    pair.settle();
    pair.present(ChallengeId(0));
    pair.present(ChallengeId(1));
    pair.server_max = 100;
    assert!(pair.client_sends());
    pair.server_max = MAX_PAYLOAD;
    pair.settle();
    assert_eq!(pair.too_long, ids([0]));
    assert_eq!(pair.answers(), [(0, false), (1, true)]);
}

#[test]
fn requests_fill_frames_up_to_what_the_peer_accepts() {
    let mut pair = Pair::negotiated(8, policy());
    pair.server.challenge(&generic()).unwrap();
    assert!(pair.server_sends());
    let Some(Wire::Frame(one)) = pair.to_client.back() else {
        panic!("no frame");
    };
    let len = one.payload.len();
    for _ in 0..5 {
        pair.server.challenge(&generic()).unwrap();
    }
    pair.client_max = 2 * len;
    while pair.server_sends() {}
    let lens: Vec<_> = pair
        .to_client
        .iter()
        .map(|wire| match wire {
            Wire::Frame(frame) => frame.payload.len(),
            Wire::Settings(_) | Wire::Ack(_) => panic!("no frame"),
        })
        .collect();
    assert_eq!(lens, [len, 2 * len, 2 * len, len]);
    pair.settle();
    assert_eq!(pair.asked(), ids([0, 1, 2, 3, 4, 5]));
}

#[test]
fn a_challenge_too_long_for_the_peer_is_dropped_and_told() {
    let mut pair = Pair::negotiated(3, policy());
    pair.server.challenge(&generic()).unwrap();
    assert!(pair.server_sends());
    let Some(Wire::Frame(one)) = pair.to_client.back() else {
        panic!("no frame");
    };
    pair.client_max = one.payload.len();
    let long = pair.server.challenge(&targeted()).unwrap();
    pair.server.challenge(&generic()).unwrap();
    pair.settle();
    assert_eq!(pair.never_sent, [long]);
    assert_eq!(pair.asked(), ids([0, 1]));
    pair.present(ChallengeId(0));
    pair.present(ChallengeId(1));
    pair.settle();
    assert_eq!(pair.answers(), [(0, true), (2, true)]);
}
