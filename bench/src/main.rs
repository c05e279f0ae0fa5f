//! Compares reverse proxies that terminate TLS, each on one core, beside each other in one run.
//!
//! Without a command it measures. The other commands are what it runs on other cores: the backend, the
//! plain hyper proxy and the load.

mod backend;
mod client;
mod compare;
mod flood;
mod hyper_proxy;
mod load;
mod pki;
mod process;
mod proxy;
mod report;
mod soak;
mod visitors;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    compare: compare::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer with 1 KB, or 1 MiB at /1m, without TLS
    #[command(hide = true)]
    Backend { address: SocketAddr },
    /// The least that a proxy on hyper can be
    #[command(hide = true)]
    HyperProxy { address: SocketAddr, backend: SocketAddr, files: PathBuf },
    /// What a flood of costly proofs does to the latency of a quiet client
    Flood(flood::Args),
    /// Prove what is refused, again and again
    #[command(hide = true)]
    Hostile(flood::HostileArgs),
    /// Do one thing after the other and print how long each took
    #[command(hide = true)]
    Quiet(flood::QuietArgs),
    /// Let many clients come and go, well-behaved or not, while the gateway is reloaded; nothing may grow or hang
    Soak(soak::Args),
    /// Come and go until standard input has something
    #[command(hide = true)]
    Visitors(visitors::Args),
    /// Load a proxy and print what was done
    #[command(hide = true)]
    Load(load::Args),
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match cli.command {
        None => compare::run(&cli.compare),
        Some(Command::Backend { address }) => runtime.block_on(backend::run(address)),
        Some(Command::HyperProxy { address, backend, files }) => {
            runtime.block_on(hyper_proxy::run(address, backend, &files))
        }
        Some(Command::Flood(args)) => flood::run(&args),
        Some(Command::Hostile(args)) => runtime.block_on(flood::hostile(&args)),
        Some(Command::Quiet(args)) => runtime.block_on(flood::quiet_client(&args)),
        Some(Command::Soak(args)) => soak::run(&args),
        Some(Command::Visitors(args)) => runtime.block_on(visitors::run(&args)),
        Some(Command::Load(args)) => runtime.block_on(load::run(&args)),
    }
}
