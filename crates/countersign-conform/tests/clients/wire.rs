//! What only shows on the wire, below the frames that a little client sees: in which pieces, and in what form.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_conform::Version;
use countersign_conform::against_client;
use countersign_conform::authenticator::Hash;
use countersign_conform::bytes::{varint, wide_varint};
use countersign_conform::code_points::GREASE;
use countersign_conform::raw::{
    FLAG_END_HEADERS, FLAG_END_STREAM, H2Frame, PREFACE, fields, kind, settings_payload, stream,
};
use countersign_conform::tls::{self, Suites};
use rustls::ClientConnection;

use crate::world::World;

/// How long the tool waits for an answer that does not come.
const PATIENCE: Duration = Duration::from_millis(500);

/// What arrived: the contents of each record of TLS, or of each stream of QUIC.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

/// Put behind what arrived on a stream of QUIC when that has come to its end.
const END: &[u8] = b"(the end)";

/// Support for both drafts.
fn settings(version: Version) -> Vec<u8> {
    settings_payload(version, &[(0xff0c, 4), (0xff0d, 1)])
}

/// Says what a client says first, and listens to the end.
fn listen_over_tcp(world: &World, port: u16, heard: &Heard) {
    let config = tls::client(&world.verifier, Suites::Of(Hash::Sha256), Version::Http2).unwrap();
    let name = "localhost".try_into().unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let payload = settings(Version::Http2);
    let request = fields::request(Version::Http2, "localhost", "/");
    let flags = FLAG_END_HEADERS | FLAG_END_STREAM;
    session.writer().write_all(PREFACE).unwrap();
    for frame in [
        H2Frame::new(kind::SETTINGS, 0, 0, &payload),
        H2Frame::new(kind::HEADERS, flags, 1, &request),
    ] {
        session.writer().write_all(&frame.encode()).unwrap();
    }
    loop {
        while session.wants_write() {
            if session.write_tls(&mut socket).is_err() {
                return;
            }
        }
        // One record at a time.
        let mut record = vec![0; 5];
        if socket.read_exact(&mut record).is_err() {
            return;
        }
        record.resize(5 + usize::from(u16::from_be_bytes([record[3], record[4]])), 0);
        socket.read_exact(&mut record[5..]).unwrap();
        session.read_tls(&mut &record[..]).unwrap();
        let state = session.process_new_packets().unwrap();
        let mut contents = vec![0; state.plaintext_bytes_to_read()];
        session.reader().read_exact(&mut contents).unwrap();
        heard.lock().unwrap().push(contents);
    }
}

async fn listen_over_quic(world: Arc<World>, port: u16, heard: Heard) {
    let config = tls::client(&world.verifier, Suites::Of(Hash::Sha256), Version::Http3).unwrap();
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    let config = tls::quic_client(config).unwrap();
    let address = ([127, 0, 0, 1], port).into();
    let connection = endpoint.connect_with(config, address, "localhost").unwrap().await.unwrap();
    let mut control = connection.open_uni().await.unwrap();
    let payload = settings(Version::Http3);
    let frame = [varint(kind::SETTINGS), varint(payload.len() as u64), payload].concat();
    control.write_all(&[varint(stream::CONTROL), frame].concat()).await.unwrap();
    let (mut request, _response) = connection.open_bi().await.unwrap();
    let block = fields::request(Version::Http3, "localhost", "/");
    let frame = [varint(kind::HEADERS), varint(block.len() as u64), block].concat();
    request.write_all(&frame).await.unwrap();
    while let Ok(mut incoming) = connection.accept_uni().await {
        let heard = Arc::clone(&heard);
        let at = {
            let mut heard = heard.lock().unwrap();
            heard.push(Vec::new());
            heard.len() - 1
        };
        tokio::spawn(async move {
            while let Ok(chunk) = incoming.read_chunk(usize::MAX, true).await {
                let mut heard = heard.lock().unwrap();
                match chunk {
                    Some(chunk) => heard[at].extend(chunk.bytes),
                    None => return heard[at].extend(END),
                }
            }
        });
    }
}

