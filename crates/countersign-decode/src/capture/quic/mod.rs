//! A connection of QUIC version 1 (RFC 9000, RFC 9001).

mod frame;
mod packet;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::aead::quic::HeaderProtectionKey;

use self::frame::Frame;
use self::packet::{Bare, Destination, Kind, Packet};
use super::assembler::Assembler;
use super::cipher::{self, Opener, Suite, TrafficSecret};
use super::hello::{self, Messages, ServerHello};
use super::key_log::{KeyLog, Phase, label};
use super::packet::Datagram;
use super::{Both, Connection, Side, Story, Transport, Trouble, What};
use crate::cursor::Cursor;

/// A client's first datagram is at least so long (RFC 9000, section 14.1).
const FIRST_DATAGRAM: usize = 1200;
/// Datagrams that are kept until it is known how to read them; they are those of a handshake.
const WAITING: usize = 64;
/// How many of a side's identifiers are known, the newest; far more than anybody has in use at a time.
const MAX_IDS: usize = 64;
/// How long the packets in a batch may be: no shorter than the shortest there is, with a first byte, a sample behind four
/// bytes and a tag as long as that; no longer than Ethernet's.
const IN_A_BATCH: std::ops::RangeInclusive<usize> = 21..=1500;
/// After so many packets in a row that cannot be decrypted nobody tries any more whether they are batches.
const MAX_FAILURES: u32 = 16;

/// A connection so far.
pub(super) struct Quic {
    story: Story,
    /// How each side may be addressed.
    ids: Both<Vec<Vec<u8>>>,
    initial: Both<Space>,
    handshake: Both<Space>,
    application: Both<Space>,
    streams: Both<BTreeMap<u64, Stream>>,
    chosen: Option<ServerHello>,
    waiting: Vec<Waiting>,
    /// The length that packets of a batch had last.
    in_a_batch: Both<usize>,
    failures: u32,
    closed: Both<bool>,
}

/// A packet that cannot be read yet.
struct Waiting {
    at: Duration,
    from: Side,
    id_len: usize,
    packet: Vec<u8>,
}

/// What one side sends with keys of one kind.
#[derive(Default)]
struct Space {
    keys: Option<Keys>,
    /// The number after the largest one that was seen.
    expected: u64,
    crypto: Assembler,
    messages: Messages,
}

struct Keys {
    header: HeaderProtectionKey,
    secret: TrafficSecret,
    opener: Opener,
    key_phase: bool,
    /// The keys before the last update, for packets that were overtaken.
    before: Option<Opener>,
}

impl Keys {
    fn new(secret: TrafficSecret) -> Option<Self> {
        let (header, opener) = (secret.header_key()?, secret.opener()?);
        Some(Self { header, secret, opener, key_phase: false, before: None })
    }

    /// Decrypts, and goes on to the next keys where that is what it takes (RFC 9001, section 6).
    fn open(&mut self, mut packet: Bare, kind: Kind) -> Option<Vec<u8>> {
        let Bare { number, ref header, ref mut payload, key_phase } = packet;
        if kind != Kind::OneRtt || key_phase == self.key_phase {
            return Some(self.opener.open(number, header, payload)?.to_vec());
        }
        let mut copy = payload.clone();
        let secret = self.secret.next()?;
        let opener = secret.opener()?;
        if let Some(opened) = opener.open(number, header, &mut copy) {
            self.secret = secret;
            self.before = Some(std::mem::replace(&mut self.opener, opener));
            self.key_phase = key_phase;
            return Some(opened.to_vec());
        }
        Some(self.before.as_ref()?.open(number, header, payload)?.to_vec())
    }
}

/// One side's part of a stream.
#[derive(Default)]
struct Stream {
    bytes: Assembler,
    end: Option<u64>,
    told: Told,
}

/// What of a stream was told already.
#[derive(Default)]
struct Told {
    end: bool,
    reset: bool,
    stop: bool,
}

impl Quic {
    /// The one that this datagram begins, if it does: a client's first Initial packet.
    pub(super) fn begun_by(datagram: &Datagram<'_>) -> Option<Self> {
        if datagram.payload.len() < FIRST_DATAGRAM {
            return None;
        }
        let packet = packet::next(&mut Cursor::new(datagram.payload), 0).ok()??;
        if packet.kind != Kind::Initial {
            return None;
        }
        let mut quic = Self::new(datagram.from, datagram.to);
        quic.ids.client.push(packet.source.to_vec());
        quic.addressed_as(packet.destination)?;
        let space = &mut quic.initial.client;
        let keys = space.keys.as_mut()?;
        let bare = packet.bare(&keys.header, space.expected)?;
        keys.open(bare, packet.kind)?;
        Some(quic)
    }

