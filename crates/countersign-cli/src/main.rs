//! `countersign`: the command line.
//!
//! Each command is a module with its arguments and a `run`. A command prints its results on standard
//! output, everything else on standard error, and ends with an [`Exit`] code.

mod client;
mod code_points;
mod conform;
mod decode;
mod demo;
mod explain;
mod failure;
mod fetch;
mod gateway;
mod identity;
mod names;
mod pki;
mod supervisor;
mod telemetry;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::failure::{Exit, Failure};
use self::telemetry::LogFormat;

/// Client certificates on live HTTP connections: a server asks for them after the TLS handshake, as
/// often as it needs to.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole story on loopback, step by step
    Demo(demo::Args),
    /// Make certificates to try things with
    Pki(pki::Args),
    /// Run the reverse proxy
    Gateway(gateway::Args),
    /// Say what the gateway would decide about a request, and why, without a network
    Explain(explain::Args),
    /// Send requests over one connection and show the certificates that the server asks for
    Fetch(Box<fetch::Args>),
    /// Test a server, a client, or this implementation against known cases
    Conform(conform::Args),
    /// Explain frames, requests for certificates and authenticators, field by field
    Decode(decode::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::start_logging(match &cli.command {
        Command::Gateway(args) => args.log_format,
        Command::Demo(_)
        | Command::Pki(_)
        | Command::Explain(_)
        | Command::Fetch(_)
        | Command::Conform(_)
        | Command::Decode(_) => LogFormat::default(),
    });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&Failure::new(Exit::Failed, format!("no threads to run on: {error}")));
            return Exit::Failed.into();
        }
    };
    let done = match cli.command {
        Command::Demo(args) => runtime.block_on(demo::run(&args)),
        Command::Pki(args) => pki::run(&args),
        Command::Gateway(args) => runtime.block_on(gateway::run(&args)),
        Command::Explain(args) => runtime.block_on(explain::run(&args)),
        // Says on its own what went wrong: once per URL, and not at all with --silent.
        Command::Fetch(args) => return runtime.block_on(fetch::run(*args)).into(),
        Command::Conform(args) => runtime.block_on(conform::run(&args)),
        Command::Decode(args) => decode::run(&args),
    };
    // A lookup of a name may still be blocked in the system; nobody waits for it.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            failure.exit.into()
        }
    }
}

pub(crate) fn complain(failure: &Failure) {
    eprintln!("countersign: {failure}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
