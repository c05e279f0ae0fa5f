//! Connections of HTTP/2 that cannot carry authenticators: TLS 1.2 of which nobody knows that it has the
//! extended master secret. There a peer may send what it likes under the numbers of the extension.

use std::sync::Arc;

use countersign_testkit::{RawPeer, Suite, TlsOptions};
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use crate::client::{Client, Impostor, alices_rules};
use crate::forge::good_request;
use crate::hosts::authority;
use crate::peer::{Wire, value_of};
use crate::server::{Server, rules};
use crate::wire::*;

fn tls() -> TlsOptions {
    TlsOptions::default().suite(Suite::Tls12Sha256)
}

/// One of each type, the second of which would be malformed too.
fn frames() -> [Extension; 2] {
    [requests([&good_request(1)[..]]), certificate(b"whatever")]
}

#[tokio::test]
async fn servers_pass_over_its_frames() {
    //= specs/client-certs.md#decisions-limits
    //= type=test
    //# (ours) On an HTTP/2 connection that cannot carry authenticators the extension's frames MUST
    //# count as unknown.
    let hyper = auto::Builder::new(TokioExecutor::new());
    let mut server = Server::start_above(tls().server_config(), rules(), hyper).await;
    let mut client = server.attacker_with(Arc::new(tls().client_config())).await;
    let announced = client.wire.open_with(&[(CLIENT_CERT_AUTH, 4), (SERVER_CERT_AUTH, 2)]).await;
    assert_eq!(value_of(CLIENT_CERT_AUTH, &announced), None);
    for frame in frames() {
        client.wire.send(&frame).await;
    }
    assert_eq!(client.wire.get(1, "/user").await, Some(403), "it cannot be asked");
    assert_eq!(client.wire.get(3, "/open").await, Some(200));
    assert_eq!(client.handle.closed_reason(), None);
}

#[tokio::test]
async fn clients_pass_over_its_frames() {
    //= specs/client-certs.md#decisions-limits
    //= type=test
    //# (ours) On an HTTP/2 connection that cannot carry authenticators the extension's frames MUST
    //# count as unknown.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let rules = Arc::new(alices_rules().authority(authority()).build().unwrap());
    let (client, wire) = tokio::join!(
        Client::connect_h2(Arc::new(tls().client_config()), address, rules),
        RawPeer::accept(&listener, Arc::new(tls().server_config())),
    );
    let mut server = Impostor::asking(client, Wire::H2(wire.into()));
    let announced = server.wire.open_with(&[(CLIENT_CERT_AUTH, 1), (SERVER_CERT_AUTH, 2)]).await;
    assert_eq!(value_of(CLIENT_CERT_AUTH, &announced), None);
    assert_eq!(value_of(SERVER_CERT_AUTH, &announced), None);
    server.be_asked().await;
    for frame in frames() {
        server.wire.send(&frame).await;
    }
    server.goes_on().await;
}
