//! What a client gets out of it.

use std::sync::Arc;

use countersign::client::{
    ClientCredential, Event, PresentError, RemoteKey, SignError, StaticCredentials,
};
use countersign::{BoxFuture, Chain, Misuse};
use countersign_testkit::tls::test_pki;
use countersign_testkit::{TlsOptions, Version, within};
use rustls::SignatureScheme;
use rustls::sign::SigningKey;

use crate::support::{Client, credential, origin, provider, rules, serve, show};

async fn a_certificate_can_be_presented_unasked(version: Version) {
    within(async {
        let address = serve(&TlsOptions::default(), rules().generic_challenges(2)).await;
        let mut client =
            Client::connect(version, address, StaticCredentials::new().keep_generic(), 3).await;
        client.handle.present(Arc::new(credential(&test_pki().alice))).await.unwrap();
        assert_eq!(client.get("/admin").await, (200, "user".into()));
        client.handle.present(Arc::new(credential(&test_pki().device))).await.unwrap();
        assert_eq!(client.get("/device").await.0, 200);
    })
    .await;
}

async fn a_presented_certificate_is_there_before_the_next_request(version: Version) {
    within(async {
        let rules = rules().generic_challenges(2).credential(
            countersign::server::CredentialKind::new(
                "never shown",
                crate::support::verifier(&test_pki().device_ca),
            )
            .ask_on_connect(),
        );
        let address = serve(&TlsOptions::default(), rules).await;
        for _ in 0..20 {
            let mut client =
                Client::connect(version, address, StaticCredentials::new().keep_generic(), 4).await;
            client.handle.present(Arc::new(credential(&test_pki().alice))).await.unwrap();
            assert_eq!(client.get("/admin").await, (200, "user".into()));
        }
    })
    .await;
}

async fn a_limit_of_one_is_enough_to_present(version: Version) {
    within(async {
        let rules = countersign::server::AuthConfig::builder(provider())
            .credential(crate::support::user())
            .credential(crate::support::device())
            .generic_challenges(4);
        let address = serve(&TlsOptions::default(), rules).await;
        let mut client =
            Client::connect(version, address, StaticCredentials::new().keep_generic(), 1).await;
        client.handle.present(Arc::new(credential(&test_pki().alice))).await.unwrap();
        assert_eq!(client.get("/admin").await, (200, "user".into()));
    })
    .await;
}

async fn kept_challenges_do_not_block_a_targeted_one(version: Version) {
    within(async {
        let address = serve(&TlsOptions::default(), rules().generic_challenges(3)).await;
        let shown = show(address, &[&test_pki().device, &test_pki().alice]).keep_generic();
        let mut client = Client::connect(version, address, shown, 4).await;
        assert_eq!(client.get("/admin").await.0, 200);
    })
    .await;
}

async fn declining_generic_challenges_is_no_endless_loop(version: Version) {
    within(async {
        let address = serve(&TlsOptions::default(), rules().generic_challenges(3)).await;
        let shown = show(address, &[&test_pki().device, &test_pki().alice]);
        let mut client = Client::connect(version, address, shown, 8).await;
        assert_eq!(client.get("/admin").await.0, 200);
        assert_eq!(client.get("/device").await.0, 200);
        let (challenges, proofs) = client.counts();
        assert!(challenges <= 8, "each targeted challenge excuses the generic ones before it");
        assert_eq!(proofs, 2);
        for _ in 0..20 {
            client.get("/admin").await;
        }
        assert_eq!(client.counts(), (challenges, proofs), "and then there is rest");
    })
    .await;
}

#[tokio::test]
async fn presenting_without_support_is_a_misuse() {
    within(async {
        let tls = TlsOptions::default().alpn(["http/1.1"]);
        let address = serve(&tls, rules()).await;
        let auth = countersign::client::AuthConfig::builder(provider()).build().unwrap();
        let handshaker =
            countersign::client::Handshaker::new(Arc::new(tls.client_config()), Arc::new(auth));
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let (_stream, handle) = handshaker.connect(tcp, origin(address)).await.unwrap();
        let presented = handle.present(Arc::new(credential(&test_pki().alice))).await;
        assert_eq!(presented, Err(PresentError::Misuse(Misuse::NotNegotiated)));
        assert_eq!(handle.peer_settings().await, None);
    })
    .await;
}

/// A key behind a task, as an agent or a token would be.
struct Agent(Arc<dyn SigningKey>);

