//! Captures of real TLS and QUIC, sound and spoilt.

use std::sync::{Arc, Mutex};

use countersign_testkit::capture::{Recording, SecretLines};
use countersign_testkit::relay::{Fate, Relay, Way, lossy};
use countersign_testkit::tls::{Suite, TlsOptions};
use countersign_testkit::{quic, within};
use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection as Tls, ServerConnection};

use super::*;

const CLIENT: &str = "127.0.0.1:40001";
const SERVER: &str = "127.0.0.1:443";

/// A connection in memory that is recorded.
struct Pair {
    client: Tls,
    server: Tls,
    lines: Arc<SecretLines>,
    recording: Recording,
    size: usize,
}

impl Pair {
    /// Segments have `size` bytes at most.
    fn new(options: &TlsOptions, size: usize) -> Self {
        Self::recorded(options, size, recording())
    }

    fn recorded(options: &TlsOptions, size: usize, mut recording: Recording) -> Self {
        let lines = Arc::<SecretLines>::default();
        let mut config = options.client_config();
        config.key_log = Arc::clone(&lines) as Arc<_>;
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        let server = ServerConnection::new(Arc::new(options.server_config())).unwrap();
        recording.tcp_opened();
        let mut pair =
            Self { client: client.into(), server: server.into(), lines, recording, size };
        pair.settle();
        pair
    }

    /// Until nothing is in flight.
    fn settle(&mut self) {
        while self.client.wants_write() || self.server.wants_write() {
            self.pass(Way::ToServer);
            self.pass(Way::ToClient);
        }
    }

    fn pass(&mut self, way: Way) {
        let (from, to) = match way {
            Way::ToServer => (&mut self.client, &mut self.server),
            Way::ToClient => (&mut self.server, &mut self.client),
        };
        let mut bytes = Vec::new();
        while from.wants_write() {
            from.write_tls(&mut bytes).unwrap();
        }
        self.recording.tcp(way, &bytes, self.size);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            to.read_tls(&mut rest).unwrap();
            to.process_new_packets().unwrap();
            let mut plain = Vec::new();
            let _none_left = std::io::Read::read_to_end(&mut to.reader(), &mut plain);
        }
    }

    fn say(&mut self, way: Way, bytes: &[u8]) {
        let from = match way {
            Way::ToServer => &mut self.client,
            Way::ToClient => &mut self.server,
        };
        std::io::Write::write_all(&mut from.writer(), bytes).unwrap();
        self.settle();
    }

    fn read(&self) -> Connection {
        read(&self.recording.pcap(), &self.lines.text())
    }
}

fn recording() -> Recording {
    Recording::new(CLIENT.parse().unwrap(), SERVER.parse().unwrap())
}

/// The only connection of a capture.
fn read(file: &[u8], key_log: &str) -> Connection {
    let capture = Capture::read(file, &KeyLog::parse(key_log.as_bytes())).unwrap();
    assert_eq!(capture.cut, None);
    let [connection] = <[_; 1]>::try_from(capture.connections).unwrap();
    connection
}

/// What a side said on a stream.
fn said(connection: &Connection, side: Side, on: u64) -> Vec<u8> {
    let mut all = Vec::new();
    for event in connection.events.iter().filter(|event| event.from == side) {
        if let What::Data { stream, bytes, .. } = &event.what
            && *stream == on
        {
            all.extend(bytes);
        }
    }
    all
}

