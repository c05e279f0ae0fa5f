//! `countersign conform client`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use countersign_conform::Version;
use countersign_conform::against_client::{self, Host};
use countersign_conform::identity::read_pair;
use countersign_conform::report::Outcome;
use tokio::process::{Child, Command};

use super::{Common, write};
use crate::failure::{Exit, Failure};

/// The client makes one connection and one GET for each case, and can be killed when the case is over.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to be visited; with port 0 every case has a port of its own
    #[arg(long, value_name = "ADDR", required_unless_present = "list")]
    listen: Option<SocketAddr>,
    /// What the tool is in TLS; PEM, leaf first [default: made for the occasion, for localhost]
    #[arg(long, value_name = "CERT[,KEY]", conflicts_with = "write_ca")]
    certificate: Option<String>,
    /// Write the authority that the client has to trust to this file
    #[arg(long, value_name = "FILE")]
    write_ca: Option<PathBuf>,
    /// The host in the URLs to visit
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    host: String,
    /// Starts the client, by a shell; {url} is what to visit, {further} in some cases a second URL to fetch
    /// after it, {http} is --http2 or --http3. Without this the URLs are printed for somebody to visit
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// How long to wait for a visit
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=86400))]
    wait: u64,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    if args.common.listed(against_client::cases().map(|case| &case.about))? {
        return Ok(());
    }
    let host = args.host()?;
    let mut outcomes = Vec::new();
    for version in args.common.versions() {
        let chosen = |id: &str| args.common.chosen(id);
        let tell = |outcome: &Outcome| args.common.tell(outcome);
        let invite = |url: &str, version| args.invite(url, version);
        outcomes.extend(against_client::run(&host, version, chosen, invite, tell).await);
    }
    args.common.conclude("client", &outcomes)
}

impl Args {
    fn host(&self) -> Result<Host, Failure> {
        let local = |text: String| Failure::new(Exit::LocalCertificate, text);
        let address = self.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let patience = self.common.patience();
        let (mut host, authority) =
            Host::new(address, self.common.points()?, patience).map_err(local)?;
        host.name.clone_from(&self.host);
        host.visit_within = Duration::from_secs(self.wait);
        if let Some(own) = &self.certificate {
            (host.chain, host.key) = read_pair(own).map_err(local)?;
        }
        if let Some(path) = &self.write_ca {
            write(path, &authority)?;
        }
        Ok(host)
    }

    /// Starts the client; it ends with the case.
    fn invite(&self, url: &str, version: Version) -> Result<Option<Child>, String> {
        let further = against_client::further_url(url);
        let Some(command) = &self.command else {
            let further = further.map(|url| format!(", then {url}")).unwrap_or_default();
            eprintln!("visit {url}{further} over {}", version.alpn());
            return Ok(None);
        };
        let option = match version {
            Version::Http2 => "--http2",
            Version::Http3 => "--http3",
        };
        let command = command
            .replace("{url}", url)
            .replace("{further}", &further.unwrap_or_default())
            .replace("{http}", option);
        let mut shell = if cfg!(windows) { Command::new("cmd") } else { Command::new("sh") };
        shell.arg(if cfg!(windows) { "/C" } else { "-c" }).arg(&command);
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = shell.kill_on_drop(true).spawn();
        child.map(Some).map_err(|error| format!("{command}: {error}"))
    }
}
