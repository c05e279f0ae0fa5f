//! How what is remembered could be wrong, and is not.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use countersign_testkit::pki::{Authority, Issued, KeyKind, Leaf, Lifetime, Validity};
use countersign_testkit::tls::roots;
use rustls::CertificateError;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use super::*;
use crate::{ChainVerifier, Issuer, Revocation, RevocationList, Status, Subject, UnknownStatus};

fn algorithms() -> WebPkiSupportedAlgorithms {
    rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms
}

struct Pki {
    root: Authority,
    alice: Issued,
    chains: Arc<VerifiedChains>,
}

/// Valid from an hour ago until an hour from now.
fn pki() -> Pki {
    let root = Authority::root("Root", KeyKind::P256).unwrap();
    let now = OffsetDateTime::now_utc();
    let validity = Validity {
        not_before: now.saturating_sub(time::Duration::hours(1)),
        not_after: now.saturating_add(time::Duration::hours(1)),
    };
    let leaf = Leaf::client("alice").lifetime(Lifetime::Exactly(validity));
    let alice = root.intermediate("Users", KeyKind::P256).unwrap().issue(&leaf).unwrap();
    Pki { alice, root, chains: Arc::new(VerifiedChains::new(100)) }
}

impl Pki {
    fn verifier(&self) -> ChainVerifier {
        let roots = roots([&self.root.root_der()]);
        ChainVerifier::new(roots, algorithms()).unwrap().remember_in(&self.chains)
    }

    fn hits_and_misses(&self) -> (u64, u64) {
        let stats = self.chains.stats();
        (stats.hits, stats.misses)
    }
}

fn at(verifier: &ChainVerifier, chain: &[CertificateDer<'static>], now: u64) -> Result<(), Error> {
    let (leaf, rest) = chain.split_first().unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    verifier.verify(leaf, rest, now).map(drop)
}

fn now() -> u64 {
    UnixTime::now().as_secs()
}

fn refused(outcome: Result<(), Error>) -> CertificateError {
    let error = outcome.unwrap_err();
    let Error::InvalidCertificate(reason) = error else { panic!("{error}") };
    reason
}

#[test]
fn who_comes_again_is_known() {
    let pki = pki();
    let verifier = pki.verifier();
    for _ in 0..3 {
        at(&verifier, &pki.alice.chain, now()).unwrap();
    }
    assert_eq!(pki.hits_and_misses(), (2, 1));
}

#[test]
fn what_is_remembered_ends_with_the_certificate_and_does_not_begin_before_it() {
    let pki = pki();
    let verifier = pki.verifier();
    let begin = now();
    at(&verifier, &pki.alice.chain, begin).unwrap();
    for (later, refused_as) in [(3_590, false), (3_601, true), (7_200, true)] {
        let outcome = at(&verifier, &pki.alice.chain, begin + later);
        assert_eq!(outcome.is_err(), refused_as, "{later}");
        if let Err(error) = outcome {
            let expired = CertificateError::ExpiredContext {
                time: UnixTime::now(),
                not_after: UnixTime::now(),
            };
            assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&expired.into()));
        }
    }
    let early = refused(at(&verifier, &pki.alice.chain, begin - 4_000));
    assert!(matches!(early, CertificateError::NotValidYetContext { .. }), "{early:?}");
    at(&verifier, &pki.alice.chain, begin).unwrap();
}

#[test]
fn what_is_remembered_ends_with_the_revocation_list() {
    let root = Authority::root("Root", KeyKind::P256).unwrap();
    let alice = root.issue(&Leaf::client("alice")).unwrap();
    let created = OffsetDateTime::now_utc();
    let validity = Validity {
        not_before: created.saturating_sub(time::Duration::hours(1)),
        not_after: created.saturating_add(time::Duration::minutes(10)),
    };
    let der = root.crl_with(&[], validity).unwrap();
    let list = RevocationList::new("a.crl", &der, algorithms(), UnixTime::now()).unwrap();
    let chains = Arc::new(VerifiedChains::new(100));
    let verifier = ChainVerifier::new(roots([&root.root_der()]), algorithms())
        .unwrap()
        .ask(vec![Arc::new(list)], UnknownStatus::Refuse)
        .remember_in(&chains);
    let begin = now();
    at(&verifier, &alice.chain, begin).unwrap();
    at(&verifier, &alice.chain, begin + 590).unwrap();
    assert_eq!(chains.stats().hits, 1);
    let stale = refused(at(&verifier, &alice.chain, begin + 601));
    assert!(matches!(stale, CertificateError::ExpiredRevocationListContext { .. }), "{stale:?}");
}

#[test]
fn another_verifier_finds_nothing_of_this_one() {
    let pki = pki();
    at(&pki.verifier(), &pki.alice.chain, now()).unwrap();
    // The same trust, a reload later.
    at(&pki.verifier(), &pki.alice.chain, now()).unwrap();
    assert_eq!(pki.hits_and_misses(), (0, 2));
    // Other trust, by the same name.
    let impostor = Authority::root("Root", KeyKind::P256).unwrap();
    let other = ChainVerifier::new(roots([&impostor.root_der()]), algorithms()).unwrap();
    let other = other.remember_in(&pki.chains);
    assert!(at(&other, &pki.alice.chain, now()).is_err());
}

