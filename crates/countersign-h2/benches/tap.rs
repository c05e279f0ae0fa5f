//! What the tap costs: instructions and time of hyper with taps, relative to hyper without.
//!
//! hyper's server and client talk over memory in one thread. The program runs itself under valgrind's
//! cachegrind, twice per case with different amounts of work, and takes the difference, so that start
//! and handshake do not count. Without valgrind only the ratio of times is printed, which is noisy.
//! Fails if a ratio of instructions is above [`TARGET`].

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has nothing to report")]

#[path = "../tests/support/mock.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod mock;

use std::convert::Infallible;
use std::pin::Pin;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use countersign_h2::Tap;
use countersign_proto::Role;
use countersign_proto::link::Link;
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
/// How often each case is counted.
const COUNTS: usize = 3;
/// How often each case is timed.
const ROUNDS: usize = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taps {
    None,
    Server,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Requests and responses without bodies; the amount is their number.
    Gets,
    /// One request with a body of so many MiB.
    Upload,
    /// One response with a body of so many MiB.
    Download,
}

/// Names for the command line, the two amounts to count, and the amount to time.
const WORKS: [(&str, Work, [usize; 2], usize); 3] = [
    ("small GETs", Work::Gets, [200, 2200], 5000),
    ("upload", Work::Upload, [8, 72], 256),
    ("download", Work::Download, [8, 72], 256),
];
const TAPS: [(&str, Taps); 3] =
    [("plain", Taps::None), ("server", Taps::Server), ("both", Taps::Both)];

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

async fn exchange<A, B>(server: A, client: B, work: Work, amount: usize)
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
    let (requests, up, down) = match work {
        Work::Gets => (amount, 0, 0),
        Work::Upload => (1, amount, 0),
        Work::Download => (1, 0, amount),
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
fn run(work: Work, taps: Taps, amount: usize) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let link = |role| Arc::new(MockLink::new(role)) as Arc<dyn Link>;
    let began = Instant::now();
    runtime.block_on(async {
        let (server, client) = tokio::io::duplex(PIPE);
        match taps {
            Taps::None => exchange(server, client, work, amount).await,
            Taps::Server => {
                exchange(Tap::new(server, link(Role::Server)), client, work, amount).await;
            }
            Taps::Both => {
                let server = Tap::new(server, link(Role::Server));
                let client = Tap::new(client, link(Role::Client));
                exchange(server, client, work, amount).await;
            }
        }
    });
    began.elapsed()
}

/// The instructions of one run of this program, or `None` if valgrind cannot say.
fn instructions(work: &str, taps: &str, amount: usize) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .args(["--run", work, taps, &amount.to_string()])
        .output()
        .ok()?;
    let report = String::from_utf8_lossy(&output.stderr);
    let line = report.lines().find(|line| line.contains("refs:"))?;
    let (_, count) = line.rsplit_once(':')?;
    count.replace([',', ' '], "").parse().ok()
}

/// The instructions of the work alone. What varies from run to run, the allocator's luck with
/// addresses for the most part, only ever adds; so the least of several counts is taken.
fn instructions_of_work(work: &str, taps: &str, [few, many]: [usize; 2]) -> Option<u64> {
    let least = |amount| (0..COUNTS).filter_map(|_| instructions(work, taps, amount)).min();
    least(many)?.checked_sub(least(few)?)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Compares all cases. Whether all are within the target.
fn compare() -> bool {
    let mut within = true;
    println!(
        "{:<12} {:<8} {:>15} {:>8} {:>12} {:>8}",
        "work", "taps", "instructions", "ratio", "time", "ratio"
    );
    for (work_name, work, counted, timed) in WORKS {
        let mut times: [Vec<Duration>; TAPS.len()] = Default::default();
        for _ in 0..ROUNDS {
            for ((_, taps), times) in TAPS.iter().zip(&mut times) {
                times.push(run(work, *taps, timed));
            }
        }
        let mut plain = None;
        for ((name, _), times) in TAPS.iter().zip(times) {
            let time = median(times);
            let count = instructions_of_work(work_name, name, counted);
            let (plain_count, plain_time) = *plain.get_or_insert((count, time));
            let ratio = count.zip(plain_count).map(|(count, plain)| count as f64 / plain as f64);
            within &= ratio.is_none_or(|ratio| ratio <= TARGET);
            println!(
                "{work_name:<12} {name:<8} {:>15} {:>8} {:>12} {:>8.3}",
                count.map_or("no valgrind".to_owned(), |count| count.to_string()),
                ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.4}")),
                format!("{time:.1?}"),
                time.as_secs_f64() / plain_time.as_secs_f64(),
            );
        }
    }
    within
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["--run", work, taps, amount] = args[..] {
        let work = WORKS.iter().find(|it| it.0 == work).unwrap().1;
        let taps = TAPS.iter().find(|it| it.0 == taps).unwrap().1;
        run(work, taps, amount.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    if !args.contains(&"--bench") {
        // Run as a test: does everything work?
        for (_, work, ..) in WORKS {
            for (_, taps) in TAPS {
                run(work, taps, 2);
            }
        }
        return ExitCode::SUCCESS;
    }
    if compare() {
        ExitCode::SUCCESS
    } else {
        eprintln!("the tap costs more than {TARGET} times the instructions");
        ExitCode::FAILURE
    }
}
