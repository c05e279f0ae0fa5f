//! SERVER_CERTIFICATE at a client, CERTIFICATE at a server.

use super::{
    CERTIFICATE, REQUESTS, SERVER_CERTIFICATE, asked, bound, header, invalid, list, pair, request,
    settled,
};
use crate::authenticator::{Draft, Hash, Request, Side, extension};
use crate::case::Version;
use crate::code_points::{CodePoints, MALFORMED, TOO_LONG, UNEXPECTED};
use crate::vectors::kit::{ALL_SCHEMES, Kit, Recipe, client_hello, plain_request};
use crate::vectors::settings::{Arriving, context_of, negotiated};
use crate::vectors::{Event, Vector};

/// SERVER_CERTIFICATE at a client.
pub(super) fn server_certificates(version: Version, kit: &Kit) -> Result<Vec<Vector>, String> {
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
        vector.client_hello = Some(client_hello());
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
    let bad = |draft: fn(&mut Draft<'_>)| {
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
pub(super) fn certificates(version: Version, kit: &Kit) -> Result<Vec<Vector>, String> {
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
    let bad = |draft: fn(&mut Draft<'_>)| {
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
pub(super) fn directions(version: Version, kit: &Kit) -> Result<Vec<Vector>, String> {
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
