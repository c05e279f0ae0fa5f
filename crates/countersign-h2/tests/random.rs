//! Randomised: any cutting of the bytes, Pending anywhere, any input.

#![cfg(test)]

mod support;

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use countersign_h2::Tap;
use countersign_proto::link::Transmit;
use countersign_proto::{FrameKind, Role, Setting, Violation};
use proptest::prelude::*;
use support::chaos::{Chaos, Dice};
use support::mock::{Event, MockLink, OURS};
use support::wire::{self, PREFACE};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What a stack may write, as whole frames and header blocks.
fn stack_output() -> impl Strategy<Value = Vec<u8>> {
    let payload = |limit| proptest::collection::vec(any::<u8>(), 0..limit);
    let piece = prop_oneof![
        payload(600).prop_map(|payload| wire::frame(wire::DATA, 0, 1, &payload)),
        (any::<bool>(), proptest::collection::vec(payload(40), 1..5)).prop_map(|(push, parts)| {
            let last = parts.len() - 1;
            let first = if push { wire::PUSH_PROMISE } else { wire::HEADERS };
            let part = |(n, part): (usize, &Vec<u8>)| {
                let frame_type = if n == 0 { first } else { wire::CONTINUATION };
                let flags = if n == last { wire::END_HEADERS } else { 0 };
                wire::frame(frame_type, flags, 1, part)
            };
            parts.iter().enumerate().flat_map(part).collect()
        }),
        Just(wire::frame(wire::PING, 0, 0, &[0xf5; 8])),
        payload(20).prop_map(|payload| wire::frame(wire::GOAWAY, 0, 0, &payload)),
        Just(wire::settings(&[Setting { id: 4, value: 70_000 }])),
        payload(50).prop_map(|payload| wire::frame(0x42, 0xff, 77, &payload)),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// What the extension sends on its own.
fn extension_output() -> impl Strategy<Value = Vec<Transmitted>> {
    let frame = proptest::collection::vec(any::<u8>(), 0..400).prop_map(Transmitted::Frame);
    proptest::collection::vec(prop_oneof![4 => frame, 1 => Just(Transmitted::Settings)], 0..8)
}

#[derive(Clone, Debug)]
enum Transmitted {
    Frame(Vec<u8>),
    Settings,
}

/// A stack that writes what it was told to, and acknowledges SETTINGS as it must.
#[derive(Debug, Default)]
struct Script {
    output: Vec<u8>,
    written: usize,
    input: Vec<u8>,
    acknowledged: usize,
}

impl Script {
    fn acknowledge(&mut self, role: Role) {
        let start = if role == Role::Server { PREFACE.len() } else { 0 };
        let (frames, _) = wire::parse(self.input.get(start..).unwrap_or_default());
        let settings = frames.iter().filter(|it| it.frame_type == wire::SETTINGS && it.flags == 0);
        for _ in self.acknowledged..settings.count() {
            self.acknowledged += 1;
            self.output.extend(wire::settings_ack());
        }
    }

    /// One poll of the connection's task: reads and writes until neither goes on, then flushes.
    fn poll<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
        dice: &mut Dice,
        role: Role,
    ) -> io::Result<()> {
        loop {
            let mut buffer = vec![0; dice.len(500) + 3];
            let mut buf = ReadBuf::new(&mut buffer);
            buf.put_slice(b"abc");
            let _ = Pin::new(&mut *io).poll_read(cx, &mut buf)?;
            assert_eq!(&buf.filled()[..3], b"abc", "what was in the buffer is not touched");
            let read = &buf.filled()[3..];
            self.input.extend_from_slice(read);
            let read = !read.is_empty();
            self.acknowledge(role);

            let mut wrote = false;
            let rest = &self.output[self.written..];
            if !rest.is_empty() {
                let rest = &rest[..dice.len(rest.len())];
                let poll = if io.is_write_vectored() {
                    let (a, b) = rest.split_at(dice.below(rest.len() + 1));
                    let bufs = [IoSlice::new(a), IoSlice::new(b)];
                    Pin::new(&mut *io).poll_write_vectored(cx, &bufs)?
                } else {
                    Pin::new(&mut *io).poll_write(cx, rest)?
                };
                if let Poll::Ready(written) = poll {
                    assert!((1..=rest.len()).contains(&written));
                    self.written += written;
                    wrote = true;
                }
            }
            if !read && !wrote {
                let _ = Pin::new(&mut *io).poll_flush(cx)?;
                return Ok(());
            }
        }
    }
}

/// One side of a conversation: stack, tap and extension.
struct Side {
    link: Arc<MockLink>,
    script: Arc<Mutex<Script>>,
}

impl Side {
    fn start(
        role: Role,
        io: tokio::io::DuplexStream,
        stack: &[u8],
        extension: &[Transmitted],
        seed: u64,
        vectored: bool,
    ) -> Self {
        let link = Arc::new(MockLink::new(role));
        let preface = if role == Role::Client { PREFACE } else { b"" };
        let first = wire::settings(&[Setting { id: 3, value: 100 }]);
        let output = [preface, &first, stack].concat();
        let script = Arc::new(Mutex::new(Script { output, ..Script::default() }));
        let mut tap = Tap::new(Chaos::new(io, seed, vectored), Arc::clone(&link));
        let mut dice = Dice(seed ^ 1);
        tokio::spawn({
            let script = Arc::clone(&script);
            poll_fn(move |cx| {
                let result = script.lock().unwrap().poll(&mut tap, cx, &mut dice, role);
                result.map_or_else(|error| Poll::Ready(Err::<(), _>(error)), |()| Poll::Pending)
            })
        });
        let (later, extension) = (Arc::clone(&link), extension.to_vec());
        let mut dice = Dice(seed ^ 2);
        tokio::spawn(async move {
            for what in extension {
                for _ in 0..dice.below(12) {
                    tokio::task::yield_now().await;
                }
                match what {
                    Transmitted::Frame(payload) => later.push_frame(payload),
                    Transmitted::Settings => later.push(Transmit::Settings(vec![OURS])),
                }
            }
        });
        Self { link, script }
    }

    /// What this side's stack wrote, as the other one has to see it: its first SETTINGS with our
    /// entry in it, and those of the extension in between.
    fn written_frames(&self, role: Role) -> Vec<wire::WireFrame> {
        let script = self.script.lock().unwrap();
        assert_eq!(script.written, script.output.len());
        let start = if role == Role::Client { PREFACE.len() } else { 0 };
        let (mut frames, rest) = wire::parse(&script.output[start..]);
        assert_eq!(rest, b"");
        frames[0].payload.extend([0xff, 0x0c, 0, 0, 0, OURS.value as u8]);
        frames
    }
}

/// Runs until nothing moves any more: the paused clock only goes on then.
fn until_idle(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        work.await;
        tokio::time::sleep_until(Instant::now() + Duration::from_secs(1)).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 192,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn two_taps_understand_each_other(
        stacks in [stack_output(), stack_output()],
        extensions in [extension_output(), extension_output()],
        seed in any::<u64>(),
        pipe in 1_usize..400,
        vectored in any::<bool>(),
    ) {
        let roles = [Role::Client, Role::Server];
        let sides = Mutex::new(Vec::new());
        let ours = wire::settings(&[OURS]);
        until_idle(async {
            let (a, b) = tokio::io::duplex(pipe);
            for (n, io) in [a, b].into_iter().enumerate() {
                let seed = seed.wrapping_add(n as u64);
                let side =
                    Side::start(roles[n], io, &stacks[n], &extensions[n], seed, vectored);
                sides.lock().unwrap().push(side);
            }
            tokio::time::sleep_until(Instant::now() + Duration::from_secs(1)).await;
            let sides = sides.lock().unwrap();
            for (n, side) in sides.iter().enumerate() {
                let other = &sides[1 - n];
                let expected: Vec<Bytes> = extensions[1 - n]
                    .iter()
                    .filter_map(|it| match it {
                        Transmitted::Frame(payload) => Some(payload.clone().into()),
                        Transmitted::Settings => None,
                    })
                    .collect();
                assert_eq!(side.link.frames(), expected, "the extension's frames, in order");

                let script = side.script.lock().unwrap();
                let start = if roles[n] == Role::Server { PREFACE.len() } else { 0 };
                assert_eq!(&script.input[..start], &PREFACE[..start]);
                let (mut seen, rest) = wire::parse(&script.input[start..]);
                assert_eq!(rest, b"");
                drop(script);
                let own = |frame: &wire::WireFrame| frame.bytes() == ours;
                let further = seen.iter().filter(|it| own(it)).count();
                let sent = |it: &&Transmitted| matches!(it, Transmitted::Settings);
                assert_eq!(further, extensions[1 - n].iter().filter(sent).count());
                seen.retain(|frame| !own(frame));
                assert_eq!(seen, written_without_hidden_acks(other, roles[1 - n], &extensions[n]));

                let acks = extensions[n].iter().filter(sent).count() + 1;
                let acked = |event: &&Event| **event == Event::SettingsAcked;
                assert_eq!(side.link.events().iter().filter(acked).count(), acks);
                assert_eq!(side.link.violation(), None);
            }
        });
    }

    #[test]
    fn any_input_is_filtered_as_the_simplest_reader_would(
        input in peer_output(),
        seed in any::<u64>(),
        server in any::<bool>(),
        limit in prop_oneof![Just(100), Just(1 << 20)],
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let expected = simplest_reader(role, &input, limit);
        until_idle(async {
            let mut link = MockLink::new(role);
            link.max_frame_len = limit;
            let link = Arc::new(link);
            let io = Chaos::new(Input(&input), seed, false);
            let mut tap = Tap::new(io, Arc::clone(&link));
            let mut dice = Dice(seed);
            let mut delivered = Vec::new();
            let end = loop {
                let mut buffer = vec![0; dice.len(300)];
                match tap.read(&mut buffer).await {
                    Ok(0) => break None,
                    Ok(len) => delivered.extend_from_slice(&buffer[..len]),
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                        let inner = error.into_inner().unwrap();
                        break Some(*inner.downcast::<Violation>().unwrap());
                    }
                }
            };
            assert_eq!((delivered, link.frames(), end), expected);
            assert_eq!(link.violation(), end);
        });
    }
}

