use proptest::prelude::*;

use super::*;
use crate::mock::MockLink;

const STREAM: u64 = 8;

fn header(frame_type: u64, len: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::put(&mut bytes, frame_type);
    varint::put(&mut bytes, len);
    bytes
}

fn run(bytes: &[u8], size: usize) -> Result<(), PeerError> {
    let rules = Rules::new(Arc::new(MockLink::new(Role::Server)), 1000);
    let mut walk = FrameWalk::new();
    bytes.chunks(size).try_for_each(|chunk| walk.inspect(chunk, STREAM, &rules))
}

#[test]
fn data_may_have_any_length_and_content() {
    let bytes = [header(0x1, 3), vec![0xf6; 3], header(0x0, u64::MAX >> 2), vec![0xf6; 5000]];
    for size in [1, 2, 100, 10_000] {
        assert_eq!(run(&bytes.concat(), size), Ok(()));
    }
}

#[test]
fn other_frames_have_a_limit() {
    for frame_type in [0x1, 0x5, 0x21, 0x3fff] {
        assert_eq!(run(&header(frame_type, 1000), 1), Ok(()));
        assert_eq!(run(&header(frame_type, 1001), 1), Err(PeerError::FrameTooLong));
    }
}

#[test]
fn after_webtransports_signal_nothing_is_a_frame() {
    let mut bytes = vec![0x40, 0x41, 0x00];
    bytes.extend(header(0xf6, 1));
    for size in [1, 2, 3, 100] {
        assert_eq!(run(&bytes, size), Ok(()));
    }
}

proptest! {
    #[test]
    fn our_frame_is_found_behind_any_others(
        lens in proptest::collection::vec(0..1000_u16, 0..6),
        size in 1..2000_usize,
    ) {
        let mut bytes = Vec::new();
        for (turn, len) in lens.iter().enumerate() {
            bytes.extend(header(turn as u64 % 2, (*len).into()));
            bytes.extend(std::iter::repeat_n(0xf5, (*len).into()));
        }
        prop_assert_eq!(run(&bytes, size), Ok(()));
        bytes.extend(header(0xf5, 0));
        prop_assert_eq!(run(&bytes, size), Err(Violation::WrongStream.into()));
    }
}