#[test]
fn the_octets_count_and_where_certificates_begin() {
    let pki = pki();
    let verifier = pki.verifier();
    at(&verifier, &pki.alice.chain, now()).unwrap();
    let changed = |change: &dyn Fn(&mut Vec<CertificateDer<'static>>)| {
        let mut chain = pki.alice.chain.clone();
        change(&mut chain);
        at(&verifier, &chain, now())
    };
    // The same key, names and serial number, but nobody's signature.
    let forged = changed(&|chain| {
        let mut octets = chain[0].to_vec();
        *octets.last_mut().unwrap() ^= 1;
        chain[0] = octets.into();
    });
    assert!(forged.is_err());
    let joined = changed(&|chain| {
        let rest = chain.remove(1);
        chain[0] = [chain[0].as_ref(), rest.as_ref()].concat().into();
    });
    assert!(joined.is_err());
    assert!(changed(&|chain| drop(chain.remove(1))).is_err());
    assert!(changed(&|chain| chain.swap(0, 1)).is_err());
    // One more changes nothing, but it is another chain.
    changed(&|chain| chain.push(pki.root.root_der())).unwrap();
    assert_eq!(pki.hits_and_misses().0, 0);
}

/// Somebody whose word changes.
#[derive(Debug, Default)]
struct Feed {
    generation: AtomicU64,
    revoked: Mutex<bool>,
    unknown: Mutex<bool>,
    asked: AtomicUsize,
}

impl Revocation for Feed {
    fn status(&self, _: &Subject<'_>, _: &Issuer<'_>, now: UnixTime) -> Status {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if *self.revoked.lock().unwrap() {
            return Status::Revoked;
        }
        if *self.unknown.lock().unwrap() {
            return Status::Unknown;
        }
        Status::Good(UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() + 60)))
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }
}

#[test]
fn a_feed_that_learns_something_is_asked_again() {
    let pki = pki();
    let feed = Arc::new(Feed::default());
    let verifier = pki.verifier().ask(vec![Arc::clone(&feed) as _], UnknownStatus::Refuse);
    at(&verifier, &pki.alice.chain, now()).unwrap();
    at(&verifier, &pki.alice.chain, now()).unwrap();
    assert_eq!(pki.hits_and_misses(), (1, 1));
    *feed.revoked.lock().unwrap() = true;
    feed.generation.store(1, Ordering::Relaxed);
    assert_eq!(refused(at(&verifier, &pki.alice.chain, now())), CertificateError::Revoked);
}

#[test]
fn a_refusal_is_not_remembered() {
    let pki = pki();
    let feed = Arc::new(Feed::default());
    let verifier = pki.verifier().ask(vec![Arc::clone(&feed) as _], UnknownStatus::Refuse);
    *feed.unknown.lock().unwrap() = true;
    let unknown = refused(at(&verifier, &pki.alice.chain, now()));
    assert_eq!(unknown, CertificateError::UnknownRevocationStatus);
    *feed.unknown.lock().unwrap() = false;
    at(&verifier, &pki.alice.chain, now()).unwrap();
    assert_eq!(pki.hits_and_misses(), (0, 2));
}

#[test]
fn of_several_with_the_same_chain_one_is_verified() {
    const NUMBER: usize = 8;
    for unknown in [false, true] {
        let pki = pki();
        let feed = Arc::new(Feed::default());
        *feed.unknown.lock().unwrap() = unknown;
        let verifier = pki.verifier().ask(vec![Arc::clone(&feed) as _], UnknownStatus::Refuse);
        let (barrier, now) = (Barrier::new(NUMBER), now());
        let accepted: Vec<bool> = std::thread::scope(|scope| {
            let verify = || {
                barrier.wait();
                at(&verifier, &pki.alice.chain, now).is_ok()
            };
            let all: Vec<_> = (0..NUMBER).map(|_| scope.spawn(verify)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(accepted, [!unknown; NUMBER]);
        let stats = pki.chains.stats();
        assert_eq!(stats.hits + stats.shared + stats.misses, NUMBER as u64);
        if !unknown {
            // The leaf and its issuer.
            assert_eq!(feed.asked.load(Ordering::Relaxed), 2);
            assert_eq!(stats.misses, 1);
        }
    }
}

#[test]
fn there_are_never_more_than_agreed() {
    let pki = pki();
    let chains = Arc::new(VerifiedChains::new(10));
    let verifier = pki.verifier().remember_in(&chains);
    for extra in 0_usize..50 {
        let mut chain = pki.alice.chain.clone();
        chain.extend(std::iter::repeat_n(pki.root.root_der(), extra % 25));
        chain.push(CertificateDer::from(vec![u8::try_from(extra).unwrap()]));
        let _refused_or_not = at(&verifier, &chain, now());
    }
    assert!((1..=10).contains(&chains.len()), "{}", chains.len());
    let none = Arc::new(VerifiedChains::new(0));
    let verifier = pki.verifier().remember_in(&none);
    at(&verifier, &pki.alice.chain, now()).unwrap();
    at(&verifier, &pki.alice.chain, now()).unwrap();
    assert!(none.is_empty());
    assert_eq!(none.stats().hits, 0);
}
