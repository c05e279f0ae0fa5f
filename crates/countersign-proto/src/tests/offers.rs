//! Certificates of servers, from one machine to the other.

use std::collections::HashSet;

use countersign_testkit::SeededRandom;
use exported_authenticator::{AuthenticateError, Authenticator, Offered, stateless};

use super::fixtures::{
    accepting_client, alice, client, client_auth, client_with, generic, offered, payload, policy,
    request, server, server_auth, server_with, values,
};
use super::misuse::{Broken, Stuck};
use super::pair::MAX_PAYLOAD;
use crate::client::{ClientEvent, ClientMachine};
use crate::link::{Frame, Place};
use crate::server::{ServerEvent, ServerMachine, ServerPolicy};
use crate::{CodePoints, ErrorCode, FrameKind, Misuse, Setting, Violation};

fn offering() -> ServerPolicy {
    ServerPolicy { server_certificates: true, ..policy() }
}

/// A server that may offer.
fn negotiated() -> ServerMachine {
    negotiate(server(offering()))
}

fn negotiate(mut server: ServerMachine) -> ServerMachine {
    server.settings_sent();
    server.peer_settings(&server_auth(1)).unwrap();
    while server.poll_event().is_some() {}
    server
}

/// Offers Alice's certificate: to these machines one is like the other.
fn offer(server: &mut ServerMachine) {
    let offer = server.begin_offer().unwrap();
    let authenticator = offer.authenticate(&offered(), alice()).unwrap();
    server.offer(offer.id(), authenticator).unwrap();
}

fn next(server: &mut ServerMachine) -> Frame {
    server.poll_transmit(MAX_PAYLOAD).unwrap()
}

fn context(frame: &Frame) -> Vec<u8> {
    Authenticator::parse(&frame.payload).unwrap().context().unwrap().to_vec()
}

#[test]
fn what_is_offered_is_proven() {
    //= specs/client-certs.md#section-3
    //= type=test
    //# A server MAY send CERTIFICATE frames of its own under the rules of the server draft,
    //# whatever was announced here.
    //= specs/server-certs.md#section-3
    //= type=test
    //# A SERVER_CERTIFICATE MUST convey the chain of certificates together with the proof that the
    //# key of its end-entity certificate is held.
    //= specs/server-certs.md#section-3.2
    //= type=test
    //# A server's certificate MUST be sent as the spontaneous authenticator of RFC 9261, section 3,
    //# which no request precedes.
    //= specs/server-certs.md#section-5
    //= type=test
    //# Validation MUST yield either an error or the chain with its extensions.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) One authenticator of a server MUST travel in one SERVER_CERTIFICATE frame, never in
    //# portions.
    let (mut server, mut client) = (negotiated(), accepting_client());
    offer(&mut server);
    offer(&mut server);
    for _ in 0..2 {
        let frame = next(&mut server);
        assert_eq!(frame.kind, FrameKind::ServerCertificate);
        client.frame_header(frame.kind, Place::Control).unwrap();
        let proven = client.server_certificate(frame.payload).unwrap().verify().unwrap();
        assert_eq!(proven.chain(), alice().chain().certificates());
        assert_eq!(client.poll_event(), None);
    }
    assert_eq!(server.poll_transmit(MAX_PAYLOAD), None);
    assert_eq!(client.failed(), None);
}

#[test]
fn offers_are_sent_in_the_order_in_which_they_are_complete() {
    let mut server = negotiated();
    let (first, second) = (server.begin_offer().unwrap(), server.begin_offer().unwrap());
    assert_eq!((first.id().0, second.id().0), (0, 1));
    assert_eq!(server.poll_transmit(MAX_PAYLOAD), None, "none is complete");
    for one in [&second, &first] {
        let authenticator = one.authenticate(&offered(), alice()).unwrap();
        server.offer(one.id(), authenticator).unwrap();
        assert_eq!(context(&next(&mut server)), one.context());
    }
}

#[test]
fn contexts_are_drawn_anew_and_are_all_different() {
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# The context of a Certificate without a request MUST be unpredictable for the peer.
    let contexts = |seed| {
        let mut server = negotiate(server_with(offering(), 4096, SeededRandom::leaked(seed)));
        let mut contexts = HashSet::new();
        for _ in 0..100 {
            let offer = server.begin_offer().unwrap();
            assert_eq!(offer.context().len(), 32);
            assert!(contexts.insert(offer.context().to_vec()));
        }
        contexts
    };
    assert!(contexts(1).is_disjoint(&contexts(2)), "they follow from nothing but the randomness");
}

#[test]
fn a_context_is_not_used_twice_even_if_it_is_drawn_twice() {
    let mut server = negotiate(server_with(offering(), 9, &Stuck));
    server.begin_offer().unwrap();
    assert_eq!(server.begin_offer().err(), Some(Misuse::ContextsExhausted));
    let mut server = negotiate(server_with(offering(), 9, &Broken));
    assert_eq!(server.begin_offer().err(), Some(Misuse::Random));
}

