//! The same over a network that loses, repeats and reorders datagrams.

#![cfg(test)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use countersign_proto::Role;
use countersign_testkit::relay::{Fate, Relay, Way, lossy};
use support::mock::{Event, MockLink};
use support::quic::{Net, Options, SERVER_NAME, closed_with, control, frame, open_uni};
use support::stacks::{client, exchange, pattern, serve, server};
use support::within;

async fn bodies_and_frames(seed: u64) {
    let net = Net::new(&Options::default());
    let relay = Relay::new(net.server.local_addr().unwrap(), lossy(seed)).await;
    let connecting = net.client.connect(relay.address(), SERVER_NAME).unwrap();
    let accepting = async { net.server.accept().await.unwrap().await };
    let (client_quic, server_quic) = tokio::try_join!(connecting, accepting).unwrap();
    let client_link = Arc::new(MockLink::new(Role::Client));
    let server_link = Arc::new(MockLink::new(Role::Server));
    let ((mut requests, _driver), server) =
        tokio::join!(client(client_quic, &client_link), server(server_quic, &server_link));
    let _serving = serve(server);

    let frames: Vec<Bytes> = (0..100_u8).map(|number| vec![number; 2000].into()).collect();
    for frame in &frames {
        client_link.push_frame(frame.clone());
        server_link.push_frame(frame.clone());
    }
    let body = pattern(200_000);
    assert!(exchange(&mut requests, body.clone()).await == body, "seed {seed}");
    for link in [client_link, server_link] {
        link.until(|events| {
            events.iter().filter(|event| matches!(event, Event::Frame(..))).count() == frames.len()
        })
        .await;
        assert!(link.frames() == frames, "seed {seed}");
    }
}

#[tokio::test]
async fn nothing_hangs_or_gets_lost() {
    for seed in 0..4 {
        let run = Box::pin(bodies_and_frames(seed));
        let run = tokio::time::timeout(Duration::from_secs(60), run).await;
        assert!(run.is_ok(), "seed {seed}: it hangs");
    }
}

/// The server's error must not be closed for before the server can read it: the client's Finished is
/// lost a few times here, while the server has already sent what it should not.
#[tokio::test]
async fn the_code_outlives_a_lost_finished() {
    //= specs/client-certs.md#decisions-bad
    //= type=test
    //# (ours) In HTTP/3 an error found before the handshake is confirmed MUST wait for the
    //# confirmation.
    within(async {
        let net = Net::new(&Options::default());
        let mut sent = 0;
        let relay = Relay::new(net.server.local_addr().unwrap(), move |way, _| {
            sent += usize::from(way == Way::ToServer);
            match way {
                Way::ToServer if (2..5).contains(&sent) => Fate::Drop,
                Way::ToServer | Way::ToClient => Fate::Pass,
            }
        })
        .await;
        let link = Arc::new(MockLink::new(Role::Client));
        let serving = async {
            let connecting = net.server.accept().await.unwrap().accept().unwrap();
            let (quic, _) = connecting.into_0rtt().unwrap();
            let bytes = [control(&[]), frame(0xf5, b"malformed")].concat();
            let _control = open_uni(&quic, &bytes).await;
            closed_with(&quic).await.0
        };
        let visiting = async {
            let quic = net.client.connect(relay.address(), SERVER_NAME).unwrap().await.unwrap();
            let (_requests, driver) = client(quic, &link).await;
            driver.await.unwrap()
        };
        let (code, error) = tokio::join!(serving, visiting);
        assert_eq!(code, 0x10e);
        assert!(error.to_string().contains("malformed"), "{error}");
    })
    .await;
}
