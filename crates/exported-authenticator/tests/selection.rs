//! Which credential suits which request: algorithms, authorities and OID filters.

#![cfg(test)]

mod support;

use countersign_pki::{Authority, ExtendedKeyUsage, KeyKind, KeyUsage, Leaf};
use exported_authenticator::{
    AuthenticateError, AuthenticatorRequest, Chain, ChainError, Credential, Extension,
    ExtensionType, Malformed, MessageType, Offered, OidFilter, RequestError, RequestTemplate, Role,
    TLS13_SCHEMES, UnsignedAuthenticator, Unsuitable, signing_schemes, tls13_schemes_of,
};
use rustls::pki_types::CertificateDer;
use rustls::{DistinguishedName, SignatureScheme as S};
use support::{Ends, authority, credential, signing_key, template};
use x509_parser::parse_x509_certificate;

fn build(template: &RequestTemplate) -> AuthenticatorRequest {
    template.build(MessageType::ClientCertificateRequest, b"ctx").unwrap()
}

fn subject(certificate: &CertificateDer<'_>) -> DistinguishedName {
    let (_, parsed) = parse_x509_certificate(certificate).unwrap();
    parsed.subject().as_raw().to_vec().into()
}

/// A credential of a leaf with `key`, signed by `authority`.
fn issue(authority: &Authority, key: KeyKind) -> Credential {
    credential(&authority.issue(&Leaf::client("x").key(key)).unwrap())
}

#[test]
fn the_order_of_the_request_decides() {
    let credential = issue(&authority(KeyKind::P256), KeyKind::Rsa2048);
    for order in [[S::RSA_PSS_SHA512, S::RSA_PSS_SHA256], [S::RSA_PSS_SHA256, S::RSA_PSS_SHA512]] {
        let mut schemes = vec![S::from(0xfe00), S::RSA_PKCS1_SHA256, S::ED25519];
        schemes.extend(order);
        let request = build(
            &RequestTemplate::new(schemes).certificate_schemes(vec![S::ECDSA_NISTP256_SHA256]),
        );
        assert_eq!(credential.choose_scheme(&request), Ok(order[0]));
    }
}

#[test]
fn a_key_without_an_offered_scheme_is_unsuitable() {
    let credential = issue(&authority(KeyKind::P256), KeyKind::P384);
    for scheme in [S::ECDSA_NISTP256_SHA256, S::ED25519, S::RSA_PSS_SHA256] {
        let request = build(
            &RequestTemplate::new(vec![scheme]).certificate_schemes(vec![S::ECDSA_NISTP256_SHA256]),
        );
        assert_eq!(credential.choose_scheme(&request), Err(Unsuitable::NoCommonScheme));
    }
    let mut ends = Ends::seeded(1);
    let request = ends.ask(Role::Server, &RequestTemplate::new(vec![S::ED25519]), b"x");
    assert_eq!(
        ends.client.authenticate(&request, &credential),
        Err(AuthenticateError::Unsuitable(Unsuitable::NoCommonScheme))
    );
    ends.client.decline(&request).unwrap();
}

#[test]
fn certificates_are_signed_with_an_offered_algorithm() {
    // The leaf is signed with `by`, the intermediate with P-256.
    let root = Authority::root("Root", KeyKind::P256).unwrap();
    for (by, scheme) in [
        (KeyKind::P384, S::ECDSA_NISTP384_SHA384),
        (KeyKind::P521, S::ECDSA_NISTP521_SHA512),
        (KeyKind::Ed25519, S::ED25519),
        (KeyKind::Rsa2048, S::RSA_PKCS1_SHA256),
        (KeyKind::MlDsa65, S::ML_DSA_65),
    ] {
        let intermediate = root.intermediate("Intermediate", by).unwrap();
        let credential = issue(&intermediate, KeyKind::P256);
        let offered = |schemes: Vec<S>| {
            let template = RequestTemplate::new(vec![S::ECDSA_NISTP256_SHA256]);
            let request = build(&template.certificate_schemes(schemes));
            credential.choose_scheme(&request)
        };
        assert_eq!(offered(vec![S::ECDSA_NISTP256_SHA256, scheme]), Ok(S::ECDSA_NISTP256_SHA256));
        let p256_only = Err(Unsuitable::CertificateAlgorithm(1));
        assert_eq!(offered(vec![S::ECDSA_NISTP256_SHA256]), p256_only);
        assert_eq!(offered(vec![scheme]), Err(Unsuitable::CertificateAlgorithm(2)));
        //= specs/exported-authenticators.md#section-5.2.1
        //= type=test
        //# Without signature_algorithms_cert, signature_algorithms MUST govern the certificates'
        //# signatures too.
        // Without signature_algorithms_cert, signature_algorithms says it all.
        let request = build(&RequestTemplate::new(vec![S::ECDSA_NISTP256_SHA256]));
        assert_eq!(credential.choose_scheme(&request), p256_only);
        let request = build(&RequestTemplate::new(vec![S::ECDSA_NISTP256_SHA256, scheme]));
        assert_eq!(credential.choose_scheme(&request), Ok(S::ECDSA_NISTP256_SHA256));
    }
}