    fn new(client: SocketAddr, server: SocketAddr) -> Self {
        Self {
            story: Story::new(client, server),
            ids: Both::default(),
            initial: Both::default(),
            handshake: Both::default(),
            application: Both::default(),
            streams: Both::default(),
            chosen: None,
            waiting: Vec::new(),
            in_a_batch: Both::default(),
            failures: 0,
            closed: Both::default(),
        }
    }

    /// The client addresses the server so, for the first time or after a Retry; Initial packets are protected by it.
    fn addressed_as(&mut self, id: &[u8]) -> Option<()> {
        let [client, server] = TrafficSecret::initial(id)?;
        self.initial.client.keys = Some(Keys::new(client)?);
        self.initial.server.keys = Some(Keys::new(server)?);
        self.ids.server.push(id.to_vec());
        Some(())
    }

    pub(super) fn is_its(&self, datagram: &Datagram<'_>) -> bool {
        self.sender(datagram).is_some()
    }

    /// Who sent it, and how long the identifier is that it is addressed to. Addresses may change, identifiers tell.
    fn sender(&self, datagram: &Datagram<'_>) -> Option<(Side, usize)> {
        let Connection { client, server, .. } = self.story.connection;
        let destination = packet::destination(datagram.payload)?;
        [Side::Server, Side::Client].into_iter().find_map(|receiver| {
            let ends = match receiver {
                Side::Server => (client, server),
                Side::Client => (server, client),
            };
            let is_between_them = (datagram.from, datagram.to) == ends;
            let its = self.ids.of(receiver).iter().find(|id| {
                let matches = match destination {
                    Destination::Named(destination) => destination == id.as_slice(),
                    Destination::BeginsWith(bytes) => bytes.starts_with(id),
                };
                matches && (is_between_them || !id.is_empty())
            })?;
            Some((receiver.peer(), its.len()))
        })
    }

    pub(super) fn take(&mut self, at: Duration, datagram: &Datagram<'_>, keys: &KeyLog) {
        let Some((from, id_len)) = self.sender(datagram) else { return };
        let before = self.knows_keys();
        self.datagram(at, from, id_len, datagram.payload, keys);
        if self.knows_keys() != before {
            for Waiting { at, from, id_len, packet } in std::mem::take(&mut self.waiting) {
                self.datagram(at, from, id_len, &packet, keys);
            }
        }
    }

    /// Whether both hellos are there, so that it is known which secrets there are and how they are used.
    fn knows_keys(&self) -> bool {
        self.chosen.is_some() && self.story.connection.client_random.is_some()
    }

