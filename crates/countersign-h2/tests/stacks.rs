//! Real hyper and real h2 on both ends, over memory and over TCP, with frames of the extension in
//! both directions all the while.

#![cfg(test)]

mod support;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use countersign_h2::Tap;
use countersign_proto::link::{Closed, Link, Transmit};
use countersign_proto::{Role, Setting};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::mock::{Event, MockLink, OURS};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

const LIMIT: Duration = Duration::from_secs(60);

/// Something with a value that a wrong, missing or displaced byte changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    len: u64,
    hash: u64,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        for chunk in bytes.chunks(8) {
            for byte in chunk {
                self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
}

/// A body of `len` bytes in uneven pieces, and its sum.
fn body(len: usize) -> (impl Body<Data = Bytes, Error = Infallible> + Send + Unpin, Sum) {
    let pattern: Bytes = (0..len + 256).map(|n| (n * 7 + n / 251) as u8).collect();
    let mut sum = Sum::default();
    sum.add(&pattern[..len]);
    let sizes = [1, 8, 9, 255, 256, 257, 1023, 5000, 16_383, 16_384, 16_385, 70_000];
    let mut at = 0;
    let mut turn = 0;
    let pieces = std::iter::from_fn(move || {
        let end = len.min(at + sizes[turn % sizes.len()]);
        let piece = (at < len).then(|| Ok(Frame::data(pattern.slice(at..end))));
        (at, turn) = (end, turn + 1);
        piece
    });
    (Pieces(pieces), sum)
}

/// A body from an iterator; always ready.
struct Pieces<I>(I);

impl<I: Iterator<Item = Result<Frame<Bytes>, Infallible>> + Unpin> Body for Pieces<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next())
    }
}

async fn sum_of(mut incoming: Incoming) -> Sum {
    let mut sum = Sum::default();
    while let Some(frame) = incoming.frame().await {
        if let Ok(data) = frame.unwrap().into_data() {
            sum.add(&data);
        }
    }
    sum
}

/// A header list of about `len` bytes, too big for one frame if `len` is.
fn big_header(len: usize) -> String {
    (0..len).map(|n| char::from(b'!' + (n * 13 % 90) as u8)).collect()
}

/// Answers with a body as long as the path says, and the sum of the request's body in a header.
async fn serve(
    request: Request<Incoming>,
) -> Result<Response<impl Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let len = request.uri().path().trim_start_matches('/').parse().unwrap();
    let header = request.headers().get("big").cloned();
    let sum = sum_of(request.into_body()).await;
    let (body, _) = body(len);
    let mut response = Response::builder().header("sum", format!("{sum:?}"));
    if let Some(header) = header {
        response = response.header("big", header);
    }
    Ok(response.body(body).unwrap())
}

#[derive(Clone)]
struct Pair {
    server: Arc<MockLink>,
    client: Arc<MockLink>,
    send: hyper::client::conn::http2::SendRequest<BoxedBody>,
}

type BoxedBody = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

impl Pair {
    async fn new<A, B>(server_io: A, client_io: B) -> Self
    where
        A: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        B: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let server = Arc::new(MockLink::new(Role::Server));
        let client = Arc::new(MockLink::new(Role::Client));
        let tap = Tap::new(server_io, Arc::clone(&server) as Arc<dyn Link>);
        tokio::spawn(
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .max_frame_size(1 << 18)
                .max_header_list_size(1 << 20)
                .serve_connection(TokioIo::new(tap), service_fn(serve)),
        );
        let tap = Tap::new(client_io, Arc::clone(&client));
        let (send, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .max_frame_size(1 << 17)
            .max_header_list_size(1 << 20)
            .handshake(TokioIo::new(tap))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self { server, client, send }
    }

