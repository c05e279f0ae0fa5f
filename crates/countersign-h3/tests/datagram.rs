//! HTTP datagrams beside frames of the extension.

#![cfg(test)]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use countersign_h3::Connection;
use countersign_proto::Role;
use h3_datagram::datagram_handler::HandleDatagramsExt;
use support::mock::{Event, MockLink};
use support::quic::{Options, connect};
use support::within;

#[tokio::test]
async fn datagrams_pass() {
    within(async {
        let (_net, client_quic, server_quic) = connect(&Options::default()).await;
        let client_link = Arc::new(MockLink::new(Role::Client));
        let server_link = Arc::new(MockLink::new(Role::Server));
        let client_side = Connection::new(client_quic, Arc::clone(&client_link));
        let server_side = Connection::new(server_quic, Arc::clone(&server_link));
        let mut builder = h3::server::builder();
        builder.enable_datagram(true).enable_extended_connect(true);
        let (client, server) =
            tokio::join!(h3::client::new(client_side), builder.build(server_side));
        let (mut driver, mut requests) = client.unwrap();
        let mut server: h3::server::Connection<_, Bytes> = server.unwrap();

        let mut stream = requests.send_request(support::stacks::request()).await.unwrap();
        let resolver = server.accept().await.unwrap().unwrap();
        let (_, mut incoming) = resolver.resolve_request().await.unwrap();
        let id = stream.id();
        assert_eq!(incoming.id(), id);

        server_link.push_frame("between");
        let mut upwards = driver.get_datagram_sender(id);
        let mut downwards = server.get_datagram_sender(id);
        upwards.send_datagram(Bytes::from("up")).unwrap();
        downwards.send_datagram(Bytes::from("down")).unwrap();
        let up = server.get_datagram_reader().read_datagram().await.unwrap();
        assert_eq!((up.stream_id(), up.into_payload()), (id, Bytes::from("up")));
        let down = driver.get_datagram_reader().read_datagram().await.unwrap();
        assert_eq!((down.stream_id(), down.into_payload()), (id, Bytes::from("down")));

        incoming.send_response(http::Response::new(())).await.unwrap();
        let driving =
            tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
        stream.recv_response().await.unwrap();
        client_link
            .until(|events| events.iter().any(|event| matches!(event, Event::Frame(..))))
            .await;
        assert!(!driving.is_finished());
    })
    .await;
}
