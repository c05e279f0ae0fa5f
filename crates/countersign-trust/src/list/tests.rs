//! What lists are taken, and what is found in them.

use std::collections::BTreeSet;

use countersign_testkit::pki::{Authority, KeyKind};
use proptest::prelude::*;

use super::*;
use crate::der::significant;

fn algorithms() -> WebPkiSupportedAlgorithms {
    rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    let length = content.len();
    match length {
        0..128 => der.push(u8::try_from(length).unwrap()),
        _ => {
            der.push(0x84);
            der.extend(u32::try_from(length).unwrap().to_be_bytes());
        }
    }
    der.extend_from_slice(content);
    der
}

fn joined(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn extension(last: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { vec![1, 1, 0xff] } else { Vec::new() };
    joined(&[vec![6, 3, 0x55, 0x1d, last], critical, tlv(4, value)])
}

fn entry(serial: &[u8], extensions: &[Vec<u8>]) -> Vec<u8> {
    let extensions = if extensions.is_empty() { Vec::new() } else { joined(extensions) };
    joined(&[tlv(2, serial), tlv(0x17, b"200101000000Z"), extensions])
}

/// A list that nobody has signed.
struct Draft {
    this_update: &'static [u8],
    next_update: Option<&'static [u8]>,
    entries: Vec<Vec<u8>>,
    extensions: Vec<Vec<u8>>,
    number: u8,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            this_update: b"20200101000000Z",
            next_update: Some(b"20990101000000Z"),
            entries: Vec::new(),
            extensions: Vec::new(),
            number: 7,
        }
    }
}

