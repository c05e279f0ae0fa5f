//! What a server gets out of it.

use std::time::Duration;

use countersign::MessageType;
use countersign::client::{ClientHandle, NoCredentials, StaticCredentials};
use countersign_testkit::tls::test_pki;
use countersign_testkit::{Suite, TlsOptions, Version, within};

use crate::support::{Client, Send, device, rules, serve, show, user};

async fn a_device_on_connect_and_a_user_when_the_page_needs_one(version: Version) {
    //= specs/client-certs.md#section-1.2
    //= type=test
    //# A server MAY accept a certificate and tie it to the client's session or to certain later
    //# requests.
    //= specs/client-certs.md#section-4.2.1
    //= type=test
    //# A server MAY tie an accepted certificate to the connection.
    //= specs/client-certs.md#section-4.2.1
    //= type=test
    //# A server MAY let an accepted certificate decide about access of later requests.
    //= specs/client-certs.md#section-4.2.1
    //= type=test
    //# An application MAY determine whether an operation needs authentication, can use it or is
    //# content with it.
    //= specs/client-certs.md#section-4.2
    //= type=test
    //# A client's CERTIFICATE MUST have the meaning that the server draft gives it, unchanged.
    //= specs/client-certs.md#section-5.4
    //= type=test
    //# A certificate that was authenticated MUST be taken to hold for the whole HTTP connection
    //# with all its streams.
    //= specs/exported-authenticators.md#section-4
    //= type=test
    //# A protocol that carries a request SHOULD run over a channel as secure as TLS, so that the
    //# request stays confidential.
    //= specs/exported-authenticators.md#section-4
    //= type=test
    //# The application MAY carry messages over the very connection they belong to.
    //= specs/exported-authenticators.md#section-5
    //= type=test
    //# A protocol that carries an authenticator SHOULD run over a channel as secure as TLS, so that
    //# the authenticator stays confidential.
    //= specs/exported-authenticators.md#section-5
    //= type=test
    //# An authenticator MAY be carried over the connection it belongs to.
    within(async {
        let address = serve(&TlsOptions::default(), rules()).await;
        let pki = test_pki();
        let mut client =
            Client::connect(version, address, show(address, &[&pki.device, &pki.alice]), 2).await;
        assert_eq!(client.get("/device").await, (200, "device".into()));
        assert_eq!(client.counts(), (1, 1));
        assert_eq!(client.get("/admin").await, (200, "device,user".into()));
        assert_eq!(client.counts(), (2, 2));
        assert_eq!(client.get("/").await, (200, "device,user".into()));
        assert_eq!(client.counts(), (2, 2), "nothing is asked twice");
    })
    .await;
}

async fn both_message_types_and_both_hashes_work(version: Version) {
    //= specs/exported-authenticators.md#decisions
    //= type=test
    //# (ours) Type 17 MUST be usable on TLS 1.3 too, whatever the registry remarks.
    within(async {
        for suite in [Suite::Tls13Sha256, Suite::Tls13Sha384] {
            for message_type in
                [MessageType::CertificateRequest, MessageType::ClientCertificateRequest]
            {
                let tls = TlsOptions::default().suite(suite);
                let address = serve(&tls, rules().message_type(message_type)).await;
                let shown = show(address, &[&test_pki().alice]);
                let mut client = Client::connect_with(version, &tls, address, shown, 1).await;
                assert_eq!(client.get("/admin").await.0, 200, "{suite:?} {message_type:?}");
            }
        }
    })
    .await;
}

async fn requests_that_need_the_same_credential_share_one_question(version: Version) {
    //= specs/client-certs.md#section-5.4
    //= type=test
    //# A server MUST NOT assume that two streams of one connection can have different certificate
    //# identities.
    //= specs/client-certs.md#decisions-identities
    //= type=test
    //# (ours) A request whose credential is being asked for MUST be held until the answer or the
    //# deadline.
    within(async {
        let address = serve(&TlsOptions::default(), rules()).await;
        let pki = test_pki();
        let mut client =
            Client::connect(version, address, show(address, &[&pki.device, &pki.alice]), 4).await;
        client.get("/device").await;
        let requests = (0..20).map(|_| {
            let mut send = client.send.clone();
            async move { send.get(address, "/admin").await.0 }
        });
        let statuses = futures_util::future::join_all(requests).await;
        assert_eq!(statuses, vec![200; 20]);
        assert_eq!(client.counts(), (2, 2));
    })
    .await;
}

