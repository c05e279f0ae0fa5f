//! Certificates from the TLS handshake itself, and connections that cannot carry the extension.

use countersign::client::NoCredentials;
use countersign_testkit::tls::test_pki;
use countersign_testkit::{Suite, TlsOptions, Version, within};

use crate::support::{Client, device, provider, serve, user};

fn with_client_certificate() -> TlsOptions {
    TlsOptions {
        client: Some(test_pki().alice.clone()),
        client_ca: Some(test_pki().user_ca.clone()),
        ..TlsOptions::default()
    }
}

#[tokio::test]
async fn a_certificate_from_the_handshake_counts_where_it_is_accepted() {
    within(async {
        let tls = with_client_certificate();
        for (user, status) in [(user().accept_handshake(), 200), (user(), 403)] {
            let rules = countersign::server::AuthConfig::builder(provider())
                .credential(user)
                .credential(device());
            let address = serve(&tls, rules).await;
            let mut client =
                Client::connect_with(Version::H2, &tls, address, NoCredentials, 0).await;
            assert_eq!(client.get("/admin").await.0, status);
            assert_eq!(client.get("/device").await.0, 403, "it is no other credential");
        }
    })
    .await;
}

#[tokio::test]
async fn tls_1_2_without_extended_master_secret_has_no_extension() {
    within(async {
        let tls = TlsOptions::default().suite(Suite::Tls12Sha256);
        let rules = countersign::server::AuthConfig::builder(provider())
            .credential(user())
            .credential(device());
        let address = serve(&tls, rules).await;
        let shown = crate::support::show(address, &[&test_pki().alice]);
        let mut client = Client::connect_with(Version::H2, &tls, address, shown, 2).await;
        assert!(client.get("/admin").await.1.contains("credential-missing"));
    })
    .await;
}

#[tokio::test]
async fn a_rejected_certificate_from_the_handshake_is_the_reason_if_nobody_can_be_asked() {
    within(async {
        let tls =
            TlsOptions { client: Some(test_pki().device.clone()), ..with_client_certificate() };
        let tls = TlsOptions { client_ca: Some(test_pki().device_ca.clone()), ..tls };
        let rules = countersign::server::AuthConfig::builder(provider())
            .credential(user().accept_handshake())
            .credential(device());
        let address = serve(&tls, rules).await;
        let mut client = Client::connect_with(Version::H2, &tls, address, NoCredentials, 0).await;
        assert!(client.get("/admin").await.1.contains("credential-untrusted"));
        let shown = crate::support::show(address, &[&test_pki().alice]);
        let mut client = Client::connect_with(Version::H2, &tls, address, shown, 1).await;
        assert_eq!(client.get("/admin").await.0, 200, "who can be asked, is asked");
    })
    .await;
}
