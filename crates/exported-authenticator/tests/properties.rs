//! What holds for arbitrary input: decoding never panics, and what is built is what is read.

#![cfg(test)]

mod support;

use std::sync::LazyLock;

use exported_authenticator::{
    Authenticator, AuthenticatorRequest, Credential, Extension, ExtensionType, MessageType,
    OidFilter, RequestTemplate, Role, stateless,
};
use proptest::collection::{hash_set, vec};
use proptest::prelude::*;
use rustls::{DistinguishedName, SignatureScheme};
use support::{Secrets, template};

static ALICE: LazyLock<Credential> = LazyLock::new(|| support::alice().1);

static REQUEST: LazyLock<AuthenticatorRequest> = LazyLock::new(|| {
    let filter = OidFilter::extended_key_usage(&["1.3.6.1.5.5.7.3.2"]).unwrap();
    template()
        .certificate_authorities(vec![b"\x30\x00".to_vec().into()])
        .oid_filters(vec![filter])
        .build(MessageType::CertificateRequest, b"context")
        .unwrap()
});

static AUTHENTICATOR: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let request = template().build(MessageType::CertificateRequest, b"context").unwrap();
    stateless::authenticate(&Secrets(1).values(), Role::Client, &request, &ALICE).unwrap()
});

/// Every way into the decoders.
fn decode(bytes: &[u8]) {
    if let Ok(request) = AuthenticatorRequest::parse(bytes) {
        assert_eq!(request.as_bytes(), bytes);
        let _ = (request.server_name(), ALICE.choose_scheme(&request));
    }
    if let Ok(authenticator) = Authenticator::parse(bytes) {
        let algorithms = support::provider().signature_verification_algorithms;
        let validated = stateless::validate(
            &Secrets(1).values(),
            Role::Server,
            &REQUEST,
            &authenticator,
            &algorithms,
        );
        assert!(validated.is_err());
    }
}

/// `bytes` with some of them replaced, cut out and inserted.
fn mutated(bytes: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8);
    vec(edit, 1..6).prop_map(move |edits| {
        let mut bytes = bytes.to_vec();
        for (at, value, how) in edits {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = value,
                1 => bytes.insert(at, value),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

fn schemes() -> impl Strategy<Value = Vec<SignatureScheme>> {
    vec(any::<u16>().prop_map(SignatureScheme::from), 1..20)
}

fn message_type() -> impl Strategy<Value = MessageType> {
    prop_oneof![Just(MessageType::CertificateRequest), Just(MessageType::ClientCertificateRequest)]
}

fn filters() -> impl Strategy<Value = Vec<OidFilter>> {
    let oids = hash_set(vec(any::<u8>(), 1..=255), 0..4);
    (oids, vec(vec(any::<u8>(), 0..40), 4)).prop_map(|(oids, values)| {
        oids.into_iter().zip(values).map(|(oid, values)| OidFilter { oid, values }).collect()
    })
}

/// Extensions of types that the template does not write itself.
fn others() -> impl Strategy<Value = Vec<Extension>> {
    let types = hash_set(100..u16::MAX, 0..4);
    (types, vec(vec(any::<u8>(), 0..40), 4)).prop_map(|(types, bodies)| {
        types
            .into_iter()
            .zip(bodies)
            .map(|(typ, body)| Extension { typ: ExtensionType(typ), body })
            .collect()
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..300)) {
        decode(&bytes);
    }

    #[test]
    fn arbitrary_messages_do_no_harm(
        typ in prop_oneof![Just(11_u8), Just(13), Just(15), Just(17), Just(20)],
        body in vec(any::<u8>(), 0..300),
    ) {
        decode(&support::handshake(typ, &body));
    }

    #[test]
    fn mutated_requests_do_no_harm(bytes in mutated(REQUEST.as_bytes())) {
        decode(&bytes);
    }

    #[test]
    fn mutated_authenticators_do_no_harm(bytes in mutated(&AUTHENTICATOR)) {
        decode(&bytes);
    }

    #[test]
    fn what_is_built_is_what_is_read(
        typ in message_type(),
        context in vec(any::<u8>(), 0..=255),
        schemes in schemes(),
        certificate_schemes in proptest::option::of(schemes()),
        names in vec(vec(any::<u8>(), 1..60), 0..4),
        filters in filters(),
        others in others(),
    ) {
        let mut template = RequestTemplate::new(schemes.clone())
            .certificate_authorities(names.iter().cloned().map(DistinguishedName::from).collect())
            .oid_filters(filters.clone());
        if let Some(schemes) = &certificate_schemes {
            template = template.certificate_schemes(schemes.clone());
        }
        for other in &others {
            template = template.extension(other.clone());
        }
        let request = template.build(typ, &context).unwrap();
        prop_assert_eq!(request.message_type(), typ);
        prop_assert_eq!(request.context(), context);
        prop_assert_eq!(request.signature_algorithms(), &schemes);
        prop_assert_eq!(
            request.signature_algorithms_cert(),
            certificate_schemes.as_ref().unwrap_or(&schemes)
        );
        prop_assert!(request.certificate_authorities().eq(names.iter().map(Vec::as_slice)));
        prop_assert_eq!(request.oid_filters(), filters);
        prop_assert!(request.extensions().ends_with(&others));
        prop_assert_eq!(AuthenticatorRequest::parse(request.as_bytes()), Ok(request));
    }
}
