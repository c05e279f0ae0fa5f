//! The client's limit: what it bounds, and what happens when it changes.

use super::fixtures::{client, client_auth, generic, payload, policy, request};
use super::pair::{MAX_PAYLOAD, Pair, Wire};
use crate::client::ClientTransmit;
use crate::link::Place;
use crate::server::ServerPolicy;
use crate::{ChallengeId, FrameKind, Misuse, Violation};

fn ask(pair: &mut Pair, count: usize) {
    for _ in 0..count {
        pair.server.challenge(&generic()).unwrap();
    }
}

#[test]
fn a_raised_limit_makes_room_for_waiting_challenges() {
    //= specs/client-certs.md#decisions-limits
    //= type=test
    //# (ours) A client MAY raise or lower a positive limit with a later SETTINGS frame of HTTP/2.
    //= specs/client-certs.md#section-3.1
    //= type=test
    //# The number of requests that a server can make MUST NOT depend on the value the server itself
    //# set.
    let mut pair = Pair::negotiated(1, policy());
    ask(&mut pair, 3);
    pair.settle();
    assert_eq!(pair.server.outstanding(), 1);
    pair.client.set_limit(3).unwrap();
    pair.settle();
    assert_eq!(pair.server.outstanding(), 3);
    assert_eq!(pair.client.outstanding(), 3);
}

#[test]
fn a_lowered_limit_leaves_outstanding_requests_valid() {
    //= specs/client-certs.md#decisions-limits
    //= type=test
    //# (ours) A changed limit MUST hold for what is asked from then on, while requests already
    //# outstanding stay valid.
    let mut pair = Pair::negotiated(3, policy());
    ask(&mut pair, 3);
    pair.settle();
    pair.client.set_limit(1).unwrap();
    pair.settle();
    ask(&mut pair, 1);
    for number in 0..3 {
        pair.settle();
        assert_eq!(pair.asked.len(), 3, "nothing new while more than one is owed");
        pair.present(ChallengeId(number));
    }
    pair.settle();
    assert_eq!(pair.answers(), [(0, true), (1, true), (2, true)]);
    assert_eq!(pair.asked().last(), Some(&ChallengeId(3)));
}

#[test]
fn what_was_asked_before_the_server_saw_the_lower_limit_is_accepted() {
    let mut pair = Pair::negotiated(3, policy());
    pair.client.set_limit(1).unwrap();
    assert!(pair.client_sends());
    ask(&mut pair, 3);
    assert!(pair.server_sends());
    pair.settle();
    assert_eq!(pair.client.outstanding(), 3);
}

#[test]
fn what_is_asked_after_the_acknowledgement_counts_against_the_lower_limit() {
    let mut client = client(3);
    client.settings_sent();
    client.peer_settings(&client_auth(1)).unwrap();
    client.settings_acked();
    client.set_limit(1).unwrap();
    assert_eq!(client.poll_transmit(MAX_PAYLOAD), settings(1));
    client.requests(&payload([&request(1), &request(2)])).unwrap();
    client.settings_acked();
    let refused = client.requests(&payload([&request(3)]));
    assert_eq!(refused, Err(Violation::TooManyRequests));
}

#[test]
fn the_first_acknowledgement_is_not_that_of_a_change() {
    let mut client = client(3);
    client.settings_sent();
    client.peer_settings(&client_auth(1)).unwrap();
    client.set_limit(1).unwrap();
    assert_eq!(client.poll_transmit(MAX_PAYLOAD), settings(1));
    client.settings_acked();
    client.requests(&payload([&request(1), &request(2)])).unwrap();
}

#[test]
fn an_acknowledgement_too_many_changes_nothing() {
    let mut client = client(1);
    client.settings_sent();
    client.peer_settings(&client_auth(1)).unwrap();
    for _ in 0..3 {
        client.settings_acked();
    }
    client.set_limit(2).unwrap();
    client.settings_acked();
    assert_eq!(client.poll_transmit(MAX_PAYLOAD), settings(2));
    client.requests(&payload([&request(1), &request(2)])).unwrap();
}

#[test]
fn a_raised_limit_that_was_not_sent_is_not_in_force() {
    let mut client = client(1);
    client.settings_sent();
    client.peer_settings(&client_auth(1)).unwrap();
    client.set_limit(2).unwrap();
    let refused = client.requests(&payload([&request(1), &request(2)]));
    assert_eq!(refused, Err(Violation::TooManyRequests));
}

