//! ORIGIN, which only narrows down or confirms what certificates allow, and is never an error.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use countersign::BoxFuture;
use countersign::client::{DnsRule, NotAuthoritative, Origin, Resolve};
use countersign_testkit::{Frame, Version};

use crate::client::Impostor;
use crate::forge::{Draft, Secrets};
use crate::hosts::{FURTHER, Told, accepting, accepting_by, authority, hosts};
use crate::wire::{Extension, ORIGIN, certificate};

countersign_testkit::over_both_versions! {
    what_is_not_in_the_set_is_not_asked_for,
    what_was_certified_is_refused_when_a_set_begins,
    the_set_grows_and_never_shrinks,
    what_was_misdirected_does_not_come_back,
    a_claim_does_not_replace_a_certificate,
    a_claim_replaces_dns_where_that_is_wanted,
    on_a_stream_it_is_ignored,
    nonsense_is_no_error,
}

/// A payload of ORIGIN.
fn origins<'a>(origins: impl IntoIterator<Item = &'a str>) -> Extension {
    let mut payload = Vec::new();
    for origin in origins {
        payload.extend_from_slice(&(origin.len() as u16).to_be_bytes());
        payload.extend_from_slice(origin.as_bytes());
    }
    Extension::new(ORIGIN, payload)
}

/// A raw server at the other end of a client that takes certificates.
struct Claiming {
    server: Impostor,
    told: Told,
    shown: u8,
}

impl Claiming {
    async fn meet(version: Version) -> Self {
        let (rules, told) = accepting();
        let server = Impostor::offering(version, rules).await;
        Self { server, told, shown: 0 }
    }

    /// Shows the further origin's certificate, and waits for the client to have taken it in: all that
    /// came before it on the same stream has been, too.
    async fn show(&mut self) {
        self.shown += 1;
        let secrets = Secrets::of(&self.server.wire);
        let proof = Draft::spontaneous(&[self.shown; 32], &hosts().further).sign(&secrets);
        self.server.wire.send(&certificate(&proof)).await;
        assert!(self.told.certificate().await.is_ok());
    }

    async fn claim(&mut self, frame: &Extension) {
        self.server.wire.send(frame).await;
        self.show().await;
    }

    async fn verdict(&self, origin: &Origin) -> Result<(), NotAuthoritative> {
        self.server.client.handle.is_authoritative_for(origin).await
    }
}

async fn what_is_not_in_the_set_is_not_asked_for(version: Version) {
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# An entry MUST NOT be understood as a pattern for several names.
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# The first ORIGIN frame that is processed MUST begin the Origin Set with the initial origin.
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# The port of the initial origin MUST be the port that the connection has at the server, also
    //# where an alternative service led there.
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# A client MUST NOT take a connection as authoritative for an origin outside of its Origin Set
    //# once that has begun.
    //= specs/server-certs.md#origin-http3
    //= type=test
    //# The payload of an HTTP/3 ORIGIN frame MUST mean what it means in HTTP/2.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) A client MUST NOT use a connection for a further origin that is missing from the
    //# Origin Set, once the server has sent ORIGIN.
    let mut claiming = Claiming::meet(version).await;
    let further = claiming.server.further();
    claiming.claim(&origins([])).await;
    assert_eq!(claiming.verdict(&further).await, Err(NotAuthoritative::NotInOriginSet));
    // The origin of the connection is always in it.
    let own = Origin::new("localhost", further.port());
    assert_eq!(claiming.verdict(&own).await, Ok(()));
    // A pattern is no origin.
    claiming.claim(&origins([&*format!("https://*.test:{}", further.port())])).await;
    assert_eq!(claiming.verdict(&further).await, Err(NotAuthoritative::NotInOriginSet));
    claiming.claim(&origins([&*further.to_string()])).await;
    assert_eq!(claiming.verdict(&further).await, Ok(()));
    claiming.server.goes_on().await;
}

async fn what_was_certified_is_refused_when_a_set_begins(version: Version) {
    //= specs/server-certs.md#section-7.4
    //= type=test
    //# A client that relies on certificates MUST be able to judge anew whether a request is
    //# authorised when that set has changed.
    let mut claiming = Claiming::meet(version).await;
    let further = claiming.server.further();
    claiming.show().await;
    assert_eq!(claiming.verdict(&further).await, Ok(()));
    claiming.claim(&origins(["https://unrelated.test"])).await;
    assert_eq!(claiming.verdict(&further).await, Err(NotAuthoritative::NotInOriginSet));
}

async fn the_set_grows_and_never_shrinks(version: Version) {
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# Each ORIGIN frame MUST add its origins to the Origin Set and take none away.
    let mut claiming = Claiming::meet(version).await;
    let further = claiming.server.further();
    claiming.claim(&origins([&*further.to_string()])).await;
    claiming.claim(&origins(["https://unrelated.test"])).await;
    claiming.claim(&origins([])).await;
    assert_eq!(claiming.verdict(&further).await, Ok(()));
}