async fn a_limit_of_one_is_enough_for_two_credentials(version: Version) {
    within(async {
        let rules = rules().credential(countersign::server::CredentialKind::new(
            "other",
            crate::support::verifier(&test_pki().device_ca),
        ));
        let address = serve(&TlsOptions::default(), rules).await;
        let pki = test_pki();
        let mut client =
            Client::connect(version, address, show(address, &[&pki.device, &pki.alice]), 1).await;
        assert_eq!(client.get("/admin").await.0, 200);
        assert_eq!(client.get("/device").await.0, 200);
    })
    .await;
}

async fn what_a_client_cannot_show_is_refused_with_the_reason(version: Version) {
    //= specs/client-certs.md#section-1.2
    //= type=test
    //# A server SHOULD judge every credential it receives by its own policy.
    //= specs/client-certs.md#section-1.2
    //= type=test
    //# A server MAY disregard a certificate and leave what the client is allowed to do as it was.
    //= specs/client-certs.md#section-1.2
    //= type=test
    //# An application MAY choose for itself what success and failure mean for access to its
    //# resources.
    //= specs/client-certs.md#section-4.2.1
    //= type=test
    //# The server MUST itself interpret a CERTIFICATE frame and decide what follows for the session
    //# and for access.
    //= specs/client-certs.md#section-4.2.1
    //= type=test
    //# A server MAY restrict the access of a client whose certificate is invalid, untrusted or out
    //# of place.
    //= specs/client-certs.md#section-4.2.1
    //= type=test
    //# A server MAY refuse single requests of a client whose certificate is invalid, untrusted or
    //# out of place.
    //= specs/client-certs.md#section-5.1
    //= type=test
    //# A server MUST validate with care that a client's certificate is one it trusts.
    //= specs/client-certs.md#decisions-bad
    //= type=test
    //# (ours) A certificate that is untrusted, expired, revoked or of the wrong kind MUST NOT be a
    //# connection error.
    //= specs/client-certs.md#decisions-bad
    //= type=test
    //# (ours) A certificate that is not acceptable MUST grant nothing.
    //= specs/client-certs.md#decisions-bad
    //= type=test
    //# (ours) A request that needs a credential which was not obtained MUST be refused with status
    //# 403.
    within(async {
        let address = serve(&TlsOptions::default(), rules()).await;
        let pki = test_pki();
        for (shown, reason) in [
            (show(address, &[]), "credential-declined"),
            (show(address, &[&pki.expired]), "credential-expired"),
            (show(address, &[&pki.revoked]), "credential-revoked"),
        ] {
            let mut client = Client::connect(version, address, shown, 2).await;
            let (status, body) = client.get("/admin").await;
            let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(status, 403);
            assert_eq!(problem["type"], format!("urn:countersign:{reason}"));
            assert_eq!(problem["credentials"], serde_json::json!(["user"]));
            assert_eq!(client.get("/").await.0, 200, "the connection lives on");
        }
    })
    .await;
}

async fn a_client_without_the_extension_cannot_be_asked(version: Version) {
    within(async {
        let address = serve(&TlsOptions::default(), rules()).await;
        let mut client = Client::connect(version, address, NoCredentials, 0).await;
        let (status, body) = client.get("/admin").await;
        assert_eq!(status, 403);
        assert!(body.contains("urn:countersign:credential-missing"), "{body}");
        assert_eq!(client.get("/").await, (200, String::new()));
    })
    .await;
}

/// A client that leaves every challenge unanswered.
struct Silent;

impl countersign::client::CredentialResolver for Silent {
    fn resolve<'a>(
        &'a self,
        _origin: &'a countersign::client::Origin,
        _request: &'a countersign::AuthenticatorRequest,
    ) -> countersign::BoxFuture<'a, countersign::client::Resolution> {
        Box::pin(std::future::pending())
    }
}

