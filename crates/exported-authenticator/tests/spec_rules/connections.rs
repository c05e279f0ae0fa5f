//! Sections 1, 5.1, 7 and 9: what a connection has to be, and what is exported from it.

use std::cell::RefCell;
use std::sync::Arc;

use countersign_pki::{Authority, KeyKind, Leaf};
use exported_authenticator::{
    AuthenticatorHash, Connection, ExporterValues, ExtendedMasterSecret, MessageType, Role,
    Unavailable,
};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::crypto::hash::HashAlgorithm;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

use crate::support::*;

/// A TLS connection in memory.
struct Tls {
    client: ClientConnection,
    server: ServerConnection,
}

impl Tls {
    fn new(version: &'static SupportedProtocolVersion, suite: SupportedCipherSuite) -> Self {
        let ca = Authority::root("Servers", KeyKind::P256).unwrap();
        let issued = ca.issue(&Leaf::server("s").dns("localhost")).unwrap();
        let provider = Arc::new(CryptoProvider { cipher_suites: vec![suite], ..provider() });
        let mut roots = RootCertStore::empty();
        roots.add(ca.root_der()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(issued.chain, issued.key)
            .unwrap();
        let name = "localhost".try_into().unwrap();
        Self {
            client: ClientConnection::new(client.into(), name).unwrap(),
            server: ServerConnection::new(server.into()).unwrap(),
        }
    }

    fn client_flight(&mut self) {
        let mut wire = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut wire).unwrap();
        }
        self.server.read_tls(&mut &wire[..]).unwrap();
        self.server.process_new_packets().unwrap();
    }

    fn server_flight(&mut self) {
        let mut wire = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut wire).unwrap();
        }
        self.client.read_tls(&mut &wire[..]).unwrap();
        self.client.process_new_packets().unwrap();
    }

    fn finish(mut self) -> Self {
        for _ in 0..3 {
            self.client_flight();
            self.server_flight();
        }
        assert!(!self.client.is_handshaking() && !self.server.is_handshaking());
        self
    }

    fn values(
        &self,
        ems: ExtendedMasterSecret,
    ) -> Result<(ExporterValues, ExporterValues), Unavailable> {
        Ok((
            ExporterValues::from_rustls(&self.client, &provider(), ems)?,
            ExporterValues::from_rustls(&self.server, &provider(), ems)?,
        ))
    }
}

/// Whether authenticators work on `tls` in both directions.
fn works(tls: &Tls) {
    let (client, server) = tls.values(ExtendedMasterSecret::Required).unwrap();
    let mut client = Connection::new(client.into(), Role::Client, algorithms());
    let mut server = Connection::new(server.into(), Role::Server, algorithms());
    //= specs/exported-authenticators.md#section-4
    //= type=test
    //# The same two messages MUST be used when the connection is one of TLS 1.2 or DTLS 1.2.
    let typ = MessageType::CertificateRequest;
    let request = server.request(&anything(), typ, CONTEXT).unwrap();
    let received = client.receive_request(request.as_bytes()).unwrap();
    let answer = client.authenticate(&received, &credential()).unwrap();
    assert!(server.validate(&request, &answer).is_ok());
    let own = [0xc1; 32];
    let sent = server.authenticate_spontaneously(&own, &offered(), &credential());
    assert!(client.validate_spontaneous(&sent.unwrap(), &offered()).is_ok());
}

#[test]
fn the_four_values_have_their_labels_and_no_context() {
    let asked = RefCell::new(Vec::new());
    let hash = AuthenticatorHash::of_suite(SHA384.suite, &provider()).unwrap();
    //= specs/exported-authenticators.md#section-5.1
    //= type=test
    //# An authenticator MUST be computed from a Handshake Context and a Finished MAC Key that are
    //# exported from the connection.
    //= specs/exported-authenticators.md#decisions
    //= type=test
    //# (ours) The exporter values MUST be taken once per connection, after the handshake, and be
    //# wiped when dropped.
    let values = ExporterValues::from_exporter(hash, |output, label, context| {
        //= specs/exported-authenticators.md#section-5.1
        //= type=test
        //# The exporter's context_value MUST be empty for each of the four values.
        assert!(context.is_empty());
        asked.borrow_mut().push((String::from_utf8(label.to_vec()).unwrap(), output.len()));
        Ok::<(), ()>(())
    });
    assert!(values.is_ok());
    let mut asked = asked.into_inner();
    asked.sort();
    //= specs/exported-authenticators.md#section-5.1
    //= type=test
    //# The Finished MAC Key of a client's authenticator MUST be exported with the label
    //# "EXPORTER-client authenticator finished key".
    //= specs/exported-authenticators.md#section-5.1
    //= type=test
    //# The Handshake Context of a client's authenticator MUST be exported with the label
    //# "EXPORTER-client authenticator handshake context".
    //= specs/exported-authenticators.md#section-5.1
    //= type=test
    //# The Finished MAC Key of a server's authenticator MUST be exported with the label
    //# "EXPORTER-server authenticator finished key".
    //= specs/exported-authenticators.md#section-5.1
    //= type=test
    //# The Handshake Context of a server's authenticator MUST be exported with the label
    //# "EXPORTER-server authenticator handshake context".
    let labels = [
        "EXPORTER-client authenticator finished key",
        "EXPORTER-client authenticator handshake context",
        "EXPORTER-server authenticator finished key",
        "EXPORTER-server authenticator handshake context",
    ];
    //= specs/exported-authenticators.md#section-5.1
    //= type=test
    //# On TLS 1.3 a value MUST be as long as the output of the hash of the selected cipher suite.
    assert_eq!(asked, labels.map(|label| (label.to_owned(), 48)));
    assert!(!format!("{:?}", SHA256.values()).contains("client"));
}

