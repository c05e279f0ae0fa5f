//! A soak: many clients that come and go, prove, refuse to prove and give up, for minutes, with reloads all the while.
//!
//! Fails if a request hangs, if a client gets something else than what is due to it, if a refusal has no reason in
//! the audit log, if a reload does not become what it should, if the gateway's memory or its open files grow from the
//! second quarter to the last, or if connections are left when all clients are gone.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::process::{Child, pinned};
use crate::visitors;

/// How much more memory the last quarter may take than the second.
const GROWTH: f64 = 1.10;
/// Between two looks.
const TICK: Duration = Duration::from_secs(10);
/// Between two reloads.
const RELOAD: Duration = Duration::from_secs(5);
/// How long connections may be left, and visitors may take to leave.
const END: Duration = Duration::from_secs(90);
const TEMPLATE: &str = include_str!("../templates/soak.toml");

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program to test
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/countersign"))]
    gateway: PathBuf,
    /// Connections at a time
    #[arg(long, default_value_t = 2_000)]
    connections: usize,
    /// How long
    #[arg(long, value_name = "SECONDS", default_value_t = 600,
        value_parser = clap::value_parser!(u64).range(40..=86_400))]
    seconds: u64,
    /// Cores of the gateway
    #[arg(long, default_value = "0")]
    gateway_cores: String,
    /// Where the clients and the backend run
    #[arg(long, default_value = "1")]
    load_cores: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(args.gateway.is_file(), "{} is missing: build it first", args.gateway.display());
    let run = tempfile::tempdir()?;
    let files = run.path().join("pki");
    let made =
        std::process::Command::new(&args.gateway).args(["pki", "init"]).arg(&files).output()?;
    ensure!(made.status.success(), "pki init: {}", String::from_utf8_lossy(&made.stderr));
    visitors::check(&files)?;
    let both = fs::read_to_string(files.join("device-ca.pem"))?
        + &fs::read_to_string(files.join("server-ca.pem"))?;
    fs::write(files.join("device-ca-and-another.pem"), both)?;

    let backend = free_address()?;
    let mut command = pinned(&args.load_cores, std::env::current_exe()?);
    command.arg("backend").arg(backend.to_string());
    let _backend = Child::start(command, backend).context("starting the backend")?;

    let site = Site { files, backend, address: free_address()?, admin: free_address()? };
    site.configure(0)?;
    let mut command = pinned(&args.gateway_cores, &args.gateway);
    command.args(["gateway", "--config"]).arg(site.config()).stdout(Stdio::null());
    let gateway = Child::start(command, site.address).context("starting the gateway")?;

    let mut visitors = Visitors::start(args, &site)?;
    let outcome = site.watch(args, &gateway, &visitors)?;
    let told = visitors.end()?;
    site.conclude(&gateway, &outcome, &told)
}

/// Where things are.
struct Site {
    files: PathBuf,
    backend: SocketAddr,
    address: SocketAddr,
    admin: SocketAddr,
}

/// What was seen while it lasted.
struct Watched {
    memory: Vec<f64>,
    files: Vec<usize>,
    taken: u64,
    refused: u64,
}

impl Site {
    fn config(&self) -> PathBuf {
        self.files.join("soak.toml")
    }

    /// Writes the configuration anew. Whether it is one that has to be refused: every fourth.
    fn configure(&self, number: u64) -> anyhow::Result<bool> {
        let is_bad = number % 4 == 3;
        let trust =
            if number.is_multiple_of(2) { "device-ca.pem" } else { "device-ca-and-another.pem" };
        let challenges = if is_bad { "\"many\"".into() } else { (number / 2 % 3).to_string() };
        let text = TEMPLATE
            .replace("@ADDRESS@", &self.address.to_string())
            .replace("@ADMIN@", &self.admin.to_string())
            .replace("@BACKEND@", &self.backend.to_string())
            .replace("@DEVICE_TRUST@", trust)
            .replace("@CHALLENGES@", &challenges);
        let new = self.files.join("soak.new");
        fs::write(&new, text)?;
        fs::rename(new, self.config())?;
        Ok(is_bad)
    }

