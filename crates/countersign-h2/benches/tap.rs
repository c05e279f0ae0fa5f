//! What the tap costs: instructions and time of hyper with taps, relative to hyper without.
//!
//! hyper's server and client talk over memory in one thread. Fails if a ratio of instructions is above
//! [`TARGET`]; times are printed and do not count.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has nothing to report")]

#[path = "../tests/support/mock.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod mock;

use std::convert::Infallible;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use countersign_h2::Tap;
use countersign_proto::Role;
use countersign_proto::link::Link;
use countersign_testkit::bench::{Comparison, Work};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mock::MockLink;
use tokio::io::{AsyncRead, AsyncWrite};

/// The most that the tap may cost, as a ratio of instructions.
const TARGET: f64 = 1.02;
/// The capacity of the pipe between client and server, in bytes each way.
const PIPE: usize = 64 << 10;
/// The length of a piece of a big body, in bytes.
const PIECE: usize = 64 << 10;
/// How often each case is timed.
const ROUNDS: usize = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taps {
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

const COMPARISON: Comparison<Traffic, Taps> = Comparison {
    works: &[
        Work { name: "small GETs", kind: Traffic::Gets, counted: [200, 2200], timed: 5000 },
        Work { name: "upload", kind: Traffic::Upload, counted: [8, 72], timed: 256 },
        Work { name: "download", kind: Traffic::Download, counted: [8, 72], timed: 256 },
    ],
    variants: &[("plain", Taps::None), ("server", Taps::Server), ("both", Taps::Both)],
    run,
    rounds: ROUNDS,
    most_instructions: TARGET,
    least_throughput: None,
};

/// A body of so many pieces.
struct Pieces {
    left: usize,
    piece: Bytes,
}

impl Pieces {
    fn mebibytes(amount: usize) -> Self {
        Self { left: (amount << 20) / PIECE, piece: Bytes::from_static(&[b'x'; PIECE]) }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.left * PIECE) as u64)
    }
}

async fn drain(mut body: Incoming) -> usize {
    let mut len = 0;
    while let Some(frame) = body.frame().await {
        len += frame.unwrap().data_ref().map_or(0, Bytes::len);
    }
    len
}

/// Answers with as many MiB as the path says.
async fn answer(request: Request<Incoming>) -> Result<Response<Pieces>, Infallible> {
    let amount = request.uri().path().get(1..).and_then(|it| it.parse().ok()).unwrap_or(0);
    drain(request.into_body()).await;
    Ok(Response::new(Pieces::mebibytes(amount)))
}

async fn exchange<A, B>(server: A, client: B, traffic: Traffic, amount: usize)
where
    A: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(server), service_fn(answer)),
    );
    let (mut send, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(client))
        .await
        .unwrap();
    tokio::spawn(connection);
    let (requests, up, down) = match traffic {
        Traffic::Gets => (amount, 0, 0),
        Traffic::Upload => (1, amount, 0),
        Traffic::Download => (1, 0, amount),
    };
    for _ in 0..requests {
        send.ready().await.unwrap();
        let uri = format!("http://localhost/{down}");
        let request = Request::builder().uri(uri).body(Pieces::mebibytes(up)).unwrap();
        let response = send.send_request(request).await.unwrap();
        assert_eq!(drain(response.into_body()).await, down << 20);
    }
}

/// Does the work once, on a runtime of its own.
fn run(traffic: Traffic, taps: Taps, amount: usize) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let link = |role| Arc::new(MockLink::new(role)) as Arc<dyn Link>;
    let began = Instant::now();
    runtime.block_on(async {
        let (server, client) = tokio::io::duplex(PIPE);
        match taps {
            Taps::None => exchange(server, client, traffic, amount).await,
            Taps::Server => {
                exchange(Tap::new(server, link(Role::Server)), client, traffic, amount).await;
            }
            Taps::Both => {
                let server = Tap::new(server, link(Role::Server));
                let client = Tap::new(client, link(Role::Client));
                exchange(server, client, traffic, amount).await;
            }
        }
    });
    began.elapsed()
}

fn main() -> ExitCode {
    COMPARISON.main()
}
