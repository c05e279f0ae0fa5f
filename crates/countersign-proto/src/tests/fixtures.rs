//! Keys, exporter values and requests that the tests share.

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use countersign_testkit::SeededRandom;
use countersign_testkit::pki::{Authority, KeyKind, Leaf};
use exported_authenticator::{
    AuthenticatorHash, AuthenticatorRequest, Chain, Connection, Credential, ExporterValues,
    ExtensionType, MessageType, Offered, RequestTemplate, TLS13_SCHEMES, stateless,
    tls13_schemes_of,
};
use rustls::RootCertStore;
use rustls::crypto::hash::HashAlgorithm;
use rustls::crypto::{CryptoProvider, SecureRandom, WebPkiSupportedAlgorithms, aws_lc_rs};

use crate::client::ClientMachine;
use crate::frame::put_request;
use crate::server::{ServerMachine, ServerPolicy};
use crate::{CodePoints, Role, Setting};

pub(super) static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(aws_lc_rs::default_provider);

/// Alice's authority and her credential: one key for all tests.
static ALICE: LazyLock<(RootCertStore, Credential)> = LazyLock::new(|| {
    let authority = Authority::root("Users", KeyKind::P256).unwrap();
    let alice = authority.issue(&Leaf::client("alice")).unwrap();
    let key = PROVIDER.key_provider.load_private_key(alice.key).unwrap();
    let credential = Credential::new(Chain::new(alice.chain).unwrap(), key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.root_der()).unwrap();
    (roots, credential)
});

pub(super) fn alice() -> &'static Credential {
    &ALICE.1
}

pub(super) fn algorithms() -> WebPkiSupportedAlgorithms {
    PROVIDER.signature_verification_algorithms
}

/// What a TLS exporter would give on a connection named `seed`; the same for both ends.
pub(super) fn values(seed: u64) -> Arc<ExporterValues> {
    let hash = AuthenticatorHash::of_algorithm(HashAlgorithm::SHA256, &PROVIDER).unwrap();
    let values = ExporterValues::from_exporter(hash, |output, label, _| {
        let label: u64 =
            label.iter().fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
        SeededRandom::new(label).fill(output).unwrap();
        Ok::<_, Infallible>(())
    });
    Arc::new(values.unwrap())
}

/// Whatever the client wants to present.
pub(super) fn generic() -> RequestTemplate {
    RequestTemplate::new(tls13_schemes_of(&algorithms()))
}

/// A certificate of Alice's authority.
pub(super) fn targeted() -> RequestTemplate {
    generic().certificate_authorities(ALICE.0.subjects())
}

/// A request with 32 times `context` for its context.
pub(super) fn request(context: u8) -> AuthenticatorRequest {
    generic().build(MessageType::ClientCertificateRequest, &[context; 32]).unwrap()
}

/// A payload of AUTHENTICATOR_REQUESTS.
pub(super) fn payload<'a>(requests: impl IntoIterator<Item = &'a AuthenticatorRequest>) -> Bytes {
    let mut payload = Vec::new();
    for request in requests {
        put_request(&mut payload, request.as_bytes());
    }
    payload.into()
}

/// Alice's answer on connection 0.
pub(super) fn answer(request: &AuthenticatorRequest) -> Vec<u8> {
    stateless::authenticate(&values(0), Role::Client, request, alice()).unwrap()
}

/// A refusal on connection 0.
pub(super) fn refusal(request: &AuthenticatorRequest) -> Vec<u8> {
    stateless::decline(&values(0), Role::Client, request).unwrap()
}

pub(super) fn client_auth(value: u64) -> Vec<Setting> {
    vec![Setting { id: CodePoints::default().settings_client_cert_auth.into(), value }]
}

/// A client on connection 0.
pub(super) fn client(limit: u32) -> ClientMachine {
    client_with(limit, 4096)
}

/// A client that tracks so many contexts.
pub(super) fn client_with(limit: u32, contexts: usize) -> ClientMachine {
    let connection =
        Connection::new(values(0), Role::Client, algorithms()).with_context_limit(contexts);
    ClientMachine::new(connection, CodePoints::default(), limit)
}

/// A client that may be asked for `limit` credentials at a time.
pub(super) fn negotiated_client(limit: u32) -> ClientMachine {
    let mut client = client(limit);
    client.settings_sent();
    client.peer_settings(&client_auth(1)).unwrap();
    while client.poll_event().is_some() {}
    client
}

pub(super) fn server_auth(value: u64) -> Vec<Setting> {
    vec![Setting { id: CodePoints::default().settings_server_cert_auth.into(), value }]
}

/// What the handshake of connection 0 offered.
pub(super) fn offered() -> Arc<Offered> {
    let extensions = vec![ExtensionType::STATUS_REQUEST];
    Arc::new(Offered { signature_algorithms: TLS13_SCHEMES.to_vec(), extensions })
}

/// A client to which a server may offer certificates, and that cannot be asked for any.
pub(super) fn accepting_client() -> ClientMachine {
    let mut client = client(0).with_server_certificates(offered());
    client.settings_sent();
    client.peer_settings(&server_auth(1)).unwrap();
    while client.poll_event().is_some() {}
    client
}

/// A server that asks for nothing of its own accord.
pub(super) fn policy() -> ServerPolicy {
    ServerPolicy {
        message_type: MessageType::ClientCertificateRequest,
        max_outstanding: 8,
        max_queued: 8,
        generic_challenges: 0,
        generic: Arc::new(generic()),
        server_certificates: false,
    }
}

/// A server on connection 0.
pub(super) fn server(policy: ServerPolicy) -> ServerMachine {
    server_with(policy, 4096, SeededRandom::leaked(7))
}

/// A server that tracks so many contexts and draws them from `random`.
pub(super) fn server_with(
    policy: ServerPolicy,
    contexts: usize,
    random: &'static dyn SecureRandom,
) -> ServerMachine {
    let connection =
        Connection::new(values(0), Role::Server, algorithms()).with_context_limit(contexts);
    ServerMachine::new(connection, CodePoints::default(), policy, random)
}

/// A server that may ask for `limit` credentials at a time.
pub(super) fn negotiated_server(policy: ServerPolicy, limit: u64) -> ServerMachine {
    let mut server = server(policy);
    server.settings_sent();
    server.peer_settings(&client_auth(limit)).unwrap();
    while server.poll_event().is_some() {}
    server
}
