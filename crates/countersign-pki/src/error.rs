//! What can go wrong while certificates are made or written.

use std::io;
use std::path::PathBuf;

/// Why a certificate, a list or a file could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// Key generation, encoding or signing failed.
    #[error("the certificate for {subject:?} could not be made: {source}")]
    Certificate {
        /// The subject's common name.
        subject: String,
        /// What rcgen says.
        source: rcgen::Error,
    },
    /// A name that its kind of subjectAltName cannot hold.
    #[error("{name:?} cannot be a subjectAltName: only ASCII characters are allowed")]
    Name {
        /// The name as given.
        name: String,
    },
    /// The revocation list could not be made.
    #[error("the revocation list of {issuer:?} could not be made: {source}")]
    RevocationList {
        /// The issuer's common name.
        issuer: String,
        /// What rcgen says.
        source: rcgen::Error,
    },
    /// A file is there already; nothing was written.
    #[error("{} is there already; nothing was written: name another folder or remove it", .path.display())]
    Exists {
        /// The first such file.
        path: PathBuf,
    },
    /// A file or its folder could not be written.
    #[error("{} could not be written: {source}", .path.display())]
    Write {
        /// The file or the folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}