    fn datagram(&mut self, at: Duration, from: Side, id_len: usize, bytes: &[u8], keys: &KeyLog) {
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            // What pads a datagram behind its packets is not QUIC's.
            let Ok(Some(packet)) = packet::next(&mut cursor, id_len) else { return };
            match self.packet(at, from, id_len, &packet, keys) {
                Ok(()) => self.failures = 0,
                Err(Trouble::Undecryptable { .. }) if packet.kind == Kind::OneRtt => {
                    match self.batched(at, from, id_len, packet.bytes, keys) {
                        Some(rest) => cursor = Cursor::new(rest),
                        None => self.story.trouble(Trouble::Undecryptable { from }),
                    }
                }
                Err(trouble) => self.story.trouble(trouble),
            }
        }
    }

    /// Reads the first of several packets that a system sent at once and that were captured as one datagram, as on
    /// loopback interfaces. Nothing tells how long it is but that it can be decrypted. What is behind it.
    fn batched<'a>(
        &mut self,
        at: Duration,
        from: Side,
        id_len: usize,
        bytes: &'a [u8],
        keys: &KeyLog,
    ) -> Option<&'a [u8]> {
        if self.failures >= MAX_FAILURES {
            return None;
        }
        let last = *self.in_a_batch.of(from);
        for length in std::iter::once(last).chain(IN_A_BATCH.rev()) {
            let Some((first, rest)) = bytes.split_at_checked(length) else { continue };
            let packet = packet::next(&mut Cursor::new(first), id_len);
            if let Ok(Some(packet)) = packet
                && self.packet(at, from, id_len, &packet, keys).is_ok()
            {
                *self.in_a_batch.of_mut(from) = length;
                self.failures = 0;
                return Some(rest);
            }
        }
        self.failures += 1;
        None
    }

    fn packet(
        &mut self,
        at: Duration,
        from: Side,
        id_len: usize,
        packet: &Packet<'_>,
        keys: &KeyLog,
    ) -> Result<(), Trouble> {
        if packet.kind == Kind::Retry {
            if from == Side::Server && self.chosen.is_none() {
                self.addressed_as(packet.source);
            }
            return Ok(());
        }
        if packet.kind != Kind::OneRtt {
            learn(self.ids.of_mut(from), packet.source);
        }
        let needs_more = match packet.kind {
            Kind::Handshake | Kind::OneRtt => !self.has_keys(from, packet.kind, keys)?,
            Kind::Initial | Kind::ZeroRtt | Kind::Retry => false,
        };
        if needs_more {
            if self.waiting.len() < WAITING {
                self.waiting.push(Waiting { at, from, id_len, packet: packet.bytes.to_vec() });
            }
            return Ok(());
        }
        let Some(space) = self.space(from, packet.kind) else { return Ok(()) };
        let keys_of_space = space.keys.as_mut().ok_or(Trouble::NotQuic { from })?;
        let bare = packet.bare(&keys_of_space.header, space.expected);
        let bare = bare.ok_or(Trouble::NotQuic { from })?;
        let number = bare.number;
        let opened = keys_of_space.open(bare, packet.kind);
        let opened = opened.ok_or(Trouble::Undecryptable { from })?;
        space.expected = space.expected.max(number.saturating_add(1));
        self.frames(at, from, packet.kind, &opened)
    }

    fn space(&mut self, from: Side, kind: Kind) -> Option<&mut Space> {
        match kind {
            Kind::Initial => Some(self.initial.of_mut(from)),
            Kind::Handshake => Some(self.handshake.of_mut(from)),
            Kind::OneRtt => Some(self.application.of_mut(from)),
            Kind::ZeroRtt | Kind::Retry => None,
        }
    }

    /// Takes keys from the key log as soon as the suite is known; before, it says that they are not there.
    fn has_keys(&mut self, from: Side, kind: Kind, keys: &KeyLog) -> Result<bool, Trouble> {
        let Some(suite) = self.chosen.as_ref().map(|hello| hello.suite) else { return Ok(false) };
        let Some(random) = self.story.connection.client_random else { return Ok(false) };
        let Some(space) = self.space(from, kind) else { return Ok(false) };
        if space.keys.is_none() {
            let phase = if kind == Kind::Handshake { Phase::Handshake } else { Phase::Application };
            let known = Suite::tls13(suite).ok_or(Trouble::Suite { suite })?;
            let label = label(from, phase);
            let secret = keys.secret(label, &random).ok_or(Trouble::NoSecret { label, random })?;
            let secret = TrafficSecret::new(known, secret, &cipher::QUIC);
            let keys = secret.and_then(Keys::new).ok_or(Trouble::Undecryptable { from })?;
            space.keys = Some(keys);
        }
        Ok(true)
    }

    fn frames(
        &mut self,
        at: Duration,
        from: Side,
        kind: Kind,
        payload: &[u8],
    ) -> Result<(), Trouble> {
        let mut cursor = Cursor::new(payload);
        while !cursor.is_empty() {
            let frame = frame::next(&mut cursor).map_err(|_| Trouble::NotQuic { from })?;
            self.frame(at, from, kind, &frame);
        }
        Ok(())
    }

    fn frame(&mut self, at: Duration, from: Side, kind: Kind, frame: &Frame<'_>) {
        match *frame {
            Frame::Crypto { offset, bytes } if kind != Kind::OneRtt => {
                let Some(space) = self.space(from, kind) else { return };
                space.crypto.put(offset, bytes);
                if let Some(bytes) = space.crypto.take() {
                    space.messages.put(&bytes);
                }
                while let Some((typ, body)) =
                    self.space(from, kind).and_then(|space| space.messages.take())
                {
                    self.message(from, typ, &body);
                }
            }
            // Session tickets.
            Frame::Crypto { .. } | Frame::Other => {}
            Frame::Stream { stream, offset, bytes, fin } => {
                let part = self.streams.of_mut(from).entry(stream).or_default();
                if fin {
                    part.end = offset.checked_add(bytes.len() as u64);
                }
                part.bytes.put(offset, bytes);
                let bytes = part.bytes.take().unwrap_or_default();
                let end = part.end == Some(part.bytes.next()) && !part.told.end;
                part.told.end |= end;
                if end || !bytes.is_empty() {
                    self.story.tell(at, from, What::Data { stream, bytes, end });
                }
            }
            Frame::ResetStream { stream, code } => {
                let part = self.streams.of_mut(from).entry(stream).or_default();
                if !std::mem::replace(&mut part.told.reset, true) {
                    self.story.tell(at, from, What::Reset { stream, code });
                }
            }
            Frame::StopSending { stream, code } => {
                let part = self.streams.of_mut(from).entry(stream).or_default();
                if !std::mem::replace(&mut part.told.stop, true) {
                    self.story.tell(at, from, What::StopSending { stream, code });
                }
            }
            Frame::NewConnectionId(id) => learn(self.ids.of_mut(from), id),
            Frame::ConnectionClose { application, code, reason } => {
                if !std::mem::replace(self.closed.of_mut(from), true) {
                    let reason = reason.to_vec();
                    self.story.tell(at, from, What::Close { application, code, reason });
                }
            }
        }
    }

    fn message(&mut self, from: Side, typ: u8, body: &[u8]) {
        match (typ, from) {
            (hello::CLIENT_HELLO, Side::Client) => self.story.client_hello(body),
            (hello::SERVER_HELLO, Side::Server) if self.chosen.is_none() => {
                let Some(hello) = hello::server_hello(body) else { return };
                self.story.server_hello(Transport::Quic, &hello);
                self.chosen = Some(hello);
            }
            (hello::ENCRYPTED_EXTENSIONS, Side::Server) => {
                self.story.connection.alpn = hello::encrypted_alpn(body);
            }
            _ => {}
        }
    }

    /// Nothing if its beginning is not there.
    pub(super) fn finish(mut self, keys: &KeyLog) -> Option<Connection> {
        for from in [Side::Client, Side::Server] {
            let parts = self.streams.of(from).values();
            // Who resets a stream does not send again what was lost of it.
            let whole = parts.filter(|part| !part.told.reset);
            let behind = whole.map(|part| part.bytes.behind_a_hole()).sum();
            if behind > 0 {
                self.story.trouble(Trouble::Hole { from, behind });
            }
        }
        self.story.finish(keys)
    }
}

