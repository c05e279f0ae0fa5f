//! HTTP/2 frame headers (RFC 9113, section 4.1), and a walk along them through a stream of bytes.
//!
//! [`Walker`] is told the bytes that the HTTP/2 stack above has written, in pieces of any size, and
//! knows where in its stream of frames the stack is: whether another frame may stand here, or how far
//! it is to the next place where one may. Payload is skipped by its length, never looked at.

/// The length of a frame header, in bytes.
pub(crate) const HEADER_LEN: usize = 9;
/// The length of the client's connection preface, in bytes (RFC 9113, section 3.4).
pub(crate) const PREFACE_LEN: u32 = 24;
/// SETTINGS_MAX_FRAME_SIZE as long as nothing else was announced, in bytes.
pub(crate) const DEFAULT_MAX_FRAME_SIZE: u32 = 1 << 14;
/// The greatest SETTINGS_MAX_FRAME_SIZE, and the longest payload a header can name, in bytes.
pub(crate) const GREATEST_MAX_FRAME_SIZE: u32 = (1 << 24) - 1;
/// The identifier of SETTINGS_MAX_FRAME_SIZE.
pub(crate) const SETTINGS_MAX_FRAME_SIZE: u64 = 0x5;
/// The length of one entry of SETTINGS, in bytes.
pub(crate) const SETTING_LEN: usize = 6;

/// The frame types that matter here.
pub(crate) mod frame_type {
    #[cfg(test)]
    pub(crate) const DATA: u8 = 0x0;
    pub(crate) const HEADERS: u8 = 0x1;
    pub(crate) const SETTINGS: u8 = 0x4;
    pub(crate) const PUSH_PROMISE: u8 = 0x5;
    pub(crate) const GOAWAY: u8 = 0x7;
    pub(crate) const CONTINUATION: u8 = 0x9;
    /// RFC 8336, section 2.
    //= specs/server-certs.md#origin-http2
    //# In HTTP/2 a frame of type 0x0c MUST be read as ORIGIN.
    pub(crate) const ORIGIN: u8 = 0xc;
}

/// ACK, on SETTINGS.
const FLAG_ACK: u8 = 0x1;
/// The flags of ORIGIN with which it has another meaning, which nobody has given it so far.
//= specs/server-certs.md#origin-http2
//# An ORIGIN frame that sets a flag among 0x1, 0x2, 0x4 and 0x8 MUST be ignored as a whole.
//= specs/server-certs.md#origin-http2
//# The other flags of ORIGIN MUST NOT change how the frame is processed.
const FLAGS_UNLIKE_ORIGIN: u8 = 0x1 | 0x2 | 0x4 | 0x8;
/// END_HEADERS, on HEADERS, PUSH_PROMISE and CONTINUATION.
const FLAG_END_HEADERS: u8 = 0x4;
/// The bytes of GOAWAY's payload that name the last stream.
const LAST_STREAM_LEN: u32 = 4;
/// A header and the last stream of GOAWAY.
const LONGEST_HEAD: usize = HEADER_LEN + LAST_STREAM_LEN as usize;

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The length of the payload, in bytes; 24 bits.
    pub(crate) len: u32,
    pub(crate) frame_type: u8,
    pub(crate) flags: u8,
    /// The stream, without the reserved bit.
    pub(crate) stream: u32,
}

impl Header {
    /// A header on stream 0 without flags. `len` must fit into 24 bits.
    //= specs/client-certs.md#section-4.1.1
    //# A sender MUST leave flags and the reserved bit of these frames unset.
    pub(crate) fn connection(frame_type: u8, len: u32) -> Self {
        Self { len, frame_type, flags: 0, stream: 0 }
    }

    #[inline]
    pub(crate) fn parse(bytes: &[u8; HEADER_LEN]) -> Self {
        let [l0, l1, l2, frame_type, flags, s0, s1, s2, s3] = *bytes;
        Self {
            len: u32::from_be_bytes([0, l0, l1, l2]),
            frame_type,
            flags,
            stream: stream_id([s0, s1, s2, s3]),
        }
    }

