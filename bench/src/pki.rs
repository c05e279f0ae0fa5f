//! The certificates of a run: P-256, chains of two, in files that every proxy reads.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use countersign_pki::{Authority, Issued, KeyKind, Leaf};
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
        write_file(directory, &format!("{name}-ca.pem"), &root.root_pem())?;
        put(directory, name, &issued)?;
    }
    Ok(())
}

/// Writes a certificate with its key.
pub(crate) fn put(directory: &Path, name: &str, issued: &Issued) -> anyhow::Result<()> {
    write_file(directory, &format!("{name}.pem"), &issued.pem())?;
    write_file(directory, &format!("{name}.key"), &issued.key_pem())?;
    write_file(directory, &format!("{name}.both.pem"), &(issued.pem() + &issued.key_pem()))
}

/// Lets clients be vouched for by `root`, too.
pub(crate) fn trust(directory: &Path, root: &Authority) -> anyhow::Result<()> {
    let file = "client-ca.pem";
    let known = std::fs::read_to_string(directory.join(file)).context("reading the PKI")?;
    write_file(directory, file, &(known + &root.root_pem()))
}

fn write_file(directory: &Path, file: &str, text: &str) -> anyhow::Result<()> {
    std::fs::write(directory.join(file), text).context("writing the PKI")
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
