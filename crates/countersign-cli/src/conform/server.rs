//! `countersign conform server`.

use std::path::PathBuf;
use std::sync::Arc;

use countersign_conform::against_server::{self, Target, Visit};
use countersign_conform::identity::{Identity, Mint, stranger};
use countersign_conform::{Stop, Version};

use super::Common;
use crate::client::Trust;
use crate::failure::{Exit, Failure};
use crate::identity::read_roots;

/// Cases that need what was not given are skipped, with the name of the option.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server, at one port for TCP and UDP
    #[arg(value_name = "HOST:PORT", required_unless_present = "list")]
    server: Option<String>,
    /// Trust servers below these PEM certificates rather than those the system trusts
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Trust any server
    #[arg(short = 'k', long)]
    insecure: bool,
    /// A path that needs one credential, which one of the identities is; repeatable, for paths that need
    /// different ones
    #[arg(long, value_name = "PATH")]
    path: Vec<String>,
    /// A path that needs no credential
    #[arg(long, value_name = "PATH")]
    public: Option<String>,
    /// What the server accepts for a path; PEM, leaf first, the key in PKCS#8; repeatable
    #[arg(long, value_name = "CERT[,KEY]")]
    identity: Vec<String>,
    /// What the server must not accept for the first path, such as something revoked; repeatable
    #[arg(long, value_name = "CERT[,KEY]")]
    reject: Vec<String>,
    /// An authority whose certificates the server accepts for the first path, to make identities of
    /// every kind; they carry the names of the first --identity
    #[arg(long, value_name = "CERT[,KEY]")]
    issuer: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    if args.common.listed(against_server::cases().map(|case| &case.about))? {
        return Ok(());
    }
    let target = args.target().await?;
    let mut outcomes = Vec::new();
    for version in args.common.versions() {
        if let Err(Stop::Failed(reason) | Stop::Skipped(reason)) =
            (Visit { target: &target, version }).connect().await
        {
            let name = match version {
                Version::Http2 => "HTTP/2",
                Version::Http3 => "HTTP/3",
            };
            return Err(Failure::new(
                Exit::Connect,
                format!("nothing to test over {name}: {reason}"),
            ));
        }
        let chosen = |id: &str| args.common.chosen(id);
        let tell = |outcome: &_| args.common.tell(outcome);
        outcomes.extend(against_server::run(&target, version, chosen, tell).await);
    }
    args.common.conclude("server", &outcomes)
}

impl Args {
    async fn target(&self) -> Result<Target, Failure> {
        let usage = |text: String| Failure::new(Exit::Usage, text);
        let local = |text: String| Failure::new(Exit::LocalCertificate, text);
        let authority = self.server.clone().unwrap_or_default();
        let host = match authority.rsplit_once(':') {
            Some((host, _)) if !host.is_empty() => host.trim_matches(['[', ']']).to_owned(),
            Some(_) | None => return Err(usage(format!("{authority}: write it like HOST:PORT"))),
        };
        let unresolved = |text: String| Failure::new(Exit::Resolve, format!("{authority}: {text}"));
        let address = tokio::net::lookup_host(&authority)
            .await
            .map_err(|error| unresolved(error.to_string()))?
            .next()
            .ok_or_else(|| unresolved("it has no address".to_owned()))?;
        let trust = match &self.cacert {
            _ if self.insecure => Trust::Anybody,
            Some(path) => Trust::Roots(read_roots(path)?),
            None => Trust::System,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let load = |all: &[String]| {
            all.iter().map(|one| Identity::load(one)).collect::<Result<Vec<_>, _>>()
        };
        let identities = load(&self.identity).map_err(local)?;
        let mint = self.issuer.as_ref().map(|issuer| Mint::load(issuer, identities.first()));
        Ok(Target {
            address,
            host,
            verifier: trust.verifier(&provider)?,
            points: self.common.points()?,
            patience: self.common.patience(),
            public: self.public.clone(),
            paths: self.path.clone(),
            rejected: load(&self.reject).map_err(local)?,
            mint: mint.transpose().map_err(local)?,
            stranger: stranger().map_err(|_| local("no certificate could be made".to_owned()))?,
            authority,
            identities,
        })
    }
}
