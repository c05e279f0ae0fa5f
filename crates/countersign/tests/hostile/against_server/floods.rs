//! Clients that send, or have sent to them, as much as they can.

use countersign::server::Denied;
use countersign::{Closed, Violation};
use countersign_testkit::raw::kind;
use countersign_testkit::{Frame, Version, within};

use crate::peer::{Seen, Wire};
use crate::people::people;
use crate::server::{Attacker, Server, rules};
use crate::wire::*;

countersign_testkit::over_both_versions! {
    of_certificates,
    of_connections_that_all_break_the_rules,
    of_requests_for_what_it_never_proves,
    of_refusals_ends_the_supply_of_challenges,
    of_refusals_ends_the_questions,
    of_responses_that_it_never_reads,
    of_responses_that_it_reads_late,
    of_streams_that_it_resets_at_once,
}

async fn of_certificates(version: Version) {
    let mut server = Server::start(version).await;
    let mut client = server.opened(4).await;
    let flood = certificate(&[0; 1000]).encode(version).repeat(5000);
    client.wire.flood(&flood).await;
    server.refuses(client, UNEXPECTED, Violation::Unsolicited).await;
}

#[tokio::test]
async fn of_changes_to_the_limit() {
    let mut server = Server::start(Version::H2).await;
    let (mut client, challenge) = server.challenged().await;
    let flood: Vec<u8> = (0..5000).flat_map(|turn| announce(1 + turn % 7).encode()).collect();
    let in_one_frame: Vec<_> = (0..2700).map(|turn| (CLIENT_CERT_AUTH, 1 + turn)).collect();
    client.wire.h2().send(&Frame::settings(&in_one_frame)).await;
    client.wire.send_bytes(&flood).await;
    assert_eq!(client.wire.get(3, "/open").await, Some(200));
    assert_eq!(client.handle.peer_limit(), Some(1 + 4999 % 7));
    let answer = client.secrets().answer(&challenge, &people().alice);
    client.wire.send(&certificate(&answer)).await;
    assert_eq!(client.wire.response(1).await, Some(200));
    server.serves_others().await;
}

async fn of_connections_that_all_break_the_rules(version: Version) {
    let mut server = Server::start(version).await;
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(server.challenged().await.0);
    }
    for client in &mut crowd {
        client.wire.send(&certificate(b"whatever")).await;
    }
    server.serves_others().await;
    for client in &mut crowd {
        client.wire.expect_closed(MALFORMED).await;
    }
    server.serves_others().await;
}

async fn of_requests_for_what_it_never_proves(version: Version) {
    //= specs/client-certs.md#section-5.5
    //= type=test
    //# An implementation SHOULD bound the memory that one connection can take.
    let mut server = Server::start(version).await;
    let (mut client, _) = server.challenged().await;
    for stream in (3..200).step_by(2) {
        client.wire.request(stream, "/user").await;
    }
    // They all share the one question.
    client.wire.request(201, "/open").await;
    let next = client.wire.expect_kind_or_head(REQUESTS).await;
    assert_eq!(next, Some(Seen::Head(201, Some(200))));
    server.serves_others().await;
}

async fn of_refusals_ends_the_supply_of_challenges(version: Version) {
    //= specs/client-certs.md#section-5.5
    //= type=test
    //# A server MAY leave used requests without replacement.
    let mut server = Server::start_with(version, rules().generic_challenges(2)).await;
    let mut client = server.opened(3).await;
    let challenges = read_requests(&client.wire.expect_kind(REQUESTS).await);
    assert_eq!(challenges.len(), 2);
    for challenge in &challenges {
        let refusal = client.secrets().decline(challenge);
        client.wire.send(&certificate(&refusal)).await;
    }

    client.wire.request(1, "/open").await;
    let next = client.wire.expect_kind_or_head(REQUESTS).await;
    assert_eq!(next, Some(Seen::Head(1, Some(200))));
    client.wire.send(&certificate(b"whatever")).await;
    server.refuses(client, UNEXPECTED, Violation::Unsolicited).await;
}

