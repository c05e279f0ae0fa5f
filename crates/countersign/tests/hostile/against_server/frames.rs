//! Frames that may not be there, whatever is in them.

use countersign::{CodePoints, Violation};
use countersign_testkit::raw::{PREFACE, kind};
use countersign_testkit::{Frame, Version, within};
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;

use crate::forge::good_request;
use crate::people::people;
use crate::server::{Server, rules};
use crate::wire::*;

countersign_testkit::over_both_versions! {
    a_certificate_that_nobody_asked_for,
    one_certificate_too_many,
    one_certificate_too_many_in_the_same_breath,
    a_certificate_of_a_client_that_announced_nothing,
    a_certificate_on_a_stream,
    requests_from_a_client,
    a_server_certificate_from_a_client,
    the_default_types_mean_nothing_where_others_are_set,
    a_certificate_longer_than_a_frame_may_be,
    a_certificate_longer_than_the_server_wants_them,
}

async fn a_certificate_that_nobody_asked_for(version: Version) {
    //= specs/client-certs.md#section-4.2
    //= type=test
    //# A server that receives CERTIFICATE with no request outstanding MUST treat that as a connection error.

    //= specs/client-certs.md#decisions-bad
    //= type=test
    //# (ours) A CERTIFICATE that nobody asked for MUST be a connection error, PROTOCOL_ERROR in HTTP/2 and H3_FRAME_UNEXPECTED in HTTP/3.
    let mut server = Server::start(version).await;
    let mut client = server.opened(4).await;
    client.wire.send(&certificate(b"whatever")).await;
    server.refuses(client, UNEXPECTED, Violation::Unsolicited).await;
}

async fn one_certificate_too_many(version: Version) {
    let mut server = Server::start(version).await;
    let (mut client, challenge) = server.challenged().await;
    let answer = client.secrets().answer(&challenge, &people().alice);
    client.wire.send(&certificate(&answer)).await;
    assert_eq!(client.wire.response(1).await, Some(200));
    client.waiting.take();

    client.wire.send(&certificate(&answer)).await;
    server.refuses(client, UNEXPECTED, Violation::Unsolicited).await;
}

async fn one_certificate_too_many_in_the_same_breath(version: Version) {
    // The good one is still being verified when the connection ends; it must not count afterwards.
    let mut server = Server::start(version).await;
    let (mut client, challenge) = server.challenged().await;
    let answer = client.secrets().answer(&challenge, &people().alice);
    client.wire.send_bytes(&certificate(&answer).encode(version).repeat(2)).await;
    server.refuses(client, UNEXPECTED, Violation::Unsolicited).await;

    // The same for a challenge that nobody waits for an answer to.
    let mut server = Server::start_with(version, rules().generic_challenges(1)).await;
    let mut client = server.opened(1).await;
    let challenge = client.be_asked().await;
    let answer = client.secrets().answer(&challenge, &people().alice);
    client.wire.send_bytes(&certificate(&answer).encode(version).repeat(2)).await;
    server.refuses(client, UNEXPECTED, Violation::Unsolicited).await;
}

async fn a_certificate_of_a_client_that_announced_nothing(version: Version) {
    //= specs/client-certs.md#decisions-limits
    //= type=test
    //# (ours) AUTHENTICATOR_REQUESTS or CERTIFICATE without negotiation MUST be a connection error, PROTOCOL_ERROR in HTTP/2 and H3_FRAME_UNEXPECTED in HTTP/3.
    let mut server = Server::start(version).await;
    for nothing in [None, Some(0)] {
        let mut client = server.attacker().await;
        client.wire.open(nothing).await;
        assert_eq!(client.wire.get(1, "/user").await, Some(403), "it cannot be asked");
        client.wire.send(&certificate(b"whatever")).await;
        server.refuses(client, UNEXPECTED, Violation::NotNegotiated).await;
    }
}

#[tokio::test]
async fn a_certificate_before_the_clients_settings() {
    let mut server = Server::start(Version::H2).await;
    let mut client = server.attacker().await;
    client.wire.h2().send_bytes(PREFACE).await;
    client.wire.send(&certificate(b"whatever")).await;
    server.refuses(client, UNEXPECTED, Violation::NotNegotiated).await;
}

#[tokio::test]
async fn a_certificate_before_anything_on_a_server_of_http2_alone() {
    // hyper's server for both versions reads the preface on its own; this one leaves it to h2.
    let hyper = auto::Builder::new(TokioExecutor::new()).http2_only();
    let mut server = Server::start_on(rules(), hyper).await;
    let mut client = server.attacker().await;
    client
        .wire
        .h2()
        .send_bytes(&[PREFACE, &certificate(b"whatever").encode(Version::H2)].concat())
        .await;
    server.refuses(client, UNEXPECTED, Violation::NotNegotiated).await;
}

#[tokio::test]
async fn flags_that_have_no_meaning_change_nothing() {
    let mut server = Server::start(Version::H2).await;
    let (mut client, challenge) = server.challenged().await;
    let answer = client.secrets().answer(&challenge, &people().alice);
    client.wire.h2().send(&Frame { flags: 0xff, ..certificate(&answer).h2() }).await;
    assert_eq!(client.wire.response(1).await, Some(200));
}

async fn a_certificate_on_a_stream(version: Version) {
    //= specs/client-certs.md#section-4.2
    //= type=test
    //# A server MUST treat CERTIFICATE on another stream as a connection error.
    let mut server = Server::start(version).await;
    let streams = match version {
        Version::H2 => &[1, 3, 0x7fff_ffff][..],
        // A request has ended its stream, and streams begin in their order.
        Version::H3 => &[3],
    };
    for stream in streams {
        let (mut client, challenge) = server.challenged().await;
        let answer = client.secrets().answer(&challenge, &people().alice);
        client.wire.send_on(*stream, &certificate(&answer)).await;
        server.refuses(client, UNEXPECTED, Violation::WrongStream).await;
    }
}