impl Draft {
    fn der(&self) -> CertificateRevocationListDer<'static> {
        let algorithm = joined(&[vec![6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
        let entries = if self.entries.is_empty() { Vec::new() } else { joined(&self.entries) };
        let number = extension(20, false, &[2, 1, self.number]);
        let extensions: Vec<_> = std::iter::once(number).chain(self.extensions.clone()).collect();
        let message = joined(&[
            vec![2, 1, 1],
            algorithm.clone(),
            joined(&[tlv(0x31, &joined(&[vec![6, 3, 0x55, 4, 3], tlv(12, b"Issuer")]))]),
            tlv(0x18, self.this_update),
            self.next_update.map(|time| tlv(0x18, time)).unwrap_or_default(),
            entries,
            tlv(0xa0, &joined(&extensions)),
        ]);
        joined(&[message, algorithm, tlv(3, &[0, 1, 2, 3])]).into()
    }

    fn load(&self) -> Result<RevocationList, UnusableList> {
        RevocationList::new("a.crl", &self.der(), algorithms(), UnixTime::now())
    }
}

#[test]
fn lists_that_do_not_say_all_are_refused() {
    let with = |extension| Draft { extensions: vec![extension], ..Draft::default() }.load().err();
    let point = |field: &[u8]| extension(28, true, &tlv(0x30, field));
    assert_eq!(Draft::default().load().err(), None);
    assert_eq!(with(extension(27, true, &[2, 1, 6])), Some(UnusableList::Delta));
    assert_eq!(with(point(&[0x84, 1, 0xff])), Some(UnusableList::Indirect));
    assert_eq!(with(point(&[0x83, 2, 1, 0xfe])), Some(UnusableList::SomeReasons));
    assert_eq!(with(point(&[0x85, 1, 0xff])), Some(UnusableList::AttributeCertificates));
    assert_eq!(with(extension(99, true, &[5, 0])), Some(UnusableList::CriticalExtension));
    assert_eq!(with(extension(99, false, &[5, 0])), None);
    let scope = |field: &[u8]| {
        Draft { extensions: vec![point(field)], ..Draft::default() }.load().map(|list| list.scope)
    };
    assert_eq!(scope(&[0x81, 1, 0xff]), Ok(Scope::EndEntities));
    assert_eq!(scope(&[0x82, 1, 0xff]), Ok(Scope::Authorities));
}

#[test]
fn entries_that_do_not_say_all_are_refused() {
    let with = |one| {
        let entries = vec![entry(&[1], &[]), entry(&[2], &[one])];
        Draft { entries, ..Draft::default() }.load().err()
    };
    assert_eq!(with(extension(21, false, &[10, 1, 1])), None);
    assert_eq!(with(extension(29, true, &[0x30, 0])), Some(UnusableList::Indirect));
    assert_eq!(with(extension(99, true, &[5, 0])), Some(UnusableList::CriticalExtension));
}

#[test]
fn an_entry_that_is_cut_is_refused() {
    let whole = entry(&[1], &[extension(21, false, &[10, 1, 1])]);
    let cut = whole.split_last().unwrap().1.to_vec();
    let with = |one: Vec<u8>| Draft { entries: vec![one], ..Draft::default() }.load().err();
    assert_eq!(with(whole), None);
    assert_eq!(with(cut), Some(UnusableList::Encoding));
    assert_eq!(with(tlv(0x30, &[])), Some(UnusableList::Encoding));
    assert_eq!(with(tlv(2, &[1])), Some(UnusableList::Encoding));
}

#[test]
fn times_are_checked() {
    let late = Draft { this_update: b"20980101000000Z", ..Draft::default() };
    assert_eq!(late.load().err(), Some(UnusableList::Future));
    let endless = Draft { next_update: None, ..Draft::default() };
    assert_eq!(endless.load().err(), Some(UnusableList::NoNextUpdate));
    let stale = Draft { next_update: Some(b"20200201000000Z"), ..Draft::default() };
    assert!(stale.load().unwrap().is_stale(UnixTime::now()));
}

#[test]
fn a_cut_list_is_refused_wherever_it_is_cut() {
    let whole = Draft { entries: vec![entry(&[1], &[])], ..Draft::default() }.der();
    for end in 0..whole.len() {
        let cut = CertificateRevocationListDer::from(&whole[..end]);
        assert!(
            RevocationList::new("a.crl", &cut, algorithms(), UnixTime::now()).is_err(),
            "{end}"
        );
    }
}

#[test]
fn numbers_do_not_go_backwards() {
    let list = |number, this_update, extensions| {
        Draft { number, this_update, extensions, ..Draft::default() }.load().unwrap()
    };
    let (early, late): (&[u8], &[u8]) = (b"20200101000000Z", b"20210101000000Z");
    let current = list(7, late, Vec::new());
    assert!(current.is_ahead_of(&list(6, late, Vec::new())));
    assert!(current.is_ahead_of(&list(7, early, Vec::new())));
    assert!(!current.is_ahead_of(&list(7, late, Vec::new())));
    assert!(!current.is_ahead_of(&list(8, early, Vec::new())));
    assert!(current.is_in_line_with(&list(1, early, Vec::new())));
    let key = extension(35, false, &[0x30, 3, 0x80, 1, 9]);
    assert!(!current.is_in_line_with(&list(6, early, vec![key])));
}

#[test]
fn the_list_is_let_go_of_once_its_issuer_is_known() {
    let root = Authority::root("Root", KeyKind::P256).unwrap();
    let other = Authority::root("Root", KeyKind::P256).unwrap();
    let list = RevocationList::new("a.crl", &root.crl(&[]).unwrap(), algorithms(), UnixTime::now())
        .unwrap();
    let signed_by = |authority: &Authority| {
        let certificate = authority.root_der();
        let (_, certificate) = x509_parser::parse_x509_certificate(&certificate).unwrap();
        let name = inside(certificate.subject().as_raw()).unwrap();
        let key = inside(certificate.public_key().raw).unwrap();
        list.is_signed_by(&Issuer { name, key, certificate: None })
    };
    for _ in 0..2 * MAX_REFUTED {
        assert_eq!(signed_by(&other), None);
    }
    assert!(matches!(&*list.signer(), Signer::Sought { refuted, .. } if refuted.len() == 1));
    assert_eq!(signed_by(&root), Some(true));
    assert!(matches!(&*list.signer(), Signer::Known(_)));
    assert_eq!(signed_by(&other), Some(false));
}

#[test]
fn an_issuers_certificate_beside_the_list_tells_who_has_signed_it() {
    let root = Authority::root("Root", KeyKind::P256).unwrap();
    let [users, renewed, others] =
        ["Users", "Users", "Others"].map(|name| root.intermediate(name, KeyKind::P256).unwrap());
    let list = || {
        let der = users.crl(&[]).unwrap();
        RevocationList::new("a.crl", &der, algorithms(), UnixTime::now()).unwrap()
    };
    let of = |authorities: &[&Authority]| -> Vec<_> {
        authorities.iter().map(|authority| authority.certificate().clone()).collect()
    };
    let forged = TrustError::ForgedList("a.crl".into());
    for (beside, outcome, known) in [
        (of(&[&others, &renewed, &users]), Ok(()), true),
        (of(&[&others]), Ok(()), false),
        (of(&[]), Ok(()), false),
        (of(&[&renewed]), Err(forged), false),
        (vec![CertificateDer::from(vec![0x30, 0])], Ok(()), false),
    ] {
        let list = list();
        assert_eq!(list.check_issuers(&beside), outcome);
        assert_eq!(matches!(&*list.signer(), Signer::Known(_)), known);
    }
}

proptest! {
    #[test]
    fn serials_are_found_as_in_a_set(
        listed in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..21), 0..60),
        asked in proptest::collection::vec(proptest::collection::vec(0_u8..4, 0..4), 0..20),
    ) {
        let entries = listed.iter().map(|serial| entry(serial, &[])).collect();
        let list = Draft { entries, ..Draft::default() }.load().unwrap();
        let naive: BTreeSet<_> = listed.iter().map(|serial| significant(serial)).collect();
        prop_assert_eq!(list.serials.len(), naive.len());
        for serial in listed.iter().chain(&asked) {
            prop_assert_eq!(list.serials.contain(serial), naive.contains(significant(serial)));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let serials = vec![entry(&[1, 2], &[extension(21, false, &[10, 1, 1])])];
        let mut der = Draft { entries: serials, ..Draft::default() }.der().to_vec();
        let at = at.index(der.len());
        der[at] = with;
        for der in [der, bytes] {
            let list = RevocationList::new("a.crl", &der.into(), algorithms(), UnixTime::now());
            prop_assert!(list.is_err() || list.is_ok_and(|list| list.serials.len() < 64));
        }
    }
}
