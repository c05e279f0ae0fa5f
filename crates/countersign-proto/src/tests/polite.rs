//! Polite peers: what is asked is answered, in order, and nothing before its time.

use exported_authenticator::MessageType;

use super::fixtures::{client_auth, generic, policy, targeted};
use super::pair::{MAX_PAYLOAD, Pair, Wire};
use crate::client::ClientEvent;
use crate::frame::read_requests;
use crate::server::{ServerEvent, ServerPolicy};
use crate::{ChallengeId, Misuse, PeerSettings};

fn ids<const N: usize>(ids: [u64; N]) -> [ChallengeId; N] {
    ids.map(ChallengeId)
}

#[test]
fn nothing_is_sent_before_both_have_announced_support() {
    //= specs/client-certs.md#section-1.1
    //= type=test
    //# Authentication MUST be begun by the server, and only after both endpoints have announced
    //# support.
    //= specs/client-certs.md#section-3
    //= type=test
    //# An endpoint MUST NOT send AUTHENTICATOR_REQUESTS or a client's CERTIFICATE to a peer whose
    //# SETTINGS have not announced support.
    //= specs/client-certs.md#section-3.1
    //= type=test
    //# Every endpoint MUST announce support on its own behalf.
    //= specs/client-certs.md#section-3.1
    //= type=test
    //# A client MUST NOT send CERTIFICATE before client and server have both announced support.
    //= specs/client-certs.md#section-3.1
    //= type=test
    //# A server MUST NOT send AUTHENTICATOR_REQUESTS before client and server have both announced
    //# support.
    //= specs/client-certs.md#section-4.1
    //= type=test
    //# A server MAY send AUTHENTICATOR_REQUESTS at any moment after the client announced support.
    for client_first in [true, false] {
        let mut pair = Pair::new(2, ServerPolicy { generic_challenges: 1, ..policy() });
        assert!(!pair.client_sends() && !pair.server_sends());
        if client_first {
            pair.start_client();
            assert!(pair.server_receives().unwrap());
        } else {
            pair.start_server();
            assert!(pair.client_receives().unwrap());
        }
        assert!(!pair.client_sends() && !pair.server_sends());
        assert_eq!(pair.server.challenge(&generic()), Err(Misuse::NotNegotiated));
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
    //= specs/client-certs.md#section-1.1
    //= type=test
    //# A client that supports the mechanism MUST say so, with the largest number of credentials it
    //# expects to give as long as the connection lasts, in its SETTINGS.
    //= specs/client-certs.md#section-3.1
    //= type=test
    //# A client MUST announce in this setting the largest number of certificate credentials it
    //# expects to provide as long as the connection lasts.
    //= specs/client-certs.md#section-4.2
    //= type=test
    //# A client MUST NOT send CERTIFICATE other than in answer to a request that is still
    //# outstanding.
    //= specs/client-certs.md#section-3.1.1
    //= type=test
    //# An HTTP/2 client MUST set a positive integer, the number of credentials it is willing to
    //# give.
    //= specs/client-certs.md#section-3.1.2
    //= type=test
    //# An HTTP/3 client MUST set a positive integer, the number of credentials it is willing to
    //# give.
    let mut pair = Pair::negotiated(3, policy());
    assert!(pair.client.is_negotiated() && pair.server.is_negotiated());
    assert!(!pair.client_sends() && !pair.server_sends());
    assert_eq!(pair.asked(), ids([]));
    let announced =
        PeerSettings { client_cert_auth: Some(3), server_cert_auth: None, received: true };
    assert_eq!(pair.server.peer(), announced);
}

#[test]
fn a_client_that_announces_nothing_is_not_asked() {
    //= specs/client-certs.md#section-3.1
    //= type=test
    //# The value announced by a client that takes part MUST be greater than zero.
    //= specs/client-certs.md#section-6.3
    //= type=test
    //# In HTTP/2 a setting that was never received MUST count as 0.
    //= specs/client-certs.md#section-6.4
    //= type=test
    //# In HTTP/3 a setting that is absent MUST count as 0.
    let mut pair = Pair::negotiated(0, policy());
    assert_eq!(pair.client.local_settings(), []);
    assert!(!pair.client.is_negotiated() && !pair.server.is_negotiated());
    assert_eq!(pair.server.challenge(&generic()), Err(Misuse::NotNegotiated));
}

#[test]
fn one_challenge_is_answered() {
    //= specs/client-certs.md#section-1.1
    //= type=test
    //# A server MAY ask for credentials with an AUTHENTICATOR_REQUESTS frame.
    //= specs/client-certs.md#section-1.1
    //= type=test
    //# A client MUST answer with CERTIFICATE frames that hold one exported authenticator each.
    //= specs/client-certs.md#section-4
    //= type=test
    //# After negotiation a server MAY start authentication whenever it likes by sending
    //# AUTHENTICATOR_REQUESTS.
    //= specs/client-certs.md#section-4
    //= type=test
    //# A client MAY spend the requests it was given on CERTIFICATE frames.
    //= specs/client-certs.md#section-4
    //= type=test
    //# A CERTIFICATE frame that presents a credential MUST hold an exported authenticator with the
    //# chain and the proof that its key is held.
    //= specs/client-certs.md#section-4.2
    //= type=test
    //# A CERTIFICATE frame MUST hold exactly one exported authenticator, made as RFC 9261, section
    //# 5.2, says.
    //= specs/client-certs.md#section-4.2
    //= type=test
    //# A client's CERTIFICATE MUST have the format that the server draft gives it, unchanged.
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) One authenticator MUST travel in one frame, never in several.
    let mut pair = Pair::negotiated(1, policy());
    let id = pair.server.challenge(&targeted()).unwrap();
    pair.settle();
    assert_eq!((pair.client.outstanding(), pair.server.outstanding()), (1, 1));
    let (seen, request) = pair.asked.pop_front().unwrap();
    assert!(request.is_targeted());
    pair.present(seen);
    pair.settle();
    assert_eq!(pair.answers(), [(id.0, true)]);
    assert_eq!((pair.client.outstanding(), pair.server.outstanding()), (0, 0));
}

