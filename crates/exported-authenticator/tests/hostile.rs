//! Authenticators that a hostile peer makes, most of them with a right MAC.

#![cfg(test)]

mod support;

use countersign_pki::{KeyKind, Leaf};
use exported_authenticator::{
    Authenticator, AuthenticatorRequest, Extension, ExtensionType, InvalidAuthenticator, Malformed,
    MessageType, RequestTemplate, Role, TLS13_SCHEMES, Validated, stateless,
};
use rustls::SignatureScheme as S;
use rustls::sign::SigningKey;
use support::{
    Ends, Secrets, alice, authority, certificate_message, credential, extension, handshake, proven,
    provider, signing_key, template, vector,
};

const CONNECTION: Secrets = Secrets(1);

fn request(template: &RequestTemplate) -> AuthenticatorRequest {
    template.build(MessageType::ClientCertificateRequest, b"ctx").unwrap()
}

/// What the server says of `authenticator`, sent in answer to `request`.
fn validate(
    request: &AuthenticatorRequest,
    authenticator: &[u8],
) -> Result<Validated, InvalidAuthenticator> {
    let mut server = Ends::seeded(CONNECTION.0).server;
    server.receive_request(request.as_bytes()).unwrap();
    server.validate(request, authenticator)
}

fn signer<'a>(key: &'a dyn SigningKey, scheme: S) -> impl FnOnce(&[u8]) -> Vec<u8> + 'a {
    move |message| {
        let signer = key.choose_scheme(&[scheme]).unwrap();
        signer.sign(message).unwrap()
    }
}

#[test]
fn the_forger_makes_what_is_right() {
    let (_, alice) = alice();
    let request = request(&template());
    let chain: Vec<&[u8]> = alice.chain().certificates().iter().map(AsRef::as_ref).collect();
    let message = certificate_message(b"ctx", &chain, &[]);
    let sign = signer(&**alice.key(), S::ED25519);
    let forged = CONNECTION.forge(request.as_bytes(), &message, S::ED25519, sign);
    let values = CONNECTION.values();
    let made = stateless::authenticate(&values, Role::Client, &request, &alice).unwrap();
    assert_eq!(forged, made);
    proven(validate(&request, &forged).unwrap());
}

#[test]
fn cut_anywhere_it_is_refused() {
    let (_, alice) = alice();
    let request = request(&template());
    let values = CONNECTION.values();
    for whole in [
        stateless::authenticate(&values, Role::Client, &request, &alice).unwrap(),
        stateless::decline(&values, Role::Client, &request).unwrap(),
    ] {
        for len in 0..whole.len() {
            let refused = validate(&request, &whole[..len]).unwrap_err();
            assert!(
                matches!(
                    refused,
                    InvalidAuthenticator::Malformed(
                        Malformed::Truncated(_) | Malformed::MessageSequence
                    )
                ),
                "{len}: {refused:?}"
            );
        }
        for tail in [&[0][..], &handshake(20, &[0; 32]), &whole] {
            let longer = [&whole, tail].concat();
            assert_eq!(
                validate(&request, &longer),
                Err(Malformed::Trailing("the authenticator").into())
            );
        }
        validate(&request, &whole).unwrap();
    }
}

