//! The certificates of a run: P-256, chains of two, in files that every proxy reads.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use countersign_pki::{Authority, KeyKind, Leaf};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The name that the proxies have a certificate for.
pub(crate) const HOST: &str = "localhost";

/// Writes `server` and `client` certificates with keys, and the CA certificates that vouch for them.
pub(crate) fn write(directory: &Path) -> anyhow::Result<()> {
    for (name, leaf) in [
        ("server", Leaf::server(HOST).dns(HOST)),
        ("client", Leaf::client("device").dns("device.test")),
    ] {
        let root = Authority::root(&format!("{name} root"), KeyKind::P256)?;
        let issued = root.intermediate(&format!("{name} CA"), KeyKind::P256)?.issue(&leaf)?;
        let put = |file: &str, text: &str| {
            std::fs::write(directory.join(format!("{name}{file}")), text).context("writing the PKI")
        };
        put("-ca.pem", &root.root_pem())?;
        put(".pem", &issued.pem())?;
        put(".key", &issued.key_pem())?;
        put(".both.pem", &(issued.pem() + &issued.key_pem()))?;
    }
    Ok(())
}

/// The chain and key of `name`.
pub(crate) fn identity(
    directory: &Path,
    name: &str,
) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = certificates(directory, &format!("{name}.pem"))?;
    Ok((chain, PrivateKeyDer::from_pem_file(directory.join(format!("{name}.key")))?))
}

/// Whom `name` is vouched for by.
pub(crate) fn roots(directory: &Path, name: &str) -> anyhow::Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for root in certificates(directory, &format!("{name}-ca.pem"))? {
        roots.add(root)?;
    }
    Ok(Arc::new(roots))
}

fn certificates(directory: &Path, file: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    Ok(CertificateDer::pem_file_iter(directory.join(file))?.collect::<Result<_, _>>()?)
}
