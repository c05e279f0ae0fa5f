//! Frame headers (RFC 9114, section 7.1), and the walk along a request stream, without I/O.
//!
//! A request stream belongs to the HTTP/3 stack. It is only looked at: headers of frames are read to
//! find frames of the extension, which have no place there, and lengths that the stack would buffer.
//! Payload is skipped by its length.

use std::fmt;
use std::sync::Arc;

use countersign_proto::link::{Link, Place};
use countersign_proto::{CodePoints, Role, Violation, varint};

use crate::error::PeerError;

/// The types of HTTP/3's own frames that are told apart here.
pub(crate) mod frame_type {
    pub(crate) const DATA: u64 = 0x0;
    pub(crate) const HEADERS: u64 = 0x1;
    pub(crate) const SETTINGS: u64 = 0x4;
    /// RFC 9412, section 2.
    //= specs/server-certs.md#origin-http3
    //# In HTTP/3 a frame of type 0x0c MUST be read as ORIGIN.
    pub(crate) const ORIGIN: u64 = 0xc;
    /// WebTransport's stream signal: it has no length, what follows is no frame any more.
    pub(crate) const WT_STREAM: u64 = 0x41;
}

/// Two variable-length integers at their longest.
const MAX_HEADER_LEN: usize = 16;

/// What every stream of a connection is judged by.
pub(crate) struct Rules<L: ?Sized> {
    pub(crate) link: Arc<L>,
    pub(crate) role: Role,
    pub(crate) points: CodePoints,
    /// The longest accepted payload of a frame that the stack buffers, in bytes.
    pub(crate) max_frame_len: u64,
    /// Whether requests for WebSocket are made fit for the stack.
    pub(crate) websocket: bool,
}

impl<L: Link + ?Sized> Rules<L> {
    pub(crate) fn new(link: Arc<L>, max_frame_len: u64) -> Self {
        let (role, points) = (link.role(), link.code_points());
        Self { role, points, link, max_frame_len, websocket: false }
    }

    /// Judges the header of a frame that the stack gets.
    pub(crate) fn accept_length(&self, header: Header) -> Result<(), PeerError> {
        if header.len > self.max_frame_len { Err(PeerError::FrameTooLong) } else { Ok(()) }
    }
}

/// The beginning of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) frame_type: u64,
    /// Of the payload, in bytes; `u64::MAX` where the type has no length.
    pub(crate) len: u64,
}

impl Header {
    /// `None` while `bytes` is only the beginning of a header.
    fn parse(bytes: &[u8]) -> Option<Self> {
        Self::split_from(bytes).map(|(header, _)| header)
    }

    /// A header that is there as a whole, and what comes behind it.
    pub(crate) fn split_from(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (frame_type, rest) = varint::read(bytes)?;
        if frame_type == frame_type::WT_STREAM {
            return Some((Self { frame_type, len: u64::MAX }, rest));
        }
        let (len, rest) = varint::read(rest)?;
        Some((Self { frame_type, len }, rest))
    }
}

/// Puts together a header, or less, that arrives in pieces.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    bytes: [u8; MAX_HEADER_LEN],
    len: u8,
}

impl Head {
    pub(crate) const EMPTY: Self = Self { bytes: [0; MAX_HEADER_LEN], len: 0 };

    /// What has arrived.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len.into()).unwrap_or_default()
    }

    /// Takes bytes off the front of `input` until `parse` finds what it looks for.
    pub(crate) fn read<T>(
        &mut self,
        input: &mut &[u8],
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Option<T> {
        while let Some((byte, rest)) = input.split_first() {
            let slot = self.bytes.get_mut(usize::from(self.len))?;
            *slot = *byte;
            self.len += 1;
            *input = rest;
            if let Some(found) = parse(self.bytes()) {
                return Some(found);
            }
        }
        None
    }

    pub(crate) fn read_header(&mut self, input: &mut &[u8]) -> Option<Header> {
        self.read(input, Header::parse)
    }

    /// The same without keeping the bytes of a header that is there as a whole.
    fn skip_header(&mut self, input: &mut &[u8]) -> Option<Header> {
        if self.len == 0
            && let Some((header, rest)) = Header::split_from(input)
        {
            *input = rest;
            return Some(header);
        }
        self.read_header(input)
    }

    pub(crate) fn read_varint(&mut self, input: &mut &[u8]) -> Option<u64> {
        self.read(input, |bytes| varint::read(bytes).map(|(value, _)| value))
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Head").field(&self.bytes()).finish()
    }
}

/// Where a walk along frames stands.
#[derive(Debug)]
pub(crate) struct FrameWalk {
    /// Bytes of the current payload that are still to come; `u64::MAX` is for ever.
    left: u64,
    head: Head,
}

impl FrameWalk {
    pub(crate) fn new() -> Self {
        Self { left: 0, head: Head::EMPTY }
    }

    /// Looks through the next bytes of stream `id`.
    #[inline]
    pub(crate) fn inspect<L: Link + ?Sized>(
        &mut self,
        chunk: &[u8],
        id: u64,
        rules: &Rules<L>,
    ) -> Result<(), PeerError> {
        match self.left.checked_sub(chunk.len() as u64) {
            _ if self.left == u64::MAX => Ok(()),
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => self.walk(chunk, id, rules),
        }
    }

    fn walk<L: Link + ?Sized>(
        &mut self,
        mut chunk: &[u8],
        id: u64,
        rules: &Rules<L>,
    ) -> Result<(), PeerError> {
        while !chunk.is_empty() {
            if self.left > 0 {
                let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(chunk.len());
                chunk = chunk.get(skipped..).unwrap_or_default();
                if self.left != u64::MAX {
                    self.left -= skipped as u64;
                }
            } else if let Some(header) = self.head.skip_header(&mut chunk) {
                self.head = Head::EMPTY;
                self.left = header.len;
                judge(header, id, rules)?;
            }
        }
        Ok(())
    }
}

/// Judges the header of a frame outside of the control stream.
fn judge<L: Link + ?Sized>(header: Header, id: u64, rules: &Rules<L>) -> Result<(), PeerError> {
    match header.frame_type {
        frame_type::DATA | frame_type::WT_STREAM => Ok(()),
        frame_type::HEADERS => rules.accept_length(header),
        other => match rules.points.classify(other, rules.role) {
            //= specs/server-certs.md#origin-http3
            //# In HTTP/3 an ORIGIN frame on another stream MUST be ignored.
            None => rules.accept_length(header),
            //= specs/client-certs.md#section-4.1.2
            //# A server that receives this HTTP/3 frame on whatever stream MUST treat that as a
            //# connection error H3_FRAME_UNEXPECTED.
            //= specs/client-certs.md#section-4.1.2
            //# A client that receives this HTTP/3 frame on another stream than the control stream
            //# MUST treat that as a connection error H3_FRAME_UNEXPECTED.
            Some(kind) => {
                //= specs/server-certs.md#section-5.2
                //# In HTTP/3 a SERVER_CERTIFICATE on another stream than the control stream MUST be
                //# treated as a connection error.
                rules.link.frame_header(kind, Place::Stream(id), header.len)?;
                Err(Violation::WrongStream.into())
            }
        },
    }
}

#[cfg(test)]
mod tests;
