//! Authenticators over real rustls connections: every kind of key, suite and version.

#![cfg(test)]

mod support;

use std::sync::Arc;

use countersign_pki::{KeyKind, Leaf};
use exported_authenticator::{
    AuthenticatorHash, ExporterValues, ExtendedMasterSecret, InvalidAuthenticator, Role,
    Unavailable, Validated,
};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite as suites;
use rustls::crypto::hash::HashAlgorithm;
use rustls::pki_types::ServerName;
use rustls::{SupportedCipherSuite, version};
use support::{Configs, Ends, authority, client_verifier, credential, now, proven, template};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

fn only(suite: SupportedCipherSuite) -> CryptoProvider {
    CryptoProvider { cipher_suites: vec![suite], ..support::provider() }
}

/// `sender` proves that it is alice, from the request to the accepted chain.
fn authenticate(ends: &mut Ends, sender: Role, context: &[u8]) {
    let (authority, alice) = support::alice();
    let request = ends.ask(sender.peer(), &template(), context);
    let (sending, validating) = ends.of_role(sender);
    let authenticator = sending.authenticate(&request, &alice).unwrap();
    let validated = validating.validate(&request, &authenticator).unwrap();
    let verifier = client_verifier(&authority);
    let verified = proven(validated).verify_client(&*verifier, now()).unwrap();
    assert_eq!(verified.chain(), alice.chain().certificates());
    assert_eq!(verified.proven().context(), context);
}

#[test]
fn every_kind_of_key_authenticates_either_side() {
    let tls = Configs::tls13().connect();
    let mut ends = tls.ends(ExtendedMasterSecret::Unknown);
    for (number, kind) in KeyKind::ALL.into_iter().enumerate() {
        if matches!(kind, KeyKind::Rsa3072 | KeyKind::Rsa4096) {
            continue; // slow to generate, and nothing new beside 2048 bits
        }
        let authority = authority(kind);
        let leaf = Leaf::client("x").dns("x.test").key(kind);
        for sender in ROLES {
            let leaf = match sender {
                Role::Client => leaf.clone(),
                Role::Server => Leaf::server("x").dns("x.test").key(kind),
            };
            let credential = credential(&authority.issue(&leaf).unwrap());
            let context = [number as u8, sender as u8];
            let request = ends.ask(sender.peer(), &template(), &context);
            let (sending, validating) = ends.of_role(sender);
            let authenticator = sending.authenticate(&request, &credential).unwrap();
            let proven = proven(validating.validate(&request, &authenticator).unwrap());
            assert_eq!(proven.scheme(), credential.schemes()[0], "{kind:?}");
            match sender {
                Role::Client => proven.verify_client(&*client_verifier(&authority), now()),
                Role::Server => {
                    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(
                        support::roots(&authority),
                        support::provider().into(),
                    )
                    .build()
                    .unwrap();
                    let name = ServerName::try_from("x.test").unwrap();
                    proven.verify_server(&*verifier, &name, now())
                }
            }
            .unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        }
    }
}

#[test]
fn every_rsa_pss_hash_is_served() {
    use rustls::SignatureScheme as S;
    let mut ends = Ends::seeded(1);
    let authority = authority(KeyKind::P256);
    let leaf = Leaf::client("x").key(KeyKind::Rsa2048);
    let credential = credential(&authority.issue(&leaf).unwrap());
    for scheme in [S::RSA_PSS_SHA256, S::RSA_PSS_SHA384, S::RSA_PSS_SHA512] {
        let template = exported_authenticator::RequestTemplate::new(vec![scheme])
            .certificate_schemes(vec![S::ECDSA_NISTP256_SHA256]);
        let request = ends.ask(Role::Server, &template, &u16::from(scheme).to_be_bytes());
        let authenticator = ends.client.authenticate(&request, &credential).unwrap();
        let validated = ends.server.validate(&request, &authenticator).unwrap();
        assert_eq!(proven(validated).scheme(), scheme);
    }
}

#[test]
fn both_hashes_serve_in_tls13() {
    for (suite, hash) in [
        (suites::TLS13_AES_128_GCM_SHA256, HashAlgorithm::SHA256),
        (suites::TLS13_AES_256_GCM_SHA384, HashAlgorithm::SHA384),
        (suites::TLS13_CHACHA20_POLY1305_SHA256, HashAlgorithm::SHA256),
    ] {
        let tls = Configs::new(only(suite), &version::TLS13, false).connect();
        let mut ends = tls.ends(ExtendedMasterSecret::Unknown);
        assert_eq!(ends.client.values().hash().algorithm(), hash);
        for role in ROLES {
            authenticate(&mut ends, role, &[role as u8]);
        }
    }
}

#[test]
fn both_hashes_serve_in_tls12_with_the_extended_master_secret() {
    for (suite, hash) in [
        (suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, HashAlgorithm::SHA256),
        (suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, HashAlgorithm::SHA384),
    ] {
        let tls = Configs::new(only(suite), &version::TLS12, true).connect();
        let mut ends = tls.ends(ExtendedMasterSecret::Required);
        assert_eq!(ends.client.values().hash().algorithm(), hash);
        for role in ROLES {
            authenticate(&mut ends, role, &[role as u8]);
        }
    }
}

#[test]
fn tls12_is_refused_while_the_extended_master_secret_is_not_certain() {
    let tls = Configs::new(support::provider(), &version::TLS12, false).connect();
    for role in ROLES {
        let refused = tls.values(role, ExtendedMasterSecret::Unknown).unwrap_err();
        assert_eq!(refused, Unavailable::NoExtendedMasterSecret);
    }
}

