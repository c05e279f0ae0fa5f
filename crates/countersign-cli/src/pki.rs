//! `countersign pki`: certificates to try things with.

use std::path::PathBuf;

use clap::Subcommand;
use countersign_pki::{PkiError, TestPki};

use crate::failure::{Exit, Failure};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a small test PKI and a gateway.toml that uses it
    ///
    /// A server for localhost, a device, and the users alice, bob, expired and revoked, each below an
    /// authority of its kind with one intermediate. Certificates are valid for a year, but for
    /// expired; revoked is on user.crl. The keys of the two authorities for clients are there to issue
    /// more. Nothing is overwritten.
    Init {
        /// The folder; made if it is missing
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let Command::Init { folder } = &args.command;
    let failed = |error: PkiError| Failure::new(Exit::Failed, error);
    let written = TestPki::generate().and_then(|pki| pki.write_to(folder)).map_err(failed)?;
    for path in written {
        println!("{}", path.display());
    }
    Ok(())
}