#[test]
fn contexts_run_out() {
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) A client that cannot remember any more contexts of SERVER_CERTIFICATE MUST end the
    //# connection, with ENHANCE_YOUR_CALM in HTTP/2 and H3_EXCESSIVE_LOAD in HTTP/3.
    let mut server = negotiate(server_with(offering(), 2, SeededRandom::leaked(3)));
    offer(&mut server);
    offer(&mut server);
    assert_eq!(server.begin_offer().err(), Some(Misuse::ContextsExhausted));

    let mut client = client_with(0, 1).with_server_certificates(offered());
    client.settings_sent();
    client.peer_settings(&server_auth(1)).unwrap();
    client.server_certificate(next(&mut server).payload).unwrap();
    let refused = client.server_certificate(next(&mut server).payload).err();
    assert_eq!(refused, Some(Violation::TooManyContexts));
    assert_eq!(client.failed(), refused);
    let points = CodePoints::default();
    let codes = refused.map(|violation| (violation.h2_code(&points), violation.h3_code(&points)));
    assert_eq!(codes, Some((ErrorCode(0xb), ErrorCode(0x107))));
}

#[test]
fn an_offer_that_is_too_long_is_told_and_the_next_is_sent() {
    let mut server = negotiated();
    let long = server.begin_offer().unwrap();
    server.offer(long.id(), vec![0; 2000]).unwrap();
    offer(&mut server);
    let frame = server.poll_transmit(1999).unwrap();
    assert_ne!(frame.payload, vec![0; 2000]);
    assert_eq!(server.poll_event(), Some(ServerEvent::OfferTooLong(long.id())));
    assert_eq!(server.poll_event(), None);
}

#[test]
fn nothing_is_offered_before_both_have_announced_it() {
    //= specs/client-certs.md#section-4.2
    //= type=test
    //# A server MUST NOT send CERTIFICATE unless certificate authentication of servers was
    //# negotiated as the server draft says.
    //= specs/server-certs.md#section-3.1
    //= type=test
    //# An endpoint MUST NOT use any part of the mechanism before it has sent the value 1 and
    //# received the value 1.
    //= specs/server-certs.md#section-3.2
    //= type=test
    //# A server MUST check the value in the client's SETTINGS before it sends a certificate.
    //= specs/server-certs.md#section-8.2
    //= type=test
    //# In HTTP/2 a SETTINGS_HTTP_SERVER_CERT_AUTH that was never received MUST count as 0.
    //= specs/server-certs.md#section-8.2
    //= type=test
    //# In HTTP/3 a SETTINGS_HTTP_SERVER_CERT_AUTH that is absent MUST count as 0.
    let (mine, theirs) = ([false, true], [None, Some(0), Some(1)]);
    for (sent, announced) in mine.into_iter().flat_map(|mine| theirs.map(|it| (mine, it))) {
        for able in [false, true] {
            let policy = ServerPolicy { server_certificates: able, ..policy() };
            let mut server = server(policy);
            if sent {
                server.settings_sent();
            }
            if let Some(value) = announced {
                server.peer_settings(&server_auth(value)).unwrap();
            }
            let may = able && sent && announced == Some(1);
            assert_eq!(server.can_offer(), may);
            let refused = server.begin_offer().err();
            assert_eq!(refused, (!may).then_some(Misuse::NotNegotiated));
        }
    }
}

#[test]
fn nothing_is_taken_before_both_have_announced_it() {
    //= specs/server-certs.md#section-3.1
    //= type=test
    //# An endpoint MUST NOT use any part of the mechanism before it has sent the value 1 and
    //# received the value 1.
    let payload = {
        let mut server = negotiated();
        offer(&mut server);
        next(&mut server).payload
    };
    let (mine, theirs) = ([false, true], [None, Some(0), Some(1)]);
    for (sent, announced) in mine.into_iter().flat_map(|mine| theirs.map(|it| (mine, it))) {
        for able in [false, true] {
            let make = || -> ClientMachine {
                let mut client = client(1);
                if able {
                    client = client.with_server_certificates(offered());
                }
                if sent {
                    client.settings_sent();
                }
                client.peer_settings(&client_auth(1)).unwrap();
                if let Some(value) = announced {
                    client.peer_settings(&server_auth(value)).unwrap();
                }
                client
            };
            let may = able && sent && announced == Some(1);
            let expected = (!may).then_some(Violation::ServerCertificateNotNegotiated);
            let mut client = make();
            assert_eq!(client.accepts_server_certificates(), may);
            let refused = client.frame_header(FrameKind::ServerCertificate, Place::Control).err();
            assert_eq!(refused, expected);
            assert_eq!(make().server_certificate(payload.clone()).err(), expected);
        }
    }
}

#[test]
fn one_is_announced_and_only_by_who_takes_part() {
    //= specs/server-certs.md#section-1.3
    //= type=test
    //# Both endpoints MUST announce support through the setting of their HTTP version.
    //= specs/server-certs.md#section-3.1
    //= type=test
    //# An endpoint that supports the mechanism MUST have SETTINGS_HTTP_SERVER_CERT_AUTH with the
    //# value 1 in its SETTINGS frame.
    let id = CodePoints::default().settings_server_cert_auth.into();
    let ours = |settings: Vec<Setting>| {
        settings.into_iter().find(|setting| setting.id == id).map(|setting| setting.value)
    };
    assert_eq!(ours(server(offering()).local_settings()), Some(1));
    assert_eq!(ours(server(policy()).local_settings()), None);
    assert_eq!(ours(accepting_client().local_settings()), Some(1));
    assert_eq!(ours(client(4).local_settings()), None);
}