#[test]
fn nothing_is_exported_before_the_handshake_has_completed() {
    let mut tls = Configs::tls13().start();
    let values = |tls: &support::Tls, role| {
        tls.values(role, ExtendedMasterSecret::Unknown).map(drop).unwrap_err()
    };
    let incomplete = Unavailable::HandshakeNotComplete;
    assert_eq!(values(&tls, Role::Client), incomplete);
    assert_eq!(values(&tls, Role::Server), incomplete);
    tls.send_from_client();
    assert_eq!(values(&tls, Role::Server), incomplete);
    tls.send_from_server();
    // The client is done. The server may already send data, but has not seen the client's Finished.
    assert!(!tls.client.is_handshaking());
    assert_eq!(values(&tls, Role::Server), incomplete);
    tls.send_from_client();
    authenticate(&mut tls.ends(ExtendedMasterSecret::Unknown), Role::Client, b"x");
}

#[test]
fn early_data_is_nothing_to_export_from() {
    let mut configs = Configs::tls13();
    Arc::get_mut(&mut configs.server).unwrap().max_early_data_size = 1024;
    Arc::get_mut(&mut configs.client).unwrap().enable_early_data = true;
    configs.connect();
    let mut tls = configs.start();
    assert!(tls.client.early_data().is_some());
    tls.send_from_client();
    for role in ROLES {
        let refused = tls.values(role, ExtendedMasterSecret::Unknown).unwrap_err();
        assert_eq!(refused, Unavailable::HandshakeNotComplete);
    }
}

#[test]
fn another_connection_and_a_resumed_one_have_other_values() {
    let configs = Configs::tls13();
    let (first, second) = (configs.connect(), configs.connect());
    assert_eq!(second.client.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    let third = Configs::tls13().connect();
    let (_, alice) = support::alice();

    let mut first = first.ends(ExtendedMasterSecret::Unknown);
    let request = first.ask(Role::Server, &template(), b"same");
    let authenticator = first.client.authenticate(&request, &alice).unwrap();
    let declined =
        exported_authenticator::stateless::decline(first.client.values(), Role::Client, &request)
            .unwrap();
    for other in [second, third] {
        let mut other = other.ends(ExtendedMasterSecret::Unknown);
        let same = other.ask(Role::Server, &template(), b"same");
        assert_eq!(same, request);
        assert_eq!(
            other.server.validate(&same, &authenticator),
            Err(InvalidAuthenticator::BadSignature)
        );
        assert_eq!(other.server.validate(&same, &declined), Err(InvalidAuthenticator::BadFinished));
    }
    let validated = first.server.validate(&request, &authenticator).unwrap();
    assert!(matches!(validated, Validated::Proven(_)));
}

#[test]
fn the_four_values_have_their_labels_their_length_and_an_empty_context() {
    let mut asked = Vec::new();
    let provider = support::provider();
    let hash = AuthenticatorHash::of_algorithm(HashAlgorithm::SHA384, &provider).unwrap();
    ExporterValues::from_exporter(hash, |output, label, context| {
        asked.push((String::from_utf8(label.to_vec()).unwrap(), output.len(), context.len()));
        Ok::<(), ()>(())
    })
    .unwrap();
    asked.sort();
    let expected = [
        "EXPORTER-client authenticator finished key",
        "EXPORTER-client authenticator handshake context",
        "EXPORTER-server authenticator finished key",
        "EXPORTER-server authenticator handshake context",
    ]
    .map(|label| (label.to_owned(), 48, 0));
    assert_eq!(asked, expected);
}

#[test]
fn an_exporter_that_fails_is_reported() {
    let provider = support::provider();
    let hash = AuthenticatorHash::of_algorithm(HashAlgorithm::SHA256, &provider).unwrap();
    let failed = ExporterValues::from_exporter(hash, |_, _, _| Err(()));
    assert_eq!(failed.map(drop), Err(Unavailable::Exporter));
}

#[test]
fn a_suite_is_found_by_its_number() {
    let provider = support::provider();
    let hash =
        |suite| AuthenticatorHash::of_suite_number(suite, &provider).map(|hash| hash.algorithm());
    use rustls::CipherSuite as C;
    assert_eq!(hash(C::TLS13_AES_128_GCM_SHA256), Ok(HashAlgorithm::SHA256));
    assert_eq!(hash(C::TLS13_AES_256_GCM_SHA384), Ok(HashAlgorithm::SHA384));
    assert_eq!(hash(C::TLS_RSA_WITH_AES_128_CBC_SHA), Err(Unavailable::NoHash));
}

#[test]
fn the_tls_connection_goes_on_unchanged() {
    use std::io::{Read, Write};
    let mut tls = Configs::tls13().connect();
    authenticate(&mut tls.ends(ExtendedMasterSecret::Unknown), Role::Client, b"x");
    assert!(tls.server.peer_certificates().is_none());
    tls.client.writer().write_all(b"still here").unwrap();
    tls.send_from_client();
    let mut received = [0; 10];
    tls.server.reader().read_exact(&mut received).unwrap();
    assert_eq!(&received, b"still here");
}

#[test]
fn a_provider_without_tls13_suites_has_no_hash() {
    let bare = CryptoProvider {
        cipher_suites: vec![suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256],
        ..support::provider()
    };
    let tls = Configs::new(support::provider(), &version::TLS12, true).connect();
    let values = ExporterValues::from_rustls(&tls.client, &bare, ExtendedMasterSecret::Required);
    assert_eq!(values.map(drop), Err(Unavailable::NoHash));
}
