//! The options of `fetch`, named as curl names them where curl has them.

use std::path::PathBuf;
use std::time::Duration;

use countersign::client::DnsRule;

use crate::client::{ConnectTo, Resolve};
use crate::code_points::CodePointArgs;
use crate::identity::IdentityArg;

/// Exit codes are curl's: 6 no address, 7 no connection, 16 HTTP/2, 22 status with --fail, 28 timeout, 35 TLS, 58
/// own certificate, 60 server's certificate, 95 HTTP/3. Of several failures the first one counts.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to get, in this order; one connection for each origin, or for several whose certificates
    /// the server shows on it
    #[arg(value_name = "URL", required = true)]
    pub(super) urls: Vec<String>,

    /// Trust servers below these PEM certificates rather than those the system trusts
    #[arg(long, value_name = "FILE")]
    pub(super) cacert: Option<PathBuf>,
    /// Trust any server
    #[arg(short = 'k', long)]
    pub(super) insecure: bool,
    /// Show this certificate to the URLs' servers when they ask for one that it is; PEM, leaf first,
    /// the key may be in the same file; or a PKCS#12 file; or a pkcs11: URI, for the key or both,
    /// with module-path or PKCS11_MODULE naming the module and pin-source or pin-value the PIN
    #[arg(long, value_name = "CERT[,KEY]")]
    pub(super) identity: Vec<IdentityArg>,
    /// Show this certificate without being asked for it, with a challenge from the server's pool,
    /// before the first request
    #[arg(long, value_name = "CERT[,KEY]", conflicts_with = "no_auth")]
    pub(super) present: Vec<IdentityArg>,
    /// What opens PKCS#12 files
    #[arg(long, value_name = "PHRASE")]
    pub(super) pass: Option<String>,
    /// How many challenges may wait for an answer at a time [default: the number of identities, at least 1]
    #[arg(long, value_name = "N", conflicts_with = "no_auth",
        value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) limit: Option<u32>,
    /// Announce no support for being asked
    #[arg(long)]
    pub(super) no_auth: bool,

    /// HTTP/2, or HTTP/1.1 where the server has no HTTP/2 (the default)
    #[arg(long, conflicts_with = "http1_1")]
    pub(super) http2: bool,
    /// HTTP/3 over QUIC, at once and with nothing to fall back on
    #[arg(long, conflicts_with_all = ["http1_1", "http2"])]
    pub(super) http3: bool,
    /// HTTP/1.1; identities can then only be shown in the TLS handshake
    #[arg(long = "http1.1")]
    pub(super) http1_1: bool,
    /// Use this address for that host and port
    #[arg(long, value_name = "HOST:PORT:ADDR[,ADDR]")]
    pub(super) resolve: Vec<Resolve>,
    /// Connect to HOST2:PORT2 instead of HOST1:PORT1
    #[arg(long, value_name = "HOST1:PORT1:HOST2:PORT2")]
    pub(super) connect_to: Vec<ConnectTo>,
    /// When to use a connection for a further origin that a certificate on it is for: once DNS leads
    /// there too; or when the server claims it in an ORIGIN frame; or at once; or never
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Coalesce::Dns)]
    pub(super) coalesce: Coalesce,
    /// Give up on a URL after this time
    #[arg(short = 'm', long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) max_time: Option<Duration>,

    /// The method
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub(super) request: Option<http::Method>,
    /// A header field; "Name:" leaves out one that would be sent, "Name;" sends it empty
    #[arg(short = 'H', long, value_name = "NAME: VALUE")]
    pub(super) header: Vec<String>,
    /// A body to POST; @FILE reads it from a file, without line ends, @- from standard input
    #[arg(short = 'd', long, value_name = "DATA", conflicts_with = "head")]
    pub(super) data: Vec<String>,
    /// The same with nothing taken out
    #[arg(long, value_name = "DATA", conflicts_with_all = ["head", "data"])]
    pub(super) data_binary: Vec<String>,
    /// HEAD: show the header fields only
    #[arg(short = 'I', long)]
    pub(super) head: bool,

    /// Show the header fields before the body
    #[arg(short = 'i', long)]
    pub(super) include: bool,
    /// Write the body to this file; the first is for the first URL, and so on
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(super) output: Vec<PathBuf>,
    /// Write bodies to files named like the last part of the URL, where --output names none
    #[arg(short = 'O', long)]
    pub(super) remote_name: bool,
    /// Fail, without showing the body, when the status is 400 or above
    #[arg(short = 'f', long)]
    pub(super) fail: bool,
    /// Say nothing about failures
    #[arg(short = 's', long)]
    pub(super) silent: bool,
    /// With --silent: say something about failures after all
    #[arg(short = 'S', long)]
    pub(super) show_error: bool,
    /// Tell on standard error what happens
    #[arg(short = 'v', long)]
    pub(super) verbose: bool,
    /// Print this after each URL, with %{http_code}, %{http_version}, %{num_connects}, %{time_total},
    /// %{size_download}, %{url_effective} and others filled in
    #[arg(short = 'w', long, value_name = "FORMAT", conflicts_with = "json")]
    pub(super) write_out: Option<String>,
    /// Print what happens as JSON on standard output, one object per line, instead of bodies
    #[arg(long, conflicts_with = "include")]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) code_points: CodePointArgs,
}

/// `--coalesce`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Coalesce {
    Dns,
    OriginFrame,
    Certificate,
    Never,
}

impl Coalesce {
    /// When DNS is asked; `None` if no support for further certificates is announced.
    pub(super) fn dns_rule(self) -> Option<DnsRule> {
        match self {
            Self::Dns => Some(DnsRule::Always),
            Self::OriginFrame => Some(DnsRule::UnlessClaimed),
            Self::Certificate => Some(DnsRule::Never),
            Self::Never => None,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "write seconds like 10 or 2.5".to_owned())
}
