//! Sections 3, 4, 7.1, 7.2, 8: requests.

use countersign_pki::{KeyKind, Leaf};
use exported_authenticator::{
    AuthenticateError, Authenticator, AuthenticatorRequest, ContextError, Extension, ExtensionType,
    Malformed, MessageType, OidFilter, RequestError, Role, Unsuitable, Validated,
};
use rustls::pki_types::DnsName;
use rustls::{DistinguishedName, SignatureScheme};

use crate::support::*;

const CR: MessageType = MessageType::CertificateRequest;
const CCR: MessageType = MessageType::ClientCertificateRequest;

#[test]
fn a_request_has_the_layout_of_the_rfc() {
    let extensions = signature_algorithms(&[SignatureScheme::ED25519]);
    let template = exported_authenticator::RequestTemplate::new(vec![SignatureScheme::ED25519]);
    let request = template.build(CR, CONTEXT).unwrap();
    //= specs/exported-authenticators.md#section-4
    //= type=test
    //# A request MUST be encoded as a TLS handshake message with its type and length.
    //= specs/exported-authenticators.md#section-4
    //= type=test
    //# A request MUST NOT be wrapped in TLS records or protected with the keys of the handshake or
    //# of application data.
    //= specs/exported-authenticators.md#section-4
    //= type=test
    //# A request MUST consist of a context of 0 to 255 bytes with a one-byte length and a list of
    //# extensions of at least 2 bytes with a two-byte length.
    //= specs/exported-authenticators.md#section-7.1
    //= type=test
    //# The interface MUST return the bytes of a CertificateRequest or a ClientCertificateRequest.
    assert_eq!(request.as_bytes(), request_message(13, CONTEXT, &extensions));
    //= specs/exported-authenticators.md#section-4
    //= type=test
    //# A request made by a client MUST be a ClientCertificateRequest message, which has the
    //# structure of a CertificateRequest.
    //= specs/exported-authenticators.md#section-8.3
    //= type=test
    //# The handshake type of ClientCertificateRequest MUST be 17.
    let request = template.build(CCR, CONTEXT).unwrap();
    assert_eq!(request.as_bytes(), request_message(17, CONTEXT, &extensions));
    assert_eq!(request.message_type(), CCR);
}

#[test]
fn a_context_has_up_to_255_bytes() {
    //= specs/exported-authenticators.md#section-7.1
    //= type=test
    //# The interface MUST take a certificate_request_context of 0 to 255 bytes and the extensions
    //# with their contents.
    for len in [0, 1, 255] {
        let context = vec![7; len];
        let request = anything().build(CR, &context).unwrap();
        //= specs/exported-authenticators.md#section-7.2
        //= type=test
        //# The interface MUST return the certificate_request_context of a request or an
        //# authenticator.
        assert_eq!(request.context(), context);
    }
    assert_eq!(anything().build(CR, &[7; 256]).unwrap_err(), RequestError::ContextTooLong);
}

#[test]
fn a_request_has_to_offer_signature_algorithms() {
    //= specs/exported-authenticators.md#section-7.1
    //= type=test
    //# The extensions MUST include signature_algorithms.
    let without = request_message(17, CONTEXT, &extension(5, &[1, 0, 0, 0, 0]));
    assert_eq!(AuthenticatorRequest::parse(&without), Err(Malformed::NoSignatureAlgorithms));
    let template = exported_authenticator::RequestTemplate::new(Vec::new());
    assert!(matches!(template.build(CR, CONTEXT), Err(RequestError::Malformed(_))));
}

#[test]
fn both_types_are_accepted_from_both_sides() {
    //= specs/exported-authenticators.md#decisions
    //= type=test
    //# (ours) A request of either message type MUST be accepted from either side.
    for (typ, role) in
        [(CR, Role::Client), (CCR, Role::Client), (CR, Role::Server), (CCR, Role::Server)]
    {
        let request = anything().build(typ, CONTEXT).unwrap();
        let mut receiver = SHA256.connection(role);
        let received = receiver.receive_request(request.as_bytes()).unwrap();
        assert_eq!(received.message_type(), typ);
    }
}

