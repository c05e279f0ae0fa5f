//! Frames that may not be there, whatever is in them.

use countersign::Violation;
use countersign_testkit::raw::{flag, kind};
use countersign_testkit::{Frame, Version, within};

use crate::client::{Impostor, alices_rules, silent_rules};
use crate::forge::good_request;
use crate::wire::*;

countersign_testkit::over_both_versions! {
    requests_on_a_stream,
    requests_longer_than_a_frame_may_be,
    requests_of_a_server_that_announced_nothing,
    requests_to_a_client_that_announced_nothing,
    a_server_certificate_that_was_not_negotiated,
    the_clients_certificate_from_a_server,
    a_request_cut_off_by_the_end_of_the_connection,
    who_keeps_the_connection_open_does_not_keep_the_client_waiting,
}

/// A list of requests that nothing is wrong with.
fn good_list() -> Extension {
    requests([&good_request(1)[..]])
}

async fn requests_on_a_stream(version: Version) {
    //= specs/client-certs.md#section-4.1.1
    //= type=test
    //# A client that receives this HTTP/2 frame on another stream than 0 MUST treat that as a connection error PROTOCOL_ERROR.

    //= specs/client-certs.md#section-4.1.2
    //= type=test
    //# A client that receives this HTTP/3 frame on another stream than the control stream MUST treat that as a connection error H3_FRAME_UNEXPECTED.
    let streams = match version {
        Version::H2 => &[1, 2, 3][..],
        // Servers open none.
        Version::H3 => &[1],
    };
    for stream in streams {
        let mut server = Impostor::opened(version, alices_rules(), 1).await;
        server.wire.send_on(*stream, &good_list()).await;
        server.refused(UNEXPECTED, Violation::WrongStream).await;
    }
}

async fn requests_of_a_server_that_announced_nothing(version: Version) {
    let mut server = Impostor::opened(version, alices_rules(), 0).await;
    server.wire.send(&good_list()).await;
    server.refused(UNEXPECTED, Violation::NotNegotiated).await;

    let mut server = Impostor::lure(version, alices_rules()).await;
    server.wire.open(None).await;
    server.wire.send(&good_list()).await;
    server.refused(UNEXPECTED, Violation::NotNegotiated).await;
}

#[tokio::test]
async fn requests_before_the_servers_settings() {
    let mut server = Impostor::lure(Version::H2, alices_rules()).await;
    server.wire.h2().read_preface().await;
    server.wire.send(&good_list()).await;
    server.refused(UNEXPECTED, Violation::NotNegotiated).await;
}

async fn requests_to_a_client_that_announced_nothing(version: Version) {
    //= specs/client-certs.md#decisions-limits
    //= type=test
    //# (ours) AUTHENTICATOR_REQUESTS that reaches a client whose own setting is 0 MUST be treated as not negotiated.
    let mut server = Impostor::opened(version, alices_rules().limit(0), 1).await;
    server.wire.send(&good_list()).await;
    server.refused(UNEXPECTED, Violation::NotNegotiated).await;
}

#[tokio::test]
async fn requests_inside_of_a_header_block() {
    for continued in [false, true] {
        let mut server = Impostor::opened(Version::H2, alices_rules(), 1).await;
        server.wire.h2().send(&unfinished(Frame::response(1, 200))).await;
        if continued {
            server.wire.h2().send_frame(kind::CONTINUATION, 0, 1, b"").await;
        }
        server.wire.send(&good_list()).await;
        server.refused(UNEXPECTED, Violation::InsideHeaderBlock).await;
    }
}

async fn requests_longer_than_a_frame_may_be(version: Version) {
    let mut cases = vec![(alices_rules().max_frame_len(1000), 1001)];
    cases.extend(excessive(version).iter().map(|length| (alices_rules(), *length)));
    for (rules, length) in cases {
        let mut server = Impostor::opened(version, rules, 1).await;
        server.wire.send_bytes(&header_only(version, REQUESTS, length)).await;
        // Nothing of the payload was sent, and yet it is decided.
        let text = server.wire.expect_error(TOO_LONG).await;
        assert_eq!(text, Violation::FrameTooLong.to_string());
        drop(server.wire);
        assert!(within(server.waiting).await.unwrap().is_err());
    }
    for length in excessive(version) {
        let mut server = Impostor::opened(version, alices_rules(), 1).await;
        server.wire.send_bytes(&header_only(version, REQUESTS, *length)).await;
        server.refused(TOO_LONG, Violation::FrameTooLong).await;
    }
}

async fn a_server_certificate_that_was_not_negotiated(version: Version) {
    //= specs/client-certs.md#section-4.2
    //= type=test
    //# In HTTP/2 a client that receives a server's CERTIFICATE without that negotiation MUST answer
    //# with a connection error PROTOCOL_ERROR.

    //= specs/client-certs.md#section-4.2
    //= type=test
    //# In HTTP/3 a client that receives a server's CERTIFICATE without that negotiation MUST answer with a connection error H3_FRAME_UNEXPECTED.
    let violation = Violation::ServerCertificateNotNegotiated;
    let mut server = Impostor::opened(version, alices_rules(), 1).await;
    server.wire.send(&certificate(b"whatever")).await;
    server.refused(UNEXPECTED, violation).await;

    let mut server = Impostor::opened(version, alices_rules().code_points(set_apart()), 1).await;
    server.wire.send(&Extension::new(SERVER_CERTIFICATE, &b"whatever"[..])).await;
    server.refused(UNEXPECTED, violation).await;
}

async fn the_clients_certificate_from_a_server(version: Version) {
    let mut server = Impostor::opened(version, alices_rules().code_points(set_apart()), 1).await;
    server.wire.send(&certificate(b"whatever")).await;
    server.refused(UNEXPECTED, Violation::CertificateFromServer).await;
}

async fn a_request_cut_off_by_the_end_of_the_connection(version: Version) {
    let mut server = Impostor::opened(version, silent_rules(), 1).await;
    let frame = good_list().encode(version);
    server.wire.send_bytes(&frame[..frame.len() - 1]).await;
    server.wire.shutdown().await;
    let Impostor { wire, client, waiting } = server;
    drop(wire);
    assert!(within(waiting).await.unwrap().is_err());
    within(client.driven).await.unwrap();
    assert_eq!(client.handle.closed_reason(), Some(countersign::Closed::Transport));
}

async fn who_keeps_the_connection_open_does_not_keep_the_client_waiting(version: Version) {
    let mut server = Impostor::opened(version, alices_rules(), 1).await;
    server.wire.send_on(1, &good_list()).await;
    // It neither reads the GOAWAY nor closes.
    let Impostor { wire, client, waiting } = server;
    assert!(within(waiting).await.unwrap().is_err());
    within(client.driven).await.unwrap();
    drop(wire);
}

#[tokio::test]
async fn an_acknowledgement_of_nothing() {
    // HTTP/2's own rule, which its own stack keeps; the tap has lost count of nothing.
    let mut server = Impostor::opened(Version::H2, alices_rules(), 1).await;
    server.wire.h2().send_frame(kind::SETTINGS, flag::ACK, 0, b"").await;
    server.wire.h2().expect_goaway(PROTOCOL_ERROR).await;
    assert!(within(server.waiting).await.unwrap().is_err());
}
