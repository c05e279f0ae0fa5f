//! `countersign explain`: what the gateway would decide about a request, and each step to it.

use std::path::PathBuf;

use countersign_gateway::{Config, Question, explain};
use http::{Method, Uri, Version};
use rustls::pki_types::UnixTime;

use crate::failure::{Exit, Failure};
use crate::identity::{opener, read_chain};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration, in TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The request's method
    method: Method,
    /// The request's URL, with https:// and a host
    url: Uri,
    /// A certificate that the client holds: a PEM file with its chain, leaf first; repeatable
    #[arg(long, value_name = "CERT")]
    identity: Vec<PathBuf>,
    /// A client with the extension, over HTTP/2 (the default)
    #[arg(long, conflicts_with = "http1_1")]
    http2: bool,
    /// A client with the extension, over HTTP/3
    #[arg(long, conflicts_with_all = ["http1_1", "http2"])]
    http3: bool,
    /// A client that cannot be asked; it shows the first identity in the TLS handshake
    #[arg(long = "http1.1")]
    http1_1: bool,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Ends with 1 for a request that is refused, with 2 for a question that cannot be answered.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let unusable = |error: &dyn std::fmt::Display| Failure::new(Exit::Usage, error);
    let config =
        Config::load_with(&args.config, Some(opener())).map_err(|error| unusable(&error))?;
    if args.url.scheme_str() != Some("https") {
        return Err(unusable(&format!("{} is no URL with https://", args.url)));
    }
    let mut identities = Vec::new();
    for path in &args.identity {
        let chain = read_chain(path).map_err(|error| unusable(&error))?;
        identities.push((path.display().to_string(), chain));
    }
    let version = match (args.http1_1, args.http3) {
        (true, _) => Version::HTTP_11,
        (false, true) => Version::HTTP_3,
        (false, false) => Version::HTTP_2,
    };
    let question =
        Question { method: args.method.clone(), url: args.url.clone(), version, identities };
    let explanation =
        explain(&config, &question, UnixTime::now()).await.map_err(|error| unusable(&error))?;
    if args.json {
        let json = serde_json::to_string(&explanation).map_err(|error| unusable(&error))?;
        println!("{json}");
    } else {
        println!("{explanation}");
    }
    match explanation.allowed {
        true => Ok(()),
        false => Err(Failure::new(Exit::Failed, "the request is refused")),
    }
}