#[test]
fn answers_are_sent_in_the_order_of_the_requests() {
    //= specs/client-certs.md#section-4.1.4
    //= type=test
    //# A client MUST answer every request with a CERTIFICATE frame, in the order in which
    //# AUTHENTICATOR_REQUESTS listed them.
    //= specs/client-certs.md#section-4.2
    //= type=test
    //# The CERTIFICATE frames MUST follow each other in the order of the requests they answer.
    //= specs/client-certs.md#section-4.2
    //= type=test
    //# A client MUST send one CERTIFICATE frame, neither fewer nor more, per request received.
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
fn a_server_asks_again_later() {
    //= specs/client-certs.md#section-1.1
    //= type=test
    //# A server MAY ask again later on the same connection while the total number asked for stays
    //# within the client's limit.
    let mut pair = Pair::negotiated(2, policy());
    for number in 0..2 {
        pair.server.challenge(&generic()).unwrap();
        pair.settle();
        pair.present(ChallengeId(number));
        pair.settle();
        assert_eq!(pair.answers(), [(number, true)]);
    }
}

#[test]
fn a_refusal_leaves_the_connection_alive() {
    //= specs/client-certs.md#section-4.1
    //= type=test
    //# A server MAY send more than one AUTHENTICATOR_REQUESTS frame on a connection.
    //= specs/client-certs.md#section-4
    //= type=test
    //# A client that does not want to authenticate for a request MAY answer it with an empty
    //# authenticator.
    //= specs/client-certs.md#section-4.2
    //= type=test
    //# A CERTIFICATE frame MAY hold an empty authenticator.
    //= specs/client-certs.md#section-4.2
    //= type=test
    //# A refusal by an empty authenticator MUST leave the connection alive.
    //= specs/client-certs.md#section-5.3
    //= type=test
    //# A client that need not authenticate MAY prefer an empty authenticator.
    //= specs/client-certs.md#decisions-limits
    //= type=test
    //# (ours) The client's value MUST bound the requests outstanding at one time, as section 4.1
    //# has it, not the requests made over the life of the connection, of which sections 1.1 and 3.1
    //# speak.
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
    //= specs/client-certs.md#section-4.1
    //= type=test
    //# The requests that a client has yet to answer MUST NOT outnumber the limit in its setting.
    //= specs/client-certs.md#section-4.1.4
    //= type=test
    //# A server MUST NOT have more requests outstanding at any time than the client announced.
    //= specs/client-certs.md#section-4.1
    //= type=test
    //# Each request MUST serve for the construction of one exported authenticator.
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
    //= specs/exported-authenticators.md#decisions
    //= type=test
    //# (ours) A server's request MAY be of either message type, since the client draft names the
    //# other one.
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) A server MUST send requests of message type 17 unless it was set to 13.
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) A client MUST accept requests of message type 17 and of message type 13.
    //= specs/client-certs.md#section-4
    //= type=test
    //# An AUTHENTICATOR_REQUESTS frame MUST hold a list of authenticator requests as RFC 9261,
    //# section 4, defines them.
    //= specs/client-certs.md#section-4.1.3
    //= type=test
    //# The measured bytes MUST be a ClientCertificateRequest as RFC 9261, section 4, defines it.
    for (message_type, number) in
        [(MessageType::ClientCertificateRequest, 17), (MessageType::CertificateRequest, 13)]
    {
        let mut pair = Pair::negotiated(1, ServerPolicy { message_type, ..policy() });
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
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) An authenticator too long for the frame size that the peer accepts MUST be replaced
    //# by an empty one.
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
    for number in 0..6 {
        pair.client.decline(ChallengeId(number)).unwrap();
    }
    pair.settle();
    assert_eq!(pair.answers(), [0, 1, 2, 3, 4, 5].map(|number| (number, false)));
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

#[test]
fn of_many_settings_only_the_last_is_told() {
    let mut pair = Pair::new(1, policy());
    for value in 1..100 {
        pair.client.peer_settings(&client_auth(value)).unwrap();
        pair.server.peer_settings(&client_auth(value)).unwrap();
    }
    let last = PeerSettings { client_cert_auth: Some(99), server_cert_auth: None, received: true };
    assert_eq!(pair.client.poll_event(), Some(ClientEvent::PeerSettings(last)));
    assert_eq!(pair.client.poll_event(), None);
    assert_eq!(pair.server.poll_event(), Some(ServerEvent::PeerSettings(last)));
    assert_eq!(pair.server.poll_event(), None);
}
