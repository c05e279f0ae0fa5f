//! h3's server on h3-quinn and on the backend, and a client that says what a case tells it to.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use countersign_h3::Connection;
use countersign_proto::Role;
use countersign_testkit::raw_h3::Frame;
use countersign_testkit::{PATIENCE, within};
use h3::error::StreamError;
use h3::quic::BidiStream;
use h3::server::RequestResolver;
use http::Response;
use quinn::{ConnectionError, ReadError, RecvStream, SendStream, VarInt};

use crate::mock::MockLink;
use crate::quic::{Net, Options, connect, frame, settings, varints};

pub(crate) const DATA: u64 = 0x0;
pub(crate) const HEADERS: u64 = 0x1;
const CLOSED_CRITICAL_STREAM: u64 = 0x104;
const NO_ERROR: u64 = 0x100;

/// A case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) id: &'static str,
    pub(crate) says: &'static str,
    /// The client's control stream; None where it has none.
    pub(crate) control: Option<Sent>,
    /// Further streams, in the order of opening.
    pub(crate) streams: Vec<Sent>,
    /// What the RFC allows to come of it.
    pub(crate) demand: Vec<Seen>,
}

/// A stream that the client opens.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Whether there is a way back.
    pub(crate) bidirectional: bool,
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: End,
}

/// What becomes of a stream behind its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Open,
    Fin,
}

/// What came of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// CONNECTION_CLOSE with this code.
    Closed(u64),
    /// A whole response on the first request stream.
    Status(u16),
    /// That stream was reset with this code.
    Reset(u64),
    /// Nothing; the connection lives.
    Fine,
}

/// All that is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) seen: Seen,
    body: Vec<u8>,
    /// HEADERS frames of the response.
    heads: usize,
    /// Whether a GET behind all that was answered.
    alive: bool,
}

/// What is under test.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stack {
    /// h3 on h3-quinn.
    Plain,
    /// On a backend that announces nothing.
    Silent,
    /// On a backend that announces the extension.
    Announcing,
    /// On h3-quinn, with frames of this type lost on the way.
    Losing(u64),
}

pub(crate) fn control(bytes: &[u8]) -> Sent {
    uni(&[&[0], bytes].concat())
}

pub(crate) fn uni(bytes: &[u8]) -> Sent {
    Sent { bidirectional: false, bytes: bytes.to_vec(), end: End::Open }
}

/// A request stream, ended.
pub(crate) fn request(bytes: &[u8]) -> Sent {
    Sent { bidirectional: true, bytes: bytes.to_vec(), end: End::Fin }
}

impl Sent {
    pub(crate) fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    /// The bytes without frames of one type.
    fn without(&self, lost: u64) -> Vec<u8> {
        let mut rest = &self.bytes[..];
        let start = if self.bidirectional { 0 } else { varint(rest).map_or(0, |(_, width)| width) };
        let mut kept = rest[..start].to_vec();
        rest = &rest[start..];
        while let Some((kind, a)) = varint(rest)
            && let Some((length, b)) = varint(&rest[a..])
        {
            let whole = rest.len().min(a + b + usize::try_from(length).unwrap());
            if kind != lost {
                kept.extend(&rest[..whole]);
            }
            rest = &rest[whole..];
        }
        [kept, rest.to_vec()].concat()
    }
}

impl Case {
    /// Whether it has a frame of this type.
    pub(crate) fn has(&self, kind: u64) -> bool {
        self.control.iter().chain(&self.streams).any(|sent| sent.without(kind) != sent.bytes)
    }
}

/// The integer at the beginning, and its width.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let width = 1 << (first >> 6);
    let rest = bytes.get(1..width)?;
    Some((
        rest.iter().fold(u64::from(first & 0x3f), |sum, byte| sum << 8 | u64::from(*byte)),
        width,
    ))
}

/// Answers every request with how long it was.
async fn serve<C>(connection: C)
where
    C: h3::quic::Connection<Bytes, BidiStream: BidiStream<Bytes> + Send + 'static> + Send + 'static,
{
    let Ok(mut server) =
        h3::server::builder().max_field_section_size(16 << 10).build(connection).await
    else {
        return;
    };
    while let Ok(Some(resolver)) = server.accept().await {
        // Whatever goes wrong is the peer's to see.
        tokio::spawn(answer(resolver));
    }
}

async fn answer<C>(resolver: RequestResolver<C, Bytes>) -> Result<(), StreamError>
where
    C: h3::quic::Connection<Bytes>,
{
    let (_, mut stream) = resolver.resolve_request().await?;
    let mut length = 0;
    while let Some(data) = stream.recv_data().await? {
        length += data.remaining();
    }
    let trailers = stream.recv_trailers().await?.map_or(0, |fields| fields.len());
    stream.send_response(Response::new(())).await?;
    let body = format!("{length} bytes, {trailers} trailers");
    stream.send_data(Bytes::from(body)).await?;
    stream.finish().await
}