#[test]
fn contexts_are_unique_across_both_kinds_of_request() {
    let mut pair = pair(SHA256);
    //= specs/exported-authenticators.md#section-4
    //= type=test
    //# A certificate_request_context MUST be different for every request of a connection.
    let request = pair.server.request(&anything(), CR, CONTEXT).unwrap();
    assert_eq!(
        pair.server.request(&anything(), CR, CONTEXT).unwrap_err(),
        RequestError::Context(ContextError::Repeated)
    );
    pair.client.receive_request(request.as_bytes()).unwrap();
    assert!(pair.client.receive_request(request.as_bytes()).is_err());
    //= specs/exported-authenticators.md#section-4
    //= type=test
    //# A context used in a request of one kind MUST NOT be used in a request of the other kind on
    //# the same connection.
    assert_eq!(
        pair.client.request(&anything(), CCR, CONTEXT).unwrap_err(),
        RequestError::Context(ContextError::Repeated)
    );
}

#[test]
fn an_application_may_choose_its_contexts() {
    //= specs/exported-authenticators.md#section-4
    //= type=test
    //# An application MAY choose as the context a value that one of its data structures already
    //# has.
    //= specs/exported-authenticators.md#section-4
    //= type=test
    //# A context MAY equal one that occurred in the TLS handshake or in a message after it.
    let mut server = SHA256.connection(Role::Server);
    for context in [&b"order 7"[..], b""] {
        let request = server.request(&anything(), CR, context).unwrap();
        assert_eq!(request.context(), context);
    }
}

#[test]
fn a_server_does_not_ask_for_a_server_name() {
    let template = anything().server_name(DnsName::try_from("example.test").unwrap());
    //= specs/exported-authenticators.md#section-4
    //= type=test
    //# A ClientCertificateRequest MAY contain server_name.
    let mut client = SHA256.connection(Role::Client);
    let request = client.request(&template, CCR, CONTEXT).unwrap();
    assert_eq!(request.server_name().unwrap().as_ref(), "example.test");
    //= specs/exported-authenticators.md#section-8.1
    //= type=test
    //# The extension server_name MUST NOT be offered in a request unless the request was generated
    //# by a client.
    let mut server = SHA256.connection(Role::Server);
    assert_eq!(server.request(&template, CCR, CONTEXT).unwrap_err(), RequestError::ServerName);
}

#[test]
fn a_request_has_only_extensions_that_belong_there() {
    //= specs/exported-authenticators.md#section-4
    //= type=test
    //# The extensions of a request MUST be among those that the TLS registry marks with CR.
    let with = |typ| {
        let typ = ExtensionType(typ);
        anything().extension(Extension { typ, body: vec![] }).build(CR, CONTEXT).map(drop)
    };
    // ALPN, early_data, supported_versions, key_share, renegotiation_info.
    for typ in [16, 42, 43, 51, 0xff01] {
        assert_eq!(with(typ), Err(RequestError::NotInRequests(ExtensionType(typ))));
    }
    // status_request, signed_certificate_timestamp, compress_certificate; GREASE; one that nobody has registered.
    for typ in [5, 18, 27, 0x0a0a, 0x4242] {
        assert_eq!(with(typ), Ok(()));
    }
}

#[test]
fn unknown_extensions_are_ignored() {
    let mut pair = pair(SHA256);
    let unknown = Extension { typ: ExtensionType(0x4242), body: vec![1, 2, 3] };
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# Extensions of a request that are not recognised MUST be ignored.
    let request = pair.ask(&anything().extension(unknown), CONTEXT);
    let answer = pair.client.authenticate(&request, &credential()).unwrap();
    assert!(pair.server.validate(&request, &answer).is_ok());
}

#[test]
fn what_is_left_over_or_doubled_is_refused() {
    let schemes = signature_algorithms(&[SignatureScheme::ED25519]);
    let mut trailing = request_message(17, CONTEXT, &schemes);
    trailing.push(0);
    //= specs/exported-authenticators.md#decisions
    //= type=test
    //# (ours) A message with bytes after its end MUST be refused.
    assert!(matches!(AuthenticatorRequest::parse(&trailing), Err(Malformed::Trailing(_))));
    let inside = message(17, &[vector(1, CONTEXT), vector(2, &schemes), vec![0]].concat());
    assert!(AuthenticatorRequest::parse(&inside).is_err());
    //= specs/exported-authenticators.md#decisions
    //= type=test
    //# (ours) An extension that occurs twice in one list MUST be refused.
    let twice = request_message(17, CONTEXT, &[schemes.clone(), schemes].concat());
    assert_eq!(
        AuthenticatorRequest::parse(&twice),
        Err(Malformed::DuplicateExtension(ExtensionType::SIGNATURE_ALGORITHMS))
    );
}

