//! SERVER_CERTIFICATE where it may not be, too much of it, and what no error is made of.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use countersign::client::{Event, NotAuthoritative, Observer, Origin};
use countersign::{Closed, CodePoints, Violation};
use countersign_testkit::{Frame, PATIENCE, RawPeer, TlsOptions, Version, within};
use rustls::HandshakeKind;
use tokio::net::TcpListener;

use crate::client::{Client, Impostor, alices_rules};
use crate::forge::{Draft, Secrets, good_request};
use crate::hosts::{FURTHER, accepting, accepting_rules, hosts};
use crate::peer::{Wire, value_of};
use crate::wire::*;

countersign_testkit::over_both_versions! {
    a_good_one_lets_the_client_use_the_connection,
    with_a_type_of_its_own,
    one_that_comes_together_with_requests,
    a_name_that_it_does_not_carry,
    chains_that_are_not_accepted,
    from_a_server_that_announced_nothing,
    to_a_client_that_announced_nothing,
    on_a_stream,
    longer_than_a_frame_may_be,
    settings_other_than_zero_or_one,
    more_over_time_than_can_be_remembered,
}

/// A frame with the proof of the further origin.
fn good(secrets: &Secrets, number: u16) -> Extension {
    let context = [&[0xc5; 30][..], &number.to_be_bytes()].concat();
    certificate(&Draft::spontaneous(&context, &hosts().further).sign(secrets))
}

async fn a_good_one_lets_the_client_use_the_connection(version: Version) {
    //= specs/server-certs.md#section-1.1
    //= type=test
    //# A client MAY connect with a general certificate and learn within the encrypted connection
    //# the one that it is after.
    //= specs/server-certs.md#section-1.2
    //= type=test
    //# A chain whose authenticator was verified MAY join the certificates that are at hand for the
    //# connection.
    //= specs/server-certs.md#section-3
    //= type=test
    //# A client that was given a chain with its proof MUST keep it at hand for later requests on
    //# the connection.
    //= specs/server-certs.md#section-3.1
    //= type=test
    //# A client that announces support MUST be able to make requests for names that it learns from
    //# a server's authenticators.
    //= specs/server-certs.md#section-3.2
    //= type=test
    //# A client MAY take a certificate into account without anything further from the server.
    //= specs/server-certs.md#section-4.1
    //= type=test
    //# In HTTP/2 the setting MUST be an entry of the SETTINGS frame under its own identifier.
    //= specs/server-certs.md#section-4.2
    //= type=test
    //# In HTTP/3 the setting MUST be a parameter of the SETTINGS frame under its own identifier.
    //= specs/server-certs.md#section-5
    //= type=test
    //# A client MAY request resources of the new origins as soon as it has received
    //# SERVER_CERTIFICATE.
    //= specs/server-certs.md#section-5
    //= type=test
    //# A client MAY validate the authenticator through the interface of RFC 9261 as soon as the
    //# frame is there.
    //= specs/server-certs.md#section-5.1
    //= type=test
    //# In HTTP/2 a certificate MUST be taken to hold for the connection and not for a stream.
    //= specs/server-certs.md#section-5.2
    //= type=test
    //# In HTTP/3 a certificate MUST be taken to hold for the connection and not for a stream.
    //= specs/server-certs.md#section-7.4
    //= type=test
    //# A client MUST be ready for its set of validated certificates to change while a request is
    //# under way, more than once.
    //= specs/server-certs.md#section-7.4
    //= type=test
    //# A client that relies on certificates MUST be able to judge anew whether a request is
    //# authorised when that set has changed.
    //= specs/server-certs.md#section-8.1
    //= type=test
    //# SERVER_CERTIFICATE MUST have a frame type in HTTP/2 and one in HTTP/3.
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# Until the first ORIGIN frame has been processed a client MUST follow the rules of RFC 9113,
    //# section 9.1.1, alone.
    //= specs/server-certs.md#origin-http3
    //= type=test
    //# In HTTP/3 a client without an Origin Set MUST follow the rules of RFC 9114, section 3.3,
    //# alone.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) A client MUST NOT use a connection for a further origin whose port is another than
    //# that of the connection.
    let (rules, mut told) = accepting();
    let mut server = Impostor::lure(version, rules).await;
    let announced = server.wire.open_with(&[(SERVER_CERT_AUTH, 1)]).await;
    assert_eq!(value_of(SERVER_CERT_AUTH, &announced), Some(1));
    assert_eq!(value_of(CLIENT_CERT_AUTH, &announced), None);
    server.be_asked().await;
    assert!(server.client.handle.accepts_server_certificates());
    let further = server.further();
    let handle = server.client.handle.clone();
    let before = handle.is_authoritative_for(&further).await;
    assert_eq!(before, Err(NotAuthoritative::NotCertified));

    server.wire.send(&good(&Secrets::of(&server.wire), 1)).await;
    assert_eq!(told.certificate().await, Ok(vec![FURTHER.to_owned()]));
    assert_eq!(handle.is_authoritative_for(&further).await, Ok(()));
    let elsewhere = Origin::new(FURTHER, further.port() ^ 1);
    assert_eq!(handle.is_authoritative_for(&elsewhere).await, Err(NotAuthoritative::OtherPort));
    server.goes_on().await;
    // The same name on the next connection has nothing to stand on.
    let next = Impostor::offering(version, accepting_rules()).await;
    let refused = next.client.handle.is_authoritative_for(&next.further()).await;
    assert_eq!(refused, Err(NotAuthoritative::NotCertified));
}

