//! What breaks a rule ends in a GOAWAY that the peer can read, within limits of time and memory.

#![cfg(test)]

mod support;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use countersign_h2::Tap;
use countersign_proto::link::{Closed, Transmit};
use countersign_proto::{CodePoints, Role, Setting, Violation};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::mock::{Event, MockLink, OURS};
use support::wire::{self, PREFACE, WireFrame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

const LIMIT: Duration = Duration::from_secs(30);
/// `GET / HTTP/2` to host `a`, from HPACK's static table.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'a'];

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from(vec![7; 4 << 20]))))
}

type Served = JoinHandle<Result<(), hyper::Error>>;

/// A hyper server behind a tap.
fn serve<IO>(io: IO, link: &Arc<MockLink>) -> Served
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let tap = Tap::new(io, Arc::clone(link));
    tokio::spawn(
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(tap), service_fn(answer)),
    )
}

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (theirs, _) = listener.accept().await.unwrap();
    (ours, theirs)
}

fn link(role: Role) -> MockLink {
    MockLink::new(role)
}

/// A client by hand, against a server behind a tap.
async fn raw_client(link: MockLink) -> (TcpStream, Arc<MockLink>, Served) {
    let link = Arc::new(link);
    let (mut client, server) = sockets().await;
    let served = serve(server, &link);
    client.write_all(&[PREFACE, &wire::settings(&[OURS])].concat()).await.unwrap();
    (client, link, served)
}

/// Reads to the end, which is no reset.
async fn frames_until_end(io: &mut (impl AsyncRead + Unpin)) -> Vec<WireFrame> {
    let mut bytes = Vec::new();
    timeout(LIMIT, io.read_to_end(&mut bytes)).await.unwrap().unwrap();
    let (frames, rest) = wire::parse(&bytes);
    assert_eq!(rest, b"", "nothing is cut");
    frames
}

fn goaway(violation: Violation, last_stream: u32) -> WireFrame {
    let code = violation.h2_code(&CodePoints::default()).0 as u32;
    let payload =
        [&last_stream.to_be_bytes()[..], &code.to_be_bytes(), violation.to_string().as_bytes()]
            .concat();
    WireFrame { frame_type: wire::GOAWAY, flags: 0, stream: 0, payload }
}

async fn ends_with_violation(served: Served, link: &MockLink, violation: Violation) {
    assert!(timeout(LIMIT, served).await.unwrap().unwrap().is_err());
    assert_eq!(link.violation(), Some(violation));
}

#[tokio::test]
async fn each_kind_is_answered_with_its_goaway() {
    let refusing = |violation| {
        let mut link = link(Role::Server);
        link.refusal = Some(violation);
        link
    };
    let certificate = wire::frame(wire::CERTIFICATE, 0, 0, b"something");
    let request = wire::frame(wire::HEADERS, wire::END_HEADERS | wire::END_STREAM, 5, GET);
    let open_block = wire::frame(wire::HEADERS, wire::END_STREAM, 3, GET);
    let too_long = wire::header(0xff_ffff, wire::CERTIFICATE, 0, 0).to_vec();
    let malformed = wire::frame(wire::CERTIFICATE, 0, 0, b"malformed");
    for (link, input, violation, last_stream) in [
        (
            link(Role::Server),
            [open_block, certificate.clone()].concat(),
            Violation::InsideHeaderBlock,
            3,
        ),
        (link(Role::Server), too_long, Violation::FrameTooLong, 0),
        (link(Role::Server), malformed, Violation::MalformedAuthenticator, 0),
        (link(Role::Server), wire::frame(wire::CERTIFICATE, 0, 1, b""), Violation::WrongStream, 0),
        (refusing(Violation::NotNegotiated), certificate.clone(), Violation::NotNegotiated, 0),
        (
            refusing(Violation::TooManyContexts),
            [request, certificate].concat(),
            Violation::TooManyContexts,
            5,
        ),
    ] {
        let (mut client, link, served) = raw_client(link).await;
        client.write_all(&input).await.unwrap();
        let frames = frames_until_end(&mut client).await;
        assert_eq!(frames.last(), Some(&goaway(violation, last_stream)));
        assert_eq!(frames.first().map(|frame| frame.frame_type), Some(wire::SETTINGS));
        drop(client);
        ends_with_violation(served, &link, violation).await;
    }
}

#[tokio::test]
async fn the_goaway_survives_input_that_nobody_reads() {
    let (mut client, link, served) = raw_client(link(Role::Server)).await;
    client.write_all(&wire::header(0xff_ffff, wire::CERTIFICATE, 0, 0)).await.unwrap();
    client.write_all(&vec![0xf6; 8 << 20]).await.unwrap();
    let frames = frames_until_end(&mut client).await;
    assert_eq!(frames.last(), Some(&goaway(Violation::FrameTooLong, 0)));
    drop(client);
    ends_with_violation(served, &link, Violation::FrameTooLong).await;
    assert_eq!(link.frames(), Vec::<Bytes>::new());
}

