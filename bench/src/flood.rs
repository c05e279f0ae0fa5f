//! What a flood of costly proofs from some clients does to the latency of others.
//!
//! The hostile ones have no certificate that is worth anything: each takes the issuers' certificates, which are no
//! secret, and puts a leaf of its own in front that bears their name but not their signature. Its key signs quickly. The
//! gateway finds out with the last of the signatures on the path, and is asked for the next one right away.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use countersign_pki::{Authority, Issued, KeyKind, Leaf};
use tokio::io::AsyncReadExt;
use tokio::task::LocalSet;

use crate::client::{Connector, Proof, get, refused};
use crate::pki;
use crate::process::{Child, pinned};
use crate::proxy::{Proxy, Site};

/// Whose p99 may be how many times as long.
const TARGET: f64 = 3.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program to measure
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/countersign"))]
    gateway: PathBuf,
    /// Hostile connections
    #[arg(long, default_value_t = 50)]
    hostile: usize,
    /// What the hostile ones' issuers have signed with
    #[arg(long, value_delimiter = ',', default_value = "rsa4096,mldsa87")]
    floods: Vec<Flood>,
    /// Operations of the quiet client in a sample
    #[arg(long, default_value_t = 2_000)]
    total: usize,
    /// Samples, with and without in turns; the medians count
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Cores of the gateway
    #[arg(long, default_value = "0")]
    gateway_cores: String,
    /// Where the clients and the backend run
    #[arg(long, default_value = "1")]
    load_cores: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Flood {
    /// Seven signatures by RSA keys of 4096 bits
    Rsa4096,
    /// Two signatures by ML-DSA-87
    Mldsa87,
}

