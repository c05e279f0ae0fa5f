//! Who there is to be: certificates that the server accepts, and every kind that it does not.

use std::sync::{Arc, LazyLock};

use countersign::{Chain, Credential};
use countersign_testkit::TlsOptions;
use countersign_testkit::pki::{Authority, ExtendedKeyUsage, Issued, KeyKind, Leaf};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::sign::SigningKey;

/// Users of one authority, and others.
pub(crate) struct People {
    /// The root of the users.
    pub(crate) users: CertificateDer<'static>,
    /// Its list, with `revoked` on it.
    pub(crate) crl: CertificateRevocationListDer<'static>,
    /// Accepted as a user.
    pub(crate) alice: Issued,
    /// The same with an RSA key.
    pub(crate) rsa: Issued,
    /// Of the right authority, with a name that is not accepted.
    pub(crate) bob: Issued,
    pub(crate) expired: Issued,
    pub(crate) not_yet_valid: Issued,
    pub(crate) revoked: Issued,
    /// For servers only.
    pub(crate) wrong_purpose: Issued,
    /// Of an authority with the same name and another key.
    pub(crate) stranger: Issued,
    /// The root of the devices, and one of them.
    pub(crate) devices: CertificateDer<'static>,
    pub(crate) device: Issued,
}

/// What is in the names of accepted users.
const ACCEPTED: &str = "staff.example.test";

pub(crate) fn people() -> &'static People {
    static PEOPLE: LazyLock<People> = LazyLock::new(People::make);
    &PEOPLE
}

impl People {
    fn make() -> Self {
        let users = Authority::root("Users", KeyKind::P256).unwrap();
        let impostors = Authority::root("Users", KeyKind::P256).unwrap();
        let devices = Authority::root("Devices", KeyKind::P256).unwrap();
        let staff = |name: &str| Leaf::client(name).dns(format!("{name}.{ACCEPTED}"));
        let issue = |leaf: Leaf| users.issue(&leaf).unwrap();
        let revoked = issue(staff("revoked"));
        Self {
            users: users.root_der(),
            crl: users.crl(std::slice::from_ref(&revoked.serial)).unwrap(),
            alice: issue(staff("alice")),
            rsa: issue(staff("rsa").key(KeyKind::Rsa2048)),
            bob: issue(Leaf::client("bob").dns("bob.example.test")),
            expired: issue(staff("expired").expired()),
            not_yet_valid: issue(staff("tomorrow").not_yet_valid()),
            revoked,
            wrong_purpose: issue(
                staff("server").extended_key_usages([ExtendedKeyUsage::ServerAuth]),
            ),
            stranger: impostors.issue(&staff("alice")).unwrap(),
            devices: devices.root_der(),
            device: devices.issue(&Leaf::client("device")).unwrap(),
        }
    }

    /// Whether the leaf is bob's, whose name is wrong.
    pub(crate) fn is_bob(&self, chain: &[CertificateDer<'static>]) -> bool {
        chain.first() == self.bob.chain.first()
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    TlsOptions::default().provider()
}

pub(crate) fn key_of(issued: &Issued) -> Arc<dyn SigningKey> {
    provider().key_provider.load_private_key(issued.key.clone_key()).unwrap()
}

pub(crate) fn credential(issued: &Issued) -> Credential {
    Credential::new(Chain::new(issued.chain.clone()).unwrap(), key_of(issued)).unwrap()
}
