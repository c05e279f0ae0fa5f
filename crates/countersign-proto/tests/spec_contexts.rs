//! The contexts of requests: where they come from, and that no two connections share one.

#![cfg(test)]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use countersign_proto::frame::read_requests;
use countersign_proto::server::{ServerMachine, ServerPolicy};
use countersign_proto::{CodePoints, Role, Setting};
use exported_authenticator::{
    AuthenticatorHash, AuthenticatorRequest, Connection, ExporterValues, MessageType,
    RequestTemplate, TLS13_SCHEMES,
};
use rustls::crypto::hash::HashAlgorithm;
use rustls::crypto::{GetRandomFailed, SecureRandom, aws_lc_rs};

/// A source of random numbers that remembers what it gave.
#[derive(Debug)]
struct Recorder(Mutex<Vec<Vec<u8>>>);

impl SecureRandom for Recorder {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        aws_lc_rs::default_provider().secure_random.fill(bytes)?;
        self.0.lock().unwrap().push(bytes.to_vec());
        Ok(())
    }
}

static RANDOM: Recorder = Recorder(Mutex::new(Vec::new()));

/// The contexts of three requests on a new connection.
fn contexts() -> Vec<Vec<u8>> {
    let provider = aws_lc_rs::default_provider();
    let hash = AuthenticatorHash::of_algorithm(HashAlgorithm::SHA256, &provider).unwrap();
    let values = ExporterValues::from_exporter(hash, |_, _, _| Ok::<_, Infallible>(())).unwrap();
    let algorithms = provider.signature_verification_algorithms;
    let template = RequestTemplate::new(TLS13_SCHEMES.to_vec());
    let policy = ServerPolicy {
        message_type: MessageType::ClientCertificateRequest,
        max_outstanding: 4,
        max_queued: 4,
        generic_challenges: 0,
        generic: Arc::new(template.clone()),
        server_certificates: false,
    };
    let connection = Connection::new(values.into(), Role::Server, algorithms);
    let points = CodePoints::default();
    let mut server = ServerMachine::new(connection, points, policy, &RANDOM);
    server.settings_sent();
    let id = points.settings_client_cert_auth.into();
    server.peer_settings(&[Setting { id, value: 4 }]).unwrap();
    for _ in 0..3 {
        server.challenge(&template).unwrap();
    }
    let frame = server.poll_transmit(16_384).unwrap();
    let requests = read_requests(&frame.payload).unwrap();
    let context = |bytes: &[u8]| AuthenticatorRequest::parse(bytes).unwrap().context().to_vec();
    requests.iter().map(|bytes| context(bytes)).collect()
}

#[test]
fn contexts_are_drawn_at_random_and_never_shared() {
    //= specs/client-certs.md#section-5.2
    //= type=test
    //# The same request context SHOULD NOT be used on more than one connection.
    let mut all = [contexts(), contexts()].concat();
    //= specs/exported-authenticators.md#decisions
    //= type=test
    //# (ours) A context that the implementation draws itself MUST be 32 random bytes.
    assert!(all.iter().all(|context| context.len() == 32));
    //= specs/exported-authenticators.md#section-4
    //= type=test
    //# A certificate_request_context SHOULD be unpredictable for the peer, lest a thief who has the
    //# key for a while prepares authenticators in advance.
    assert_eq!(all, *RANDOM.0.lock().unwrap());
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 6);
}
