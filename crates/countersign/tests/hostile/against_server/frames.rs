//! Frames that may not be there, whatever is in them.

use countersign::{CodePoints, Violation};
use countersign_testkit::raw::{PREFACE, kind};
use countersign_testkit::{Frame, within};
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;

use crate::forge::good_request;
use crate::people::people;
use crate::server::{Server, rules};
use crate::wire::*;

#[tokio::test]
async fn a_certificate_that_nobody_asked_for() {
    //= specs/client-certs.md#section-4.2
    //= type=test
    //# A server that receives CERTIFICATE with no request outstanding MUST treat that as a connection error.

    //= specs/client-certs.md#decisions-bad
    //= type=test
    //# (ours) A CERTIFICATE that nobody asked for MUST be a connection error, PROTOCOL_ERROR in HTTP/2 and H3_FRAME_UNEXPECTED in HTTP/3.
    let mut server = Server::start().await;
    let mut client = server.opened(4).await;
    client.wire.send(&certificate(b"whatever")).await;
    server.refuses(client, PROTOCOL_ERROR, Violation::Unsolicited).await;
}

#[tokio::test]
async fn one_certificate_too_many() {
    let mut server = Server::start().await;
    let (mut client, challenge) = server.challenged().await;
    let answer = client.secrets().answer(&challenge, &people().alice);
    client.wire.send(&certificate(&answer)).await;
    assert_eq!(client.wire.response(1).await, Some(200));
    client.waiting.take();

    client.wire.send(&certificate(&answer)).await;
    server.refuses(client, PROTOCOL_ERROR, Violation::Unsolicited).await;
}

#[tokio::test]
async fn one_certificate_too_many_in_the_same_breath() {
    // The good one is still being verified when the connection ends; it must not count afterwards.
    let mut server = Server::start().await;
    let (mut client, challenge) = server.challenged().await;
    let answer = client.secrets().answer(&challenge, &people().alice);
    client.wire.send_bytes(&certificate(&answer).encode().repeat(2)).await;
    server.refuses(client, PROTOCOL_ERROR, Violation::Unsolicited).await;

    // The same for a challenge that nobody waits for an answer to.
    let mut server = Server::start_with(rules().generic_challenges(1)).await;
    let mut client = server.opened(1).await;
    let challenge = client.be_asked().await;
    let answer = client.secrets().answer(&challenge, &people().alice);
    client.wire.send_bytes(&certificate(&answer).encode().repeat(2)).await;
    server.refuses(client, PROTOCOL_ERROR, Violation::Unsolicited).await;
}

#[tokio::test]
async fn a_certificate_of_a_client_that_announced_nothing() {
    //= specs/client-certs.md#decisions-limits
    //= type=test
    //# (ours) AUTHENTICATOR_REQUESTS or CERTIFICATE without negotiation MUST be a connection error, PROTOCOL_ERROR in HTTP/2 and H3_FRAME_UNEXPECTED in HTTP/3.
    let mut server = Server::start().await;
    for nothing in [&[][..], &[(CLIENT_CERT_AUTH, 0)]] {
        let mut client = server.attacker().await;
        client.wire.open(nothing).await;
        assert_eq!(client.wire.get(1, "/user").await, Some(403), "it cannot be asked");
        client.wire.send(&certificate(b"whatever")).await;
        server.refuses(client, PROTOCOL_ERROR, Violation::NotNegotiated).await;
    }
}

#[tokio::test]
async fn a_certificate_before_the_clients_settings() {
    let mut server = Server::start().await;
    let mut client = server.attacker().await;
    client.wire.send_bytes(PREFACE).await;
    client.wire.send(&certificate(b"whatever")).await;
    server.refuses(client, PROTOCOL_ERROR, Violation::NotNegotiated).await;
}

#[tokio::test]
async fn a_certificate_before_anything_on_a_server_of_http2_alone() {
    // hyper's server for both versions reads the preface on its own; this one leaves it to h2.
    let hyper = auto::Builder::new(TokioExecutor::new()).http2_only();
    let mut server = Server::start_on(rules(), hyper).await;
    let mut client = server.attacker().await;
    client.wire.send_bytes(&[PREFACE, &certificate(b"whatever").encode()].concat()).await;
    server.refuses(client, PROTOCOL_ERROR, Violation::NotNegotiated).await;
}

#[tokio::test]
async fn flags_that_have_no_meaning_change_nothing() {
    let mut server = Server::start().await;
    let (mut client, challenge) = server.challenged().await;
    let answer = client.secrets().answer(&challenge, &people().alice);
    client.wire.send(&Frame { flags: 0xff, ..certificate(&answer) }).await;
    assert_eq!(client.wire.response(1).await, Some(200));
}

#[tokio::test]
async fn a_certificate_on_a_stream() {
    let mut server = Server::start().await;
    for stream in [1, 3, 0x7fff_ffff] {
        let (mut client, challenge) = server.challenged().await;
        let answer = client.secrets().answer(&challenge, &people().alice);
        client.wire.send(&on_stream(stream, certificate(&answer))).await;
        server.refuses(client, PROTOCOL_ERROR, Violation::WrongStream).await;
    }
}

