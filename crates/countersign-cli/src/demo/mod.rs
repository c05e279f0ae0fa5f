//! `countersign demo`: the whole story on loopback, with real connections and nothing made up.
//!
//! A client, the gateway and a backend run in this process and talk over TCP, then the same over QUIC.
//! What is printed about an
//! exchange comes from the client's observer, from the responses, and from what the backend received.
//! Every step says what it expects; the exit code is 0 only if all of it came true.

mod narrator;
mod stage;
mod story;
mod visitor;

use crate::client::Protocol;
use crate::failure::{Exit, Failure};

use self::narrator::Narrator;
use self::stage::Stage;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Over HTTP/2; without a version, over HTTP/2 and then over HTTP/3
    #[arg(long)]
    http2: bool,
    /// Over HTTP/3
    #[arg(long)]
    http3: bool,
}

impl Args {
    fn protocols(&self) -> &[Protocol] {
        match (self.http2, self.http3) {
            (true, false) => &[Protocol::Http2],
            (false, true) => &[Protocol::Http3],
            _ => &[Protocol::Http2, Protocol::Http3],
        }
    }
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let mut narrator = Narrator::on_stdout();
    let stage = Stage::set().await?;
    let mut told = Ok(());
    story::introduce(&stage, &narrator);
    for protocol in args.protocols() {
        if told.is_ok() {
            told = story::tell(&stage, *protocol, &mut narrator).await;
        }
    }
    stage.strike().await;
    told?;
    narrator.verdict().map_err(|failed| {
        Failure::new(Exit::Failed, format!("{failed} of the demo's expectations did not come true"))
    })
}
