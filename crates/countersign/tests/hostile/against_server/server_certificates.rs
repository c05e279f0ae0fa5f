//! SERVER_CERTIFICATE from clients and settings that they must not have, against a server with
//! certificates to offer; and what it offers to those that are polite.

use std::sync::Arc;

use countersign::server::{AuthConfigBuilder, OfferError, ServerCertificate, ServerCertificates};
use countersign::{Misuse, Violation};
use countersign_testkit::tls::test_pki;
use countersign_testkit::{Frame, TlsOptions, Version, within};
use exported_authenticator::{Authenticator, Offered, TLS13_SCHEMES, stateless};
use rustls::HandshakeKind;

use crate::forge::{Draft, good_request};
use crate::hosts::{FURTHER, hosts};
use crate::peer::{Seen, value_of};
use crate::people::{credential, people, provider};
use crate::server::{Attacker, Server, rules};
use crate::wire::*;

countersign_testkit::over_both_versions! {
    from_a_client_with_a_type_of_its_own,
    from_a_client_with_the_shared_type,
    settings_other_than_zero_or_one,
    one_is_offered_to_who_takes_it,
    with_a_type_of_its_own_it_is_offered_too,
    none_is_offered_to_who_announced_nothing,
    both_directions_live_together,
    what_is_new_is_offered_on_live_connections,
    one_is_offered_on_demand,
    the_handshakes_own_is_not_offered,
    they_are_offered_again_to_who_resumes,
}

fn further() -> ServerCertificate {
    ServerCertificate::new(credential(&hosts().further))
}

fn other() -> ServerCertificate {
    ServerCertificate::new(credential(&hosts().other))
}

/// What a server has to offer, and its rules.
fn offering(unasked: usize) -> (Arc<ServerCertificates>, AuthConfigBuilder) {
    let certificates = Arc::new(ServerCertificates::with_unasked([further(), other()], unasked));
    (Arc::clone(&certificates), rules().server_certificates(certificates))
}

/// The next connection of a client that announces these settings.
async fn opened(server: &mut Server, settings: &[(u16, u32)]) -> Attacker {
    let mut client = server.attacker().await;
    let announced = client.wire.open_with(settings).await;
    assert_eq!(value_of(SERVER_CERT_AUTH, &announced), Some(1));
    client
}

/// The names in a payload of SERVER_CERTIFICATE, whose proof is valid on this connection.
fn proven(client: &Attacker, payload: &[u8]) -> Vec<String> {
    let offered = Offered { signature_algorithms: TLS13_SCHEMES.to_vec(), extensions: Vec::new() };
    let authenticator = Authenticator::parse(payload).unwrap();
    assert_eq!(authenticator.context().unwrap().len(), 32);
    let values = client.wire.exporter_values();
    let algorithms = provider().signature_verification_algorithms;
    let proven =
        stateless::validate_spontaneous(&values, &offered, &authenticator, &algorithms).unwrap();
    let issued = [&hosts().further, &hosts().other];
    let known = issued.into_iter().find(|issued| issued.chain == proven.chain()).unwrap();
    ServerCertificate::new(credential(known)).names().to_vec()
}

async fn from_a_client_with_a_type_of_its_own(version: Version) {
    //= specs/server-certs.md#section-3.2
    //= type=test
    //# A server that receives SERVER_CERTIFICATE MUST close the connection.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) SERVER_CERTIFICATE from a client MUST be a connection error, PROTOCOL_ERROR in HTTP/2
    //# and H3_FRAME_UNEXPECTED in HTTP/3.
    let (_, rules) = offering(0);
    let rules = rules.code_points(set_apart());
    let mut server = Server::start_with(version, rules).await.at(set_apart());
    for settings in [&[(SERVER_CERT_AUTH, 1)][..], &[]] {
        let mut client = opened(&mut server, settings).await;
        let draft = Draft::spontaneous(b"context", &hosts().further);
        let frame = Extension::new(SERVER_CERTIFICATE, draft.sign(&client.secrets()));
        client.wire.send(&frame).await;
        server.refuses(client, UNEXPECTED, Violation::ServerCertificateFromClient).await;
    }
    let mut client = opened(&mut server, &[(SERVER_CERT_AUTH, 1)]).await;
    client.wire.send_on(1, &Extension::new(SERVER_CERTIFICATE, &b"whatever"[..])).await;
    server.refuses(client, UNEXPECTED, Violation::ServerCertificateFromClient).await;
}

