//! Headers of packets (RFC 9000, section 17).

use aws_lc_rs::aead::quic::HeaderProtectionKey;

use crate::cursor::{Broken, Cursor};

/// The only version that is read.
const VERSION_1: u64 = 1;
const LONG: u8 = 0x80;

/// A packet whose header is still protected.
#[derive(Clone, Debug)]
pub(super) struct Packet<'a> {
    pub(super) kind: Kind,
    pub(super) destination: &'a [u8],
    /// Of packets with a long header.
    pub(super) source: &'a [u8],
    /// All of it.
    pub(super) bytes: &'a [u8],
    /// Where the packet number is.
    number_at: usize,
}

/// What packets there are of version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
    OneRtt,
}

/// The destination that a datagram names; of a short header, all that may be it.
pub(super) enum Destination<'a> {
    Named(&'a [u8]),
    BeginsWith(&'a [u8]),
}

/// Where a datagram wants to go, if it may be QUIC.
pub(super) fn destination(datagram: &[u8]) -> Option<Destination<'_>> {
    let (first, rest) = datagram.split_first()?;
    if first & LONG == 0 {
        return Some(Destination::BeginsWith(rest));
    }
    let mut cursor = Cursor::new(rest);
    cursor.take(4, "").ok()?;
    Some(Destination::Named(cursor.vector(1, "").ok()?.rest()))
}

/// The next packet of a datagram, where identifiers in short headers are so long. Nothing for what is of another
/// version.
pub(super) fn next<'a>(
    cursor: &mut Cursor<'a>,
    id_len: usize,
) -> Result<Option<Packet<'a>>, Broken> {
    let whole = cursor.rest();
    let begin = cursor.at();
    let at = |cursor: &Cursor<'_>| cursor.at() - begin;
    let first = cursor.number(1, "the first byte")?;
    let is_long = u8::try_from(first).is_ok_and(|first| first & LONG != 0);
    if !is_long {
        let destination = cursor.take(id_len, "the destination")?.rest();
        let number_at = at(cursor);
        cursor.take_rest();
        let kind = Kind::OneRtt;
        return Ok(Some(Packet { kind, destination, source: &[], bytes: whole, number_at }));
    }
    let version = cursor.number(4, "the version")?;
    let destination = cursor.vector(1, "the destination")?.rest();
    let source = cursor.vector(1, "the source")?.rest();
    if version != VERSION_1 {
        cursor.take_rest();
        return Ok(None);
    }
    let kind = match (first >> 4) & 3 {
        0 => Kind::Initial,
        1 => Kind::ZeroRtt,
        2 => Kind::Handshake,
        _ => Kind::Retry,
    };
    if kind == Kind::Retry {
        cursor.take_rest();
        return Ok(Some(Packet { kind, destination, source, bytes: whole, number_at: 0 }));
    }
    if kind == Kind::Initial {
        let token = length(cursor.varint("the token's length")?);
        cursor.take(token, "the token")?;
    }
    let length = length(cursor.varint("the packet's length")?);
    let number_at = at(cursor);
    cursor.take(length, "the packet")?;
    let bytes = whole.get(..number_at + length).unwrap_or(whole);
    Ok(Some(Packet { kind, destination, source, bytes, number_at }))
}

fn length(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A packet without header protection.
#[derive(Debug)]
pub(super) struct Bare {
    pub(super) number: u64,
    pub(super) key_phase: bool,
    pub(super) header: Vec<u8>,
    /// Still encrypted.
    pub(super) payload: Vec<u8>,
}

impl Packet<'_> {
    /// Removes the header's protection (RFC 9001, section 5.4). `expected` is the number after the largest one so far.
    pub(super) fn bare(&self, key: &HeaderProtectionKey, expected: u64) -> Option<Bare> {
        let sample_at = self.number_at.checked_add(4)?;
        let sample =
            self.bytes.get(sample_at..sample_at.checked_add(key.algorithm().sample_len())?);
        let [first_mask, number_mask @ ..] = key.new_mask(sample?).ok()?;
        let mut header = self.bytes.get(..sample_at)?.to_vec();
        let first = header.first_mut()?;
        *first ^= first_mask & if *first & LONG == 0 { 0x1f } else { 0x0f };
        let (number_len, key_phase) = (usize::from(*first & 3) + 1, *first & 4 != 0);
        header.truncate(self.number_at + number_len);
        let mut truncated = 0;
        for (byte, mask) in header.get_mut(self.number_at..)?.iter_mut().zip(number_mask) {
            *byte ^= mask;
            truncated = truncated << 8 | u64::from(*byte);
        }
        let number = packet_number(expected, truncated, 8 * number_len);
        let payload = self.bytes.get(header.len()..)?.to_vec();
        Some(Bare { number, key_phase, header, payload })
    }
}

/// The number next to the expected one that ends in these bits (RFC 9000, appendix A.3).
fn packet_number(expected: u64, truncated: u64, bits: usize) -> u64 {
    let window = 1_u64 << bits;
    let candidate = (expected & !(window - 1)) | truncated;
    if candidate.saturating_add(window / 2) <= expected && candidate < (1 << 62) - window {
        candidate + window
    } else if candidate > expected.saturating_add(window / 2) && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_numbers_are_those_next_to_the_expected_one() {
        // RFC 9000, appendix A.3.
        assert_eq!(packet_number(0xa82f_30eb, 0x9b32, 16), 0xa82f_9b32);
        assert_eq!(packet_number(0, 0, 8), 0);
        assert_eq!(packet_number(256, 255, 8), 255);
        assert_eq!(packet_number(255, 1, 8), 257);
    }

    #[test]
    fn packets_in_one_datagram_are_told_apart() {
        let initial = [0xc0, 0, 0, 0, 1, 2, 7, 7, 1, 8, 0, 3, 1, 2, 3];
        let short = [0x40, 8, 1, 2];
        let datagram = [&initial[..], &short].concat();
        let mut cursor = Cursor::new(&datagram);
        let first = next(&mut cursor, 1).unwrap().unwrap();
        assert_eq!(
            (first.kind, first.destination, first.source),
            (Kind::Initial, &[7, 7][..], &[8][..])
        );
        assert_eq!((first.bytes, first.number_at), (&initial[..], 12));
        let second = next(&mut cursor, 1).unwrap().unwrap();
        assert_eq!(
            (second.kind, second.destination, second.number_at),
            (Kind::OneRtt, &[8][..], 2)
        );
        assert!(cursor.is_empty());
    }

    #[test]
    fn a_packet_longer_than_its_datagram_is_none() {
        let packet = [0xe0, 0, 0, 0, 1, 0, 0, 9, 1];
        assert!(next(&mut Cursor::new(&packet), 0).is_err());
        // Version negotiation, and a version of the future.
        let other = [0xc0, 0, 0, 0, 0, 0, 0, 9, 1];
        assert!(next(&mut Cursor::new(&other), 0).unwrap().is_none());
    }
}
