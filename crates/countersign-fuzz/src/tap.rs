//! The tap under an HTTP/2 stack, compared with the simplest reader, however the bytes are cut.
//!
//! The first byte of an input says which side the tap is on and which way the bytes go, the second how they
//! are cut.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use countersign_h2::Tap;
use countersign_proto::Role;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;

use crate::link::{Lax, MAX_FRAME, OURS};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADER_LEN: usize = 9;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const REQUESTS: u8 = 0xf5;
const CERTIFICATE: u8 = 0xf6;

/// A violation waits for its own end with tokio's clock.
#[expect(clippy::expect_used, reason = "without a clock there is nothing to be done")]
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
});

pub(crate) fn run(input: &[u8]) {
    let [mode, cut, bytes @ ..] = input else { return };
    let role = if mode & 1 == 0 { Role::Server } else { Role::Client };
    let _entered = RUNTIME.enter();
    if mode & 2 == 0 { inbound(role, *cut, bytes) } else { outbound(role, *cut, bytes) }
}

/// Lengths that look random, from 1 to 40.
struct Cuts(u64);

impl Cuts {
    fn next(&mut self) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + (self.0 >> 33) as usize % 40
    }
}

/// Gives the peer's bytes in pieces, then the end; takes ours in pieces.
struct Wire<'a> {
    input: &'a [u8],
    output: Vec<u8>,
    cuts: Cuts,
}

impl AsyncRead for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = self.cuts.next().min(self.input.len()).min(buffer.remaining());
        let (piece, rest) = self.input.split_at(length);
        buffer.put_slice(piece);
        self.input = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let length = self.cuts.next().min(bytes.len());
        self.output.extend(bytes.iter().take(length));
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// One frame, whole or cut at the end of what there is.
struct Frame<'a> {
    head: &'a [u8; HEADER_LEN],
    declared: usize,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    fn split_from(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
        let declared = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at(declared.min(rest.len()));
        Some((Self { head, declared, payload }, rest))
    }

    fn is_ours(&self) -> bool {
        matches!(self.head[3], REQUESTS | CERTIFICATE)
    }

    fn leaves_block_open(&self, before: bool) -> bool {
        match self.head[3] {
            HEADERS | PUSH_PROMISE | CONTINUATION => self.head[4] & END_HEADERS == 0,
            _ => before,
        }
    }

    fn is_control(&self) -> bool {
        let [_, _, _, _, _, first, rest @ ..] = self.head;
        first & 0x7f == 0 && *rest == [0; 3]
    }
}

/// What the stack has to see, the extension's frames, and whether a rule was broken.
fn simplest_reader(role: Role, input: &[u8]) -> (Vec<u8>, Vec<Bytes>, bool) {
    let start = if role == Role::Server { PREFACE.len().min(input.len()) } else { 0 };
    let (preface, mut rest) = input.split_at(start);
    let (mut seen, mut frames, mut in_block) = (preface.to_vec(), Vec::new(), false);
    while let Some((frame, behind)) = Frame::split_from(rest) {
        rest = behind;
        if !frame.is_ours() {
            in_block = frame.leaves_block_open(in_block);
            seen.extend(frame.head);
            seen.extend(frame.payload);
        } else if in_block || !frame.is_control() || frame.declared > MAX_FRAME {
            return (seen, frames, true);
        } else if frame.payload.len() == frame.declared {
            frames.push(Bytes::copy_from_slice(frame.payload));
        }
    }
    seen.extend(rest);
    (seen, frames, false)
}

/// The peer's bytes, on their way to the stack.
fn inbound(role: Role, cut: u8, bytes: &[u8]) {
    let link = Arc::new(Lax::new(role));
    let wire = Wire { input: bytes, output: Vec::new(), cuts: Cuts(cut.into()) };
    let mut tap = Tap::new(wire, Arc::clone(&link));
    let mut context = Context::from_waker(Waker::noop());
    write_all(&mut tap, &mut context, &beginning(role));
    let (mut cuts, mut seen, mut waits) = (Cuts(u64::from(cut) + 1), Vec::new(), 0);
    let failed = loop {
        let mut room = vec![0; cuts.next()];
        let mut buffer = ReadBuf::new(&mut room);
        match Pin::new(&mut tap).poll_read(&mut context, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => break false,
            Poll::Ready(Ok(())) => seen.extend(buffer.filled()),
            Poll::Ready(Err(_)) => break true,
            Poll::Pending => {
                // There is more, or the end, at once. Only what is thrown away takes several turns.
                waits += 1;
                assert!(waits < 10_000, "the tap waits for nothing");
            }
        }
    };
    assert_eq!((seen, link.take_frames(), failed), simplest_reader(role, bytes));
}