#[tokio::test]
async fn requests_from_a_client() {
    //= specs/client-certs.md#section-4.1.1
    //= type=test
    //# A server that receives this HTTP/2 frame on whatever stream MUST treat that as a connection error PROTOCOL_ERROR.
    let mut server = Server::start().await;
    for stream in [0, 1, 3] {
        let mut client = server.opened(4).await;
        let frame = requests([&good_request(1)[..]]);
        client.wire.send(&on_stream(stream, frame)).await;
        server.refuses(client, PROTOCOL_ERROR, Violation::RequestsFromClient).await;
    }
}

#[tokio::test]
async fn a_server_certificate_from_a_client() {
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) The two directions MAY be given two frame types.
    let mut server = Server::start_at(set_apart()).await;
    let mut client = server.opened(4).await;
    client.wire.send(&Frame::control(SERVER_CERTIFICATE, &b"whatever"[..])).await;
    server.refuses(client, PROTOCOL_ERROR, Violation::ServerCertificateFromClient).await;
}

#[tokio::test]
async fn the_default_types_mean_nothing_where_others_are_set() {
    let points = CodePoints {
        frame_certificate: 0xf1,
        frame_server_certificate: 0xf1,
        ..CodePoints::default()
    };
    let mut server = Server::start_at(points).await;
    let mut client = server.opened(4).await;
    client.wire.send(&certificate(b"an unknown frame, to be ignored")).await;
    assert_eq!(client.wire.get(1, "/open").await, Some(200));
    client.wire.send(&Frame::control(0xf1, &b"whatever"[..])).await;
    server.refuses(client, PROTOCOL_ERROR, Violation::Unsolicited).await;
}

#[tokio::test]
async fn a_certificate_inside_of_a_header_block() {
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) A frame of the extension between HEADERS and the end of its header block MUST be a connection error PROTOCOL_ERROR.
    let mut server = Server::start().await;
    for continued in [false, true] {
        let (mut client, challenge) = server.challenged().await;
        let answer = client.secrets().answer(&challenge, &people().alice);
        let headers = Frame::get(3, "localhost", "/open", &[]);
        client.wire.send(&unfinished(headers)).await;
        if continued {
            client.wire.send_frame(kind::CONTINUATION, 0, 3, b"").await;
        }
        client.wire.send(&certificate(&answer)).await;
        server.refuses(client, PROTOCOL_ERROR, Violation::InsideHeaderBlock).await;
    }
}

#[tokio::test]
async fn a_certificate_longer_than_a_frame_may_be() {
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) A frame over the accepted size MUST be a connection error at its header, before any of it is buffered, FRAME_SIZE_ERROR in HTTP/2 and H3_EXCESSIVE_LOAD in HTTP/3.
    let mut server = Server::start().await;
    for length in [MAX_FRAME_SIZE + 1, LONGEST] {
        let (mut client, _) = server.challenged().await;
        client.wire.send_bytes(&header_only(CERTIFICATE, length)).await;
        // Nothing of the payload was sent, and yet it is decided.
        let goaway = client.wire.expect_kind(kind::GOAWAY).await;
        assert_eq!(goaway.error_code(), Some(FRAME_SIZE_ERROR));
        drop(client.wire);
        within(client.served).await.unwrap();

        let (mut client, _) = server.challenged().await;
        client.wire.send_bytes(&header_only(CERTIFICATE, length)).await;
        server.refuses(client, FRAME_SIZE_ERROR, Violation::FrameTooLong).await;
    }
}

#[tokio::test]
async fn a_certificate_longer_than_the_server_wants_them() {
    let (rules, longer) = (rules().max_frame_len(40_000), 40_001);
    let mut server = Server::start_tuned(rules, |hyper| {
        hyper.http2().max_frame_size(1 << 20);
    })
    .await;
    let (mut client, _) = server.challenged().await;
    client.wire.send_bytes(&header_only(CERTIFICATE, longer)).await;
    server.refuses(client, FRAME_SIZE_ERROR, Violation::FrameTooLong).await;

    // One that is long but not too long is read, and then found wanting.
    let (mut client, _) = server.challenged().await;
    client.wire.send(&certificate(&vec![0; longer - 1])).await;
    server.refuses(client, PROTOCOL_ERROR, Violation::MalformedAuthenticator).await;
}

#[tokio::test]
async fn the_goaway_names_the_last_stream_that_was_taken_up() {
    let mut server = Server::start().await;
    let mut client = server.opened(4).await;
    assert_eq!(client.wire.get(1, "/open").await, Some(200));
    assert_eq!(client.wire.get(3, "/open").await, Some(200));
    client.wire.send(&certificate(b"whatever")).await;
    client.wire.send(&Frame::get(5, "localhost", "/open", &[])).await;
    let goaway = client.wire.expect_goaway(PROTOCOL_ERROR).await;
    assert_eq!(goaway.payload[..4], 3_u32.to_be_bytes());
}