#[tokio::test]
async fn the_link_closes_in_the_middle_of_a_body() {
    let (mut client, link, served) = raw_client(link(Role::Server)).await;
    let window = wire::settings(&[Setting { id: 4, value: 0x7fff_ffff }]);
    let connection_window = wire::frame(0x8, 0, 0, &0x7000_0000_u32.to_be_bytes());
    let request = wire::frame(wire::HEADERS, wire::END_HEADERS | wire::END_STREAM, 1, GET);
    client.write_all(&[window, connection_window, request].concat()).await.unwrap();
    // The body is longer than what the sockets hold, so the server is stuck within a frame.
    let mut beginning = vec![0; 100_000];
    timeout(LIMIT, client.read_exact(&mut beginning)).await.unwrap().unwrap();
    link.push(Transmit::Close(Violation::BadSignature));
    let mut bytes = beginning;
    timeout(LIMIT, client.read_to_end(&mut bytes)).await.unwrap().unwrap();
    let (frames, rest) = wire::parse(&bytes);
    assert_eq!(rest, b"");
    assert_eq!(frames.last(), Some(&goaway(Violation::BadSignature, 1)));
    let body: usize =
        frames.iter().filter(|it| it.frame_type == wire::DATA).map(|it| it.payload.len()).sum();
    assert!(body < 4 << 20, "the rest of the body is not sent");
    drop(client);
    ends_with_violation(served, &link, Violation::BadSignature).await;
}