    pub(crate) fn encode(self) -> [u8; HEADER_LEN] {
        let [_, l0, l1, l2] = self.len.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.frame_type, self.flags, s0, s1, s2, s3]
    }

    /// SETTINGS of the connection that is no acknowledgement.
    #[inline]
    pub(crate) fn is_settings(&self) -> bool {
        self.frame_type == frame_type::SETTINGS && self.stream == 0 && self.flags & FLAG_ACK == 0
    }

    /// An ORIGIN frame that is not to be ignored (RFC 8336, section 2.1).
    //= specs/server-certs.md#origin-http2
    //# An ORIGIN frame on another stream than 0 MUST be ignored.
    #[inline]
    pub(crate) fn is_origin(&self) -> bool {
        self.frame_type == frame_type::ORIGIN
            && self.stream == 0
            && self.flags & FLAGS_UNLIKE_ORIGIN == 0
    }

    /// A well-formed acknowledgement of SETTINGS.
    #[inline]
    pub(crate) fn is_settings_ack(&self) -> bool {
        self.frame_type == frame_type::SETTINGS
            && self.stream == 0
            && self.flags & FLAG_ACK != 0
            && self.len == 0
    }

    /// Whether a header block is open after this frame, when one was or was not before it.
    #[inline]
    pub(crate) fn leaves_block_open(&self, before: bool) -> bool {
        match self.frame_type {
            frame_type::HEADERS | frame_type::PUSH_PROMISE | frame_type::CONTINUATION => {
                self.flags & FLAG_END_HEADERS == 0
            }
            _ => before,
        }
    }
}

/// A stream identifier without its reserved bit.
fn stream_id(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes) & 0x7fff_ffff
}

/// A frame on the way that somebody keeps account of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// SETTINGS, no acknowledgement.
    Settings,
    /// GOAWAY with this last stream.
    GoAway(u32),
}

/// A place in a stream of frames.
#[derive(Clone, Debug)]
pub(crate) struct Walker {
    /// Bytes of the preface or of the current payload that are still to come.
    left: u32,
    /// How much of `head` is there.
    have: u8,
    /// The current header while it is incomplete; with the last stream, if it is GOAWAY's.
    head: [u8; LONGEST_HEAD],
    /// A header block is open, so nothing may stand between this frame and the next.
    in_block: bool,
}

impl Walker {
    /// At the start of a stream of frames, which follows `preface` other bytes.
    pub(crate) fn new(preface: u32) -> Self {
        Self { left: preface, have: 0, head: [0; LONGEST_HEAD], in_block: false }
    }

    /// Another frame may stand here.
    #[inline]
    pub(crate) fn between_frames(&self) -> bool {
        self.left == 0 && self.have == 0 && !self.in_block
    }