async fn from_a_client_with_the_shared_type(version: Version) {
    // By its direction it is CERTIFICATE.
    let (_, rules) = offering(0);
    let mut server = Server::start_with(version, rules).await;
    let mut client = opened(&mut server, &[(SERVER_CERT_AUTH, 1), (CLIENT_CERT_AUTH, 4)]).await;
    let draft = Draft::spontaneous(b"context", &hosts().further);
    client.wire.send(&certificate(&draft.sign(&client.secrets()))).await;
    server.refuses(client, UNEXPECTED, Violation::Unsolicited).await;
}

async fn settings_other_than_zero_or_one(version: Version) {
    //= specs/server-certs.md#section-4.1
    //= type=test
    //# In HTTP/2 the value of the setting MUST NOT be other than 0 or 1.
    //= specs/server-certs.md#section-4.2
    //= type=test
    //# In HTTP/3 the value of the setting MUST NOT be other than 0 or 1.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) A value of the setting other than 0 or 1 MUST be a connection error, PROTOCOL_ERROR
    //# in HTTP/2 and H3_SETTINGS_ERROR in HTTP/3.
    let (_, rules) = offering(0);
    let mut server = Server::start_with(version, rules).await;
    for value in [2, u32::MAX] {
        let mut client = server.attacker().await;
        client.wire.open_with(&[(SERVER_CERT_AUTH, value)]).await;
        server.refuses(client, BAD_SETTING, Violation::ServerCertSetting).await;
    }
}

#[tokio::test]
async fn a_setting_taken_back() {
    let (_, rules) = offering(0);
    let mut server = Server::start_with(Version::H2, rules).await;
    let mut client = opened(&mut server, &[(SERVER_CERT_AUTH, 1)]).await;
    client.wire.h2().send(&Frame::settings(&[(SERVER_CERT_AUTH, 0)])).await;
    server.refuses(client, BAD_SETTING, Violation::ServerCertSetting).await;
}

async fn one_is_offered_to_who_takes_it(version: Version) {
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# The context of a Certificate without a request MUST be unpredictable for the peer.
    //= specs/server-certs.md#section-1
    //= type=test
    //# A server MAY prove further certificates on a connection besides the one of its TLS
    //# handshake.
    //= specs/server-certs.md#section-3.2
    //= type=test
    //# A server's certificate MUST be sent as the spontaneous authenticator of RFC 9261, section 3,
    //# which no request precedes.
    //= specs/server-certs.md#section-3.2
    //= type=test
    //# A server MAY queue its certificates as soon as the client's SETTINGS frame has announced
    //# support.
    //= specs/server-certs.md#section-3.2
    //= type=test
    //# A server whose client has announced support MAY send certificates directly after its own
    //# SETTINGS frame.
    //= specs/server-certs.md#section-4.1
    //= type=test
    //# In HTTP/2 the setting MUST be an entry of the SETTINGS frame under its own identifier.
    //= specs/server-certs.md#section-4.2
    //= type=test
    //# In HTTP/3 the setting MUST be a parameter of the SETTINGS frame under its own identifier.
    //= specs/server-certs.md#section-5.2
    //= type=test
    //# The HTTP/3 frame MUST consist of the type SERVER_CERTIFICATE and the length, both
    //# variable-length integers, and then bytes of the authenticator.
    //= specs/server-certs.md#section-5.2
    //= type=test
    //# In HTTP/3 SERVER_CERTIFICATE MUST be sent on the control stream.
    //= specs/server-certs.md#section-5.2
    //= type=test
    //# The HTTP/3 payload MUST be bytes that the "authenticate" interface of RFC 9261 returned,
    //# unchanged.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) The server of this project MUST send its certificates without extensions.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) The server MUST offer every certificate but that of the handshake, up to the number
    //# that it is set to, once both sides have announced support.
    let (_, rules) = offering(2);
    let mut server = Server::start_with(version, rules).await;
    let mut client = opened(&mut server, &[(SERVER_CERT_AUTH, 1)]).await;
    let mut contexts = Vec::new();
    for expected in [FURTHER, "other.test"] {
        let payload = client.wire.expect_kind(CERTIFICATE).await;
        assert_eq!(proven(&client, &payload), [expected]);
        contexts.push(Authenticator::parse(&payload).unwrap().context().unwrap().to_vec());
    }
    assert_ne!(contexts[0], contexts[1]);
    assert_eq!(client.handle.is_certified_for(FURTHER), Some(true));
    // Another connection is offered them anew, under other contexts.
    let mut client = opened(&mut server, &[(SERVER_CERT_AUTH, 1)]).await;
    let payload = client.wire.expect_kind(CERTIFICATE).await;
    assert_eq!(proven(&client, &payload), [FURTHER]);
    let context = Authenticator::parse(&payload).unwrap().context().unwrap().to_vec();
    assert!(!contexts.contains(&context));
}

