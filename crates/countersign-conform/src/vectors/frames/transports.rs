//! What only one version has: flags, header blocks and streams.

use super::{
    CERTIFICATE, REQUESTS, SERVER_CERTIFICATE, asked, bound, list, pair, request, settled,
};
use crate::authenticator::{Hash, Side};
use crate::bytes::{varint, wide_varint};
use crate::case::Version;
use crate::code_points::{GREASE, UNEXPECTED};
use crate::raw::{FLAG_END_HEADERS, H2Frame, kind};
use crate::vectors::kit::{Kit, Recipe, client_hello};
use crate::vectors::settings::{Arriving, context_of, frame, negotiated};
use crate::vectors::{Event, Input, Place, Vector};

/// A bit that receivers ignore.
const RESERVED: u8 = 0x80;

/// Streams, flags and header blocks of HTTP/2.
pub(super) fn only_h2(kit: &Kit) -> Result<Vec<Vector>, String> {
    let answer =
        Recipe::new("answer", Side::Client, Hash::Sha256, &kit.ed25519).with_request(request(1));
    let offer = Recipe::spontaneous("offer", Hash::Sha256, &kit.ed25519);
    let (one, shown) = (answer.right()?, offer.right()?);
    let at_client = || settled(Version::Http2, Side::Client);
    let at_server = |bytes: &[u8], name: &str| {
        let arriving = settled(Version::Http2, Side::Server).bytes(bytes);
        let mut vector = bound(arriving.vector(name), &answer.connection, Side::Client);
        vector.outstanding = vec![request(1).bytes.into()];
        vector.events([negotiated(true, true)])
    };
    let on = |kind: u64, flags: u8, stream: u64, payload: &[u8]| {
        H2Frame::new(kind, flags, stream, payload).encode()
    };
    let start = || negotiated(true, true);
    let wrong = pair(UNEXPECTED);
    let requests = list(&[1]);
    let mut reserved = on(REQUESTS, 0, 0, &requests);
    if let Some(byte) = reserved.get_mut(5) {
        *byte |= RESERVED;
    }
    let proven = Event::Proven { context: context_of(&answer.context), certificates: 1 };
    // HEADERS of a response without END_HEADERS: `:status: 200`.
    let open = on(kind::HEADERS, 0, 1, &[0x88]);
    let get = on(kind::HEADERS, 0, 1, &[0x82, 0x87, 0x84]);
    let rest = on(kind::CONTINUATION, FLAG_END_HEADERS, 1, &[]);
    let mut early =
        Arriving::new(Version::Http2, Side::Client).bytes(&on(REQUESTS, 0, 0, &requests));
    early.announced.server_cert_auth = 0;
    let mut offered = at_client()
        .bytes(&on(SERVER_CERTIFICATE, 0, 3, &shown))
        .vector("refused-offer-on-a-stream");
    offered = bound(offered, &offer.connection, Side::Server);
    offered.client_hello = Some(client_hello());
    Ok(vec![
        at_client()
            .bytes(&on(REQUESTS, 0xff, 0, &requests))
            .vector("requests-flags")
            .note("flags without a meaning are ignored")
            .events([start(), asked(&request(1))]),
        at_client()
            .bytes(&reserved)
            .vector("requests-reserved-bit")
            .note("the reserved bit of the stream identifier is ignored")
            .events([start(), asked(&request(1))]),
        at_client()
            .bytes(&[&open[..], &rest, &on(REQUESTS, 0, 0, &requests)].concat())
            .vector("requests-behind-a-header-block")
            .events([start(), asked(&request(1))]),
        at_client()
            .bytes(&[&open[..], &on(REQUESTS, 0, 0, &requests), &rest].concat())
            .vector("refused-requests-in-a-header-block")
            .events([start()])
            .refused("inside_header_block", wrong, "requests-behind-a-header-block"),
        at_client()
            .bytes(&on(REQUESTS, 0, 1, &requests))
            .vector("refused-requests-on-a-stream")
            .events([start()])
            .refused("wrong_stream", wrong, "requests-one"),
        offered.events([start()]).refused("wrong_stream", wrong, "offer-one"),
        early.vector("refused-requests-before-settings").refused(
            "not_negotiated",
            wrong,
            "requests-one",
        ),
        at_server(
            &[&get[..], &rest, &on(CERTIFICATE, 0, 0, &one)].concat(),
            "answer-behind-a-header-block",
        )
        .events([proven]),
        at_server(
            &[&get[..], &on(CERTIFICATE, 0, 0, &one), &rest].concat(),
            "refused-answer-in-a-header-block",
        )
        .refused("inside_header_block", wrong, "answer-behind-a-header-block"),
        at_server(&on(CERTIFICATE, 0, 1, &one), "refused-answer-on-a-stream").refused(
            "wrong_stream",
            wrong,
            "answer-one",
        ),
        at_server(&on(REQUESTS, 0, 1, &requests), "refused-requests-from-a-client-on-a-stream")
            .refused("requests_from_client|wrong_stream", wrong, "answer-one"),
    ])
}