async fn with_a_type_of_its_own(version: Version) {
    let (rules, mut told) = accepting();
    let mut server = Impostor::offering(version, rules.code_points(set_apart())).await;
    let frame = good(&Secrets::of(&server.wire), 1);
    server.wire.send(&Extension { kind: SERVER_CERTIFICATE, ..frame.clone() }).await;
    assert!(told.certificate().await.is_ok());
    server.wire.send(&frame).await;
    server.refused(UNEXPECTED, Violation::CertificateFromServer).await;
}

async fn one_that_comes_together_with_requests(version: Version) {
    let (rules, mut told) = accepting();
    let mut server = Impostor::lure(version, rules.limit(2)).await;
    server.wire.open_with(&[(SERVER_CERT_AUTH, 1), (CLIENT_CERT_AUTH, 1)]).await;
    server.be_asked().await;
    let frame = good(&Secrets::of(&server.wire), 1);
    server.wire.send(&requests([&good_request(1)[..]])).await;
    server.wire.send(&frame).await;
    assert!(told.certificate().await.is_ok());
    let refusal = server.wire.expect_kind(CERTIFICATE).await;
    assert!(refusal.len() < 100, "the client has nothing to show");
    server.goes_on().await;
}

#[tokio::test]
async fn nothing_of_it_is_left_when_the_session_is_resumed() {
    //= specs/server-certs.md#section-7.1
    //= type=test
    //# A client MUST NOT take secondary certificates of an earlier connection as validated after
    //# TLS session resumption.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) Secondary certificates MUST end with their connection, so that nothing of them
    //# survives resumption.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let theirs = Arc::new(TlsOptions::default().server_config());
    let ours = Arc::new(TlsOptions::default().client_config());
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let (rules, mut told) = accepting();
        let rules = Arc::new(rules.build().unwrap());
        let (client, wire) = tokio::join!(
            Client::connect_h2(Arc::clone(&ours), address, rules),
            RawPeer::accept(&listener, Arc::clone(&theirs)),
        );
        assert_eq!(wire.stream().get_ref().1.handshake_kind(), Some(expected));
        let mut server = Impostor::asking(client, Wire::H2(wire.into()));
        server.wire.open_with(&[(SERVER_CERT_AUTH, 1)]).await;
        server.be_asked().await;
        let (handle, further) = (server.client.handle.clone(), server.further());
        let before = handle.is_authoritative_for(&further).await;
        assert_eq!(before, Err(NotAuthoritative::NotCertified));
        server.wire.send(&good(&Secrets::of(&server.wire), 1)).await;
        assert!(told.certificate().await.is_ok());
        assert_eq!(handle.is_authoritative_for(&further).await, Ok(()));
        server.goes_on().await;
    }
}