#[test]
fn tls_1_3_connections_work_with_either_hash() {
    //= specs/exported-authenticators.md#section-5.1
    //= type=test
    //# The authenticator hash MUST be the hash of the selected cipher suite on TLS 1.3 and that of
    //# the pseudorandom function on TLS 1.2.
    //= specs/exported-authenticators.md#section-5.1
    //= type=test
    //# On TLS 1.3 the values MUST come from the exporter of RFC 8446, section 7.5.
    //= specs/exported-authenticators.md#section-7.3
    //= type=test
    //# The interface MAY be built outside of the TLS library on its exporters.
    for (suite, algorithm) in
        [(SHA256.suite, HashAlgorithm::SHA256), (SHA384.suite, HashAlgorithm::SHA384)]
    {
        let tls = Tls::new(&version::TLS13, suite).finish();
        works(&tls);
        let (client, _) = tls.values(ExtendedMasterSecret::Unknown).unwrap();
        assert_eq!(client.hash().algorithm(), algorithm);
    }
}

#[test]
fn tls_1_2_connections_need_the_extended_master_secret() {
    //= specs/exported-authenticators.md#section-5.1
    //= type=test
    //# The authenticator hash MUST be the hash of the selected cipher suite on TLS 1.3 and that of
    //# the pseudorandom function on TLS 1.2.
    //= specs/exported-authenticators.md#section-5.1
    //= type=test
    //# On TLS 1.2 the values MUST come from the exporter of RFC 5705, section 4.
    //= specs/exported-authenticators.md#section-5.1
    //= type=test
    //# On TLS 1.2 a value MUST be as long as the output of the hash of the pseudorandom function.
    for (suite, algorithm, len) in [
        (cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, HashAlgorithm::SHA256, 32),
        (cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, HashAlgorithm::SHA384, 48),
    ] {
        let tls = Tls::new(&version::TLS12, suite).finish();
        works(&tls);
        let (client, _) = tls.values(ExtendedMasterSecret::Required).unwrap();
        assert_eq!((client.hash().algorithm(), client.hash().output_len()), (algorithm, len));
        //= specs/exported-authenticators.md#section-5.1
        //= type=test
        //# An authenticator MUST NOT be generated on a TLS 1.2 connection without the extended
        //# master secret.
        //= specs/exported-authenticators.md#section-5.1
        //= type=test
        //# An authenticator MUST NOT be accepted on a TLS 1.2 connection without the extended
        //# master secret.
        //= specs/exported-authenticators.md#section-7
        //= type=test
        //# Every interface MUST fail on a connection of TLS 1.2 without the extended master secret.
        //= specs/exported-authenticators.md#section-1
        //= type=test
        //# A connection MUST have negotiated TLS 1.2, DTLS 1.2 or a later version for
        //# authenticators to be used on it.
        assert_eq!(
            tls.values(ExtendedMasterSecret::Unknown).unwrap_err(),
            Unavailable::NoExtendedMasterSecret
        );
    }
}

#[test]
fn nothing_is_exported_before_the_handshake_is_complete() {
    let mut tls = Tls::new(&version::TLS13, SHA256.suite);
    let too_early = Unavailable::HandshakeNotComplete;
    let required = ExtendedMasterSecret::Required;
    let export = |tls: &Tls| {
        let client = ExporterValues::from_rustls(&tls.client, &provider(), required);
        let server = ExporterValues::from_rustls(&tls.server, &provider(), required);
        (client.err(), server.err())
    };
    //= specs/exported-authenticators.md#section-5.1
    //= type=test
    //# On TLS 1.3 the exporter MUST be keyed by exporter_master_secret, never by
    //# early_exporter_master_secret.
    assert_eq!(export(&tls), (Some(too_early.clone()), Some(too_early.clone())));
    tls.client_flight();
    tls.server_flight();
    //= specs/exported-authenticators.md#section-9
    //= type=test
    //# A server MUST verify the client's Finished of the handshake before it sends an
    //# authenticator.
    //= specs/exported-authenticators.md#section-9
    //= type=test
    //# A server MUST verify the client's Finished of the handshake before it processes an
    //# authenticator.
    assert_eq!(export(&tls), (None, Some(too_early)));
    tls.client_flight();
    assert_eq!(export(&tls), (None, None));
}

#[test]
fn authenticators_leave_the_connection_alone() {
    //= specs/exported-authenticators.md#section-9
    //= type=test
    //# Creating or validating an authenticator MUST NOT change the state of the TLS connection.
    let mut tls = Tls::new(&version::TLS13, SHA256.suite).finish();
    works(&tls);
    assert!(!tls.client.wants_write() && !tls.server.wants_write());
    works(&tls);
    tls.client_flight();
}

#[test]
fn a_suite_without_a_known_hash_is_refused() {
    let only_sha256 = CryptoProvider { cipher_suites: vec![SHA256.suite], ..provider() };
    //= specs/exported-authenticators.md#section-5.1
    //= type=test
    //# Authenticators MUST NOT be used with a TLS 1.3 cipher suite that has no hash function.
    let suite = SHA384.suite.suite();
    assert!(AuthenticatorHash::of_suite_number(suite, &only_sha256).is_err());
    //= specs/exported-authenticators.md#section-5.1
    //= type=test
    //# Authenticators MUST NOT be used with a TLS 1.2 cipher suite that does without the TLS PRF.
    let suite = cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384;
    assert_eq!(AuthenticatorHash::of_suite(suite, &only_sha256).unwrap_err(), Unavailable::NoHash);
}
