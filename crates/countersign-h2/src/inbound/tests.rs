use super::*;
use crate::acks::Sender;
use crate::mock::{Event, MockLink, OURS};

fn frame(frame_type: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let header = Header { len: payload.len() as u32, frame_type, flags, stream };
    [&header.encode(), payload].concat()
}

/// A client's input.
struct Setup {
    inbound: Inbound,
    outbound: Outbound,
    link: MockLink,
}

impl Setup {
    fn client() -> Self {
        let link = MockLink::new(Role::Client);
        Self {
            inbound: Inbound::new(Role::Client, CodePoints::default()),
            outbound: Outbound::new(Role::Client),
            link,
        }
    }

    /// Filters `input` in pieces of `chunk` bytes. What the stack gets, and how it went.
    fn feed(&mut self, input: &[u8], chunk: usize) -> (Vec<u8>, Result<(), Violation>) {
        let mut output = Vec::new();
        for piece in input.chunks(chunk) {
            let mut region = [self.inbound.held(), piece].concat();
            let skimmed = self.inbound.skim(&region);
            let (kept, result) =
                self.inbound.filter(&mut region, skimmed, &self.link, &mut self.outbound);
            output.extend_from_slice(&region[..kept]);
            if result.is_err() {
                return (output, result);
            }
        }
        (output, Ok(()))
    }
}

#[test]
fn frames_of_the_extension_are_taken_out_however_the_input_is_cut() {
    let settings = frame(frame_type::SETTINGS, 0, 0, &[0xff, 0x0c, 0, 0, 0, 8]);
    let data = frame(frame_type::DATA, 0, 1, &[0xf5; 40]);
    let input = [
        settings.clone(),
        frame(0xf5, 0xff, 0x8000_0000, b"first"),
        data.clone(),
        frame(0xf5, 0, 0, b""),
        frame(0xf6, 0, 0, b"second"),
        data.clone(),
    ]
    .concat();
    for chunk in 1..=input.len() {
        let mut setup = Setup::client();
        let (output, result) = setup.feed(&input, chunk);
        assert_eq!(result, Ok(()));
        assert_eq!(output, [settings.clone(), data.clone(), data.clone()].concat());
        assert_eq!(setup.link.frames(), ["first", "", "second"]);
        assert!(setup.link.events().contains(&Event::PeerSettings(vec![OURS])));
    }
}

#[test]
fn acknowledgements_of_our_own_settings_are_taken_out_in_order() {
    let mut setup = Setup::client();
    let ack = frame(frame_type::SETTINGS, 1, 0, b"");
    for sender in [Sender::Extended, Sender::Extension, Sender::Stack, Sender::Extension] {
        setup.outbound.acks().sent(sender);
    }
    let (output, _) = setup.feed(&ack.repeat(5), 7);
    assert_eq!(output, ack.repeat(3), "one too many is the stack's to refuse");
    assert_eq!(setup.link.events(), vec![Event::SettingsAcked; 3]);
}

#[test]
fn a_frame_inside_a_header_block_is_a_violation_and_what_came_before_is_kept() {
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) A frame of the extension between HEADERS and the end of its header block MUST be a
    //# connection error PROTOCOL_ERROR.
    let block = frame(frame_type::HEADERS, 0, 1, b"abc");
    let end = frame(frame_type::CONTINUATION, 4, 1, b"def");
    let ours = frame(0xf5, 0, 0, b"x");

    let (output, result) = Setup::client().feed(&[&block[..], &ours].concat(), 64);
    assert_eq!((output, result), (block.clone(), Err(Violation::InsideHeaderBlock)));

    let (output, result) = Setup::client().feed(&[&block[..], &end, &ours].concat(), 64);
    assert_eq!((output, result), ([block, end].concat(), Ok(())));
}

/// The payloads of ORIGIN that the link was told.
fn origins(setup: &Setup) -> Vec<Bytes> {
    let events = setup.link.events().into_iter();
    events
        .filter_map(|event| if let Event::Origin(payload) = event { Some(payload) } else { None })
        .collect()
}

#[test]
fn origin_is_read_along_however_the_input_is_cut() {
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# In HTTP/2 a frame of type 0x0c MUST be read as ORIGIN.
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# The other flags of ORIGIN MUST NOT change how the frame is processed.
    let entry = b"\x00\x0ehttps://a.test";
    let input = [
        frame(frame_type::ORIGIN, 0, 0, entry),
        frame(frame_type::DATA, 0, 1, entry),
        frame(frame_type::ORIGIN, 0xf0, 0x8000_0000, b""),
        frame(0xf5, 0, 0, b"ours"),
    ];
    let output = input[..3].concat();
    let input = input.concat();
    for chunk in 1..=input.len() {
        let mut setup = Setup::client();
        assert_eq!(setup.feed(&input, chunk), (output.clone(), Ok(())));
        assert_eq!(origins(&setup), [&entry[..], b""]);
        assert_eq!(setup.link.frames(), ["ours"]);
    }
}

