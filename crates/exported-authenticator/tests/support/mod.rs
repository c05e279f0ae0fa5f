//! What the tests share: a PKI, rustls connections over memory, connections without TLS, and a forger.

#![expect(dead_code, reason = "each test file uses a part of it")]

use std::sync::Arc;

use countersign_pki::{Authority, Issued, KeyKind, Leaf};
use exported_authenticator::{
    AuthenticatorHash, AuthenticatorRequest, Chain, Connection, Credential, ExporterValues,
    ExtendedMasterSecret, MessageType, Proven, RequestTemplate, Role, TLS13_SCHEMES, Unavailable,
    Validated,
};
use rustls::crypto::hash::HashAlgorithm;
use rustls::crypto::tls13::OkmBlock;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::SigningKey;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SignatureScheme,
    SupportedProtocolVersion,
};

pub(crate) fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

pub(crate) fn signing_key(key: &PrivateKeyDer<'_>) -> Arc<dyn SigningKey> {
    provider().key_provider.load_private_key(key.clone_key()).unwrap()
}

pub(crate) fn credential(issued: &Issued) -> Credential {
    let chain = Chain::new(issued.chain.clone()).unwrap();
    Credential::new(chain, signing_key(&issued.key)).unwrap()
}

/// A root with one intermediate below it.
pub(crate) fn authority(key: KeyKind) -> Authority {
    let root = Authority::root("Root", key).unwrap();
    root.intermediate("Intermediate", key).unwrap()
}

pub(crate) fn roots(authority: &Authority) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.root_der()).unwrap();
    roots.into()
}

pub(crate) fn client_verifier(authority: &Authority) -> Arc<dyn ClientCertVerifier> {
    WebPkiClientVerifier::builder_with_provider(roots(authority), provider().into())
        .build()
        .unwrap()
}

/// An authority, and alice with an Ed25519 key below it: the quickest to make and to check.
pub(crate) fn alice() -> (Authority, Credential) {
    let authority = authority(KeyKind::Ed25519);
    let alice = authority.issue(&Leaf::client("alice").key(KeyKind::Ed25519)).unwrap();
    (authority, credential(&alice))
}

pub(crate) fn now() -> UnixTime {
    UnixTime::now()
}

/// Offers every scheme, and PKCS#1 for certificates.
pub(crate) fn template() -> RequestTemplate {
    let mut certificate_schemes = TLS13_SCHEMES.to_vec();
    certificate_schemes.push(SignatureScheme::RSA_PKCS1_SHA256);
    RequestTemplate::new(TLS13_SCHEMES.to_vec()).certificate_schemes(certificate_schemes)
}

pub(crate) fn proven(validated: Validated) -> Proven {
    match validated {
        Validated::Proven(proven) => proven,
        Validated::Empty => panic!("an empty authenticator"),
    }
}

/// Both ends of a TLS connection over memory.
pub(crate) struct Tls {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
}

pub(crate) struct Configs {
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
}

impl Configs {
    pub(crate) fn new(
        provider: CryptoProvider,
        version: &'static SupportedProtocolVersion,
        require_ems: bool,
    ) -> Self {
        let authority = authority(KeyKind::P256);
        let leaf = authority.issue(&Leaf::server("localhost").dns("localhost")).unwrap();
        let provider = Arc::new(provider);
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(leaf.chain, leaf.key)
            .unwrap();
        server.require_ems = require_ems;
        server.send_half_rtt_data = true;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots(&authority))
            .with_no_client_auth();
        client.require_ems = require_ems;
        Self { client: client.into(), server: server.into() }
    }

    pub(crate) fn tls13() -> Self {
        Self::new(provider(), &rustls::version::TLS13, false)
    }

    /// Both ends before the first byte.
    pub(crate) fn start(&self) -> Tls {
        let name = ServerName::try_from("localhost").unwrap();
        Tls {
            client: ClientConnection::new(Arc::clone(&self.client), name).unwrap(),
            server: ServerConnection::new(Arc::clone(&self.server)).unwrap(),
        }
    }

    pub(crate) fn connect(&self) -> Tls {
        let mut tls = self.start();
        while tls.send_from_client() + tls.send_from_server() > 0 {}
        assert!(!tls.client.is_handshaking() && !tls.server.is_handshaking());
        tls
    }
}

impl Tls {
    /// Carries what the client has to send; says how many bytes that was.
    pub(crate) fn send_from_client(&mut self) -> usize {
        let mut wire = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut wire).unwrap();
        }
        let len = wire.len();
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            self.server.read_tls(&mut wire).unwrap();
            self.server.process_new_packets().unwrap();
        }
        len
    }

    pub(crate) fn send_from_server(&mut self) -> usize {
        let mut wire = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut wire).unwrap();
        }
        let len = wire.len();
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            self.client.read_tls(&mut wire).unwrap();
            self.client.process_new_packets().unwrap();
        }
        len
    }

    pub(crate) fn values(
        &self,
        role: Role,
        ems: ExtendedMasterSecret,
    ) -> Result<ExporterValues, Unavailable> {
        match role {
            Role::Client => ExporterValues::from_rustls(&self.client, &provider(), ems),
            Role::Server => ExporterValues::from_rustls(&self.server, &provider(), ems),
        }
    }

    pub(crate) fn ends(&self, ems: ExtendedMasterSecret) -> Ends {
        Ends::of(|role| self.values(role, ems).unwrap())
    }
}

