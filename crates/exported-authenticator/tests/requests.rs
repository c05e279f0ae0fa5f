//! How requests are read: what is malformed is refused, what is unknown is kept.

#![cfg(test)]

mod support;

use exported_authenticator::{AuthenticatorRequest, ExtensionType, Malformed, MessageType};
use rustls::SignatureScheme;
use support::{extension, handshake, template, vector};

/// ed25519 and ecdsa_secp256r1_sha256, as signature_algorithms.
const SCHEMES: &[u8] = b"\x00\x04\x08\x07\x04\x03";

fn parse(extensions: &[&[u8]]) -> Result<AuthenticatorRequest, Malformed> {
    let body = [vector(1, b"ctx"), vector(2, &extensions.concat())].concat();
    AuthenticatorRequest::parse(&handshake(17, &body))
}

/// A request with signature_algorithms and one more extension.
fn with(typ: u16, body: &[u8]) -> Result<AuthenticatorRequest, Malformed> {
    parse(&[&extension(13, SCHEMES), &extension(typ, body)])
}

#[test]
fn both_types_are_read_and_no_other() {
    let body = [vector(1, b""), vector(2, &extension(13, SCHEMES))].concat();
    for typ in 0..=u8::MAX {
        let read = AuthenticatorRequest::parse(&handshake(typ, &body));
        let expected = match typ {
            13 => Ok(MessageType::CertificateRequest),
            17 => Ok(MessageType::ClientCertificateRequest),
            _ => Err(Malformed::NoRequest(typ)),
        };
        assert_eq!(read.map(|request| request.message_type()), expected);
    }
}

#[test]
fn unknown_extensions_are_kept_and_ignored() {
    let request = with(0xfafa, b"what is this").unwrap();
    assert_eq!(request.extensions()[1].typ, ExtensionType(0xfafa));
    assert_eq!(request.extensions()[1].body, b"what is this");
    let (_, alice) = support::alice();
    assert_eq!(alice.choose_scheme(&request), Ok(SignatureScheme::ED25519));
    assert!(!request.is_targeted());
}

#[test]
fn cut_anywhere_or_longer_it_is_refused() {
    let whole = with(48, b"\x00\x07\x03abc\x00\x01x").unwrap();
    let whole = whole.as_bytes();
    for len in 0..whole.len() {
        assert!(matches!(AuthenticatorRequest::parse(&whole[..len]), Err(Malformed::Truncated(_))));
    }
    assert_eq!(
        AuthenticatorRequest::parse(&[whole, b"x"].concat()),
        Err(Malformed::Trailing("the request"))
    );
    let body = [vector(1, b""), vector(2, &extension(13, SCHEMES)), vec![0]].concat();
    assert_eq!(
        AuthenticatorRequest::parse(&handshake(13, &body)),
        Err(Malformed::Trailing("extensions"))
    );
}

#[test]
fn signature_algorithms_are_there_and_well_formed() {
    let one = |body: &[u8]| parse(&[&extension(13, body)]).map(drop);
    let field = "signature_algorithms";
    assert_eq!(parse(&[]).map(drop), Err(Malformed::Length("extensions")));
    assert_eq!(parse(&[&extension(50, SCHEMES)]).map(drop), Err(Malformed::NoSignatureAlgorithms));
    assert_eq!(one(SCHEMES), Ok(()));
    assert_eq!(one(b"\x00\x00"), Err(Malformed::Length(field)));
    assert_eq!(one(b"\x00\x03\x08\x07\x04"), Err(Malformed::Truncated(field)));
    assert_eq!(one(b"\x00\x04\x08\x07"), Err(Malformed::Truncated(field)));
    assert_eq!(one(b"\x00\x02\x08\x07\x00"), Err(Malformed::Trailing(field)));
    assert_eq!(with(50, b"\x00\x00").map(drop), Err(Malformed::Length(field)));
}

#[test]
fn authorities_are_well_formed() {
    let field = "certificate_authorities";
    let read = |body: &[u8]| {
        with(47, body).map(|request| {
            request.certificate_authorities().map(<[u8]>::to_vec).collect::<Vec<_>>()
        })
    };
    let two = Ok(vec![b"a".to_vec(), b"bc".to_vec()]);
    assert_eq!(read(b"\x00\x07\x00\x01a\x00\x02bc"), two);
    assert_eq!(read(b"\x00\x00"), Err(Malformed::Length(field)));
    assert_eq!(read(b"\x00\x02\x00\x00"), Err(Malformed::Length(field)));
    assert_eq!(read(b"\x00\x02\x00\x01"), Err(Malformed::Truncated(field)));
    assert_eq!(read(b"\x00\x03\x00\x01ab"), Err(Malformed::Trailing(field)));
}

#[test]
fn filters_are_well_formed() {
    let field = "oid_filters";
    let read = |body: &[u8]| with(48, body).map(|request| request.oid_filters().len());
    assert_eq!(read(b"\x00\x00"), Ok(0));
    assert_eq!(read(b"\x00\x08\x01a\x00\x00\x01b\x00\x00"), Ok(2));
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# An OID MUST NOT occur twice in oid_filters.
    assert_eq!(read(b"\x00\x08\x01a\x00\x00\x01a\x00\x00"), Err(Malformed::DuplicateOid));
    assert_eq!(read(b"\x00\x03\x00\x00\x00"), Err(Malformed::Length(field)));
    assert_eq!(read(b"\x00\x03\x01a\x00"), Err(Malformed::Truncated(field)));
    assert_eq!(read(b"\x00\x00\x00"), Err(Malformed::Trailing(field)));
}

#[test]
fn no_extension_occurs_twice() {
    for typ in [13, 50, 47, 48, 5, 0xfafa] {
        let body = if typ == 13 { SCHEMES } else { b"" };
        let twice = [extension(typ, body), extension(typ, body)].concat();
        assert_eq!(parse(&[&twice]), Err(Malformed::DuplicateExtension(ExtensionType(typ))));
    }
}

#[test]
fn a_server_name_is_one_host_name() {
    let read = |body: &[u8]| {
        let request = with(0, body).unwrap();
        request.server_name().map(|name| name.as_ref().to_owned())
    };
    assert_eq!(read(b"\x00\x09\x00\x00\x06a.test"), Some("a.test".to_owned()));
    for other in [
        &b""[..],
        b"\x00\x00",
        b"\x00\x09\x01\x00\x06a.test",
        b"\x00\x09\x00\x00\x06a.test\x00",
        b"\x00\x0a\x00\x00\x06a.test\x00",
        b"\x00\x09\x00\x00\x05a.test",
        b"\x00\x09\x00\x00\x06a test",
        b"\x00\x09\x00\x00\x06a.\xff\xff\xff\xff",
    ] {
        assert_eq!(read(other), None, "{other:?}");
    }
    let nameless = template().build(MessageType::CertificateRequest, b"").unwrap();
    assert_eq!(nameless.server_name(), None);
}
