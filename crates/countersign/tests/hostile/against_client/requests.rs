//! AUTHENTICATOR_REQUESTS whose contents are wrong, and some that only look so.

use countersign::client::AuthConfigBuilder;
use countersign::{AuthenticatorRequest, Violation};
use countersign_proto::Role;
use countersign_testkit::{Frame, Version};
use exported_authenticator::{Authenticator, Validated, stateless};

use crate::client::{Impostor, alices_rules, silent_rules};
use crate::forge::{any_ecdsa, filler, good_request, request, vector};
use crate::people::{people, provider};
use crate::wire::*;

countersign_testkit::over_both_versions! {
    a_good_one_is_answered,
    the_answer_goes_where_it_belongs,
    a_length_that_is_longer_than_it_need_be,
    an_unknown_extension,
    the_name_of_a_server,
    an_empty_list,
    a_length_that_is_cut,
    a_length_beyond_the_frame,
    without_signature_algorithms,
    bytes_behind_the_request,
    an_extension_twice,
    what_is_no_request,
    a_flipped_bit_anywhere,
    a_context_twice_in_a_frame,
    a_context_that_was_answered,
    more_than_the_client_allows,
    thousands_of_tiny_ones_at_once,
}

/// The client refuses each of these payloads, on a connection of its own.
async fn refused(version: Version, payloads: Vec<Vec<u8>>, violation: Violation) {
    for payload in payloads {
        let mut server = Impostor::opened(version, alices_rules(), 1).await;
        server.wire.send(&Extension::new(REQUESTS, payload)).await;
        server.refused(MALFORMED, violation).await;
    }
}

/// The same for payloads of one request.
async fn request_refused(version: Version, wrong: Vec<Vec<u8>>, violation: Violation) {
    let payloads = wrong.iter().map(|one| requests([&one[..]]).payload.to_vec()).collect();
    refused(version, payloads, violation).await;
}

/// What the client answers to the request in `server`'s next frame is alice's proof.
async fn answered_by_alice(server: &mut Impostor, bytes: &[u8]) {
    let payload = server.wire.expect_kind(CERTIFICATE).await;
    let request = AuthenticatorRequest::parse(bytes).unwrap();
    let values = server.wire.exporter_values();
    let validated = stateless::validate(
        &values,
        Role::Client,
        &request,
        &Authenticator::parse(&payload).unwrap(),
        &provider().signature_verification_algorithms,
    )
    .unwrap();
    let Validated::Proven(proven) = validated else {
        panic!("the client declined");
    };
    assert_eq!(proven.chain(), people().alice.chain);
}

async fn a_good_one_is_answered(version: Version) {
    //= specs/client-certs.md#section-6.1
    //= type=test
    //# AUTHENTICATOR_REQUESTS MUST have a frame type in HTTP/2 and one in HTTP/3.
    let mut server = Impostor::opened(version, alices_rules(), 1).await;
    let good = good_request(1);
    server.wire.send(&requests([&good[..]])).await;
    answered_by_alice(&mut server, &good).await;
}

async fn the_answer_goes_where_it_belongs(version: Version) {
    //= specs/client-certs.md#section-4.2
    //= type=test
    //# A client MUST send CERTIFICATE on stream 0 in HTTP/2 and on the control stream in HTTP/3.
    let mut server = Impostor::opened(version, alices_rules(), 1).await;
    server.wire.send(&requests([&good_request(1)[..]])).await;
    match version {
        Version::H2 => {
            let frame = server.wire.h2().expect_kind(CERTIFICATE).await;
            assert_eq!((frame.stream, frame.flags), (0, 0));
        }
        // What the peer calls expected is on the control stream.
        Version::H3 => {
            server.wire.h3().expect_kind(CERTIFICATE.into()).await;
        }
    }
}

async fn a_length_that_is_longer_than_it_need_be(version: Version) {
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) A variable-length integer that is longer than it need be MUST be accepted.
    let mut server = Impostor::opened(version, alices_rules(), 1).await;
    for (number, width, mark) in [(1, 4, 0x80), (2, 8, 0xc0)] {
        let good = good_request(number);
        let mut payload = vector(width, &good);
        payload[0] |= mark;
        server.wire.send(&Extension::new(REQUESTS, payload)).await;
        answered_by_alice(&mut server, &good).await;
    }
}