#[tokio::test]
async fn flags_that_have_no_meaning() {
    //= specs/server-certs.md#section-5.1
    //= type=test
    //# A receiver MUST NOT give a meaning to any flag of an HTTP/2 SERVER_CERTIFICATE.
    let (rules, mut told) = accepting();
    let mut server = Impostor::offering(Version::H2, rules).await;
    let frame = good(&Secrets::of(&server.wire), 1).h2();
    server.wire.h2().send(&Frame { flags: 0xff, ..frame }).await;
    assert!(told.certificate().await.is_ok());
}

async fn a_name_that_it_does_not_carry(version: Version) {
    //= specs/server-certs.md#section-1.1
    //= type=test
    //# A secondary certificate MUST contain an origin's name among its subject alternative names to
    //# give the server authority for that origin.
    let (rules, mut told) = accepting();
    let mut server = Impostor::offering(version, rules).await;
    let secrets = Secrets::of(&server.wire);
    let other = Draft::spontaneous(b"other", &hosts().other).sign(&secrets);
    server.wire.send(&certificate(&other)).await;
    assert_eq!(told.certificate().await, Ok(vec!["other.test".to_owned()]));
    let refused = server.client.handle.is_authoritative_for(&server.further()).await;
    assert_eq!(refused, Err(NotAuthoritative::NotCertified));
    server.goes_on().await;
}

async fn chains_that_are_not_accepted(version: Version) {
    //= specs/server-certs.md#section-5.3
    //= type=test
    //# A client MAY go on to judge the certificate itself once its authenticator is accepted.
    //= specs/server-certs.md#section-6
    //= type=test
    //# A peer that breaks the rules and a certificate that is not acceptable MUST be handled in
    //# different ways.
    //= specs/server-certs.md#section-6.2
    //= type=test
    //# A certificate that is expired, revoked or not enough for the request MUST NOT be treated as
    //# an error of a stream or of the connection.
    //= specs/server-certs.md#section-7
    //= type=test
    //# The validation of secondary certificates SHOULD be held to the same standard as that of the
    //# TLS handshake.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) A client MUST NOT use a connection for a further origin unless its verifier accepts a
    //# certificate for the name, either the handshake's or a secondary one.
    //= specs/exported-authenticators.md#decisions
    //= type=test
    //# (ours) A certificate whose key usage leaves out digitalSignature MUST NOT be accepted.
    let hosts = hosts();
    let (rules, mut told) = accepting();
    let mut server = Impostor::offering(version, rules).await;
    let secrets = Secrets::of(&server.wire);
    for (number, unacceptable) in
        [&hosts.expired, &hosts.stranger, &hosts.nameless, &hosts.unsigning].into_iter().enumerate()
    {
        let proof = Draft::spontaneous(&[number as u8; 9], unacceptable).sign(&secrets);
        server.wire.send(&certificate(&proof)).await;
        assert!(told.certificate().await.is_err());
        let refused = server.client.handle.is_authoritative_for(&server.further()).await;
        assert_eq!(refused, Err(NotAuthoritative::NotCertified));
    }
    // What is acceptable still is.
    server.wire.send(&good(&secrets, 1)).await;
    assert!(told.certificate().await.is_ok());
    assert_eq!(server.client.handle.is_authoritative_for(&server.further()).await, Ok(()));
    server.goes_on().await;
}

async fn from_a_server_that_announced_nothing(version: Version) {
    //= specs/server-certs.md#section-8.2
    //= type=test
    //# In HTTP/2 a SETTINGS_HTTP_SERVER_CERT_AUTH that was never received MUST count as 0.
    //= specs/server-certs.md#section-8.2
    //= type=test
    //# In HTTP/3 a SETTINGS_HTTP_SERVER_CERT_AUTH that is absent MUST count as 0.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) SERVER_CERTIFICATE without negotiation MUST be a connection error, PROTOCOL_ERROR in
    //# HTTP/2 and H3_FRAME_UNEXPECTED in HTTP/3.
    for nothing in [&[][..], &[(SERVER_CERT_AUTH, 0)], &[(CLIENT_CERT_AUTH, 1)]] {
        let mut server = Impostor::lure(version, accepting_rules()).await;
        server.wire.open_with(nothing).await;
        server.be_asked().await;
        server.wire.send(&good(&Secrets::of(&server.wire), 1)).await;
        server.refused(UNEXPECTED, Violation::ServerCertificateNotNegotiated).await;
    }
}

