//! What an authenticator costs beside the bare cryptography in it, as ratios taken in one run.
//!
//! P-256 keys throughout, a chain of leaf and one intermediate, SHA-256. Each round times ours and
//! the bare operations one after the other, so that a busy or throttled machine slows both down; the
//! medians over all rounds are compared. Exits with 1 when a ratio is beyond its target.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench, and the helpers of the tests"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_pki::{KeyKind, Leaf};
use countersign_trust::{ChainVerifier, VerifiedChains};
use exported_authenticator::{
    Authenticator, AuthenticatorRequest, Connection, Credential, ExporterValues,
    ExtendedMasterSecret, Role, Validated,
};
use rustls::SignatureScheme;
use rustls::crypto::tls13::OkmBlock;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::Signer;
use support::{Configs, Ends, Secrets, Tls, provider, sha256, template};
use webpki::EndEntityCert;

/// How often each operation runs in one round.
const BATCH: usize = 50;
const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
const TARGET: f64 = 1.15;
/// Of a chain that is remembered, to the signature alone.
const TARGET_REMEMBERED: f64 = 1.35;

fn main() -> ExitCode {
    // `cargo test` runs benches too, but is not asked for figures.
    let measured = std::env::args().any(|arg| arg == "--bench");
    let rounds = if measured { 400 } else { 1 };
    let bench = Bench::new();
    let mut within = true;
    for (name, target, ours, bare) in [
        (
            "authenticate",
            TARGET,
            Bench::authenticate as fn(&Bench) -> Duration,
            Bench::sign_and_hash as fn(&Bench) -> Duration,
        ),
        ("validate and verify the chain", TARGET, Bench::validate, Bench::verify_and_hash),
        (
            "validate with a chain that is remembered, to the signature alone",
            TARGET_REMEMBERED,
            Bench::validate_remembered,
            Bench::verify_signature,
        ),
    ] {
        let (ours, bare) = medians(rounds, || ours(&bench), || bare(&bench));
        let ratio = ours / bare;
        println!("{name}: {ours:.1} µs, bare {bare:.1} µs, ratio {ratio:.3} (target {target})");
        within &= ratio <= target;
    }
    let (ours, bare) = medians(rounds, || bench.export(), || bench.export_bare());
    println!(
        "exporter values, once per connection: {ours:.1} µs, four bare exports {bare:.1} µs, {:.1} µs each",
        bare / 4.0
    );
    if measured && !within {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The medians of both over all rounds, in microseconds per operation.
fn medians(
    rounds: usize,
    mut ours: impl FnMut() -> Duration,
    mut bare: impl FnMut() -> Duration,
) -> (f64, f64) {
    let (mut of_ours, mut of_bare) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Neither goes first all the time.
        if round % 2 == 0 {
            of_ours.push(ours());
            of_bare.push(bare());
        } else {
            of_bare.push(bare());
            of_ours.push(ours());
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e6 / BATCH as f64
    };
    (median(of_ours), median(of_bare))
}

struct Bench {
    tls: Tls,
    credential: Credential,
    signer: Box<dyn Signer>,
    verifier: Arc<dyn ClientCertVerifier>,
    remembering: ChainVerifier,
    known: Arc<VerifiedChains>,
    requests: Vec<AuthenticatorRequest>,
    authenticators: Vec<Vec<u8>>,
}

impl Bench {
    fn new() -> Self {
        let authority = support::authority(KeyKind::P256);
        let issued = authority.issue(&Leaf::client("alice")).unwrap();
        let credential = support::credential(&issued);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.root_der()).unwrap();
        let known = Arc::new(VerifiedChains::new(10));
        let algorithms = provider().signature_verification_algorithms;
        let mut ends = Ends::seeded(SECRETS.0);
        let requests: Vec<_> = (0..BATCH)
            .map(|number| {
                let mut context = [0; 32];
                context[0] = number as u8;
                ends.ask(Role::Server, &template(), &context)
            })
            .collect();
        let authenticators = requests
            .iter()
            .map(|request| ends.client.authenticate(request, &credential).unwrap())
            .collect();
        Self {
            tls: Configs::tls13().connect(),
            signer: credential.key().choose_scheme(&[SCHEME]).unwrap(),
            credential,
            verifier: support::client_verifier(&authority),
            remembering: ChainVerifier::new(Arc::new(roots), algorithms)
                .unwrap()
                .remember_in(&known),
            known,
            requests,
            authenticators,
        }
    }

    /// One end that has taken in all requests.
    fn connection(&self, role: Role) -> Connection {
        let algorithms = provider().signature_verification_algorithms;
        let mut connection = Connection::new(Arc::new(SECRETS.values()), role, algorithms);
        for request in &self.requests {
            connection.receive_request(request.as_bytes()).unwrap();
        }
        connection
    }

    fn authenticate(&self) -> Duration {
        let mut client = self.connection(Role::Client);
        let start = Instant::now();
        for request in &self.requests {
            black_box(client.authenticate(request, &self.credential).unwrap());
        }
        start.elapsed()
    }

    /// The signature, the hashes and the HMAC of `authenticate`, over messages that are there already.
    fn sign_and_hash(&self) -> Duration {
        let bare = Bare::new();
        let messages: Vec<_> = self.authenticators.iter().map(|one| split(one)).collect();
        let start = Instant::now();
        for (request, [certificate, verify, _]) in self.requests.iter().zip(&messages) {
            let (signed, mac) = bare.hash(request.as_bytes(), certificate, verify);
            black_box(self.signer.sign(&signed).unwrap());
            black_box(mac);
        }
        start.elapsed()
    }

    fn validate(&self) -> Duration {
        self.validate_with(&*self.verifier)
    }

    fn validate_remembered(&self) -> Duration {
        let duration = self.validate_with(&self.remembering);
        assert!(self.known.stats().misses == 1);
        duration
    }

    /// The signature check of `validate`, and nothing else.
    fn verify_signature(&self) -> Duration {
        let bare = Bare::new();
        let messages: Vec<_> = self.authenticators.iter().map(|one| split(one)).collect();
        let (leaf, _) = self.chain();
        let algorithms = provider().signature_verification_algorithms;
        let (_, algorithm) =
            algorithms.mapping.iter().find(|(scheme, _)| *scheme == SCHEME).unwrap();
        let leaf = EndEntityCert::try_from(leaf).unwrap();
        let signed = |(request, [certificate, verify, _]): (&AuthenticatorRequest, &[&[u8]; 3])| {
            bare.hash(request.as_bytes(), certificate, verify).0
        };
        let signed: Vec<_> = self.requests.iter().zip(&messages).map(signed).collect();
        let start = Instant::now();
        for (signed, [_, verify, _]) in signed.iter().zip(&messages) {
            leaf.verify_signature(algorithm[0], signed, &verify[8..]).unwrap();
        }
        start.elapsed()
    }

    fn validate_with(&self, verifier: &dyn ClientCertVerifier) -> Duration {
        let mut server = self.connection(Role::Server);
        let now = support::now();
        let start = Instant::now();
        for (request, authenticator) in self.requests.iter().zip(&self.authenticators) {
            match server.validate(request, authenticator).unwrap() {
                Validated::Proven(proven) => {
                    black_box(proven.verify_client(verifier, now).unwrap());
                }
                Validated::Empty => panic!("an empty authenticator"),
            }
        }
        start.elapsed()
    }

    /// The signature check, the chain check, the hashes and the HMAC of `validate`.
    fn verify_and_hash(&self) -> Duration {
        let bare = Bare::new();
        let messages: Vec<_> = self.authenticators.iter().map(|one| split(one)).collect();
        let (leaf, intermediates) = self.chain();
        let algorithms = provider().signature_verification_algorithms;
        let (_, algorithm) =
            algorithms.mapping.iter().find(|(scheme, _)| *scheme == SCHEME).unwrap();
        let now = support::now();
        let start = Instant::now();
        for (request, [certificate, verify, _]) in self.requests.iter().zip(&messages) {
            let (signed, mac) = bare.hash(request.as_bytes(), certificate, verify);
            let signature = &verify[8..];
            EndEntityCert::try_from(leaf)
                .unwrap()
                .verify_signature(algorithm[0], &signed, signature)
                .unwrap();
            self.verifier.verify_client_cert(leaf, intermediates, now).unwrap();
            black_box(mac);
        }
        start.elapsed()
    }

    fn chain(&self) -> (&CertificateDer<'static>, &[CertificateDer<'static>]) {
        let chain = self.credential.chain().certificates();
        chain.split_first().unwrap()
    }

    fn export(&self) -> Duration {
        let provider = provider();
        let start = Instant::now();
        for _ in 0..BATCH {
            let ems = ExtendedMasterSecret::Unknown;
            black_box(ExporterValues::from_rustls(&self.tls.server, &provider, ems).unwrap());
        }
        start.elapsed()
    }

    fn export_bare(&self) -> Duration {
        let start = Instant::now();
        for _ in 0..BATCH {
            for label in [
                "EXPORTER-client authenticator handshake context",
                "EXPORTER-client authenticator finished key",
                "EXPORTER-server authenticator handshake context",
                "EXPORTER-server authenticator finished key",
            ] {
                let server = &self.tls.server;
                let value = server.export_keying_material([0; 48], label.as_bytes(), Some(&[]));
                black_box(value.unwrap());
            }
        }
        start.elapsed()
    }
}

