//! The hash of the negotiated suite, from real QUIC connections.

#![cfg(test)]

mod support;

use countersign_h3::{authenticator_hash, exporter_values};
use exported_authenticator::Unavailable;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::hash::HashAlgorithm;
use support::quic::{Net, Options, connect};
use support::within;

#[tokio::test]
async fn every_suites_hash_is_found_on_both_ends() {
    for (suite, wanted) in [
        (TLS13_AES_128_GCM_SHA256, HashAlgorithm::SHA256),
        (TLS13_AES_256_GCM_SHA384, HashAlgorithm::SHA384),
        (TLS13_CHACHA20_POLY1305_SHA256, HashAlgorithm::SHA256),
    ] {
        let options = Options { suite, ..Options::default() };
        let (_net, client, server) = within(connect(&options)).await;
        // The probe tells, not what the provider happens to have.
        let all = rustls::crypto::aws_lc_rs::default_provider();
        for quic in [&client, &server] {
            assert_eq!(authenticator_hash(quic, &all).unwrap().algorithm(), wanted, "{suite:?}");
            assert_eq!(exporter_values(quic, &all).unwrap().hash().algorithm(), wanted);
        }
    }
}

#[tokio::test]
async fn a_hash_that_the_provider_lacks_is_said_to_be_missing() {
    let options = Options { suite: TLS13_AES_256_GCM_SHA384, ..Options::default() };
    let (_net, client, _server) = within(connect(&options)).await;
    let other = Options::default().provider();
    assert_eq!(authenticator_hash(&client, &other).unwrap_err(), Unavailable::NoHash);
}

#[tokio::test]
async fn nothing_is_exported_before_the_handshake_is_complete() {
    within(async {
        let options = Options::default();
        let provider = options.provider();
        let net = Net::new(&options);
        // The first connection gets the ticket that the second needs for early data.
        let (first, first_server) = net.connect().await;
        let mut hello = first_server.open_uni().await.unwrap();
        hello.write_all(b"hello").await.unwrap();
        first.accept_uni().await.unwrap();

        let (early, accepted) = net.connecting().into_0rtt().unwrap();
        let unavailable = Unavailable::HandshakeNotComplete;
        assert_eq!(exporter_values(&early, &provider).unwrap_err(), unavailable);
        let (answering, ready) =
            net.server.accept().await.unwrap().accept().unwrap().into_0rtt().unwrap();
        assert_eq!(exporter_values(&answering, &provider).unwrap_err(), unavailable);
        assert!(accepted.await);
        exporter_values(&early, &provider).unwrap();
        ready.await;
        exporter_values(&answering, &provider).unwrap();
    })
    .await;
}