#[test]
fn origin_that_is_to_be_ignored_is_the_stacks_alone() {
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) In HTTP/2 an ORIGIN frame that is longer than the client accepts, though not longer
    //# than its SETTINGS allow, MUST be ignored.
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# An ORIGIN frame on another stream than 0 MUST be ignored.
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# An ORIGIN frame that sets a flag among 0x1, 0x2, 0x4 and 0x8 MUST be ignored as a whole.
    let mut too_long = Setup::client();
    too_long.link.max_frame_len = 3;
    let mut in_block = Setup::client();
    let open = frame(frame_type::HEADERS, 0, 1, b"abc");
    in_block.feed(&open, 64).1.unwrap();
    let mut server = Setup::client();
    server.inbound = Inbound::new(Role::Server, CodePoints::default());
    let _preface = server.feed(&[b'P'; PREFACE_LEN as usize], 64);
    let mut cases = vec![(too_long, 0, 0), (in_block, 0, 0), (server, 0, 0)];
    cases.extend([1, 2, 4, 8, 0xff].map(|flags| (Setup::client(), flags, 0)));
    cases.extend([1, 2].map(|stream| (Setup::client(), 0, stream)));
    for (mut setup, flags, stream) in cases {
        let ignored = frame(frame_type::ORIGIN, flags, stream, b"\x00\x02ab");
        assert_eq!(setup.feed(&ignored, 5), (ignored, Ok(())));
        assert_eq!(origins(&setup), Vec::<Bytes>::new(), "{flags} on {stream}");
    }
}

#[test]
fn origin_over_the_frame_size_is_not_kept() {
    let mut setup = Setup::client();
    let header = Header::connection(frame_type::ORIGIN, DEFAULT_MAX_FRAME_SIZE + 1).encode();
    assert_eq!(setup.feed(&header, 9), (header.to_vec(), Ok(())));
    setup.feed(&[0; 1000], 9).1.unwrap();
    assert_eq!(setup.inbound.collected.capacity(), 0);
}

#[test]
fn a_length_is_refused_at_the_header() {
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) A frame over the accepted size MUST be a connection error at its header, before any
    //# of it is buffered, FRAME_SIZE_ERROR in HTTP/2 and H3_EXCESSIVE_LOAD in HTTP/3.
    for (len, limit, expected) in [
        (16_384, 1 << 20, Ok(())),
        (16_385, 1 << 20, Err(Violation::FrameTooLong)),
        (101, 100, Err(Violation::FrameTooLong)),
        (100, 100, Ok(())),
    ] {
        let mut setup = Setup::client();
        setup.link.max_frame_len = limit;
        let (_, result) = setup.feed(&Header::connection(0xf5, len).encode(), 9);
        assert_eq!(result, expected, "{len} bytes, {limit} accepted");
        assert_eq!(setup.inbound.collected.capacity(), 0, "nothing is reserved");
    }
}

#[test]
fn the_links_refusal_comes_first() {
    let mut setup = Setup::client();
    setup.link.refusal = Some(Violation::NotNegotiated);
    let (_, result) = setup.feed(&Header::connection(0xf5, 1 << 23).encode(), 9);
    assert_eq!(result, Err(Violation::NotNegotiated));
    let (_, result) = Setup::client().feed(&frame(0xf5, 0, 3, b""), 9);
    assert_eq!(result, Err(Violation::WrongStream));
}

#[test]
fn malformed_settings_are_left_to_the_stack() {
    for malformed in [
        frame(frame_type::SETTINGS, 0, 0, b"12345"),
        frame(frame_type::SETTINGS, 0, 1, b"123456"),
        frame(frame_type::SETTINGS, 1, 0, b"123456"),
    ] {
        let mut setup = Setup::client();
        setup.outbound.acks().sent(Sender::Extension);
        let (output, result) = setup.feed(&malformed, 4);
        assert_eq!((output, result), (malformed, Ok(())));
        assert_eq!(setup.link.events(), []);
    }
}

#[test]
fn the_peers_max_frame_size_is_kept_if_it_is_valid() {
    let mut setup = Setup::client();
    for (announced, expected) in [(1_000_000_u32, 1_000_000), (100, 1_000_000), (16_384, 16_384)] {
        let entry = [&[0, 5], &announced.to_be_bytes()[..]].concat();
        setup.feed(&frame(frame_type::SETTINGS, 0, 0, &entry), 64).1.unwrap();
        assert_eq!(setup.inbound.peer_max_frame_size(), expected);
    }
}

#[test]
fn memory_grows_with_what_arrives_not_with_what_is_declared() {
    let mut setup = Setup::client();
    let entry = [0, 5, 0x00, 0xff, 0xff, 0xff];
    let preface = [0; 24];
    setup.outbound.sent(&preface);
    let own = frame(frame_type::SETTINGS, 0, 0, &entry);
    let taken = setup.outbound.capture(&own, Vec::new).taken;
    setup.outbound.capture(&own[taken..], Vec::new);
    setup.link.max_frame_len = 1 << 24;
    let input = [&Header::connection(0xf5, 0xff_ffff).encode()[..], &[7; 5000]].concat();
    let (output, result) = setup.feed(&input, 1000);
    assert_eq!((output, result), (Vec::new(), Ok(())));
    assert_eq!(setup.inbound.collected.len(), 5000);
    assert!(setup.inbound.collected.capacity() < 20_000);
}