#[tokio::test]
async fn on_the_wire_it_is_a_frame_of_stream_0_without_flags() {
    //= specs/server-certs.md#section-5.1
    //= type=test
    //# The HTTP/2 frame MUST consist of the 9-byte frame header with type SERVER_CERTIFICATE,
    //# unused flags and stream identifier 0, and then bytes of the authenticator.
    //= specs/server-certs.md#section-5.1
    //= type=test
    //# In HTTP/2 SERVER_CERTIFICATE MUST be sent on stream 0.
    //= specs/server-certs.md#section-5.1
    //= type=test
    //# The HTTP/2 payload MUST be bytes that the "authenticate" interface of RFC 9261 returned,
    //# unchanged.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) One authenticator of a server MUST travel in one SERVER_CERTIFICATE frame, never in
    //# portions.
    let (_, rules) = offering(1);
    let mut server = Server::start_with(Version::H2, rules).await;
    let mut client = opened(&mut server, &[(SERVER_CERT_AUTH, 1)]).await;
    let frame = client.wire.h2().expect_kind(CERTIFICATE).await;
    assert_eq!((frame.stream, frame.flags), (0, 0));
    assert_eq!(proven(&client, &frame.payload), [FURTHER]);
}

async fn with_a_type_of_its_own_it_is_offered_too(version: Version) {
    let (_, rules) = offering(1);
    let mut server = Server::start_with(version, rules.code_points(set_apart())).await;
    let mut client = opened(&mut server, &[(SERVER_CERT_AUTH, 1)]).await;
    let payload = client.wire.expect_kind(SERVER_CERTIFICATE).await;
    assert_eq!(proven(&client, &payload), [FURTHER]);
}

async fn none_is_offered_to_who_announced_nothing(version: Version) {
    //= specs/server-certs.md#section-3.2
    //= type=test
    //# A server SHOULD NOT send a certificate to a client that has not announced support.
    let (certificates, rules) = offering(2);
    let mut server = Server::start_with(version, rules).await;
    for nothing in [&[][..], &[(SERVER_CERT_AUTH, 0)], &[(CLIENT_CERT_AUTH, 1)]] {
        let mut client = opened(&mut server, nothing).await;
        client.wire.request(1, "/open").await;
        let first = client.wire.expect_kind_or_head(CERTIFICATE).await;
        assert_eq!(first, Some(Seen::Head(1, Some(200))));
        let refused = client.handle.offer(&certificates.find(FURTHER).unwrap());
        assert_eq!(refused, Err(OfferError::Misuse(Misuse::NotNegotiated)));
    }
}

async fn both_directions_live_together(version: Version) {
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) A client's CERTIFICATE of the client draft MUST NOT count as a certificate under this
    //# mechanism.
    let (_, rules) = offering(1);
    let mut server = Server::start_with(version, rules).await;
    let mut client = opened(&mut server, &[(SERVER_CERT_AUTH, 1), (CLIENT_CERT_AUTH, 4)]).await;
    let payload = client.wire.expect_kind(CERTIFICATE).await;
    assert_eq!(proven(&client, &payload), [FURTHER]);
    let challenge = client.get_and_be_asked(1, "/user").await;
    let answer = client.secrets().answer(&challenge, &people().alice);
    client.wire.send(&certificate(&answer)).await;
    assert_eq!(client.wire.response(1).await, Some(200));
    // What a server may send, a client may not.
    client.wire.send(&requests([&good_request(1)[..]])).await;
    server.refuses(client, UNEXPECTED, Violation::RequestsFromClient).await;
}

