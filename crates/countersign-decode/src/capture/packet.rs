//! Packets of TCP and UDP below whatever the capture's interfaces add.

use std::net::{IpAddr, SocketAddr};

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_parser::Linktype;

/// What is looked at.
pub(super) enum Segment<'a> {
    Tcp(TcpSegment<'a>),
    Udp(Datagram<'a>),
}

/// A segment of TCP (RFC 9293, section 3.1).
pub(super) struct TcpSegment<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) sequence: u32,
    pub(super) syn: bool,
    pub(super) ack: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) payload: &'a [u8],
}

/// A datagram of UDP.
pub(super) struct Datagram<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) payload: &'a [u8],
}

/// The segment in a packet of this kind of link, if it is one and is not a fragment of one.
pub(super) fn segment(link: Linktype, data: &[u8]) -> Option<Segment<'_>> {
    /// OpenBSD's and others' numbers for what has no header.
    const RAW: [Linktype; 5] =
        [Linktype::RAW, Linktype::IPV4, Linktype::IPV6, Linktype(12), Linktype(14)];
    let ip = |behind: usize| LaxSlicedPacket::from_ip(data.get(behind..)?).ok();
    let packet = match link {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(data).ok(),
        Linktype::NULL | Linktype::LOOP => ip(4),
        Linktype::LINUX_SLL => ip(16),
        Linktype::LINUX_SLL2 => ip(20),
        link if RAW.contains(&link) => ip(0),
        _ => None,
    }?;
    let net = packet.net?;
    if net.ip_payload_ref().is_none_or(|payload| payload.fragmented) {
        return None;
    }
    let (from, to) = match net {
        LaxNetSlice::Ipv4(ip) => {
            (IpAddr::V4(ip.header().source_addr()), IpAddr::V4(ip.header().destination_addr()))
        }
        LaxNetSlice::Ipv6(ip) => {
            (IpAddr::V6(ip.header().source_addr()), IpAddr::V6(ip.header().destination_addr()))
        }
        LaxNetSlice::Arp(_) => return None,
    };
    Some(match packet.transport? {
        TransportSlice::Tcp(tcp) => Segment::Tcp(TcpSegment {
            from: SocketAddr::new(from, tcp.source_port()),
            to: SocketAddr::new(to, tcp.destination_port()),
            sequence: tcp.sequence_number(),
            syn: tcp.syn(),
            ack: tcp.ack(),
            fin: tcp.fin(),
            rst: tcp.rst(),
            payload: tcp.payload(),
        }),
        TransportSlice::Udp(udp) => Segment::Udp(Datagram {
            from: SocketAddr::new(from, udp.source_port()),
            to: SocketAddr::new(to, udp.destination_port()),
            payload: udp.payload(),
        }),
        TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_) | TransportSlice::Igmp(_) => {
            return None;
        }
    })
}
