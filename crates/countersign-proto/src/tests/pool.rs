//! Generic challenges that are handed out ahead of need, and presented with later.

use countersign_testkit::SeededRandom;

use super::fixtures::{client_auth, generic, policy, server_with, targeted};
use super::pair::{MAX_PAYLOAD, Pair, Wire};
use crate::ChallengeId;
use crate::server::ServerPolicy;

fn pool(generic_challenges: usize) -> ServerPolicy {
    ServerPolicy { generic_challenges, ..policy() }
}

/// Puts everything that was asked into the pool.
fn keep_all(pair: &mut Pair) -> usize {
    let asked = pair.asked();
    for id in &asked {
        pair.client.keep(*id).unwrap();
    }
    asked.len()
}

#[test]
fn a_kept_challenge_serves_to_present_later_and_is_replaced() {
    //= specs/client-certs.md#section-4.1
    //= type=test
    //# A server that has received CERTIFICATE frames MAY send further requests to refill the
    //# client's supply.
    //= specs/client-certs.md#decisions-pool
    //= type=test
    //# (ours) A server MAY hand out untargeted challenges ahead of need.
    //= specs/client-certs.md#decisions-pool
    //= type=test
    //# (ours) A client MAY keep an untargeted challenge and answer it when it has something to
    //# present.
    //= specs/client-certs.md#decisions-pool
    //= type=test
    //# (ours) A server MUST replace an untargeted challenge that was used, up to the number it was
    //# set to keep.
    for (limit, generic_challenges, outstanding) in
        [(1, 1, 1), (1, 3, 1), (4, 1, 1), (4, 3, 3), (4, 9, 3)]
    {
        let mut pair = Pair::negotiated(limit, pool(generic_challenges));
        assert_eq!(keep_all(&mut pair), outstanding);
        assert_eq!(pair.answers(), []);
        for round in 0..3 {
            let id = pair.client.take_kept(|_| true).unwrap();
            assert_eq!(id, ChallengeId(round), "the oldest");
            pair.present(id);
            pair.settle();
            assert_eq!(pair.answers(), [(round, true)]);
            assert_eq!(keep_all(&mut pair), 1);
            assert_eq!(pair.client.outstanding(), outstanding);
        }
    }
}

#[test]
fn a_challenge_taken_out_of_the_pool_can_be_put_back() {
    let mut pair = Pair::negotiated(2, pool(1));
    keep_all(&mut pair);
    let id = pair.client.take_kept(|_| true).unwrap();
    assert!(pair.client.take_kept(|_| true).is_err());
    pair.client.keep(id).unwrap();
    assert_eq!(pair.client.take_kept(|_| true), Ok(id));
}

#[test]
fn the_oldest_challenge_that_suits_is_taken() {
    //= specs/client-certs.md#decisions-pool
    //= type=test
    //# (ours) A client that presents a certificate unasked MUST use the oldest fitting challenge it
    //# was left with.
    let mut pair = Pair::negotiated(3, policy());
    for template in [generic(), targeted(), targeted()] {
        pair.server.challenge(&template).unwrap();
    }
    pair.settle();
    keep_all(&mut pair);
    let taken = pair.client.take_kept(|request| request.is_targeted());
    assert_eq!(taken, Ok(ChallengeId(1)));
    pair.present(ChallengeId(1));
    pair.settle();
    assert_eq!(pair.answers(), [(0, false), (1, true)]);
    assert_eq!(pair.client.outstanding(), 1, "what stands behind stays kept");
}

#[test]
fn a_targeted_challenge_behind_kept_ones_makes_them_be_declined_and_replaced() {
    //= specs/client-certs.md#decisions-pool
    //= type=test
    //# (ours) A client that answers a targeted request behind unused untargeted ones MUST decline
    //# those first, in their order.
    let mut pair = Pair::negotiated(4, pool(2));
    keep_all(&mut pair);
    pair.server.challenge(&targeted()).unwrap();
    pair.settle();
    assert_eq!(pair.answers(), [], "not before there is an answer");
    let (id, request) = pair.asked.pop_front().unwrap();
    assert!(request.is_targeted());
    pair.present(id);
    pair.settle();
    assert_eq!(pair.answers(), [(0, false), (1, false), (2, true)]);
    assert_eq!(keep_all(&mut pair), 2, "the client did not mean to refuse");
    pair.present(ChallengeId(3));
    pair.settle();
    assert_eq!(pair.answers(), [(3, true)]);
}

#[test]
fn declining_a_targeted_challenge_declines_the_kept_ones_before_it() {
    let mut pair = Pair::negotiated(2, pool(1));
    keep_all(&mut pair);
    pair.server.challenge(&targeted()).unwrap();
    pair.settle();
    let id = pair.asked()[0];
    pair.client.decline(id).unwrap();
    pair.settle();
    assert_eq!(pair.answers(), [(0, false), (1, false)]);
}

