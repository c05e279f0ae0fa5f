//! What TLS and QUIC carried in a capture, read with the secrets of a key log.
//!
//! Captures are pcap or pcapng files, key logs what browsers, curl and this project's commands write to
//! `SSLKEYLOGFILE`; a pcapng file may bring its own. Nothing is trusted: what does not fit is left out, and the
//! connection says in [`Connection::trouble`] from where on it could not be read.
//!
//! TLS 1.3, TLS 1.2 with an AEAD, and QUIC version 1. Packets that were lost in capturing end what can be read of
//! their direction over TCP, and of their stream over QUIC. Fragments of IP are left out.

mod assembler;
mod cipher;
mod file;
mod hello;
mod key_log;
mod packet;
mod quic;
mod tcp;
mod tls;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub use self::cipher::Exporter;
use self::cipher::Suite;
pub use self::file::{CaptureError, is_capture};
use self::hello::ServerHello;
use self::key_log::EXPORTER_SECRET;
pub use self::key_log::KeyLog;
use self::packet::Segment;
use self::quic::Quic;
use self::tcp::Tcp;

/// What a capture holds.
#[derive(Debug)]
pub struct Capture {
    /// The connections over TLS or QUIC whose beginning is there, in the order in which they begin.
    pub connections: Vec<Connection>,
    /// How many packets were read.
    pub packets: u64,
    /// Why the file ends before it should.
    pub cut: Option<CaptureError>,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Where the client sent its first packet from.
    pub client: SocketAddr,
    /// Where it sent it to.
    pub server: SocketAddr,
    /// What protects it; nothing before the server has chosen.
    pub protection: Option<Protection>,
    /// The protocol that the server chose (RFC 7301).
    pub alpn: Option<Vec<u8>>,
    /// ClientHello's random, by which key logs name a connection.
    pub client_random: Option<[u8; 32]>,
    /// What else the ClientHello says that matters later.
    pub offered: Offered,
    /// The exporter of TLS 1.3, where the key log has its secret.
    pub exporter: Option<Exporter>,
    /// What happened, in the order of the capture.
    pub events: Vec<Event>,
    /// Why not all of it could be read.
    pub trouble: Vec<Trouble>,
}

/// What a ClientHello offers, which binds what a server says later of its own accord.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// signature_algorithms, as numbers.
    pub signature_algorithms: Vec<u16>,
    /// The types of its extensions.
    pub extensions: Vec<u16>,
}

/// What protects a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// Below HTTP.
    pub transport: Transport,
    /// The cipher suite's number.
    pub suite: u16,
}

/// What is below HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TLS 1.2 over TCP.
    Tls12,
    /// TLS 1.3 over TCP.
    Tls13,
    /// QUIC version 1.
    Quic,
}

/// A side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Who began it.
    Client,
    /// The other one.
    Server,
}

impl Side {
    /// The other side.
    pub fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// Something of each side.
#[derive(Debug, Default)]
pub(crate) struct Both<T> {
    client: T,
    server: T,
}

impl<T> Both<T> {
    pub(crate) fn of(&self, side: Side) -> &T {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    pub(crate) fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}

/// Something that one side said.
#[derive(Debug)]
pub struct Event {
    /// Since the capture's first packet.
    pub at: Duration,
    /// Who said it.
    pub from: Side,
    /// What it is.
    pub what: What,
}

/// What was said.
#[derive(Debug, PartialEq, Eq)]
pub enum What {
    /// Bytes of a stream, in their order; over TLS there is stream 0 alone.
    Data {
        /// The stream.
        stream: u64,
        /// What follows on what was said before.
        bytes: Vec<u8>,
        /// That nothing follows.
        end: bool,
    },
    /// The sender ends its part of a stream (RESET_STREAM).
    Reset {
        /// The stream.
        stream: u64,
        /// The application's error code.
        code: u64,
    },
    /// The sender wants no more of a stream (STOP_SENDING).
    StopSending {
        /// The stream.
        stream: u64,
        /// The application's error code.
        code: u64,
    },
    /// CONNECTION_CLOSE.
    Close {
        /// Whether the code is the application's, not QUIC's.
        application: bool,
        /// The error code.
        code: u64,
        /// For people.
        reason: Vec<u8>,
    },
    /// An alert of TLS (RFC 8446, section 6).
    Alert {
        /// AlertDescription.
        description: u8,
    },
    /// TCP's FIN, or RST.
    End {
        /// RST.
        reset: bool,
    },
}

/// Why not all of a connection could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The key log does not have what is needed.
    #[error("the key log has no {label} for the client random {}", hex::encode(random))]
    NoSecret {
        /// What the line would begin with.
        label: &'static str,
        /// Whose it would be.
        random: [u8; 32],
    },
    /// A secret does not fit.
    #[error("what the {from} said cannot be decrypted with the key log's secrets")]
    Undecryptable {
        /// Who said it.
        from: Side,
    },
    /// Something is missing.
    #[error(
        "a part of what the {from} said is not in the capture; {behind} bytes behind it are left out"
    )]
    Hole {
        /// Whose part.
        from: Side,
        /// How much of it is there and of no use.
        behind: u64,
    },
    /// Bytes that are no TLS.
    #[error("what the {from} said is not TLS from some point on")]
    NotTls {
        /// Who said it.
        from: Side,
    },
    /// Not one of the suites that can be decrypted.
    #[error("the cipher suite {suite:#06x} is not one that can be decrypted here")]
    Suite {
        /// Its number.
        suite: u16,
    },
    /// A frame or packet of QUIC that does not decode.
    #[error("a packet of the {from} does not decode as QUIC")]
    NotQuic {
        /// Who sent it.
        from: Side,
    },
}