#[test]
fn tls_is_read_in_segments_of_any_size() {
    for suite in Suite::ALL {
        for size in [1, 7, 1400, 65_000] {
            let mut pair = Pair::new(&TlsOptions::default().suite(suite), size);
            pair.say(Way::ToServer, b"what is this?");
            pair.say(Way::ToClient, &[7; 40_000]);
            pair.client.send_close_notify();
            pair.settle();
            pair.recording.tcp_ended(Way::ToServer);
            let connection = pair.read();
            assert_eq!(connection.trouble, [], "{suite:?} {size}");
            assert_eq!(connection.alpn.as_deref(), Some(&b"h2"[..]));
            assert_eq!(
                (connection.client, connection.server),
                (CLIENT.parse().unwrap(), SERVER.parse().unwrap())
            );
            let (transport, number) = match suite {
                Suite::Tls13Sha256 => (Transport::Tls13, 0x1301),
                Suite::Tls13Sha384 => (Transport::Tls13, 0x1302),
                Suite::Tls12Sha256 => (Transport::Tls12, 0xc02b),
                Suite::Tls12Sha384 => (Transport::Tls12, 0xc02c),
            };
            assert_eq!(connection.protection, Some(Protection { transport, suite: number }));
            assert_eq!(connection.exporter.is_some(), transport == Transport::Tls13);
            assert_eq!(said(&connection, Side::Client, 0), b"what is this?");
            assert_eq!(said(&connection, Side::Server, 0), [7; 40_000]);
            let [.., alert, end] = &connection.events[..] else { panic!() };
            assert_eq!(alert.what, What::Alert { description: 0 });
            assert_eq!((end.from, &end.what), (Side::Client, &What::End { reset: false }));
            assert!(connection.events.is_sorted_by_key(|event| event.at));
        }
    }
}

#[test]
fn the_exporter_gives_what_rustls_exports() {
    for suite in [Suite::Tls13Sha256, Suite::Tls13Sha384] {
        let pair = Pair::new(&TlsOptions::default().suite(suite), 1400);
        let exporter = pair.read().exporter.unwrap();
        for context in [&b""[..], b"context"] {
            let (mut ours, mut theirs) = ([0; 48], [0; 48]);
            exporter.export(&mut ours, b"EXPORTER-test", context).unwrap();
            let Tls::Client(client) = &pair.client else { panic!() };
            client.export_keying_material(&mut theirs, b"EXPORTER-test", Some(context)).unwrap();
            assert_eq!(ours, theirs);
        }
        assert_eq!(format!("{exporter:?}"), "Exporter { .. }");
    }
}

#[test]
fn keys_are_updated() {
    let mut pair = Pair::new(&TlsOptions::default(), 1400);
    for round in 0..3_u8 {
        pair.say(Way::ToServer, &[round]);
        let Tls::Client(client) = &mut pair.client else { panic!() };
        client.refresh_traffic_keys().unwrap();
        pair.say(Way::ToClient, &[round]);
    }
    let connection = pair.read();
    assert_eq!(connection.trouble, []);
    assert_eq!(said(&connection, Side::Client, 0), [0, 1, 2]);
    assert_eq!(said(&connection, Side::Server, 0), [0, 1, 2]);
}

#[test]
fn secrets_may_be_in_the_capture_itself() {
    let mut pair = Pair::new(&TlsOptions::default(), 1400);
    pair.say(Way::ToServer, b"hello");
    let connection = read(&pair.recording.pcapng(&pair.lines.text()), "");
    assert_eq!(said(&connection, Side::Client, 0), b"hello");
}

#[test]
fn segments_that_are_late_or_repeated_change_nothing() {
    let mut pair = Pair::new(&TlsOptions::default(), 50);
    pair.say(Way::ToServer, &[1; 1000]);
    pair.say(Way::ToClient, &[2; 1000]);
    let packets = pair.recording.packets.clone();
    pair.recording.packets = packets[..2].to_vec();
    for pieces in packets[2..].chunks(3) {
        pair.recording.packets.extend(pieces.iter().rev().cloned());
        pair.recording.packets.push(pieces[0].clone());
    }
    let connection = pair.read();
    assert_eq!(connection.trouble, []);
    assert_eq!(said(&connection, Side::Client, 0), [1; 1000]);
    assert_eq!(said(&connection, Side::Server, 0), [2; 1000]);
}

