//! What only QUIC's streams let a server do.

use countersign::Closed;
use countersign_testkit::raw_h3::{Frame, varint};
use countersign_testkit::{Version, within};

use crate::client::{Impostor, alices_rules, silent_rules};
use crate::forge::good_request;
use crate::wire::*;

/// A list of requests that nothing is wrong with is answered, and so is the client's own request.
async fn goes_well(server: &mut Impostor) {
    server.wire.send(&requests([&good_request(1)[..]])).await;
    let answer = server.wire.expect_kind(CERTIFICATE).await;
    assert!(answer.len() > 100, "it is no refusal");
    server.wire.respond(1, 200).await;
    assert_eq!(within(&mut server.waiting).await.unwrap().unwrap(), 200);
    assert_eq!(server.client.handle.closed_reason(), None);
}

#[tokio::test]
async fn who_greases_everything_is_understood() {
    let mut server = Impostor::lure(Version::H3, alices_rules()).await;
    let grease = Frame::new(GREASE, &b"to be ignored"[..]);
    let h3 = server.wire.h3();
    let no_frame = requests([&good_request(7)[..]]).encode(Version::H3);
    let _unknown = h3.open_uni(&[varint(GREASE), no_frame].concat()).await;
    let settings = [(GREASE, 0), (CLIENT_CERT_AUTH.into(), 1), (GREASE + 0x1f, 1 << 61)];
    h3.open(&settings).await;
    server.be_asked().await;
    let h3 = server.wire.h3();
    h3.send(&grease).await;
    h3.send_on(0, &grease.encode()).await;
    goes_well(&mut server).await;
    server.wire.h3().send(&grease).await;
}

#[tokio::test]
async fn who_is_sent_and_sends_a_byte_at_a_time_is_understood() {
    for window in [1, 16] {
        let mut server = Impostor::lure_over(alices_rules(), || narrow(window)).await;
        assert_eq!(server.wire.open(Some(1)).await, Some(4));
        server.be_asked().await;
        goes_well(&mut server).await;
    }
}

#[tokio::test]
async fn who_ends_the_control_stream_while_a_question_is_open() {
    for reset in [false, true] {
        let mut server = Impostor::opened(Version::H3, silent_rules(), 1).await;
        server.wire.send(&requests([&good_request(1)[..]])).await;
        let control = server.wire.h3().control();
        if reset {
            control.reset(0_u32.into()).unwrap();
        } else {
            control.finish().unwrap();
        }
        let Impostor { mut wire, client, waiting } = server;
        wire.h3().expect_close(H3_CLOSED_CRITICAL_STREAM).await;
        assert!(within(waiting).await.unwrap().is_err());
        within(client.driven).await.unwrap();
        assert_eq!(client.handle.closed_reason(), Some(Closed::Transport));
    }
}
