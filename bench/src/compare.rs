//! Runs every workload against every proxy, in turns.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail, ensure};

use crate::process::{Child, pinned};
use crate::proxy::{Proxy, Site};
use crate::report::{self, Row, Sample};
use crate::{client::Proof, pki};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program to measure
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/countersign"))]
    gateway: PathBuf,
    /// The ratios are against the first
    #[arg(long, value_delimiter = ',', default_value = "nginx,haproxy,hyper,gateway")]
    proxies: Vec<Proxy>,
    #[arg(long, value_delimiter = ',', default_value = "idle,small8x32,small100x1,big,connect")]
    workloads: Vec<Workload>,
    /// Samples of each workload and proxy; the medians count
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Where the proxies run
    #[arg(long, default_value_t = 0)]
    proxy_core: usize,
    /// Where the load and the backend run
    #[arg(long, default_value_t = 1)]
    load_core: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Workload {
    /// 1000 connections without requests: memory
    Idle,
    /// 1 KB, 8 connections with 32 requests at a time
    #[value(name = "small8x32")]
    Small8x32,
    /// 1 KB, 100 connections with one request at a time
    #[value(name = "small100x1")]
    Small100x1,
    /// 1 MiB, 8 connections with 4 requests at a time
    Big,
    /// A new connection that proves a certificate, and one GET
    Connect,
}

impl Workload {
    fn name(self) -> &'static str {
        match self {
            Self::Idle => "an idle connection",
            Self::Small8x32 => "1 KB, 8 x 32",
            Self::Small100x1 => "1 KB, 100 x 1",
            Self::Big => "1 MiB, 8 x 4",
            Self::Connect => "connection, proof, GET",
        }
    }

    /// Operations of a sample.
    fn total(self) -> usize {
        match self {
            Self::Idle => 1_000,
            Self::Small8x32 => 60_000,
            Self::Small100x1 => 40_000,
            Self::Big => 800,
            Self::Connect => 1_500,
        }
    }

    /// The kind of load and its options.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Idle => &["idle"],
            Self::Small8x32 => &["requests", "--connections=8", "--streams=32"],
            Self::Small100x1 => &["requests", "--connections=100", "--streams=1"],
            Self::Big => &["requests", "--connections=8", "--streams=4", "--path=/1m"],
            Self::Connect => &["connections"],
        }
    }
}

/// A proxy that runs.
struct Running {
    proxy: Proxy,
    address: SocketAddr,
    child: Child,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(args.gateway.is_file(), "{} is missing: build it first", args.gateway.display());
    let run = tempfile::tempdir()?;
    pki::write(run.path())?;
    let backend = free_address()?;
    let mut command = pinned(&args.load_core.to_string(), std::env::current_exe()?);
    command.arg("backend").arg(backend.to_string());
    let _backend = Child::start(command, backend).context("starting the backend")?;
    let site = Site {
        run: run.path(),
        backend,
        gateway: &args.gateway,
        core: args.proxy_core.to_string(),
    };
    let mut running = Vec::new();
    for &proxy in &args.proxies {
        println!("{}: {}", proxy.name(), proxy.version(&site));
        let address = free_address()?;
        running.push(Running { proxy, address, child: proxy.start(&site, address)? });
    }
    report::head();
    for &workload in &args.workloads {
        let mut rows: Vec<Row> = running.iter().map(|one| Row::new(one.proxy.name())).collect();
        let rounds = if workload == Workload::Idle { 1 } else { args.rounds };
        for one in &running {
            let total = (workload.total() / 20).max(32);
            measure(workload, total, one, args.load_core, run.path()).context("warming up")?;
        }
        for _ in 0..rounds {
            for (one, row) in running.iter().zip(&mut rows) {
                let sample = measure(workload, workload.total(), one, args.load_core, run.path())?;
                row.samples.push(sample);
            }
        }
        report::workload(workload.name(), workload == Workload::Idle, &rows);
    }
    Ok(())
}

/// Puts one load on one proxy.
fn measure(
    workload: Workload,
    total: usize,
    on: &Running,
    core: usize,
    files: &Path,
) -> anyhow::Result<Sample> {
    let proof = match on.proxy.proof() {
        Proof::Handshake => "handshake",
        Proof::Authenticator => "authenticator",
    };
    let [kind, options @ ..] = workload.options() else { bail!("no kind of load") };
    let (memory, mut cpu) = (on.child.memory()?, on.child.cpu()?);
    let mut load = pinned(&core.to_string(), std::env::current_exe()?)
        .args(["load", kind, &on.address.to_string(), proof])
        .arg(files)
        .arg(total.to_string())
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(load.stdout.take().context("the load has no output")?).lines();
    let mut sample = Sample { operations: total as f64, ..Sample::default() };
    if workload != Workload::Connect {
        let ready = said.next().transpose()?;
        ensure!(ready.as_deref() == Some("READY"), "the load on {} failed", on.proxy.name());
        // What connections have cost so far is another workload's.
        cpu = on.child.cpu()?;
        sample.kib = on.child.memory()? - memory;
        load.stdin.take().context("the load has no input")?.write_all(b"\n")?;
    }
    if workload != Workload::Idle {
        let line = said.next().transpose()?.context("the load told nothing")?;
        let numbers = line.split(' ').map(str::parse).collect::<Result<Vec<f64>, _>>()?;
        let [_, failed, seconds] = numbers[..] else { bail!("the load told {line:?}") };
        sample.cpu = on.child.cpu()? - cpu;
        (sample.failed, sample.seconds) = (failed, seconds);
    }
    ensure!(load.wait()?.success(), "the load on {} failed", on.proxy.name());
    Ok(sample)
}

/// A port that nobody has; nginx and HAProxy cannot tell which one they got.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