#[tokio::test]
async fn before_the_servers_settings() {
    let mut server = Impostor::lure(Version::H2, accepting_rules()).await;
    server.wire.h2().read_preface().await;
    server.wire.send(&good(&Secrets::of(&server.wire), 1)).await;
    server.refused(UNEXPECTED, Violation::ServerCertificateNotNegotiated).await;
}

async fn to_a_client_that_announced_nothing(version: Version) {
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) SERVER_CERTIFICATE without negotiation MUST be a connection error, PROTOCOL_ERROR in
    //# HTTP/2 and H3_FRAME_UNEXPECTED in HTTP/3.
    let mut server = Impostor::lure(version, alices_rules()).await;
    let announced = server.wire.open_with(&[(SERVER_CERT_AUTH, 1), (CLIENT_CERT_AUTH, 1)]).await;
    assert_eq!(value_of(SERVER_CERT_AUTH, &announced), None);
    server.be_asked().await;
    server.wire.send(&good(&Secrets::of(&server.wire), 1)).await;
    server.refused(UNEXPECTED, Violation::ServerCertificateNotNegotiated).await;
}

async fn on_a_stream(version: Version) {
    //= specs/server-certs.md#section-5.1
    //= type=test
    //# In HTTP/2 a SERVER_CERTIFICATE on another stream than 0 MUST be treated as a connection
    //# error.
    //= specs/server-certs.md#section-5.2
    //= type=test
    //# In HTTP/3 a SERVER_CERTIFICATE on another stream than the control stream MUST be treated as
    //# a connection error.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) SERVER_CERTIFICATE on a wrong stream MUST be a connection error, PROTOCOL_ERROR in
    //# HTTP/2 and H3_FRAME_UNEXPECTED in HTTP/3.
    let streams = match version {
        Version::H2 => &[1, 2, 3][..],
        // Servers open none.
        Version::H3 => &[1],
    };
    for stream in streams {
        let mut server = Impostor::offering(version, accepting_rules()).await;
        let frame = good(&Secrets::of(&server.wire), 1);
        server.wire.send_on(*stream, &frame).await;
        server.refused(UNEXPECTED, Violation::WrongStream).await;
    }
}

#[tokio::test]
async fn inside_of_a_header_block() {
    let mut server = Impostor::offering(Version::H2, accepting_rules()).await;
    let frame = good(&Secrets::of(&server.wire), 1);
    server.wire.h2().send(&unfinished(Frame::response(1, 200))).await;
    server.wire.send(&frame).await;
    server.refused(UNEXPECTED, Violation::InsideHeaderBlock).await;
}

async fn longer_than_a_frame_may_be(version: Version) {
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) A SERVER_CERTIFICATE over the accepted size MUST be a connection error at its header,
    //# FRAME_SIZE_ERROR in HTTP/2 and H3_EXCESSIVE_LOAD in HTTP/3.
    let mut cases = vec![(accepting_rules().max_frame_len(1000), 1001)];
    cases.extend(excessive(version).iter().map(|length| (accepting_rules(), *length)));
    for (rules, length) in cases {
        let mut server = Impostor::offering(version, rules).await;
        server.wire.send_bytes(&header_only(version, CERTIFICATE, length)).await;
        // Nothing of the payload was sent, and yet it is decided.
        let text = server.wire.expect_error(TOO_LONG).await;
        assert_eq!(text, Violation::FrameTooLong.to_string());
    }
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
    for value in [2, 0xff, u32::MAX] {
        let mut server = Impostor::lure(version, accepting_rules()).await;
        server.wire.open_with(&[(SERVER_CERT_AUTH, value)]).await;
        server.refused(BAD_SETTING, Violation::ServerCertSetting).await;
    }
}