#[test]
fn what_is_missing_is_told() {
    let mut pair = Pair::new(&TlsOptions::default(), 1400);
    pair.say(Way::ToServer, b"first");
    let lost = pair.recording.packets.len();
    pair.say(Way::ToServer, b"lost");
    pair.say(Way::ToServer, b"behind it");
    pair.say(Way::ToClient, b"the other way");
    pair.recording.packets.remove(lost);
    let connection = pair.read();
    assert_eq!(said(&connection, Side::Client, 0), b"first");
    assert_eq!(said(&connection, Side::Server, 0), b"the other way");
    let [Trouble::Hole { from: Side::Client, behind }] = connection.trouble[..] else {
        panic!("{:?}", connection.trouble)
    };
    assert_eq!(behind, 5 + 9 + 1 + 16);
}

#[test]
fn secrets_that_are_missing_or_wrong_are_told() {
    let mut pair = Pair::new(&TlsOptions::default(), 1400);
    pair.say(Way::ToServer, b"secret");
    let file = pair.recording.pcap();
    let without = read(&file, "");
    assert!(
        without.trouble.iter().all(|trouble| matches!(trouble, Trouble::NoSecret { .. })),
        "{:?}",
        without.trouble
    );
    assert!(without.events.is_empty());
    // Of another connection's secrets, with this one's name.
    let other = Pair::new(&TlsOptions::default(), 1400).lines.text();
    let random = |text: &str| text.split(' ').nth(1).unwrap().to_owned();
    let wrong = other.replace(&random(&other), &random(&pair.lines.text()));
    let trouble = read(&file, &wrong).trouble;
    assert!(trouble.contains(&Trouble::Undecryptable { from: Side::Server }), "{trouble:?}");
}

#[test]
fn ports_are_used_again() {
    let mut pair = Pair::new(&TlsOptions::default(), 1400);
    pair.say(Way::ToServer, b"one");
    let mut later = recording();
    later.first = 7;
    let mut second = Pair::recorded(&TlsOptions::default(), 1400, later);
    second.say(Way::ToServer, b"two");
    pair.recording.packets.append(&mut second.recording.packets);
    let keys = pair.lines.text() + &second.lines.text();
    let capture = Capture::read(&pair.recording.pcap(), &KeyLog::parse(keys.as_bytes())).unwrap();
    let said: Vec<_> = capture.connections.iter().map(|one| said(one, Side::Client, 0)).collect();
    assert_eq!(said, [b"one", b"two"]);
}

#[test]
fn what_is_no_capture_or_cut_is_told() {
    let keys = KeyLog::default();
    for file in
        [&b""[..], b"no capture at all", &[0xa1, 0xb2, 0xc3, 0xd4], &[0x0a, 0x0d, 0x0d, 0x0a]]
    {
        let error = Capture::read(file, &keys).unwrap_err();
        assert_eq!(error, CaptureError::NoCapture);
    }
    let pair = Pair::new(&TlsOptions::default(), 1400);
    let total = u64::try_from(pair.recording.packets.len()).unwrap();
    for file in [pair.recording.pcap(), pair.recording.pcapng("")] {
        let capture = Capture::read(&file[..file.len() - 1], &keys).unwrap();
        assert_eq!(capture.cut, Some(CaptureError::Cut { packets: total - 1 }));
        assert_eq!(capture.connections.len(), 1);
        assert_eq!(Capture::read(&file, &keys).unwrap().packets, total);
    }
}

#[test]
fn what_is_not_tls_is_left_out() {
    let mut recording = recording();
    recording.tcp_opened();
    recording.tcp(Way::ToServer, b"GET / HTTP/1.1\r\n\r\n", 1400);
    recording.udp(Way::ToServer, &[0; 1300]);
    recording.udp(Way::ToServer, b"dns, perhaps");
    let capture = Capture::read(&recording.pcap(), &KeyLog::default()).unwrap();
    assert!(capture.connections.is_empty());
    assert_eq!(capture.packets, 5);
}

