//! Authenticators that prove nothing. The peer misbehaved: it loses its connection.

use std::sync::Arc;

use countersign::{AuthenticatorRequest, Closed, Violation};
use countersign_testkit::Version;
use countersign_testkit::pki::Issued;
use rustls::SignatureScheme as Scheme;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};

use crate::forge::{Draft, SIGNATURE_ALGORITHMS, STATUS_REQUEST, Secrets, vector};
use crate::people::{key_of, people, provider};
use crate::server::{Server, rules, rules_with};
use crate::wire::*;

countersign_testkit::over_both_versions! {
    a_forgery_that_nothing_is_wrong_with_is_no_forgery,
    cut_short_anywhere,
    with_something_behind_it,
    with_a_flipped_bit,
    with_a_flipped_bit_anywhere,
    with_a_certificate_that_is_none,
    with_pkcs1,
    with_a_scheme_that_does_not_fit_the_key,
    with_a_scheme_that_was_not_offered,
    with_an_extension_that_was_not_requested,
    with_an_extension_twice,
    a_bad_answer_to_a_generic_challenge_fails_who_waits_for_another,
}

/// What a client makes of a challenge to send.
type Make = fn(&Secrets, &AuthenticatorRequest) -> Vec<u8>;

/// Answers a challenge with each of these on a connection of its own; each is refused as told.
async fn refused(version: Version, made: &[(Make, Violation)]) {
    let mut server = Server::start(version).await;
    for (make, violation) in made {
        let (mut client, challenge) = server.challenged().await;
        let answer = make(&client.secrets(), &challenge);
        client.wire.send(&certificate(&answer)).await;
        server.refuses(client, MALFORMED, *violation).await;
    }
}

/// The same for drafts by `who` that are changed before they are signed.
pub(super) async fn drafts_refused(
    version: Version,
    who: &Issued,
    changes: &[fn(&mut Draft)],
    violation: Violation,
) {
    let mut server = Server::start(version).await;
    for change in changes {
        let (mut client, challenge) = server.challenged().await;
        let mut draft = Draft::of(&challenge, who);
        change(&mut draft);
        let answer = draft.sign(&client.secrets());
        client.wire.send(&certificate(&answer)).await;
        server.refuses(client, MALFORMED, violation).await;
    }
}

pub(super) fn by_alice(secrets: &Secrets, challenge: &AuthenticatorRequest) -> Vec<u8> {
    secrets.answer(challenge, &people().alice)
}

/// Without this the other tests would prove nothing.
async fn a_forgery_that_nothing_is_wrong_with_is_no_forgery(version: Version) {
    let mut server = Server::start(version).await;
    for who in [&people().alice, &people().rsa] {
        let (mut client, challenge) = server.challenged().await;
        let answer = client.secrets().answer(&challenge, who);
        client.wire.send(&certificate(&answer)).await;
        assert_eq!(client.wire.response(1).await, Some(200));
        assert_eq!(client.handle.identity("user").unwrap().chain(), who.chain);
    }
}

async fn cut_short_anywhere(version: Version) {
    //= specs/client-certs.md#decisions-bad
    //= type=test
    //# (ours) An authenticator that fails to decode, is out of order or has a wrong context, extension, scheme, signature or MAC MUST be a connection error, PROTOCOL_ERROR in HTTP/2 and H3_MESSAGE_ERROR in HTTP/3.
    let malformed = Violation::MalformedAuthenticator;
    refused(
        version,
        &[
            (|_, _| Vec::new(), malformed),
            (|secrets, challenge| by_alice(secrets, challenge)[..1].to_vec(), malformed),
            (|secrets, challenge| by_alice(secrets, challenge)[..4].to_vec(), malformed),
            (|secrets, challenge| by_alice(secrets, challenge)[..100].to_vec(), malformed),
            // All of Certificate and CertificateVerify: Finished is 4 + 32 bytes long.
            (
                |secrets, challenge| {
                    let whole = by_alice(secrets, challenge);
                    whole[..whole.len() - 36].to_vec()
                },
                malformed,
            ),
            (
                |secrets, challenge| {
                    let whole = by_alice(secrets, challenge);
                    whole[..whole.len() - 1].to_vec()
                },
                malformed,
            ),
            (|secrets, challenge| secrets.decline(challenge)[..35].to_vec(), malformed),
        ],
    )
    .await;
}

