//! What is taken out of the peer's unidirectional streams before the stack reads them, without I/O.
//!
//! The first stream that says it is the control stream is filtered: frames of the extension are
//! removed and handed to the link, SETTINGS and ORIGIN are read along, everything else stays as it
//! is. Between two pieces of input at most a part of one frame header is held back. Push streams are
//! looked at like request streams; QPACK's and unknown streams pass. A second control stream passes
//! too: the stack refuses it.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, Bytes, BytesMut};
use countersign_proto::link::{Link, Place};
use countersign_proto::{FrameKind, Role, Setting, Violation, varint};

use crate::error::PeerError;
use crate::frames::{FrameWalk, Head, Header, Rules, frame_type};

/// The types of unidirectional streams that carry frames (RFC 9114, section 6.2).
mod stream_type {
    pub(super) const CONTROL: u64 = 0x0;
    pub(super) const PUSH: u64 = 0x1;
}

/// One of the peer's unidirectional streams.
#[derive(Debug)]
pub(crate) struct UniWalk {
    id: u64,
    stage: Stage,
    /// What the stack gets, in order; no piece is empty.
    ready: VecDeque<Bytes>,
}

#[derive(Debug)]
enum Stage {
    /// The type of the stream is still to come.
    Type(Head),
    /// A push stream, up to its push ID.
    PushId(Head),
    Push(FrameWalk),
    Control(Control),
    /// Whatever follows is none of our business.
    Opaque,
}

impl UniWalk {
    pub(crate) fn new(id: u64) -> Self {
        Self { id, stage: Stage::Type(Head::EMPTY), ready: VecDeque::new() }
    }

    /// The next piece for the stack.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// Filters what has arrived. `control_seen` is the connection's: set by its control stream.
    pub(crate) fn filter<L: Link + ?Sized>(
        &mut self,
        mut chunk: Bytes,
        rules: &Rules<L>,
        control_seen: &AtomicBool,
    ) -> Result<(), PeerError> {
        while chunk.has_remaining() {
            match &mut self.stage {
                Stage::Type(head) => {
                    let mut rest = &*chunk;
                    let found = head.read_varint(&mut rest);
                    let taken = chunk.len() - rest.len();
                    self.ready.push_back(chunk.split_to(taken));
                    self.stage = match found {
                        None => continue,
                        Some(stream_type::CONTROL)
                            if !control_seen.swap(true, Ordering::Relaxed) =>
                        {
                            Stage::Control(Control::new())
                        }
                        Some(stream_type::PUSH) => Stage::PushId(Head::EMPTY),
                        Some(_) => Stage::Opaque,
                    };
                }
                Stage::PushId(head) => {
                    let mut rest = &*chunk;
                    let found = head.read_varint(&mut rest);
                    let taken = chunk.len() - rest.len();
                    self.ready.push_back(chunk.split_to(taken));
                    if found.is_some() {
                        self.stage = Stage::Push(FrameWalk::new());
                    }
                }
                Stage::Push(walk) => {
                    walk.inspect(&chunk, self.id, rules)?;
                    self.ready.push_back(std::mem::take(&mut chunk));
                }
                Stage::Control(control) => {
                    control.filter(std::mem::take(&mut chunk), rules, &mut self.ready)?;
                }
                Stage::Opaque => self.ready.push_back(std::mem::take(&mut chunk)),
            }
        }
        Ok(())
    }

    /// The stream has ended.
    pub(crate) fn end(&mut self) -> Result<(), PeerError> {
        match &mut self.stage {
            Stage::Control(control) => control.end(&mut self.ready),
            Stage::Type(_) | Stage::PushId(_) | Stage::Push(_) | Stage::Opaque => Ok(()),
        }
    }
}

/// What happens to the current payload of the control stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payload {
    /// It goes to the stack.
    Stack,
    /// It goes to the stack, and is read along: SETTINGS.
    Settings,
    /// The same: ORIGIN.
    Origin,
    /// It is taken out.
    Extension(FrameKind),
}

/// The control stream, after its type.
#[derive(Debug)]
struct Control {
    head: Head,
    /// Bytes of the current payload that are still to come; `u64::MAX` is for ever.
    left: u64,
    payload: Payload,
    /// What has arrived of a payload that is collected.
    collected: BytesMut,
    settings_seen: bool,
}

impl Control {
    fn new() -> Self {
        Self {
            head: Head::EMPTY,
            left: 0,
            payload: Payload::Stack,
            collected: BytesMut::new(),
            settings_seen: false,
        }
    }

    fn filter<L: Link + ?Sized>(
        &mut self,
        mut chunk: Bytes,
        rules: &Rules<L>,
        ready: &mut VecDeque<Bytes>,
    ) -> Result<(), PeerError> {
        while chunk.has_remaining() {
            if self.left > 0 {
                let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(chunk.len());
                let piece = chunk.split_to(len);
                if self.left != u64::MAX {
                    self.left -= len as u64;
                }
                // Collected as it arrives: a declared length is no reason to reserve anything.
                match self.payload {
                    Payload::Stack => ready.push_back(piece),
                    Payload::Settings | Payload::Origin => {
                        self.collected.extend_from_slice(&piece);
                        ready.push_back(piece);
                    }
                    Payload::Extension(_) => self.collected.extend_from_slice(&piece),
                }
            } else {
                let mut rest = &*chunk;
                let found = self.head.read_header(&mut rest);
                let taken = chunk.len() - rest.len();
                chunk.advance(taken);
                let Some(header) = found else { return Ok(()) };
                self.left = header.len;
                self.payload = self.judge(header, rules)?;
                if !matches!(self.payload, Payload::Extension(_)) {
                    ready.push_back(Bytes::copy_from_slice(self.head.bytes()));
                }
                self.head = Head::EMPTY;
            }
            if self.left == 0 {
                self.finish(rules)?;
            }
        }
        Ok(())
    }

