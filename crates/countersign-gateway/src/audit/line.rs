//! What a line says. Everything in it that a client chose is a JSON string, in ASCII: no line can be made to
//! look like two, or like another one.

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::SocketAddr;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::caller::{Caller, hex};
use crate::metrics::Protocol;

/// The longest path or authority that is told whole, in bytes.
const LONGEST: usize = 8 * 1024;

/// A line. What does not apply is left out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Line<'a> {
    /// What happened.
    pub(crate) event: &'static str,
    /// On which connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connection: Option<Connection<'a>>,
    /// In which request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<Request<'a>>,
    /// The path of the route that it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<&'a str>,
    /// `pass`, `refuse` or `redirect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) decision: Option<&'static str>,
    /// The response's, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// Why it was refused, failed, rejected or lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    /// How long the client was waited for, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) held: Option<f64>,
    /// The time until the response's header section, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration: Option<f64>,
    /// The credentials that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) credentials: Option<&'a [Credential<'a>]>,
    /// How many lines are missing here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lines: Option<u64>,
}

/// A connection.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Connection<'a> {
    /// Of no other connection of this gateway or another one.
    pub(crate) id: &'a str,
    /// The client's address and port.
    pub(crate) client: SocketAddr,
    /// As ALPN names it.
    pub(crate) protocol: Protocol,
}

/// A request.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Request<'a> {
    /// The how manieth on its connection.
    pub(crate) id: u64,
    /// Its method.
    pub(crate) method: &'a str,
    /// For which authority.
    #[serde(serialize_with = "cut")]
    pub(crate) authority: &'a str,
    /// The path as it was normalised, or as it came where it cannot be; without the query.
    #[serde(serialize_with = "cut")]
    pub(crate) path: &'a str,
    /// The trace-id of its traceparent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<&'a str>,
}

/// A credential, and what is known of the certificate.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Credential<'a> {
    /// Its name in the configuration; none if it was presented unasked and is none.
    pub(crate) credential: Option<&'a str>,
    /// What became of it.
    pub(crate) outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<&'a str>,
    /// Of the certificate's DER.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
}

impl<'a> Credential<'a> {
    /// Without a certificate.
    pub(crate) fn named(credential: Option<&'a str>, outcome: &'static str) -> Self {
        Self { credential, outcome, ..Self::default() }
    }

    /// With one of which nothing is known but its hash.
    pub(crate) fn unreadable(
        sha256: String,
        credential: Option<&'a str>,
        outcome: &'static str,
    ) -> Self {
        Self { sha256: Some(sha256), ..Self::named(credential, outcome) }
    }

    /// With one.
    pub(crate) fn of(
        caller: &'a Caller,
        credential: Option<&'a str>,
        outcome: &'static str,
    ) -> Self {
        Self {
            subject: Some(caller.subject()),
            issuer: Some(caller.issuer()),
            serial: Some(caller.serial()),
            sha256: Some(hex(caller.sha256())),
            names: caller.names().iter().map(|name| name.as_str().to_owned()).collect(),
            ..Self::named(credential, outcome)
        }
    }
}

impl Line<'_> {
    /// Says that lines are missing.
    pub(super) fn lost(lines: u64) -> Self {
        Self { event: "lines-lost", lines: Some(lines), ..Self::default() }
    }

    /// Writes it down, with the time and a newline.
    pub(super) fn with_bytes(&self, take: impl FnOnce(&[u8])) {
        #[derive(Serialize)]
        struct Timed<'a> {
            time: String,
            #[serde(flatten)]
            line: &'a Line<'a>,
        }
        thread_local!(static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
        SCRATCH.with_borrow_mut(|bytes| {
            bytes.clear();
            let timed = Timed { time: now(), line: self };
            // Strings and numbers always serialise.
            if timed.serialize(&mut Serializer::with_formatter(&mut *bytes, Ascii)).is_ok() {
                bytes.push(b'\n');
                take(bytes);
            }
        });
    }
}

/// In UTC, to the microsecond (RFC 3339).
fn now() -> String {
    let now = OffsetDateTime::now_utc();
    let micros = now.microsecond();
    let cut = now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default();
    format!("{}.{micros:06}Z", cut.trim_end_matches('Z'))
}

fn cut<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match text.get(..text.floor_char_boundary(LONGEST)) {
        Some(start) if start.len() < text.len() => {
            serializer.collect_str(&format_args!("{start}…"))
        }
        _ => serializer.serialize_str(text),
    }
}

/// Compact JSON in which everything outside of printable ASCII is escaped.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let plain = |byte: &u8| byte.is_ascii() && *byte != 0x7f;
        if fragment.as_bytes().iter().all(plain) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut units = [0; 2];
        for character in fragment.chars() {
            if character.is_ascii() && character != '\u{7f}' {
                writer.write_all(&[character as u8])?;
            } else {
                for unit in character.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}
