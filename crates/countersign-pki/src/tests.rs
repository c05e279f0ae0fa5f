use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error};
use time::{OffsetDateTime, macros::datetime};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::*;

fn verifier(
    root: &rustls_pki_types::CertificateDer<'static>,
    crls: &[CertificateRevocationListDer<'static>],
    leaf_only: bool,
) -> Arc<dyn ClientCertVerifier> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .with_crls(crls.iter().cloned());
    if leaf_only {
        builder = builder.only_check_end_entity_revocation();
    }
    builder.build().unwrap()
}

fn verify(verifier: &dyn ClientCertVerifier, issued: &Issued, now: UnixTime) -> Result<(), Error> {
    let (leaf, rest) = issued.chain.split_first().unwrap();
    verifier.verify_client_cert(leaf, rest, now).map(drop)
}

fn at(when: OffsetDateTime) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(when.unix_timestamp().unsigned_abs()))
}

#[test]
fn the_layouts_users_are_what_their_names_say() {
    let pki = TestPki::generate().unwrap();
    for leaf_only in [true, false] {
        let users = verifier(&pki.user_ca, &pki.user_crls, leaf_only);
        let check = |issued| verify(&*users, issued, UnixTime::now());
        assert_eq!(check(&pki.alice), Ok(()));
        assert_eq!(check(&pki.bob), Ok(()));
        let revoked = Error::InvalidCertificate(CertificateError::Revoked);
        assert_eq!(check(&pki.revoked), Err(revoked));
        assert!(matches!(
            check(&pki.expired),
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { .. }))
        ));
        assert_eq!(
            check(&pki.device),
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
        );
    }
    let devices = verifier(&pki.device_ca, &[], false);
    assert_eq!(verify(&*devices, &pki.device, UnixTime::now()), Ok(()));
}

#[test]
fn every_kind_of_key_issues_and_is_issued() {
    let provider = aws_lc_rs::default_provider();
    for kind in KeyKind::ALL {
        let root = Authority::root("root", kind).unwrap();
        let issued = root.intermediate("ca", kind).unwrap().issue(&Leaf::client("leaf").key(kind));
        let issued = issued.unwrap();
        assert_eq!(issued.chain.len(), 2, "{kind:?}");
        let key = CertifiedKey::from_der(issued.chain.clone(), issued.key.clone_key(), &provider);
        key.unwrap_or_else(|error| panic!("{kind:?}: {error}")).keys_match().unwrap();
        let users = verifier(&root.root_der(), &[root.crl(&[]).unwrap()], false);
        // The intermediate has no list here: fail closed.
        assert_eq!(
            verify(&*users, &issued, UnixTime::now()),
            Err(Error::InvalidCertificate(CertificateError::UnknownRevocationStatus)),
            "{kind:?}"
        );
        let users = verifier(&root.root_der(), &[], false);
        assert_eq!(verify(&*users, &issued, UnixTime::now()), Ok(()), "{kind:?}");
    }
}

