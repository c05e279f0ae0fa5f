//! `countersign gateway`: the reverse proxy, from its configuration file to a graceful end.

use std::io::Write;
use std::path::PathBuf;

use countersign_gateway::{Config, Gateway};
use tokio::signal;
use tokio::sync::{mpsc, oneshot};

use crate::failure::{Exit, Failure};
use crate::identity::opener;
use crate::supervisor::{self, State};
use crate::telemetry::LogFormat;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration, in TOML
    #[arg(long, value_name = "FILE", required_unless_present = "schema")]
    config: Option<PathBuf>,
    /// Print the JSON Schema of configurations
    #[arg(long, conflicts_with_all = ["config", "check"])]
    schema: bool,
    /// Only check the configuration and the files that it names
    #[arg(long)]
    check: bool,
    /// How the log on standard error is written; RUST_LOG says what is in it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::new(Exit::Failed, error);
    let Some(file) = &args.config else {
        // Whoever closed standard output has read enough.
        let _ = writeln!(std::io::stdout(), "{:#}", countersign_gateway::schema());
        return Ok(());
    };
    let config = Config::load_with(file, Some(opener())).map_err(|error| failed(&error))?;
    if args.check {
        println!("{} is valid", file.display());
        return Ok(());
    }
    #[cfg(feature = "otlp")]
    let _exporting = crate::telemetry::Exporting::start()?;
    // Before anybody can know that it runs, so that no signal finds it unprepared.
    let mut signals = StopSignals::new().map_err(|error| failed(&error))?;
    let reload_requests = reload_requests();
    let gateway = Gateway::bind(config).await.map_err(|error| failed(&error))?;
    let mut out = std::io::stdout();
    let udp = gateway.udp_addr().map(|address| format!(" udp={address}")).unwrap_or_default();
    let admin = gateway.admin_addr().map(|address| format!(" admin={address}")).unwrap_or_default();
    // Whoever closed standard output does not want to know; the gateway runs all the same.
    let _ = writeln!(out, "listening tcp={}{udp}{admin}", gateway.local_addr())
        .and_then(|()| out.flush());
    let following = tokio::spawn(gateway.reloader().clone().follow(file.clone(), reload_requests));
    supervisor::notify(State::Ready);
    let (stop, stopped) = oneshot::channel::<()>();
    let second = async move {
        signals.recv().await;
        supervisor::notify(State::Stopping);
        drop(stop);
        signals.recv().await;
    };
    let ended = tokio::select! {
        () = gateway.run(async { drop(stopped.await) }) => Ok(()),
        () = second => Err(Failure::new(
            Exit::Failed,
            "stopped by a second signal, before all requests had ended",
        )),
    };
    following.abort();
    ended
}

/// One for each SIGHUP from now on.
#[cfg(unix)]
fn reload_requests() -> mpsc::Receiver<()> {
    use signal::unix::{SignalKind, signal};
    let (ask, asked) = mpsc::channel(1);
    match signal(SignalKind::hangup()) {
        Ok(mut hangup) => {
            tokio::spawn(async move {
                // Further ones while one waits ask for the same.
                while hangup.recv().await.is_some() && !ask.is_closed() {
                    let _waits = ask.try_send(());
                }
            });
        }
        Err(error) => {
            tracing::warn!(%error, "SIGHUP cannot be listened to");
            keep_open(ask);
        }
    }
    asked
}

/// There is no such signal; changed files are noticed all the same.
#[cfg(not(unix))]
fn reload_requests() -> mpsc::Receiver<()> {
    let (ask, asked) = mpsc::channel(1);
    keep_open(ask);
    asked
}

/// Nothing is ever asked, which is not the same as that the program ends.
fn keep_open(ask: mpsc::Sender<()>) {
    tokio::spawn(async move { ask.closed().await });
}

/// SIGINT and SIGTERM: the first lets requests in flight finish, the second does not.
#[cfg(unix)]
struct StopSignals {
    interrupt: signal::unix::Signal,
    terminate: signal::unix::Signal,
}

#[cfg(unix)]
impl StopSignals {
    /// Those that come from now on.
    fn new() -> std::io::Result<Self> {
        use signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ctrl-C: the first lets requests in flight finish, the second does not.
#[cfg(not(unix))]
struct StopSignals;

#[cfg(not(unix))]
impl StopSignals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn recv(&mut self) {
        if signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
