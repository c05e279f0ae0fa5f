//! `[limits]`: numbers, sizes and durations, all of which have a default.

use super::duration;
use super::keys::{Key, Keys, Kind};
use super::table::{At, Table};
use crate::limits::Limits;

const MILLION: Kind = Kind::Integer(1, 1_000_000);

/// hyper takes no smaller buffer for HTTP/1.1.
const HEADER_BYTES: Kind = Kind::Size(8 * 1024, 1024 * 1024);

/// Up to a tebibyte.
const BODY_BYTES: Kind = Kind::Size(1024, 1 << 40);

pub(super) const KEYS: Keys = &[
    Key::default("connections", MILLION, "10000", "Connections at a time; further ones wait."),
    Key::default(
        "connections_per_address",
        MILLION,
        "1000",
        "Connections at a time from one IPv4 address or IPv6 /64; further ones are refused.",
    ),
    Key::default(
        "handshakes_per_second",
        MILLION,
        "2000",
        "New connections per second, and as many at once; further ones wait.",
    ),
    Key::default(
        "streams",
        Kind::Integer(1, 10_000),
        "128",
        "Requests at a time on one connection.",
    ),
    Key::default(
        "header_bytes",
        HEADER_BYTES,
        "\"64KiB\"",
        "The longest header section of a request.",
    ),
    Key::default(
        "body_bytes",
        BODY_BYTES,
        "\"1GiB\"",
        "The longest body of a request; a longer one gets 413.",
    ),
    Key::default(
        "held_requests_per_connection",
        Kind::Integer(1, 10_000),
        "32",
        "Requests at a time on one connection that wait for the client's certificates; further ones get 503.",
    ),
    Key::default("held_requests", MILLION, "10000", "The same on all connections together."),
    Key::default(
        "challenges_per_connection",
        Kind::Integer(1, 1_000),
        "16",
        "Challenges at a time that a client has not answered; further ones wait.",
    ),
    Key::default(
        "authenticators_per_second",
        MILLION,
        "2000",
        "Authenticators verified per second, and as many at once; further ones wait.",
    ),
    Key::default(
        "verified_chains",
        Kind::Integer(0, 1_000_000),
        "16384",
        "Chains of certificates that are remembered as verified, about 300 bytes each; with 0 none is.",
    ),
    Key::default(
        "handshake_timeout",
        Kind::Duration,
        "\"10s\"",
        "Time for a TLS or QUIC handshake.",
    ),
    Key::default(
        "header_timeout",
        Kind::Duration,
        "\"30s\"",
        "Time for the next header section in HTTP/1.1.",
    ),
    Key::default(
        "body_timeout",
        Kind::Duration,
        "\"30s\"",
        "How long a client may neither send nor take any of its bodies.",
    ),
    Key::default(
        "idle_timeout",
        Kind::Duration,
        "\"2m\"",
        "How long a connection may be without a request.",
    ),
    Key::default(
        "closing_timeout",
        Kind::Duration,
        "\"5s\"",
        "Time for a connection without requests to close after it was told to.",
    ),
    Key::default(
        "drain_timeout",
        Kind::Duration,
        "\"30s\"",
        "Time for requests in flight when the gateway ends.",
    ),
];

/// Reads the table, if it is there.
pub(super) fn read(root: &Table<'_>) -> Option<Limits> {
    let mut limits = Limits::default();
    let Some(At { value, span }) = root.table("limits") else {
        return root.get("limits").is_none().then_some(limits);
    };
    let table = Table::new(root.source(), "[limits]", value, span, KEYS);
    let read = [
        number(&table, "connections", &mut limits.connections),
        number(&table, "connections_per_address", &mut limits.connections_per_address),
        number(&table, "handshakes_per_second", &mut limits.handshakes_per_second),
        number(&table, "streams", &mut limits.streams),
        size(&table, "header_bytes", &mut limits.header_bytes),
        size(&table, "body_bytes", &mut limits.body_bytes),
        number(&table, "held_requests_per_connection", &mut limits.held_requests_per_connection),
        number(&table, "held_requests", &mut limits.held_requests),
        number(&table, "challenges_per_connection", &mut limits.challenges_per_connection),
        number(&table, "authenticators_per_second", &mut limits.authenticators_per_second),
        number(&table, "verified_chains", &mut limits.verified_chains),
        time(&table, "handshake_timeout", &mut limits.handshake),
        time(&table, "header_timeout", &mut limits.headers),
        time(&table, "body_timeout", &mut limits.body),
        time(&table, "idle_timeout", &mut limits.idle),
        time(&table, "closing_timeout", &mut limits.closing),
        time(&table, "drain_timeout", &mut limits.drain),
    ];
    read.into_iter().collect::<Option<()>>().map(|()| limits)
}