impl RemoteKey for Agent {
    fn schemes(&self) -> &[SignatureScheme] {
        &[SignatureScheme::ECDSA_NISTP256_SHA256]
    }

    fn sign<'a>(
        &'a self,
        scheme: SignatureScheme,
        message: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, SignError>> {
        let (key, message) = (self.0.clone(), message.to_vec());
        Box::pin(async move {
            let signing = tokio::task::spawn_blocking(move || {
                key.choose_scheme(&[scheme]).and_then(|signer| signer.sign(&message).ok())
            });
            signing.await.unwrap().ok_or_else(|| SignError("the agent refused".into()))
        })
    }
}

async fn the_key_may_live_elsewhere(version: Version) {
    within(async {
        let address = serve(&TlsOptions::default(), rules()).await;
        let alice = &test_pki().alice;
        let key = provider().key_provider.load_private_key(alice.key.clone_key()).unwrap();
        let chain = Chain::new(alice.chain.clone()).unwrap();
        let remote = ClientCredential::remote(chain, Arc::new(Agent(key)));
        let shown = StaticCredentials::new().identity(origin(address), remote);
        let mut client = Client::connect(version, address, shown, 2).await;
        assert_eq!(client.get("/admin").await.0, 200);
    })
    .await;
}

/// A key that is gone.
struct Unplugged;

impl RemoteKey for Unplugged {
    fn schemes(&self) -> &[SignatureScheme] {
        &[SignatureScheme::ECDSA_NISTP256_SHA256]
    }

    fn sign<'a>(
        &'a self,
        _scheme: SignatureScheme,
        _message: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, SignError>> {
        Box::pin(async { Err(SignError("the token was removed".into())) })
    }
}

async fn a_key_that_does_not_sign_declines_and_says_why(version: Version) {
    within(async {
        let address = serve(&TlsOptions::default(), rules()).await;
        let chain = Chain::new(test_pki().alice.chain.clone()).unwrap();
        let remote = ClientCredential::remote(chain, Arc::new(Unplugged));
        let shown = StaticCredentials::new().identity(origin(address), remote);
        let mut client = Client::connect(version, address, shown, 2).await;
        let (status, body) = client.get("/admin").await;
        assert_eq!(status, 403);
        assert!(body.contains("credential-declined"), "{body}");
        let log = client.log.0.lock().unwrap();
        assert!(log.iter().any(|event| matches!(
            event,
            Event::Answer { credential: None, reason: Some(reason), .. }
                if reason.contains("the token was removed")
        )));
    })
    .await;
}

async fn an_identity_for_another_origin_is_not_shown(version: Version) {
    //= specs/client-certs.md#section-5.3
    //= type=test
    //# A client SHOULD NOT present a certificate that identifies it where the resource or the
    //# occasion does not call for it.
    within(async {
        let address = serve(&TlsOptions::default(), rules()).await;
        let elsewhere = countersign::client::Origin::new("localhost", address.port() ^ 1);
        let shown = StaticCredentials::new().identity(elsewhere, credential(&test_pki().alice));
        let mut client = Client::connect(version, address, shown, 2).await;
        assert!(client.get("/admin").await.1.contains("credential-declined"));
        assert_eq!(client.counts().1, 0);
    })
    .await;
}

#[tokio::test]
async fn the_limit_can_be_raised_on_a_live_connection() {
    within(async {
        let address = serve(&TlsOptions::default(), rules()).await;
        let pki = test_pki();
        let mut client =
            Client::connect(Version::H2, address, show(address, &[&pki.device, &pki.alice]), 1)
                .await;
        assert_eq!(client.get("/device").await.0, 200);
        client.handle.set_limit(5).unwrap();
        assert_eq!(client.handle.set_limit(0), Err(Misuse::LimitTakenBack));
        assert_eq!(client.get("/admin").await.0, 200);
    })
    .await;
}

countersign_testkit::over_both_versions!(
    a_certificate_can_be_presented_unasked,
    a_presented_certificate_is_there_before_the_next_request,
    a_limit_of_one_is_enough_to_present,
    kept_challenges_do_not_block_a_targeted_one,
    declining_generic_challenges_is_no_endless_loop,
    the_key_may_live_elsewhere,
    a_key_that_does_not_sign_declines_and_says_why,
    an_identity_for_another_origin_is_not_shown,
);
