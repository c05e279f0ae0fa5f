//! What reads a peer's streams, without QUIC, for fuzzers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::{Bytes, BytesMut};
use countersign_proto::link::Link;

use crate::PeerError;
use crate::frames::{FrameWalk, Rules};
use crate::inbound::UniWalk;

/// One of the peer's unidirectional streams.
pub struct UniStream<L: Link + ?Sized> {
    walk: UniWalk,
    rules: Rules<L>,
    control_seen: AtomicBool,
}

impl<L: Link + ?Sized> UniStream<L> {
    /// The first stream of a connection. Frames other than DATA may have `max_frame_len` bytes.
    pub fn new(link: Arc<L>, max_frame_len: u64) -> Self {
        let rules = Rules::new(link, max_frame_len);
        Self { walk: UniWalk::new(3), rules, control_seen: AtomicBool::new(false) }
    }

    /// Takes what has arrived, and gives to `stack` what is the stack's.
    pub fn arrive(&mut self, chunk: Bytes, stack: &mut Vec<u8>) -> Result<(), PeerError> {
        let outcome = self.walk.filter(chunk, &self.rules, &self.control_seen);
        self.pass_on(stack);
        outcome
    }

    /// The stream has ended.
    pub fn end(&mut self, stack: &mut Vec<u8>) -> Result<(), PeerError> {
        let outcome = self.walk.end();
        self.pass_on(stack);
        outcome
    }

    fn pass_on(&mut self, stack: &mut Vec<u8>) {
        while let Some(piece) = self.walk.next() {
            stack.extend_from_slice(&piece);
        }
    }
}

impl<L: Link + ?Sized> fmt::Debug for UniStream<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UniStream").field("walk", &self.walk).finish_non_exhaustive()
    }
}

/// A stream with a request or a response.
pub struct RequestStream<L: Link + ?Sized> {
    walk: FrameWalk,
    rules: Rules<L>,
}

impl<L: Link + ?Sized> RequestStream<L> {
    /// One of which nothing has arrived. Frames other than DATA may have `max_frame_len` bytes.
    pub fn new(link: Arc<L>, max_frame_len: u64) -> Self {
        Self { walk: FrameWalk::new(), rules: Rules::new(link, max_frame_len) }
    }

    /// Looks at what has arrived; all of it is the stack's.
    pub fn arrive(&mut self, chunk: &[u8]) -> Result<(), PeerError> {
        self.walk.inspect(chunk, 0, &self.rules)
    }
}

impl<L: Link + ?Sized> fmt::Debug for RequestStream<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestStream").field("walk", &self.walk).finish_non_exhaustive()
    }
}

/// The beginning of a request stream where WebSocket is taken: what the stack gets, once it is there.
pub fn open_request(held: &mut BytesMut, chunk: Bytes) -> Option<Bytes> {
    crate::protocol::open(held, chunk)
}
