//! Authenticators that prove nothing.

use exported_authenticator::{
    Extension, ExtensionType, MessageType, RequestTemplate, stateless, tls13_schemes_of,
};
use rustls::SignatureScheme;

use super::super::fixtures::{algorithms, alice, answer, generic, refusal, request, values};
use super::super::forge::{Forgery, with_byte_flipped};
use super::{Provoked, answered};
use crate::Role;

pub(super) fn malformed_authenticators() -> Vec<Provoked> {
    let forged = |change: fn(&mut Forgery)| {
        answered("forged", &generic(), |request| {
            let mut forgery = Forgery::of(request);
            change(&mut forgery);
            forgery.encode()
        })
    };
    vec![
        answered("nothing", &generic(), |_| Vec::new()),
        answered("noise", &generic(), |_| vec![0xff; 300]),
        answered("cut", &generic(), |request| {
            let mut bytes = answer(request);
            bytes.pop();
            bytes
        }),
        answered("one byte more", &generic(), |request| [answer(request), vec![0]].concat()),
        answered("two authenticators", &generic(), |request| {
            [answer(request), answer(request)].concat()
        }),
        answered("an empty one with a byte more", &generic(), |request| {
            [refusal(request), vec![0]].concat()
        }),
        forged(|forgery| forgery.certificates.clear()),
        forged(|forgery| forgery.certificates[0].0 = vec![0x30, 0]),
        forged(|forgery| forgery.certificates[0].0.clear()),
    ]
}

pub(super) fn bad_extensions() -> Vec<Provoked> {
    let status_request =
        Extension { typ: ExtensionType::STATUS_REQUEST, body: vec![1, 0, 0, 0, 0] };
    let offering = generic().extension(status_request);
    let ocsp = [0, 5, 0, 1, 1];
    let forged = |how, template: &RequestTemplate, extensions: Vec<u8>| {
        answered(how, template, |request| {
            let mut forgery = Forgery::of(request);
            forgery.certificates[0].1 = extensions.clone();
            forgery.encode()
        })
    };
    vec![
        forged("not requested", &generic(), ocsp.to_vec()),
        forged("unknown", &generic(), vec![0xfa, 0xfa, 0, 0]),
        forged("twice", &offering, [ocsp, ocsp].concat()),
    ]
}

pub(super) fn bad_schemes() -> Vec<Provoked> {
    let forged = |how, scheme, template: &RequestTemplate| {
        answered(how, template, |request| {
            let mut forgery = Forgery::of(request);
            forgery.scheme = scheme;
            forgery.encode()
        })
    };
    let all = generic();
    let only_p384 = RequestTemplate::new(vec![SignatureScheme::ECDSA_NISTP384_SHA384]);
    let pkcs1 = [tls13_schemes_of(&algorithms()), vec![SignatureScheme::RSA_PKCS1_SHA256]];
    let with_pkcs1 = RequestTemplate::new(pkcs1.concat());
    vec![
        forged("not offered", SignatureScheme::ECDSA_NISTP256_SHA256, &only_p384),
        forged("of another key", SignatureScheme::ED25519, &all),
        forged("of no key", SignatureScheme::Unknown(0xfafa), &all),
        forged("PKCS#1", SignatureScheme::RSA_PKCS1_SHA256, &with_pkcs1),
    ]
}

pub(super) fn bad_signatures() -> Vec<Provoked> {
    vec![
        answered("made up", &generic(), |request| Forgery::of(request).encode()),
        answered("of another connection", &generic(), |request| {
            stateless::authenticate(&values(1), Role::Client, request, alice()).unwrap()
        }),
        answered("of the server's role", &generic(), |request| {
            stateless::authenticate(&values(0), Role::Server, request, alice()).unwrap()
        }),
        answered("of a request with other extensions", &generic(), |request| {
            let other = RequestTemplate::new(vec![SignatureScheme::ECDSA_NISTP256_SHA256])
                .build(request.message_type(), request.context())
                .unwrap();
            answer(&other)
        }),
        answered("of a request of another type", &generic(), |request| {
            let other =
                generic().build(MessageType::CertificateRequest, request.context()).unwrap();
            answer(&other)
        }),
    ]
}

pub(super) fn bad_finished() -> Vec<Provoked> {
    vec![
        answered("one bit flipped", &generic(), |request| {
            let bytes = answer(request);
            with_byte_flipped(&bytes, bytes.len() - 1)
        }),
        answered("cut", &generic(), |request| {
            let mut bytes = answer(request);
            bytes.truncate(bytes.len() - 32);
            let len = bytes.len();
            bytes[len - 1] = 0;
            bytes
        }),
        answered("a flipped refusal", &generic(), |request| {
            with_byte_flipped(&refusal(request), 4)
        }),
        answered("a refusal of another request", &generic(), |_| refusal(&request(9))),
        answered("a refusal on another connection", &generic(), |request| {
            stateless::decline(&values(1), Role::Client, request).unwrap()
        }),
        answered("the server's refusal", &generic(), |request| {
            stateless::decline(&values(0), Role::Server, request).unwrap()
        }),
        answered("an empty refusal", &generic(), |_| vec![20, 0, 0, 0]),
    ]
}
