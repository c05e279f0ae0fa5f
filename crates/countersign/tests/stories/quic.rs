//! What only QUIC can do to a connection, and what it leaves alone.

use std::sync::Arc;

use countersign::{client, h3};
use countersign_testkit::tls::test_pki;
use countersign_testkit::{TlsOptions, quic, within};

use crate::support::{Send, connect_on, provider, rules, serve, show};

#[tokio::test]
async fn the_server_says_1() {
    //= specs/client-certs.md#section-3.1.2
    //= type=test
    //# An HTTP/3 server MUST set 1 when it supports the mechanism.
    within(async {
        let address = serve(&TlsOptions::default(), rules()).await;
        let auth = client::AuthConfig::builder(provider()).build().unwrap();
        let config = TlsOptions::default().alpn(["h3"]).client_config();
        let endpoint = quic::client();
        let (_client, handle) = connect_on(&endpoint, config, auth, address).await;
        let settings = handle.peer_settings().await.unwrap();
        assert_eq!(settings.client_cert_auth, Some(1));
    })
    .await;
}

#[tokio::test]
async fn an_identity_outlives_a_key_update_and_a_change_of_address() {
    within(async {
        let address = serve(&TlsOptions::default(), rules()).await;
        let auth = client::AuthConfig::builder(provider())
            .resolver(Arc::new(show(address, &[&test_pki().alice])))
            .build()
            .unwrap();
        let config = TlsOptions::default().alpn(["h3"]).client_config();
        let endpoint = quic::client();
        let (client, _handle) = connect_on(&endpoint, config, auth, address).await;
        let quic = client.quic().clone();
        let mut send = Send::H3(client);
        assert_eq!(send.get(address, "/admin").await, (200, "user".into()));

        quic.force_key_update();
        assert_eq!(send.get(address, "/").await, (200, "user".into()), "after a key update");

        let before = endpoint.local_addr().unwrap();
        endpoint.rebind(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        assert_ne!(endpoint.local_addr().unwrap(), before);
        assert_eq!(send.get(address, "/").await, (200, "user".into()), "from another port");
    })
    .await;
}

#[tokio::test]
async fn an_identity_does_not_come_along_to_a_resumed_connection() {
    within(async {
        let address = serve(&TlsOptions::default(), rules()).await;
        let config = TlsOptions::default().alpn([std::str::from_utf8(h3::ALPN_H3).unwrap()]);
        let config = config.client_config();
        let endpoint = quic::client();
        for (identities, names) in [(&[&test_pki().alice][..], "user"), (&[], "")] {
            let auth = client::AuthConfig::builder(provider())
                .resolver(Arc::new(show(address, identities)))
                .build()
                .unwrap();
            // The store of sessions is shared by the clones of a configuration.
            let (client, _handle) = connect_on(&endpoint, config.clone(), auth, address).await;
            let mut send = Send::H3(client);
            assert_eq!(
                send.get(address, "/admin").await.0,
                if names.is_empty() { 403 } else { 200 }
            );
            assert_eq!(send.get(address, "/").await, (200, names.into()));
        }
    })
    .await;
}