#[tokio::test]
async fn flags_that_have_no_meaning() {
    //= specs/client-certs.md#section-4.1.1
    //= type=test
    //# A receiver MUST NOT give a meaning to a flag of AUTHENTICATOR_REQUESTS.
    let mut server = Impostor::opened(Version::H2, alices_rules(), 1).await;
    let good = good_request(1);
    server.wire.h2().send(&Frame { flags: 0xff, ..requests([&good[..]]).h2() }).await;
    answered_by_alice(&mut server, &good).await;
}

async fn an_unknown_extension(version: Version) {
    let mut server = Impostor::opened(version, alices_rules(), 1).await;
    let odd = request(&[1; 32], &[any_ecdsa(), filler(), (0x1234, vec![7; 40])]);
    server.wire.send(&requests([&odd[..]])).await;
    answered_by_alice(&mut server, &odd).await;
}

async fn the_name_of_a_server(version: Version) {
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) A client MUST ignore server_name in a server's request, as it ignores an extension
    //# that it does not recognise.
    let mut server = Impostor::opened(version, alices_rules(), 1).await;
    for (number, name) in [(1, &b"\x00\x00\x09elsewhere"[..]), (2, b"no name")] {
        let named = request(&[number; 32], &[any_ecdsa(), filler(), (0, vector(2, name))]);
        server.wire.send(&requests([&named[..]])).await;
        answered_by_alice(&mut server, &named).await;
    }
}

async fn an_empty_list(version: Version) {
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) An empty list in AUTHENTICATOR_REQUESTS MUST count as malformed.
    refused(version, vec![Vec::new()], Violation::EmptyRequests).await;
}

async fn a_length_that_is_cut(version: Version) {
    //= specs/client-certs.md#section-4.1.1
    //= type=test
    //# In HTTP/2 a payload that does not decode, such as one with a cut length, MUST be treated as a connection error PROTOCOL_ERROR.

    //= specs/client-certs.md#section-4.1.2
    //= type=test
    //# In HTTP/3 a payload that does not decode MUST be treated as a connection error H3_MESSAGE_ERROR.
    let good = requests([&good_request(1)[..]]).payload;
    let behind_a_good_one = [&good[..], &[0x80, 0, 0]].concat();
    refused(
        version,
        vec![vec![0x40], vec![0x80, 0, 0], vec![0xc0; 7], behind_a_good_one],
        Violation::RequestLength,
    )
    .await;
}

async fn a_length_beyond_the_frame(version: Version) {
    let good = requests([&good_request(1)[..]]).payload;
    refused(
        version,
        vec![
            good[..good.len() - 1].to_vec(),
            vec![0x01],
            vec![0xff; 8],
            [&[0xff; 8][..], &good].concat(),
            [&good[..], &[0x3f, 0, 0]].concat(),
        ],
        Violation::RequestLength,
    )
    .await;
}

async fn without_signature_algorithms(version: Version) {
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) A request without signature_algorithms MUST be treated as malformed.
    let list_is_empty = (any_ecdsa().0, vector(2, &[]));
    request_refused(
        version,
        vec![request(&[1; 32], &[filler()]), request(&[1; 32], &[filler(), list_is_empty])],
        Violation::MalformedRequest,
    )
    .await;
    // Without any extension at all, and without anything.
    let bare = request(&[1; 32], &[]);
    refused(
        version,
        vec![[&[bare.len() as u8][..], &bare].concat(), vec![0]],
        Violation::MalformedRequest,
    )
    .await;
}

async fn bytes_behind_the_request(version: Version) {
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) A request with bytes after its end MUST be treated as malformed.
    let good = good_request(1);
    request_refused(
        version,
        vec![[&good[..], &[0]].concat(), good.repeat(2)],
        Violation::MalformedRequest,
    )
    .await;
}

async fn an_extension_twice(version: Version) {
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) A request that has an extension twice MUST be treated as malformed.
    request_refused(
        version,
        vec![
            request(&[1; 32], &[any_ecdsa(), filler(), any_ecdsa()]),
            request(&[1; 32], &[filler(), any_ecdsa(), filler()]),
        ],
        Violation::MalformedRequest,
    )
    .await;
}