async fn what_is_new_is_offered_on_live_connections(version: Version) {
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) The server MUST offer on live connections the certificates that have replaced others.
    let certificates = Arc::new(ServerCertificates::new([further()]));
    let rules = rules().server_certificates(Arc::clone(&certificates));
    let mut server = Server::start_with(version, rules).await;
    let mut client = opened(&mut server, &[(SERVER_CERT_AUTH, 1)]).await;
    let payload = client.wire.expect_kind(CERTIFICATE).await;
    assert_eq!(proven(&client, &payload), [FURTHER]);
    certificates.replace([further(), other()]);
    let payload = client.wire.expect_kind(CERTIFICATE).await;
    assert_eq!(proven(&client, &payload), ["other.test"], "only what is new");
}

async fn one_is_offered_on_demand(version: Version) {
    //= specs/server-certs.md#section-3.2
    //= type=test
    //# A server MAY send certificates at any moment after both endpoints have announced support.
    //= specs/server-certs.md#section-3.2
    //= type=test
    //# A server MAY send certificates later on, for example when CONNECT shows which origin a
    //# client is interested in.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) The server MUST be able to offer a certificate on demand, as upon CONNECT for a name
    //# that it serves.
    let (certificates, rules) = offering(0);
    let mut server = Server::start_with(version, rules).await;
    let mut client = opened(&mut server, &[(SERVER_CERT_AUTH, 1)]).await;
    assert_eq!(within(client.wire.get(1, "/open")).await, Some(200));
    assert_eq!(client.handle.is_certified_for("other.test"), Some(false));
    client.handle.offer(&certificates.find("other.test").unwrap()).unwrap();
    let payload = client.wire.expect_kind(CERTIFICATE).await;
    assert_eq!(proven(&client, &payload), ["other.test"]);
    assert_eq!(client.handle.is_certified_for("other.test"), Some(true));
}

async fn the_handshakes_own_is_not_offered(version: Version) {
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) The server MUST offer every certificate but that of the handshake, up to the number
    //# that it is set to, once both sides have announced support.
    let own = ServerCertificate::new(credential(&test_pki().server));
    let certificates = ServerCertificates::new([own, further()]);
    let rules = rules().server_certificates(Arc::new(certificates));
    let mut server = Server::start_with(version, rules).await;
    let mut client = opened(&mut server, &[(SERVER_CERT_AUTH, 1)]).await;
    let payload = client.wire.expect_kind(CERTIFICATE).await;
    assert_eq!(proven(&client, &payload), [FURTHER]);
    assert_eq!(client.handle.is_certified_for("localhost"), Some(true));
}

async fn they_are_offered_again_to_who_resumes(version: Version) {
    //= specs/server-certs.md#section-7.1
    //= type=test
    //# A server MAY present its certificates again on a resumed session.
    let (_, rules) = offering(1);
    let mut server = Server::start_with(version, rules).await;
    let tls = Arc::new(TlsOptions::default().client_config());
    let mut contexts = Vec::new();
    for visit in 0..2 {
        let mut client = server.attacker_with(Arc::clone(&tls)).await;
        client.wire.open_with(&[(SERVER_CERT_AUTH, 1)]).await;
        let payload = client.wire.expect_kind(CERTIFICATE).await;
        assert_eq!(proven(&client, &payload), [FURTHER]);
        contexts.push(Authenticator::parse(&payload).unwrap().context().unwrap().to_vec());
        assert_eq!(client.wire.get(1, "/open").await, Some(200));
        if version == Version::H2 {
            let kind = client.wire.h2().stream().get_ref().1.handshake_kind();
            let expected = [HandshakeKind::Full, HandshakeKind::Resumed];
            assert_eq!(kind, Some(expected[visit]));
        }
    }
    assert_ne!(contexts[0], contexts[1]);
}
