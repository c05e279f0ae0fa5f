//! AUTHENTICATOR_REQUESTS at a client.

use super::{REQUESTS, asked, header, list, pair, request, settled};
use crate::authenticator::{Request, Side};
use crate::bytes::{varint, wide_varint};
use crate::case::Version;
use crate::code_points::{CodePoints, GREASE, MALFORMED, TOO_LONG, UNEXPECTED};
use crate::vectors::kit::{ALL_SCHEMES, context, plain_request};
use crate::vectors::settings::{Arriving, negotiated};
use crate::vectors::{Event, Vector};

pub(super) fn requests_accepted(version: Version) -> Vec<Vector> {
    let at_client = || settled(version, Side::Client);
    let start = || negotiated(true, true);
    let each = |numbers: &[u8]| numbers.iter().map(|one| asked(&request(*one))).collect::<Vec<_>>();
    let one = |name: &str, request: &Request| {
        at_client()
            .frame(REQUESTS, &Request::encode_list(std::slice::from_ref(request)))
            .vector(&format!("requests-{name}"))
            .events([start(), asked(request)])
    };
    let base = request(1).bytes;
    let width = |width: usize, mark: u8| {
        [wide_varint(base.len() as u64, width, mark), base.clone()].concat()
    };
    let mut vectors = vec![
        one("one", &request(1)),
        one("type-13", &plain_request(13, &context("type 13"), &ALL_SCHEMES)),
        one("context-0", &plain_request(17, &[], &ALL_SCHEMES)),
        one("context-255", &plain_request(17, &[9; 255], &ALL_SCHEMES)),
        one(
            "unknown-extension",
            &Request::new(
                17,
                &context("unknown"),
                &[(0xfafa, vec![1; 10]), Request::algorithms(&ALL_SCHEMES)],
            ),
        ),
        at_client()
            .frame(REQUESTS, &list(&[1, 2, 3]))
            .vector("requests-three-at-once")
            .note("as many as the client announced")
            .events([vec![start()], each(&[1, 2, 3])].concat()),
        at_client()
            .frame(REQUESTS, &list(&[1]))
            .frame(REQUESTS, &list(&[2, 3]))
            .vector("requests-in-two-frames")
            .events([vec![start()], each(&[1, 2, 3])].concat()),
        at_client()
            .frame(GREASE & 0xff, b"unknown")
            .frame(REQUESTS, &list(&[1]))
            .vector("requests-behind-an-unknown-frame")
            .events([vec![start()], each(&[1])].concat()),
    ];
    for (octets, mark) in [(4, 0x80), (8, 0xc0)] {
        vectors.push(
            at_client()
                .frame(REQUESTS, &width(octets, mark))
                .vector(&format!("requests-length-in-{octets}"))
                .note("a length that is longer than it need be")
                .events([vec![start()], each(&[1])].concat()),
        );
    }
    // As long as the receiver takes.
    let mut filled = request(1).extensions;
    let spare = 16_384 - 4 - (base.len() + 4);
    filled.push((0xfafa, vec![0; spare]));
    vectors.push(
        one("longest", &Request::new(17, &request(1).context, &filled))
            .note("a payload of 16,384 bytes"),
    );
    vectors
}

pub(super) fn requests_refused(version: Version) -> Vec<Vector> {
    let at_client = || settled(version, Side::Client);
    let start = || negotiated(true, true);
    let (one, malformed) = ("requests-one", pair(MALFORMED));
    let base = request(1);
    let bad = |name: &str, reason: &str, payload: &[u8]| {
        at_client()
            .frame(REQUESTS, payload)
            .vector(&format!("refused-requests-{name}"))
            .events([start()])
            .refused(reason, malformed, one)
    };
    let alone = |bytes: &[u8]| [varint(bytes.len() as u64), bytes.to_vec()].concat();
    let encoded =
        |extensions: &[(u16, Vec<u8>)]| alone(&Request::new(17, &base.context, extensions).bytes);
    let schemes = Request::algorithms(&ALL_SCHEMES);
    let over = (UNEXPECTED.h2.into(), UNEXPECTED.h3);
    let mut typed = base.bytes.clone();
    if let Some(typ) = typed.first_mut() {
        *typ = 11;
    }
    let bytes = &base.bytes;
    let points = CodePoints::default();
    let unnegotiated = |name: &str, settings: &[(u64, u64)], event: Event| {
        Arriving::new(version, Side::Client)
            .settings(settings)
            .frame(REQUESTS, &list(&[1]))
            .vector(&format!("refused-requests-{name}"))
            .events([event])
            .refused("not_negotiated", over, one)
    };
    vec![
        bad("empty", "empty_requests", b""),
        bad("length-cut", "request_length", &[0x40]),
        bad("length-alone", "request_length", &varint(bytes.len() as u64)),
        bad(
            "length-over",
            "request_length",
            &[varint(bytes.len() as u64 + 1), bytes.clone()].concat(),
        ),
        bad("length-huge", "request_length", &[[0xff; 8].to_vec(), bytes.clone()].concat()),
        bad(
            "length-under",
            "malformed_request|request_length",
            &[varint(bytes.len() as u64 - 1), bytes.clone()].concat(),
        ),
        bad("second-cut", "request_length", &[&alone(bytes)[..], &[0x40]].concat()),
        bad("zero-length", "malformed_request", &[0]),
        bad("type", "malformed_request", &alone(&typed)),
        bad("trailing", "malformed_request", &alone(&[&bytes[..], &[0]].concat())),
        bad("no-algorithms", "malformed_request", &encoded(&[(5, vec![1, 0, 0, 0, 0])])),
        bad("extension-twice", "malformed_request", &encoded(&[schemes.clone(), schemes])),
        bad("context-twice-in-a-frame", "repeated_context", &list(&[1, 1])),
        at_client()
            .frame(REQUESTS, &list(&[1]))
            .frame(REQUESTS, &list(&[1]))
            .vector("refused-requests-context-twice")
            .events([start(), asked(&base)])
            .refused("repeated_context", malformed, "requests-one"),
        at_client()
            .frame(REQUESTS, &list(&[1, 2, 3, 4]))
            .vector("refused-requests-four-at-once")
            .note("the client announced 3")
            .events([start()])
            .refused("too_many_requests", over, "requests-three-at-once"),
        at_client()
            .frame(REQUESTS, &list(&[1, 2, 3]))
            .frame(REQUESTS, &list(&[4]))
            .vector("refused-requests-a-fourth")
            .note("none of three was answered")
            .events([start(), asked(&base), asked(&request(2)), asked(&request(3))])
            .refused("too_many_requests", over, "requests-three-at-once"),
        unnegotiated("not-announced", &[], negotiated(false, false)),
        unnegotiated(
            "announced-0",
            &[(points.client_cert_auth.into(), 0)],
            negotiated(false, false),
        ),
        unnegotiated(
            "only-server-cert",
            &[(points.server_cert_auth.into(), 1)],
            negotiated(false, true),
        ),
        at_client()
            .bytes(&header(version, REQUESTS, 16_385))
            .vector("refused-requests-too-long")
            .note("nothing but the header, which says enough")
            .events([start()])
            .refused("frame_too_long", pair(TOO_LONG), "requests-longest"),
    ]
}
