//! The test PKI of `countersign pki init`: in memory, or as a folder of PEM files.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use time::OffsetDateTime;

use crate::issued::{certificate_pem, key_pem};
use crate::{Authority, Issued, KeyKind, Leaf, PkiError, crls_pem};

/// A gateway configuration for a folder made by [`TestPki::write_to`]: `/public/` for everybody, `/device/` for
/// known devices, `/user/` for users, `/admin/` for alice on a known device, all in front of a backend on
/// 127.0.0.1:9000.
pub const GATEWAY_TOML: &str = include_str!("gateway.toml");

/// A server, a device and four users, each below an authority of its kind with one intermediate.
///
/// All keys are P-256. Leaves and the revocation lists hold for 365 days, but for `expired`.
#[derive(Clone, Debug)]
pub struct TestPki {
    /// The root that vouches for the server.
    pub server_ca: CertificateDer<'static>,
    /// The root that vouches for devices.
    pub device_ca: CertificateDer<'static>,
    /// The root that vouches for users.
    pub user_ca: CertificateDer<'static>,
    /// The key of the root for devices, to issue more of them.
    pub device_ca_key: Arc<PrivateKeyDer<'static>>,
    /// The key of the root for users.
    pub user_ca_key: Arc<PrivateKeyDer<'static>>,
    /// The lists of the users' intermediate, with `revoked` on it, and of their root, empty, so that
    /// checking only leaves and checking whole chains both work.
    pub user_crls: Vec<CertificateRevocationListDer<'static>>,
    /// `localhost`, 127.0.0.1 and ::1.
    pub server: Issued,
    /// `device-1.example.test`.
    pub device: Issued,
    /// `alice@example.test`.
    pub alice: Issued,
    /// `bob@example.test`.
    pub bob: Issued,
    /// `expired@example.test`, expired since yesterday.
    pub expired: Issued,
    /// `revoked@example.test`, on the user authority's list.
    pub revoked: Issued,
}

impl TestPki {
    /// A fresh one, dated by the system's clock.
    pub fn generate() -> Result<Self, PkiError> {
        Self::generate_at(OffsetDateTime::now_utc())
    }

    /// A fresh one for which it is `now`.
    pub fn generate_at(now: OffsetDateTime) -> Result<Self, PkiError> {
        let key = KeyKind::P256;
        let server_root = Authority::root_at("Server root", key, now)?;
        let device_root = Authority::root_at("Device root", key, now)?;
        let user_root = Authority::root_at("User root", key, now)?;
        let servers = server_root.intermediate("Server CA 1", key)?;
        let devices = device_root.intermediate("Device CA 1", key)?;
        let users = user_root.intermediate("User CA 1", key)?;

        let user = |name: &str| Leaf::client(name).email(format!("{name}@example.test"));
        let server = Leaf::server("localhost")
            .dns("localhost")
            .ip(Ipv4Addr::LOCALHOST)
            .ip(Ipv6Addr::LOCALHOST);
        let device = Leaf::client("device-1").dns("device-1.example.test");

        let revoked = users.issue(&user("revoked"))?;
        Ok(Self {
            server_ca: server_root.root_der(),
            device_ca: device_root.root_der(),
            user_ca: user_root.root_der(),
            device_ca_key: Arc::new(device_root.key()),
            user_ca_key: Arc::new(user_root.key()),
            user_crls: vec![users.crl(std::slice::from_ref(&revoked.serial))?, user_root.crl(&[])?],
            server: servers.issue(&server)?,
            device: devices.issue(&device)?,
            alice: users.issue(&user("alice"))?,
            bob: users.issue(&user("bob"))?,
            expired: users.issue(&user("expired").expired())?,
            revoked,
        })
    }

    /// The files of this PKI: name and content, private keys being those that end in `.key`.
    pub fn files(&self) -> Vec<(String, String)> {
        let leaves = [
            ("server", &self.server),
            ("device", &self.device),
            ("alice", &self.alice),
            ("bob", &self.bob),
            ("expired", &self.expired),
            ("revoked", &self.revoked),
        ];
        // Their lists can be verified before the first client shows who has signed them.
        let user_issuers = self.alice.chain.iter().skip(1).map(|issuer| certificate_pem(issuer));
        let user_lists = crls_pem(&self.user_crls) + &user_issuers.collect::<String>();
        let mut files = vec![
            ("server-ca.pem".to_owned(), certificate_pem(&self.server_ca)),
            ("device-ca.pem".to_owned(), certificate_pem(&self.device_ca)),
            ("user-ca.pem".to_owned(), certificate_pem(&self.user_ca)),
            ("device-ca.key".to_owned(), key_pem(&self.device_ca_key)),
            ("user-ca.key".to_owned(), key_pem(&self.user_ca_key)),
            ("user.crl".to_owned(), user_lists),
            ("gateway.toml".to_owned(), GATEWAY_TOML.to_owned()),
        ];
        for (name, issued) in leaves {
            files.push((format!("{name}.pem"), issued.pem()));
            files.push((format!("{name}.key"), issued.key_pem()));
        }
        files
    }

    /// Writes [`Self::files`] to `folder`, which is made where it is missing, and tells what was written.
    ///
    /// Private keys are readable by their owner only. If any of the files is there already, none is
    /// written.
    pub fn write_to(&self, folder: &Path) -> Result<Vec<PathBuf>, PkiError> {
        let files: Vec<_> =
            self.files().into_iter().map(|(name, text)| (folder.join(name), text)).collect();
        if let Some((path, _)) = files.iter().find(|(path, _)| path.symlink_metadata().is_ok()) {
            return Err(PkiError::Exists { path: path.clone() });
        }
        fs::create_dir_all(folder)
            .map_err(|source| PkiError::Write { path: folder.to_owned(), source })?;
        let mut written = Vec::with_capacity(files.len());
        for (path, text) in files {
            create(&path, &text)
                .map_err(|source| PkiError::Write { path: path.clone(), source })?;
            written.push(path);
        }
        Ok(written)
    }
}

/// Writes a file that must not be there yet.
fn create(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if path.extension().is_some_and(|extension| extension == "key") {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    options.open(path)?.write_all(text.as_bytes())
}