const SECRETS: Secrets = Secrets(1);

/// The client's secrets, and what RFC 9261 does with them, by hand.
struct Bare {
    handshake_context: Vec<u8>,
    finished_key: OkmBlock,
}

impl Bare {
    fn new() -> Self {
        Self {
            handshake_context: SECRETS.handshake_context("client"),
            finished_key: OkmBlock::new(&SECRETS.finished_key("client")),
        }
    }

    /// What is signed, and the MAC.
    fn hash(
        &self,
        request: &[u8],
        certificate: &[u8],
        verify: &[u8],
    ) -> ([u8; 64 + 23 + 32], rustls::crypto::hmac::Tag) {
        let mut transcript = sha256().common.hash_provider.start();
        transcript.update(&self.handshake_context);
        transcript.update(request);
        transcript.update(certificate);
        let mut signed = [0x20; 64 + 23 + 32];
        signed[64..87].copy_from_slice(b"Exported Authenticator\0");
        signed[87..].copy_from_slice(transcript.fork_finish().as_ref());
        transcript.update(verify);
        let hkdf = sha256().hkdf_provider;
        let tag = hkdf.hmac_sign(&self.finished_key, transcript.finish().as_ref());
        (signed, tag)
    }
}

/// Certificate, CertificateVerify and Finished.
fn split(authenticator: &[u8]) -> [&[u8]; 3] {
    assert!(Authenticator::parse(authenticator).is_ok());
    let (certificate, rest) = authenticator.split_at(message_len(authenticator));
    let (verify, finished) = rest.split_at(message_len(rest));
    [certificate, verify, finished]
}

fn message_len(message: &[u8]) -> usize {
    4 + usize::from(u16::from_be_bytes([message[2], message[3]]))
}