/// The peer's end of a connection to a server on `stack`.
async fn start(stack: Stack) -> (Net, quinn::Connection) {
    let (net, client, server) = connect(&Options::default()).await;
    match stack {
        Stack::Plain | Stack::Losing(_) => {
            tokio::spawn(serve(h3_quinn::Connection::new(server)));
        }
        Stack::Silent => {
            let link = Arc::new(MockLink::silent(Role::Server));
            tokio::spawn(serve(Connection::new(server, link)));
        }
        Stack::Announcing => {
            let link = Arc::new(MockLink::new(Role::Server));
            tokio::spawn(serve(Connection::new(server, link)));
        }
    }
    (net, client)
}

/// What comes of a case.
pub(crate) async fn run(case: &Case, stack: Stack, allowed: &[Seen]) -> Outcome {
    let running = Box::pin(observe(case, stack, allowed));
    let ran = tokio::time::timeout(PATIENCE, running).await;
    ran.unwrap_or_else(|_| panic!("{} on {stack:?}: nothing came of it", case.id))
}

async fn observe(case: &Case, stack: Stack, allowed: &[Seen]) -> Outcome {
    let (_net, quic) = start(stack).await;
    let mut outcome = Outcome { seen: Seen::Fine, body: Vec::new(), heads: 0, alive: false };
    let lost = if let Stack::Losing(kind) = stack { Some(kind) } else { None };
    let mut opened = Vec::new();
    let mut control = None;
    if let Some(sent) = &case.control {
        control = open(&quic, sent, lost).await.map(|(stream, _)| stream);
    }
    for sent in &case.streams {
        opened.extend(open(&quic, sent, lost).await);
    }
    let closes = allowed.iter().all(|seen| matches!(seen, Seen::Closed(_)));
    if closes && lost.is_none() {
        outcome.seen = Seen::Closed(closed(&quic).await);
        return outcome;
    }
    let first = opened.iter_mut().find_map(|(_, receive)| receive.as_mut());
    if let Some(receive) = first.filter(|_| lost.is_none() && allowed != [Seen::Fine]) {
        outcome.seen = response(&quic, receive, &mut outcome).await;
    }
    if matches!(outcome.seen, Seen::Closed(_)) {
        return outcome;
    }
    outcome.alive = get(&quic).await;
    // What the control stream had to say was heard when its end closes the connection.
    if let Some(mut control) = control {
        let _ = control.finish();
        match closed(&quic).await {
            CLOSED_CRITICAL_STREAM | NO_ERROR => {}
            code => outcome.seen = Seen::Closed(code),
        }
    }
    outcome
}

/// None where the connection is closed already.
async fn open(
    quic: &quinn::Connection,
    sent: &Sent,
    lost: Option<u64>,
) -> Option<(SendStream, Option<RecvStream>)> {
    let (mut send, receive) = if sent.bidirectional {
        let (send, receive) = quic.open_bi().await.ok()?;
        (send, Some(receive))
    } else {
        (quic.open_uni().await.ok()?, None)
    };
    let bytes = lost.map_or_else(|| sent.bytes.clone(), |kind| sent.without(kind));
    // The server may have stopped it.
    let _ = send.write_all(&bytes).await;
    if sent.end == End::Fin {
        let _ = send.finish();
    }
    Some((send, receive))
}

async fn closed(quic: &quinn::Connection) -> u64 {
    code_of(&quic.closed().await)
}

pub(crate) fn code_of(reason: &ConnectionError) -> u64 {
    let ConnectionError::ApplicationClosed(close) = reason else {
        panic!("not closed by HTTP/3: {reason}");
    };
    close.error_code.into_inner()
}

/// Reads a response to its end.
async fn response(
    quic: &quinn::Connection,
    receive: &mut RecvStream,
    outcome: &mut Outcome,
) -> Seen {
    let bytes = match receive.read_to_end(1 << 20).await {
        Ok(bytes) => bytes,
        Err(quinn::ReadToEndError::Read(ReadError::Reset(code))) => {
            return Seen::Reset(VarInt::into_inner(code));
        }
        Err(_) => return Seen::Closed(closed(quic).await),
    };
    let (mut rest, mut status) = (&bytes[..], None);
    while let Some((kind, a)) = varint(rest)
        && let Some((length, b)) = varint(&rest[a..])
    {
        let (payload, after) = rest[a + b..].split_at(usize::try_from(length).unwrap());
        match kind {
            DATA => outcome.body.extend_from_slice(payload),
            HEADERS => {
                outcome.heads += 1;
                let head = Frame::new(HEADERS, payload.to_vec());
                status = status.or(head.status());
            }
            _ => {}
        }
        rest = after;
    }
    // A stream that ends without a response has been given up without an error.
    status.map_or(Seen::Reset(0), Seen::Status)
}

/// Whether a GET on a new stream is answered.
async fn get(quic: &quinn::Connection) -> bool {
    let Ok((mut send, mut receive)) = quic.open_bi().await else { return false };
    if send.write_all(&Frame::get("localhost", "/").encode()).await.is_err()
        || send.finish().is_err()
    {
        return false;
    }
    within(receive.read_to_end(1 << 20)).await.is_ok_and(|bytes| !bytes.is_empty())
}

/// SETTINGS without entries.
pub(crate) fn no_settings() -> Vec<u8> {
    settings(&[])
}

/// A frame with integers for its payload.
pub(crate) fn numbers(kind: u64, values: &[u64]) -> Vec<u8> {
    frame(kind, &varints(values))
}