#[test]
fn a_challenge_kept_behind_an_open_one_waits_for_it() {
    let mut pair = Pair::negotiated(3, policy());
    for _ in 0..3 {
        pair.server.challenge(&generic()).unwrap();
    }
    pair.settle();
    pair.client.keep(ChallengeId(1)).unwrap();
    pair.present(ChallengeId(2));
    pair.settle();
    assert_eq!(pair.answers(), []);
    pair.present(ChallengeId(0));
    pair.settle();
    assert_eq!(pair.answers(), [(0, true), (1, false), (2, true)]);
}

#[test]
fn a_client_that_declines_everything_gets_no_endless_supply() {
    //= specs/client-certs.md#section-5.5
    //= type=test
    //# A server MAY leave used requests without replacement.
    let mut pair = Pair::negotiated(4, pool(3));
    let mut declined = 0;
    for round in 0..20 {
        for id in pair.asked() {
            pair.client.decline(id).unwrap();
            declined += 1;
        }
        if round % 5 == 0 {
            pair.server.challenge(&targeted()).unwrap();
        }
        pair.settle();
    }
    // Three generic ones, four targeted ones, and at most three replacements for each of these.
    assert!(declined <= 3 + 4 + 4 * 3, "{declined}");
    assert_eq!(pair.server.outstanding(), 0);
}

#[test]
fn the_pool_leaves_a_place_for_targeted_challenges() {
    //= specs/client-certs.md#decisions-pool
    //= type=test
    //# (ours) Where the limit is greater than 1, untargeted challenges MUST leave room for a
    //# targeted one.
    let mut pair = Pair::negotiated(3, pool(8));
    assert_eq!(keep_all(&mut pair), 2);
    pair.server.challenge(&targeted()).unwrap();
    pair.settle();
    assert_eq!(pair.asked(), [ChallengeId(2)]);
}

#[test]
fn waiting_targeted_challenges_come_before_new_generic_ones() {
    let mut pair = Pair::negotiated(1, pool(1));
    keep_all(&mut pair);
    pair.server.challenge(&targeted()).unwrap();
    pair.settle();
    assert_eq!(pair.asked(), [], "the client keeps the only place");
    pair.present(ChallengeId(0));
    pair.settle();
    let (id, request) = pair.asked.pop_front().unwrap();
    assert!(request.is_targeted());
    pair.present(id);
    pair.settle();
    assert!(!pair.asked.pop_front().unwrap().1.is_targeted());
}

#[test]
fn a_full_queue_does_not_drain_the_pool() {
    let mut pair = Pair::negotiated(2, ServerPolicy { max_queued: 1, ..pool(1) });
    keep_all(&mut pair);
    pair.server.challenge(&targeted()).unwrap();
    pair.settle();
    pair.server.challenge(&targeted()).unwrap();
    pair.present(ChallengeId(0));
    while pair.client_sends() {}
    while pair.server_receives().unwrap() {}
    pair.settle();
    for id in pair.asked() {
        pair.present(id);
    }
    pair.settle();
    assert_eq!(pair.server.outstanding(), 1);
    assert!(!pair.asked.pop_front().unwrap().1.is_targeted());
}

#[test]
fn a_lowered_limit_shrinks_the_pool() {
    let mut pair = Pair::negotiated(5, pool(4));
    keep_all(&mut pair);
    pair.client.set_limit(2).unwrap();
    pair.settle();
    for round in 0..4 {
        let id = pair.client.take_kept(|_| true).unwrap();
        assert_eq!(id, ChallengeId(round));
        pair.present(id);
        pair.settle();
        keep_all(&mut pair);
    }
    assert_eq!(pair.server.outstanding(), 1);
}

#[test]
fn a_generic_challenge_that_does_not_fit_into_a_frame_comes_with_the_next() {
    let mut pair = Pair::new(3, pool(2));
    pair.start_client();
    pair.start_server();
    while pair.server_receives().unwrap() {}
    pair.client_max = 90;
    let mut lens = Vec::new();
    while pair.server_sends() {
        if let Some(Wire::Frame(frame)) = pair.to_client.back() {
            lens.push(frame.payload.len());
        }
    }
    assert!(lens.len() == 2 && lens.iter().all(|len| (46..=90).contains(len)), "{lens:?}");
    pair.settle();
    assert_eq!(pair.asked().len(), 2);
}

#[test]
fn a_generic_challenge_that_no_frame_can_hold_is_given_up() {
    let mut pair = Pair::new(3, pool(2));
    pair.client_max = 20;
    pair.start_client();
    pair.start_server();
    pair.settle();
    pair.client_max = MAX_PAYLOAD;
    pair.settle();
    assert_eq!((pair.asked(), pair.never_sent), (vec![], vec![]));
}

#[test]
fn the_pool_ends_with_the_contexts() {
    let mut pair = Pair::new(2, pool(1));
    pair.server = server_with(pool(1), 3, SeededRandom::leaked(1));
    pair.server.settings_sent();
    pair.server.peer_settings(&client_auth(2)).unwrap();
    pair.client.settings_sent();
    pair.client.peer_settings(&client_auth(1)).unwrap();
    pair.settle();
    for round in 0..3 {
        assert_eq!(pair.asked(), [ChallengeId(round)]);
        pair.present(ChallengeId(round));
        pair.settle();
    }
    assert_eq!(pair.asked(), []);
    assert_eq!(pair.server.outstanding(), 0);
}