async fn of_refusals_ends_the_questions(version: Version) {
    // As many as the contexts that are kept track of. Then it is like a client that cannot be asked.
    let mut server = Server::start(version).await;
    let mut client = server.opened(4).await;
    client.wire.widen_window().await;
    for turn in 0..4096 {
        let challenge = client.get_and_be_asked(1 + 2 * turn, "/user").await;
        let refusal = client.secrets().decline(&challenge);
        client.wire.send(&certificate(&refusal)).await;
        // Until then the next request would wait for the same answer.
        assert_eq!(client.wire.response(1 + 2 * turn).await, Some(403));
    }
    let stream = 1 + 2 * 4096;
    client.wire.request(stream, "/user").await;
    let (status, problem) = client.wire.whole_response(stream).await.unwrap();
    assert_eq!(status, 403);
    assert!(String::from_utf8_lossy(&problem).contains("urn:countersign:credential-missing"));
    assert_eq!(client.wire.get(stream + 2, "/open").await, Some(200));
    server.serves_others().await;
}

/// A client with the widest window that has ceased to read, and a server that is stuck in writing to it.
/// Over QUIC the response is unread as long as its stream is kept.
async fn stuck(server: &mut Server) -> (Attacker, Option<quinn::RecvStream>) {
    let (mut client, _) = server.challenged().await;
    // Once this much is under way, the rest of what fits into the buffers between us follows.
    let (mut received, enough) = (0, 1 << 20);
    let unread = match &mut client.wire {
        Wire::H2(wire) => {
            wire.send(&widest_window(0)).await;
            wire.send(&Frame::get(3, "localhost", "/endless", &[])).await;
            wire.send(&widest_window(3)).await;
            while received < enough {
                received += wire.expect_kind(kind::DATA).await.payload.len();
            }
            None
        }
        Wire::H3(wire) => {
            let mut response = wire.request_unread("localhost", "/endless").await;
            while received < enough {
                let chunk = within(response.read_chunk(usize::MAX, true)).await.unwrap();
                received += chunk.unwrap().bytes.len();
            }
            Some(response)
        }
    };
    (client, unread)
}

async fn of_responses_that_it_never_reads(version: Version) {
    let mut server = Server::start(version).await;
    let (mut client, _unread) = stuck(&mut server).await;
    server.serves_others().await;

    // It breaks a rule and reads nothing: there may be no GOAWAY to be had, but there is an end within seconds.
    client.wire.send_on(5, &certificate(b"whatever")).await;
    let Attacker { wire, handle, served, waiting } = client;
    assert_eq!(within(waiting.unwrap()).await.unwrap(), Err(Denied::Closed));
    assert_eq!(handle.closed_reason(), Some(Closed::Violation(Violation::WrongStream)));
    within(served).await.unwrap();
    drop(wire);
    server.serves_others().await;
}

async fn of_responses_that_it_reads_late(version: Version) {
    // In HTTP/2 the GOAWAY stands behind everything that was under way, and is whole.
    let mut server = Server::start(version).await;
    let (mut client, _unread) = stuck(&mut server).await;
    client.wire.send_on(5, &certificate(b"whatever")).await;
    server.refuses(client, UNEXPECTED, Violation::WrongStream).await;
}

async fn of_streams_that_it_resets_at_once(version: Version) {
    // Each asks for a user, and goes before it is told; the question stays the same one.
    let mut server = Server::start(version).await;
    let (mut client, challenge) = server.challenged().await;
    for stream in (3..43).step_by(2) {
        client.wire.request_and_cancel(stream, "/user").await;
    }
    let answer = client.secrets().answer(&challenge, &people().alice);
    client.wire.send(&certificate(&answer)).await;
    let next = client.wire.expect_kind_or_head(REQUESTS).await;
    assert_eq!(next, Some(Seen::Head(1, Some(200))));
    server.serves_others().await;
}
