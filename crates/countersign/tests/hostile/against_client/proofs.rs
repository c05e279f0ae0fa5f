//! Authenticators of servers in which one thing is wrong each.

use countersign::Violation;
use countersign_proto::Role;
use countersign_testkit::Version;
use countersign_testkit::pki::Issued;
use rustls::SignatureScheme;

use crate::client::Impostor;
use crate::forge::{Draft, STATUS_REQUEST, Secrets};
use crate::hosts::{accepting, accepting_rules, ed25519_rules, hosts};
use crate::people::key_of;
use crate::wire::*;

countersign_testkit::over_both_versions! {
    spoilt_in_one_place,
    an_extension_that_was_offered,
    a_scheme_that_was_not_offered,
    of_another_connection,
    with_anything_around_it,
    in_portions,
    a_flipped_bit_anywhere,
    a_context_again,
    an_empty_one,
    without_certificates,
    what_is_no_authenticator,
}

fn further() -> &'static Issued {
    &hosts().further
}

/// The client refuses what `make` makes of a good draft, on a connection of its own.
async fn refused(version: Version, make: impl Fn(&Secrets) -> Vec<u8>) {
    let mut server = Impostor::offering(version, accepting_rules()).await;
    let payload = make(&Secrets::of(&server.wire));
    server.wire.send(&certificate(&payload)).await;
    server.refused(BAD_PROOF, Violation::ServerCertificateInvalid).await;
}

async fn spoilt_in_one_place(version: Version) {
    //= specs/server-certs.md#section-1.2
    //= type=test
    //# The Finished MAC Key of a server's certificate MUST be the one that RFC 9261 gives to
    //# authenticators of servers.
    //= specs/server-certs.md#section-5
    //= type=test
    //# Validation MUST yield either an error or the chain with its extensions.
    //= specs/server-certs.md#section-5.3
    //= type=test
    //# A client that negotiated the mechanism MUST check an authenticator with the "validate"
    //# interface.
    //= specs/server-certs.md#section-5.3
    //= type=test
    //# An authenticator that fails this validation MUST be treated as a connection error
    //# SERVER_CERTIFICATE_INVALID.
    //= specs/server-certs.md#section-6
    //= type=test
    //# A peer that breaks the rules and a certificate that is not acceptable MUST be handled in
    //# different ways.
    //= specs/server-certs.md#section-6.1
    //= type=test
    //# SERVER_CERTIFICATE_INVALID MUST stand for an authenticator that could not be validated.
    //= specs/server-certs.md#section-8.3
    //= type=test
    //# SERVER_CERTIFICATE_INVALID MUST have an error code in HTTP/2 and one in HTTP/3.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) An authenticator that is empty, repeats a context of its connection or fails
    //# validation in any other way MUST be a connection error SERVER_CERTIFICATE_INVALID in HTTP/2
    //# and HTTP/3 alike.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) The certificates of a spontaneous authenticator MUST NOT carry an extension that the
    //# ClientHello did not offer.
    let spoil: [fn(&mut Draft); 8] = [
        |draft| draft.break_signature = true,
        |draft| draft.finisher = Role::Client,
        |draft| draft.signer = Role::Client,
        |draft| draft.key = key_of(&hosts().other),
        |draft| draft.scheme = SignatureScheme::ED25519,
        |draft| draft.scheme = SignatureScheme::ECDSA_SHA1_Legacy,
        |draft| draft.request = b"a request that never was".to_vec(),
        // An extension that rustls does not offer to servers.
        |draft| draft.chain[0].1.push((0x1234, vec![1; 8])),
    ];
    for spoil in spoil {
        refused(version, |secrets| {
            let mut draft = Draft::spontaneous(&[1; 32], further());
            spoil(&mut draft);
            draft.sign(secrets)
        })
        .await;
    }
}

async fn an_extension_that_was_offered(version: Version) {
    let (rules, mut told) = accepting();
    let mut server = Impostor::offering(version, rules).await;
    let mut draft = Draft::spontaneous(&[1; 32], further());
    // An OCSP response, which nobody here looks into.
    draft.chain[0].1.push((STATUS_REQUEST, vec![1, 0, 0, 1, 0]));
    server.wire.send(&certificate(&draft.sign(&Secrets::of(&server.wire)))).await;
    assert!(told.certificate().await.is_ok());
}

async fn a_scheme_that_was_not_offered(version: Version) {
    let mut server = Impostor::offering(version, ed25519_rules()).await;
    let good = Draft::spontaneous(&[1; 32], further()).sign(&Secrets::of(&server.wire));
    server.wire.send(&certificate(&good)).await;
    server.refused(BAD_PROOF, Violation::ServerCertificateInvalid).await;
}

async fn of_another_connection(version: Version) {
    let (rules, mut told) = accepting();
    let mut first = Impostor::offering(version, rules).await;
    let good = Draft::spontaneous(&[1; 32], further()).sign(&Secrets::of(&first.wire));
    first.wire.send(&certificate(&good)).await;
    assert!(told.certificate().await.is_ok());
    refused(version, |_| good.clone()).await;
}

