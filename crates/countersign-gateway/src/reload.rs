//! Another configuration while the gateway runs: all of it, or nothing of it.

mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::UnixTime;
use tokio::sync::mpsc;

use crate::config::{Config, ConfigError, Input};
use crate::live::Live;
use crate::server::GatewayError;
use crate::token::KeyOpener;

/// Replaces a gateway's configuration. Cheap to clone.
///
/// New connections and the next request on live ones go by the new configuration; an identity that it does
/// not grant is gone. When anything of it is wrong, all stays as it was.
#[derive(Clone)]
pub struct Reloader(Arc<Inner>);

struct Inner {
    live: Arc<Live>,
    udp: Option<SocketAddr>,
    /// What only a restart can change.
    address: SocketAddr,
    admin: Option<SocketAddr>,
    http3: bool,
    opener: Option<KeyOpener>,
    status: Mutex<ReloadStatus>,
    /// What the last attempt read, whatever came of it.
    inputs: Mutex<Vec<Input>>,
    /// One reload at a time.
    turn: tokio::sync::Mutex<()>,
}

/// How the last attempts went.
#[derive(Clone, Debug)]
pub struct ReloadStatus {
    /// How many configurations were taken, the first one included.
    pub generation: u64,
    /// When the one in force was taken.
    pub loaded_at: UnixTime,
    /// How many were refused since the start.
    pub refusals: u64,
    /// Since the one in force was taken: when another one was refused, and why.
    pub failure: Option<(UnixTime, String)>,
}

/// Why a configuration was not taken. The one before is still in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// It has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It changes what the listeners are bound to.
    #[error(
        "`listen.{0}` differs from what the gateway was started with; restart it to change that"
    )]
    Restart(&'static str),
    /// It cannot be served.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The work was given up, because the program ends.
    #[error("the program ends")]
    Ended,
}

impl Reloader {
    pub(crate) fn new(live: Arc<Live>, config: &Config, udp: Option<SocketAddr>) -> Self {
        let status =
            ReloadStatus { generation: 1, loaded_at: UnixTime::now(), refusals: 0, failure: None };
        Self(Arc::new(Inner {
            live,
            udp,
            address: config.address,
            admin: config.admin,
            http3: config.http3,
            opener: config.opener.clone(),
            status: Mutex::new(status),
            inputs: Mutex::new(config.inputs.clone()),
            turn: tokio::sync::Mutex::default(),
        }))
    }

    /// How the last attempts went.
    pub fn status(&self) -> ReloadStatus {
        self.0.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the last attempt read.
    fn inputs(&self) -> Vec<Input> {
        self.0.inputs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads `file` and everything that it names, and goes over to that if nothing of it is wrong.
    ///
    /// # Errors
    ///
    /// Why nothing has changed; it is in the log and in [`Reloader::status`], too.
    pub async fn reload(&self, file: impl Into<PathBuf>) -> Result<(), ReloadError> {
        let file = file.into();
        let _turn = self.0.turn.lock().await;
        let inner = Arc::clone(&self.0);
        // Files are read, keys checked and chains verified: nothing for a task that serves.
        let work = tokio::task::spawn_blocking(move || inner.take(&file));
        let outcome = work.await.unwrap_or(Err(ReloadError::Ended));
        if let Err(error) = &outcome {
            tracing::error!(%error, "the configuration was not reloaded; the one before stays in force");
            let mut status = self.0.status.lock().unwrap_or_else(PoisonError::into_inner);
            status.refusals += 1;
            status.failure = Some((UnixTime::now(), error.to_string()));
            drop(status);
            // It may have been moved away, whatever is wrong with the configuration.
            if let Err(error) = self.0.live.meters().audit.reopen() {
                tracing::error!(%error, "the audit log is written where it was");
            }
        }
        outcome
    }

    /// Reloads `file` whenever it, or a file that it names, has changed, and whenever `asked` yields, which it
    /// does until the program ends.
    pub async fn follow(self, file: PathBuf, asked: mpsc::Receiver<()>) {
        watch::follow(self, file, asked).await;
    }
}

impl Inner {
    fn take(&self, file: &Path) -> Result<(), ReloadError> {
        let loaded = Config::load_with(file, self.opener.clone());
        let inputs = match &loaded {
            Ok(config) => &config.inputs,
            Err(error) => &error.inputs,
        };
        *self.inputs.lock().unwrap_or_else(PoisonError::into_inner) = inputs.clone();
        let config = loaded?;
        if config.address != self.address {
            return Err(ReloadError::Restart("address"));
        }
        if config.admin != self.admin {
            return Err(ReloadError::Restart("admin"));
        }
        if config.http3 != self.http3 {
            return Err(ReloadError::Restart("http3"));
        }
        let lost = self.live.replace(&config, self.udp)?;
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.generation += 1;
        status.loaded_at = UnixTime::now();
        status.failure = None;
        let generation = status.generation;
        tracing::info!(generation, identities_lost = lost, "the configuration was reloaded");
        Ok(())
    }
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").field("status", &self.status()).finish_non_exhaustive()
    }
}
