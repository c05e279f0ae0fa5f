//! Frames of the extension that arrive, over both versions, at a client and at a server.

use super::kit::{ALL_SCHEMES, Connection, Kit, Recipe, context, hash_name, plain_request};
use super::settings::{Arriving, context_of, frame, negotiated};
use super::{Event, Input, Place, Vector};
use crate::authenticator::{Hash, Request, Side, extension};
use crate::bytes::{varint, wide_varint};
use crate::case::Version;
use crate::code_points::{Code, CodePoints, GREASE, MALFORMED, TOO_LONG, UNEXPECTED};
use crate::raw::{FLAG_END_HEADERS, H2Frame, kind};

const VERSIONS: [Version; 2] = [Version::Http2, Version::Http3];
const REQUESTS: u64 = 0xf5;
const CERTIFICATE: u64 = 0xf6;
const SERVER_CERTIFICATE: u64 = CERTIFICATE;
/// A bit that receivers ignore.
const RESERVED: u8 = 0x80;

fn pair(code: Code) -> (u64, u64) {
    (code.h2.into(), code.h3)
}

fn invalid() -> (u64, u64) {
    let code = CodePoints::default().server_certificate_invalid.into();
    (code, code)
}

/// A receiver that has got SETTINGS with both settings.
fn settled(version: Version, receiver: Side) -> Arriving {
    let points = CodePoints::default();
    let limit = if receiver == Side::Server { 3 } else { 1 };
    Arriving::new(version, receiver)
        .settings(&[(points.client_cert_auth.into(), limit), (points.server_cert_auth.into(), 1)])
}

fn request(number: u8) -> Request {
    plain_request(17, &context(&format!("request {number}")), &ALL_SCHEMES)
}

fn list(numbers: &[u8]) -> Vec<u8> {
    Request::encode_list(&numbers.iter().map(|number| request(*number)).collect::<Vec<_>>())
}

pub(super) fn vectors(kit: &Kit) -> Result<Vec<Vector>, String> {
    let mut vectors = Vec::new();
    for version in VERSIONS {
        vectors.extend(requests_accepted(version));
        vectors.extend(requests_refused(version));
        vectors.extend(server_certificates(version, kit)?);
        vectors.extend(certificates(version, kit)?);
        vectors.extend(directions(version, kit)?);
    }
    vectors.extend(only_h2(kit)?);
    vectors.extend(only_h3());
    Ok(vectors)
}

fn asked(request: &Request) -> Event {
    Event::Request { context: context_of(&request.context), message_type: request.typ }
}