/// The frames of `side`'s stack, less the acknowledgements of the SETTINGS of the other extension.
fn written_without_hidden_acks(
    side: &Side,
    role: Role,
    other_extension: &[Transmitted],
) -> Vec<wire::WireFrame> {
    let mut frames = side.written_frames(role);
    let script = side.script.lock().unwrap();
    let start = if role == Role::Server { PREFACE.len() } else { 0 };
    let (read, _) = wire::parse(&script.input[start..]);
    let ours = wire::settings(&[OURS]);
    let settings = read.iter().filter(|it| it.frame_type == wire::SETTINGS && it.flags == 0);
    let mut hidden: Vec<bool> = settings.map(|it| it.bytes() == ours).collect();
    let count = other_extension.iter().filter(|it| matches!(it, Transmitted::Settings)).count();
    assert_eq!(hidden.iter().filter(|it| **it).count(), count);
    hidden.reverse();
    let is_ack = |it: &wire::WireFrame| it.frame_type == wire::SETTINGS && it.flags == wire::ACK;
    frames.retain(|frame| !(is_ack(frame) && hidden.pop().unwrap()));
    frames
}

/// What a peer may send: good frames, bad ones, and anything at all.
fn peer_output() -> impl Strategy<Value = Vec<u8>> {
    let payload = || proptest::collection::vec(any::<u8>(), 0..200);
    let ours = prop_oneof![Just(wire::REQUESTS), Just(wire::CERTIFICATE)];
    let stream = prop_oneof![8 => Just(0_u32), 1 => Just(0x8000_0000), 1 => any::<u32>()];
    let piece = prop_oneof![
        8 => stack_output(),
        8 => (ours, any::<u8>(), stream, payload())
            .prop_map(|(kind, flags, stream, payload)| wire::frame(kind, flags, stream, &payload)),
        1 => payload().prop_map(|payload| wire::frame(wire::HEADERS, 0, 1, &payload)),
        1 => Just(wire::settings_ack()),
        1 => Just(wire::header(1 << 23, wire::CERTIFICATE, 0, 0).to_vec()),
        1 => Just(wire::frame(wire::CERTIFICATE, 0, 0, b"malformed")),
        1 => any::<[u8; 9]>().prop_map(|head| head.to_vec()),
        1 => payload(),
    ];
    (any::<bool>(), proptest::collection::vec(piece, 0..8), any::<proptest::sample::Index>())
        .prop_map(|(preface, pieces, cut)| {
            let mut output = if preface { PREFACE.to_vec() } else { Vec::new() };
            output.extend(pieces.concat());
            output.truncate(cut.index(output.len() * 3 + 1));
            output
        })
}

