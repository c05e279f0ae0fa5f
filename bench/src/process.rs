//! Processes on chosen cores, and what Linux tells about them.

use std::ffi::OsStr;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(10);
/// The kernel's unit of times in `/proc`, in seconds: USER_HZ is 100 on all platforms with a distribution.
const TICK: f64 = 0.01;

/// `program` on some cores, as taskset names them, with files enough.
pub(crate) fn pinned(cores: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("prlimit");
    command.arg("--nofile=20000").args(["taskset", "-c", cores]).arg(program);
    command
}

/// A server with all its processes; stopped when dropped.
pub(crate) struct Child(std::process::Child);

impl Child {
    /// Starts a server and waits until it listens.
    pub(crate) fn start(mut command: Command, address: SocketAddr) -> anyhow::Result<Self> {
        let mut child = Self(command.spawn().context("prlimit and taskset are needed")?);
        let began = Instant::now();
        while TcpStream::connect_timeout(&address, START).is_err() {
            if let Some(status) = child.0.try_wait()? {
                bail!("it ended with {status}");
            }
            if began.elapsed() > START {
                bail!("it does not listen on {address}");
            }
            std::thread::yield_now();
        }
        Ok(child)
    }

    /// The CPU time that it has used, in seconds.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        self.sum(|process| {
            let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
            // The name in parentheses may contain anything; user and system time are the 12th and 13th behind it.
            let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
            let times = fields.split_whitespace().skip(11).take(2);
            Ok(times.filter_map(|time| time.parse::<f64>().ok()).sum::<f64>() * TICK)
        })
    }

    /// The memory that is its own, and its part of what is shared, in KiB.
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        self.sum(|process| {
            let smaps = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
            let line = smaps.lines().find_map(|line| line.strip_prefix("Pss:"));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.context("the kernel tells no Pss")?.parse().context("Pss is no number")
        })
    }

    /// How many files, sockets among them, its first process has open.
    pub(crate) fn files(&self) -> anyhow::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.0.id()))?.count())
    }

    fn sum(&self, of: impl Fn(u32) -> anyhow::Result<f64>) -> anyhow::Result<f64> {
        let (mut sum, mut processes) = (0.0, vec![self.0.id()]);
        while let Some(process) = processes.pop() {
            sum += of(process)?;
            for thread in fs::read_dir(format!("/proc/{process}/task"))? {
                let children = fs::read_to_string(thread?.path().join("children"))?;
                processes
                    .extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
            }
        }
        Ok(sum)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // prlimit and taskset have become the program: SIGTERM reaches it, and nginx tells its workers.
        let id = self.0.id().to_string();
        if Command::new("kill").arg(id).status().is_ok_and(|status| status.success()) {
            let _ = self.0.wait();
        }
    }
}
