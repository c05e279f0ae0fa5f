//! What the tests of Countersign share.
//!
//! * [`tls`]: configurations and completed handshakes, in memory, for every protocol version and hash
//! * [`random`]: randomness that a test can repeat
//! * [`relay`]: a network that loses, repeats and reorders datagrams
//! * [`capture`]: what passes, as a capture file, and its secrets as a key log
//! * [`raw`]: an HTTP/2 peer that sends what it is told to, however wrong
//! * [`raw_h3`]: the same for HTTP/3
//! * [`quic`]: quinn endpoints for both sides
//! * [`Version`] and [`over_both_versions`]: one test, two versions of HTTP
//! * [`CountingVerifier`]: whether a session was resumed
//! * [`within`]: nothing waits for ever
//! * [`mod@bench`]: what ours costs, relative to the same without ours
//!
//! Never published, and no part of what is: it panics where a test would. It knows nothing of the
//! extension itself, so that every crate can use it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this crate is only linked into tests, where a panic is the way to fail"
)]

pub mod bench;
pub mod capture;
pub mod quic;
pub mod random;
pub mod raw;
pub mod raw_h3;
pub mod relay;
pub mod tls;
mod verifier;
mod version;

use std::future::Future;
use std::time::Duration;

pub use countersign_pki as pki;

pub use self::random::SeededRandom;
pub use self::raw::{Frame, RawPeer};
pub use self::raw_h3::RawH3Peer;
pub use self::tls::{Suite, TlsOptions, tls_pair};
pub use self::verifier::CountingVerifier;
pub use self::version::Version;

/// How long a test waits for anything; generous, for busy machines.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The future's output.
///
/// # Panics
/// When it takes longer than [`PATIENCE`].
#[track_caller]
pub fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(output) => output,
            Err(_) => panic!("{caller}: nothing happened for {PATIENCE:?}"),
        }
    }
}
