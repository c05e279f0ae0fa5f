//! Which chains are accepted.

use countersign_testkit::pki::{Authority, Issued, KeyKind, Leaf, Lifetime, Validity};
use countersign_testkit::tls::roots;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::WebPkiClientVerifier;

use super::*;
use crate::RevocationList;

fn algorithms() -> WebPkiSupportedAlgorithms {
    rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms
}

fn verify(
    root: &Authority,
    crls: Vec<CertificateRevocationListDer<'static>>,
    issued: &Issued,
) -> Result<(), Error> {
    judge(&with_lists(root, &crls, UnknownStatus::Refuse), issued)
}

fn with_lists(
    root: &Authority,
    crls: &[CertificateRevocationListDer<'static>],
    policy: UnknownStatus,
) -> ChainVerifier {
    verifier(root, policy, lists(crls))
}

fn verifier(
    root: &Authority,
    policy: UnknownStatus,
    lists: Vec<Arc<RevocationList>>,
) -> ChainVerifier {
    let lists = lists.into_iter().map(|list| list as Arc<dyn Revocation>);
    let verifier = ChainVerifier::new(roots([&root.root_der()]), algorithms()).unwrap();
    verifier.ask(lists.collect(), policy)
}

fn lists(crls: &[CertificateRevocationListDer<'static>]) -> Vec<Arc<RevocationList>> {
    let load = |crl| RevocationList::new("a.crl", crl, algorithms(), UnixTime::now()).unwrap();
    crls.iter().map(|crl| Arc::new(load(crl))).collect()
}

fn judge(verifier: &ChainVerifier, issued: &Issued) -> Result<(), Error> {
    let (leaf, rest) = issued.chain.split_first().unwrap();
    verifier.verify(leaf, rest, UnixTime::now()).map(drop)
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
    let outcome = |list| judge(&with_lists(&pki.root, &[list], UnknownStatus::Pass), &pki.alice);
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
    for policy in [UnknownStatus::Refuse, UnknownStatus::Pass] {
        let verifier = with_lists(&pki.root, std::slice::from_ref(&old), policy);
        // Nobody is known yet who has signed it.
        let reason = refused(judge(&verifier, &carol));
        assert_eq!(reason, CertificateError::UnknownRevocationStatus);
        assert!(judge(&verifier, &pki.alice).is_ok());
        // Now it is known to be about the other key.
        assert_eq!(judge(&verifier, &carol).is_ok(), policy == UnknownStatus::Pass);
    }
    let both = with_lists(&pki.root, &[old, new], UnknownStatus::Refuse);
    for issued in [&pki.alice, &carol, &pki.bob] {
        assert!(judge(&both, issued).is_ok());
    }
    let revoked =
        [renewed.crl(std::slice::from_ref(&carol.serial)).unwrap(), pki.users.crl(&[]).unwrap()];
    let both = with_lists(&pki.root, &revoked, UnknownStatus::Refuse);
    assert_eq!(refused(judge(&both, &carol)), CertificateError::Revoked);
    assert!(judge(&both, &pki.alice).is_ok());
}

#[test]
fn a_list_that_its_trust_anchor_did_not_sign_is_refused_at_once() {
    let impostor = Authority::root("Root", KeyKind::P256).unwrap();
    let pki = pki();
    let forged = lists(&[impostor.crl(&[]).unwrap()]);
    let genuine = lists(&[pki.root.crl(&[]).unwrap()]);
    let anchors = roots([&pki.root.root_der()]);
    let checked = |lists: &[Arc<RevocationList>]| lists[0].check_signature(&anchors.roots);
    assert_eq!(checked(&forged), Err(TrustError::ForgedList("a.crl".into())));
    assert_eq!(checked(&genuine), Ok(()));
    assert_eq!(checked(&lists(&[pki.users.crl(&[]).unwrap()])), Ok(()));
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
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).unwrap();
    certificate.raw_serial().to_vec()
}

#[test]
fn somebody_must_be_trusted() {
    let nobody = ChainVerifier::new(Arc::new(RootCertStore::empty()), algorithms());
    assert_eq!(nobody.err(), Some(TrustError::NoTrustAnchors));
}

#[test]
fn faults_are_told_in_the_words_of_rustls() {
    let pki = pki();
    let anchors = roots([&pki.root.root_der()]);
    let theirs = WebPkiClientVerifier::builder_with_provider(
        Arc::clone(&anchors),
        Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
    )
    .build()
    .unwrap();
    let ours = ChainVerifier::new(anchors, algorithms()).unwrap();
    let leaf = |leaf: Leaf| pki.users.issue(&leaf).unwrap().chain;
    let mut forged = pki.alice.chain.clone();
    let mut octets = forged[0].to_vec();
    *octets.last_mut().unwrap() ^= 1;
    forged[0] = octets.into();
    let mut trailing = pki.alice.chain.clone();
    trailing[0] = [trailing[0].as_ref(), &[0]].concat().into();
    let chains = [
        pki.alice.chain.clone(),
        leaf(Leaf::client("late").lifetime(Lifetime::Expired)),
        leaf(Leaf::client("early").lifetime(Lifetime::NotYetValid)),
        leaf(Leaf::server("example.test")),
        pki.alice.chain[..1].to_vec(),
        vec![CertificateDer::from(vec![0x30, 1, 2])],
        vec![pki.root.root_der()],
        forged,
        trailing,
    ];
    for (number, chain) in chains.iter().enumerate() {
        let now = UnixTime::now();
        let (leaf, rest) = chain.split_first().unwrap();
        let told = |outcome: Result<(), Error>| outcome.map_err(|error| kind(&error));
        assert_eq!(
            told(ours.verify(leaf, rest, now).map(drop)),
            told(theirs.verify_client_cert(leaf, rest, now).map(drop)),
            "{number}"
        );
    }
}

/// Without what it is about, which may be told more or less of.
fn kind(error: &Error) -> String {
    error.to_string().split([':', '(']).next().unwrap().to_owned()
}

#[test]
fn an_acceptance_holds_as_long_as_all_that_it_relies_upon() {
    let now = time::OffsetDateTime::now_utc();
    let at = |days: i64| Validity {
        not_before: now.saturating_sub(time::Duration::days(1)),
        not_after: now.saturating_add(time::Duration::days(days)),
    };
    let pki = pki();
    let alice = pki.users.issue(&Leaf::client("alice").lifetime(Lifetime::Exactly(at(7)))).unwrap();
    let list = |days| pki.users.crl_with(&[], at(days)).unwrap();
    let holds = |lists: &[CertificateRevocationListDer<'static>]| {
        let (leaf, rest) = alice.chain.split_first().unwrap();
        let verifier = with_lists(&pki.root, lists, UnknownStatus::Pass);
        verifier.verify(leaf, rest, UnixTime::now()).unwrap()
    };
    let seconds = |days| u64::try_from(at(days).not_after.unix_timestamp()).unwrap();
    assert_eq!(holds(&[]).until.as_secs(), seconds(7));
    assert_eq!(holds(&[list(3)]).until.as_secs(), seconds(3));
    assert_eq!(holds(&[list(9)]).until.as_secs(), seconds(7));
    // Either tells that it is good.
    assert_eq!(holds(&[list(3), list(5)]).until.as_secs(), seconds(5));
    // Its issuers have lists as well.
    let of_root = pki.root.crl_with(&[], at(2)).unwrap();
    assert_eq!(holds(&[list(3), of_root]).until.as_secs(), seconds(2));
    let from = u64::try_from(at(7).not_before.unix_timestamp()).unwrap();
    assert!(holds(&[]).from.as_secs() >= from);
}
