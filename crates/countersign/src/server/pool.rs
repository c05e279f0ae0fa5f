//! Where authenticators and chains are verified: not where connections are served.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Verifies on a bounded number of threads, of each connection one thing at a time. Cheap to clone; whoever shares
/// it shares its threads, which are those of tokio's pool for blocking work.
///
/// It is fair by time, not by number: next is the connection that has kept the pool busy for the shortest time.
/// Whoever comes after a while waits for what is being verified, and not behind those who have costly proofs or many.
#[derive(Clone)]
pub struct VerificationPool(Arc<Pool>);

struct Pool {
    threads: usize,
    queue: Mutex<Queue>,
}

type Job = Box<dyn FnOnce() + Send>;

/// One connection's place in the queue.
#[derive(Debug)]
pub(crate) struct Lane {
    number: u64,
    /// How long it has kept the pool busy, in nanoseconds, counted from where the others were when it came.
    used: AtomicU64,
}

#[derive(Default)]
struct Queue {
    /// Threads that are at work.
    working: usize,
    /// Where the lane was that began last.
    reached: u64,
    /// Who is next, of those that have something and are not being served: by time used, then by order of arrival.
    ready: BTreeMap<(u64, u64), Arc<Lane>>,
    arrivals: u64,
    /// What waits, of those that have something or are being served.
    waiting: HashMap<u64, VecDeque<Job>>,
}

impl VerificationPool {
    /// At most so many at a time.
    pub fn new(threads: NonZeroUsize) -> Self {
        Self(Arc::new(Pool { threads: threads.get(), queue: Mutex::default() }))
    }

    /// How much waits for its turn.
    pub fn waiting(&self) -> usize {
        self.0.lock().waiting.values().map(VecDeque::len).sum()
    }

    pub(crate) fn lane() -> Arc<Lane> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Lane { number, used: AtomicU64::new(0) })
    }

    /// Does it when it is the lane's turn, after what the lane has brought before. Must be called within a
    /// tokio runtime.
    pub(crate) fn submit(&self, lane: &Arc<Lane>, job: impl FnOnce() + Send + 'static) {
        let mut queue = self.0.lock();
        let jobs = queue.waiting.get_mut(&lane.number);
        match jobs {
            Some(jobs) => {
                jobs.push_back(Box::new(job));
                return;
            }
            None => {
                let first: Job = Box::new(job);
                queue.waiting.insert(lane.number, VecDeque::from([first]));
                // Time that it did not use is not kept for it.
                lane.used.fetch_max(queue.reached, Ordering::Relaxed);
                queue.line_up(Arc::clone(lane));
            }
        }
        if queue.working < self.0.threads {
            queue.working += 1;
            drop(queue);
            let pool = Arc::clone(&self.0);
            tokio::task::spawn_blocking(move || pool.work());
        }
    }
}

impl Default for VerificationPool {
    /// Half of the processors, but one at least: the others serve.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::new(NonZeroUsize::new(processors / 2).unwrap_or(NonZeroUsize::MIN))
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No job runs under it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until nothing is left.
    fn work(&self) {
        while let Some((lane, job)) = self.next() {
            let begun = Instant::now();
            // What it was about stays undecided, and whoever waits for that is refused in time.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("a verification has panicked");
            }
            self.done(lane, begun.elapsed());
            // Whoever serves on this processor goes first.
            std::thread::yield_now();
        }
    }

    fn next(&self) -> Option<(Arc<Lane>, Job)> {
        let mut queue = self.lock();
        while let Some(((used, _), lane)) = queue.ready.pop_first() {
            queue.reached = queue.reached.max(used);
            if let Some(job) = queue.waiting.get_mut(&lane.number).and_then(VecDeque::pop_front) {
                return Some((lane, job));
            }
        }
        queue.working -= 1;
        None
    }

    fn done(&self, lane: Arc<Lane>, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let mut queue = self.lock();
        let used = lane.used.load(Ordering::Relaxed).saturating_add(took);
        lane.used.store(used, Ordering::Relaxed);
        if queue.waiting.get(&lane.number).is_none_or(VecDeque::is_empty) {
            queue.waiting.remove(&lane.number);
        } else {
            queue.line_up(lane);
        }
    }
}

impl Queue {
    fn line_up(&mut self, lane: Arc<Lane>) {
        self.arrivals += 1;
        self.ready.insert((lane.used.load(Ordering::Relaxed), self.arrivals), lane);
    }
}

impl fmt::Debug for VerificationPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationPool")
            .field("threads", &self.0.threads)
            .field("waiting", &self.waiting())
            .finish()
    }
}

#[cfg(test)]
#[path = "pool/tests.rs"]
mod tests;