#[test]
fn with_any_bit_flipped_it_is_refused() {
    let (_, alice) = alice();
    let request = request(&template());
    let values = CONNECTION.values();
    for whole in [
        stateless::authenticate(&values, Role::Client, &request, &alice).unwrap(),
        stateless::decline(&values, Role::Client, &request).unwrap(),
    ] {
        let mut flipped = whole.clone();
        for bit in 0..whole.len() * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(validate(&request, &flipped).is_err(), "bit {bit}");
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn with_any_bit_of_the_request_flipped_it_is_refused() {
    let (_, alice) = alice();
    let request = request(&template());
    let values = CONNECTION.values();
    let made = stateless::authenticate(&values, Role::Client, &request, &alice).unwrap();
    let refusal = stateless::decline(&values, Role::Client, &request).unwrap();
    let mut flipped = request.as_bytes().to_vec();
    for bit in 0..flipped.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = AuthenticatorRequest::parse(&flipped) {
            assert!(validate(&other, &made).is_err(), "bit {bit}");
            assert!(validate(&other, &refusal).is_err(), "bit {bit}");
        }
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_scheme_binds_its_curve() {
    let authority = authority(KeyKind::P256);
    let all = [
        (KeyKind::P256, S::ECDSA_NISTP256_SHA256),
        (KeyKind::P384, S::ECDSA_NISTP384_SHA384),
        (KeyKind::P521, S::ECDSA_NISTP521_SHA512),
        (KeyKind::Ed25519, S::ED25519),
        (KeyKind::MlDsa44, S::ML_DSA_44),
        (KeyKind::Rsa2048, S::RSA_PSS_SHA256),
    ];
    let request = request(&template());
    for (kind, own) in all {
        let issued = authority.issue(&Leaf::client("x").key(kind)).unwrap();
        let key = signing_key(&issued.key);
        let message = certificate_message(b"ctx", &[&issued.chain[0]], &[]);
        for (_, claimed) in all {
            let sign = signer(&*key, own);
            let forged = CONNECTION.forge(request.as_bytes(), &message, claimed, sign);
            let validated = validate(&request, &forged);
            if claimed == own {
                proven(validated.unwrap());
            } else {
                assert_eq!(
                    validated,
                    Err(InvalidAuthenticator::SchemeKeyMismatch(claimed)),
                    "{kind:?}"
                );
            }
        }
    }
}

#[test]
fn pkcs1_is_refused_even_if_offered_and_right() {
    let authority = authority(KeyKind::P256);
    let issued = authority.issue(&Leaf::client("x").key(KeyKind::Rsa2048)).unwrap();
    let key = signing_key(&issued.key);
    let message = certificate_message(b"ctx", &[&issued.chain[0]], &[]);
    for scheme in [S::RSA_PKCS1_SHA256, S::RSA_PKCS1_SHA384, S::RSA_PKCS1_SHA512] {
        let request = request(&RequestTemplate::new(vec![scheme, S::RSA_PSS_SHA256]));
        let forged = CONNECTION.forge(request.as_bytes(), &message, scheme, signer(&*key, scheme));
        assert_eq!(validate(&request, &forged), Err(InvalidAuthenticator::SchemeNotTls13(scheme)));
    }
    // Nor is it ever chosen.
    let only_pkcs1 = request(&RequestTemplate::new(vec![S::RSA_PKCS1_SHA256]));
    assert!(credential(&issued).choose_scheme(&only_pkcs1).is_err());
}

#[test]
fn what_tls13_does_not_know_is_refused() {
    let (_, alice) = alice();
    let message = certificate_message(b"ctx", &[&alice.chain().certificates()[0]], &[]);
    for number in [0x0201, 0x0203, 0x0403, 0x0808, 0x0809, 0xfe00, 0] {
        let scheme = S::from(number);
        let request = request(&RequestTemplate::new(vec![scheme]));
        let sign = signer(&**alice.key(), S::ED25519);
        let forged = CONNECTION.forge(request.as_bytes(), &message, scheme, sign);
        let refused = validate(&request, &forged).unwrap_err();
        let expected = match number {
            0x0403 => InvalidAuthenticator::SchemeKeyMismatch(scheme),
            _ => InvalidAuthenticator::SchemeNotTls13(scheme),
        };
        assert_eq!(refused, expected);
    }
}

#[test]
fn a_scheme_that_was_not_offered_is_refused() {
    let (_, alice) = alice();
    let others: Vec<S> =
        TLS13_SCHEMES.iter().copied().filter(|scheme| *scheme != S::ED25519).collect();
    // For the signatures on certificates only.
    let template = RequestTemplate::new(others).certificate_schemes(vec![S::ED25519]);
    let request = request(&template);
    let message = certificate_message(b"ctx", &[&alice.chain().certificates()[0]], &[]);
    let sign = signer(&**alice.key(), S::ED25519);
    let forged = CONNECTION.forge(request.as_bytes(), &message, S::ED25519, sign);
    assert_eq!(
        validate(&request, &forged),
        Err(InvalidAuthenticator::SchemeNotOffered(S::ED25519))
    );
}

#[test]
fn extensions_are_accepted_only_as_far_as_they_were_requested() {
    let (_, alice) = alice();
    let asked = template()
        .extension(Extension { typ: ExtensionType::STATUS_REQUEST, body: Vec::new() })
        .extension(Extension { typ: ExtensionType(0xfafa), body: b"what is this".to_vec() });
    let request = request(&asked);
    let with = |extensions: &[u8]| {
        let leaf: &[u8] = &alice.chain().certificates()[0];
        let message = certificate_message(b"ctx", &[leaf], extensions);
        let sign = signer(&**alice.key(), S::ED25519);
        let forged = CONNECTION.forge(request.as_bytes(), &message, S::ED25519, sign);
        validate(&request, &forged)
    };
    let status = extension(5, b"\x01\x00\x00\x01\x30");
    let both = [status.clone(), extension(0xfafa, b"!")].concat();
    let proven = proven(with(&both).unwrap());
    assert_eq!(proven.extensions(0).len(), 2);
    assert_eq!(proven.extensions(0)[0].typ, ExtensionType::STATUS_REQUEST);
    assert_eq!(proven.extensions(1), []);

    for unasked in [18_u16, 0xfafb] {
        assert_eq!(
            with(&extension(unasked, b"")),
            Err(InvalidAuthenticator::ExtensionNotRequested(ExtensionType(unasked)))
        );
    }
    // In the request, but not meant for certificates.
    for guiding in [13_u16, 50, 47, 48, 0] {
        assert_eq!(
            with(&extension(guiding, b"")),
            Err(InvalidAuthenticator::ExtensionNotRequested(ExtensionType(guiding)))
        );
    }
    let twice = [status.clone(), status].concat();
    assert_eq!(
        with(&twice),
        Err(Malformed::DuplicateExtension(ExtensionType::STATUS_REQUEST).into())
    );
    assert!(matches!(
        with(&[0, 5, 0]),
        Err(InvalidAuthenticator::Malformed(Malformed::Truncated(_)))
    ));
}

#[test]
fn extensions_of_other_certificates_count_as_well() {
    let (_, alice) = alice();
    let request = request(&template());
    let chain = alice.chain().certificates();
    let mut list = vector(3, &chain[0]);
    list.extend(vector(2, &[]));
    list.extend(vector(3, &chain[1]));
    list.extend(vector(2, &extension(5, b"x")));
    let message = handshake(11, &[vector(1, b"ctx"), vector(3, &list)].concat());
    let sign = signer(&**alice.key(), S::ED25519);
    let forged = CONNECTION.forge(request.as_bytes(), &message, S::ED25519, sign);
    assert_eq!(
        validate(&request, &forged),
        Err(InvalidAuthenticator::ExtensionNotRequested(ExtensionType::STATUS_REQUEST))
    );
}

#[test]
fn only_requested_extensions_are_sent() {
    let (_, alice) = alice();
    let status = Extension { typ: ExtensionType::STATUS_REQUEST, body: Vec::new() };
    let chain = alice.chain().clone().with_ocsp(b"0").with_extension(
        1,
        Extension { typ: ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP, body: b"sct".to_vec() },
    );
    let stapling = exported_authenticator::Credential::new(chain, alice.key().clone()).unwrap();
    for (template, expected) in [(template(), 0), (template().extension(status), 1)] {
        let request = request(&template);
        let values = CONNECTION.values();
        let made = stateless::authenticate(&values, Role::Client, &request, &stapling).unwrap();
        let proven = proven(validate(&request, &made).unwrap());
        assert_eq!(proven.extensions(0).len(), expected);
        assert_eq!(proven.extensions(1).len(), 0);
    }
}

#[test]
fn certificates_that_are_none_are_refused() {
    let (_, alice) = alice();
    let request = request(&template());
    let forged = |chain: &[&[u8]]| {
        let message = certificate_message(b"ctx", chain, &[]);
        let sign = signer(&**alice.key(), S::ED25519);
        let forged = CONNECTION.forge(request.as_bytes(), &message, S::ED25519, sign);
        validate(&request, &forged)
    };
    assert_eq!(forged(&[]), Err(InvalidAuthenticator::EmptyCertificateList));
    assert_eq!(forged(&[b"no certificate"]), Err(InvalidAuthenticator::BadCertificate));
    assert_eq!(forged(&[b""]), Err(Malformed::Length("certificate").into()));
    let leaf: &[u8] = &alice.chain().certificates()[0];
    let longer = [leaf, &[0]].concat();
    assert_eq!(forged(&[&longer]), Err(InvalidAuthenticator::BadCertificate));
    // The key of a bare public key proves nothing either.
    let spki = alice.key().public_key().unwrap();
    assert_eq!(forged(&[spki.as_ref()]), Err(InvalidAuthenticator::BadCertificate));
}

#[test]
fn another_certificate_than_the_signers_is_refused() {
    let (_, alice) = alice();
    let (_, bob) = support::alice();
    let request = request(&template());
    let message = certificate_message(b"ctx", &[&bob.chain().certificates()[0]], &[]);
    let sign = signer(&**alice.key(), S::ED25519);
    let forged = CONNECTION.forge(request.as_bytes(), &message, S::ED25519, sign);
    assert_eq!(validate(&request, &forged), Err(InvalidAuthenticator::BadSignature));
}

#[test]
fn an_empty_signature_is_a_bad_one() {
    let (_, alice) = alice();
    let request = request(&template());
    let message = certificate_message(b"ctx", &[&alice.chain().certificates()[0]], &[]);
    let forged = CONNECTION.forge(request.as_bytes(), &message, S::ED25519, |_| Vec::new());
    assert_eq!(validate(&request, &forged), Err(InvalidAuthenticator::BadSignature));
}

#[test]
fn messages_come_in_their_order() {
    let (_, alice) = alice();
    let request = request(&template());
    let values = CONNECTION.values();
    let made = stateless::authenticate(&values, Role::Client, &request, &alice).unwrap();
    let finished = made.len() - 36;
    let certificate = 4 + usize::from(u16::from_be_bytes([made[2], made[3]]));
    let parts = [&made[..certificate], &made[certificate..finished], &made[finished..]];
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [0, 0, 2], [0, 1, 1], [0, 0, 0]] {
        let shuffled = order.map(|index| parts[index]).concat();
        assert_eq!(
            validate(&request, &shuffled),
            Err(Malformed::MessageSequence.into()),
            "{order:?}"
        );
    }
    let longer = handshake(15, &[&parts[1][4..], &[0]].concat());
    assert_eq!(
        validate(&request, &[parts[0], &longer, parts[2]].concat()),
        Err(Malformed::Trailing("signature").into())
    );
    for typ in 0..=u8::MAX {
        let only = handshake(typ, b"");
        let refused = Authenticator::parse(&only).map(drop);
        let expected = if typ == 20 { Ok(()) } else { Err(Malformed::MessageSequence) };
        assert_eq!(refused, expected, "{typ}");
    }
}

#[test]
fn a_certificate_with_a_critical_extension_that_webpki_does_not_know_proves_possession() {
    let issued = critical_leaf();
    let request = request(&template());
    let message = certificate_message(b"ctx", &[&issued.0], &[]);
    let sign = |key: &dyn SigningKey| {
        let sign = signer(key, S::ED25519);
        CONNECTION.forge(request.as_bytes(), &message, S::ED25519, sign)
    };
    let proven = proven(validate(&request, &sign(&*issued.1)).unwrap());
    let (authority, alice) = alice();
    // Not acceptable to the stock verifier, which does not know what it means.
    let verifier = support::client_verifier(&authority);
    proven.verify_client(&*verifier, support::now()).unwrap_err();
    assert_eq!(validate(&request, &sign(&**alice.key())), Err(InvalidAuthenticator::BadSignature));
    let sign = signer(&*issued.1, S::ED25519);
    let forged = CONNECTION.forge(request.as_bytes(), &message, S::ECDSA_NISTP256_SHA256, sign);
    assert_eq!(
        validate(&request, &forged),
        Err(InvalidAuthenticator::SchemeKeyMismatch(S::ECDSA_NISTP256_SHA256))
    );
}

/// A leaf whose (critical) key usage got an object identifier that is nobody's. The issuer's signature
/// is broken by that, which does not matter to the possession.
fn critical_leaf() -> (Vec<u8>, std::sync::Arc<dyn SigningKey>) {
    let (_, alice) = alice();
    let leaf: &[u8] = &alice.chain().certificates()[0];
    let mut leaf = leaf.to_vec();
    let key_usage = [0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff];
    let at = leaf.windows(key_usage.len()).position(|window| window == key_usage).unwrap();
    leaf[at + 4] = 99;
    (leaf, alice.key().clone())
}

#[test]
fn algorithms_that_the_provider_lacks_are_not_verified() {
    let (_, alice) = alice();
    let request = request(&template());
    let values = CONNECTION.values();
    let made = stateless::authenticate(&values, Role::Client, &request, &alice).unwrap();
    let parsed = Authenticator::parse(&made).unwrap();
    let mut algorithms = provider().signature_verification_algorithms;
    algorithms.mapping = &[];
    assert_eq!(
        stateless::validate(&values, Role::Client, &request, &parsed, &algorithms),
        Err(InvalidAuthenticator::SchemeNotTls13(S::ED25519))
    );
}
