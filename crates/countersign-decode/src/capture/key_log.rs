//! Key logs: the format that `SSLKEYLOGFILE` is known for (RFC 9850).

use std::collections::HashMap;
use std::fmt;

use zeroize::Zeroizing;

use super::Side;

/// Secrets of connections, wiped when it is dropped.
#[derive(Clone, Default)]
pub struct KeyLog {
    secrets: HashMap<Name, Zeroizing<Vec<u8>>>,
}

/// A label, and ClientHello's random of the connection.
type Name = (&'static str, [u8; 32]);

impl fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLog").field("secrets", &self.secrets.len()).finish_non_exhaustive()
    }
}

/// The secrets of TLS 1.3 that traffic is read with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Handshake,
    Application,
}

/// What the master secret of TLS 1.2 is called.
pub(super) const MASTER_SECRET: &str = "CLIENT_RANDOM";
/// What the exporter's secret of TLS 1.3 is called.
pub(super) const EXPORTER_SECRET: &str = "EXPORTER_SECRET";
const CLIENT_HANDSHAKE: &str = "CLIENT_HANDSHAKE_TRAFFIC_SECRET";
const SERVER_HANDSHAKE: &str = "SERVER_HANDSHAKE_TRAFFIC_SECRET";
const CLIENT_TRAFFIC: &str = "CLIENT_TRAFFIC_SECRET_0";
const SERVER_TRAFFIC: &str = "SERVER_TRAFFIC_SECRET_0";
const LABELS: [&str; 6] = [
    MASTER_SECRET,
    EXPORTER_SECRET,
    CLIENT_HANDSHAKE,
    SERVER_HANDSHAKE,
    CLIENT_TRAFFIC,
    SERVER_TRAFFIC,
];

impl KeyLog {
    /// Reads the lines that are understood; what else there is does no harm.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut log = Self::default();
        log.add(text);
        log
    }

    /// How many secrets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.secrets.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    pub(super) fn add(&mut self, text: &[u8]) {
        for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
            if let Some((name, secret)) = parse_line(line) {
                self.secrets.insert(name, secret);
            }
        }
    }

    pub(super) fn secret(&self, label: &'static str, random: &[u8; 32]) -> Option<&[u8]> {
        self.secrets.get(&(label, *random)).map(|secret| secret.as_slice())
    }
}

/// What the secret of this side and phase is called.
pub(super) fn label(side: Side, phase: Phase) -> &'static str {
    match (side, phase) {
        (Side::Client, Phase::Handshake) => CLIENT_HANDSHAKE,
        (Side::Server, Phase::Handshake) => SERVER_HANDSHAKE,
        (Side::Client, Phase::Application) => CLIENT_TRAFFIC,
        (Side::Server, Phase::Application) => SERVER_TRAFFIC,
    }
}

fn parse_line(line: &[u8]) -> Option<(Name, Zeroizing<Vec<u8>>)> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let word = words.next()?;
    let label = LABELS.into_iter().find(|label| *label == word)?;
    let mut random = [0; 32];
    hex::decode_to_slice(words.next()?, &mut random).ok()?;
    let secret = Zeroizing::new(hex::decode(words.next()?).ok()?);
    words.next().is_none().then_some(((label, random), secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_understood_are_kept() {
        let random = "07".repeat(32);
        let text = format!(
            "# a remark\r\nSERVER_TRAFFIC_SECRET_0 {random} 0102\nCLIENT_RANDOM {random} 03 \n\
             CLIENT_EARLY_TRAFFIC_SECRET {random} 04\nEXPORTER_SECRET {random} 5\n\
             CLIENT_TRAFFIC_SECRET_0 07 06\nSERVER_HANDSHAKE_TRAFFIC_SECRET {random} 01 02\n\u{fffd}\n"
        );
        let log = KeyLog::parse(text.as_bytes());
        assert_eq!(log.len(), 2);
        let application = label(Side::Server, Phase::Application);
        assert_eq!(log.secret(application, &[7; 32]), Some(&[1, 2][..]));
        assert_eq!(log.secret(MASTER_SECRET, &[7; 32]), Some(&[3][..]));
        assert_eq!(log.secret(MASTER_SECRET, &[8; 32]), None);
        assert!(KeyLog::parse(b"").is_empty());
    }

    #[test]
    fn secrets_are_not_printed() {
        let text = format!("CLIENT_RANDOM {} deadbeef", "07".repeat(32));
        let shown = format!("{:?}", KeyLog::parse(text.as_bytes()));
        assert_eq!(shown, "KeyLog { secrets: 1, .. }");
    }
}
