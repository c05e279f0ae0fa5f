//! Notices when files of the configuration have changed.
//!
//! Folders are watched, not files: editors and Kubernetes put a new file, or a new symbolic link, in the place
//! of the old one. What was noticed only leads to a look at the contents; a reload follows if they differ.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::Reloader;
use crate::audit::Audit;
use crate::config::Input;

/// How long the folders must have been quiet: whoever writes several files is let finish.
const QUIET: Duration = Duration::from_millis(200);
/// How long they may be noisy at most.
const PATIENCE: Duration = Duration::from_millis(600);
/// How often the contents are looked at, whatever was noticed: some file systems tell of nothing.
const PERIOD: Duration = Duration::from_secs(60);

pub(super) async fn follow(reloader: Reloader, file: PathBuf, mut asked: mpsc::Receiver<()>) {
    let (notice, mut noticed) = mpsc::channel(1);
    let mut folders = Folders::new(notice, Arc::clone(&reloader.0.live.meters().audit));
    loop {
        let inputs = reloader.inputs();
        folders.watch(&inputs);
        // What changed before the folders were watched is found by looking.
        let forced = if have_changed(&inputs).await {
            false
        } else {
            tokio::select! {
                asked = asked.recv() => match asked {
                    Some(()) => true,
                    None => return,
                },
                Some(()) = noticed.recv() => tokio::select! {
                    () = quiet(&mut noticed) => false,
                    asked = asked.recv() => match asked {
                        Some(()) => true,
                        None => return,
                    },
                },
                () = sleep_until(Instant::now() + PERIOD) => false,
            }
        };
        if forced || have_changed(&inputs).await {
            // Why it failed is told already.
            let _told = reloader.reload(&file).await;
        }
    }
}

/// Whether something else is in one of the files now. Reading may take its time, which no task that serves
/// has.
async fn have_changed(inputs: &[Input]) -> bool {
    let inputs = inputs.to_vec();
    let looking = tokio::task::spawn_blocking(move || inputs.iter().any(Input::has_changed));
    looking.await.unwrap_or(false)
}

/// Waits until nothing was noticed for a while.
async fn quiet(noticed: &mut mpsc::Receiver<()>) {
    let give_up = Instant::now() + PATIENCE;
    while Instant::now() < give_up && timeout(QUIET, noticed.recv()).await.is_ok() {}
}

/// The folders that are watched.
struct Folders {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

impl Folders {
    /// Lines of the audit log are no news.
    fn new(notice: mpsc::Sender<()>, audit: Arc<Audit>) -> Self {
        let is_news = move |event: notify::Event| {
            let mut paths = event.paths.iter();
            !event.kind.is_access() && !paths.all(|path| audit.goes_to(path))
        };
        let handler = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(&is_news) {
                // One notice that waits is enough.
                let _full = notice.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(handler)
            .inspect_err(|error| {
                tracing::warn!(%error, "changed files are noticed late: they cannot be watched");
            })
            .ok();
        Self { watcher, watched: BTreeSet::new() }
    }

    /// Watches the folders of these files, and no others.
    fn watch(&mut self, inputs: &[Input]) {
        let Some(watcher) = &mut self.watcher else { return };
        let folders: BTreeSet<_> = inputs.iter().map(|input| folder(input.path())).collect();
        for gone in self.watched.difference(&folders) {
            let _unknown = watcher.unwatch(gone);
        }
        let mut watched = BTreeSet::new();
        for folder in folders {
            // Again and again: a folder may have been removed and made anew, and watching twice is no error.
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    watched.insert(folder);
                }
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), %error, "a folder cannot be watched");
                }
            }
        }
        self.watched = watched;
    }
}

fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