/// What a stack would write: bytes say the type, the flags and how long; sometimes the link has a frame.
fn outbound(role: Role, cut: u8, bytes: &[u8]) {
    let link = Arc::new(Lax::new(role));
    let wire = Wire { input: &[], output: Vec::new(), cuts: Cuts(cut.into()) };
    let mut tap = Tap::new(wire, Arc::clone(&link));
    let mut context = Context::from_waker(Waker::noop());
    let stack = beginning(role);
    let mut expected = if role == Role::Client { PREFACE.to_vec() } else { Vec::new() };
    expected.extend([0, 0, 6, SETTINGS, 0, 0, 0, 0, 0]);
    expected.extend((OURS.id as u16).to_be_bytes());
    expected.extend((OURS.value as u32).to_be_bytes());
    let (mut sent, mut open, mut pieces) = (Vec::new(), false, bytes);
    write_all(&mut tap, &mut context, &stack);
    while let Some((&[what, length, with], rest)) = pieces.split_first_chunk::<3>() {
        pieces = rest;
        let payload = vec![with; usize::from(length)];
        if what & 0x80 != 0 {
            let payload = Bytes::from(payload);
            sent.push(payload.clone());
            link.send(payload);
            continue;
        }
        let (kind, flags) = match (open, what & 3) {
            (true, _) => (CONTINUATION, what & END_HEADERS),
            (false, 0) => (0, 0),
            (false, 1) => (HEADERS, what & END_HEADERS),
            (false, _) => (6, 0),
        };
        open = matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS == 0;
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, u8::from(kind != 6)];
        frame.extend(payload);
        expected.extend(&frame);
        write_all(&mut tap, &mut context, &frame);
    }
    if !open {
        // Whatever is queued goes out now.
        for _ in 0..100_000 {
            if Pin::new(&mut tap).poll_flush(&mut context).is_ready() && link.unsent() == 0 {
                break;
            }
        }
        assert_eq!(link.unsent(), 0, "frames are stuck");
    }
    let (stack, frames) = taken_apart(role, &tap.get_ref().output);
    assert_eq!(stack, expected, "the stack's own frames");
    assert!(sent.starts_with(&frames), "the extension's frames, in order");
    assert!(open || frames.len() == sent.len(), "all of them");
}

/// What every stack begins with.
fn beginning(role: Role) -> Vec<u8> {
    let preface = if role == Role::Client { PREFACE } else { b"" };
    [preface, &[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]].concat()
}

fn write_all(tap: &mut Tap<Wire<'_>, Lax>, context: &mut Context<'_>, mut bytes: &[u8]) {
    let mut attempts = 0;
    while !bytes.is_empty() {
        match Pin::new(&mut *tap).poll_write(context, bytes) {
            Poll::Ready(taken) => {
                let length = taken.unwrap_or_default();
                assert!(length > 0, "nothing was taken, or the tap failed by itself");
                bytes = bytes.get(length..).unwrap_or_default();
            }
            Poll::Pending => {
                attempts += 1;
                assert!(attempts < 100_000, "the tap takes nothing any more");
            }
        }
    }
}

/// The stack's frames and the extension's, which stand outside of header blocks.
fn taken_apart(role: Role, output: &[u8]) -> (Vec<u8>, Vec<Bytes>) {
    let start = if role == Role::Client { PREFACE.len() } else { 0 };
    let (preface, mut rest) = output.split_at(start);
    let (mut stack, mut frames, mut in_block) = (preface.to_vec(), Vec::new(), false);
    while let Some((frame, behind)) = Frame::split_from(rest) {
        rest = behind;
        assert_eq!(frame.payload.len(), frame.declared, "a frame is cut");
        if frame.is_ours() {
            assert!(!in_block, "a frame inside of a header block");
            frames.push(Bytes::copy_from_slice(frame.payload));
        } else {
            in_block = frame.leaves_block_open(in_block);
            stack.extend(frame.head);
            stack.extend(frame.payload);
        }
    }
    assert!(rest.is_empty(), "a header is cut");
    (stack, frames)
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let settings = [0, 0, 6, SETTINGS, 0, 0, 0, 0, 0, 0xff, 0x0c, 0, 0, 0, 4];
    let request = [0, 0, 3, HEADERS, END_HEADERS, 0, 0, 0, 1, 0x82, 0x84, 0x87];
    let split = [0, 0, 1, HEADERS, 0, 0, 0, 0, 3, 0x82];
    let more = [0, 0, 2, CONTINUATION, END_HEADERS, 0, 0, 0, 3, 0x84, 0x87];
    let frame = |kind: u8, stream: u8| [0, 0, 5, kind, 0, 0, 0, 0, stream, 1, 2, 3, 4, 5];
    let mut to_server = [&[0, 7], PREFACE, &settings, &request].concat();
    to_server.extend(frame(CERTIFICATE, 0));
    to_server.extend([&split[..], &more].concat());
    to_server.extend(frame(CERTIFICATE, 0));
    let mut to_client = [&[1, 9], &settings[..]].concat();
    to_client.extend(frame(REQUESTS, 0));
    to_client.extend([0, 0, 4, 12, 0, 0, 0, 0, 0, 0, 2, b'h', b'i']);
    to_client.extend(frame(CERTIFICATE, 1));
    let from_stack =
        |mode| vec![mode, 5, 0, 9, 1, 0x80, 30, 2, 1, 4, 3, 0x80, 8, 8, 4, 6, 4, 0, 200, 5];
    vec![to_server, to_client, from_stack(2), from_stack(3)]
}