impl Capture {
    /// Reads a capture whole.
    ///
    /// # Errors
    /// [`CaptureError`] if it is no capture. One that ends too early is read as far as it goes.
    pub fn read(file: &[u8], keys: &KeyLog) -> Result<Self, CaptureError> {
        let mut keys = keys.clone();
        file::secrets(file, &mut keys)?;
        let mut reader = Reader::new(&keys);
        let (packets, cut) = file::packets(file, |at, segment| reader.take(at, &segment))?;
        Ok(Self { connections: reader.finish(), packets, cut })
    }
}

/// All connections so far, each with its place among all of them.
struct Reader<'a> {
    keys: &'a KeyLog,
    order: usize,
    tcp: Vec<(usize, Tcp)>,
    quic: Vec<(usize, Quic)>,
    /// The last connections between two ends, from either of them.
    latest_tcp: HashMap<(SocketAddr, SocketAddr), usize>,
    latest_quic: HashMap<(SocketAddr, SocketAddr), usize>,
}

impl<'a> Reader<'a> {
    fn new(keys: &'a KeyLog) -> Self {
        Self {
            keys,
            order: 0,
            tcp: Vec::new(),
            quic: Vec::new(),
            latest_tcp: HashMap::new(),
            latest_quic: HashMap::new(),
        }
    }

    fn take(&mut self, at: Duration, segment: &Segment<'_>) {
        match segment {
            Segment::Tcp(segment) => {
                let ends = (segment.from, segment.to);
                let latest = self.latest_tcp.get(&ends).and_then(|at| self.tcp.get_mut(*at));
                if let Some((_, tcp)) = latest.filter(|(_, tcp)| tcp.is_its(segment)) {
                    return tcp.take(at, segment, self.keys);
                }
                let mut tcp = Tcp::new(segment);
                tcp.take(at, segment, self.keys);
                self.order += 1;
                for ends in [ends, (segment.to, segment.from)] {
                    self.latest_tcp.insert(ends, self.tcp.len());
                }
                self.tcp.push((self.order, tcp));
            }
            Segment::Udp(datagram) => {
                let ends = (datagram.from, datagram.to);
                let latest = self.latest_quic.get(&ends).copied();
                let is_its =
                    |at: &usize| self.quic.get(*at).is_some_and(|(_, quic)| quic.is_its(datagram));
                // Several connections may be between the same ends, and ends may change.
                let known =
                    latest.filter(is_its).or_else(|| (0..self.quic.len()).rev().find(is_its));
                let at_place = known.or_else(|| {
                    let quic = Quic::begun_by(datagram)?;
                    self.order += 1;
                    self.quic.push((self.order, quic));
                    Some(self.quic.len() - 1)
                });
                if let Some((place, (_, quic))) =
                    at_place.and_then(|place| Some((place, self.quic.get_mut(place)?)))
                {
                    self.latest_quic.insert(ends, place);
                    quic.take(at, datagram, self.keys);
                }
            }
        }
    }

    fn finish(self) -> Vec<Connection> {
        let keys = self.keys;
        let over_tcp = self.tcp.into_iter().filter_map(|(n, tcp)| Some((n, tcp.finish(keys)?)));
        let over_udp = self.quic.into_iter().filter_map(|(n, quic)| Some((n, quic.finish(keys)?)));
        let mut all: Vec<_> = over_tcp.chain(over_udp).collect();
        all.sort_by_key(|(order, _)| *order);
        all.into_iter().map(|(_, connection)| connection).collect()
    }
}

/// What is being found out about a connection.
#[derive(Debug)]
pub(crate) struct Story {
    connection: Connection,
}

impl Story {
    fn new(client: SocketAddr, server: SocketAddr) -> Self {
        Self {
            connection: Connection {
                client,
                server,
                protection: None,
                alpn: None,
                client_random: None,
                offered: Offered::default(),
                exporter: None,
                events: Vec::new(),
                trouble: Vec::new(),
            },
        }
    }

    /// A ClientHello; of several the first one counts, in which all that matters here is as in the others.
    fn client_hello(&mut self, body: &[u8]) {
        if self.connection.client_random.is_none()
            && let Some((random, offered)) = hello::client_hello(body)
        {
            self.connection.client_random = Some(random);
            self.connection.offered = offered;
        }
    }

    /// The server has chosen.
    fn server_hello(&mut self, transport: Transport, hello: &ServerHello) {
        self.connection.protection = Some(Protection { transport, suite: hello.suite });
        self.connection.alpn.clone_from(&hello.alpn);
    }

    fn tell(&mut self, at: Duration, from: Side, what: What) {
        self.connection.events.push(Event { at, from, what });
    }

    /// What is known in the end; nothing if the beginning is not there.
    fn finish(mut self, keys: &KeyLog) -> Option<Connection> {
        let random = self.connection.client_random.as_ref()?;
        let protection = self.connection.protection;
        self.connection.exporter = protection.and_then(|protection| {
            let suite = Suite::tls13(protection.suite)?;
            Exporter::new(suite, keys.secret(EXPORTER_SECRET, random)?)
        });
        Some(self.connection)
    }

    /// Each trouble is told once.
    fn trouble(&mut self, trouble: Trouble) {
        if !self.connection.trouble.contains(&trouble) {
            self.connection.trouble.push(trouble);
        }
    }
}

/// For fuzzers: what is behind encryption.
#[cfg(feature = "fuzzing")]
pub mod fuzzing {
    /// Handshake messages, and the frames of a packet of QUIC.
    pub fn decrypted(input: &[u8]) {
        super::hello::fuzz(input);
        super::quic::fuzz(input);
    }
}

#[cfg(test)]
mod tests;