impl Flood {
    fn name(self) -> &'static str {
        match self {
            Self::Rsa4096 => "rsa4096",
            Self::Mldsa87 => "mldsa87",
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Rsa4096 => "a chain of seven RSA-4096 signatures",
            Self::Mldsa87 => "a chain of two ML-DSA-87 signatures",
        }
    }

    /// A root that the gateway trusts, and the chain.
    fn forge(self) -> anyhow::Result<(Authority, Issued)> {
        let (kind, issuers) = match self {
            Self::Rsa4096 => (KeyKind::Rsa4096, 6),
            Self::Mldsa87 => (KeyKind::MlDsa87, 1),
        };
        let root = Authority::root(&format!("{} root", self.name()), kind)?;
        let name = |depth| format!("{} CA {depth}", self.name());
        let mut above = root.intermediate(&name(1), kind)?;
        for depth in 2..issuers {
            above = above.intermediate(&name(depth), kind)?;
        }
        let above = if issuers > 1 { &above } else { &root };
        let genuine = above.intermediate(&name(issuers), kind)?;
        let impostor = above.intermediate(&name(issuers), kind)?;
        let leaf = Leaf::client("mallory").dns("device.test");
        let mut issued = genuine.issue(&leaf)?;
        let forged = impostor.issue(&leaf)?;
        *issued.chain.first_mut().context("an empty chain")? =
            forged.chain.first().context("an empty chain")?.clone();
        issued.key = forged.key;
        Ok((root, issued))
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(args.gateway.is_file(), "{} is missing: build it first", args.gateway.display());
    let run = tempfile::tempdir()?;
    pki::write(run.path())?;
    for flood in &args.floods {
        let (root, issued) = flood.forge()?;
        pki::put(run.path(), flood.name(), &issued)?;
        pki::trust(run.path(), &root)?;
    }
    let backend = free_address()?;
    let mut command = pinned(&args.load_cores, std::env::current_exe()?);
    command.arg("backend").arg(backend.to_string());
    let _backend = Child::start(command, backend).context("starting the backend")?;
    let site =
        Site { run: run.path(), backend, gateway: &args.gateway, core: args.gateway_cores.clone() };
    let address = free_address()?;
    let gateway = Proxy::Gateway.start(&site, address)?;
    println!("{}, on core {}", Proxy::Gateway.version(&site), args.gateway_cores);
    println!();
    println!(
        "| {} hostile connections | a quiet client's | p50 | beside them | ratio | p99 | beside them | ratio | refused/s |",
        args.hostile
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut within = true;
    for flood in &args.floods {
        let mut figures = [Figures::default(), Figures::default()];
        for _ in 0..args.rounds {
            for (figures, what) in figures.iter_mut().zip(["get", "connect"]) {
                let total = if what == "get" { args.total } else { args.total / 10 };
                figures.alone.push(quiet(args, address, run.path(), what, total)?);
                let mut hostile = Hostile::start(args, address, run.path(), *flood)?;
                figures.beside.push(quiet(args, address, run.path(), what, total)?);
                figures.refused.push(hostile.end()?);
            }
        }
        for (figures, what) in figures.iter_mut().zip(["GET", "connection, proof, GET"]) {
            within &= figures.print(flood.describe(), what);
        }
    }
    drop(gateway);
    ensure!(within, "a p99 is more than {TARGET} times as long");
    Ok(())
}

/// In microseconds.
#[derive(Clone, Copy, Debug)]
struct Latency {
    p50: f64,
    p99: f64,
}

#[derive(Default)]
struct Figures {
    alone: Vec<Latency>,
    beside: Vec<Latency>,
    refused: Vec<f64>,
}

impl Figures {
    /// Whether the target is kept.
    fn print(&self, flood: &str, what: &str) -> bool {
        let of = |samples: &[Latency], field: fn(&Latency) -> f64| {
            median(samples.iter().map(field).collect())
        };
        let line = |field: fn(&Latency) -> f64| {
            let (alone, beside) = (of(&self.alone, field), of(&self.beside, field));
            (format!("{alone:.0} µs | {beside:.0} µs | {:.2}", beside / alone), beside / alone)
        };
        let ((p50, _), (p99, ratio)) = (line(|one| one.p50), line(|one| one.p99));
        println!("| {flood} | {what} | {p50} | {p99} | {:.0} |", median(self.refused.clone()));
        ratio <= TARGET
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One sample of the quiet client.
fn quiet(
    args: &Args,
    address: SocketAddr,
    files: &Path,
    what: &str,
    total: usize,
) -> anyhow::Result<Latency> {
    let output = pinned(&args.load_cores, std::env::current_exe()?)
        .args(["quiet", what, &address.to_string()])
        .arg(files)
        .arg(total.to_string())
        .output()?;
    ensure!(
        output.status.success(),
        "the quiet client: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8(output.stdout)?;
    let numbers = said.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    let [p50, p99] = numbers[..] else { bail!("the quiet client told {said:?}") };
    Ok(Latency { p50, p99 })
}

/// The hostile clients, behind everybody else on their core: what they cost there is not the gateway's.
struct Hostile {
    process: std::process::Child,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Hostile {
    /// Returns once all of them are at it.
    fn start(args: &Args, address: SocketAddr, files: &Path, flood: Flood) -> anyhow::Result<Self> {
        let mut command = std::process::Command::new("nice");
        command.args(["-n", "19", "prlimit", "--nofile=20000", "taskset", "-c"]);
        command.arg(&args.load_cores).arg(std::env::current_exe()?);
        command.args(["hostile", flood.name(), &address.to_string()]).arg(files);
        command.arg(args.hostile.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("nice, prlimit and taskset are needed")?;
        let output = process.stdout.take().context("the hostile clients have no output")?;
        let mut said = BufReader::new(output).lines();
        let ready = said.next().transpose()?;
        ensure!(ready.as_deref() == Some("READY"), "the hostile clients failed");
        Ok(Self { process, said })
    }

    /// How often they were refused, in a second.
    fn end(&mut self) -> anyhow::Result<f64> {
        self.process.stdin.take().context("no input")?.write_all(b"\n")?;
        let rate = self.said.next().transpose()?.context("the hostile clients told nothing")?;
        ensure!(self.process.wait()?.success(), "the hostile clients failed");
        Ok(rate.parse()?)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct HostileArgs {
    identity: String,
    address: SocketAddr,
    files: PathBuf,
    connections: usize,
}

/// Asks for what it will not get on each connection, again and again.
pub(crate) async fn hostile(args: &HostileArgs) -> anyhow::Result<()> {
    let connector =
        Connector::showing(args.address, Proof::Authenticator, &args.files, &args.identity)?;
    let tasks = LocalSet::new();
    let (counted, count) = tokio::sync::watch::channel(0_u64);
    let (failed, failure) = tokio::sync::oneshot::channel();
    let failed = std::rc::Rc::new(std::cell::Cell::new(Some(failed)));
    for _ in 0..args.connections {
        let (connector, counted) = (connector.clone(), counted.clone());
        let failed = std::rc::Rc::clone(&failed);
        tasks.spawn_local(async move {
            let flood = async {
                let connection = connector.open().await?;
                loop {
                    refused(&connection.send, "/1k").await?;
                    counted.send_modify(|number| *number += 1);
                }
            };
            let outcome: anyhow::Result<std::convert::Infallible> = flood.await;
            if let (Err(error), Some(failed)) = (outcome, failed.take()) {
                let _over = failed.send(error);
            }
        });
    }
    let watching = async {
        let mut all = count.clone();
        all.wait_for(|number| *number >= 2 * args.connections as u64).await?;
        println!("READY");
        let (before, began) = (*count.borrow(), Instant::now());
        let _asked = tokio::io::stdin().read(&mut [0]).await?;
        let number = *count.borrow() - before;
        println!("{:.0}", number as f64 / began.elapsed().as_secs_f64());
        anyhow::Ok(())
    };
    tasks
        .run_until(async {
            tokio::select! {
                outcome = watching => outcome,
                Ok(error) = failure => Err(error),
            }
        })
        .await
}

#[derive(Debug, clap::Args)]
pub(crate) struct QuietArgs {
    what: What,
    address: SocketAddr,
    files: PathBuf,
    total: usize,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    /// On a connection that has its identity
    Get,
    /// With a connection and a proof of its own
    Connect,
}

/// One thing after the other; prints p50 and p99 in microseconds.
pub(crate) async fn quiet_client(args: &QuietArgs) -> anyhow::Result<()> {
    let connector = Connector::new(args.address, Proof::Authenticator, &args.files)?;
    let connection = connector.connect().await?;
    let mut times = Vec::with_capacity(args.total);
    // The first tenth warms up.
    for number in 0..args.total + args.total / 10 {
        let began = Instant::now();
        match args.what {
            What::Get => get(&connection.send, "/1k").await?,
            What::Connect => drop(connector.connect().await?),
        }
        if number >= args.total / 10 {
            times.push(began.elapsed());
        }
    }
    times.sort_unstable();
    let at = |percent: usize| {
        let time: Option<&Duration> = times.get(times.len() * percent / 100);
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
    };
    println!("{:.1} {:.1}", at(50), at(99));
    Ok(())
}

/// A port that nobody has.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
