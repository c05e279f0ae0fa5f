//! `countersign conform`: tests of other implementations, and of this one against known cases.

mod client;
mod server;
mod vectors;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use countersign_conform::case::About;
use countersign_conform::report::{self, Outcome, Summary};
use countersign_conform::{CodePoints, Version, against_client, against_server};

use crate::code_points::CodePointArgs;
use crate::failure::{Exit, Failure};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Test a server: visit it as a client, polite and hostile; the exit code is 1 if any case fails
    Server(Box<server::Args>),
    /// Test a client: be visited by it as a server, polite and hostile; the exit code is 1 if any case fails
    Client(Box<client::Args>),
    /// Print all cases against servers and clients
    List(ListArgs),
    /// Run test vectors for exported authenticators (RFC 9261) and for frames; the exit code is 1 if any fails
    Vectors(vectors::Args),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// As a document in Markdown
    #[arg(long)]
    markdown: bool,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Server(args) => server::run(args).await,
        Command::Client(args) => client::run(args).await,
        Command::List(ListArgs { markdown: true }) => {
            print!("{}", countersign_conform::document());
            Ok(())
        }
        Command::List(ListArgs { markdown: false }) => {
            print!("{}", report::list(against_server::cases().map(|case| &case.about)));
            print!("{}", report::list(against_client::cases().map(|case| &case.about)));
            Ok(())
        }
        Command::Vectors(args) => vectors::run(args).await,
    }
}

/// Which cases to run, and how to tell of them.
#[derive(Debug, clap::Args)]
struct Common {
    /// Over HTTP/2; without this and --http3: over both
    #[arg(long)]
    http2: bool,
    /// Over HTTP/3
    #[arg(long)]
    http3: bool,
    /// Run only the case of this id; repeatable
    #[arg(long, value_name = "CASE")]
    only: Vec<String>,
    /// Only print the cases
    #[arg(long)]
    list: bool,
    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
    /// Write the outcomes to this file too, as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// How long to wait for anything
    #[arg(long, value_name = "SECONDS", default_value_t = 5,
        value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    #[command(flatten)]
    code_points: CodePointArgs,
}

impl Common {
    fn versions(&self) -> Vec<Version> {
        match (self.http2, self.http3) {
            (true, false) => vec![Version::Http2],
            (false, true) => vec![Version::Http3],
            (true, true) | (false, false) => vec![Version::Http2, Version::Http3],
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    fn chosen(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == id)
    }

    /// Prints the cases with `--list`; whether it did. Ids that are not known are a failure.
    fn listed<'a>(&self, cases: impl Iterator<Item = &'a About>) -> Result<bool, Failure> {
        let cases: Vec<_> = cases.collect();
        if let Some(unknown) = self.only.iter().find(|id| !cases.iter().any(|case| case.id == **id))
        {
            let text = format!("no case has the id {unknown:?}; --list prints all ids");
            return Err(Failure::new(Exit::Usage, text));
        }
        if !self.list {
            return Ok(false);
        }
        let cases = cases.into_iter().filter(|case| self.chosen(case.id));
        if self.json {
            cases.for_each(|case| println!("{}", report::about_json(case)));
        } else {
            print!("{}", report::list(cases));
        }
        Ok(true)
    }

    fn tell(&self, outcome: &Outcome) {
        if self.json {
            println!("{}", outcome.json());
        } else {
            println!("{}", outcome.line());
        }
    }

    /// Sums up. A failed case is a failure.
    fn conclude(&self, name: &str, outcomes: &[Outcome]) -> Result<(), Failure> {
        let summary = Summary::of(outcomes);
        if self.json {
            println!("{}", summary.json());
        } else {
            println!("{}", summary.line());
        }
        if let Some(path) = &self.junit {
            write(path, &report::junit(name, outcomes))?;
        }
        if summary.failed > 0 {
            let text = format!("{} of {} cases failed", summary.failed, outcomes.len());
            return Err(Failure::new(Exit::Failed, text));
        }
        Ok(())
    }

    fn points(&self) -> Result<CodePoints, Failure> {
        let points = self.code_points.code_points()?;
        Ok(CodePoints {
            client_cert_auth: points.settings_client_cert_auth,
            server_cert_auth: points.settings_server_cert_auth,
            requests: points.frame_authenticator_requests,
            certificate: points.frame_certificate,
            server_certificate: points.frame_server_certificate,
            server_certificate_invalid: points.error_server_certificate_invalid,
        })
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::new(Exit::Write, format!("{}: {error}", path.display())))
}
