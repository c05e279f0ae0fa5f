//! What the HTTP/3 backend reads of a peer's streams, compared with the simplest reader, however it arrives.
//!
//! The first byte of an input says what stream it is on, the second how it is cut.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use countersign_h3::PeerError;
use countersign_h3::fuzzing::{RequestStream, UniStream, open_request};
use countersign_proto::{CodePoints, FrameKind, Role, varint};

use crate::link::{Lax, MAX_FRAME};

/// The longest frame that the stack gets, in bytes.
const MAX_FOR_STACK: u64 = 200;
const HEADERS: u64 = 1;
const SETTINGS: u64 = 4;
/// It has no length.
const WEBTRANSPORT: u64 = 0x41;

pub(crate) fn run(input: &[u8]) {
    let [mode, cut, bytes @ ..] = input else { return };
    let role = if mode & 1 == 0 { Role::Server } else { Role::Client };
    let cut = usize::from(*cut % 32) + 1;
    match mode / 2 % 3 {
        0 => unidirectional(role, cut, bytes),
        1 => request(role, cut, bytes),
        _ => websocket(cut, bytes),
    }
}

/// What the stack gets, the extension's frames, and how it ends.
type Outcome = (Vec<u8>, Vec<Bytes>, Result<(), PeerError>);

fn arrives<'a>(role: Role, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let link = Arc::new(Lax::new(role));
    let mut stream = UniStream::new(Arc::clone(&link), MAX_FOR_STACK);
    let mut stack = Vec::new();
    let mut outcome = Ok(());
    for piece in pieces {
        outcome = stream.arrive(Bytes::copy_from_slice(piece), &mut stack);
        if outcome.is_err() {
            break;
        }
    }
    let outcome = outcome.and_then(|()| stream.end(&mut stack));
    (stack, link.take_frames(), outcome)
}

fn unidirectional(role: Role, cut: usize, bytes: &[u8]) {
    let (whole, pieces) = (arrives(role, std::iter::once(bytes)), arrives(role, bytes.chunks(cut)));
    assert_eq!(whole.2, pieces.2, "the cut tells");
    assert_eq!(whole.1, pieces.1, "the cut tells");
    if whole.2.is_ok() {
        assert_eq!(whole.0, pieces.0, "the cut tells");
    }
    if let Some((0, frames)) = varint::read(bytes) {
        let (stack, ours) = simplest_reader(role, frames);
        let kind = bytes.len() - frames.len();
        let seen = whole.0.get(kind..).unwrap_or_default();
        assert!(stack.starts_with(seen), "the stack gets what was not sent");
        assert!(ours.starts_with(&whole.1), "frames that were not sent");
        if whole.2.is_ok() {
            assert_eq!((seen, whole.1), (&stack[..], ours));
        }
    }
}

fn is_ours(role: Role, frame_type: u64) -> bool {
    let kind: Option<FrameKind> = CodePoints::default().classify(frame_type, role);
    kind.is_some()
}

/// The control stream after its type: what the stack should get, and the extension's frames.
fn simplest_reader(role: Role, mut bytes: &[u8]) -> (Vec<u8>, Vec<Bytes>) {
    let (mut stack, mut ours) = (Vec::new(), Vec::new());
    while !bytes.is_empty() {
        let parsed = varint::read(bytes).and_then(|(frame_type, rest)| match frame_type {
            WEBTRANSPORT => Some((frame_type, u64::MAX, rest)),
            _ => varint::read(rest).map(|(length, rest)| (frame_type, length, rest)),
        });
        let Some((frame_type, length, rest)) = parsed else {
            stack.extend(bytes);
            break;
        };
        let here = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
        let (payload, behind) = rest.split_at(here);
        if !is_ours(role, frame_type) {
            stack.extend(bytes.iter().take(bytes.len() - behind.len()));
        } else if payload.len() as u64 == length {
            ours.push(Bytes::copy_from_slice(payload));
        }
        bytes = behind;
    }
    (stack, ours)
}