fn requests_accepted(version: Version) -> Vec<Vector> {
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

fn requests_refused(version: Version) -> Vec<Vector> {
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

/// The header of a frame.
fn header(version: Version, kind: u64, length: usize) -> Vec<u8> {
    match version {
        Version::Http2 => H2Frame::header(kind, length),
        Version::Http3 => [varint(kind), varint(length as u64)].concat(),
    }
}

/// A vector with the values of the peer that authenticates.
fn bound(mut vector: Vector, connection: &Connection, peer: Side) -> Vector {
    let (handshake_context, finished_key) = connection.secrets.values(peer);
    vector.connection.clone_from(&connection.tag);
    hash_name(connection.secrets.hash()).clone_into(&mut vector.hash);
    vector.handshake_context = handshake_context.into();
    vector.finished_key = finished_key.into();
    vector
}

/// SERVER_CERTIFICATE at a client.
fn server_certificates(version: Version, kit: &Kit) -> Result<Vec<Vector>, String> {
    let base = Recipe::spontaneous("offer", Hash::Sha256, &kit.ed25519);
    let other = Recipe::spontaneous("another offer", Hash::Sha256, &kit.p256);
    let shown = |recipe: &Recipe<'_>| Event::ServerCertificate {
        context: context_of(&recipe.context),
        certificates: recipe.chain.len(),
    };
    let right = base.right()?;
    let mut vectors = Vec::new();
    let push = |arriving: Arriving, name: &str| {
        let mut vector = bound(arriving.vector(name), &base.connection, Side::Server);
        vector.client_hello = Some(super::kit::client_hello());
        vector
    };
    let at_client = || settled(version, Side::Client);
    let start = || negotiated(true, true);
    let one = at_client().frame(SERVER_CERTIFICATE, &right);
    vectors.push(push(one, "offer-one").events([start(), shown(&base)]));
    let two =
        at_client().frame(SERVER_CERTIFICATE, &right).frame(SERVER_CERTIFICATE, &other.right()?);
    vectors.push(push(two, "offer-two").events([start(), shown(&base), shown(&other)]));
    let mixed = at_client().frame(REQUESTS, &list(&[1])).frame(SERVER_CERTIFICATE, &right);
    vectors.push(push(mixed, "offer-behind-requests").events([
        start(),
        asked(&request(1)),
        shown(&base),
    ]));
    let mut stranger = base.clone();
    stranger.made = &kit.stranger;
    stranger.chain =
        kit.stranger.identity.chain.iter().map(|der| (der.clone(), Vec::new())).collect();
    let unknown = at_client().frame(SERVER_CERTIFICATE, &stranger.right()?);
    vectors.push(
        push(unknown, "offer-untrusted")
            .note("whether the chain is trusted is no matter of the connection")
            .events([start(), shown(&stranger)]),
    );
    let reason = "server_certificate_invalid";
    let bad = |draft: fn(&mut crate::authenticator::Draft<'_>)| {
        base.changed("", "", "", draft).map(|vector| vector.authenticator.0)
    };
    for (name, payload) in [
        ("empty-frame", Vec::new()),
        ("garbage", b"no authenticator".to_vec()),
        ("empty", base.declined()),
        ("cut", right.get(..right.len() - 1).unwrap_or_default().to_vec()),
        ("trailing", [&right[..], &[0]].concat()),
        ("signature", bad(|draft| draft.break_signature = true)?),
        (
            "of-a-client",
            bad(|draft| (draft.signer, draft.finisher) = (Side::Client, Side::Client))?,
        ),
        ("mac", bad(|draft| draft.finisher = Side::Client)?),
        ("scheme", bad(|draft| draft.scheme = 0x0401)?),
        (
            "extension",
            bad(|draft| {
                if let Some((_, extensions)) = draft.chain.first_mut() {
                    extensions.push((extension::SIGNED_CERTIFICATE_TIMESTAMP, vec![0, 0]));
                }
            })?,
        ),
    ] {
        let vector =
            push(at_client().frame(SERVER_CERTIFICATE, &payload), &format!("refused-offer-{name}"));
        vectors.push(vector.events([start()]).refused(reason, invalid(), "offer-one"));
    }
    let twice = at_client().frame(SERVER_CERTIFICATE, &right).frame(SERVER_CERTIFICATE, &right);
    vectors.push(
        push(twice, "refused-offer-repeated")
            .note("the context of the first")
            .events([start(), shown(&base)])
            .refused(reason, invalid(), "offer-one"),
    );
    let asked_before = at_client()
        .frame(REQUESTS, &Request::encode_list(&[plain_request(17, &base.context, &ALL_SCHEMES)]))
        .frame(SERVER_CERTIFICATE, &right);
    vectors.push(
        push(asked_before, "refused-offer-context-of-a-request")
            .events([start(), asked(&plain_request(17, &base.context, &ALL_SCHEMES))])
            .refused(reason, invalid(), "offer-one"),
    );
    let points = CodePoints::default();
    let plain = Arriving::new(version, Side::Client)
        .settings(&[(points.client_cert_auth.into(), 1)])
        .frame(SERVER_CERTIFICATE, &right);
    vectors.push(
        push(plain, "refused-offer-not-announced").events([negotiated(true, false)]).refused(
            "server_certificate_not_negotiated",
            pair(UNEXPECTED),
            "offer-one",
        ),
    );
    let mut unwilling = settled(version, Side::Client).frame(SERVER_CERTIFICATE, &right);
    unwilling.announced.server_cert_auth = 0;
    vectors.push(
        push(unwilling, "refused-offer-not-wanted")
            .note("the client has not announced it")
            .events([negotiated(true, false)])
            .refused("server_certificate_not_negotiated", pair(UNEXPECTED), "offer-one"),
    );
    let long = at_client().bytes(&header(version, SERVER_CERTIFICATE, 16_385));
    vectors.push(push(long, "refused-offer-too-long").events([start()]).refused(
        "frame_too_long",
        pair(TOO_LONG),
        "offer-one",
    ));
    Ok(vectors)
}

/// CERTIFICATE at a server.
fn certificates(version: Version, kit: &Kit) -> Result<Vec<Vector>, String> {
    let recipe = |number: u8| {
        Recipe::new("answer", Side::Client, Hash::Sha256, &kit.ed25519)
            .with_request(request(number))
    };
    let (first, second) = (recipe(1), recipe(2));
    let proven = |recipe: &Recipe<'_>| Event::Proven {
        context: context_of(&recipe.context),
        certificates: recipe.chain.len(),
    };
    let declined = |recipe: &Recipe<'_>| Event::Declined { context: context_of(&recipe.context) };
    let push = |frames: &[&[u8]], outstanding: &[u8], name: &str| {
        let arriving = frames.iter().fold(settled(version, Side::Server), |arriving, payload| {
            arriving.frame(CERTIFICATE, payload)
        });
        let mut vector = bound(arriving.vector(name), &first.connection, Side::Client);
        vector.outstanding = outstanding.iter().map(|one| request(*one).bytes.into()).collect();
        vector.events([negotiated(true, true)])
    };
    let (one, two) = (first.right()?, second.right()?);
    let (no_one, no_two) = (first.declined(), second.declined());
    let mut stranger = first.clone();
    stranger.made = &kit.stranger;
    stranger.chain =
        kit.stranger.identity.chain.iter().map(|der| (der.clone(), Vec::new())).collect();
    let unknown = stranger.right()?;
    let mut vectors = vec![
        push(&[&one], &[1], "answer-one").events([proven(&first)]),
        push(&[&no_one], &[1], "answer-declined").events([declined(&first)]),
        push(&[&one, &two], &[1, 2], "answer-two").events([proven(&first), proven(&second)]),
        push(&[&no_one, &two], &[1, 2], "answer-the-second")
            .events([declined(&first), proven(&second)]),
        push(&[&one], &[1, 2], "answer-the-first").events([proven(&first)]),
        push(&[&unknown], &[1], "answer-untrusted")
            .note("whether the chain is trusted is no matter of the connection")
            .events([proven(&stranger)]),
        push(&[], &[1], "answer-none").note("a client may take its time"),
    ];
    let malformed = pair(MALFORMED);
    vectors.extend([
        push(&[&two], &[1, 2], "refused-answer-out-of-order").refused(
            "out_of_order",
            malformed,
            "answer-two",
        ),
        push(&[&no_two], &[1, 2], "refused-answer-declined-out-of-order").refused(
            "bad_finished|out_of_order",
            malformed,
            "answer-the-second",
        ),
        push(&[&two], &[1], "refused-answer-unknown-context").refused(
            "wrong_context",
            malformed,
            "answer-one",
        ),
        push(&[&one], &[], "refused-answer-unasked").refused(
            "unsolicited",
            pair(UNEXPECTED),
            "answer-one",
        ),
        push(&[&one, &one], &[1], "refused-answer-twice").events([proven(&first)]).refused(
            "unsolicited",
            pair(UNEXPECTED),
            "answer-one",
        ),
        push(&[&one, &one], &[1, 2], "refused-answer-replayed").events([proven(&first)]).refused(
            "replayed",
            malformed,
            "answer-two",
        ),
    ]);
    let bad = |draft: fn(&mut crate::authenticator::Draft<'_>)| {
        first.changed("", "", "", draft).map(|vector| vector.authenticator.0)
    };
    for (name, reason, payload) in [
        ("empty-frame", "malformed_authenticator", Vec::new()),
        ("garbage", "malformed_authenticator", b"no authenticator".to_vec()),
        ("cut", "malformed_authenticator", one.get(..one.len() - 1).unwrap_or_default().to_vec()),
        ("trailing", "malformed_authenticator", [&one[..], &[0]].concat()),
        ("two-in-a-frame", "malformed_authenticator", [&one[..], &one].concat()),
        ("signature", "bad_signature", bad(|draft| draft.break_signature = true)?),
        (
            "of-a-server",
            "bad_signature|bad_finished",
            bad(|draft| (draft.signer, draft.finisher) = (Side::Server, Side::Server))?,
        ),
        ("mac", "bad_finished", bad(|draft| draft.finisher = Side::Server)?),
        ("scheme", "signature_scheme", bad(|draft| draft.scheme = 0x0401)?),
        (
            "extension",
            "authenticator_extension",
            bad(|draft| {
                if let Some((_, extensions)) = draft.chain.first_mut() {
                    extensions.push((extension::STATUS_REQUEST, vec![1, 0, 0, 1, 0]));
                }
            })?,
        ),
        (
            "extension-twice",
            "authenticator_extension",
            bad(|draft| {
                if let Some((_, extensions)) = draft.chain.first_mut() {
                    extensions.extend([(0xfafa, vec![]), (0xfafa, vec![])]);
                }
            })?,
        ),
        ("declined-mac", "bad_finished", {
            let mut wrong = no_one.clone();
            wrong.last_mut().into_iter().for_each(|last| *last ^= 1);
            wrong
        }),
    ] {
        vectors.push(push(&[&payload], &[1], &format!("refused-answer-{name}")).refused(
            reason,
            malformed,
            "answer-one",
        ));
    }
    let points = CodePoints::default();
    let plain = |name: &str, settings: &[(u64, u64)], event: Event| {
        let arriving =
            Arriving::new(version, Side::Server).settings(settings).frame(CERTIFICATE, &one);
        let mut vector = bound(arriving.vector(name), &first.connection, Side::Client);
        vector.outstanding = vec![request(1).bytes.into()];
        vector.events([event]).refused("not_negotiated", pair(UNEXPECTED), "answer-one")
    };
    vectors.push(plain("refused-answer-not-announced", &[], negotiated(false, false)));
    vectors.push(plain(
        "refused-answer-announced-0",
        &[(points.client_cert_auth.into(), 0)],
        negotiated(false, false),
    ));
    let arriving = settled(version, Side::Server).bytes(&header(version, CERTIFICATE, 16_385));
    let mut long =
        bound(arriving.vector("refused-answer-too-long"), &first.connection, Side::Client);
    long.outstanding = vec![request(1).bytes.into()];
    vectors.push(long.events([negotiated(true, true)]).refused(
        "frame_too_long",
        pair(TOO_LONG),
        "answer-one",
    ));
    Ok(vectors)
}

/// What the other side alone may send.
fn directions(version: Version, kit: &Kit) -> Result<Vec<Vector>, String> {
    let answer =
        Recipe::new("answer", Side::Client, Hash::Sha256, &kit.ed25519).with_request(request(1));
    let at_server = settled(version, Side::Server).frame(REQUESTS, &list(&[1]));
    let mut requests =
        bound(at_server.vector("refused-requests-from-a-client"), &answer.connection, Side::Client);
    requests.outstanding = vec![request(1).bytes.into()];
    Ok(vec![requests.events([negotiated(true, true)]).refused(
        "requests_from_client",
        pair(UNEXPECTED),
        "answer-one",
    )])
}

/// Streams, flags and header blocks of HTTP/2.
fn only_h2(kit: &Kit) -> Result<Vec<Vector>, String> {
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
    offered.client_hello = Some(super::kit::client_hello());
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
fn only_h3() -> Vec<Vector> {
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