/// Both ends of a connection as this crate sees them.
pub(crate) struct Ends {
    pub(crate) client: Connection,
    pub(crate) server: Connection,
}

impl Ends {
    fn of(values: impl Fn(Role) -> ExporterValues) -> Self {
        let end = |role| {
            let algorithms = provider().signature_verification_algorithms;
            Connection::new(Arc::new(values(role)), role, algorithms)
        };
        Self { client: end(Role::Client), server: end(Role::Server) }
    }

    /// A connection without TLS whose exporter values follow from `seed`.
    pub(crate) fn seeded(seed: u8) -> Self {
        Self::of(|_| Secrets(seed).values())
    }

    /// The end that is `role`, and the other.
    pub(crate) fn of_role(&mut self, role: Role) -> (&mut Connection, &mut Connection) {
        match role {
            Role::Client => (&mut self.client, &mut self.server),
            Role::Server => (&mut self.server, &mut self.client),
        }
    }

    /// `from` asks with `template`; the request as both ends hold it.
    pub(crate) fn ask(
        &mut self,
        from: Role,
        template: &RequestTemplate,
        context: &[u8],
    ) -> AuthenticatorRequest {
        let typ = match from {
            Role::Client => MessageType::ClientCertificateRequest,
            Role::Server => MessageType::CertificateRequest,
        };
        let (asking, asked) = self.of_role(from);
        let request = asking.request(template, typ, context).unwrap();
        let received = asked.receive_request(request.as_bytes()).unwrap();
        assert_eq!(request, received);
        request
    }
}

/// The exporter of a connection that never was, for whoever wants to know its secrets.
#[derive(Clone, Copy)]
pub(crate) struct Secrets(pub(crate) u8);

impl Secrets {
    fn value(self, label: &str) -> Vec<u8> {
        let mut input = vec![self.0];
        input.extend_from_slice(label.as_bytes());
        hash_of(&input)
    }

    pub(crate) fn values(self) -> ExporterValues {
        let hash = AuthenticatorHash::of_algorithm(HashAlgorithm::SHA256, &provider()).unwrap();
        ExporterValues::from_exporter(hash, |output, label, context| {
            assert!(context.is_empty());
            output.copy_from_slice(&self.value(std::str::from_utf8(label).unwrap()));
            Ok::<(), ()>(())
        })
        .unwrap()
    }

    pub(crate) fn handshake_context(self, sender: &str) -> Vec<u8> {
        self.value(&format!("EXPORTER-{sender} authenticator handshake context"))
    }

    pub(crate) fn finished_key(self, sender: &str) -> Vec<u8> {
        self.value(&format!("EXPORTER-{sender} authenticator finished key"))
    }

    /// An authenticator of the client with any messages at all, its MAC right.
    ///
    /// `sign` gets the message to sign.
    pub(crate) fn forge(
        self,
        request: &[u8],
        certificate: &[u8],
        scheme: SignatureScheme,
        sign: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Vec<u8> {
        let mut transcript = self.handshake_context("client");
        transcript.extend_from_slice(request);
        transcript.extend_from_slice(certificate);
        let mut message = vec![0x20; 64];
        message.extend_from_slice(b"Exported Authenticator\0");
        message.extend_from_slice(&hash_of(&transcript));
        let mut verify = u16::from(scheme).to_be_bytes().to_vec();
        verify.extend(vector(2, &sign(&message)));
        let verify = handshake(15, &verify);
        transcript.extend_from_slice(&verify);
        let tag = hmac_of(&self.finished_key("client"), &hash_of(&transcript));
        [certificate, &verify, &handshake(20, &tag)].concat()
    }
}

pub(crate) fn sha256() -> &'static rustls::Tls13CipherSuite {
    aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap()
}

pub(crate) fn hash_of(data: &[u8]) -> Vec<u8> {
    let digest = sha256().common.hash_provider.hash(data);
    digest.as_ref().to_vec()
}

fn hmac_of(key: &[u8], message: &[u8]) -> Vec<u8> {
    let tag = sha256().hkdf_provider.hmac_sign(&OkmBlock::new(key), message);
    tag.as_ref().to_vec()
}

/// `body` behind its length in `width` bytes.
pub(crate) fn vector(width: usize, body: &[u8]) -> Vec<u8> {
    let mut out = body.len().to_be_bytes()[8 - width..].to_vec();
    out.extend_from_slice(body);
    out
}

pub(crate) fn handshake(typ: u8, body: &[u8]) -> Vec<u8> {
    [vec![typ], vector(3, body)].concat()
}

/// A Certificate message; `extensions` (the list's content) go with the first certificate.
pub(crate) fn certificate_message(context: &[u8], chain: &[&[u8]], extensions: &[u8]) -> Vec<u8> {
    let mut list = Vec::new();
    for (index, certificate) in chain.iter().enumerate() {
        list.extend(vector(3, certificate));
        list.extend(vector(2, if index == 0 { extensions } else { &[] }));
    }
    handshake(11, &[vector(1, context), vector(3, &list)].concat())
}

/// One extension, encoded.
pub(crate) fn extension(typ: u16, body: &[u8]) -> Vec<u8> {
    [typ.to_be_bytes().to_vec(), vector(2, body)].concat()
}