async fn what_is_no_request(version: Version) {
    //= specs/client-certs.md#section-4.1.1
    //= type=test
    //# In HTTP/2 an authenticator request that does not decode MUST be treated as a connection error PROTOCOL_ERROR.

    //= specs/client-certs.md#section-4.1.2
    //= type=test
    //# In HTTP/3 an authenticator request that does not decode MUST be treated as a connection error H3_MESSAGE_ERROR.
    let mut another_message = good_request(1);
    another_message[0] = 11;
    let mut too_long_inside = good_request(1);
    too_long_inside[3] += 1;
    let mut context_beyond_the_end = good_request(1);
    context_beyond_the_end[4] = 0xff;
    request_refused(
        version,
        vec![another_message, too_long_inside, context_beyond_the_end, vec![0; 64]],
        Violation::MalformedRequest,
    )
    .await;
}

async fn a_flipped_bit_anywhere(version: Version) {
    // Some flips make another good request. None makes the client hang, or say anything else.
    let good = requests([&good_request(1)[..]]).payload;
    let (mut answered, mut refused) = (0, 0);
    for at in 0..good.len() {
        let mut payload = good.to_vec();
        payload[at] ^= 1 << (at % 8);
        let mut server = Impostor::opened(version, alices_rules(), 1).await;
        server.wire.send(&Extension::new(REQUESTS, payload)).await;
        if server.wire.expect_kind_or_closed(CERTIFICATE, MALFORMED).await.is_some() {
            answered += 1;
        } else {
            refused += 1;
        }
    }
    assert!(answered > 32 && refused > 8, "{answered} answered, {refused} refused");
}

async fn a_context_twice_in_a_frame(version: Version) {
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) A request that repeats a context of its connection MUST be treated as malformed.
    let good = good_request(1);
    let payload = requests([&good[..], &good]).payload.to_vec();
    refused(version, vec![payload], Violation::RepeatedContext).await;
}

async fn a_context_that_was_answered(version: Version) {
    let mut server = Impostor::opened(version, alices_rules(), 1).await;
    let good = good_request(1);
    server.wire.send(&requests([&good[..]])).await;
    answered_by_alice(&mut server, &good).await;
    // In another request, too: the context is what counts.
    let mut context = [0xc0; 32];
    context[..2].copy_from_slice(&1_u16.to_be_bytes());
    let again = request(&context, &[any_ecdsa(), (0x1234, vec![0; 40])]);
    server.wire.send(&requests([&again[..]])).await;
    server.refused(MALFORMED, Violation::RepeatedContext).await;
}

async fn over_the_limit(version: Version, rules: AuthConfigBuilder, frames: &[&[u16]]) {
    let mut server = Impostor::opened(version, rules, 1).await;
    for numbers in frames {
        let list: Vec<_> = numbers.iter().map(|number| good_request(*number)).collect();
        server.wire.send(&requests(list.iter().map(|one| &one[..]))).await;
    }
    server.refused(UNEXPECTED, Violation::TooManyRequests).await;
}

async fn more_than_the_client_allows(version: Version) {
    //= specs/client-certs.md#section-4.1
    //= type=test
    //# A client MUST end the connection with an error when the server goes over that limit.

    //= specs/client-certs.md#section-4.1.4
    //= type=test
    //# In HTTP/2 this error MUST be PROTOCOL_ERROR.

    //= specs/client-certs.md#section-4.1.4
    //= type=test
    //# In HTTP/3 this error MUST be H3_FRAME_UNEXPECTED.
    over_the_limit(version, alices_rules().limit(2), &[&[1, 2, 3]]).await;
    over_the_limit(version, silent_rules().limit(2), &[&[1, 2], &[3]]).await;
    over_the_limit(version, silent_rules().limit(1), &[&[1], &[2]]).await;
}

async fn thousands_of_tiny_ones_at_once(version: Version) {
    // Each an empty request, which costs its sender one byte. They are counted before they are read.
    let mut server = Impostor::opened(version, alices_rules(), 1).await;
    server.wire.send(&Extension::new(REQUESTS, vec![0; MAX_FRAME_SIZE])).await;
    server.refused(UNEXPECTED, Violation::TooManyRequests).await;
}
