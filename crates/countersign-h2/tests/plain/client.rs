//! hyper's client, with and without the tap, and a server that says what a case tells it to.

use std::sync::Arc;

use bytes::Bytes;
use countersign_h2::Tap;
use countersign_proto::Role;
use countersign_testkit::raw::kind;
use countersign_testkit::{PATIENCE, RawPeer, within};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use crate::client_cases::DEVIATIONS;
use crate::mock::MockLink;
use crate::outcome::Outcome;
use crate::wire::{PING, f};

/// A case: what the server says after the request on stream 1.
pub(crate) struct Case {
    pub(crate) id: &'static str,
    pub(crate) says: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// In place of the server's SETTINGS, before the request.
    pub(crate) start: Option<Vec<u8>>,
    /// What becomes of the request: its status and the length of its body, or why it failed.
    pub(crate) demand: &'static [Got],
}

/// What the client's caller gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// A whole response.
    Response(u16, usize),
    /// An error with this code of HTTP/2; 0 where there is none.
    Error(u32),
}

/// What both sides see.
#[derive(Debug, PartialEq, Eq)]
struct Both {
    got: Got,
    error: Option<String>,
    server: Outcome,
}

#[derive(Clone, Copy, Debug)]
enum Stack {
    Plain,
    Silent,
    Announcing,
}

async fn ask<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    io: IO,
) -> Result<Got, hyper::Error> {
    let (mut send, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(io))
        .await?;
    let driving = tokio::spawn(connection);
    let request = Request::get("https://localhost/").body(Empty::<Bytes>::new()).unwrap();
    let asking = async {
        let response = send.send_request(request).await?;
        let status = response.status().as_u16();
        Ok(Got::Response(status, response.into_body().collect().await?.to_bytes().len()))
    };
    let got = asking.await;
    // The connection lives on for as long as the server wants to know of it.
    tokio::spawn(async move {
        let _send = send;
        driving.await
    });
    got
}

async fn get(io: DuplexStream, stack: Stack) -> Result<Got, hyper::Error> {
    match stack {
        Stack::Plain => ask(io).await,
        Stack::Silent | Stack::Announcing => {
            let mut link = MockLink::new(Role::Client);
            if matches!(stack, Stack::Silent) {
                link.settings.clear();
            }
            ask(Tap::new(io, Arc::new(link))).await
        }
    }
}

async fn run(case: &Case, stack: Stack) -> Both {
    let (near, far) = tokio::io::duplex(4 << 20);
    let asking = tokio::spawn(get(near, stack));
    let mut server = RawPeer::over(far);
    let preface = crate::wire::settings(&[]);
    server.try_send_bytes(case.start.as_ref().unwrap_or(&preface)).await;
    server.read_preface().await;
    let mut outcome = Outcome::default();
    let mut asked = false;
    loop {
        let Some(frame) = within(server.next_frame()).await else {
            outcome.close();
            break;
        };
        if frame.kind == kind::HEADERS && !asked {
            asked = true;
            server.try_send_bytes(&case.bytes).await;
            // Answered when all of that was taken.
            server.try_send_bytes(&f(PING, 0, 0, b"the end!")).await;
            continue;
        }
        let pong = frame.kind == kind::PING && &frame.payload[..] == b"the end!";
        outcome.add(&frame);
        if pong {
            break;
        }
    }
    let got = tokio::time::timeout(PATIENCE / 2, asking).await;
    let got = got.unwrap_or_else(|_| panic!("{} on {stack:?}: {outcome:?}", case.id)).unwrap();
    let (got, error) = match got {
        Ok(got) => (got, None),
        Err(error) => (Got::Error(code(&error)), Some(error.to_string())),
    };
    Both { got, error, server: outcome }
}

fn code(error: &(dyn std::error::Error + 'static)) -> u32 {
    let mut cause = Some(error);
    while let Some(one) = cause {
        if let Some(h2) = one.downcast_ref::<h2::Error>() {
            return h2.reason().map_or(0, u32::from);
        }
        cause = one.source();
    }
    0
}

/// What is wrong with a case.
pub(crate) async fn judge(case: &Case) -> Option<String> {
    let plain = run(case, Stack::Plain).await;
    let mut wrong = String::new();
    let deviation = DEVIATIONS.iter().find(|(id, _)| *id == case.id).map(|(_, got)| got);
    let allowed = deviation.map_or(case.demand, std::slice::from_ref);
    if !allowed.contains(&plain.got) {
        wrong = format!("{:?} instead of {allowed:?}; ", plain.got);
    }
    if deviation.is_some_and(|got| case.demand.contains(got)) {
        wrong.push_str("no deviation any more; ");
    }
    for stack in [Stack::Silent, Stack::Announcing] {
        let tapped = run(case, stack).await;
        if tapped != plain {
            wrong.push_str(&format!("{stack:?}: {tapped:?}, but plain: {plain:?}; "));
        }
    }
    (!wrong.is_empty()).then(|| format!("{} ({}): {wrong}", case.id, case.says))
}
