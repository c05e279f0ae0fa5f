//! Credentials that are replaced while connections live.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use countersign::Rejection;
use countersign::server::{ConfigError, CredentialKind};
use countersign_testkit::tls::test_pki;
use countersign_testkit::{TlsOptions, Version, within};

use crate::support::{Client, device, rules, serve_by, show, until, user, verifier};

async fn what_new_trust_does_not_grant_is_gone(version: Version) {
    within(async {
        let pki = test_pki();
        let rules = Arc::new(rules().build().unwrap());
        let address = serve_by(&TlsOptions::default(), Arc::clone(&rules)).await;
        let shown = show(address, &[&pki.device, &pki.alice]);
        let mut client = Client::connect(version, address, shown, 2).await;
        assert_eq!(client.get("/device").await, (200, "device".into()));
        assert_eq!(client.get("/admin").await, (200, "device,user".into()));

        // From now on users are those whom an authority vouches for that knows none.
        let other = CredentialKind::new("user", verifier(&pki.server_ca));
        assert_eq!(rules.replace_credentials(vec![device(), other]), Ok(1));
        assert_eq!(client.get("/").await, (200, "device".into()));
        let (status, body) = client.get("/admin").await;
        assert_eq!(status, 403, "{body}");
        assert_eq!(client.get("/device").await, (200, "device".into()));

        // And back; what was asked for under the old rules is asked for anew.
        assert_eq!(rules.replace_credentials(vec![device(), user()]), Ok(0));
        assert_eq!(client.get("/admin").await, (200, "device,user".into()));
        assert_eq!(client.counts().0, 4, "device, user, user in vain, user");
    })
    .await;
}

async fn a_credential_that_is_no_more_grants_nothing(version: Version) {
    within(async {
        let pki = test_pki();
        let rules = Arc::new(rules().build().unwrap());
        let address = serve_by(&TlsOptions::default(), Arc::clone(&rules)).await;
        let mut client = Client::connect(version, address, show(address, &[&pki.device]), 2).await;
        assert_eq!(client.get("/device").await.0, 200);
        assert_eq!(rules.replace_credentials(vec![user()]), Ok(1));
        assert_eq!(client.get("/").await, (200, String::new()));
        assert_eq!(client.get("/device").await.0, 403);
    })
    .await;
}

async fn what_a_condition_no_longer_grants_goes_with_the_next_look(version: Version) {
    within(async {
        let pki = test_pki();
        let open = Arc::new(AtomicBool::new(true));
        let condition = Arc::clone(&open);
        let user = user().constraint(move |_| {
            if condition.load(Ordering::SeqCst) { Ok(()) } else { Err(Rejection::Revoked) }
        });
        let rules = rules().build().unwrap();
        rules.replace_credentials(vec![device(), user]).unwrap();
        let rules = Arc::new(rules);
        let address = serve_by(&TlsOptions::default(), Arc::clone(&rules)).await;
        let mut client = Client::connect(version, address, show(address, &[&pki.alice]), 2).await;
        assert_eq!(client.get("/admin").await.0, 200);
        assert_eq!(rules.reevaluate(), 0);
        open.store(false, Ordering::SeqCst);
        assert_eq!(rules.reevaluate(), 1);
        let (status, body) = client.get("/admin").await;
        assert!(status == 403 && body.contains("credential-revoked"), "{status} {body}");
    })
    .await;
}

async fn only_what_has_ended_is_looked_at_again(version: Version) {
    within(async {
        let pki = test_pki();
        let open = Arc::new(AtomicBool::new(true));
        let looks: [Arc<AtomicUsize>; 2] = Default::default();
        let counting = |kind: CredentialKind, index: usize| {
            let (looks, open) = (Arc::clone(&looks[index]), Arc::clone(&open));
            kind.constraint(move |_| {
                looks.fetch_add(1, Ordering::SeqCst);
                if index == 1 || open.load(Ordering::SeqCst) {
                    Ok(())
                } else {
                    Err(Rejection::Revoked)
                }
            })
        };
        let looks_at = |index: usize| looks[index].load(Ordering::SeqCst);
        // Each look finds that it holds, but for no longer than this second.
        let user = counting(user(), 0).holds_until(|_, now| Some(now));
        let rules = rules().build().unwrap();
        rules.replace_credentials(vec![counting(device(), 1), user]).unwrap();
        let rules = Arc::new(rules);
        let address = serve_by(&TlsOptions::default(), Arc::clone(&rules)).await;
        let mut brief = Client::connect(version, address, show(address, &[&pki.alice]), 2).await;
        let mut lasting = Client::connect(version, address, show(address, &[&pki.device]), 2).await;
        assert_eq!(brief.get("/admin").await.0, 200);
        assert_eq!(lasting.get("/device").await.0, 200);
        until(|| looks_at(0) >= 3).await;
        assert_eq!(looks_at(1), 1);
        // Nobody calls for it.
        open.store(false, Ordering::SeqCst);
        while !brief.get("/").await.1.is_empty() {}
        assert_eq!(lasting.get("/").await.1, "device");
    })
    .await;
}

#[test]
fn what_cannot_be_asked_for_changes_nothing() {
    let rules = rules().build().unwrap();
    let twice = rules.replace_credentials(vec![user(), user()]);
    assert_eq!(twice, Err(ConfigError::DuplicateCredential("user".into())));
}

countersign_testkit::over_both_versions!(
    what_new_trust_does_not_grant_is_gone,
    a_credential_that_is_no_more_grants_nothing,
    what_a_condition_no_longer_grants_goes_with_the_next_look,
    only_what_has_ended_is_looked_at_again,
);
