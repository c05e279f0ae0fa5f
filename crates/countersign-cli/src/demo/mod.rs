//! `countersign demo`: the whole story on loopback, with real connections and nothing made up.
//!
//! A client, the gateway and a backend run in this process and talk over TCP. What is printed about an
//! exchange comes from the client's observer, from the responses, and from what the backend received.
//! Every step says what it expects; the exit code is 0 only if all of it came true.

mod narrator;
mod stage;
mod story;
mod visitor;

use crate::failure::{Exit, Failure};

use self::narrator::Narrator;
use self::stage::Stage;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Over HTTP/2 (the default)
    #[arg(long)]
    http2: bool,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    // The one version there is, whether named or not.
    let Args { http2: _ } = args;
    let mut narrator = Narrator::on_stdout();
    let stage = Stage::set().await?;
    let told = story::tell(&stage, &mut narrator).await;
    stage.strike().await;
    told?;
    narrator.verdict().map_err(|failed| {
        Failure::new(Exit::Failed, format!("{failed} of the demo's expectations did not come true"))
    })
}