#[tokio::test]
async fn a_client_says_settings_first_and_then_goaway() {
    let link = Arc::new(link(Role::Client));
    let (mut server, client) = sockets().await;
    let bad = wire::frame(wire::REQUESTS, 0, 3, b"");
    server.write_all(&[wire::settings(&[]), bad].concat()).await.unwrap();
    let tap = Tap::new(client, Arc::clone(&link));
    let (mut send, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(tap))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://localhost/").body(Full::<Bytes>::default()).unwrap();
    let response = tokio::spawn(async move { send.send_request(request).await });

    let mut preface = [0; 24];
    timeout(LIMIT, server.read_exact(&mut preface)).await.unwrap().unwrap();
    assert_eq!(&preface, PREFACE);
    let frames = frames_until_end(&mut server).await;
    assert_eq!(frames.first().map(|frame| frame.frame_type), Some(wire::SETTINGS));
    assert!(frames[0].payload.ends_with(&[0xff, 0x0c, 0, 0, 0, 8]));
    assert_eq!(frames.last(), Some(&goaway(Violation::WrongStream, 0)));
    drop(server);
    assert!(timeout(LIMIT, response).await.unwrap().unwrap().is_err(), "who waits is told");
    assert!(timeout(LIMIT, connection).await.unwrap().unwrap().is_err());
    assert_eq!(link.violation(), Some(Violation::WrongStream));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_is_dropped_in_time() {
    let link = Arc::new(link(Role::Server));
    let (mut client, server) = tokio::io::duplex(64);
    let served = serve(server, &link);
    let request = wire::frame(wire::HEADERS, wire::END_HEADERS | wire::END_STREAM, 1, GET);
    let input = [PREFACE, &wire::settings(&[OURS]), &request].concat();
    client.write_all(&input).await.unwrap();
    client.write_all(&wire::frame(wire::CERTIFICATE, 0, 1, b"")).await.unwrap();
    let began = Instant::now();
    ends_with_violation(served, &link, Violation::WrongStream).await;
    assert!(began.elapsed() <= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_closes_is_dropped_in_time() {
    let link = Arc::new(link(Role::Server));
    let (mut client, server) = tokio::io::duplex(4096);
    let served = serve(server, &link);
    client.write_all(&[PREFACE, &wire::settings(&[OURS])].concat()).await.unwrap();
    client.write_all(&wire::frame(wire::CERTIFICATE, 0, 1, b"")).await.unwrap();
    let began = Instant::now();
    let frames = frames_until_end(&mut client).await;
    assert_eq!(frames.last(), Some(&goaway(Violation::WrongStream, 0)));
    assert!(began.elapsed() < Duration::from_millis(100), "GOAWAY and the end come at once");
    ends_with_violation(served, &link, Violation::WrongStream).await;
    assert!((1..=3).contains(&began.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_floods_is_cut_off() {
    let link = Arc::new(link(Role::Server));
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let served = serve(server, &link);
    client.write_all(&[PREFACE, &wire::settings(&[OURS])].concat()).await.unwrap();
    client.write_all(&wire::frame(wire::CERTIFICATE, 0, 1, b"")).await.unwrap();
    let junk = vec![0xf6; 1 << 16];
    let mut sent = 0;
    while client.write_all(&junk).await.is_ok() {
        sent += junk.len();
        assert!(sent <= 64 << 20, "the flood is not read for ever");
    }
    assert!(sent > 1 << 20, "a usual window's worth is read");
    ends_with_violation(served, &link, Violation::WrongStream).await;
}

/// A stack that is shutting down itself does not keep the peer from its GOAWAY.
#[tokio::test]
async fn a_shutdown_during_closing_completes_it() {
    let link = Arc::new(link(Role::Server));
    let (mut client, server) = sockets().await;
    let mut tap = Tap::new(server, Arc::clone(&link));
    tap.write_all(&wire::settings(&[])).await.unwrap();
    client.write_all(PREFACE).await.unwrap();
    let mut preface = [0; 24];
    tap.read_exact(&mut preface).await.unwrap();
    link.push(Transmit::Close(Violation::Replayed));
    tap.flush().await.unwrap();
    tap.write_all(&wire::frame(wire::PING, 0, 0, b"too late")).await.unwrap();
    let shutdown = tokio::spawn(async move {
        tap.shutdown().await.unwrap();
        let error = tap.read(&mut [0; 10]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let inner = error.get_ref().and_then(|it| it.downcast_ref::<Violation>());
        assert_eq!(inner, Some(&Violation::Replayed));
    });
    let frames = frames_until_end(&mut client).await;
    assert_eq!(
        frames,
        [wire::parse(&wire::settings(&[OURS])).0.remove(0), goaway(Violation::Replayed, 0)]
    );
    drop(client);
    timeout(LIMIT, shutdown).await.unwrap().unwrap();
}

/// The last stream of GOAWAY must not grow again once the stack has named one.
#[tokio::test]
async fn the_last_stream_is_not_beyond_the_stacks_own_goaway() {
    let (server_io, mut peer) = tokio::io::duplex(1 << 16);
    let own = Arc::new(MockLink::new(Role::Server));
    let mut tap = Tap::new(server_io, Arc::clone(&own));
    let request = |id| wire::frame(wire::HEADERS, wire::END_HEADERS | wire::END_STREAM, id, GET);
    let input = [PREFACE, &wire::settings(&[]), &request(1), &request(9)].concat();
    peer.write_all(&input).await.unwrap();
    let mut seen = vec![0; input.len()];
    tap.read_exact(&mut seen).await.unwrap();
    let mut stack = wire::settings(&[]);
    stack.extend(wire::frame(wire::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]));
    tap.write_all(&stack).await.unwrap();
    own.push(Transmit::Close(Violation::Unsolicited));
    tap.flush().await.unwrap();
    let frames = frames_until_end(&mut peer).await;
    assert_eq!(frames.last(), Some(&goaway(Violation::Unsolicited, 1)));
}

#[tokio::test]
async fn the_link_hears_of_every_other_end() {
    let closed = |link: &MockLink| link.events().contains(&Event::Closed(Closed::Transport));

    let own = Arc::new(link(Role::Client));
    drop(Tap::new(tokio::io::empty(), Arc::clone(&own)));
    assert!(closed(&own), "the tap is dropped");

    let own = Arc::new(link(Role::Client));
    let mut tap = Tap::new(tokio::io::empty(), Arc::clone(&own));
    assert_eq!(tap.read(&mut [0; 10]).await.unwrap(), 0);
    assert!(closed(&own), "the peer has closed");

    let own = Arc::new(link(Role::Server));
    let (io, peer) = tokio::io::duplex(10);
    drop(peer);
    let mut tap = Tap::new(io, Arc::clone(&own));
    tap.write_all(&wire::settings(&[])).await.unwrap();
    assert!(!closed(&own));
    assert!(tap.flush().await.is_err());
    assert!(closed(&own), "writing failed");
}

#[tokio::test]
async fn the_next_connection_works() {
    let shared = Arc::new(link(Role::Server));
    let (mut client, link, served) = raw_client(link(Role::Server)).await;
    client.write_all(&wire::frame(wire::CERTIFICATE, 0, 1, b"")).await.unwrap();
    frames_until_end(&mut client).await;
    drop(client);
    ends_with_violation(served, &link, Violation::WrongStream).await;

    let (client, server) = sockets().await;
    let _served = serve(server, &shared);
    let tap = Tap::new(client, Arc::new(MockLink::new(Role::Client)));
    let (mut send, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(tap))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://localhost/").body(Full::<Bytes>::default()).unwrap();
    let response = timeout(LIMIT, send.send_request(request)).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
}