/// What is heard in this case.
async fn heard_in(id: &str, version: Version) -> Vec<Vec<u8>> {
    let (world, heard) = (Arc::new(World::new(PATIENCE)), Heard::default());
    let invite = |url: &str, _| {
        let place = url.strip_prefix("https://localhost:").unwrap();
        let port = place.split_once('/').unwrap().0.parse().unwrap();
        let (world, heard) = (Arc::clone(&world), Arc::clone(&heard));
        match version {
            Version::Http2 => {
                tokio::task::spawn_blocking(move || listen_over_tcp(&world, port, &heard))
            }
            Version::Http3 => tokio::spawn(listen_over_quic(world, port, heard)),
        };
        Ok(())
    };
    let outcomes =
        against_client::run(&world.host, version, |known| known == id, invite, |_| {}).await;
    assert_eq!(outcomes.len(), 1, "{id}");
    heard.lock().unwrap().clone()
}

fn contains(heard: &[Vec<u8>], wanted: &[u8]) -> bool {
    heard.iter().any(|bytes| bytes.windows(wanted.len()).any(|window| window == wanted))
}

#[tokio::test]
async fn all_flags_and_the_reserved_bit_are_set() {
    let heard = heard_in("http2/4.1/c1", Version::Http2).await;
    assert!(contains(&heard, &[0xf5, 0xff, 0x80, 0, 0, 0]), "{heard:x?}");
    let heard = heard_in("server/5.1/c2", Version::Http2).await;
    assert!(contains(&heard, &[0xf6, 0xff, 0, 0, 0, 0]), "{heard:x?}");
}

#[tokio::test]
async fn a_frame_in_pieces_is_in_pieces() {
    let heard = heard_in("client/4.1/c2", Version::Http2).await;
    let pieces = heard.iter().filter(|record| record.len() == 3).count();
    assert!(pieces > 10, "{heard:x?}");
}

#[tokio::test]
async fn type_and_length_have_8_bytes_each() {
    let heard = heard_in("http3/7.1/c2", Version::Http3).await;
    let wide = [wide_varint(0xf5, 8, 0xc0), vec![0xc0, 0, 0, 0, 0, 0, 0]].concat();
    assert!(contains(&heard, &wide), "{heard:x?}");
}

#[tokio::test]
async fn what_nobody_knows_is_there() {
    let heard = heard_in("client/3.1/c2", Version::Http2).await;
    let settings = settings_payload(Version::Http2, &[(GREASE, 7)]);
    assert!(contains(&heard, &settings), "{heard:x?}");
    let heard = heard_in("client/3.1/c2", Version::Http3).await;
    assert!(contains(&heard, &settings_payload(Version::Http3, &[(GREASE, 7)])), "{heard:x?}");
    assert!(heard.iter().any(|bytes| bytes.starts_with(&varint(GREASE))), "{heard:x?}");
}

#[tokio::test]
async fn the_one_control_stream_is_followed_by_what_may_not_be_there() {
    let heard = heard_in("http3/6.2.1/c4", Version::Http3).await;
    let control = heard.iter().filter(|bytes| bytes.starts_with(&varint(stream::CONTROL)));
    assert_eq!(control.count(), 2, "{heard:x?}");
    let heard = heard_in("client/4.1.2/c6", Version::Http3).await;
    let push = [varint(stream::PUSH), varint(0), varint(0xf5)].concat();
    assert!(heard.iter().any(|bytes| bytes.starts_with(&push)), "{heard:x?}");
}

#[tokio::test]
async fn the_control_stream_ends_between_frames_and_within_one() {
    let heard = heard_in("http3/6.2.1/c1", Version::Http3).await;
    assert!(contains(&heard, &[&settings_end(), END].concat()), "{heard:x?}");
    let heard = heard_in("http3/7.1/c1", Version::Http3).await;
    assert!(contains(&heard, &[&settings_end(), &varint(0xf5)[..]].concat()), "{heard:x?}");
    assert!(contains(&heard, END), "{heard:x?}");
}

/// What the tool's SETTINGS end with.
fn settings_end() -> Vec<u8> {
    settings_payload(Version::Http3, &[(0xff0d, 1)])
}

#[tokio::test]
async fn frames_announce_more_than_is_allowed() {
    let heard = heard_in("http2/4.2/c1", Version::Http2).await;
    assert!(contains(&heard, &[0, 0x40, 1, 0xf5]), "{heard:x?}");
    for (id, length) in [("client/5.5/c1", 1 << 30), ("client/5.5/c2", (1 << 62) - 1)] {
        let heard = heard_in(id, Version::Http3).await;
        assert!(contains(&heard, &[varint(0xf5), varint(length)].concat()), "{heard:x?}");
    }
}