async fn what_was_misdirected_does_not_come_back(version: Version) {
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# The origin of a request that is answered with status 421 MUST be removed from the Origin
    //# Set.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) Status 421 MUST take the request's origin from the connection, with an Origin Set and
    //# without.
    for with_a_set in [false, true] {
        let mut claiming = Claiming::meet(version).await;
        let further = claiming.server.further();
        if with_a_set {
            claiming.claim(&origins([&*further.to_string()])).await;
        } else {
            claiming.show().await;
        }
        assert_eq!(claiming.verdict(&further).await, Ok(()));
        claiming.server.client.handle.misdirected(&further);
        assert_eq!(claiming.verdict(&further).await, Err(NotAuthoritative::Misdirected));
        claiming.claim(&origins([&*further.to_string()])).await;
        assert_eq!(claiming.verdict(&further).await, Err(NotAuthoritative::Misdirected));
    }
}

async fn a_claim_does_not_replace_a_certificate(version: Version) {
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# A client MUST still have a certificate that passes its checks for the origin's host,
    //# whatever the Origin Set contains.
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# A client MUST NOT trust an ORIGIN frame's contents blindly.
    let mut claiming = Claiming::meet(version).await;
    let unrelated = Origin::new("unrelated.test", claiming.server.further().port());
    claiming.claim(&origins([&*unrelated.to_string()])).await;
    assert_eq!(claiming.verdict(&unrelated).await, Err(NotAuthoritative::NotCertified));
}

/// Knows every name at one address.
struct Elsewhere(&'static str);

impl Resolve for Elsewhere {
    fn resolve(&self, _origin: &Origin) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        Box::pin(std::future::ready(Ok(vec![self.0.parse().unwrap()])))
    }
}

async fn a_claim_replaces_dns_where_that_is_wanted(version: Version) {
    //= specs/server-certs.md#section-7.1
    //= type=test
    //# A client SHOULD look up the names of a secondary certificate in DNS where it would do so for
    //# those of the handshake's certificate.
    //= specs/server-certs.md#section-7.1
    //= type=test
    //# A client that does not consult DNS SHOULD have other grounds to trust the certificate, such
    //# as an ORIGIN frame.
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# A client MAY do without DNS for an origin in the Origin Set.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) A client MUST NOT use a connection for a further origin whose name DNS does not
    //# resolve to the connection's address, unless its user switched that check off.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) The user of a client MAY switch the check of DNS off, either entirely or for the
    //# origins that ORIGIN claims.
    let elsewhere = Err(NotAuthoritative::OtherAddress);
    for (rule, unclaimed, claimed) in [
        (DnsRule::Always, elsewhere.clone(), elsewhere.clone()),
        (DnsRule::UnlessClaimed, elsewhere, Ok(())),
        (DnsRule::Never, Ok(()), Ok(())),
    ] {
        let rules = authority().dns(rule).resolver(Arc::new(Elsewhere("192.0.2.1:1")));
        let (rules, told) = accepting_by(rules);
        let server = Impostor::offering(version, rules).await;
        let mut claiming = Claiming { server, told, shown: 0 };
        let further = claiming.server.further();
        claiming.show().await;
        assert_eq!(claiming.verdict(&further).await, unclaimed);
        claiming.claim(&origins([&*further.to_string()])).await;
        assert_eq!(claiming.verdict(&further).await, claimed);
    }
}

#[tokio::test]
async fn flags_that_would_change_its_meaning_have_it_ignored() {
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# An ORIGIN frame that sets a flag among 0x1, 0x2, 0x4 and 0x8 MUST be ignored as a whole.
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# The other flags of ORIGIN MUST NOT change how the frame is processed.
    let mut claiming = Claiming::meet(Version::H2).await;
    let further = claiming.server.further();
    for flags in [1, 2, 4, 8, 0xff] {
        let frame = Frame { flags, ..origins([]).h2() };
        claiming.server.wire.h2().send(&frame).await;
        claiming.show().await;
        assert_eq!(claiming.verdict(&further).await, Ok(()));
    }
    let frame = Frame { flags: 0xf0, ..origins([]).h2() };
    claiming.server.wire.h2().send(&frame).await;
    claiming.show().await;
    assert_eq!(claiming.verdict(&further).await, Err(NotAuthoritative::NotInOriginSet));
}

async fn on_a_stream_it_is_ignored(version: Version) {
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# An ORIGIN frame on another stream than 0 MUST be ignored.
    //= specs/server-certs.md#origin-http3
    //= type=test
    //# In HTTP/3 an ORIGIN frame on another stream MUST be ignored.
    let mut claiming = Claiming::meet(version).await;
    let further = claiming.server.further();
    claiming.show().await;
    claiming.server.wire.send_on(1, &origins([])).await;
    let handle = claiming.server.client.handle.clone();
    // The response comes behind it on the same stream.
    claiming.server.goes_on().await;
    assert_eq!(handle.is_authoritative_for(&further).await, Ok(()));
}

async fn nonsense_is_no_error(version: Version) {
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# An entry that does not parse MUST be ignored without harm to the others.
    let mut claiming = Claiming::meet(version).await;
    let further = claiming.server.further();
    let good = origins([&*further.to_string()]).payload;
    let beside = |other: &str| [&origins([other]).payload[..], &good].concat();
    for payload in [
        vec![0xff],
        vec![0xff; 300],
        origins([FURTHER, "http://further.test", "https://further.test/path"]).payload,
    ] {
        claiming.claim(&Extension::new(ORIGIN, payload)).await;
        assert_eq!(claiming.verdict(&further).await, Err(NotAuthoritative::NotInOriginSet));
    }
    claiming.claim(&Extension::new(ORIGIN, beside("\u{1}not an origin"))).await;
    assert_eq!(claiming.verdict(&further).await, Ok(()));
    claiming.server.goes_on().await;
}
