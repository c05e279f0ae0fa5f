//! Which further names a client takes a connection for.

use std::sync::Arc;

use countersign::client::{DnsRule, NotAuthoritative, Origin};
use countersign_testkit::pki::Leaf;
use countersign_testkit::{CountingVerifier, Version, within};

use super::host::{Host, authorities, certificate, leaf, offering, other};
use super::visitor::{Leads, Visitor, accepted, verifier};

async fn one_connection_serves_two_origins(version: Version) {
    within(async {
        let host = Host::new(offering([other(&leaf("b.test"))]));
        let address = host.serve(version).await;
        let mut visit = Visitor::new(address).visit(version).await;
        assert_eq!(visit.authority("a.test").await, Ok(()));
        assert_eq!(visit.shown_all(1).await, [accepted("b.test")]);
        visit.handle.server_certificates_settled().await;
        assert_eq!(visit.authority("b.test").await, Ok(()));
        assert_eq!(visit.get("b.test", "/").await, (200, "b.test".into()));
        assert_eq!(visit.get("a.test", "/").await, (200, "a.test".into()));

        assert_eq!(visit.authority("c.test").await, Err(NotAuthoritative::NotCertified));
        let elsewhere = Origin::new("b.test", address.port() ^ 1);
        let verdict = visit.handle.is_authoritative_for(&elsewhere).await;
        assert_eq!(verdict, Err(NotAuthoritative::OtherPort));
    })
    .await;
}

async fn names_without_a_certificate_need_another_connection(version: Version) {
    within(async {
        let address = Host::new(offering([])).serve(version).await;
        let mut visit = Visitor::new(address).visit(version).await;
        assert_eq!(visit.get("a.test", "/").await.0, 200);
        assert!(visit.handle.accepts_server_certificates());
        assert_eq!(visit.authority("b.test").await, Err(NotAuthoritative::NotCertified));
    })
    .await;
}

async fn dns_has_a_say_where_it_is_asked(version: Version) {
    within(async {
        let host = Host::new(offering([other(&leaf("b.test"))]));
        let address = host.serve(version).await;
        let elsewhere = ([127, 0, 0, 2], address.port()).into();
        let lookup = NotAuthoritative::Lookup("no such name".to_owned());
        for (leads, dns, verdict) in [
            (Some(elsewhere), DnsRule::Always, Err(NotAuthoritative::OtherAddress)),
            (Some(elsewhere), DnsRule::UnlessClaimed, Err(NotAuthoritative::OtherAddress)),
            (None, DnsRule::Always, Err(lookup)),
            (Some(elsewhere), DnsRule::Never, Ok(())),
            (None, DnsRule::Never, Ok(())),
        ] {
            let visit = Visitor::asking(address, Leads(leads), dns).visit(version).await;
            assert_eq!(visit.shown_all(1).await, [accepted("b.test")]);
            assert_eq!(visit.authority("b.test").await, verdict, "{leads:?} {dns:?}");
        }
    })
    .await;
}

async fn unacceptable_certificates_cost_nothing_and_bring_nothing(version: Version) {
    within(async {
        let untrusted = authorities().untrusted.issue(&leaf("untrusted.test")).unwrap();
        let client = Leaf::client("client.test").dns("client.test");
        let host = Host::new(offering([
            certificate(&untrusted),
            other(&leaf("expired.test").expired()),
            other(&client),
            other(&Leaf::server("nameless")),
            other(&leaf("b.test")),
        ]));
        let address = host.serve(version).await;
        let mut visit = Visitor::new(address).visit(version).await;
        let shown = visit.shown_all(5).await;
        let (bad, good) = shown.split_at(4);
        assert_eq!(good, [accepted("b.test")]);
        assert!(bad[3].0.is_empty(), "{:?}", bad[3]);
        for (names, rejected) in bad {
            assert!(rejected.is_some(), "{names:?}");
        }
        for name in ["untrusted.test", "expired.test", "client.test"] {
            assert_eq!(visit.authority(name).await, Err(NotAuthoritative::NotCertified), "{name}");
        }
        assert_eq!(visit.get("a.test", "/").await.0, 200, "the connection lives on");
        assert_eq!(visit.authority("b.test").await, Ok(()));
    })
    .await;
}

async fn a_misdirected_request_is_the_last_for_its_origin(version: Version) {
    within(async {
        let host = Host::new(offering([other(&leaf("b.test").dns("c.test"))]));
        let address = host.serve(version).await;
        let visit = Visitor::new(address).visit(version).await;
        visit.shown_all(1).await;
        assert_eq!(visit.authority("b.test").await, Ok(()));
        visit.handle.misdirected(&Origin::new("b.test", address.port()));
        assert_eq!(visit.authority("b.test").await, Err(NotAuthoritative::Misdirected));
        assert_eq!(visit.authority("c.test").await, Ok(()), "no other origin is concerned");
    })
    .await;
}

async fn nothing_outlives_its_connection_in_a_session(version: Version) {
    within(async {
        let generous = Host::new(offering([other(&leaf("b.test"))]));
        let mut other = Host::new(offering([]));
        // What issues the sessions of one takes up those of the other.
        other.tls = generous.tls.clone();
        let (generous, other) = (generous.serve(version).await, other.serve(version).await);
        let counting = CountingVerifier::new(verifier());
        let mut visitor = Visitor::new(generous);
        visitor.tls.dangerous().set_certificate_verifier(Arc::clone(&counting) as Arc<_>);
        let mut visit = visitor.visit(version).await;
        visit.shown_all(1).await;
        assert_eq!(visit.authority("b.test").await, Ok(()));
        assert_eq!(visit.get("b.test", "/").await.0, 200);

        let mut visitor = Visitor { tls: visitor.tls, ..Visitor::new(other) };
        let mut visit = visitor.visit(version).await;
        assert_eq!(visit.get("a.test", "/").await.0, 200);
        assert_eq!(visit.authority("b.test").await, Err(NotAuthoritative::NotCertified));
        assert_eq!(visit.shown(), []);

        visitor = Visitor { tls: visitor.tls, ..Visitor::new(generous) };
        let visit = visitor.visit(version).await;
        assert_eq!(visit.shown_all(1).await, [accepted("b.test")], "it is proven anew");
        assert_eq!(visit.authority("b.test").await, Ok(()));
        assert_eq!(counting.chains(), 1, "the other handshakes resumed the session");
    })
    .await;
}

countersign_testkit::over_both_versions!(
    one_connection_serves_two_origins,
    names_without_a_certificate_need_another_connection,
    dns_has_a_say_where_it_is_asked,
    unacceptable_certificates_cost_nothing_and_bring_nothing,
    a_misdirected_request_is_the_last_for_its_origin,
    nothing_outlives_its_connection_in_a_session,
);