#[test]
fn support_can_be_announced_later() {
    let mut pair = Pair::negotiated(0, policy());
    pair.client.set_limit(2).unwrap();
    let unsent = pair.client.frame_header(FrameKind::AuthenticatorRequests, Place::Control);
    assert_eq!(unsent, Err(Violation::NotNegotiated));

    let mut pair = Pair::negotiated(0, policy());
    pair.client.set_limit(2).unwrap();
    pair.settle();
    assert!(pair.client.is_negotiated() && pair.server.is_negotiated());
    ask(&mut pair, 3);
    pair.settle();
    assert_eq!(pair.client.outstanding(), 2);
}

#[test]
fn a_limit_set_before_the_first_settings_went_out_follows_in_the_next() {
    let mut pair = Pair::new(2, policy());
    // The transport may have written what it was told already.
    let written = pair.client.local_settings();
    pair.client.set_limit(4).unwrap();
    assert_eq!(pair.client.local_settings(), written);
    assert_eq!(pair.client.poll_transmit(MAX_PAYLOAD), None);
    pair.start_client();
    assert_eq!(pair.client.poll_transmit(MAX_PAYLOAD), settings(4));
    pair.to_server.push_back(Wire::Settings(client_auth(4)));
    pair.start_server();
    pair.settle();
    ask(&mut pair, 5);
    pair.settle();
    assert_eq!(pair.client.outstanding(), 4);
}

#[test]
fn of_several_changes_the_last_is_sent() {
    let mut client = client(1);
    client.settings_sent();
    for limit in [5, 3, 7] {
        client.set_limit(limit).unwrap();
    }
    assert_eq!(client.poll_transmit(MAX_PAYLOAD), settings(7));
    assert_eq!(client.poll_transmit(MAX_PAYLOAD), None);
    client.set_limit(9).unwrap();
    client.set_limit(7).unwrap();
    assert_eq!(client.poll_transmit(MAX_PAYLOAD), None);
}

#[test]
fn changes_that_are_never_acknowledged_do_not_pile_up() {
    let mut client = client(1);
    client.settings_sent();
    let sent = (2..100)
        .take_while(|limit| {
            let accepted = client.set_limit(*limit).is_ok();
            accepted && client.poll_transmit(MAX_PAYLOAD).is_some()
        })
        .count();
    assert_eq!(sent, 16);
    assert_eq!(client.set_limit(100), Err(Misuse::QueueFull));
    assert_eq!(client.set_limit(17), Ok(()), "that is the limit already");
    client.settings_acked();
    client.settings_acked();
    assert_eq!(client.set_limit(100), Ok(()));
}

#[test]
fn a_server_keeps_to_its_own_bound_below_a_greater_limit() {
    //= specs/client-certs.md#section-5.5
    //= type=test
    //# A server SHOULD limit how many requests it is ready to issue.
    //= specs/client-certs.md#section-5.5
    //= type=test
    //# A server MAY issue fewer requests than the client would take.
    for limit in [3, u32::MAX] {
        let mut pair = Pair::negotiated(limit, ServerPolicy { max_outstanding: 2, ..policy() });
        ask(&mut pair, 5);
        pair.settle();
        assert_eq!(pair.server.outstanding(), 2);
    }
}

#[test]
fn a_server_takes_any_limit_that_http3_can_carry() {
    let mut pair = Pair::new(1, policy());
    pair.server.settings_sent();
    let huge = client_auth(crate::varint::MAX);
    pair.server.peer_settings(&huge).unwrap();
    ask(&mut pair, 8);
    assert!(pair.server_sends());
    assert_eq!(pair.server.outstanding(), 8);
}

#[test]
fn any_value_of_the_server_but_zero_counts_as_support() {
    //= specs/client-certs.md#decisions-limits
    //= type=test
    //# (ours) A server's setting greater than 1 MUST count as support.
    for value in [1, 2, u64::from(u32::MAX)] {
        let mut client = client(1);
        client.settings_sent();
        client.peer_settings(&client_auth(value)).unwrap();
        assert!(client.is_negotiated());
        client.peer_settings(&client_auth(1)).unwrap();
        assert!(client.is_negotiated());
    }
}

fn settings(limit: u64) -> Option<ClientTransmit> {
    Some(ClientTransmit::Settings(client_auth(limit)))
}

#[test]
fn the_questions_end_with_the_contexts_and_the_connection_lives_on() {
    let mut pair = Pair::negotiated(4, policy());
    for number in 0..4096 {
        ask(&mut pair, 1);
        pair.settle();
        assert_eq!(pair.asked(), [ChallengeId(number)]);
        pair.client.decline(ChallengeId(number)).unwrap();
        pair.settle();
        assert_eq!(pair.answers(), [(number, false)]);
    }
    assert_eq!(pair.server.challenge(&generic()), Err(Misuse::ContextsExhausted));
    assert!(pair.client.failed().is_none() && pair.server.failed().is_none());
}