#[test]
fn nobody_asks_how_a_self_signed_certificate_is_signed() {
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# A self-signed certificate MAY be signed with any algorithm.
    let root = Authority::root("Root", KeyKind::Rsa2048).unwrap();
    let intermediate = root.intermediate("Intermediate", KeyKind::P256).unwrap();
    let issued = intermediate.issue(&Leaf::client("x")).unwrap();
    let mut chain = issued.chain.clone();
    chain.push(root.root_der());
    let credential = Credential::new(Chain::new(chain).unwrap(), signing_key(&issued.key)).unwrap();
    let template = RequestTemplate::new(vec![S::ECDSA_NISTP256_SHA256]);
    assert_eq!(
        credential.choose_scheme(&build(&template)),
        Err(Unsuitable::CertificateAlgorithm(2))
    );
    let template =
        template.certificate_schemes(vec![S::ECDSA_NISTP256_SHA256, S::RSA_PKCS1_SHA256]);
    credential.choose_scheme(&build(&template)).unwrap();

    let mut chain = authority(KeyKind::P256).issue(&Leaf::client("x")).unwrap().chain;
    chain.push(Authority::root("Other", KeyKind::Rsa2048).unwrap().root_der());
    let template = RequestTemplate::new(vec![S::ECDSA_NISTP256_SHA256]);
    let chain = Chain::new(chain).unwrap();
    chain.choose_scheme(&build(&template), &[S::ECDSA_NISTP256_SHA256]).unwrap();
}

#[test]
fn a_certificate_signed_with_another_hash_than_its_issuers_curve_has_fits_no_scheme() {
    let authority = authority(KeyKind::P256);
    let issued = authority.issue(&Leaf::client("x")).unwrap();
    // ecdsa-with-SHA256 becomes ecdsa-with-SHA384 in the leaf; nobody verifies it here.
    let mut leaf = issued.chain[0].to_vec();
    let sha256 = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
    let mut changed = 0;
    for at in 0..leaf.len() - sha256.len() {
        if leaf[at..].starts_with(sha256) {
            leaf[at + sha256.len() - 1] = 3;
            changed += 1;
        }
    }
    assert_eq!(changed, 2);
    let suits = |chain: &[CertificateDer<'static>]| {
        let chain = Chain::new(chain.to_vec()).unwrap();
        let credential = Credential::new(chain, signing_key(&issued.key)).unwrap();
        credential.choose_scheme(&build(&template())).map(drop)
    };
    let leaf = CertificateDer::from(leaf);
    assert_eq!(
        suits(&[leaf.clone(), issued.chain[1].clone()]),
        Err(Unsuitable::CertificateAlgorithm(1))
    );
    // With the issuer not at hand, the hash is all there is to go by; also behind a stranger.
    assert_eq!(suits(std::slice::from_ref(&leaf)), Ok(()));
    let stranger = Authority::root("Stranger", KeyKind::P521).unwrap();
    assert_eq!(suits(&[leaf, stranger.root_der()]), Ok(()));
}