/// A connection over QUIC through a relay that may lose, repeat and delay; what was recorded and its key log.
async fn over_quic(
    suite: Suite,
    mut fate: impl FnMut(Way, &bytes::Bytes) -> Fate + Send + 'static,
    transport: fn() -> quinn::TransportConfig,
) -> (Recording, String) {
    let options = TlsOptions::default().suite(suite);
    let server = quic::server(options.server_config(), transport());
    let address = server.local_addr().unwrap();
    let recording = recording();
    let recording = Arc::new(Mutex::new(recording));
    let recorder = Arc::clone(&recording);
    let relay = Relay::new(address, move |way, datagram| {
        recorder.lock().unwrap().udp(way, datagram);
        fate(way, datagram)
    })
    .await;
    let echo = tokio::spawn(async move {
        let connection = server.accept().await.unwrap().await.unwrap();
        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
            let said = receive.read_to_end(1 << 20).await.unwrap();
            send.write_all(&said).await.unwrap();
            send.finish().unwrap();
        }
    });
    let lines = Arc::<SecretLines>::default();
    let mut tls = options.client_config();
    tls.key_log = Arc::clone(&lines) as Arc<_>;
    let endpoint = quic::client();
    let config = quic::client_config(tls, transport());
    let connecting = endpoint.connect_with(config, relay.address(), "localhost").unwrap();
    let connection = within(connecting).await.unwrap();
    for round in 0..4_u8 {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(&vec![round; 5000]).await.unwrap();
        send.finish().unwrap();
        let said = within(receive.read_to_end(1 << 20)).await.unwrap();
        assert_eq!(said, vec![round; 5000]);
        connection.force_key_update();
    }
    connection.close(0x10e_u32.into(), b"that is all");
    within(endpoint.wait_idle()).await;
    within(echo).await.unwrap();
    let recording = recording.lock().unwrap().clone();
    (recording, lines.text())
}

fn as_it_is() -> quinn::TransportConfig {
    quinn::TransportConfig::default()
}

fn impatient() -> quinn::TransportConfig {
    let mut transport = quinn::TransportConfig::default();
    transport.initial_rtt(Duration::from_millis(20));
    transport.max_idle_timeout(Some(Duration::from_secs(5).try_into().unwrap()));
    transport
}

fn check_quic(connection: &Connection, suite: Suite) {
    assert_eq!(connection.alpn.as_deref(), Some(&b"h3"[..]));
    let number = if suite == Suite::Tls13Sha256 { 0x1301 } else { 0x1302 };
    let expected = Protection { transport: Transport::Quic, suite: number };
    assert_eq!(connection.protection, Some(expected));
    for round in 0..4_u8 {
        for side in [Side::Client, Side::Server] {
            assert_eq!(said(connection, side, u64::from(round) * 4), vec![round; 5000]);
        }
    }
    let ends =
        connection.events.iter().filter(|event| matches!(event.what, What::Data { end: true, .. }));
    assert_eq!(ends.count(), 8);
    let close = What::Close { application: true, code: 0x10e, reason: b"that is all".to_vec() };
    assert!(
        connection.events.iter().any(|event| event.what == close && event.from == Side::Client)
    );
}

#[tokio::test]
async fn quic_is_read_with_keys_that_are_updated() {
    for suite in [Suite::Tls13Sha256, Suite::Tls13Sha384] {
        let (recording, keys) = over_quic(suite, |_, _| Fate::Pass, as_it_is).await;
        let connection = read(&recording.pcap(), &keys);
        assert_eq!(connection.trouble, []);
        check_quic(&connection, suite);
    }
}

#[tokio::test]
async fn quic_is_read_where_datagrams_are_lost_late_or_repeated() {
    for seed in [1, 2, 3] {
        // What was seen before the relay loses it is in the capture all the same; the order is the sender's.
        let (mut recording, keys) = over_quic(Suite::Tls13Sha256, lossy(seed), impatient).await;
        let connection = read(&recording.pcap(), &keys);
        assert_eq!(connection.trouble, [], "seed {seed}");
        check_quic(&connection, Suite::Tls13Sha256);
        // Seen in another order, and twice.
        let mut shuffled = Vec::new();
        for pieces in recording.packets[1..].chunks(3) {
            shuffled.extend(pieces.iter().rev().cloned());
            shuffled.push(pieces[0].clone());
        }
        recording.packets.truncate(1);
        recording.packets.append(&mut shuffled);
        check_quic(&read(&recording.pcap(), &keys), Suite::Tls13Sha256);
    }
}