#[test]
fn a_leaf_says_what_it_was_told_to() {
    let root = Authority::root("root", KeyKind::P256).unwrap();
    let leaf = Leaf::new("leaf")
        .dns("a.example.test")
        .email("a@example.test")
        .uri("spiffe://example.test/a")
        .ip([127, 0, 0, 1])
        .extended_key_usages([ExtendedKeyUsage::Other(vec![1, 3, 6, 1, 4, 1, 55555, 1])])
        .key_usages([KeyUsage::KeyAgreement])
        .serial([1, 2, 3]);
    let issued = root.issue(&leaf).unwrap();
    let (_, parsed) = X509Certificate::from_der(&issued.chain[0]).unwrap();
    assert_eq!(parsed.raw_serial(), [1, 2, 3]);
    assert_eq!(issued.serial, [1, 2, 3]);
    assert_eq!(
        parsed.subject_alternative_name().unwrap().unwrap().value.general_names,
        [
            GeneralName::DNSName("a.example.test"),
            GeneralName::RFC822Name("a@example.test"),
            GeneralName::URI("spiffe://example.test/a"),
            GeneralName::IPAddress(&[127, 0, 0, 1]),
        ]
    );
    let purposes = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(!purposes.client_auth && !purposes.server_auth);
    assert_eq!(purposes.other[0].to_id_string(), "1.3.6.1.4.1.55555.1");
    let usage = parsed.key_usage().unwrap().unwrap().value;
    assert!(usage.key_agreement() && !usage.digital_signature());

    let bare = root.issue(&Leaf::new("bare").key_usages([])).unwrap();
    let (_, parsed) = X509Certificate::from_der(&bare.chain[0]).unwrap();
    assert!(parsed.extended_key_usage().unwrap().is_none());
    assert!(parsed.key_usage().unwrap().is_none());
    assert_eq!(bare.serial, parsed.raw_serial());

    assert!(matches!(root.issue(&Leaf::new("x").dns("café")), Err(PkiError::Name { .. })));
}

#[test]
fn lifetimes_lie_around_the_authoritys_clock() {
    let now = datetime!(2031-05-06 07:08:09 UTC);
    let root = Authority::root_at("root", KeyKind::P256, now).unwrap();
    let users = verifier(&root.root_der(), &[], false);
    let check = |leaf| verify(&*users, &root.issue(&leaf).unwrap(), at(now));
    assert_eq!(check(Leaf::client("current")), Ok(()));
    assert!(matches!(
        check(Leaf::client("old").expired()),
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { .. }))
    ));
    assert!(matches!(
        check(Leaf::client("early").not_yet_valid()),
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { .. }))
    ));
    let minute = Validity { not_before: now, not_after: now + time::Duration::MINUTE };
    assert_eq!(check(Leaf::client("minute").validity(minute)), Ok(()));
}

#[test]
fn an_outdated_list_is_noticed() {
    let now = OffsetDateTime::now_utc();
    let root = Authority::root("root", KeyKind::P256).unwrap();
    let issued = root.issue(&Leaf::client("leaf")).unwrap();
    let crl = root.crl_with(&[], Lifetime::Expired.at(now)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(root.root_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let strict = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .with_crls([crl])
        .enforce_revocation_expiration()
        .build()
        .unwrap();
    let error = verify(&*strict, &issued, UnixTime::now()).unwrap_err();
    assert!(
        matches!(
            error,
            Error::InvalidCertificate(CertificateError::ExpiredRevocationListContext { .. })
        ),
        "{error:?}"
    );
}

#[test]
fn a_folder_is_written_once_and_whole() {
    let folder = std::env::temp_dir().join(format!("countersign-pki-{}", std::process::id()));
    let pki = TestPki::generate().unwrap();
    let written = pki.write_to(&folder).unwrap();
    assert_eq!(written.len(), 19);
    #[cfg(unix)]
    for path in &written {
        use std::os::unix::fs::PermissionsExt;
        let mode = path.metadata().unwrap().permissions().mode();
        let secret = path.extension().unwrap() == "key";
        assert_eq!(secret, mode & 0o077 == 0, "{}", path.display());
    }

    // One file left over is enough to refuse, and nothing else is written.
    let kept = folder.join("bob.key");
    for path in written.iter().filter(|path| **path != kept) {
        std::fs::remove_file(path).unwrap();
    }
    let error = pki.write_to(&folder).unwrap_err();
    assert!(matches!(&error, PkiError::Exists { path } if *path == kept), "{error}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn neither_authorities_nor_leaves_print_their_keys() {
    let root = Authority::root("root", KeyKind::P256).unwrap();
    let issued = root.issue(&Leaf::client("leaf")).unwrap();
    let shown = format!("{root:?} {issued:?}");
    assert!(shown.contains("secret key elided"), "{shown}");
}
