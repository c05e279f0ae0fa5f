//! What certificates are accepted as a credential.

use countersign_testkit::pki::{Authority, ExtendedKeyUsage, Issued, KeyKind, Leaf, Lifetime};
use countersign_testkit::tls::{roots, test_pki};
use rustls::CertificateError;
use rustls::pki_types::CertificateRevocationListDer;

use super::*;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn verify(
    root: &Authority,
    crls: Vec<CertificateRevocationListDer<'static>>,
    issued: &Issued,
) -> Result<(), Error> {
    judge(&*with_lists(root, &crls, CrlPolicy::Require), issued)
}

fn with_lists(
    root: &Authority,
    crls: &[CertificateRevocationListDer<'static>],
    policy: CrlPolicy,
) -> Arc<dyn ClientCertVerifier> {
    verifier(&provider(), roots([&root.root_der()]), lists(crls), policy).unwrap()
}

fn lists(crls: &[CertificateRevocationListDer<'static>]) -> Vec<Arc<RevocationList>> {
    let now = UnixTime::now();
    crls.iter().map(|crl| Arc::new(RevocationList::new("a.crl", crl, now).unwrap())).collect()
}

fn judge(verifier: &dyn ClientCertVerifier, issued: &Issued) -> Result<(), Error> {
    let (leaf, rest) = issued.chain.split_first().unwrap();
    verifier.verify_client_cert(leaf, rest, UnixTime::now()).map(drop)
}

struct Pki {
    root: Authority,
    users: Authority,
    others: Authority,
    alice: Issued,
    bob: Issued,
}

fn pki() -> Pki {
    let root = Authority::root("Root", KeyKind::P256).unwrap();
    let users = root.intermediate("Users", KeyKind::P256).unwrap();
    let others = root.intermediate("Others", KeyKind::P256).unwrap();
    let issue = |name: &str| users.issue(&Leaf::client(name)).unwrap();
    Pki { alice: issue("alice"), bob: issue("bob"), root, users, others }
}

fn refused(outcome: Result<(), Error>) -> CertificateError {
    let error = outcome.unwrap_err();
    let Error::InvalidCertificate(reason) = error else { panic!("{error}") };
    reason
}

#[test]
fn without_lists_nothing_is_checked_about_revocation() {
    let pki = pki();
    assert!(verify(&pki.root, Vec::new(), &pki.alice).is_ok());
}

#[test]
fn with_the_issuers_list_the_leaf_is_checked() {
    let pki = pki();
    let list = pki.users.crl(std::slice::from_ref(&pki.bob.serial)).unwrap();
    assert!(verify(&pki.root, vec![list.clone()], &pki.alice).is_ok());
    assert_eq!(refused(verify(&pki.root, vec![list], &pki.bob)), CertificateError::Revoked);
}

#[test]
fn a_leaf_of_unknown_status_is_refused() {
    let pki = pki();
    let lists = vec![pki.others.crl(&[]).unwrap(), pki.root.crl(&[]).unwrap()];
    let reason = refused(verify(&pki.root, lists, &pki.alice));
    assert_eq!(reason, CertificateError::UnknownRevocationStatus);
}

#[test]
fn a_stale_list_is_as_good_as_none() {
    let pki = pki();
    let stale =
        pki.users.crl_with(&[], Lifetime::Expired.at(time::OffsetDateTime::now_utc())).unwrap();
    let reason = refused(verify(&pki.root, vec![stale], &pki.alice));
    assert!(matches!(reason, CertificateError::ExpiredRevocationListContext { .. }), "{reason:?}");
}

#[test]
fn a_revoked_intermediate_takes_its_leaves_with_it() {
    let pki = pki();
    let serial = serial_of(pki.users.certificate());
    let lists = vec![pki.users.crl(&[]).unwrap(), pki.root.crl(&[serial]).unwrap()];
    assert_eq!(refused(verify(&pki.root, lists, &pki.alice)), CertificateError::Revoked);
}

#[test]
fn if_present_only_lets_pass_what_has_no_list() {
    let pki = pki();
    let stale = Lifetime::Expired.at(time::OffsetDateTime::now_utc());
    let outcome = |list| judge(&*with_lists(&pki.root, &[list], CrlPolicy::IfPresent), &pki.alice);
    assert!(outcome(pki.others.crl(&[]).unwrap()).is_ok());
    assert!(outcome(pki.users.crl(&[]).unwrap()).is_ok());
    let revoked = pki.users.crl(std::slice::from_ref(&pki.alice.serial)).unwrap();
    assert_eq!(refused(outcome(revoked)), CertificateError::Revoked);
    let reason = refused(outcome(pki.users.crl_with(&[], stale).unwrap()));
    assert!(matches!(reason, CertificateError::ExpiredRevocationListContext { .. }), "{reason:?}");
    // Of the issuer's name, but signed by somebody else.
    let impostor = Authority::root("Root", KeyKind::P256).unwrap();
    let forged = impostor.intermediate("Users", KeyKind::P256).unwrap().crl(&[]).unwrap();
    assert_eq!(refused(outcome(forged)), CertificateError::UnknownRevocationStatus);
}

#[test]
fn a_revoked_certificate_stays_revoked_when_the_list_is_stale() {
    let pki = pki();
    let stale = Lifetime::Expired.at(time::OffsetDateTime::now_utc());
    let list = pki.users.crl_with(std::slice::from_ref(&pki.alice.serial), stale).unwrap();
    assert_eq!(refused(verify(&pki.root, vec![list], &pki.alice)), CertificateError::Revoked);
}

#[test]
fn a_serial_number_counts_with_its_issuer_only() {
    let pki = pki();
    let lists = vec![
        pki.users.crl(&[]).unwrap(),
        pki.others.crl(std::slice::from_ref(&pki.alice.serial)).unwrap(),
        pki.root.crl(std::slice::from_ref(&pki.alice.serial)).unwrap(),
    ];
    assert!(verify(&pki.root, lists, &pki.alice).is_ok());
}

#[test]
fn a_list_says_nothing_about_another_key_of_the_same_name() {
    let pki = pki();
    let renewed = pki.root.intermediate("Users", KeyKind::P256).unwrap();
    let carol = renewed.issue(&Leaf::client("carol")).unwrap();
    let (old, new) = (pki.users.crl(&[]).unwrap(), renewed.crl(&[]).unwrap());
    for policy in [CrlPolicy::Require, CrlPolicy::IfPresent] {
        let verifier = with_lists(&pki.root, std::slice::from_ref(&old), policy);
        // Nobody is known yet who has signed it.
        let reason = refused(judge(&*verifier, &carol));
        assert_eq!(reason, CertificateError::UnknownRevocationStatus);
        assert!(judge(&*verifier, &pki.alice).is_ok());
        // Now it is known to be about the other key.
        assert_eq!(judge(&*verifier, &carol).is_ok(), policy == CrlPolicy::IfPresent);
    }
    let both = with_lists(&pki.root, &[old, new], CrlPolicy::Require);
    for issued in [&pki.alice, &carol, &pki.bob] {
        assert!(judge(&*both, issued).is_ok());
    }
    let revoked =
        [renewed.crl(std::slice::from_ref(&carol.serial)).unwrap(), pki.users.crl(&[]).unwrap()];
    let both = with_lists(&pki.root, &revoked, CrlPolicy::Require);
    assert_eq!(refused(judge(&*both, &carol)), CertificateError::Revoked);
    assert!(judge(&*both, &pki.alice).is_ok());
}

#[test]
fn a_list_that_its_trust_anchor_did_not_sign_is_refused_at_once() {
    let impostor = Authority::root("Root", KeyKind::P256).unwrap();
    let pki = pki();
    let forged = lists(&[impostor.crl(&[]).unwrap()]);
    let refused =
        verifier(&provider(), roots([&pki.root.root_der()]), forged, CrlPolicy::IfPresent);
    assert!(matches!(refused, Err(VerifierBuilderError::InvalidCrl(_))), "{refused:?}");
}

#[test]
fn other_faults_of_chains_are_told_as_without_lists() {
    let pki = pki();
    let list = pki.users.crl(&[]).unwrap();
    let expired = pki.users.issue(&Leaf::client("late").lifetime(Lifetime::Expired)).unwrap();
    let reason = refused(verify(&pki.root, vec![list.clone()], &expired));
    assert!(matches!(reason, CertificateError::ExpiredContext { .. }), "{reason:?}");
    let stranger = Authority::root("Stranger", KeyKind::P256).unwrap();
    let mallory = stranger.issue(&Leaf::client("mallory")).unwrap();
    assert_eq!(refused(verify(&pki.root, vec![list], &mallory)), CertificateError::UnknownIssuer);
}

fn serial_of(certificate: &CertificateDer<'_>) -> Vec<u8> {
    parse(certificate).unwrap().raw_serial().to_vec()
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
        verifier: verifier(&provider(), roots([root]), Vec::new(), CrlPolicy::Require).unwrap(),
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