async fn with_something_behind_it(version: Version) {
    let malformed = Violation::MalformedAuthenticator;
    refused(
        version,
        &[
            (|secrets, challenge| [by_alice(secrets, challenge), vec![0]].concat(), malformed),
            (|secrets, challenge| by_alice(secrets, challenge).repeat(2), malformed),
            (|secrets, challenge| secrets.decline(challenge).repeat(2), malformed),
            (
                |secrets, challenge| {
                    [secrets.decline(challenge), by_alice(secrets, challenge)].concat()
                },
                malformed,
            ),
        ],
    )
    .await;
}

async fn with_a_flipped_bit(version: Version) {
    let alice = &people().alice;
    drafts_refused(
        version,
        alice,
        &[|draft| draft.break_signature = true],
        Violation::BadSignature,
    )
    .await;
    let flipped_mac: Make = |secrets, challenge| {
        let mut answer = by_alice(secrets, challenge);
        *answer.last_mut().unwrap() ^= 1;
        answer
    };
    let flipped_refusal: Make = |secrets, challenge| {
        let mut answer = secrets.decline(challenge);
        *answer.last_mut().unwrap() ^= 0x80;
        answer
    };
    // In the signature of the certificate's issuer, which the client's own signature covers.
    let flipped_certificate: Make = |secrets, challenge| {
        let (mut answer, leaf) = (by_alice(secrets, challenge), &people().alice.chain[0]);
        let at = answer.windows(leaf.len()).position(|window| window == &leaf[..]).unwrap();
        answer[at + leaf.len() - 1] ^= 1;
        answer
    };
    refused(
        version,
        &[
            (flipped_mac, Violation::BadFinished),
            (flipped_refusal, Violation::BadFinished),
            (flipped_certificate, Violation::BadSignature),
        ],
    )
    .await;
}

async fn with_a_flipped_bit_anywhere(version: Version) {
    let mut server = Server::start(version).await;
    let mut at = 0;
    loop {
        let (mut client, challenge) = server.challenged().await;
        let mut answer = by_alice(&client.secrets(), &challenge);
        let Some(byte) = answer.get_mut(at) else { break };
        *byte ^= 1 << (at % 8);
        client.wire.send(&certificate(&answer)).await;
        client.wire.expect_closed(MALFORMED).await;
        assert!(matches!(client.handle.closed_reason(), Some(Closed::Violation(_))));
        at += 13;
    }
    server.serves_others().await;
}

async fn with_a_certificate_that_is_none(version: Version) {
    let changes: [fn(&mut Draft); 3] = [
        |draft| draft.chain[0].0 = b"no certificate at all".to_vec(),
        |draft| draft.chain[0].0.push(0),
        |draft| draft.chain.clear(),
    ];
    drafts_refused(version, &people().alice, &changes, Violation::MalformedAuthenticator).await;
}

async fn with_pkcs1(version: Version) {
    let changes: [fn(&mut Draft); 2] = [
        |draft| {
            draft.signed_with = Scheme::RSA_PKCS1_SHA256;
            draft.scheme = draft.signed_with;
        },
        // Nor does it help to call it PSS.
        |draft| draft.signed_with = Scheme::RSA_PKCS1_SHA256,
    ];
    drafts_refused(version, &people().rsa, &changes[..1], Violation::SignatureScheme).await;
    drafts_refused(version, &people().rsa, &changes[1..], Violation::BadSignature).await;
}

