//! Clients that take their time, or go.

use std::time::Duration;

use countersign::server::Denied;
use countersign::{Closed, Violation};
use countersign_testkit::{Version, within};
use tokio::io::AsyncWriteExt;

use crate::people::people;
use crate::server::{Attacker, Server, rules};
use crate::wire::*;

countersign_testkit::over_both_versions! {
    who_never_answers_keeps_nobody_else_waiting,
    who_answers_byte_by_byte_is_understood,
    who_answers_byte_by_byte_gains_no_time,
    who_goes_in_the_middle_of_an_authenticator,
    who_goes_in_the_middle_of_a_header,
    who_goes_while_asked,
    who_never_says_anything_after_tls,
}

async fn who_never_answers_keeps_nobody_else_waiting(version: Version) {
    //= specs/client-certs.md#decisions-identities
    //= type=test
    //# (ours) Whoever needs an identity MUST wait for outstanding answers with a deadline.

    //= specs/client-certs.md#decisions-identities
    //= type=test
    //# (ours) A request whose credential is being asked for MUST be held until the answer or the deadline.
    let deadline = Duration::from_secs(1);
    let mut server = Server::start_with(version, rules().answer_timeout(deadline)).await;
    let mut client = server.opened(4).await;
    let begin = tokio::time::Instant::now();
    let challenge = client.get_and_be_asked(1, "/user").await;
    assert_eq!(client.wire.get(3, "/open").await, Some(200), "served meanwhile");

    let (status, problem) = client.wire.whole_response(1).await.unwrap();
    assert!(begin.elapsed() >= deadline, "it was not held");
    assert_eq!(status, 403);
    assert!(String::from_utf8_lossy(&problem).contains("urn:countersign:credential-timeout"));
    assert_eq!(client.wire.get(5, "/open").await, Some(200), "the connection lives on");

    // Late is not never: the answer counts for whoever comes next, who is not asked again.
    let answer = client.secrets().answer(&challenge, &people().alice);
    client.wire.send(&certificate(&answer)).await;
    assert_eq!(client.wire.get(7, "/user").await, Some(200));
    server.serves_others().await;
}

/// Sends `bytes` one by one, each in a record and a segment of its own.
async fn trickle(client: &mut Attacker, bytes: &[u8]) {
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    for byte in bytes {
        tick.tick().await;
        client.wire.send_bytes(&[*byte]).await;
    }
}

async fn who_answers_byte_by_byte_is_understood(version: Version) {
    let mut server = Server::start(version).await;
    let (mut client, challenge) = server.challenged().await;
    client.wire.request(3, "/open").await;
    let answer = client.secrets().answer(&challenge, &people().alice);
    let frame = certificate(&answer).encode(version);
    let (most, last) = frame.split_at(frame.len() - 1);

    trickle(&mut client, most).await;
    assert_eq!(client.wire.response(3).await, Some(200), "served meanwhile");
    server.serves_others().await;
    assert_eq!(client.handle.identities(), []);
    client.wire.send_bytes(last).await;
    assert_eq!(client.wire.response(1).await, Some(200));
}

async fn who_answers_byte_by_byte_gains_no_time(version: Version) {
    let deadline = Duration::from_millis(100);
    let mut server = Server::start_with(version, rules().answer_timeout(deadline)).await;
    let mut client = server.opened(4).await;
    let challenge = client.get_and_be_asked(1, "/user").await;
    let answer = client.secrets().answer(&challenge, &people().alice);
    let frame = certificate(&answer).encode(version);
    let (most, last) = frame.split_at(frame.len() - 1);

    trickle(&mut client, most).await;
    assert_eq!(client.wire.response(1).await, Some(403));
    client.wire.send_bytes(last).await;
    assert_eq!(client.wire.get(3, "/user").await, Some(200));
}