/// An identifier by which a side may be addressed.
fn learn(ids: &mut Vec<Vec<u8>>, id: &[u8]) {
    if ids.iter().any(|known| known == id) {
        return;
    }
    if ids.len() >= MAX_IDS {
        ids.remove(0);
    }
    ids.push(id.to_vec());
}

#[cfg(feature = "fuzzing")]
pub(super) fn fuzz(input: &[u8]) {
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut quic = Quic::new(unspecified, unspecified);
    for (kind, from) in [(Kind::Initial, Side::Client), (Kind::OneRtt, Side::Server)] {
        let _trouble = quic.frames(Duration::ZERO, from, kind, input);
    }
    let mut cursor = Cursor::new(input);
    while let Ok(Some(packet)) = packet::next(&mut cursor, 4) {
        if let Some(keys) = TrafficSecret::initial(packet.destination) {
            let header = keys.into_iter().find_map(|keys| keys.header_key());
            let _bare =
                header.and_then(|header| packet.bare(&header, u64::from(input.len() as u32)));
        }
        if cursor.is_empty() {
            break;
        }
    }
    quic.finish(&KeyLog::default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_identifiers_are_known() {
        let mut ids = Vec::new();
        for number in 0..=MAX_IDS {
            learn(&mut ids, &number.to_be_bytes());
            learn(&mut ids, &number.to_be_bytes());
        }
        assert_eq!(ids.len(), MAX_IDS);
        assert!(!ids.contains(&0_usize.to_be_bytes().to_vec()));
        assert!(ids.contains(&MAX_IDS.to_be_bytes().to_vec()));
    }
}
