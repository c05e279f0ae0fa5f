//! The queue of lines, and the thread that writes them.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Sink;
use super::line::Line;

/// How much may wait to be written, in bytes: some ten thousand lines.
pub(super) const CAPACITY: usize = 8 * 1024 * 1024;
/// How much of a buffer is kept for later, in bytes.
const KEPT: usize = 256 * 1024;
/// How long to wait after a write that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Lines on their way.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// The thread has something to do.
    work: Condvar,
    /// The thread has ended.
    ended: Condvar,
    written: AtomicU64,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    lines: u64,
    /// Lost since it was last said.
    lost: u64,
    /// Where to write from which place in `bytes` on.
    switches: VecDeque<Switch>,
    /// Whether what is pushed now has somewhere to go.
    open: bool,
    running: bool,
    ending: bool,
}

impl Queue {
    /// Adds a line, with its newline.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if !state.open {
            return;
        }
        if state.ending || state.bytes.len() + line.len() > CAPACITY {
            state.lost += 1;
            let first = state.lost == 1;
            drop(state);
            self.lost.fetch_add(1, Ordering::Relaxed);
            if first {
                tracing::error!("lines of the audit log are lost: they cannot be written in time");
            }
            return;
        }
        let idle = state.bytes.is_empty();
        state.bytes.extend_from_slice(line);
        state.lines += 1;
        drop(state);
        if idle {
            self.work.notify_one();
        }
    }

    /// Sees to it that the thread runs.
    pub(super) fn start(self: &Arc<Self>) -> io::Result<()> {
        let mut state = self.lock();
        if !state.running {
            let queue = Arc::clone(self);
            std::thread::Builder::new().name("audit".to_owned()).spawn(move || queue.run())?;
            state.running = true;
        }
        Ok(())
    }

    /// What waits goes to where it would have gone, further lines to `sink`.
    pub(super) fn switch(&self, sink: Option<Sink>) {
        let mut state = self.lock();
        let at = state.bytes.len();
        state.open = sink.is_some();
        state.switches.push_back((at, sink));
        drop(state);
        self.work.notify_one();
    }

    pub(super) fn totals(&self) -> (u64, u64) {
        (self.written.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }

    /// Ends the thread once all is written, and waits for that no longer than `patience`.
    pub(super) fn finish(&self, patience: Duration) {
        self.end();
        let mut state = self.lock();
        let deadline = Instant::now() + patience;
        while state.running {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::error!("the last lines of the audit log could not be written in time");
                return;
            }
            let woken = self.ended.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the thread once all is written.
    pub(super) fn end(&self) {
        self.lock().ending = true;
        self.work.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut writer = Writer::default();
        loop {
            let batch = self.batch(&mut writer);
            let (mut from, mut lost) = (0, 0);
            for (at, sink) in batch.switches {
                lost += self.write(&mut writer, batch.bytes.get(from..at).unwrap_or_default());
                from = at;
                writer.sink = sink;
            }
            lost += self.write(&mut writer, batch.bytes.get(from..).unwrap_or_default());
            self.lost.fetch_add(lost, Ordering::Relaxed);
            self.written.fetch_add(batch.lines.saturating_sub(lost), Ordering::Relaxed);
            writer.spare = batch.bytes;
            if batch.last {
                break;
            }
        }
        self.lock().running = false;
        self.ended.notify_all();
    }

    /// Waits for something to do, and takes it all.
    fn batch(&self, writer: &mut Writer) -> Batch {
        let mut state = self.lock();
        while state.bytes.is_empty()
            && state.lost == 0
            && state.switches.is_empty()
            && !state.ending
        {
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut spare = std::mem::take(&mut writer.spare);
        spare.clear();
        spare.shrink_to(KEPT);
        let mut batch = Batch {
            bytes: std::mem::replace(&mut state.bytes, spare),
            lines: std::mem::take(&mut state.lines),
            switches: std::mem::take(&mut state.switches),
            last: state.ending,
        };
        let lost = std::mem::take(&mut state.lost);
        drop(state);
        if lost > 0 {
            Line::lost(lost).with_bytes(|line| batch.bytes.extend_from_slice(line));
            batch.lines += 1;
        }
        batch
    }

    /// Writes all of `bytes`. While that fails it is tried again, and what comes meanwhile waits in the queue.
    /// Returns how many lines had to be given up at the end.
    fn write(&self, writer: &mut Writer, bytes: &[u8]) -> u64 {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let Some(sink) = &mut writer.sink else {
                break;
            };
            let error = match sink.write(rest) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(written) => {
                    done += written;
                    if std::mem::take(&mut writer.failing) {
                        tracing::info!("the audit log can be written again");
                    }
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            if !std::mem::replace(&mut writer.failing, true) {
                tracing::error!(%error, "the audit log cannot be written; it is tried again");
            }
            match self.pause() {
                Pause::Over => {}
                // Lines are whole, wherever they are: one that was cut is written anew.
                Pause::Switched(sink) => {
                    writer.sink = sink;
                    let written = bytes.get(..done).unwrap_or_default();
                    done = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                }
                Pause::End => {
                    let lines = rest.iter().filter(|byte| **byte == b'\n').count() as u64;
                    tracing::error!(
                        lines,
                        "lines of the audit log are lost: they could not be written"
                    );
                    return lines;
                }
            }
        }
        0
    }

    fn pause(&self) -> Pause {
        let mut state = self.lock();
        let deadline = Instant::now() + PAUSE;
        loop {
            if let Some((_, sink)) = state.switches.pop_front() {
                return Pause::Switched(sink);
            }
            if state.ending {
                return Pause::End;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Pause::Over;
            }
            let woken = self.work.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What the thread keeps.
#[derive(Debug, Default)]
struct Writer {
    sink: Option<Sink>,
    /// A buffer to fill next.
    spare: Vec<u8>,
    failing: bool,
}

struct Batch {
    bytes: Vec<u8>,
    lines: u64,
    switches: VecDeque<Switch>,
    last: bool,
}

/// A place in a buffer, and where what stands behind it goes.
type Switch = (usize, Option<Sink>);

/// Why a pause is over.
enum Pause {
    Over,
    Switched(Option<Sink>),
    End,
}