    async fn tcp() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        server.set_nodelay(true).unwrap();
        client.set_nodelay(true).unwrap();
        tokio::time::timeout(LIMIT, Self::new(server, client)).await.unwrap()
    }

    async fn memory(size: usize) -> Self {
        let (server, client) = tokio::io::duplex(size);
        tokio::time::timeout(LIMIT, Self::new(server, client)).await.unwrap()
    }

    /// Posts `up` bytes, gets `down` bytes, and checks both.
    async fn exchange(&mut self, up: usize, down: usize, header: Option<usize>) {
        let (request_body, sent) = body(up);
        let mut request = Request::post(format!("http://localhost/{down}"));
        let header = header.map(big_header);
        if let Some(header) = &header {
            request = request.header("big", header);
        }
        let request = request.body(BoxedBody::new(request_body)).unwrap();
        self.send.ready().await.unwrap();
        let response = self.send.send_request(request).await.unwrap();
        assert_eq!(response.headers()["sum"], format!("{sent:?}"));
        assert_eq!(response.headers().get("big").map(|h| h.to_str().unwrap()), header.as_deref());
        let (_, expected) = body(down);
        assert_eq!(sum_of(response.into_body()).await, expected);
    }
}

/// Payloads of many lengths, each with its number in it.
fn payload(n: usize, limit: usize) -> Bytes {
    let len = [0, 1, 100, 3000, 8191, 16_384, 60_000][n % 7].min(limit);
    let mut payload = format!("frame {n} ").into_bytes();
    payload.resize(len.max(payload.len()), n as u8);
    payload.into()
}

/// Sends `count` frames each way, in small batches, while the caller does something else.
async fn push_frames(pair: &Pair, count: usize) {
    for n in 0..count {
        pair.server.push_frame(payload(n, 1 << 17));
        pair.client.push_frame(payload(n, 1 << 18));
        if n % 3 == 0 {
            pair.server.until(|events| frames(events) > n).await;
        }
        if n % 5 == 0 {
            pair.client.until(|events| frames(events) > n).await;
        }
    }
    pair.server.until(|events| frames(events) == count).await;
    pair.client.until(|events| frames(events) == count).await;
    let expected = |limit| (0..count).map(|n| payload(n, limit)).collect::<Vec<_>>();
    assert_eq!(pair.server.frames(), expected(1 << 18));
    assert_eq!(pair.client.frames(), expected(1 << 17));
}

fn frames(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Frame(..))).count()
}

async fn everything_stays_intact(pair: Pair, bodies: usize, count: usize) {
    let mut other = pair.clone();
    let traffic = async {
        other.exchange(0, 0, None).await;
        for n in 0..8 {
            other.exchange(bodies / 8, bodies / 8 + n, Some(40_000 + n)).await;
        }
    };
    let work = async { tokio::join!(traffic, push_frames(&pair, count)) };
    tokio::time::timeout(LIMIT, work).await.unwrap();
    for link in [&pair.server, &pair.client] {
        let events = link.events();
        let at = |wanted: &Event| events.iter().position(|event| event == wanted).unwrap();
        assert!(events.iter().any(
            |event| matches!(event, Event::PeerSettings(settings) if settings.last() == Some(&OURS))
        ));
        assert!(at(&Event::SettingsSent) < at(&Event::SettingsAcked));
        assert_eq!(events.iter().filter(|event| **event == Event::SettingsAcked).count(), 1);
        assert!(!events.iter().any(|event| matches!(event, Event::Closed(_))));
    }
    assert_eq!(pair.client.max_payload(), 1 << 18);
    assert_eq!(pair.server.max_payload(), 1 << 17);
}

#[tokio::test]
async fn hyper_over_tcp() {
    let pair = Pair::tcp().await;
    everything_stays_intact(pair, 24 << 20, 300).await;
}

#[tokio::test]
async fn hyper_over_memory() {
    let pair = Pair::memory(32 << 10).await;
    everything_stays_intact(pair, 8 << 20, 200).await;
}

#[tokio::test]
async fn hyper_over_very_little_memory() {
    // Enough for each side's first flight: h2 writes that before it reads anything.
    let pair = Pair::memory(80).await;
    everything_stays_intact(pair, 40_000, 20).await;
}

#[tokio::test]
async fn frames_flow_while_the_stack_is_idle() {
    let mut pair = Pair::memory(4096).await;
    let work = async {
        pair.exchange(0, 0, None).await;
        push_frames(&pair, 50).await;
        pair.exchange(10, 10, None).await;
    };
    tokio::time::timeout(LIMIT, work).await.unwrap();
}

