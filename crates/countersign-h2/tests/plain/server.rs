//! hyper's server, with and without the tap, and a peer that says what a case tells it to.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use countersign_h2::Tap;
use countersign_proto::Role;
use countersign_testkit::{PATIENCE, RawPeer};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use crate::double::{self, Lost};
use crate::mock::MockLink;
use crate::on_stream;
use crate::outcome::{Outcome, Seen};
use crate::wire::{PREFACE, get_on, settings};

/// More than any case has on its way.
const ROOM: usize = 4 << 20;
/// The stream of the GET that shows that the connection lives.
const EPILOGUE: u32 = 1001;

/// A case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) id: &'static str,
    pub(crate) says: &'static str,
    /// The stream that it is about.
    pub(crate) stream: u32,
    /// Behind preface and SETTINGS.
    pub(crate) bytes: Vec<u8>,
    /// The very first bytes, in place of preface and SETTINGS.
    pub(crate) start: Option<Vec<u8>>,
    /// What the RFC allows to come of it.
    pub(crate) demand: Vec<Seen>,
}

/// About stream 1.
pub(crate) fn case(
    id: &'static str,
    says: &'static str,
    demand: impl Into<Vec<Seen>>,
    bytes: Vec<u8>,
) -> Case {
    Case { id, says, stream: 1, bytes, start: None, demand: demand.into() }
}

impl Case {
    pub(crate) fn stream(mut self, stream: u32) -> Self {
        self.stream = stream;
        self
    }

    pub(crate) fn start(mut self, bytes: Vec<u8>) -> Self {
        self.start = Some(bytes);
        self
    }
}

/// What is under test.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stack {
    /// hyper alone.
    Plain,
    /// On a tap that announces nothing.
    Silent,
    /// On a tap that announces the extension.
    Announcing,
    /// hyper alone, behind somebody who loses frames.
    Losing(Lost),
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let whole = |body: Vec<u8>| Full::new(Bytes::from(body));
    let path = request.uri().path().to_owned();
    if path == "/hold" {
        // Neither reads nor answers.
        std::future::pending::<()>().await;
    }
    let collected = request.into_body().collect().await?;
    let trailers = collected.trailers().map_or(0, http::HeaderMap::len);
    let text = format!("{} bytes, {trailers} trailers", collected.to_bytes().len());
    let body = match path.as_str() {
        "/large" => whole(vec![b'x'; 40_000]).boxed_unsync(),
        "/trailers" => {
            let mut fields = http::HeaderMap::new();
            fields.insert("sum", http::HeaderValue::from_static("1"));
            whole(text.into_bytes())
                .with_trailers(std::future::ready(Some(Ok(fields))))
                .boxed_unsync()
        }
        _ => whole(text.into_bytes()).boxed_unsync(),
    };
    Ok(Response::new(body))
}

fn serve<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: IO) {
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535)
        .max_concurrent_streams(4)
        .max_header_list_size(16 << 10)
        .serve_connection(TokioIo::new(io), service_fn(answer));
    tokio::spawn(connection);
}

fn start(io: DuplexStream, stack: Stack) {
    match stack {
        Stack::Plain => serve(io),
        Stack::Silent | Stack::Announcing => {
            let mut link = MockLink::new(Role::Server);
            if matches!(stack, Stack::Silent) {
                link.settings.clear();
            }
            serve(Tap::new(io, Arc::new(link)));
        }
        Stack::Losing(lost) => serve(double::losing(io, lost)),
    }
}

/// What comes of a case. Waits for the end of the connection or for the response to a GET behind the case; and,
/// where one of `allowed` is on the case's stream, for that.
pub(crate) async fn run(case: &Case, stack: Stack, allowed: &[Seen]) -> Outcome {
    let (near, far) = tokio::io::duplex(ROOM);
    start(near, stack);
    let mut peer = RawPeer::over(far);
    // Without a table the peer can read statuses.
    let usual = || [PREFACE, &settings(&[(1, 0)])].concat();
    let bytes = [case.start.clone().unwrap_or_else(usual), case.bytes.clone()].concat();
    peer.try_send_bytes(&bytes).await;
    peer.try_send_bytes(&get_on(EPILOGUE)).await;
    let waits = allowed.iter().any(on_stream) && !allowed.contains(&Seen::Ignored);
    let mut outcome = Outcome::default();
    loop {
        if outcome.is_over(EPILOGUE) && (!waits || outcome.is_over(case.stream)) {
            return outcome;
        }
        let next = tokio::time::timeout(PATIENCE / 2, peer.next_frame()).await;
        match next.unwrap_or_else(|_| panic!("{} on {stack:?}: {outcome:?}", case.id)) {
            Some(frame) => outcome.add(&frame),
            None => {
                outcome.close();
                return outcome;
            }
        }
    }
}