async fn with_anything_around_it(version: Version) {
    let arounds: [fn(&mut Vec<u8>); 3] = [
        |good| good.push(0),
        |good| good.extend_from_within(..),
        |good| good.truncate(good.len() - 1),
    ];
    for around in arounds {
        refused(version, |secrets| {
            let mut good = Draft::spontaneous(&[1; 32], further()).sign(secrets);
            around(&mut good);
            good
        })
        .await;
    }
}

async fn in_portions(version: Version) {
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) A SERVER_CERTIFICATE that holds only a portion of an authenticator MUST be treated as
    //# one that cannot be validated.
    // Within a message, and between the first and the second.
    let certificate_alone = |good: &[u8]| 4 + usize::from(u16::from_be_bytes([good[2], good[3]]));
    for within_a_message in [true, false] {
        let mut server = Impostor::offering(version, accepting_rules()).await;
        let good = Draft::spontaneous(&[1; 32], further()).sign(&Secrets::of(&server.wire));
        let at = if within_a_message { good.len() / 2 } else { certificate_alone(&good) };
        let (first, second) = good.split_at(at);
        let portions = [first, second].map(|portion| certificate(portion).encode(version));
        server.wire.send_bytes(&portions.concat()).await;
        server.refused(BAD_PROOF, Violation::ServerCertificateInvalid).await;
    }
}

async fn a_flipped_bit_anywhere(version: Version) {
    let length = {
        let server = Impostor::offering(version, accepting_rules()).await;
        Draft::spontaneous(&[1; 32], further()).sign(&Secrets::of(&server.wire)).len()
    };
    // The signature's length varies by a few bytes.
    for at in (0..length - 8).step_by(23) {
        let mut server = Impostor::offering(version, accepting_rules()).await;
        let mut bytes = Draft::spontaneous(&[1; 32], further()).sign(&Secrets::of(&server.wire));
        bytes[at] ^= 1 << (at % 8);
        server.wire.send(&certificate(&bytes)).await;
        let text = server.wire.expect_error(BAD_PROOF).await;
        assert_eq!(text, Violation::ServerCertificateInvalid.to_string());
    }
}

async fn a_context_again(version: Version) {
    //= specs/server-certs.md#section-5.3
    //= type=test
    //# An implementation MAY use the context of an authenticator without a request as it likes.
    //= specs/server-certs.md#section-5.3
    //= type=test
    //# A client that negotiated the mechanism MUST take the certificate_request_context out of an
    //# authenticator with the "get context" interface.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) An authenticator that is empty, repeats a context of its connection or fails
    //# validation in any other way MUST be a connection error SERVER_CERTIFICATE_INVALID in HTTP/2
    //# and HTTP/3 alike.
    // The same once more, and another certificate under the same context; at once, and later.
    for (later, again) in [(false, further()), (true, further()), (true, &hosts().other)] {
        let (rules, mut told) = accepting();
        let mut server = Impostor::offering(version, rules).await;
        let secrets = Secrets::of(&server.wire);
        let first = certificate(&Draft::spontaneous(b"once", further()).sign(&secrets));
        let second = certificate(&Draft::spontaneous(b"once", again).sign(&secrets));
        if later {
            server.wire.send(&first).await;
            assert!(told.certificate().await.is_ok());
            server.wire.send(&second).await;
        } else {
            let both = [first.encode(version), second.encode(version)].concat();
            server.wire.send_bytes(&both).await;
        }
        server.refused(BAD_PROOF, Violation::ServerCertificateInvalid).await;
    }
}

async fn an_empty_one(version: Version) {
    //= specs/server-certs.md#section-5
    //= type=test
    //# SERVER_CERTIFICATE MUST carry an exported authenticator that has a chain, its extensions and
    //# the proof of the end-entity key.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) An authenticator that is empty, repeats a context of its connection or fails
    //# validation in any other way MUST be a connection error SERVER_CERTIFICATE_INVALID in HTTP/2
    //# and HTTP/3 alike.
    refused(version, |secrets| secrets.servers_decline(&[1; 32])).await;
}

async fn without_certificates(version: Version) {
    //= specs/server-certs.md#section-5
    //= type=test
    //# SERVER_CERTIFICATE MUST carry an exported authenticator that has a chain, its extensions and
    //# the proof of the end-entity key.
    refused(version, |secrets| {
        let mut draft = Draft::spontaneous(&[1; 32], further());
        draft.chain.clear();
        draft.sign(secrets)
    })
    .await;
}

async fn what_is_no_authenticator(version: Version) {
    for garbage in [&b""[..], b"whatever", &[0; 700], &[0xff; 64], &[11, 0, 0, 0]] {
        refused(version, |_| garbage.to_vec()).await;
    }
}