/// The filter in its plainest form, over the whole input at once.
fn simplest_reader(
    role: Role,
    input: &[u8],
    limit: usize,
) -> (Vec<u8>, Vec<Bytes>, Option<Violation>) {
    let start = if role == Role::Server { PREFACE.len().min(input.len()) } else { 0 };
    let (preface, mut rest) = input.split_at(start);
    let mut delivered = preface.to_vec();
    let mut frames = Vec::new();
    let mut in_block = false;
    while let Some((head, payload)) = rest.split_first_chunk::<9>() {
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let frame = wire::WireFrame {
            frame_type: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff,
            payload: payload[..len.min(payload.len())].to_vec(),
        };
        rest = payload.get(len..).unwrap_or_default();
        if !frame.is_ours() {
            in_block = frame.leaves_block_open(in_block);
            delivered.extend_from_slice(head);
            delivered.extend_from_slice(&frame.payload);
            continue;
        }
        let violation = if in_block {
            Some(Violation::InsideHeaderBlock)
        } else if frame.stream != 0 {
            Some(Violation::WrongStream)
        } else if len > limit || len > 16_384 {
            Some(Violation::FrameTooLong)
        } else {
            None
        };
        if violation.is_some() {
            return (delivered, frames, violation);
        }
        if frame.payload.len() < len {
            return (delivered, frames, None);
        }
        let malformed = frame.payload.starts_with(b"malformed");
        frames.push(frame.payload.into());
        if malformed {
            return (delivered, frames, Some(Violation::MalformedAuthenticator));
        }
    }
    delivered.extend_from_slice(rest);
    (delivered, frames, None)
}

/// Gives bytes, then the end. Takes everything.
struct Input<'a>(&'a [u8]);

impl AsyncRead for Input<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Input<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn the_kinds_here_are_those_of_the_code_points() {
    let points = countersign_proto::CodePoints::default();
    assert_eq!(points.frame_type(FrameKind::AuthenticatorRequests), wire::REQUESTS);
    assert_eq!(points.frame_type(FrameKind::Certificate), wire::CERTIFICATE);
}
