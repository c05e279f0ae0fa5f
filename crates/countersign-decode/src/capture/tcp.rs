//! A connection of TCP and the TLS over it.

use std::net::SocketAddr;
use std::time::Duration;

use super::assembler::Assembler;
use super::key_log::KeyLog;
use super::packet::TcpSegment;
use super::tls::Tls;
use super::{Both, Connection, Side, Story, Trouble, What};

/// A connection so far.
pub(super) struct Tcp {
    halves: Both<Half>,
    tls: Tls,
    story: Story,
}

/// What one side sends.
#[derive(Default)]
struct Half {
    /// The sequence number of the first byte.
    first: Option<u32>,
    bytes: Assembler,
    ended: bool,
}

impl Tcp {
    /// The one that this segment belongs to. Whoever sends the first SYN is the client; without one, who is seen first.
    pub(super) fn new(segment: &TcpSegment<'_>) -> Self {
        let (client, server) = if segment.syn && segment.ack {
            (segment.to, segment.from)
        } else {
            (segment.from, segment.to)
        };
        Self { halves: Both::default(), tls: Tls::default(), story: Story::new(client, server) }
    }

    /// Whether the segment is this connection's, not a later one's between the same ports.
    pub(super) fn is_its(&self, segment: &TcpSegment<'_>) -> bool {
        let Some(side) = self.side(segment.from, segment.to) else { return false };
        let begins_anew = segment.syn
            && self.halves.of(side).first.is_some_and(|first| first != after_syn(segment));
        !begins_anew
    }

    fn side(&self, from: SocketAddr, to: SocketAddr) -> Option<Side> {
        let Connection { client, server, .. } = self.story.connection;
        match (from, to) {
            ends if ends == (client, server) => Some(Side::Client),
            ends if ends == (server, client) => Some(Side::Server),
            _ => None,
        }
    }

    pub(super) fn take(&mut self, at: Duration, segment: &TcpSegment<'_>, keys: &KeyLog) {
        let Some(side) = self.side(segment.from, segment.to) else { return };
        let half = self.halves.of_mut(side);
        let begin = if segment.syn { after_syn(segment) } else { segment.sequence };
        let first = *half.first.get_or_insert(begin);
        if let Some(offset) = extended(half.bytes.next(), begin.wrapping_sub(first)) {
            half.bytes.put(offset, segment.payload);
        }
        if let Some(bytes) = half.bytes.take() {
            self.tls.take(at, side, &bytes, keys, &mut self.story);
        }
        if (segment.fin || segment.rst) && !std::mem::replace(&mut half.ended, true) {
            self.story.tell(at, side, What::End { reset: segment.rst });
        }
    }

    /// Nothing if it is not TLS.
    pub(super) fn finish(mut self, keys: &KeyLog) -> Option<Connection> {
        for from in [Side::Client, Side::Server] {
            let behind = self.halves.of(from).bytes.behind_a_hole();
            if behind > 0 {
                self.story.trouble(Trouble::Hole { from, behind });
            }
        }
        self.story.finish(keys)
    }
}

/// SYN takes a number of its own (RFC 9293, section 3.4).
fn after_syn(segment: &TcpSegment<'_>) -> u32 {
    segment.sequence.wrapping_add(1)
}

/// The place in the stream that is next to `near` of those that end in these 32 bits; nothing if it is before the first
/// byte, as a keep-alive's is.
fn extended(near: u64, low: u32) -> Option<u64> {
    let [.., a, b, c, d] = near.to_be_bytes();
    let distance = low.wrapping_sub(u32::from_be_bytes([a, b, c, d])).cast_signed();
    near.checked_add_signed(distance.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_go_on_beyond_32_bits() {
        assert_eq!(extended(0, 5), Some(5));
        assert_eq!(extended(10, 5), Some(5));
        assert_eq!(extended(0, u32::MAX), None);
        assert_eq!(extended(0xffff_fff0, 0x10), Some(0x1_0000_0010));
        assert_eq!(extended(0x1_0000_0010, 0xffff_fff0), Some(0xffff_fff0));
    }
}
