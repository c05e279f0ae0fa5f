//! What our backend costs: instructions and time of h3 on it, relative to h3 on h3-quinn.
//!
//! h3's server and client talk over loopback in one thread, over the same QUIC configuration. Fails if a
//! ratio of instructions is above [`INSTRUCTIONS`] or one of throughput below [`THROUGHPUT`].

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark that cannot run has nothing to report; and the helpers of the tests"
)]

#[path = "../tests/support/mock.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod mock;
#[path = "../tests/support/quic.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod quic;

use std::future::poll_fn;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use countersign_proto::Role;
use countersign_proto::link::Link;
use countersign_testkit::bench::{Comparison, Work};
use h3::client::SendRequest;
use h3::error::StreamError;
use h3::quic::{BidiStream, Connection, OpenStreams, RecvStream};
use h3::server::RequestResolver;
use http::{Request, Response};
use mock::MockLink;

/// The most that the backend may cost, as a ratio of instructions.
const INSTRUCTIONS: f64 = 1.02;
/// The least that the backend has to carry, as a ratio of throughput.
const THROUGHPUT: f64 = 0.98;
/// The length of a piece of a big body, in bytes.
const PIECE: usize = 64 << 10;
/// How often each case is timed.
const ROUNDS: usize = 25;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ours {
    None,
    Server,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traffic {
    /// Requests and responses without bodies; the amount is their number.
    Gets,
    /// One request with a body of so many MiB.
    Upload,
    /// One response with a body of so many MiB.
    Download,
}

const COMPARISON: Comparison<Traffic, Ours> = Comparison {
    works: &[
        Work { name: "small GETs", kind: Traffic::Gets, counted: [200, 2200], timed: 5000 },
        Work { name: "upload", kind: Traffic::Upload, counted: [8, 72], timed: 64 },
        Work { name: "download", kind: Traffic::Download, counted: [8, 72], timed: 64 },
    ],
    variants: &[("plain", Ours::None), ("server", Ours::Server), ("both", Ours::Both)],
    run,
    rounds: ROUNDS,
    most_instructions: INSTRUCTIONS,
    least_throughput: Some(THROUGHPUT),
};

fn pieces(mebibytes: usize) -> impl Iterator<Item = Bytes> {
    (0..(mebibytes << 20) / PIECE).map(|_| Bytes::from_static(&[b'x'; PIECE]))
}

/// Answers every request in a task of its own.
async fn serve<C>(connection: C)
where
    C: Connection<Bytes, BidiStream: BidiStream<Bytes> + Send + 'static> + 'static,
{
    let mut connection = h3::server::Connection::new(connection).await.unwrap();
    while let Ok(Some(resolver)) = connection.accept().await {
        tokio::spawn(answer(resolver));
    }
}

/// Answers with as many MiB as the path says.
async fn answer<C>(resolver: RequestResolver<C, Bytes>) -> Result<(), StreamError>
where
    C: Connection<Bytes>,
{
    let (request, mut stream) = resolver.resolve_request().await?;
    while let Some(mut data) = stream.recv_data().await? {
        data.advance(data.remaining());
    }
    stream.send_response(Response::new(())).await?;
    let mebibytes = request.uri().path().get(1..).and_then(|it| it.parse().ok()).unwrap_or(0);
    for piece in pieces(mebibytes) {
        stream.send_data(piece).await?;
    }
    stream.finish().await
}

async fn exchange<O>(mut requests: SendRequest<O, Bytes>, traffic: Traffic, amount: usize)
where
    O: OpenStreams<Bytes>,
{
    let (number, up, down) = match traffic {
        Traffic::Gets => (amount, 0, 0),
        Traffic::Upload => (1, amount, 0),
        Traffic::Download => (1, 0, amount),
    };
    for _ in 0..number {
        let request = Request::get(format!("https://localhost/{down}")).body(()).unwrap();
        let mut stream = requests.send_request(request).await.unwrap();
        for piece in pieces(up) {
            stream.send_data(piece).await.unwrap();
        }
        stream.finish().await.unwrap();
        stream.recv_response().await.unwrap();
        let mut received = 0;
        while let Some(mut data) = stream.recv_data().await.unwrap() {
            received += data.remaining();
            data.advance(data.remaining());
        }
        assert_eq!(received, down << 20);
    }
}

/// The exchanges, from a client on `connection`. How long they took.
async fn request<C>(connection: C, traffic: Traffic, amount: usize) -> Duration
where
    C: Connection<
            Bytes,
            OpenStreams: Send,
            SendStream: Send,
            RecvStream: Send + RecvStream<Buf: Send>,
            BidiStream: Send,
        > + Send
        + 'static,
{
    let (mut driver, requests) = h3::client::new(connection).await.unwrap();
    tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
    let began = Instant::now();
    exchange(requests, traffic, amount).await;
    began.elapsed()
}

/// Does the work once, on a runtime of its own.
fn run(traffic: Traffic, ours: Ours, amount: usize) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let on_ours = |quic, role| {
        countersign_h3::Connection::new(quic, Arc::new(MockLink::new(role)) as Arc<dyn Link>)
    };
    runtime.block_on(async {
        let (_net, client, server) = quic::connect(&quic::Options::default()).await;
        match ours {
            Ours::None => tokio::spawn(serve(h3_quinn::Connection::new(server))),
            Ours::Server | Ours::Both => tokio::spawn(serve(on_ours(server, Role::Server))),
        };
        match ours {
            Ours::None | Ours::Server => {
                request(h3_quinn::Connection::new(client), traffic, amount).await
            }
            Ours::Both => request(on_ours(client, Role::Client), traffic, amount).await,
        }
    })
}

fn main() -> ExitCode {
    COMPARISON.main()
}
