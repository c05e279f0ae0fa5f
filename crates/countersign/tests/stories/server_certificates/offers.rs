//! What a server offers, to whom and when.

use std::sync::Arc;

use countersign::client::NotAuthoritative;
use countersign::server::ServerCertificates;
use countersign::{CodePoints, server};
use countersign_testkit::pki::KeyKind;
use countersign_testkit::tls::test_pki;
use countersign_testkit::{TlsOptions, Version, within};

use super::host::{Host, authorities, certificate, leaf, offering, other};
use super::visitor::{Visitor, accepted};

async fn without_support_on_both_sides_nothing_is_shown(version: Version) {
    within(async {
        for announces in [true, false] {
            let certificates = offering([other(&leaf("b.test"))]);
            let host = Host { announces, ..Host::new(certificates) };
            let address = host.serve(version).await;
            let mut visitor = Visitor::new(address);
            visitor.rules = visitor.rules.filter(|_| !announces);
            let mut visit = visitor.visit(version).await;
            let (status, error) = visit.connect("b.test").await;
            assert_eq!(status, 502, "{error}");
            assert_eq!(visit.get("a.test", "/").await.0, 200);
            assert!(!visit.handle.accepts_server_certificates());
            assert_eq!(visit.shown(), []);
            assert_eq!(visit.authority("b.test").await, Err(NotAuthoritative::NotCertified));
        }
    })
    .await;
}

async fn both_sides_prove_certificates_on_one_connection(version: Version) {
    within(async {
        let apart = CodePoints { frame_server_certificate: 0xf7, ..CodePoints::default() };
        for points in [CodePoints::default(), apart] {
            let mut host = Host::new(offering([other(&leaf("b.test"))]));
            host.rules = crate::support::rules().code_points(points);
            let address = host.serve(version).await;
            let identities = vec![test_pki().device.clone(), test_pki().alice.clone()];
            let visitor = Visitor { points, identities, ..Visitor::new(address) };
            let mut visit = visitor.visit(version).await;
            assert_eq!(visit.shown_all(1).await, [accepted("b.test")]);
            assert_eq!(visit.authority("b.test").await, Ok(()));
            assert_eq!(visit.get("b.test", "/admin").await, (200, "b.test".into()), "{points:?}");
        }
    })
    .await;
}

async fn replaced_certificates_reach_live_connections(version: Version) {
    within(async {
        let certificates = offering([other(&leaf("b.test"))]);
        let address = Host::new(Arc::clone(&certificates)).serve(version).await;
        let mut visit = Visitor::new(address).visit(version).await;
        assert_eq!(visit.shown_all(1).await, [accepted("b.test")]);
        certificates.replace([other(&leaf("c.test")), other(&leaf("d.test"))]);
        let shown = visit.shown_all(3).await;
        assert_eq!(shown[1..], [accepted("c.test"), accepted("d.test")]);
        assert_eq!(visit.authority("d.test").await, Ok(()));
        assert_eq!(visit.get("d.test", "/").await, (200, "d.test".into()));

        let visit = Visitor::new(address).visit(version).await;
        assert_eq!(visit.shown_all(2).await, [accepted("c.test"), accepted("d.test")]);
    })
    .await;
}

async fn connect_brings_the_certificate_that_spares_the_tunnel(version: Version) {
    within(async {
        let certificates = [other(&leaf("b.test")), other(&leaf("c.test"))];
        let on_demand = Arc::new(ServerCertificates::with_unasked(certificates, 0));
        let address = Host::new(on_demand).serve(version).await;
        let mut visit = Visitor::new(address).visit(version).await;
        assert_eq!(visit.get("a.test", "/").await.0, 200);
        assert_eq!(visit.authority("c.test").await, Err(NotAuthoritative::NotCertified));
        for _ in 0..2 {
            assert_eq!(visit.connect("c.test").await, (503, "offered".into()));
        }
        if version == Version::H2 {
            // It is ahead of the response.
            visit.handle.server_certificates_settled().await;
            assert_eq!(visit.shown(), [accepted("c.test")]);
        }
        assert_eq!(visit.shown_all(1).await, [accepted("c.test")], "once is enough");
        assert_eq!(visit.authority("c.test").await, Ok(()));
        assert_eq!(visit.get("c.test", "/certified").await.1, "Some(true)");
        assert_eq!(visit.get("b.test", "/certified").await.1, "Some(false)");
        assert_eq!(visit.get("c.test", "/").await, (200, "c.test".into()));
    })
    .await;
}

async fn keys_of_every_kind_are_proven(version: Version) {
    within(async {
        let kinds = [KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa2048, KeyKind::P521];
        let names = ["p384.test", "ed25519.test", "rsa.test", "p521.test"];
        let of_kind = |(name, kind): (&str, KeyKind)| other(&leaf(name).key(kind));
        let certificates = offering(names.into_iter().zip(kinds).map(of_kind));
        let address = Host::new(certificates).serve(version).await;
        let visit = Visitor::new(address).visit(version).await;
        assert_eq!(visit.shown_all(4).await, names.map(accepted));
        for name in names {
            assert_eq!(visit.authority(name).await, Ok(()), "{name}");
        }
    })
    .await;
}

async fn what_is_longer_than_the_largest_frame_is_left_out(version: Version) {
    within(async {
        // HTTP/2's frames have 16,384 bytes unless the receiver wants more; the names alone have more.
        let names = (0..900).map(|number| format!("a-host-by-number-{number}.test"));
        let long = names.fold(leaf("long.test"), |leaf, name| leaf.dns(name));
        let address = Host::new(offering([other(&long), other(&leaf("b.test"))])).serve(version);
        let mut visit = Visitor::new(address.await).visit(version).await;
        let shown = match version {
            Version::H2 => visit.shown_all(1).await,
            Version::H3 => visit.shown_all(2).await.split_off(1),
        };
        assert_eq!(shown, [accepted("b.test")]);
        let long = match version {
            Version::H2 => Err(NotAuthoritative::NotCertified),
            Version::H3 => Ok(()),
        };
        assert_eq!(visit.authority("long.test").await, long);
        let certified = format!("Some({})", long.is_ok());
        assert_eq!(visit.get("long.test", "/certified").await, (200, certified));
        assert_eq!(visit.connect("long.test").await.0, if long.is_ok() { 503 } else { 502 });
        assert_eq!(visit.get("b.test", "/").await.0, 200, "the connection lives on");
    })
    .await;
}

async fn the_certificate_of_the_handshake_is_not_shown_twice(version: Version) {
    within(async {
        let own = authorities().own.issue(&leaf("a.test")).unwrap();
        let mut host = Host::new(offering([certificate(&own), other(&leaf("b.test"))]));
        host.tls = TlsOptions { server: own, ..TlsOptions::default() }.server_config();
        host.rules = server::AuthConfig::builder(crate::support::provider());
        let address = host.serve(version).await;
        let mut visit = Visitor::new(address).visit(version).await;
        assert_eq!(visit.shown_all(1).await, [accepted("b.test")]);
        assert_eq!(visit.get("a.test", "/").await.0, 200);
        assert_eq!(visit.shown(), [accepted("b.test")]);
    })
    .await;
}

countersign_testkit::over_both_versions!(
    without_support_on_both_sides_nothing_is_shown,
    both_sides_prove_certificates_on_one_connection,
    replaced_certificates_reach_live_connections,
    connect_brings_the_certificate_that_spares_the_tunnel,
    keys_of_every_kind_are_proven,
    what_is_longer_than_the_largest_frame_is_left_out,
    the_certificate_of_the_handshake_is_not_shown_twice,
);
