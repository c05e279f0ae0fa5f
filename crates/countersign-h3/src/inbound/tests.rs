use std::sync::Arc;

use countersign_proto::{CodePoints, ErrorCode, Role};
use proptest::prelude::*;

use super::*;
use crate::mock::{Event, MockLink, OURS};

const CERTIFICATE: u64 = 0xf6;

fn frame(frame_type: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::put(&mut bytes, frame_type);
    varint::put(&mut bytes, payload.len() as u64);
    bytes.extend_from_slice(payload);
    bytes
}

/// SETTINGS with the mock's entry.
fn settings() -> Vec<u8> {
    let mut payload = Vec::new();
    varint::put(&mut payload, OURS.id);
    varint::put(&mut payload, OURS.value);
    frame(frame_type::SETTINGS, &payload)
}

fn rules() -> Rules<MockLink> {
    rules_of(Role::Server)
}

fn rules_of(role: Role) -> Rules<MockLink> {
    Rules::new(Arc::new(MockLink::new(role)), 1000)
}

/// What the stack gets of `bytes`, which arrive in pieces of these sizes, and the link.
fn run(bytes: &[u8], sizes: &[usize]) -> (Vec<u8>, Arc<MockLink>, Result<(), PeerError>) {
    run_with(rules(), bytes, sizes)
}

/// The same by other rules.
fn run_with(
    rules: Rules<MockLink>,
    bytes: &[u8],
    sizes: &[usize],
) -> (Vec<u8>, Arc<MockLink>, Result<(), PeerError>) {
    let seen = AtomicBool::new(false);
    let mut walk = UniWalk::new(2);
    let mut stack = Vec::new();
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut result = Ok(());
    for size in sizes.iter().cycle() {
        if rest.is_empty() || result.is_err() {
            break;
        }
        let piece = rest.split_to((*size).min(rest.len()));
        result = walk.filter(piece, &rules, &seen);
        while let Some(piece) = walk.next() {
            assert!(!piece.is_empty(), "the stack takes no empty pieces");
            stack.extend_from_slice(&piece);
        }
    }
    let result = result.and_then(|()| walk.end());
    while let Some(piece) = walk.next() {
        stack.extend_from_slice(&piece);
    }
    (stack, rules.link, result)
}

/// A frame of the stack's, or of the extension.
fn any_frame() -> impl Strategy<Value = (u64, Vec<u8>)> {
    let types = prop_oneof![
        Just(CERTIFICATE),
        Just(0x7),
        Just(0xd),
        (0..1_000_u64).prop_map(|n| n * 0x1f + 0x21),
    ];
    (types, proptest::collection::vec(any::<u8>(), 0..200))
}

proptest! {
    #[test]
    fn the_stack_gets_all_but_the_extension_however_it_is_cut(
        frames in proptest::collection::vec(any_frame(), 0..12),
        sizes in proptest::collection::vec(1..40_usize, 1..8),
    ) {
        let mut wire = [vec![0], settings()].concat();
        let mut wanted = wire.clone();
        let mut ours = Vec::new();
        for (frame_type, payload) in &frames {
            let bytes = frame(*frame_type, payload);
            wire.extend_from_slice(&bytes);
            // One GREASE value is our frame's type.
            if *frame_type == CERTIFICATE {
                ours.push(Bytes::copy_from_slice(payload));
            } else {
                wanted.extend_from_slice(&bytes);
            }
        }
        let malformed = ours.iter().any(|payload| payload.starts_with(b"malformed"));
        prop_assume!(!malformed);
        let (stack, link, result) = run(&wire, &sizes);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(stack, wanted);
        prop_assert_eq!(link.frames(), ours);
        prop_assert_eq!(link.peer_settings(), vec![vec![OURS]]);
    }

    #[test]
    fn noise_is_no_danger(bytes: Vec<u8>, sizes in proptest::collection::vec(1..9_usize, 1..4)) {
        let wire = [vec![0], settings(), bytes].concat();
        let whole = run(&wire, &[usize::MAX]);
        let cut = run(&wire, &sizes);
        prop_assert_eq!(&whole.2, &cut.2);
        prop_assert_eq!(whole.1.events(), cut.1.events());
        if whole.2.is_ok() {
            prop_assert_eq!(whole.0, cut.0);
        }
    }
}

#[test]
fn integers_may_be_longer_than_needed() {
    // Type and length of our frame in eight bytes each, the stream's type in four.
    let mut wire = vec![0x80, 0, 0, 0];
    wire.extend(settings());
    wire.extend([0xc0, 0, 0, 0, 0, 0, 0, 0xf6, 0xc0, 0, 0, 0, 0, 0, 0, 1, b'x']);
    for size in [1, 3, 7, 100] {
        let (stack, link, result) = run(&wire, &[size]);
        assert_eq!(result, Ok(()));
        assert_eq!(stack, [&[0x80, 0, 0, 0][..], &settings()].concat());
        assert_eq!(link.frames(), ["x"]);
    }
}