    /// What the gateway tells of itself; series are summed.
    fn metrics(&self) -> anyhow::Result<BTreeMap<String, f64>> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.set_read_timeout(Some(TICK))?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let mut sums = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with("countersign_gateway_")) {
            let (series, value) = line.rsplit_once(' ').context("a line without a value")?;
            let name = series.split('{').next().unwrap_or(series);
            *sums.entry(name.trim_start_matches("countersign_gateway_").to_owned()).or_default() +=
                value.parse::<f64>()?;
        }
        Ok(sums)
    }

    /// Reloads and looks until the time is over.
    fn watch(&self, args: &Args, gateway: &Child, visitors: &Visitors) -> anyhow::Result<Watched> {
        let (began, length) = (Instant::now(), Duration::from_secs(args.seconds));
        let mut watched = Watched { memory: vec![], files: vec![], taken: 1, refused: 0 };
        let (mut number, mut ticks) = (0, 0);
        println!(
            "| seconds | connections | PSS, KiB | files | proofs waiting | reloads taken, refused |"
        );
        println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
        while began.elapsed() < length {
            visitors.wait_until(began + RELOAD * (number + 1))?;
            number += 1;
            if self.configure(number.into())? {
                watched.refused += 1;
            } else {
                watched.taken += 1;
            }
            if began.elapsed() < TICK * (ticks + 1) {
                continue;
            }
            ticks += 1;
            let metrics = self.metrics()?;
            let of = |name: &str| metrics.get(name).copied().unwrap_or(f64::NAN);
            let (memory, files) = (gateway.memory()?, gateway.files()?);
            println!(
                "| {} | {} | {memory} | {files} | {} | {}, {} |",
                began.elapsed().as_secs(),
                of("connections"),
                of("verifications_waiting"),
                of("configurations_loaded_total"),
                of("configurations_refused_total"),
            );
            watched.memory.push(memory);
            watched.files.push(files);
        }
        Ok(watched)
    }

    /// Waits for the gateway to be as empty as at the beginning, and judges.
    fn conclude(&self, gateway: &Child, watched: &Watched, told: &Value) -> anyhow::Result<()> {
        let began = Instant::now();
        let metrics = loop {
            let metrics = self.metrics()?;
            let is = |name: &str, number: f64| metrics.get(name) == Some(&number);
            let is_over = is("connections", 0.0)
                && is("configurations_loaded_total", watched.taken as f64)
                && is("configurations_refused_total", watched.refused as f64);
            if is_over || began.elapsed() > END {
                break metrics;
            }
            std::thread::yield_now();
        };
        let of = |name: &str| metrics.get(name).copied().unwrap_or(f64::NAN);
        let mut faults = Vec::new();
        let mut check = |holds: bool, text: String| {
            println!("{} {text}", if holds { "ok  " } else { "FAIL" });
            if !holds {
                faults.push(text);
            }
        };
        println!();
        for (what, number) in told.get("counts").and_then(Value::as_object).into_iter().flatten() {
            println!("     {what}: {number}");
        }
        let surprises = told.get("surprises").unwrap_or(told);
        check(
            surprises.as_object().is_some_and(serde_json::Map::is_empty),
            format!("surprises: {surprises}"),
        );
        check(of("connections") == 0.0, format!("connections left: {}", of("connections")));
        check(
            of("verifications_waiting") == 0.0,
            format!("proofs left: {}", of("verifications_waiting")),
        );
        check(
            of("configurations_loaded_total") == watched.taken as f64
                && of("configurations_refused_total") == watched.refused as f64,
            format!("reloads: {} were due, and {} refusals", watched.taken, watched.refused),
        );
        let (before, after) = quarters(&watched.memory);
        check(
            after / before <= GROWTH,
            format!(
                "memory: {before:.0} KiB in the second quarter, {after:.0} in the last, {:.3}",
                after / before
            ),
        );
        let files: Vec<f64> = watched.files.iter().map(|number| *number as f64).collect();
        let (before, after) = quarters(&files);
        check(
            after / before <= GROWTH,
            format!(
                "files: {before:.0} in the second quarter, {after:.0} in the last; {} now",
                gateway.files()?
            ),
        );
        check(of("audit_lines_lost_total") == 0.0, "no line of the audit log is lost".into());
        let audited = Audited::read(&self.files.join("audit.log"))?;
        for (what, number) in &audited.counts {
            println!("     {what}: {number}");
        }
        let undue = &audited.undue;
        check(
            undue.is_empty(),
            format!("every refusal has its reason in the audit log, and is due; others: {undue:?}"),
        );
        println!("     PSS when all are gone: {:.0} KiB", gateway.memory()?);
        ensure!(faults.is_empty(), "{} of the checks failed", faults.len());
        Ok(())
    }
}