/// Streams and integers of HTTP/3.
pub(super) fn only_h3() -> Vec<Vector> {
    let at = |receiver| settled(Version::Http3, receiver);
    let start = || negotiated(true, true);
    let requests = list(&[1]);
    let wrong = (0, UNEXPECTED.h3);
    let on = |receiver: Side, place: Place, bytes: Vec<u8>| {
        let mut arriving = at(receiver);
        arriving.more = vec![Input { place, bytes: bytes.into(), fin: false }];
        arriving
    };
    let encoded = frame(Version::Http3, REQUESTS, &requests);
    let wide = [
        wide_varint(REQUESTS, 8, 0xc0),
        wide_varint(requests.len() as u64, 8, 0xc0),
        requests.clone(),
    ]
    .concat();
    // A push stream of push 0.
    let push = [&[1, 0][..], &encoded].concat();
    // A stream of a type that nobody knows, in which nothing means anything.
    let unknown = [varint(GREASE), encoded.clone()].concat();
    let mut cut = at(Side::Client).bytes(encoded.get(..encoded.len() - 3).unwrap_or_default());
    cut.fin = true;
    let first = Arriving::new(Version::Http3, Side::Client).bytes(&encoded);
    let foreign = frame(Version::Http3, CERTIFICATE, b"anything");
    vec![
        at(Side::Client)
            .bytes(&wide)
            .vector("requests-wide-integers")
            .note("type and length are longer than they need be")
            .events([start(), asked(&request(1))]),
        on(Side::Client, Place::Unidirectional, unknown)
            .vector("requests-on-an-unknown-stream")
            .note("the stream is ignored")
            .events([start()]),
        on(Side::Client, Place::Unidirectional, push)
            .vector("refused-requests-on-a-push-stream")
            .events([start()])
            .refused("wrong_stream", wrong, "requests-one"),
        on(Side::Client, Place::Response, encoded)
            .vector("refused-requests-on-a-response")
            .events([start()])
            .refused("wrong_stream", wrong, "requests-one"),
        cut.vector("refused-requests-cut").events([start()]).refused(
            "truncated_frame",
            (0, 0x106),
            "requests-one",
        ),
        first.vector("refused-requests-before-settings").refused(
            "missing_settings",
            (0, 0x10a),
            "requests-one",
        ),
        on(Side::Server, Place::Request, foreign)
            .vector("refused-answer-on-a-request")
            .events([start()])
            .refused("wrong_stream", wrong, "answer-one"),
        on(Side::Server, Place::Request, frame(Version::Http3, REQUESTS, &requests))
            .vector("refused-requests-from-a-client-on-a-request")
            .events([start()])
            .refused("requests_from_client|wrong_stream", wrong, "answer-one"),
    ]
}