#[test]
fn settings_that_are_changed_in_every_way() {
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) A setting that goes back from 1 to 0 MUST be a connection error, PROTOCOL_ERROR in
    //# HTTP/2 and H3_SETTINGS_ERROR in HTTP/3.
    // Each list in one SETTINGS frame, and each value in one of its own.
    for (values, expected) in [
        (&[0][..], Ok(false)),
        (&[0, 0], Ok(false)),
        (&[1], Ok(true)),
        (&[0, 1], Ok(true)),
        (&[1, 1], Ok(true)),
        (&[2], Err(Violation::ServerCertSetting)),
        (&[u64::MAX], Err(Violation::ServerCertSetting)),
        (&[1, 0], Err(Violation::ServerCertSetting)),
        (&[0, 1, 0], Err(Violation::ServerCertSetting)),
        (&[1, 2], Err(Violation::ServerCertSetting)),
    ] {
        let whole: Vec<_> = values.iter().flat_map(|value| server_auth(*value)).collect();
        let parts: Vec<_> = values.iter().map(|value| server_auth(*value)).collect();
        for frames in [vec![whole], parts] {
            let (mut server, mut client) = (server(offering()), client(0));
            client = client.with_server_certificates(offered());
            server.settings_sent();
            client.settings_sent();
            let of_server = frames.iter().try_for_each(|frame| server.peer_settings(frame));
            let of_client = frames.iter().try_for_each(|frame| client.peer_settings(frame));
            assert_eq!(of_server.map(|()| server.can_offer()), expected, "{values:?}");
            assert_eq!(of_client.map(|()| client.accepts_server_certificates()), expected);
        }
    }
}

#[test]
fn both_directions_live_together() {
    let mut server = server(offering());
    server.settings_sent();
    let both = [client_auth(1), server_auth(1)].concat();
    server.peer_settings(&both).unwrap();
    let mut client = client(1).with_server_certificates(offered());
    client.settings_sent();
    client.peer_settings(&both).unwrap();
    while client.poll_event().is_some() {}

    offer(&mut server);
    server.challenge(&generic()).unwrap();
    for _ in 0..2 {
        let frame = next(&mut server);
        client.frame_header(frame.kind, Place::Control).unwrap();
        match frame.kind {
            FrameKind::AuthenticatorRequests => client.requests(&frame.payload).unwrap(),
            FrameKind::ServerCertificate => {
                client.server_certificate(frame.payload).unwrap().verify().unwrap();
            }
            FrameKind::Certificate => panic!("that is the client's"),
        }
    }
    assert!(matches!(client.poll_event(), Some(ClientEvent::Challenge(..))));
    // The same type of frame in the other direction would be the client's.
    let refused = server.frame_header(FrameKind::ServerCertificate, Place::Control);
    assert_eq!(refused, Err(Violation::ServerCertificateFromClient));
}

#[test]
fn a_context_that_a_request_had_is_used_up() {
    let mut client = client(1).with_server_certificates(offered());
    client.settings_sent();
    client.peer_settings(&[client_auth(1), server_auth(1)].concat()).unwrap();
    let asked = request(7);
    client.requests(&payload([&asked])).unwrap();
    let authenticator =
        stateless::authenticate_spontaneously(&values(0), asked.context(), &offered(), alice());
    let refused = client.server_certificate(authenticator.unwrap().into()).err();
    assert_eq!(refused, Some(Violation::ServerCertificateInvalid));
}

#[test]
fn a_scheme_that_the_client_has_not_offered_makes_no_offer() {
    let mut server = negotiated();
    let offer = server.begin_offer().unwrap();
    let nothing = Offered::default();
    let refused = offer.authenticate(&nothing, alice()).unwrap_err();
    assert!(matches!(refused, AuthenticateError::Unsuitable(_)));
}

#[test]
fn the_dead_neither_offer_nor_take() {
    //= specs/server-certs.md#section-6.1
    //= type=test
    //# An error by which a peer breaks the rules, or which casts doubt on the connection, MUST be
    //# fatal to what it concerns.
    let mut server = negotiated();
    let mut client = accepting_client();
    offer(&mut server);
    let payload = next(&mut server).payload;
    offer(&mut server);
    let begun = server.begin_offer().unwrap();
    server.fail(Violation::WrongStream);
    assert_eq!(server.poll_transmit(MAX_PAYLOAD), None, "what waited is forgotten");
    assert_eq!(server.begin_offer().err(), Some(Misuse::Closed));
    assert_eq!(server.offer(begun.id(), payload.to_vec()), Err(Misuse::Closed));
    client.fail(Violation::ServerCertificateInvalid);
    let refused = client.server_certificate(payload).err();
    assert_eq!(refused, Some(Violation::ServerCertificateInvalid));
}
