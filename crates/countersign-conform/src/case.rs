//! What a case is, and what can become of it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// The version of HTTP that a case is run over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/2 (RFC 9113).
    Http2,
    /// HTTP/3 (RFC 9114).
    Http3,
}

impl Version {
    /// Its protocol id in ALPN.
    pub fn alpn(self) -> &'static str {
        match self {
            Self::Http2 => "h2",
            Self::Http3 => "h3",
        }
    }
}

/// The versions that a case is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Both.
    Both,
    /// HTTP/2 alone.
    Http2,
    /// HTTP/3 alone.
    Http3,
}

impl Over {
    /// Whether it is for this version.
    pub fn includes(self, version: Version) -> bool {
        match self {
            Self::Both => true,
            Self::Http2 => version == Version::Http2,
            Self::Http3 => version == Version::Http3,
        }
    }
}

/// How much a case's expectation binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// An absolute requirement of the document that the id names.
    Must,
    /// What it asks for unless there are reasons.
    Should,
    /// Not demanded; but who fails it is fragile, or wastes what a peer can take from it.
    Robustness,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::Robustness => "robustness",
        })
    }
}

/// What is to be known about a case without running it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// `DOCUMENT/SECTION/NUMBER`; the number begins with `s` for tests of servers, `c` for tests of clients.
    pub id: &'static str,
    /// How much it binds.
    pub level: Level,
    /// The versions that it is for.
    pub over: Over,
    /// The rule, as a sentence.
    pub says: &'static str,
    /// What the tool does.
    pub sends: &'static str,
    /// What has to come of it.
    pub expects: &'static str,
}

/// A case: what is known about it, and the function that tries it.
#[derive(Clone, Copy, Debug)]
pub struct Case<R> {
    /// The data.
    pub about: About,
    /// The function.
    pub run: R,
}

/// Why a case ended before it was passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The implementation does not do what is expected.
    Failed(String),
    /// It cannot be tried here.
    Skipped(String),
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// The end of a step of a case.
pub type Done<T = ()> = Result<T, Stop>;

/// A case under way.
pub type Running<'a> = Pin<Box<dyn Future<Output = Done> + Send + 'a>>;

/// A step's failure.
pub fn failed<T>(reason: impl Into<String>) -> Done<T> {
    Err(Stop::Failed(reason.into()))
}

/// A case that cannot be tried here.
pub fn skipped<T>(reason: impl Into<String>) -> Done<T> {
    Err(Stop::Skipped(reason.into()))
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does what is expected.
    Pass,
    /// It does not.
    Fail(String),
    /// It could not be tried.
    Skipped(String),
}

impl From<Done> for Verdict {
    fn from(done: Done) -> Self {
        match done {
            Ok(()) => Self::Pass,
            Err(Stop::Failed(reason)) => Self::Fail(reason),
            Err(Stop::Skipped(reason)) => Self::Skipped(reason),
        }
    }
}

/// Rows of cases: level, id and versions; rule, what is sent, what is expected; the function.
macro_rules! cases {
    ($($level:ident $id:literal $over:ident: $says:literal, $sends:literal, $expects:literal => $run:expr;)*) => {
        &[$(
            $crate::case::Case {
                about: $crate::case::About {
                    id: $id,
                    level: $crate::case::Level::$level,
                    over: $crate::case::Over::$over,
                    says: $says,
                    sends: $sends,
                    expects: $expects,
                },
                run: |visit| Box::pin($run(visit)),
            }
        ),*]
    };
}
pub(crate) use cases;