async fn a_client_that_never_answers_is_waited_for_no_longer_than_configured(version: Version) {
    //= specs/client-certs.md#decisions-identities
    //= type=test
    //# (ours) Whoever needs an identity MUST wait for outstanding answers with a deadline.
    within(async {
        let rules = rules().answer_timeout(Duration::from_millis(50));
        let address = serve(&TlsOptions::default(), rules).await;
        let mut client = Client::connect(version, address, Silent, 4).await;
        let (status, body) = client.get("/admin").await;
        assert_eq!(status, 403);
        assert!(body.contains("urn:countersign:credential-timeout"), "{body}");
        assert_eq!(client.get("/").await.0, 200);
    })
    .await;
}

#[tokio::test]
async fn an_identity_is_the_connections_alone() {
    //= specs/client-certs.md#section-5.4
    //= type=test
    //# An identity MUST NOT be carried over to another connection unless a policy expressly allows
    //# it.
    //= specs/client-certs.md#decisions-identities
    //= type=test
    //# (ours) An identity MUST belong to the connection it was proven on, never to a stream or to a
    //# resumed session.
    within(async {
        let address = serve(&TlsOptions::default(), rules()).await;
        let tls = std::sync::Arc::new(TlsOptions::default().client_config());
        let mut first = connect_resuming(&tls, address, show(address, &[&test_pki().alice])).await;
        assert_eq!(first.1.get("/admin").await.0, 200);
        let mut second = connect_resuming(&tls, address, StaticCredentials::new()).await;
        assert_eq!(second.0, Some(rustls::HandshakeKind::Resumed), "the session was resumed");
        assert_eq!(second.1.get("/").await, (200, String::new()), "but not the identity");
        assert_eq!(second.1.get("/admin").await.0, 403);
    })
    .await;
}

/// Connects with a configuration that is shared, so that TLS sessions are resumed.
async fn connect_resuming(
    tls: &std::sync::Arc<rustls::ClientConfig>,
    address: std::net::SocketAddr,
    shown: StaticCredentials,
) -> (Option<rustls::HandshakeKind>, Client) {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let auth = countersign::client::AuthConfig::builder(crate::support::provider())
        .resolver(std::sync::Arc::new(shown))
        .build()
        .unwrap();
    let handshaker = countersign::client::Handshaker::new(tls.clone(), std::sync::Arc::new(auth));
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let origin = crate::support::origin(address);
    let (stream, handle): (_, ClientHandle) = handshaker.connect(tcp, origin).await.unwrap();
    let kind = stream.tls().handshake_kind();
    let (send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    (kind, Client { send: Send::H2(send), handle, log: Default::default(), address })
}

async fn a_constraint_is_asked_after_the_verifier(version: Version) {
    //= specs/client-certs.md#section-5.1
    //= type=test
    //# A server MUST make sure that a client's certificate belongs to the identity that is meant.
    //= specs/client-certs.md#section-4.2.1
    //= type=test
    //# A server MAY ignore an accepted certificate altogether.
    //= specs/client-certs.md#section-5.1
    //= type=test
    //# An authorisation decision MUST NOT take the mere presence of a certificate for a permission.
    within(async {
        let alice = test_pki().alice.chain[0].clone();
        let user = user().constraint(move |chain| {
            if chain[0] == alice { Ok(()) } else { Err(countersign::Rejection::WrongName) }
        });
        let rules = countersign::server::AuthConfig::builder(crate::support::provider())
            .credential(device())
            .credential(user);
        let address = serve(&TlsOptions::default(), rules).await;
        for (issued, status) in [(&test_pki().alice, 200), (&test_pki().bob, 403)] {
            let mut client = Client::connect(version, address, show(address, &[issued]), 1).await;
            assert_eq!(client.get("/admin").await.0, status);
        }
    })
    .await;
}

countersign_testkit::over_both_versions!(
    a_device_on_connect_and_a_user_when_the_page_needs_one,
    both_message_types_and_both_hashes_work,
    requests_that_need_the_same_credential_share_one_question,
    a_limit_of_one_is_enough_for_two_credentials,
    what_a_client_cannot_show_is_refused_with_the_reason,
    a_client_without_the_extension_cannot_be_asked,
    a_client_that_never_answers_is_waited_for_no_longer_than_configured,
    a_constraint_is_asked_after_the_verifier,
);