#[tokio::test]
async fn batches_of_packets_in_one_datagram_are_taken_apart() {
    let (mut recording, keys) = over_quic(Suite::Tls13Sha256, |_, _| Fate::Pass, as_it_is).await;
    let packets = std::mem::take(&mut recording.packets);
    let mut batches = 0;
    // Source and destination; behind the headers of IP and UDP, the payload.
    let (ends, payload) =
        (|packet: &[u8]| packet[20..24].to_vec(), |packet: &[u8]| packet[28..].to_vec());
    let from_client = ends(&packets[0]);
    for run in packets.chunk_by(|one, next| ends(one) == ends(next) && one.len() >= next.len()) {
        let way = if ends(&run[0]) == from_client { Way::ToServer } else { Way::ToClient };
        let batch: Vec<u8> = run.iter().flat_map(|packet| payload(packet)).collect();
        batches += usize::from(run.len() > 1);
        recording.udp(way, &batch);
    }
    assert!(batches > 4, "{batches}");
    let connection = read(&recording.pcap(), &keys);
    assert_eq!(connection.trouble, []);
    check_quic(&connection, Suite::Tls13Sha256);
}

#[tokio::test]
async fn of_quic_without_secrets_the_handshake_is_told() {
    let (recording, _) = over_quic(Suite::Tls13Sha256, |_, _| Fate::Pass, as_it_is).await;
    let connection = read(&recording.pcap(), "");
    assert!(connection.events.is_empty());
    assert!(connection.protection.is_some());
    assert!(
        connection.trouble.iter().all(|trouble| matches!(trouble, Trouble::NoSecret { .. })),
        "{:?}",
        connection.trouble
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is done to a capture, it is read, or it is said why not.
    #[test]
    fn spoilt_captures_do_no_harm(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        end in any::<prop::sample::Index>(),
        with_secrets in any::<bool>(),
    ) {
        static PAIR: std::sync::LazyLock<(Vec<u8>, String)> = std::sync::LazyLock::new(|| {
            let mut pair = Pair::new(&TlsOptions::default(), 300);
            pair.say(Way::ToServer, b"hello");
            (pair.recording.pcapng(&pair.lines.text()), pair.lines.text())
        });
        let (mut file, keys) = PAIR.clone();
        for (at, with) in changes {
            let at = at.index(file.len());
            file[at] ^= with;
        }
        file.truncate(end.index(file.len()) + 1);
        let keys = if with_secrets { keys } else { String::new() };
        let _any = Capture::read(&file, &KeyLog::parse(keys.as_bytes()));
    }

    #[test]
    fn anything_may_be_a_capture(
        beginning in 0_usize..5,
        rest in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let recording = recording();
        let beginnings = [recording.pcap(), recording.pcapng(""), vec![], vec![0x0a, 0x0d, 0x0d, 0x0a], vec![0xa1, 0xb2, 0x3c, 0x4d]];
        let file = [beginnings[beginning].clone(), rest].concat();
        let _any = Capture::read(&file, &KeyLog::default());
    }
}

#[test]
fn addresses_of_version_6_are_read() {
    let [client, server] = ["[::1]:4000", "[::1]:443"].map(|text| text.parse().unwrap());
    let mut pair = Pair::recorded(&TlsOptions::default(), 1400, Recording::new(client, server));
    pair.say(Way::ToServer, b"hello");
    let connection = pair.read();
    assert_eq!((connection.client, connection.server), (client, server));
    assert_eq!(said(&connection, Side::Client, 0), b"hello");
}

#[test]
fn a_capture_that_begins_later_has_no_connection() {
    let mut pair = Pair::new(&TlsOptions::default(), 1400);
    pair.recording.packets.clear();
    pair.say(Way::ToServer, b"hello");
    let capture = Capture::read(&pair.recording.pcap(), &KeyLog::default()).unwrap();
    assert!(capture.connections.is_empty());
    assert_eq!(capture.packets, 1);
}
