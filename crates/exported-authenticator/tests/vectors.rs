//! The vectors of `vectors/exported-authenticator.json`, made by another implementation.
//!
//! Their certificates are valid from 2020-01-01 to 2049-12-31 (the expired one excepted); chains are
//! checked at a fixed time in between. All leaves are for clients, so also the chains in what servers
//! send are checked as client chains.

#![cfg(test)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use exported_authenticator::{
    AuthenticatorHash, AuthenticatorRequest, Chain, Connection, ContextError, Credential,
    ExporterValues, Extension, ExtensionType, InvalidAuthenticator, Malformed, Offered, Role,
    TLS13_SCHEMES, Validated,
};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::hash::HashAlgorithm;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use serde::Deserialize;

/// 2030-01-01T00:00:00Z.
const NOW: Duration = Duration::from_secs(1_893_456_000);

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    op: String,
    expect: String,
    request: String,
    #[serde(default)]
    hash: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    handshake_context: String,
    #[serde(default)]
    finished_key: String,
    #[serde(default)]
    authenticator: String,
    #[serde(default)]
    deterministic: bool,
    #[serde(default)]
    roots: Vec<String>,
    #[serde(default)]
    chain: Vec<String>,
    key_pkcs8: Option<String>,
    #[serde(default)]
    used_contexts: Vec<String>,
}

fn vectors() -> Vec<Vector> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/exported-authenticator.json");
    let file: File = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(file.vectors.len(), 69);
    file.vectors
}

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn certificates(list: &[String]) -> Vec<CertificateDer<'static>> {
    list.iter().map(|one| bytes(one).into()).collect()
}

impl Vector {
    fn sender(&self) -> Role {
        match self.role.as_str() {
            "client" => Role::Client,
            "server" => Role::Server,
            other => panic!("role {other}"),
        }
    }

    /// The connection as `role` sees it, with what the vector says was used on it before.
    fn connection(&self, role: Role) -> Connection {
        let provider = aws_lc_rs::default_provider();
        let algorithm = match self.hash.as_str() {
            "sha256" => HashAlgorithm::SHA256,
            "sha384" => HashAlgorithm::SHA384,
            other => panic!("hash {other}"),
        };
        let hash = AuthenticatorHash::of_algorithm(algorithm, &provider).unwrap();
        let (context, key) = (bytes(&self.handshake_context), bytes(&self.finished_key));
        let values: HashMap<String, Vec<u8>> = HashMap::from([
            (format!("EXPORTER-{} authenticator handshake context", self.role), context),
            (format!("EXPORTER-{} authenticator finished key", self.role), key),
        ]);
        let values = ExporterValues::from_exporter(hash, |output, label, context| {
            assert!(context.is_empty());
            let label = std::str::from_utf8(label).unwrap();
            match values.get(label) {
                Some(value) => output.copy_from_slice(value),
                None => output.fill(0xee),
            }
            Ok::<(), ()>(())
        })
        .unwrap();
        let algorithms = provider.signature_verification_algorithms;
        let mut connection = Connection::new(Arc::new(values), role, algorithms);
        for context in &self.used_contexts {
            let contexts = connection.contexts();
            contexts.request(&bytes(context)).unwrap();
            contexts.answer(&bytes(context)).unwrap();
        }
        connection
    }

    /// Registers the vector's request, unless its context is said to be used.
    fn request(&self, connection: &mut Connection) -> AuthenticatorRequest {
        let request = bytes(&self.request);
        if self.used_contexts.is_empty() {
            connection.receive_request(&request).unwrap()
        } else {
            AuthenticatorRequest::parse(&request).unwrap()
        }
    }