    /// A header is complete; nothing of its payload was looked at.
    fn judge<L: Link + ?Sized>(
        &mut self,
        header: Header,
        rules: &Rules<L>,
    ) -> Result<Payload, PeerError> {
        if !self.settings_seen {
            if header.frame_type != frame_type::SETTINGS {
                return Err(PeerError::MissingSettings);
            }
            self.settings_seen = true;
            rules.accept_length(header)?;
            return Ok(Payload::Settings);
        }
        //= specs/client-certs.md#decisions-limits
        //= type=implication
        //# (ours) A second SETTINGS frame in HTTP/3 MUST be a connection error H3_FRAME_UNEXPECTED.
        // A second SETTINGS is the stack's to refuse, like any frame that has no place here. So is
        // DATA, which it does not buffer.
        match rules.points.classify(header.frame_type, rules.role) {
            None if header.frame_type == frame_type::DATA
                || header.frame_type == frame_type::WT_STREAM =>
            {
                Ok(Payload::Stack)
            }
            None => {
                //= specs/server-certs.md#decisions
                //# (ours) In HTTP/3 an ORIGIN frame that is longer than any frame may be MUST be a
                //# connection error H3_EXCESSIVE_LOAD.
                rules.accept_length(header)?;
                //= specs/server-certs.md#origin-http3
                //# The HTTP/3 frame MUST be read as its type and its length, both variable-length
                //# integers, and then a payload with the layout of HTTP/2.
                //= specs/server-certs.md#origin-http3
                //# In HTTP/3 the server's control stream MUST take the place of stream 0.
                let is_origin =
                    header.frame_type == frame_type::ORIGIN && rules.role == Role::Client;
                //= specs/server-certs.md#decisions
                //# (ours) In HTTP/3 an ORIGIN frame that is longer than a frame of the extension
                //# may be MUST be ignored.
                let accepted = header.len <= rules.link.max_frame_len() as u64;
                Ok(if is_origin && accepted { Payload::Origin } else { Payload::Stack })
            }
            Some(kind) => {
                rules.link.frame_header(kind, Place::Control, header.len)?;
                //= specs/client-certs.md#decisions-frames
                //# (ours) A frame over the accepted size MUST be a connection error at its header,
                //# before any of it is buffered, FRAME_SIZE_ERROR in HTTP/2 and H3_EXCESSIVE_LOAD in
                //# HTTP/3.
                //= specs/server-certs.md#decisions
                //# (ours) A SERVER_CERTIFICATE over the accepted size MUST be a connection error at
                //# its header, FRAME_SIZE_ERROR in HTTP/2 and H3_EXCESSIVE_LOAD in HTTP/3.
                if header.len > rules.link.max_frame_len() as u64 {
                    return Err(Violation::FrameTooLong.into());
                }
                Ok(Payload::Extension(kind))
            }
        }
    }

    /// A payload is complete.
    fn finish<L: Link + ?Sized>(&mut self, rules: &Rules<L>) -> Result<(), PeerError> {
        let payload = std::mem::take(&mut self.collected).freeze();
        match std::mem::replace(&mut self.payload, Payload::Stack) {
            Payload::Stack => Ok(()),
            Payload::Settings => Ok(rules.link.peer_settings(&parse_settings(&payload)?)?),
            Payload::Origin => {
                //= specs/server-certs.md#origin-http3
                //# The payload of an HTTP/3 ORIGIN frame MUST mean what it means in HTTP/2.
                //= specs/server-certs.md#origin-http3
                //= type=implication
                //# An ORIGIN frame in HTTP/3 MUST be processed as one without flags.
                rules.link.origin(&payload);
                Ok(())
            }
            Payload::Extension(kind) => Ok(rules.link.frame(kind, payload)?),
        }
    }

    fn end(&mut self, ready: &mut VecDeque<Bytes>) -> Result<(), PeerError> {
        if matches!(self.payload, Payload::Extension(_)) {
            return Err(PeerError::TruncatedFrame);
        }
        // A cut header is the stack's to judge.
        let held = std::mem::replace(&mut self.head, Head::EMPTY);
        if !held.bytes().is_empty() {
            ready.push_back(Bytes::copy_from_slice(held.bytes()));
        }
        Ok(())
    }
}

/// All entries of a SETTINGS payload (RFC 9114, section 7.2.4). Which of them are forbidden is the
/// stack's business; it checks those it knows for duplicates only.
fn parse_settings(mut payload: &[u8]) -> Result<Vec<Setting>, PeerError> {
    let mut settings = Vec::new();
    let mut seen = HashSet::new();
    while !payload.is_empty() {
        let (id, rest) = varint::read(payload).ok_or(PeerError::MalformedSettings)?;
        let (value, rest) = varint::read(rest).ok_or(PeerError::MalformedSettings)?;
        if !seen.insert(id) {
            return Err(PeerError::RepeatedSetting);
        }
        settings.push(Setting { id, value });
        payload = rest;
    }
    Ok(settings)
}

#[cfg(test)]
mod tests;
