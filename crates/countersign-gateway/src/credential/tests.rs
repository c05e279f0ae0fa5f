//! What certificates are accepted as a credential.

use countersign_testkit::pki::{Authority, ExtendedKeyUsage, KeyKind, Leaf};
use countersign_testkit::tls::{roots, test_pki};

use super::*;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[test]
fn constraints_on_names_and_purposes() {
    let users = Authority::root("Users", KeyKind::P256).unwrap();
    let issued =
        users
            .issue(&Leaf::client("alice").email("alice@example.test").extended_key_usages([
                ExtendedKeyUsage::ClientAuth,
                ExtendedKeyUsage::EmailProtection,
            ]))
            .unwrap();
    let check = |names: &[&str], purposes: &[&str]| {
        Constraint {
            subject_alt_names: names.iter().map(|name| Pattern::parse(name).unwrap()).collect(),
            extended_key_usages: purposes.iter().map(|oid| (*oid).to_owned()).collect(),
        }
        .check(&issued.chain)
    };
    const CLIENT: &str = "1.3.6.1.5.5.7.3.2";
    const EMAIL: &str = "1.3.6.1.5.5.7.3.4";
    const SERVER: &str = "1.3.6.1.5.5.7.3.1";
    assert_eq!(check(&[], &[]), Ok(()));
    assert_eq!(check(&["bob@example.test", "*@example.test"], &[CLIENT, EMAIL]), Ok(()));
    assert_eq!(check(&["*@example.org"], &[]), Err(Rejection::WrongName));
    assert_eq!(check(&["*@example.test"], &[CLIENT, SERVER]), Err(Rejection::WrongPurpose));
    let constraint =
        Constraint { extended_key_usages: vec![CLIENT.into()], ..Constraint::default() };
    assert_eq!(constraint.check(&[]), Err(Rejection::Untrusted));
    let garbage = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
    assert_eq!(constraint.check(&[garbage]), Err(Rejection::Untrusted));
}

#[test]
fn the_handshake_hints_at_the_issuers_of_accepting_credentials_once() {
    let credential = |name: &str, root, accept_handshake| Credential {
        name: name.into(),
        verifier: Arc::new(
            ChainVerifier::new(roots([root]), provider().signature_verification_algorithms)
                .unwrap(),
        ),
        constraint: Constraint::default(),
        ask_on_connect: false,
        accept_handshake,
        revocation_lists: Vec::new(),
    };
    let pki = test_pki();
    let credentials = [
        credential("a", &pki.user_ca, true),
        credential("b", &pki.user_ca, true),
        credential("c", &pki.device_ca, false),
    ];
    let verifier = PossessionOnly::for_credentials(&credentials, &provider()).unwrap();
    assert_eq!(verifier.root_hint_subjects().len(), 1);
    assert!(verifier.offer_client_auth() && !verifier.client_auth_mandatory());
    assert!(PossessionOnly::for_credentials(&credentials[2..], &provider()).is_none());
}