/// `None` if there is a mistake; what is not there leaves the default.
pub(super) fn number<T: TryFrom<u32>>(table: &Table<'_>, key: &str, limit: &mut T) -> Option<()> {
    if table.get(key).is_some() {
        *limit = T::try_from(table.integer(key)?.value).ok()?;
    }
    Some(())
}

/// The same for a duration.
pub(super) fn time(table: &Table<'_>, key: &str, limit: &mut std::time::Duration) -> Option<()> {
    if table.get(key).is_some() {
        *limit = duration(table, key)?;
    }
    Some(())
}

/// A number of bytes such as `64KiB`.
fn size<T: TryFrom<u64>>(table: &Table<'_>, key: &str, limit: &mut T) -> Option<()> {
    if table.get(key).is_none() {
        return Some(());
    }
    let At { value, span } = table.string(key)?;
    let range = if let Some(Kind::Size(least, most)) = table.kind(key) {
        *least..=*most
    } else {
        0..=u64::MAX
    };
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at_checked(digits).unwrap_or((value, ""));
    let bytes = number.parse::<u64>().ok().and_then(|number| match unit {
        "B" => Some(number),
        "KiB" => number.checked_mul(1 << 10),
        "MiB" => number.checked_mul(1 << 20),
        "GiB" => number.checked_mul(1 << 30),
        _ => None,
    });
    let fits =
        bytes.filter(|bytes| range.contains(bytes)).and_then(|bytes| T::try_from(bytes).ok());
    match fits {
        Some(bytes) => {
            *limit = bytes;
            Some(())
        }
        None => {
            table.source().mistake(
                span,
                format!("`{value}` is no value of `{key}`"),
                format!(
                    "a number and `B`, `KiB`, `MiB` or `GiB`, from {} to {} bytes",
                    range.start(),
                    range.end()
                ),
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use toml::de::DeTable;

    use super::super::diagnostic::Source;
    use super::*;

    fn parse(text: &str) -> Result<Limits, String> {
        let source = Source::new(Path::new("gateway.toml"), text);
        let (document, _) = DeTable::parse_recoverable(text);
        let root = Table::new(
            &source,
            "the configuration",
            document.get_ref(),
            0..0,
            super::super::TABLES,
        );
        let limits = read(&root);
        source.finish_with(limits).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_sets_its_limit_and_no_other() {
        for key in KEYS.iter().map(|key| key.name) {
            let value = match key {
                key if key.ends_with("_timeout") => "\"7s\"",
                key if key.ends_with("_bytes") => "\"9KiB\"",
                _ => "7",
            };
            let limits = parse(&format!("[limits]\n{key} = {value}\n")).unwrap();
            let changed = format!("{limits:?}");
            let default = format!("{:?}", Limits::default());
            let differ = changed.split(", ").zip(default.split(", ")).filter(|(a, b)| a != b);
            let differ: Vec<_> = differ.map(|(changed, _)| changed).collect();
            assert_eq!(differ.len(), 1, "{key}: {differ:?}");
            let name = key.trim_end_matches("_timeout").trim_end_matches('s');
            assert!(differ[0].contains(name), "{key}: {differ:?}");
        }
        assert_eq!(parse("").unwrap(), Limits::default());
        assert_eq!(parse("[limits]\n").unwrap(), Limits::default());
    }

    #[test]
    fn sizes_and_times_have_units() {
        let limits = parse("[limits]\nheader_bytes = \"32KiB\"\ndrain_timeout = \"2m\"\n");
        let limits = limits.unwrap();
        assert_eq!(limits.header_bytes, 32 * 1024);
        assert_eq!(limits.drain, Duration::from_secs(120));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let said = parse("[limits]\nheader_bytes = \"1KiB\"\nstreams = 0\nidel_timeout = \"1s\"\n");
        assert_eq!(
            said.unwrap_err(),
            "\
gateway.toml:2:16: `1KiB` is no value of `header_bytes`
 2 | header_bytes = \"1KiB\"
   |                ^^^^^^
   = a number and `B`, `KiB`, `MiB` or `GiB`, from 8192 to 1048576 bytes

gateway.toml:3:11: `streams` is out of range
 3 | streams = 0
   |           ^
   = it goes from 1 to 10000

gateway.toml:4:1: unknown key `idel_timeout` in [limits]
 4 | idel_timeout = \"1s\"
   | ^^^^^^^^^^^^
   = did you mean `idle_timeout`? known keys: `connections`, `connections_per_address`, \
`handshakes_per_second`, `streams`, `header_bytes`, `body_bytes`, \
`held_requests_per_connection`, `held_requests`, `challenges_per_connection`, \
`authenticators_per_second`, `verified_chains`, `handshake_timeout`, `header_timeout`, `body_timeout`, `idle_timeout`, `closing_timeout`, `drain_timeout`"
        );
    }
}