#[tokio::test]
async fn a_setting_taken_back() {
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) A setting that goes back from 1 to 0 MUST be a connection error, PROTOCOL_ERROR in
    //# HTTP/2 and H3_SETTINGS_ERROR in HTTP/3.
    for later in [&[(SERVER_CERT_AUTH, 0)][..], &[(SERVER_CERT_AUTH, 1), (SERVER_CERT_AUTH, 0)]] {
        let mut server = Impostor::offering(Version::H2, accepting_rules()).await;
        server.wire.h2().send(&Frame::settings(later)).await;
        server.refused(BAD_SETTING, Violation::ServerCertSetting).await;
    }
}

#[tokio::test]
async fn a_setting_announced_late() {
    let (rules, mut told) = accepting();
    let mut server = Impostor::lure(Version::H2, rules).await;
    server.wire.open_with(&[(SERVER_CERT_AUTH, 0)]).await;
    server.wire.h2().send(&Frame::settings(&[(SERVER_CERT_AUTH, 1)])).await;
    server.wire.send(&good(&Secrets::of(&server.wire), 1)).await;
    assert!(told.certificate().await.is_ok());
}

async fn more_over_time_than_can_be_remembered(version: Version) {
    let mut server = Impostor::offering(version, accepting_rules()).await;
    let secrets = Secrets::of(&server.wire);
    for batch in 0..80 {
        let frames = (0..64).flat_map(|one| good(&secrets, batch * 64 + one).encode(version));
        server.wire.flood(&frames.collect::<Vec<_>>()).await;
    }
    // Whichever limit the client meets first.
    let text = server.wire.expect_closed(TOO_MUCH).await;
    let limits = [Violation::TooManyContexts, Violation::TooManyServerCertificates];
    let met = limits.into_iter().find(|violation| violation.to_string() == text).unwrap();
    let closed = server.client.handle.closed_reason();
    assert_eq!(closed, Some(Closed::Violation(met)));
}

/// Lets the verification of certificates stand still until the other end is gone.
struct Gate(std::sync::Mutex<Receiver<()>>);

impl Observer for Gate {
    fn event(&self, _origin: &Origin, event: &Event) {
        if matches!(event, Event::ServerCertificate { .. }) {
            tokio::task::block_in_place(|| {
                let opened = self.0.lock().unwrap().recv_timeout(PATIENCE);
                assert_eq!(opened, Err(RecvTimeoutError::Disconnected));
            });
        }
    }
}

async fn more_at_once_than_the_client_keeps(version: Version) {
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) More SERVER_CERTIFICATE frames waiting for verification than the client keeps MUST be
    //# a connection error, ENHANCE_YOUR_CALM in HTTP/2 and H3_EXCESSIVE_LOAD in HTTP/3.
    let (open, gate) = channel();
    let gate = Arc::new(Gate(gate.into()));
    let mut server = Impostor::offering(version, accepting_rules().observer(gate)).await;
    let secrets = Secrets::of(&server.wire);
    // One is being verified, 64 wait.
    for number in 0..66 {
        server.wire.send(&good(&secrets, number)).await;
    }
    let violation = Violation::TooManyServerCertificates;
    assert_eq!(server.wire.expect_error(TOO_MUCH).await, violation.to_string());
    assert_eq!(server.client.handle.closed_reason(), Some(Closed::Violation(violation)));
    drop(open);
    drop(server.wire);
    assert!(within(server.waiting).await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn more_at_once_than_the_client_keeps_over_http2() {
    more_at_once_than_the_client_keeps(Version::H2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn more_at_once_than_the_client_keeps_over_http3() {
    more_at_once_than_the_client_keeps(Version::H3).await;
}

#[test]
fn one_type_serves_both_directions_by_default() {
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) SERVER_CERTIFICATE MUST by default have the frame type of the client draft's
    //# CERTIFICATE and be told from it by its direction.
    let points = CodePoints::default();
    assert_eq!(points.frame_server_certificate, points.frame_certificate);
    assert_eq!(points.frame_server_certificate, CERTIFICATE);
}
