//! Authorities and identities that the servers of these tests know.

use countersign_conform::identity::{Identity, Mint, stranger};
use countersign_pki::{Authority, Issued, KeyKind, Leaf, TestPki, crls_pem};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateRevocationListDer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign_conform::CodePoints;
use countersign_conform::against_server::Target;

pub(crate) struct World {
    pub(crate) pki: TestPki,
    pub(crate) users: Authority,
    pub(crate) crl: CertificateRevocationListDer<'static>,
    /// For `further.test`.
    pub(crate) further: Issued,
    alice: Issued,
    rejected: [Issued; 2],
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl World {
    pub(crate) fn new() -> Self {
        let users = Authority::root("Minted users", KeyKind::P256).unwrap();
        let user = |name: &str, email: &str| users.issue(&Leaf::client(name).email(email)).unwrap();
        let revoked = user("revoked", "revoked@example.test");
        let nameless = user("nameless", "nobody@other.test");
        let crl = users.crl(&[revoked.serial.clone(), nameless.serial.clone()]).unwrap();
        let further = Authority::root("Further servers", KeyKind::P256).unwrap();
        Self {
            pki: TestPki::generate().unwrap(),
            alice: user("alice", "alice@example.test"),
            further: further
                .issue(&Leaf::server("further").key(KeyKind::Ed25519).dns("further.test"))
                .unwrap(),
            rejected: [revoked, nameless],
            crl,
            users,
        }
    }

    /// What the gateway reads beside the files of its PKI.
    pub(crate) fn files(&self) -> Vec<(String, String)> {
        let mut files = self.pki.files();
        let more = [
            ("further.pem", self.further.pem()),
            ("further.key", self.further.key_pem()),
            ("minted-ca.pem", self.users.root_pem()),
            ("minted.crl", crls_pem([&self.crl])),
        ];
        files.extend(more.map(|(name, text)| (name.to_owned(), text)));
        files
    }

    fn verifier(&self) -> Arc<dyn ServerCertVerifier> {
        let mut roots = RootCertStore::empty();
        roots.add(self.pki.server_ca.clone()).unwrap();
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap()
    }

    /// A server of this world that has the paths `/public`, `/user` and `/device`.
    pub(crate) fn target(&self, address: SocketAddr, patience: Duration) -> Target {
        let known = |issued: &Issued| Identity::issued(issued).unwrap();
        let identities = vec![known(&self.alice), known(&self.pki.device)];
        let mint = Mint::new(&[self.users.root_der()], &self.users.key(), identities.first());
        Target {
            address,
            host: "localhost".to_owned(),
            authority: format!("localhost:{}", address.port()),
            verifier: self.verifier(),
            points: CodePoints::default(),
            patience,
            public: Some("/public".to_owned()),
            paths: vec!["/user".to_owned(), "/device".to_owned()],
            identities,
            rejected: self.rejected.iter().map(known).collect(),
            mint: Some(mint.unwrap()),
            stranger: stranger().unwrap(),
        }
    }
}