#[test]
fn the_three_sequences_work() {
    //= specs/exported-authenticators.md#section-3
    //= type=test
    //# A server MAY generate a request, have the client answer it with an authenticator, and
    //# validate that.
    //= specs/exported-authenticators.md#section-4
    //= type=test
    //# Either end of a connection MAY create a request.
    let mut both = pair(SHA256);
    let request = both.ask(&anything(), CONTEXT);
    let answer = both.client.authenticate(&request, &credential()).unwrap();
    //= specs/exported-authenticators.md#section-7.2
    //= type=test
    //# The interface MUST return the certificate_request_context of a request or an authenticator.
    let context = Authenticator::parse(&answer).unwrap().context().unwrap();
    assert_eq!(context, CONTEXT);
    let proven = both.server.validate(&request, &answer).unwrap();
    assert!(matches!(proven, Validated::Proven(_)));

    //= specs/exported-authenticators.md#section-3
    //= type=test
    //# A client MAY generate a request, have the server answer it with an authenticator, and
    //# validate that.
    //= specs/exported-authenticators.md#section-5
    //= type=test
    //# Either end of an established connection MAY create an authenticator from an identity and its
    //# private key.
    let mut both = pair(SHA256);
    let request = both.client.request(&anything(), CCR, CONTEXT).unwrap();
    let received = both.server.receive_request(request.as_bytes()).unwrap();
    let answer = both.server.authenticate(&received, &credential()).unwrap();
    assert!(both.client.validate(&request, &answer).is_ok());

    //= specs/exported-authenticators.md#section-3
    //= type=test
    //# A server MAY generate an authenticator spontaneously for the client to validate.
    //= specs/exported-authenticators.md#section-5
    //= type=test
    //# A server MAY send an authenticator without a request.
    let mut both = pair(SHA256);
    let sent = both.server.authenticate_spontaneously(CONTEXT, &offered(), &credential()).unwrap();
    assert!(both.client.validate_spontaneous(&sent, &offered()).is_ok());
}

#[test]
fn a_credential_has_to_suit_the_request() {
    let users = authority();
    let leaf = Leaf::client("alice").key(KeyKind::P256);
    let alice = credential_of(&users.issue(&leaf).unwrap());
    let mut pair = pair(SHA256);
    let mut refusal = |template: &exported_authenticator::RequestTemplate, context: u8| {
        let request = pair.ask(template, &[context; 32]);
        pair.client.authenticate(&request, &alice).err()
    };
    let unsuitable = |reason| Some(AuthenticateError::Unsuitable(reason));

    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# The choice of a certificate SHOULD take account of certificate_authorities.
    let elsewhere = DistinguishedName::from(vec![0x30, 0]);
    let ours = alice_issuer(&users);
    let asked = anything().certificate_authorities(vec![elsewhere.clone()]);
    assert_eq!(refusal(&asked, 1), unsuitable(Unsuitable::Authority));
    let asked = anything().certificate_authorities(vec![elsewhere, ours]);
    assert_eq!(refusal(&asked, 2), None);

    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# The choice of a certificate SHOULD take account of oid_filters.
    let server_only = OidFilter::extended_key_usage(&["1.3.6.1.5.5.7.3.1"]).unwrap();
    let asked = anything().oid_filters(vec![server_only]);
    assert_eq!(refusal(&asked, 3), unsuitable(Unsuitable::OidFilter));
    let clients = OidFilter::extended_key_usage(&["1.3.6.1.5.5.7.3.2"]).unwrap();
    assert_eq!(refusal(&anything().oid_filters(vec![clients]), 4), None);

    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# The certificates MUST be valid for the algorithms in the peer's signature_algorithms and
    //# signature_algorithms_cert.
    let asked = anything().certificate_schemes(vec![SignatureScheme::ED25519]);
    assert_eq!(refusal(&asked, 5), unsuitable(Unsuitable::CertificateAlgorithm(1)));
    //= specs/exported-authenticators.md#section-5.2.2
    //= type=test
    //# An authenticator MUST NOT be made when no signature scheme is available.
    let ed25519 = exported_authenticator::RequestTemplate::new(vec![SignatureScheme::ED25519]);
    assert_eq!(refusal(&ed25519, 6), unsuitable(Unsuitable::NoCommonScheme));
}

/// The distinguished name of the root, as a request carries it.
fn alice_issuer(users: &countersign_pki::Authority) -> DistinguishedName {
    let root = users.root_der();
    let anchor = webpki::anchor_from_trusted_cert(&root).unwrap();
    DistinguishedName::in_sequence(anchor.subject.as_ref())
}
