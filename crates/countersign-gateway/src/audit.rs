//! The audit log: one line of JSON for each decision about a request, and for each identity that was
//! proven, rejected, declined or lost.
//!
//! Lines go through a bounded queue to a thread that writes them, so that no request waits for a disk. Where
//! the disk cannot keep up lines are lost, and that is counted, logged, and said in the audit log itself.

mod line;
mod queue;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(crate) use self::line::{Connection, Credential, Line, Request};
use self::queue::Queue;
use crate::server::GatewayError;

/// How long the end waits for the last lines to be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Standard output.
    Stdout,
    /// A file; lines are added at its end.
    File(PathBuf),
}

impl Destination {
    /// Opens it; a file that is not there is made, for its owner to write and its group to read.
    fn open(&self) -> Result<Sink, GatewayError> {
        let Self::File(path) = self else {
            return Ok(Sink::Stdout);
        };
        let opened = options().create(true).open(path);
        opened.map(Sink::File).map_err(|source| GatewayError::Audit { path: path.clone(), source })
    }

    /// Whether a file could be written to, without making it.
    pub(crate) fn check(path: &Path) -> Result<(), String> {
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => Err("it is a folder".to_owned()),
            Ok(_) => options().open(path).map(drop).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                match std::fs::metadata(folder.unwrap_or(Path::new("."))) {
                    Ok(found) if found.is_dir() => Ok(()),
                    Ok(_) => Err("what should be its folder is none".to_owned()),
                    Err(error) => Err(format!("its folder: {error}")),
                }
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options
}

/// What lines are written to.
#[derive(Debug)]
enum Sink {
    Stdout,
    File(File),
    /// Something that tests hold up.
    #[cfg(test)]
    Other(Box<dyn tests::Other>),
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                let written = out.write(bytes)?;
                out.flush()?;
                Ok(written)
            }
            Self::File(file) => file.write(bytes),
            #[cfg(test)]
            Self::Other(other) => other.write(bytes),
        }
    }
}

/// Where lines are to go, and what is open there.
#[derive(Debug)]
pub(crate) struct Opened {
    destination: Destination,
    sink: Sink,
}

/// The audit log of a gateway, over all its configurations.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    on: AtomicBool,
    queue: Arc<Queue>,
    destination: Mutex<Option<Destination>>,
}

impl Audit {
    /// Whether there is one.
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Does all of going over to `destination` that can fail.
    pub(crate) fn open(
        &self,
        destination: Option<&Destination>,
    ) -> Result<Option<Opened>, GatewayError> {
        let Some(destination) = destination else {
            return Ok(None);
        };
        self.queue.start().map_err(GatewayError::AuditThread)?;
        Ok(Some(Opened { destination: destination.clone(), sink: destination.open()? }))
    }

    /// Lines go there from now on; those of before go to where they went.
    pub(crate) fn switch(&self, opened: Option<Opened>) {
        self.on.store(opened.is_some(), Ordering::Relaxed);
        let (destination, sink) = opened.map(|opened| (opened.destination, opened.sink)).unzip();
        self.queue.switch(sink);
        *self.destination.lock().unwrap_or_else(PoisonError::into_inner) = destination;
    }

    /// Opens the file anew, which may have been moved away; on an error all stays as it was.
    pub(crate) fn reopen(&self) -> Result<(), GatewayError> {
        let destination = self.destination.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match destination {
            Some(destination @ Destination::File(_)) => {
                self.queue.switch(Some(destination.open()?));
                Ok(())
            }
            Some(Destination::Stdout) | None => Ok(()),
        }
    }

    /// Whether lines go to this file.
    pub(crate) fn goes_to(&self, path: &Path) -> bool {
        let plain = |path: &Path| path.strip_prefix(".").unwrap_or(path).to_owned();
        match &*self.destination.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Destination::File(file)) => plain(file) == plain(path),
            Some(Destination::Stdout) | None => false,
        }
    }

    /// Puts a line into the queue.
    pub(crate) fn write(&self, line: &Line<'_>) {
        line.with_bytes(|bytes| self.queue.push(bytes));
    }

    /// Lines that were written, and lines that were lost.
    pub(crate) fn totals(&self) -> (u64, u64) {
        self.queue.totals()
    }

    /// Waits until all lines are written, for a while. None are taken from then on.
    pub(crate) fn finish(&self) {
        self.on.store(false, Ordering::Relaxed);
        self.queue.finish(PATIENCE);
    }
}

/// Whoever never serves does not wait, but leaves no thread behind.
impl Drop for Audit {
    fn drop(&mut self) {
        self.queue.end();
    }
}

/// Finishes the audit log when it is dropped, however the gateway ends.
#[derive(Debug)]
pub(crate) struct Finishing(pub(crate) Arc<Audit>);

impl Drop for Finishing {
    fn drop(&mut self) {
        self.0.finish();
    }
}