/// What the audit log has.
#[derive(Default)]
struct Audited {
    /// Each decision with each reason.
    counts: BTreeMap<String, u64>,
    /// Refusals that no visitor has reason to expect; the first few.
    undue: Vec<String>,
}

impl Audited {
    fn read(log: &Path) -> anyhow::Result<Self> {
        let mut audited = Self::default();
        for line in BufReader::new(fs::File::open(log)?).lines() {
            let text = line?;
            let line: Value = serde_json::from_str(&text).context("a line of the audit log")?;
            let of = |name: &str| line.get(name).and_then(Value::as_str);
            let what = match of("event") {
                Some("request") => of("decision").unwrap_or("no decision"),
                Some(event) => event,
                None => bail!("a line of the audit log without an event"),
            };
            let reason = of("reason").unwrap_or_default();
            let is_undue = what == "refuse" && !visitors::refusals().any(|due| due == reason);
            if is_undue && audited.undue.len() < 5 {
                audited.undue.push(text.clone());
            }
            let what = format!("{what} {reason}").trim_end().to_owned();
            *audited.counts.entry(what).or_default() += 1;
        }
        Ok(audited)
    }
}

/// Medians of the second quarter and of the last.
fn quarters(samples: &[f64]) -> (f64, f64) {
    let quarter = (samples.len() / 4).max(1);
    let median = |from: usize| {
        let mut part: Vec<f64> = samples.iter().skip(from).take(quarter).copied().collect();
        part.sort_by(f64::total_cmp);
        part.get(part.len() / 2).copied().unwrap_or(f64::NAN)
    };
    (median(quarter), median(samples.len().saturating_sub(quarter)))
}

/// The clients, in a process of their own.
struct Visitors {
    process: std::process::Child,
    input: Option<ChildStdin>,
    said: Receiver<std::io::Result<String>>,
}

impl Visitors {
    fn start(args: &Args, site: &Site) -> anyhow::Result<Self> {
        let mut command = pinned(&args.load_cores, std::env::current_exe()?);
        command.arg("visitors").arg(site.address.to_string()).arg(&site.files);
        command.arg(args.connections.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("prlimit and taskset are needed")?;
        let output = process.stdout.take().context("the visitors have no output")?;
        let (say, said) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if say.send(line).is_err() {
                    break;
                }
            }
        });
        let input = process.stdin.take();
        Ok(Self { process, input, said })
    }

    /// They have nothing to say before they are asked to leave.
    fn wait_until(&self, when: Instant) -> anyhow::Result<()> {
        match self.said.recv_timeout(when.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(line) => bail!("the visitors left early: {}", line?),
            Err(RecvTimeoutError::Disconnected) => bail!("the visitors failed"),
        }
    }

    fn end(&mut self) -> anyhow::Result<Value> {
        self.input.take().context("no input")?.write_all(b"\n")?;
        let line = self.said.recv_timeout(END).context("the visitors do not leave")??;
        ensure!(self.process.wait()?.success(), "the visitors failed");
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// A port that nobody has, neither for TCP nor for UDP.
fn free_address() -> anyhow::Result<SocketAddr> {
    loop {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        if std::net::UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
}