/// The connection of `client`, who has gone, is over, and who waited knows.
async fn is_over(server: &mut Server, client: Attacker) {
    let Attacker { wire, handle, served, waiting } = client;
    drop(wire);
    assert_eq!(within(waiting.unwrap()).await.unwrap(), Err(Denied::Closed));
    within(served).await.unwrap();
    assert_eq!(handle.closed_reason(), Some(Closed::Transport));
    assert_eq!(handle.identities(), []);
    assert_eq!(within(handle.require("user")).await, Err(Denied::Closed));
    server.serves_others().await;
}

async fn who_goes_in_the_middle_of_an_authenticator(version: Version) {
    let mut server = Server::start(version).await;
    for politely in [true, false] {
        let (mut client, challenge) = server.challenged().await;
        let answer = client.secrets().answer(&challenge, &people().alice);
        let frame = certificate(&answer).encode(version);
        client.wire.send_bytes(&frame[..frame.len() / 2]).await;
        if politely {
            client.wire.shutdown().await;
        }
        is_over(&mut server, client).await;
    }
}

async fn who_goes_in_the_middle_of_a_header(version: Version) {
    let mut server = Server::start(version).await;
    let (mut client, challenge) = server.challenged().await;
    let answer = client.secrets().answer(&challenge, &people().alice);
    client.wire.send_bytes(&certificate(&answer).encode(version)[..7]).await;
    is_over(&mut server, client).await;
}

async fn who_goes_while_asked(version: Version) {
    let mut server = Server::start(version).await;
    let (client, _) = server.challenged().await;
    is_over(&mut server, client).await;
}

#[tokio::test]
async fn who_closes_right_behind_a_violation_still_reads_why() {
    let mut server = Server::start(Version::H2).await;
    let mut client = server.opened(4).await;
    client.wire.send(&certificate(b"whatever")).await;
    client.wire.shutdown().await;
    let goaway = client.wire.h2().expect_goaway(PROTOCOL_ERROR).await;
    assert_eq!(goaway.debug_text(), Some(Violation::Unsolicited.to_string()));
    within(client.served).await.unwrap();
    server.serves_others().await;
}

#[tokio::test]
async fn who_stays_after_the_goaway_is_left_in_the_end() {
    let mut server = Server::start(Version::H2).await;
    let mut client = server.opened(4).await;
    client.wire.send(&certificate(b"whatever")).await;
    client.wire.h2().expect_goaway(PROTOCOL_ERROR).await;
    // Nor does it help to go on talking.
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    within(async {
        while !client.served.is_finished() {
            tick.tick().await;
            client.wire.h2().try_send_bytes(&certificate(b"more").encode(Version::H2)).await;
        }
    })
    .await;
    server.serves_others().await;
}

#[tokio::test]
async fn who_speaks_http1_where_http2_was_agreed_is_nobody() {
    let deadline = Duration::from_millis(100);
    let mut server = Server::start_with(Version::H2, rules().answer_timeout(deadline)).await;
    let mut client = server.attacker().await;
    let request = b"GET /user HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.wire.send_bytes(request).await;
    let response = client.wire.h2().rest().await;
    assert!(response.starts_with(b"HTTP/1.1 403 "), "{response:?}");
    drop(client.wire);
    within(client.served).await.unwrap();
    server.serves_others().await;
}

async fn who_never_says_anything_after_tls(version: Version) {
    let mut server = Server::start(version).await;
    let client = server.attacker().await;
    server.serves_others().await;
    let handle = client.handle.clone();
    let waiting = tokio::spawn(async move { handle.require("user").await });
    is_over(&mut server, Attacker { waiting: Some(waiting), ..client }).await;
}

#[tokio::test]
async fn who_cannot_even_do_tls() {
    let mut server = Server::start(Version::H2).await;
    let mut tcp = within(tokio::net::TcpStream::connect(server.address)).await.unwrap();
    within(tcp.write_all(&certificate(b"in the clear").encode(Version::H2))).await.unwrap();
    server.serves_others().await;
}
