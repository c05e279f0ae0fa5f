//! How a command fails: one sentence for a person, one exit code for a script.

use std::fmt;
use std::process::ExitCode;

/// Exit codes. Where curl has one for the case, it is curl's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Anything that has no code of its own; a URL that is not https (curl's 1).
    Failed = 1,
    /// The command line cannot be used.
    Usage = 2,
    /// A URL that cannot be parsed.
    Url = 3,
    /// The host has no address.
    Resolve = 6,
    /// No connection to any of the addresses.
    Connect = 7,
    /// HTTP/2 failed for the whole connection.
    Http2 = 16,
    /// A status of 400 or above, with `--fail`.
    HttpStatus = 22,
    /// Output could not be written.
    Write = 23,
    /// A file to send could not be read.
    Read = 26,
    /// `--max-time` is over.
    Timeout = 28,
    /// The TLS handshake failed.
    Tls = 35,
    /// The server closed without a response.
    Empty = 52,
    /// Receiving failed.
    Receive = 56,
    /// A certificate or key of ours cannot be used.
    LocalCertificate = 58,
    /// The server's certificate is not acceptable.
    PeerCertificate = 60,
    /// `--cacert` cannot be used.
    CaFile = 77,
    /// HTTP/2 failed for one stream.
    Http2Stream = 92,
    /// HTTP/3 failed, for one stream or for the whole connection.
    Http3 = 95,
}

/// What ends a command, or one of several transfers.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    message: String,
}

impl Failure {
    /// With a sentence that says what is wrong, where, and what to do; no secrets.
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with its causes in one line, for messages.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors repeat their cause in their own text.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