fn request(role: Role, cut: usize, bytes: &[u8]) {
    let judged = |pieces: Vec<&[u8]>| {
        let mut stream = RequestStream::new(Arc::new(Lax::new(role)), MAX_FOR_STACK);
        pieces.into_iter().try_for_each(|piece| stream.arrive(piece))
    };
    let whole = judged(vec![bytes]);
    assert_eq!(whole, judged(bytes.chunks(cut).collect()), "the cut tells");
    let mut rest = bytes;
    while let Some((frame_type, behind)) = varint::read(rest) {
        if frame_type == WEBTRANSPORT {
            break;
        }
        let Some((length, behind)) = varint::read(behind) else { break };
        if is_ours(role, frame_type) || (frame_type != 0 && length > MAX_FOR_STACK) {
            assert!(whole.is_err(), "a frame of type {frame_type:#x} and {length} bytes passes");
            return;
        }
        rest = usize::try_from(length)
            .ok()
            .and_then(|length| behind.get(length..))
            .unwrap_or_default();
    }
    assert_eq!(whole, Ok(()), "what is sound is refused");
}

fn websocket(cut: usize, bytes: &[u8]) {
    let opened = |pieces: Vec<&[u8]>| {
        let (mut held, mut stack, mut is_open) = (BytesMut::new(), Vec::new(), false);
        for piece in pieces {
            if is_open {
                stack.extend(piece);
            } else if let Some(first) = open_request(&mut held, Bytes::copy_from_slice(piece)) {
                is_open = true;
                stack.extend(first);
            }
        }
        (is_open, stack)
    };
    let (is_open, stack) = opened(vec![bytes]);
    assert_eq!((is_open, stack.clone()), opened(bytes.chunks(cut).collect()), "the cut tells");
    if !is_open || stack == bytes {
        return;
    }
    // Only a field section is written anew; its length is right, and what stands behind it is as it was.
    let frame = |bytes: &[u8]| {
        let (frame_type, rest) = varint::read(bytes)?;
        let (length, rest) = varint::read(rest)?;
        let (section, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        Some((frame_type, section.to_vec(), behind.to_vec()))
    };
    let (before, after) = (frame(bytes), frame(&stack));
    assert!(before.is_some() && after.is_some(), "a frame is cut");
    let (Some((kind, _, behind)), Some((new_kind, section, new_behind))) = (before, after) else {
        return;
    };
    assert_eq!((kind, new_kind), (HEADERS, HEADERS));
    assert_eq!(behind, new_behind);
    let known = [&b"webtransport"[..], b"connect-udp"];
    assert!(known.iter().any(|value| section.windows(value.len()).any(|part| part == *value)));
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let types = CodePoints::default();
    let mut frame = Vec::new();
    let kind = types.frame_type(FrameKind::Certificate);
    varint::put(&mut frame, u64::from(kind));
    varint::put(&mut frame, 5);
    frame.extend([1, 2, 3, 4, 5]);
    let mut requests = Vec::new();
    varint::put(&mut requests, u64::from(types.frame_type(FrameKind::AuthenticatorRequests)));
    varint::put(&mut requests, MAX_FRAME as u64);
    requests.extend([9; MAX_FRAME]);
    let settings = [SETTINGS as u8, 5, 0x80, 0, 0xff, 0x0c, 4];
    let control = |mode: u8| {
        let mut all = vec![mode, 6, 0];
        all.extend(settings);
        all.extend(&frame);
        all.extend(&requests);
        all.extend([0x0c, 4, 0, 2, b'h', b'i', 0x07, 1, 0]);
        all
    };
    let push = [&[1, 3, 1, 7, HEADERS as u8, 2, 0, 0, 0, 2, 1, 2][..], &frame].concat();
    let request = [&[2, 4, HEADERS as u8, 4, 0, 0, 0xd1, 0xd7, 0, 3, 1, 2, 3][..], &frame].concat();
    let response = vec![3, 1, HEADERS as u8, 3, 0, 0, 0xd9, 0, 2, 1, 2];
    let mut section = vec![0, 0, 0xcf, 0x27, 2];
    section.extend(b":protocol\x09websocket");
    section.extend([0xc1, 0xd7]);
    let mut websocket = vec![4, 2, HEADERS as u8, section.len() as u8];
    websocket.extend(section);
    websocket.extend([0, 2, 1, 2]);
    vec![control(0), control(1), push, request, response, websocket]
}
