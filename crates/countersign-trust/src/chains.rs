//! The chains that were verified before.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;
use rustls::Error;
use rustls::pki_types::UnixTime;

use crate::Verified;

/// The SHA-256 of a chain and of what it was judged by.
pub(crate) type Key = [u8; 32];

/// Remembers which chains were verified, so that who comes again costs a look and not a path.
///
/// What is remembered is found by the exact octets of the chain, the verifier, and the generation of everybody whom it
/// asks about revocation; it counts from the latest notBefore to the earliest notAfter on the path, and no longer than
/// the revocation lists that were relied upon. Refusals are not remembered. Of several who bring one chain at the same
/// time one verifies it, and the others wait for that.
///
/// An entry has a fixed size, whatever the chain: about 300 bytes with what the cache needs for it. When it is full,
/// what is seldom asked for goes first.
pub struct VerifiedChains {
    cache: Cache<Key, Verified>,
    hits: AtomicU64,
    misses: AtomicU64,
    shared: AtomicU64,
}

/// How often what was asked for was there. Each number only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainStats {
    /// It was remembered.
    pub hits: u64,
    /// It was verified.
    pub misses: u64,
    /// Somebody else was verifying it at the time.
    pub shared: u64,
}

impl ChainStats {
    /// The sums of both.
    pub fn and(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
            shared: self.shared + other.shared,
        }
    }
}

impl VerifiedChains {
    /// Remembers this many at most; none with 0.
    pub fn new(entries: u64) -> Self {
        let cache = Cache::builder().max_capacity(entries).build();
        let (hits, misses, shared) = Default::default();
        Self { cache, hits, misses, shared }
    }

    /// How it went so far.
    pub fn stats(&self) -> ChainStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ChainStats {
            hits: read(&self.hits),
            misses: read(&self.misses),
            shared: read(&self.shared),
        }
    }

    /// How many are remembered.
    pub fn len(&self) -> u64 {
        // Otherwise what was added or dropped a moment ago might not be counted yet.
        self.cache.run_pending_tasks();
        self.cache.entry_count()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is remembered of it and holds, or what `verify` says.
    pub(crate) fn get_or(
        &self,
        key: Key,
        now: UnixTime,
        verify: impl Fn() -> Result<Verified, Error>,
    ) -> Result<Verified, Error> {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match self.cache.get(&key) {
            Some(known) if known.holds_at(now) => {
                count(&self.hits);
                return Ok(known);
            }
            Some(_) => self.cache.invalidate(&key),
            None => {}
        }
        let mine = Cell::new(false);
        let outcome = self.cache.try_get_with(key, || {
            mine.set(true);
            verify()
        });
        if mine.get() {
            count(&self.misses);
            return outcome.map_err(|refusal| (*refusal).clone());
        }
        match outcome {
            Ok(known) if known.holds_at(now) => {
                count(&self.shared);
                Ok(known)
            }
            Err(refusal) => {
                count(&self.shared);
                Err((*refusal).clone())
            }
            // Whoever verified it has another time.
            Ok(_) => {
                count(&self.misses);
                verify()
            }
        }
    }
}

impl fmt::Debug for VerifiedChains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedChains").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "chains/tests.rs"]
mod tests;