#[tokio::test]
async fn further_settings_are_acknowledged_behind_the_stacks_back() {
    let mut pair = Pair::tcp().await;
    let work = async {
        pair.exchange(10, 10, None).await;
        for value in 9..40 {
            let setting = Setting { value, ..OURS };
            pair.client.push(Transmit::Settings(vec![setting]));
            pair.server.push(Transmit::Settings(vec![setting]));
            let expected = value as usize - 7;
            let acked = |events: &[Event]| {
                events.iter().filter(|event| **event == Event::SettingsAcked).count() == expected
            };
            pair.client.until(acked).await;
            pair.server.until(acked).await;
            let seen = Event::PeerSettings(vec![setting]);
            assert!(pair.server.events().contains(&seen) && pair.client.events().contains(&seen));
            // hyper measures bandwidth and sends SETTINGS of its own in between.
            pair.exchange(300_000, 300_000, None).await;
        }
    };
    tokio::time::timeout(LIMIT, work).await.unwrap();
}

#[tokio::test]
async fn h2_as_it_is_on_both_ends() {
    let (server_io, client_io) = tokio::io::duplex(1000);
    let server = Arc::new(MockLink::new(Role::Server));
    let client = Arc::new(MockLink::new(Role::Client));
    let tap = Tap::new(server_io, Arc::clone(&server));
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(tap).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                let mut received = request.into_body();
                let mut send = respond.send_response(http::Response::new(()), false).unwrap();
                while let Some(data) = received.data().await {
                    let data = data.unwrap();
                    let _ = received.flow_control().release_capacity(data.len());
                    send.send_data(data, false).unwrap();
                }
                send.send_data(Bytes::new(), true).unwrap();
            });
        }
    });
    let work = async {
        let tap = Tap::new(client_io, Arc::clone(&client));
        let (send, connection) = h2::client::handshake(tap).await.unwrap();
        tokio::spawn(connection);
        let mut send = send.ready().await.unwrap();
        for n in 0..20 {
            server.push_frame(vec![n; 500]);
            client.push_frame(vec![n; 500]);
            let request = http::Request::post("http://localhost/").body(()).unwrap();
            let (response, mut upload) = send.send_request(request, false).unwrap();
            upload.send_data(Bytes::from(vec![n; 30_000]), true).unwrap();
            let mut echo = response.await.unwrap().into_body();
            let mut seen = 0;
            while let Some(data) = echo.data().await {
                let data = data.unwrap();
                assert!(data.iter().all(|byte| *byte == n));
                seen += data.len();
                echo.flow_control().release_capacity(data.len()).unwrap();
            }
            assert_eq!(seen, 30_000);
        }
        for link in [&server, &client] {
            link.until(|events| frames(events) == 20).await;
            assert!(link.frames().iter().enumerate().all(|(n, frame)| frame[..] == [n as u8; 500]));
        }
        drop(send);
    };
    tokio::time::timeout(LIMIT, work).await.unwrap();
    for link in [&server, &client] {
        link.until(|events| events.contains(&Event::Closed(Closed::Transport))).await;
    }
}

#[tokio::test]
async fn a_link_that_announces_nothing_leaves_the_settings_alone() {
    let (server_io, client_io) = tokio::io::duplex(1000);
    let silent = |role| {
        let mut link = MockLink::new(role);
        link.settings.clear();
        Arc::new(link)
    };
    let (server, client) = (silent(Role::Server), silent(Role::Client));
    let tap = Tap::new(server_io, Arc::clone(&server));
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(tap).await.unwrap();
        while connection.accept().await.is_some() {}
    });
    let tap = Tap::new(client_io, Arc::clone(&client));
    let (_send, mut connection) = h2::client::handshake(tap).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    tokio::spawn(connection);
    tokio::time::timeout(LIMIT, pings.ping(h2::Ping::opaque())).await.unwrap().unwrap();
    for link in [server, client] {
        let events = link.events();
        assert!(events.contains(&Event::SettingsSent));
        assert!(!events.contains(&Event::SettingsAcked));
        let ours = |event: &Event| matches!(event, Event::PeerSettings(all) if all.iter().any(|one| one.id == OURS.id));
        assert!(!events.iter().any(ours));
    }
}
