//! What looking a certificate up in a revocation list of 100,000 entries adds to the verification of its chain,
//! as a ratio taken in one run, and what memory the list takes.
//!
//! P-256 keys, a leaf below its trust anchor. Exits with 1 when a figure is beyond its target.

#![expect(clippy::unwrap_used, reason = "a bench")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use countersign_testkit::pki::{Authority, KeyKind, Leaf, Serial};
use countersign_trust::{Issuer, Revocation, RevocationList, Status, Subject};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

const ENTRIES: u64 = 100_000;
const BATCH: usize = 50;
const TIME: f64 = 1.05;
const MEMORY: f64 = 5e6;

struct Case {
    leaf: CertificateDer<'static>,
    anchors: Vec<TrustAnchor<'static>>,
    list: Option<RevocationList>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Case {
    /// Verifies the leaf and, with the list, looks it up; as often as a batch says.
    fn run(&self, with_list: bool) -> Duration {
        let now = UnixTime::now();
        let list = self.list.as_ref().filter(|_| with_list);
        let begin = Instant::now();
        for _ in 0..BATCH {
            let leaf = EndEntityCert::try_from(&self.leaf).unwrap();
            let (all, usage) = (self.algorithms.all, KeyUsage::client_auth());
            let path = leaf.verify_for_usage(all, &self.anchors, &[], now, usage, None, None);
            let path = black_box(path.unwrap());
            if let Some(list) = list {
                let (name, key) =
                    (&*path.anchor().subject, &*path.anchor().subject_public_key_info);
                let issuer = Issuer { name, key, certificate: None };
                let subject = Subject { serial: leaf.serial(), is_authority: false };
                let status = list.status(&subject, &issuer, now);
                assert_eq!(black_box(status), Status::Good(list.next_update()));
            }
        }
        begin.elapsed()
    }
}

fn main() -> ExitCode {
    // `cargo test` runs benches too, but is not asked for figures.
    let measured = std::env::args().any(|arg| arg == "--bench");
    let (rounds, entries) = if measured { (400, ENTRIES) } else { (1, 100) };
    let root = Authority::root("Root", KeyKind::P256).unwrap();
    let issued = root.issue(&Leaf::client("alice")).unwrap();
    let serial = |number: u64| {
        // As long as those of public authorities.
        let mut serial = vec![0x41; 8];
        serial.extend(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        serial
    };
    let revoked: Vec<Serial> = (0..entries).map(serial).collect();
    let der = root.crl(&revoked).unwrap();
    drop(revoked);
    let mut case = Case {
        leaf: issued.chain.first().unwrap().clone(),
        anchors: vec![webpki::anchor_from_trusted_cert(&root.root_der()).unwrap().to_owned()],
        list: None,
        algorithms: rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms,
    };
    let before = resident();
    let begin = Instant::now();
    case.list = Some(RevocationList::new("a.crl", &der, case.algorithms, UnixTime::now()).unwrap());
    case.run(true);
    let (loading, memory) = (begin.elapsed(), resident() - before);
    println!(
        "a list of {entries} entries, {:.1} MB: loaded and verified in {loading:.1?}, memory {:.1} MB (target {:.1})",
        der.len() as f64 / 1e6,
        memory / 1e6,
        MEMORY / 1e6,
    );
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Neither goes first all the time.
        if round % 2 == 0 {
            with.push(case.run(true));
            without.push(case.run(false));
        } else {
            without.push(case.run(false));
            with.push(case.run(true));
        }
    }
    let (with, without) = (median(with), median(without));
    let ratio = with / without;
    println!(
        "validate a chain: {with:.1} µs, without the list {without:.1} µs, ratio {ratio:.3} (target {TIME})"
    );
    if measured && (ratio > TIME || memory > MEMORY) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// In microseconds per operation.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).unwrap().as_secs_f64() * 1e6 / BATCH as f64
}

/// The memory that this process has, in bytes; 0 where that cannot be told.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    kibibytes.unwrap_or(0.0) * 1024.0
}
