//! Who is served when.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::time::Duration;

use tokio::time::timeout;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

fn pool(threads: usize) -> VerificationPool {
    VerificationPool::new(NonZeroUsize::new(threads).unwrap())
}

/// Keeps a thread busy until it is told to go on.
fn occupy(pool: &VerificationPool, lane: &Arc<Lane>) -> mpsc::Sender<()> {
    let (go_on, told) = mpsc::channel();
    let (begun, begins) = mpsc::channel();
    pool.submit(lane, move || {
        begun.send(()).unwrap();
        told.recv_timeout(LIMIT).unwrap();
    });
    begins.recv_timeout(LIMIT).unwrap();
    go_on
}

/// Whose jobs were done, in order.
#[derive(Clone)]
struct Log {
    entries: Arc<Mutex<Vec<&'static str>>>,
    grown: tokio::sync::watch::Sender<usize>,
}

impl Log {
    fn new() -> Self {
        Self { entries: Arc::default(), grown: tokio::sync::watch::Sender::new(0) }
    }

    fn job(&self, name: &'static str) -> impl FnOnce() + Send + 'static {
        let log = self.clone();
        move || {
            log.entries.lock().unwrap().push(name);
            log.grown.send_modify(|number| *number += 1);
        }
    }

    async fn wait_for(&self, number: usize) -> Vec<&'static str> {
        let mut grown = self.grown.subscribe();
        timeout(LIMIT, grown.wait_for(|there| *there >= number)).await.unwrap().unwrap();
        self.entries.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn what_one_connection_brings_keeps_its_order() {
    let (pool, log, lane) = (pool(4), Log::new(), VerificationPool::lane());
    for name in ["1", "2", "3", "4", "5"] {
        pool.submit(&lane, log.job(name));
    }
    assert_eq!(log.wait_for(5).await, ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn of_one_connection_one_is_verified_at_a_time() {
    let (pool, lane) = (pool(4), VerificationPool::lane());
    let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let log = Log::new();
    for _ in 0..50 {
        let (at_once, most) = (Arc::clone(&at_once), Arc::clone(&most));
        let done = log.job("");
        pool.submit(&lane, move || {
            most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            at_once.fetch_sub(1, Ordering::SeqCst);
            done();
        });
    }
    log.wait_for(50).await;
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn no_more_threads_work_than_agreed() {
    let pool = pool(2);
    let lanes: Vec<_> = (0..3).map(|_| VerificationPool::lane()).collect();
    let (first, second) = (occupy(&pool, &lanes[0]), occupy(&pool, &lanes[1]));
    let log = Log::new();
    pool.submit(&lanes[2], log.job("third"));
    assert_eq!(pool.waiting(), 1);
    assert_eq!(pool.0.lock().working, 2);
    first.send(()).unwrap();
    assert_eq!(log.wait_for(1).await, ["third"]);
    second.send(()).unwrap();
}

#[tokio::test]
async fn who_brings_much_does_not_keep_the_others_waiting() {
    let (pool, log) = (pool(1), Log::new());
    let (flood, quiet) = (VerificationPool::lane(), VerificationPool::lane());
    let go_on = occupy(&pool, &flood);
    for _ in 0..20 {
        pool.submit(&flood, log.job("flood"));
    }
    pool.submit(&quiet, log.job("quiet"));
    go_on.send(()).unwrap();
    let order = log.wait_for(21).await;
    assert_eq!(order.first(), Some(&"quiet"), "{order:?}");
}

#[tokio::test]
async fn who_is_costly_goes_behind_who_is_not() {
    let (pool, log) = (pool(1), Log::new());
    let (costly, cheap, gate) =
        (VerificationPool::lane(), VerificationPool::lane(), VerificationPool::lane());
    costly.used.store(1_000_000_000, Ordering::Relaxed);
    let go_on = occupy(&pool, &gate);
    pool.submit(&costly, log.job("costly"));
    for _ in 0..3 {
        pool.submit(&cheap, log.job("cheap"));
    }
    go_on.send(()).unwrap();
    assert_eq!(log.wait_for(4).await, ["cheap", "cheap", "cheap", "costly"]);
}

#[tokio::test]
async fn who_was_quiet_for_long_gets_no_more_than_the_next_turn() {
    let (pool, log) = (pool(1), Log::new());
    pool.0.lock().reached = 5_000;
    let (quiet, gate) = (VerificationPool::lane(), VerificationPool::lane());
    let go_on = occupy(&pool, &gate);
    pool.submit(&quiet, log.job("quiet"));
    assert_eq!(quiet.used.load(Ordering::Relaxed), 5_000);
    go_on.send(()).unwrap();
    log.wait_for(1).await;
}

#[tokio::test]
async fn a_panic_costs_nobody_else_anything() {
    let (pool, log) = (pool(1), Log::new());
    let (bad, good) = (VerificationPool::lane(), VerificationPool::lane());
    pool.submit(&bad, || panic!("on purpose"));
    pool.submit(&bad, log.job("bad"));
    pool.submit(&good, log.job("good"));
    let mut done = log.wait_for(2).await;
    done.sort_unstable();
    assert_eq!(done, ["bad", "good"]);
}
