//! Requests that a client must not take.

use exported_authenticator::{MessageType, RequestTemplate};
use rustls::SignatureScheme;

use super::super::fixtures::{payload, request};
use super::super::forge::with_byte_flipped;
use super::super::pair::MAX_PAYLOAD;
use super::{Provoked, at_client, requested};
use crate::ChallengeId;
use crate::frame::put_request;

pub(super) fn malformed_requests() -> Vec<Provoked> {
    let good = request(1).as_bytes().to_vec();
    // type 17, context of 32 bytes, then nothing, no extension, signature_algorithms twice.
    let body = |extensions: &[u8]| {
        let mut bytes = good[..4 + 33].to_vec();
        bytes.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
        bytes.extend_from_slice(extensions);
        let len = (bytes.len() - 4) as u8;
        bytes[3] = len;
        bytes
    };
    let algorithms = [0, 13, 0, 4, 0, 2, 4, 3];
    [
        ("an empty request", Vec::new()),
        ("cut", good[..good.len() - 1].to_vec()),
        ("one byte more", [&good[..], &[0]].concat()),
        ("another type", with_byte_flipped(&good, 0)),
        ("no extension", body(&[])),
        ("no signature_algorithms", body(&[0, 5, 0, 0])),
        ("signature_algorithms twice", body(&[algorithms, algorithms].concat())),
        ("no signature algorithm", body(&[0, 13, 0, 2, 0, 0])),
    ]
    .into_iter()
    .flat_map(|(how, bytes)| {
        let mut alone = Vec::new();
        put_request(&mut alone, &bytes);
        let second = [payload([&request(2)]).to_vec(), alone.clone()].concat();
        [requested(how, alone.into()), requested(how, second.into())]
    })
    .collect()
}

pub(super) fn repeated_contexts() -> Vec<Provoked> {
    let again = RequestTemplate::new(vec![SignatureScheme::ED25519])
        .build(MessageType::CertificateRequest, &[1; 32])
        .unwrap();
    vec![
        requested("in one frame", payload([&request(1), &again])),
        at_client("in the next frame", |client| {
            client.requests(&payload([&request(1)]))?;
            client.requests(&payload([&again]))
        }),
        at_client("after the answer", |client| {
            client.requests(&payload([&request(1)]))?;
            client.decline(ChallengeId(0)).unwrap();
            assert!(client.poll_transmit(MAX_PAYLOAD).is_some());
            client.requests(&payload([&request(1)]))
        }),
    ]
}
