//! What only QUIC's streams and datagrams let a client do.

use countersign::Closed;
use countersign::server::Denied;
use countersign_testkit::raw_h3::{Frame, varint};
use countersign_testkit::{RawH3Peer, TlsOptions, Version, within};

use crate::peer::Wire;
use crate::people::people;
use crate::server::{Attacker, Server, rules};
use crate::wire::*;

fn grease() -> Frame {
    Frame::new(GREASE, &b"to be ignored"[..])
}

#[tokio::test]
async fn who_greases_everything_is_understood() {
    let mut server = Server::start(Version::H3).await;
    let mut client = server.attacker().await;
    let h3 = client.wire.h3();
    let no_frame = certificate(b"no frame").encode(Version::H3);
    let _unknown = h3.open_uni(&[varint(GREASE), no_frame].concat()).await;
    let settings = [(GREASE, 0), (CLIENT_CERT_AUTH.into(), 4), (GREASE + 0x1f, 1 << 61)];
    h3.open(&settings).await;
    h3.send(&grease()).await;
    let get = Frame::get("localhost", "/user").encode();
    let id = h3.open_request(&[grease().encode(), get, grease().encode()].concat()).await;
    h3.finish(id).await;

    let challenge = client.be_asked().await;
    let answer = client.secrets().answer(&challenge, &people().alice);
    client.wire.h3().send(&grease()).await;
    client.wire.send(&certificate(&answer)).await;
    client.wire.h3().send(&grease()).await;
    assert_eq!(client.wire.response(1).await, Some(200));
    assert_eq!(client.handle.identity("user").unwrap().chain(), people().alice.chain);
}

#[tokio::test]
async fn who_is_sent_and_sends_a_byte_at_a_time_is_understood() {
    for window in [1, 16] {
        let mut server = Server::start_over(rules(), narrow(window));
        let tls = TlsOptions::default().client_config();
        let wire = RawH3Peer::connect_with(server.address, tls, narrow(window)).await;
        let mut client = server.met(Wire::H3(wire.into())).await;
        assert_eq!(client.wire.open(Some(4)).await, Some(1));
        let challenge = client.get_and_be_asked(1, "/user").await;
        let answer = client.secrets().answer(&challenge, &people().alice);
        client.wire.send(&certificate(&answer)).await;
        assert_eq!(client.wire.response(1).await, Some(200));
        server.serves_others().await;
    }
}

/// The server closes `client`'s connection with `code`, and who waits is told.
async fn loses_its_connection(server: &mut Server, client: Attacker, code: u64) {
    let Attacker { mut wire, handle, served, waiting } = client;
    wire.h3().expect_close(code).await;
    if let Some(waiting) = waiting {
        assert_eq!(within(waiting).await.unwrap(), Err(Denied::Closed));
    }
    within(served).await.unwrap();
    assert_eq!(handle.closed_reason(), Some(Closed::Transport));
    assert_eq!(handle.identities(), []);
    server.serves_others().await;
}

#[tokio::test]
async fn who_ends_the_control_stream_while_asked() {
    let mut server = Server::start(Version::H3).await;
    let (mut client, _) = server.challenged().await;
    client.wire.h3().control().finish().unwrap();
    loses_its_connection(&mut server, client, H3_CLOSED_CRITICAL_STREAM).await;

    let (mut client, _) = server.challenged().await;
    client.wire.h3().control().reset(0_u32.into()).unwrap();
    loses_its_connection(&mut server, client, H3_CLOSED_CRITICAL_STREAM).await;

    let (mut client, challenge) = server.challenged().await;
    let answer = client.secrets().answer(&challenge, &people().alice);
    let frame = certificate(&answer).encode(Version::H3);
    client.wire.send_bytes(&frame[..frame.len() / 2]).await;
    client.wire.h3().control().finish().unwrap();
    loses_its_connection(&mut server, client, H3_FRAME_ERROR).await;
}

#[tokio::test]
async fn a_certificate_before_the_clients_settings() {
    let mut server = Server::start(Version::H3).await;
    let mut client = server.attacker().await;
    let handle = client.handle.clone();
    client.waiting = Some(tokio::spawn(async move { handle.require("user").await }));
    let frame = certificate(b"whatever").encode(Version::H3);
    client.wire.h3().open_control(&frame).await;
    loses_its_connection(&mut server, client, H3_MISSING_SETTINGS).await;
}

#[tokio::test]
async fn who_cannot_even_do_quic() {
    let mut server = Server::start(Version::H3).await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for length in [0, 1, 20, 1200] {
        // A long header of version 1, and rubbish behind it.
        let mut datagram = vec![0xc3, 0, 0, 0, 1];
        datagram.resize(length, 0xa5);
        within(socket.send_to(&datagram, server.address)).await.unwrap();
    }
    server.serves_others().await;
}

#[tokio::test]
async fn a_length_that_can_be_read_in_two_ways_is_refused() {
    let mut server = Server::start(Version::H3).await;
    let mut client = server.attacker().await;
    let h3 = client.wire.h3();
    h3.open(&[]).await;
    let request = |lengths: &[&str]| {
        let start = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost")];
        let more = lengths.iter().map(|length| ("content-length", *length));
        let path = std::iter::once((":path", "/open"));
        let fields: Vec<_> = start.into_iter().chain(path).chain(more).collect();
        [Frame::headers(&fields).encode(), Frame::new(0, &b"body"[..]).encode()].concat()
    };
    for lengths in
        [&["4x"][..], &["+4"], &["-4"], &[" "], &["4,4"], &["4", "5"], &["99999999999999999999"]]
    {
        let id = h3.open_request(&request(lengths)).await;
        assert_eq!(h3.whole_response(id).await, None, "{lengths:?}");
    }
    for lengths in [&[][..], &["4"], &["04"], &["4", "4"]] {
        let id = h3.open_request(&request(lengths)).await;
        h3.finish(id).await;
        assert!(h3.whole_response(id).await.is_some(), "{lengths:?}");
    }
}