#[test]
fn no_other_scheme_than_one_of_tls13_is_chosen() {
    let credential = issue(&authority(KeyKind::P256), KeyKind::Rsa2048);
    let schemes = [S::RSA_PKCS1_SHA256, S::RSA_PSS_SHA256];
    let both = RequestTemplate::new(schemes.to_vec());
    let request = build(&both.certificate_schemes(vec![S::ECDSA_NISTP256_SHA256]));
    assert_eq!(credential.chain().choose_scheme(&request, &schemes), Ok(S::RSA_PSS_SHA256));
    let values = support::Secrets(1).values();
    for scheme in [S::RSA_PKCS1_SHA256, S::RSA_PSS_SHA512] {
        let chain = credential.chain();
        let begun = UnsignedAuthenticator::answer(&values, Role::Client, &request, chain, scheme);
        assert_eq!(begun.map(drop), Err(AuthenticateError::Unsuitable(Unsuitable::NoCommonScheme)));
    }
}

#[test]
fn a_spontaneous_chain_keeps_to_the_client_hello() {
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# Without signature_algorithms_cert, signature_algorithms MUST govern the certificates'
    //# signatures too.
    let root = Authority::root("Root", KeyKind::P256).unwrap();
    let intermediate = root.intermediate("Intermediate", KeyKind::P384).unwrap();
    let credential = issue(&intermediate, KeyKind::P256);
    let mut offered =
        Offered { signature_algorithms: vec![S::ECDSA_NISTP256_SHA256], extensions: Vec::new() };
    let spontaneous = |offered: &Offered| {
        let made = Ends::seeded(1).server.authenticate_spontaneously(b"x", offered, &credential);
        made.map(drop)
    };
    let unsuitable = AuthenticateError::Unsuitable(Unsuitable::CertificateAlgorithm(1));
    assert_eq!(spontaneous(&offered), Err(unsuitable));
    offered.extensions.push(ExtensionType::SIGNATURE_ALGORITHMS_CERT);
    assert_eq!(spontaneous(&offered), Ok(()));
    offered.extensions.clear();
    offered.signature_algorithms.push(S::ECDSA_NISTP384_SHA384);
    assert_eq!(spontaneous(&offered), Ok(()));
}

#[test]
fn one_certificate_is_issued_by_a_named_authority() {
    let authority = authority(KeyKind::P256);
    let other = Authority::root("Other", KeyKind::P256).unwrap();
    let credential = issue(&authority, KeyKind::P256);
    let (root, other) = (authority.root_der(), other.root_der());
    let intermediate = authority.certificate();
    let leaf = &credential.chain().certificates()[0];
    for (names, expected) in [
        (vec![], Ok(S::ECDSA_NISTP256_SHA256)),
        (vec![&root], Ok(S::ECDSA_NISTP256_SHA256)),
        (vec![intermediate], Ok(S::ECDSA_NISTP256_SHA256)),
        (vec![&other, intermediate], Ok(S::ECDSA_NISTP256_SHA256)),
        (vec![&other], Err(Unsuitable::Authority)),
        (vec![leaf], Err(Unsuitable::Authority)),
    ] {
        let names: Vec<_> = names.into_iter().map(subject).collect();
        let request = build(&template().certificate_authorities(names.clone()));
        assert_eq!(request.is_targeted(), !names.is_empty());
        assert!(request.certificate_authorities().eq(names.iter().map(|name| name.as_ref())));
        assert_eq!(credential.choose_scheme(&request), expected);
    }
}

const KEY_USAGE: &[u8] = b"\x06\x03\x55\x1d\x0f";
const EXTENDED_KEY_USAGE: &[u8] = b"\x06\x03\x55\x1d\x25";
const DIGITAL_SIGNATURE: &[u8] = b"\x03\x02\x07\x80";