    fn validate(&self, authenticator: &[u8]) -> &'static str {
        let mut connection = self.connection(self.sender().peer());
        let validated = if self.request.is_empty() {
            let offered =
                Offered { signature_algorithms: TLS13_SCHEMES.to_vec(), extensions: Vec::new() };
            connection.validate_spontaneous(authenticator, &offered).map(Validated::Proven)
        } else {
            let request = self.request(&mut connection);
            connection.validate(&request, authenticator)
        };
        match validated {
            Ok(Validated::Empty) => "empty",
            Ok(Validated::Proven(proven)) => {
                let mut roots = RootCertStore::empty();
                for root in certificates(&self.roots) {
                    roots.add(root).unwrap();
                }
                let provider = Arc::new(aws_lc_rs::default_provider());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                    .build()
                    .unwrap();
                let now = UnixTime::since_unix_epoch(NOW);
                match proven.verify_client(&*verifier, now) {
                    Ok(_) => "ok",
                    Err(_) => "untrusted",
                }
            }
            Err(error) => reason(&error),
        }
    }

    fn credential(&self) -> Option<Credential> {
        let key = PrivatePkcs8KeyDer::from(bytes(self.key_pkcs8.as_ref()?));
        let key = aws_lc_rs::default_provider()
            .key_provider
            .load_private_key(PrivateKeyDer::from(key))
            .unwrap();
        let chain = Chain::new(certificates(&self.chain)).unwrap();
        let chain = chain.with_extension(
            0,
            Extension {
                typ: ExtensionType::STATUS_REQUEST,
                body: b"\x01\x00\x00\x01\x30".to_vec(),
            },
        );
        Some(Credential::new(chain, key).unwrap())
    }
}

/// What the vectors call the reason.
fn reason(error: &InvalidAuthenticator) -> &'static str {
    use InvalidAuthenticator as I;
    match error {
        I::Malformed(Malformed::Truncated(_) | Malformed::Length(_)) => "malformed",
        I::Malformed(Malformed::Trailing(_)) => "trailing_bytes",
        I::Malformed(Malformed::DuplicateExtension(_)) => "duplicate_extension",
        I::Malformed(Malformed::MessageSequence) => "bad_message_sequence",
        I::ContextMismatch => "context_mismatch",
        I::Context(ContextError::Replayed) => "context_replayed",
        I::EmptyCertificateList => "empty_certificate_list",
        I::BadCertificate => "bad_certificate",
        I::ExtensionNotRequested(_) => "extension_not_requested",
        I::SchemeNotTls13(_) => "scheme_not_tls13",
        I::SchemeNotOffered(_) => "scheme_not_offered",
        I::SchemeKeyMismatch(_) => "scheme_key_mismatch",
        I::BadSignature => "bad_signature",
        I::BadFinished => "bad_finished",
        I::Malformed(_) | I::Context(_) | I::SpontaneousClient => {
            panic!("{error} is no reason of the vectors")
        }
    }
}

#[test]
fn every_vector_gets_its_verdict_for_its_reason() {
    for vector in vectors() {
        let verdict = match vector.op.as_str() {
            "validate" => vector.validate(&bytes(&vector.authenticator)),
            "parse_request" => AuthenticatorRequest::parse(&bytes(&vector.request))
                .map_or_else(|error| panic!("{}: {error}", vector.name), |_| "ok"),
            other => panic!("operation {other}"),
        };
        assert!(
            vector.expect.split('|').any(|one| one == verdict),
            "{}: expected {}, got {verdict}",
            vector.name,
            vector.expect
        );
    }
}

#[test]
fn deterministic_vectors_are_made_byte_for_byte_and_others_validate() {
    let (mut exact, mut own) = (0, 0);
    for vector in vectors() {
        if vector.op != "validate" || !matches!(vector.expect.as_str(), "ok" | "empty") {
            continue;
        }
        let mut connection = vector.connection(vector.sender());
        let made = match vector.credential() {
            Some(credential) => {
                let request = vector.request(&mut connection);
                connection.authenticate(&request, &credential).unwrap()
            }
            None if vector.expect == "empty" => {
                let request = vector.request(&mut connection);
                connection.decline(&request).unwrap()
            }
            None => continue, // the spontaneous ones come without a key
        };
        assert_eq!(vector.validate(&made), vector.expect, "{}", vector.name);
        own += 1;
        if vector.deterministic {
            assert_eq!(made, bytes(&vector.authenticator), "{}", vector.name);
            exact += 1;
        }
    }
    assert_eq!((exact, own), (10, 28));
}