    /// Goes on by `bytes`, and tells `met` what is on the way.
    #[inline]
    pub(crate) fn advance(&mut self, bytes: &[u8], mut met: impl FnMut(Met)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.step(rest, &mut met);
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    /// How many of `bytes`, at least one, lie before the next place where another frame may stand.
    pub(crate) fn distance(&self, bytes: &[u8]) -> usize {
        let mut ahead = self.clone();
        let mut distance = 0;
        while let Some(rest) = bytes.get(distance..)
            && !rest.is_empty()
        {
            distance += ahead.step(rest, &mut |_| ());
            if ahead.between_frames() {
                break;
            }
        }
        distance
    }

    /// Takes the rest of a payload, a header, or one byte of a header that is cut.
    #[inline]
    fn step(&mut self, bytes: &[u8], met: &mut impl FnMut(Met)) -> usize {
        if self.left > 0 {
            let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let taken = self.left.min(len);
            self.left -= taken;
            return taken as usize;
        }
        if self.have == 0
            && let Some(head) = bytes.first_chunk::<HEADER_LEN>()
        {
            let header = Header::parse(head);
            if header.frame_type != frame_type::GOAWAY {
                self.enter(header, met);
                return HEADER_LEN;
            }
        }
        self.step_in_header(bytes, met);
        1
    }

    #[inline]
    fn enter(&mut self, header: Header, met: &mut impl FnMut(Met)) {
        self.left = header.len;
        self.in_block = header.leaves_block_open(self.in_block);
        if header.is_settings() {
            met(Met::Settings);
        }
    }

    #[cold]
    fn step_in_header(&mut self, bytes: &[u8], met: &mut impl FnMut(Met)) {
        if let (Some(slot), Some(byte)) = (self.head.get_mut(self.have as usize), bytes.first()) {
            *slot = *byte;
        }
        self.have += 1;
        let Some((head, last_stream)) = self.head.split_first_chunk::<HEADER_LEN>() else {
            return;
        };
        let header = Header::parse(head);
        let names_stream = header.frame_type == frame_type::GOAWAY && header.len >= LAST_STREAM_LEN;
        if usize::from(self.have) == HEADER_LEN && !names_stream {
            self.have = 0;
            self.enter(header, met);
        } else if usize::from(self.have) == LONGEST_HEAD
            && let Some(last_stream) = last_stream.first_chunk()
        {
            met(Met::GoAway(stream_id(*last_stream)));
            self.have = 0;
            self.left = header.len - LAST_STREAM_LEN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(frame_type: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let header = Header { len: payload.len() as u32, frame_type, flags, stream };
        [&header.encode(), payload].concat()
    }

    #[test]
    fn a_header_survives_its_encoding_without_the_reserved_bit() {
        let header = Header { len: 0x01_02_03, frame_type: 0xf5, flags: 7, stream: 0x7fff_fffe };
        assert_eq!(Header::parse(&header.encode()), header);
        let mut bytes = header.encode();
        bytes[5] |= 0x80;
        assert_eq!(Header::parse(&bytes), header);
    }

    #[test]
    fn frames_may_stand_between_frames_but_not_inside_header_blocks() {
        let stream = [
            vec![b'P'; 24],
            frame(frame_type::SETTINGS, 0, 0, &[0; 12]),
            frame(frame_type::HEADERS, 0, 1, b"abc"),
            frame(frame_type::CONTINUATION, 0, 1, b"def"),
            frame(frame_type::CONTINUATION, 4, 1, b""),
            frame(frame_type::DATA, 0, 1, b"body"),
            frame(frame_type::GOAWAY, 0, 0, &[0x80, 0, 0, 9, 0, 0, 0, 0, b'x']),
            frame(frame_type::SETTINGS, 1, 0, b""),
            frame(frame_type::DATA, 0, 1, b""),
        ]
        .concat();
        let boundaries = vec![24, 45, 45 + 12 + 12 + 9, 91, 109, 118, 127];

        for chunk in 1..=stream.len() {
            let mut walker = Walker::new(PREFACE_LEN);
            let mut met = Vec::new();
            for piece in stream.chunks(chunk) {
                walker.advance(piece, |what| met.push(what));
            }
            assert!(walker.between_frames());
            assert_eq!(met, [Met::Settings, Met::GoAway(9)]);
        }

        let mut walker = Walker::new(PREFACE_LEN);
        let mut found = Vec::new();
        let mut at = 0;
        while at < stream.len() {
            let distance = walker.distance(&stream[at..]);
            assert!(distance > 0);
            walker.advance(&stream[at..at + distance], |_| ());
            at += distance;
            assert!(walker.between_frames());
            found.push(at);
        }
        assert_eq!(found, boundaries);
    }

    #[test]
    fn a_goaway_that_is_cut_short_is_still_a_frame() {
        let mut walker = Walker::new(0);
        let stream = frame(frame_type::GOAWAY, 0, 0, b"ab");
        let mut met = Vec::new();
        walker.advance(&stream, |what| met.push(what));
        assert!(walker.between_frames());
        assert_eq!(met, []);
    }
}
