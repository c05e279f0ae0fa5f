//! The tool, and how broken clients come to visit it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign_conform::against_client::{self, Host};
use countersign_conform::against_server::Target;
use countersign_conform::authenticator::Hash;
use countersign_conform::identity::{Identity, stranger};
use countersign_conform::report::Outcome;
use countersign_conform::tls::Suites;
use countersign_conform::{CodePoints, Version};
use countersign_pki::{Authority, Issued, KeyKind, Leaf};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::task::JoinHandle;

use crate::broken::{self, Errand, Fault};

/// A verifier that knows a scheme less.
#[derive(Debug)]
pub(crate) struct WithoutEd25519(pub(crate) Arc<dyn ServerCertVerifier>);

impl ServerCertVerifier for WithoutEd25519 {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let all = self.0.supported_verify_schemes();
        all.into_iter().filter(|scheme| *scheme != SignatureScheme::ED25519).collect()
    }
}

/// A visitor, who leaves with its case.
struct Visitor(JoinHandle<()>);

impl Drop for Visitor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The tool, and what a client needs to visit it.
pub(crate) struct World {
    pub(crate) host: Host,
    pub(crate) verifier: Arc<dyn ServerCertVerifier>,
    alice: Issued,
}

impl World {
    pub(crate) fn new(patience: Duration) -> Self {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let (mut host, authority) = Host::new(local, CodePoints::default(), patience).unwrap();
        host.visit_within = Duration::from_secs(30);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let users = Authority::root("Users", KeyKind::P256).unwrap();
        let alice = users.issue(&Leaf::client("alice")).unwrap();
        Self { host, verifier: verifier.build().unwrap(), alice }
    }

    /// What a client of this world visits at `port`.
    fn target(&self, port: u16) -> Target {
        Target {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            host: "localhost".to_owned(),
            authority: format!("localhost:{port}"),
            verifier: self.verifier.clone(),
            points: self.host.points,
            patience: Duration::from_secs(20),
            public: None,
            paths: Vec::new(),
            identities: vec![Identity::issued(&self.alice).unwrap()],
            rejected: Vec::new(),
            mint: None,
            stranger: stranger().unwrap(),
        }
    }

    /// What becomes of the chosen cases when this client visits.
    pub(crate) async fn outcomes(
        &self,
        version: Version,
        fault: Fault,
        chosen: impl Fn(&str) -> bool,
    ) -> Vec<Outcome> {
        let invite = |url: &str, version| {
            let place = url.strip_prefix("https://localhost:").unwrap();
            let (port, case) = place.split_once('/').unwrap();
            // It offers the one kind of cipher suites that the tool takes.
            let suites = match case {
                "rfc9261-5.1-c1" | "rfc9261-5.1-c5" => Suites::Of(Hash::Sha384),
                "rfc9261-5.1-c2" => Suites::Tls12,
                "rfc9261-5.1-c3" => Suites::Tls12Sha384,
                _ => Suites::Of(Hash::Sha256),
            };
            let target = self.target(port.parse().unwrap());
            let further = against_client::further_url(url).is_some();
            let errand = Errand { target, version, suites, further };
            Ok(Visitor(tokio::spawn(async move {
                broken::visit(&errand, fault).await;
            })))
        };
        against_client::run(&self.host, version, chosen, invite, |_| {}).await
    }
}
