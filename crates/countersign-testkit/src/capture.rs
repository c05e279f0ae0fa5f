//! Captures made of what tests see passing, without any rights to listen to a network.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use etherparse::PacketBuilder;

use crate::relay::Way;

/// LINKTYPE_RAW: packets begin with IP's header.
const RAW: u32 = 101;
/// Time between two packets, in microseconds.
const STEP: u32 = 1000;

/// Packets between a client and a server, in their order.
#[derive(Clone, Debug)]
pub struct Recording {
    client: SocketAddr,
    server: SocketAddr,
    /// The packets so far, to be left out, repeated or put in another order.
    pub packets: Vec<Vec<u8>>,
    next: HashMap<SocketAddr, u32>,
    /// The number of TCP's SYN.
    pub first: u32,
}

impl Recording {
    /// Of a connection between these two, without a packet. Sequence numbers begin a little before they start over.
    pub fn new(client: SocketAddr, server: SocketAddr) -> Self {
        let first = u32::MAX - 100;
        Self { client, server, packets: Vec::new(), next: HashMap::new(), first }
    }

    fn ends(&self, way: Way) -> (SocketAddr, SocketAddr) {
        match way {
            Way::ToServer => (self.client, self.server),
            Way::ToClient => (self.server, self.client),
        }
    }

    /// A datagram of UDP.
    pub fn udp(&mut self, way: Way, payload: &[u8]) {
        let (from, to) = self.ends(way);
        let mut packet = Vec::new();
        ip(from, to).udp(from.port(), to.port()).write(&mut packet, payload).unwrap();
        self.packets.push(packet);
    }

    /// The SYN of each side.
    pub fn tcp_opened(&mut self) {
        for way in [Way::ToServer, Way::ToClient] {
            let (from, to) = self.ends(way);
            let first = self.first;
            let syn = ip(from, to).tcp(from.port(), to.port(), first, u16::MAX).syn();
            let syn = if way == Way::ToClient { syn.ack(first) } else { syn };
            let mut packet = Vec::new();
            syn.write(&mut packet, &[]).unwrap();
            self.packets.push(packet);
            self.next.insert(from, first.wrapping_add(1));
        }
    }

    /// Segments of TCP with these bytes, at most `size` in each.
    pub fn tcp(&mut self, way: Way, bytes: &[u8], size: usize) {
        let (from, to) = self.ends(way);
        for payload in bytes.chunks(size) {
            let sequence = self.next.entry(from).or_insert(1);
            let mut packet = Vec::new();
            let segment = ip(from, to).tcp(from.port(), to.port(), *sequence, u16::MAX).psh();
            segment.ack(0).write(&mut packet, payload).unwrap();
            *sequence = sequence.wrapping_add(u32::try_from(payload.len()).unwrap());
            self.packets.push(packet);
        }
    }

    /// FIN of a side.
    pub fn tcp_ended(&mut self, way: Way) {
        let (from, to) = self.ends(way);
        let sequence = self.next.get(&from).copied().unwrap_or(1);
        let mut packet = Vec::new();
        let fin = ip(from, to).tcp(from.port(), to.port(), sequence, u16::MAX).fin();
        fin.write(&mut packet, &[]).unwrap();
        self.packets.push(packet);
    }

    /// All of it as a pcap file, a millisecond between two packets.
    pub fn pcap(&self) -> Vec<u8> {
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 0x0004_0000, RAW] {
            file.extend(u32::to_le_bytes(word));
        }
        for (number, packet) in (0_u32..).zip(&self.packets) {
            let (time, length) = (number * STEP, u32::try_from(packet.len()).unwrap());
            for word in [time / 1_000_000, time % 1_000_000, length, length] {
                file.extend(word.to_le_bytes());
            }
            file.extend(packet);
        }
        file
    }

    /// All of it as a pcapng file, with the secrets in it.
    pub fn pcapng(&self, key_log: &str) -> Vec<u8> {
        let mut file = Vec::new();
        block(&mut file, 0x0a0d_0d0a, &[0x1a2b_3c4d, 1, u32::MAX, u32::MAX], &[]);
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
        block(&mut file, 1, &[RAW, 0], &[]);
        block(&mut file, 10, &[0x544c_534b, length(key_log.as_bytes())], key_log.as_bytes());
        for (number, packet) in (0_u32..).zip(&self.packets) {
            block(&mut file, 6, &[0, 0, number * STEP, length(packet), length(packet)], packet);
        }
        file
    }
}

/// A block of pcapng: words, then bytes that are padded.
fn block(file: &mut Vec<u8>, typ: u32, words: &[u32], bytes: &[u8]) {
    let padding = bytes.len().next_multiple_of(4) - bytes.len();
    let length = u32::try_from(12 + 4 * words.len() + bytes.len() + padding).unwrap();
    for word in [typ, length].iter().chain(words) {
        file.extend(word.to_le_bytes());
    }
    file.extend(bytes);
    file.extend(vec![0; padding]);
    file.extend(length.to_le_bytes());
}

fn ip(from: SocketAddr, to: SocketAddr) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let header = etherparse::Ipv4Header::new(0, 64, 6.into(), from.octets(), to.octets());
            PacketBuilder::ip(etherparse::IpHeaders::Ipv4(header.unwrap(), Default::default()))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ip(etherparse::IpHeaders::Ipv6(
            etherparse::Ipv6Header {
                source: from.octets(),
                destination: to.octets(),
                hop_limit: 64,
                ..Default::default()
            },
            Default::default(),
        )),
        _ => panic!("addresses of two versions"),
    }
}

/// The secrets of connections, as lines of a key log.
#[derive(Default)]
pub struct SecretLines(Mutex<String>);

impl fmt::Debug for SecretLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretLines").finish_non_exhaustive()
    }
}

impl SecretLines {
    /// The lines so far.
    pub fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl rustls::KeyLog for SecretLines {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex::encode(client_random), hex::encode(secret));
        self.0.lock().unwrap().push_str(&line);
    }
}
