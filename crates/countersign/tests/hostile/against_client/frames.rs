//! Frames that may not be there, whatever is in them.

use countersign::Violation;
use countersign_testkit::raw::{flag, kind};
use countersign_testkit::{Frame, within};

use crate::client::{Impostor, alices_rules, silent_rules};
use crate::forge::good_request;
use crate::wire::*;

/// A list of requests that nothing is wrong with.
fn good_list() -> Frame {
    requests([&good_request(1)[..]])
}

#[tokio::test]
async fn requests_on_a_stream() {
    //= specs/client-certs.md#section-4.1.1
    //= type=test
    //# A client that receives this HTTP/2 frame on another stream than 0 MUST treat that as a connection error PROTOCOL_ERROR.
    for stream in [1, 2, 3] {
        let mut server = Impostor::opened(alices_rules(), 1).await;
        server.wire.send(&on_stream(stream, good_list())).await;
        server.refused(PROTOCOL_ERROR, Violation::WrongStream).await;
    }
}

#[tokio::test]
async fn requests_of_a_server_that_announced_nothing() {
    let mut server = Impostor::opened(alices_rules(), 0).await;
    server.wire.send(&good_list()).await;
    server.refused(PROTOCOL_ERROR, Violation::NotNegotiated).await;

    let mut server = Impostor::lure(alices_rules()).await;
    server.wire.open(&[]).await;
    server.wire.send(&good_list()).await;
    server.refused(PROTOCOL_ERROR, Violation::NotNegotiated).await;
}

#[tokio::test]
async fn requests_before_the_servers_settings() {
    let mut server = Impostor::lure(alices_rules()).await;
    server.wire.read_preface().await;
    server.wire.send(&good_list()).await;
    server.refused(PROTOCOL_ERROR, Violation::NotNegotiated).await;
}

#[tokio::test]
async fn requests_to_a_client_that_announced_nothing() {
    //= specs/client-certs.md#decisions-limits
    //= type=test
    //# (ours) AUTHENTICATOR_REQUESTS that reaches a client whose own setting is 0 MUST be treated as not negotiated.
    let mut server = Impostor::opened(alices_rules().limit(0), 1).await;
    server.wire.send(&good_list()).await;
    server.refused(PROTOCOL_ERROR, Violation::NotNegotiated).await;
}

#[tokio::test]
async fn requests_inside_of_a_header_block() {
    for continued in [false, true] {
        let mut server = Impostor::opened(alices_rules(), 1).await;
        server.wire.send(&unfinished(Frame::response(1, 200))).await;
        if continued {
            server.wire.send_frame(kind::CONTINUATION, 0, 1, b"").await;
        }
        server.wire.send(&good_list()).await;
        server.refused(PROTOCOL_ERROR, Violation::InsideHeaderBlock).await;
    }
}

#[tokio::test]
async fn requests_longer_than_a_frame_may_be() {
    let frame_max = MAX_FRAME_SIZE;
    for (rules, length) in [
        (alices_rules(), frame_max + 1),
        (alices_rules(), LONGEST),
        (alices_rules().max_frame_len(1000), 1001),
    ] {
        let mut server = Impostor::opened(rules, 1).await;
        server.wire.send_bytes(&header_only(REQUESTS, length)).await;
        // Nothing of the payload was sent, and yet it is decided.
        let goaway = server.wire.expect_kind(kind::GOAWAY).await;
        assert_eq!(goaway.error_code(), Some(FRAME_SIZE_ERROR));
        assert_eq!(goaway.debug_text(), Some(Violation::FrameTooLong.to_string()));
        drop(server.wire);
        assert!(within(server.waiting).await.unwrap().is_err());
    }
    let mut server = Impostor::opened(alices_rules(), 1).await;
    server.wire.send_bytes(&header_only(REQUESTS, LONGEST)).await;
    server.refused(FRAME_SIZE_ERROR, Violation::FrameTooLong).await;
}

#[tokio::test]
async fn a_server_certificate_that_was_not_negotiated() {
    //= specs/client-certs.md#section-4.2
    //= type=test
    //# In HTTP/2 a client that receives a server's CERTIFICATE without that negotiation MUST answer
    //# with a connection error PROTOCOL_ERROR.
    let violation = Violation::ServerCertificateNotNegotiated;
    let mut server = Impostor::opened(alices_rules(), 1).await;
    server.wire.send(&certificate(b"whatever")).await;
    server.refused(PROTOCOL_ERROR, violation).await;

    let mut server = Impostor::opened(alices_rules().code_points(set_apart()), 1).await;
    server.wire.send(&Frame::control(SERVER_CERTIFICATE, &b"whatever"[..])).await;
    server.refused(PROTOCOL_ERROR, violation).await;
}

#[tokio::test]
async fn the_clients_certificate_from_a_server() {
    let mut server = Impostor::opened(alices_rules().code_points(set_apart()), 1).await;
    server.wire.send(&certificate(b"whatever")).await;
    server.refused(PROTOCOL_ERROR, Violation::CertificateFromServer).await;
}

#[tokio::test]
async fn a_request_cut_off_by_the_end_of_the_connection() {
    let mut server = Impostor::opened(silent_rules(), 1).await;
    let frame = good_list().encode();
    server.wire.send_bytes(&frame[..frame.len() - 1]).await;
    server.wire.shutdown().await;
    let Impostor { wire, client, waiting } = server;
    drop(wire);
    assert!(within(waiting).await.unwrap().is_err());
    within(client.driven).await.unwrap();
    assert_eq!(client.handle.closed_reason(), Some(countersign::Closed::Transport));
}

#[tokio::test]
async fn who_keeps_the_connection_open_does_not_keep_the_client_waiting() {
    let mut server = Impostor::opened(alices_rules(), 1).await;
    server.wire.send(&on_stream(3, good_list())).await;
    // It neither reads the GOAWAY nor closes.
    let Impostor { wire, client, waiting } = server;
    assert!(within(waiting).await.unwrap().is_err());
    within(client.driven).await.unwrap();
    drop(wire);
}

#[tokio::test]
async fn an_acknowledgement_of_nothing() {
    // HTTP/2's own rule, which its own stack keeps; the tap has lost count of nothing.
    let mut server = Impostor::opened(alices_rules(), 1).await;
    server.wire.send_frame(kind::SETTINGS, flag::ACK, 0, b"").await;
    server.wire.expect_goaway(PROTOCOL_ERROR).await;
    assert!(within(server.waiting).await.unwrap().is_err());
}
