//! The files that a configuration is made of, as they were when they were read.

use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

/// A file, and what was in it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Input {
    path: PathBuf,
    /// Of the content; `None` where it could not be read.
    digest: Option<Vec<u8>>,
}

impl Input {
    /// A file with this content, or one that could not be read.
    pub(crate) fn new(path: PathBuf, content: Option<&[u8]>) -> Self {
        Self { path, digest: content.map(|content| digest(&SHA256, content).as_ref().to_vec()) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether something else is in it now.
    pub(crate) fn has_changed(&self) -> bool {
        let content = std::fs::read(&self.path).ok();
        *self != Self::new(self.path.clone(), content.as_deref())
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Input").field(&self.path).finish()
    }
}