async fn with_a_scheme_that_does_not_fit_the_key(version: Version) {
    let changes: [fn(&mut Draft); 4] = [
        |draft| draft.scheme = Scheme::ECDSA_NISTP384_SHA384,
        |draft| draft.scheme = Scheme::ED25519,
        |draft| draft.scheme = Scheme::RSA_PSS_SHA256,
        |draft| draft.scheme = Scheme::ML_DSA_44,
    ];
    drafts_refused(version, &people().alice, &changes, Violation::SignatureScheme).await;
}

async fn with_a_scheme_that_was_not_offered(version: Version) {
    let unknown: [fn(&mut Draft); 3] = [
        |draft| draft.scheme = Scheme::ED448,
        |draft| draft.scheme = Scheme::ECDSA_SHA1_Legacy,
        |draft| draft.scheme = Scheme::Unknown(0xfefe),
    ];
    drafts_refused(version, &people().alice, &unknown, Violation::SignatureScheme).await;

    // A server that verifies ECDSA alone asks for nothing else.
    let mut server = Server::start_with(version, rules_with(only_ecdsa())).await;
    let (mut client, challenge) = server.challenged().await;
    let offered = challenge.signature_algorithms();
    assert_eq!(offered, [Scheme::ECDSA_NISTP256_SHA256]);
    let mut draft = Draft::of(&challenge, &people().alice);
    draft.key = key_of(&people().rsa);
    draft.chain[0].0 = people().rsa.chain[0].to_vec();
    draft.signed_with = Scheme::RSA_PSS_SHA256;
    draft.scheme = draft.signed_with;
    let answer = draft.sign(&client.secrets());
    client.wire.send(&certificate(&answer)).await;
    server.refuses(client, MALFORMED, Violation::SignatureScheme).await;
}

fn only_ecdsa() -> Arc<CryptoProvider> {
    let mut provider = provider().as_ref().clone();
    let all = provider.signature_verification_algorithms;
    let mapping: Vec<_> = all
        .mapping
        .iter()
        .copied()
        .filter(|(scheme, _)| *scheme == Scheme::ECDSA_NISTP256_SHA256)
        .collect();
    provider.signature_verification_algorithms =
        WebPkiSupportedAlgorithms { all: all.all, mapping: Box::leak(mapping.into()) };
    Arc::new(provider)
}

async fn with_an_extension_that_was_not_requested(version: Version) {
    let changes: [fn(&mut Draft); 4] = [
        |draft| draft.chain[0].1.push((STATUS_REQUEST, vec![1, 0, 0, 1, 0])),
        |draft| draft.chain[0].1.push((0xfafa, Vec::new())),
        // It was in the request, but it is nothing to answer with.
        |draft| draft.chain[0].1.push((SIGNATURE_ALGORITHMS, vector(2, &[4, 3]))),
        // Not with the leaf.
        |draft| draft.chain.push((people().users.to_vec(), vec![(STATUS_REQUEST, vec![1])])),
    ];
    drafts_refused(version, &people().alice, &changes, Violation::AuthenticatorExtension).await;
}

async fn with_an_extension_twice(version: Version) {
    let twice: fn(&mut Draft) = |draft| draft.chain[0].1 = vec![(STATUS_REQUEST, vec![1]); 2];
    drafts_refused(version, &people().alice, &[twice], Violation::AuthenticatorExtension).await;
}

async fn a_bad_answer_to_a_generic_challenge_fails_who_waits_for_another(version: Version) {
    let mut server = Server::start_with(version, rules().generic_challenges(1)).await;
    let mut client = server.opened(2).await;
    let generic = client.be_asked().await;
    let _targeted = client.get_and_be_asked(1, "/user").await;
    let handle = client.handle.clone();
    client.waiting = Some(tokio::spawn(async move { handle.require("user").await }));
    let mut answer = by_alice(&client.secrets(), &generic);
    // Finished is 4 + 32 bytes long; before it stands the signature's last byte.
    let last = answer.len() - 37;
    answer[last] ^= 1;
    client.wire.send(&certificate(&answer)).await;
    server.refuses(client, MALFORMED, Violation::BadSignature).await;
}