async fn requests_from_a_client(version: Version) {
    //= specs/client-certs.md#section-4.1.1
    //= type=test
    //# A server that receives this HTTP/2 frame on whatever stream MUST treat that as a connection error PROTOCOL_ERROR.

    //= specs/client-certs.md#section-4.1.2
    //= type=test
    //# A server that receives this HTTP/3 frame on whatever stream MUST treat that as a connection error H3_FRAME_UNEXPECTED.
    let mut server = Server::start(version).await;
    let frame = requests([&good_request(1)[..]]);
    let mut client = server.opened(4).await;
    client.wire.send(&frame).await;
    server.refuses(client, UNEXPECTED, Violation::RequestsFromClient).await;
    let streams = match version {
        Version::H2 => &[1, 3][..],
        // Streams begin in their order.
        Version::H3 => &[1],
    };
    for stream in streams {
        let mut client = server.opened(4).await;
        client.wire.send_on(*stream, &frame).await;
        server.refuses(client, UNEXPECTED, Violation::RequestsFromClient).await;
    }
}

async fn a_server_certificate_from_a_client(version: Version) {
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) The two directions MAY be given two frame types.
    let mut server = Server::start_at(version, set_apart()).await;
    let mut client = server.opened(4).await;
    client.wire.send(&Extension::new(SERVER_CERTIFICATE, &b"whatever"[..])).await;
    server.refuses(client, UNEXPECTED, Violation::ServerCertificateFromClient).await;
}

async fn the_default_types_mean_nothing_where_others_are_set(version: Version) {
    let points = CodePoints {
        frame_certificate: 0xf1,
        frame_server_certificate: 0xf1,
        ..CodePoints::default()
    };
    let mut server = Server::start_at(version, points).await;
    let mut client = server.opened(4).await;
    client.wire.send(&certificate(b"an unknown frame, to be ignored")).await;
    assert_eq!(client.wire.get(1, "/open").await, Some(200));
    client.wire.send(&Extension::new(0xf1, &b"whatever"[..])).await;
    server.refuses(client, UNEXPECTED, Violation::Unsolicited).await;
}

#[tokio::test]
async fn a_certificate_inside_of_a_header_block() {
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) A frame of the extension between HEADERS and the end of its header block MUST be a connection error PROTOCOL_ERROR.
    let mut server = Server::start(Version::H2).await;
    for continued in [false, true] {
        let (mut client, challenge) = server.challenged().await;
        let answer = client.secrets().answer(&challenge, &people().alice);
        let headers = Frame::get(3, "localhost", "/open", &[]);
        client.wire.h2().send(&unfinished(headers)).await;
        if continued {
            client.wire.h2().send_frame(kind::CONTINUATION, 0, 3, b"").await;
        }
        client.wire.send(&certificate(&answer)).await;
        server.refuses(client, UNEXPECTED, Violation::InsideHeaderBlock).await;
    }
}

async fn a_certificate_longer_than_a_frame_may_be(version: Version) {
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) A frame over the accepted size MUST be a connection error at its header, before any of it is buffered, FRAME_SIZE_ERROR in HTTP/2 and H3_EXCESSIVE_LOAD in HTTP/3.
    let mut server = Server::start(version).await;
    for length in excessive(version) {
        let (mut client, _) = server.challenged().await;
        client.wire.send_bytes(&header_only(version, CERTIFICATE, *length)).await;
        // Nothing of the payload was sent, and yet it is decided.
        client.wire.expect_error(TOO_LONG).await;
        drop(client.wire);
        within(client.served).await.unwrap();

        let (mut client, _) = server.challenged().await;
        client.wire.send_bytes(&header_only(version, CERTIFICATE, *length)).await;
        server.refuses(client, TOO_LONG, Violation::FrameTooLong).await;
    }
}

async fn a_certificate_longer_than_the_server_wants_them(version: Version) {
    let (rules, longer) = (rules().max_frame_len(40_000), 40_001);
    let mut server = match version {
        Version::H3 => Server::start_with(version, rules).await,
        Version::H2 => {
            Server::start_tuned(rules, |hyper| {
                hyper.http2().max_frame_size(1 << 20);
            })
            .await
        }
    };
    let (mut client, _) = server.challenged().await;
    client.wire.send_bytes(&header_only(version, CERTIFICATE, longer)).await;
    server.refuses(client, TOO_LONG, Violation::FrameTooLong).await;

    // One that is long but not too long is read, and then found wanting.
    let (mut client, _) = server.challenged().await;
    client.wire.send(&certificate(&vec![0; longer - 1])).await;
    server.refuses(client, MALFORMED, Violation::MalformedAuthenticator).await;
}

#[tokio::test]
async fn the_goaway_names_the_last_stream_that_was_taken_up() {
    let mut server = Server::start(Version::H2).await;
    let mut client = server.opened(4).await;
    assert_eq!(client.wire.get(1, "/open").await, Some(200));
    assert_eq!(client.wire.get(3, "/open").await, Some(200));
    client.wire.send(&certificate(b"whatever")).await;
    client.wire.h2().send(&Frame::get(5, "localhost", "/open", &[])).await;
    let goaway = client.wire.h2().expect_goaway(PROTOCOL_ERROR).await;
    assert_eq!(goaway.payload[..4], 3_u32.to_be_bytes());
}