fn meets(credential: &Credential, filters: &[(&[u8], &[u8])]) -> bool {
    let filters = filters
        .iter()
        .map(|(oid, values)| OidFilter { oid: oid.to_vec(), values: values.to_vec() })
        .collect();
    let request = build(&template().oid_filters(filters));
    match credential.choose_scheme(&request) {
        Ok(_) => true,
        Err(Unsuitable::OidFilter) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn every_asked_for_key_usage_is_there() {
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# The end-entity certificate of a client MUST meet every oid_filters entry whose OID the
    //# client recognises.
    let authority = authority(KeyKind::P256);
    let with = |usages: &[KeyUsage]| {
        let leaf = Leaf::client("x").key_usages(usages.iter().copied());
        credential(&authority.issue(&leaf).unwrap())
    };
    let one = with(&[KeyUsage::DigitalSignature]);
    let both = with(&[KeyUsage::DigitalSignature, KeyUsage::ContentCommitment]);
    let far = with(&[KeyUsage::DigitalSignature, KeyUsage::DecipherOnly]);
    let none = with(&[]);
    let two_bits = b"\x03\x02\x06\xc0";
    let ninth_bit = b"\x03\x03\x07\x00\x80";
    assert!(meets(&one, &[(KEY_USAGE, DIGITAL_SIGNATURE)]));
    assert!(!meets(&one, &[(KEY_USAGE, two_bits)]));
    assert!(!meets(&one, &[(KEY_USAGE, ninth_bit)]));
    assert!(meets(&both, &[(KEY_USAGE, DIGITAL_SIGNATURE)]));
    assert!(meets(&both, &[(KEY_USAGE, two_bits)]));
    assert!(meets(&far, &[(KEY_USAGE, ninth_bit)]));
    assert!(!meets(&none, &[(KEY_USAGE, DIGITAL_SIGNATURE)]));
    // No values: the extension has to be there, with whatever in it.
    assert!(meets(&one, &[(KEY_USAGE, b"")]));
    assert!(!meets(&none, &[(KEY_USAGE, b"")]));
}

#[test]
fn every_asked_for_purpose_is_there() {
    const CLIENT: &str = "1.3.6.1.5.5.7.3.2";
    const SERVER: &str = "1.3.6.1.5.5.7.3.1";
    let authority = authority(KeyKind::P256);
    let with = |usages: &[ExtendedKeyUsage]| {
        let leaf = Leaf::client("x").extended_key_usages(usages.iter().cloned());
        credential(&authority.issue(&leaf).unwrap())
    };
    let client = with(&[ExtendedKeyUsage::ClientAuth]);
    let both = with(&[ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::ClientAuth]);
    let any = with(&[ExtendedKeyUsage::Any]);
    let none = with(&[]);
    let suits = |credential: &Credential, purposes: &[&str]| {
        let filter = OidFilter::extended_key_usage(purposes).unwrap();
        meets(credential, &[(&filter.oid, &filter.values)])
    };
    assert!(suits(&client, &[CLIENT]));
    assert!(!suits(&client, &[CLIENT, SERVER]));
    assert!(suits(&both, &[SERVER]));
    assert!(suits(&both, &[CLIENT, SERVER]));
    assert!(!suits(&any, &[CLIENT]));
    assert!(!suits(&none, &[CLIENT]));
    assert!(!suits(&none, &[]));
    assert_eq!(OidFilter::extended_key_usage(&["no oid"]), None);
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# anyExtendedKeyUsage MUST NOT be asked for in oid_filters.
    assert_eq!(OidFilter::extended_key_usage(&["2.5.29.37.0"]), None);
}

#[test]
fn all_filters_count_and_unknown_ones_are_skipped() {
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# An oid_filters entry whose OID is not recognised MUST be skipped.
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# The end-entity certificate of a client MUST meet every oid_filters entry whose OID the
    //# client recognises.
    let authority = authority(KeyKind::P256);
    let credential = issue(&authority, KeyKind::P256);
    let unknown: (&[u8], &[u8]) = (b"\x06\x03\x2a\x03\x04", b"whatever");
    let wrong_usage: (&[u8], &[u8]) = (KEY_USAGE, b"\x03\x02\x06\xc0");
    let usage: (&[u8], &[u8]) = (KEY_USAGE, DIGITAL_SIGNATURE);
    assert!(meets(&credential, &[unknown]));
    assert!(meets(&credential, &[unknown, usage]));
    assert!(!meets(&credential, &[usage, (EXTENDED_KEY_USAGE, b"x")]));
    assert!(!meets(&credential, &[unknown, wrong_usage]));
    for oid in [&b"x"[..], b"\x06\x00", b"\x06\x04\x55\x1d\x0f", b"\x06\x03\x55\x1d\x0f\x00"] {
        assert!(
            meets(&credential, &[(oid, b"\x03\x02\x06\xc0")]),
            "{oid:?} is no object identifier, so none that is known"
        );
    }
}

#[test]
fn values_that_do_not_decode_are_met_by_nothing() {
    let authority = authority(KeyKind::P256);
    let credential = issue(&authority, KeyKind::P256);
    for values in [
        &b"\x03"[..],
        b"\x03\x02\x07",
        b"\x03\x02\x07\x80\x00",
        b"\x04\x02\x07\x80",
        b"\xff\xff\xff\xff",
    ] {
        assert!(!meets(&credential, &[(KEY_USAGE, values)]), "{values:?}");
    }
    for values in [
        &b"\x30"[..],
        b"\x30\x01\x06",
        b"\x30\x02\x06\x00\x00",
        b"\x31\x00",
        b"\x30\x84\xff\xff\xff\xff",
    ] {
        assert!(!meets(&credential, &[(EXTENDED_KEY_USAGE, values)]), "{values:?}");
    }
}

#[test]
fn a_certificate_that_may_not_sign_is_no_credential() {
    let authority = authority(KeyKind::P256);
    let leaf = Leaf::client("x").key_usages([KeyUsage::KeyEncipherment]);
    let issued = authority.issue(&leaf).unwrap();
    assert_eq!(Chain::new(issued.chain), Err(ChainError::KeyUsage));
}

#[test]
fn chains_that_are_none_are_refused() {
    assert_eq!(Chain::new(Vec::new()), Err(ChainError::Empty));
    let authority = authority(KeyKind::P256);
    let issued = authority.issue(&Leaf::client("x")).unwrap();
    let mut chain = issued.chain.clone();
    chain.insert(1, b"garbage".to_vec().into());
    assert_eq!(Chain::new(chain), Err(ChainError::BadCertificate(2)));
    let longer = [issued.chain[0].as_ref(), b"x"].concat();
    assert_eq!(Chain::new(vec![longer.into()]), Err(ChainError::BadCertificate(1)));
    let other = authority.issue(&Leaf::client("y")).unwrap();
    let chain = Chain::new(issued.chain).unwrap();
    assert_eq!(
        Credential::new(chain, signing_key(&other.key)).map(drop),
        Err(ChainError::KeyMismatch)
    );
}

#[test]
fn the_provider_serves_every_scheme_that_the_project_promises() {
    let served = tls13_schemes_of(&support::provider().signature_verification_algorithms);
    let promised: Vec<S> =
        TLS13_SCHEMES.iter().copied().filter(|scheme| *scheme != S::ED448).collect();
    assert_eq!(served, promised);
    let key = KeyKind::Rsa2048;
    let issued = authority(KeyKind::P256).issue(&Leaf::client("x").key(key)).unwrap();
    assert_eq!(
        signing_schemes(&*signing_key(&issued.key)),
        [S::RSA_PSS_SHA256, S::RSA_PSS_SHA384, S::RSA_PSS_SHA512]
    );
}

#[test]
fn a_request_that_would_be_malformed_is_not_made() {
    let build = |template: RequestTemplate, context: &[u8]| {
        let made = template.build(MessageType::CertificateRequest, context);
        made.map(drop).unwrap_err()
    };
    let extension = |typ, len| Extension { typ: ExtensionType(typ), body: vec![0; len] };
    assert_eq!(
        build(RequestTemplate::new(Vec::new()), b"x"),
        RequestError::Malformed(Malformed::Length("signature_algorithms"))
    );
    assert_eq!(build(template(), &[0; 256]), RequestError::ContextTooLong);
    assert_eq!(
        build(template().extension(extension(5, 0x1_0000)), b"x"),
        RequestError::ExtensionsTooLong
    );
    assert_eq!(
        build(template().extension(extension(5, 0x8000)).extension(extension(18, 0x8000)), b"x"),
        RequestError::ExtensionsTooLong
    );
    assert_eq!(
        build(template().extension(extension(13, 4)), b"x"),
        RequestError::Malformed(Malformed::DuplicateExtension(ExtensionType::SIGNATURE_ALGORITHMS))
    );
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# An OID MUST NOT occur twice in oid_filters.
    let twice = OidFilter::extended_key_usage(&[]).unwrap();
    assert_eq!(
        build(template().oid_filters(vec![twice.clone(), twice]), b"x"),
        RequestError::Malformed(Malformed::DuplicateOid)
    );
}
