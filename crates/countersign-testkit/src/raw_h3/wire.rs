//! Integers and frames of HTTP/3 as they stand on the wire (RFC 9000, section 16; RFC 9114, section 7).

use bytes::{Buf, Bytes, BytesMut};

use super::{kind, qpack};

/// An integer of variable length, as short as it can be.
pub fn varint(value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let (width, mark) = match value {
        0..=0x3f => (1, 0x00),
        0x40..=0x3fff => (2, 0x40),
        0x4000..=0x3fff_ffff => (4, 0x80),
        _ => (8, 0xc0),
    };
    let mut shortest = bytes.get(8 - width..).unwrap_or_default().to_vec();
    if let Some(first) = shortest.first_mut() {
        assert!(*first < 0x40, "an integer of QUIC has 62 bits");
        *first |= mark;
    }
    shortest
}

/// The integer at the beginning of `bytes` and its length, as soon as it is whole.
pub(super) fn read_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = bytes.first()?;
    let width = 1 << (first >> 6);
    let rest = bytes.get(1..width)?;
    let value =
        rest.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, width))
}

/// A frame of HTTP/3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The type; [`kind`] has names for those of HTTP/3 itself.
    pub kind: u64,
    /// What follows the header.
    pub payload: Bytes,
}

impl Frame {
    /// One from its parts.
    pub fn new(kind: u64, payload: impl Into<Bytes>) -> Self {
        Self { kind, payload: payload.into() }
    }

    /// HEADERS of a GET.
    pub fn get(authority: &str, path: &str) -> Self {
        Self::new(kind::HEADERS, qpack::get(authority, path))
    }

    /// HEADERS with these fields, pseudo-header fields among them, in this order.
    pub fn headers(fields: &[(&str, &str)]) -> Self {
        Self::new(kind::HEADERS, qpack::literals(fields))
    }

    /// A SETTINGS frame.
    pub fn settings(settings: &[(u64, u64)]) -> Self {
        let flat = settings.iter().flat_map(|(id, value)| [varint(*id), varint(*value)].concat());
        Self::new(kind::SETTINGS, flat.collect::<Vec<_>>())
    }

    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        [&header(self.kind, self.payload.len() as u64), &self.payload[..]].concat()
    }

    /// What a SETTINGS frame announces.
    pub fn parse_settings(&self) -> Vec<(u64, u64)> {
        let mut rest = &self.payload[..];
        let mut settings = Vec::new();
        while let Some((id, width)) = read_varint(rest) {
            rest.advance(width);
            let (value, width) = read_varint(rest).expect("a setting has a value");
            rest.advance(width);
            settings.push((id, value));
        }
        settings
    }

    /// The `:status` of a HEADERS frame; it must be the first field.
    pub fn status(&self) -> Option<u16> {
        (self.kind == kind::HEADERS).then(|| qpack::read_status(&self.payload)).flatten()
    }

    /// Takes the frame at the beginning of `bytes`, as soon as it is whole.
    pub(super) fn take(bytes: &mut BytesMut) -> Option<Self> {
        let (kind, kind_width) = read_varint(bytes)?;
        let (length, length_width) = read_varint(bytes.get(kind_width..)?)?;
        let (header, length) = (kind_width + length_width, usize::try_from(length).ok()?);
        if bytes.len() - header < length {
            return None;
        }
        bytes.advance(header);
        Some(Self::new(kind, bytes.split_to(length)))
    }
}

/// The header of a frame that announces `length` bytes.
pub fn header(kind: u64, length: u64) -> Vec<u8> {
    [varint(kind), varint(length)].concat()
}
