//! PKCS#12 files (RFC 7292): a chain and its key in one file, under a passphrase.

use p12_keystore::KeyStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// The first private key in the file with its chain, leaf first; the error is the end of a sentence.
pub(super) fn read(
    bytes: &[u8],
    passphrase: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let store = KeyStore::from_pkcs12(bytes, passphrase)
        .map_err(|error| format!("it does not open with this --pass as PKCS#12 ({error})"))?;
    let (_, entry) = store
        .private_key_chain()
        .ok_or("there is no private key with a certificate in it".to_owned())?;
    let chain = entry
        .chain()
        .iter()
        .map(|certificate| CertificateDer::from(certificate.as_der().to_vec()))
        .collect();
    let key = PrivatePkcs8KeyDer::from(entry.key().to_vec());
    Ok((chain, key.into()))
}

#[cfg(test)]
mod tests {
    use p12_keystore::{Certificate, KeyStoreEntry, PrivateKeyChain};

    use super::*;

    #[test]
    fn chain_and_key_come_back() {
        let pki = countersign_pki::TestPki::generate().unwrap();
        let alice = &pki.alice;
        let chain = alice.chain.iter().map(|one| Certificate::from_der(one).unwrap());
        let chain = PrivateKeyChain::new(alice.key.secret_der(), b"1", chain);
        let mut store = KeyStore::new();
        store.add_entry("alice", KeyStoreEntry::PrivateKeyChain(chain));
        let file = store.writer("a phrase").write().unwrap();

        let (chain, key) = read(&file, "a phrase").unwrap();
        assert_eq!((chain, key.secret_der()), (alice.chain.clone(), alice.key.secret_der()));
        let error = read(&file, "hunter2").unwrap_err();
        assert!(error.contains("--pass") && !error.contains("hunter2"), "{error}");
        assert!(read(&[0x30, 0], "").is_err());
    }
}