/// The payloads of ORIGIN that the link was told.
fn origins(link: &MockLink) -> Vec<Bytes> {
    let events = link.events().into_iter();
    events
        .filter_map(|event| if let Event::Origin(payload) = event { Some(payload) } else { None })
        .collect()
}

#[test]
fn origin_is_read_along_on_a_clients_side() {
    //= specs/server-certs.md#origin-http3
    //= type=test
    //# In HTTP/3 a frame of type 0x0c MUST be read as ORIGIN.
    //= specs/server-certs.md#origin-http3
    //= type=test
    //# The HTTP/3 frame MUST be read as its type and its length, both variable-length integers, and
    //# then a payload with the layout of HTTP/2.
    //= specs/server-certs.md#origin-http3
    //= type=test
    //# The payload of an HTTP/3 ORIGIN frame MUST mean what it means in HTTP/2.
    //= specs/server-certs.md#origin-http3
    //= type=test
    //# In HTTP/3 the server's control stream MUST take the place of stream 0.
    let entry = b"\x00\x0ehttps://a.test";
    let both = [frame(frame_type::ORIGIN, entry), frame(frame_type::ORIGIN, b"")].concat();
    let wire = [vec![0], settings(), both].concat();
    for size in [1, 3, 7, 100] {
        let (stack, link, result) = run_with(rules_of(Role::Client), &wire, &[size]);
        assert_eq!((stack, result), (wire.clone(), Ok(())));
        assert_eq!(origins(&link), [&entry[..], b""]);
        let (stack, link, result) = run(&wire, &[size]);
        assert_eq!((stack, result), (wire.clone(), Ok(())));
        assert_eq!(origins(&link), Vec::<Bytes>::new(), "servers are sent none");
    }
}

#[test]
fn origin_longer_than_accepted_or_on_another_stream_is_the_stacks_alone() {
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) In HTTP/3 an ORIGIN frame that is longer than a frame of the extension may be MUST be
    //# ignored.
    //= specs/server-certs.md#origin-http3
    //= type=test
    //# In HTTP/3 an ORIGIN frame on another stream MUST be ignored.
    let origin = frame(frame_type::ORIGIN, b"\x00\x02ab");
    let mut link = MockLink::new(Role::Client);
    link.max_frame_len = 3;
    let short = Rules::new(Arc::new(link), 1000);
    let control = [vec![0], settings(), origin.clone()].concat();
    let push = [vec![1, 0], origin].concat();
    for (rules, wire) in [(short, control), (rules_of(Role::Client), push)] {
        let (stack, link, result) = run_with(rules, &wire, &[4]);
        assert_eq!((stack, result), (wire, Ok(())));
        assert_eq!(origins(&link), Vec::<Bytes>::new());
    }
}

#[test]
fn origin_longer_than_any_frame_is_refused_at_its_header() {
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) In HTTP/3 an ORIGIN frame that is longer than any frame may be MUST be a connection
    //# error H3_EXCESSIVE_LOAD.
    let mut header = varint_bytes(frame_type::ORIGIN);
    varint::put(&mut header, 1001);
    let wire = [vec![0], settings(), header].concat();
    let (_, link, result) = run_with(rules_of(Role::Client), &wire, &[4]);
    assert_eq!(result, Err(PeerError::FrameTooLong));
    let code = PeerError::FrameTooLong.code(&CodePoints::default());
    assert_eq!(code, ErrorCode(0x107));
    assert_eq!(origins(&link), Vec::<Bytes>::new());
}

#[test]
fn nothing_of_a_refused_payload_is_kept() {
    let mut wire = [vec![0], settings()].concat();
    varint::put(&mut wire, CERTIFICATE);
    varint::put(&mut wire, (1 << 20) + 1);
    let (_, link, result) = run(&wire, &[usize::MAX]);
    assert_eq!(result, Err(Violation::FrameTooLong.into()));
    let header = Event::Header(FrameKind::Certificate, Place::Control, (1 << 20) + 1);
    assert!(link.events().contains(&header));

    let mut wire = vec![0];
    varint::put(&mut wire, frame_type::SETTINGS);
    varint::put(&mut wire, 1001);
    let (_, link, result) = run(&wire, &[usize::MAX]);
    assert_eq!(result, Err(PeerError::FrameTooLong));
    assert_eq!(link.events(), []);
}

#[test]
fn after_webtransports_signal_nothing_is_a_frame() {
    let tail = [varint_bytes(frame_type::WT_STREAM), frame(CERTIFICATE, b"no frame")].concat();
    let wire = [vec![0], settings(), tail].concat();
    let (stack, link, result) = run(&wire, &[5]);
    assert_eq!(result, Ok(()));
    assert_eq!(stack, wire);
    assert_eq!(link.frames(), Vec::<Bytes>::new());
}

fn varint_bytes(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::put(&mut bytes, value);
    bytes
}
