//! Payloads of AUTHENTICATOR_REQUESTS that do not parse.

use super::ClientCase;
use super::forged::told;
use super::guest::{Guest, good_request};
use crate::authenticator::{Request, extension, message};
use crate::bytes::{vector, wide_varint};
use crate::case::{Done, cases};
use crate::code_points::MALFORMED;
use crate::identity::random_context;

pub(super) const CASES: &[ClientCase] = cases! {
    Must "client/4.1.1/c1" Http2:
        "A payload with a cut length is PROTOCOL_ERROR.",
        "a request, and half a length behind it",
        "PROTOCOL_ERROR"
        => |guest| malformed(guest, |list| [&list[..], &[0x40]].concat());
    Must "client/4.1.2/c1" Http3:
        "A payload with a cut length is H3_MESSAGE_ERROR.",
        "a request, and half a length behind it",
        "H3_MESSAGE_ERROR"
        => |guest| malformed(guest, |list| [&list[..], &[0x40]].concat());
    Must "client/4.1.1/c2" Http2:
        "A length beyond the frame is PROTOCOL_ERROR.",
        "a request without its last byte",
        "PROTOCOL_ERROR"
        => |guest| malformed(guest, without_the_last);
    Must "client/4.1.2/c2" Http3:
        "A length beyond the frame is H3_MESSAGE_ERROR.",
        "a request without its last byte",
        "H3_MESSAGE_ERROR"
        => |guest| malformed(guest, without_the_last);
    Must "client/4.1.1/c3" Http2:
        "A malformed request is PROTOCOL_ERROR.",
        "a request whose message is shorter than it says",
        "PROTOCOL_ERROR"
        => |guest| bad_request(guest, shorter_than_it_says);
    Must "client/4.1.2/c3" Http3:
        "A malformed request is H3_MESSAGE_ERROR.",
        "a request whose message is shorter than it says",
        "H3_MESSAGE_ERROR"
        => |guest| bad_request(guest, shorter_than_it_says);
    Must "client/4.1.3/c3" Both:
        "What the list holds are requests.",
        "a message of another handshake type",
        "PROTOCOL_ERROR in HTTP/2, H3_MESSAGE_ERROR in HTTP/3"
        => |guest| bad_request(guest, |mut bytes| {
            if let Some(typ) = bytes.first_mut() {
                *typ = message::CERTIFICATE;
            }
            bytes
        });
    Must "client/4.1.3/c4" Both:
        "The length is the one of the request.",
        "a request with a byte behind its end",
        "PROTOCOL_ERROR in HTTP/2, H3_MESSAGE_ERROR in HTTP/3"
        => |guest| bad_request(guest, |bytes| [&bytes[..], &[0]].concat());
    Must "client/4.1.1/c5" Http2:
        "A request that is malformed inside is PROTOCOL_ERROR.",
        "requests with a wrong length or odd contents, one on each connection",
        "PROTOCOL_ERROR, each time"
        => inside;
    Must "client/4.1.2/c5" Http3:
        "A request that is malformed inside is H3_MESSAGE_ERROR.",
        "requests with a wrong length or odd contents, one on each connection",
        "H3_MESSAGE_ERROR, each time"
        => inside;
};

async fn malformed(guest: &mut Guest<'_>, change: fn(Vec<u8>) -> Vec<u8>) -> Done {
    guest.welcome_to_be_asked().await?;
    let list = change(Request::encode_list(&[good_request()]));
    guest.peer.control(guest.host.points.requests, &list).await;
    guest.peer.expect_error(MALFORMED).await
}

async fn bad_request(guest: &mut Guest<'_>, change: fn(Vec<u8>) -> Vec<u8>) -> Done {
    guest.welcome_to_be_asked().await?;
    let mut request = good_request();
    request.bytes = change(request.bytes);
    guest.ask(&[request]).await;
    guest.peer.expect_error(MALFORMED).await
}

fn without_the_last(mut list: Vec<u8>) -> Vec<u8> {
    list.pop();
    list
}

/// The message's own length is off by one, the length in the list is right.
fn shorter_than_it_says(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(length) = bytes.get_mut(3) {
        *length = length.wrapping_add(1);
    }
    bytes
}

/// A list in which something is wrong, made around a request's context and extensions.
type Wrong = (&'static str, fn(&[u8], &[u8]) -> Vec<u8>);

/// What is tried in `client/4.1.1/c5` and `client/4.1.2/c5`.
pub(super) const INSIDE: [Wrong; 7] = [
    ("a context beyond the end of the request", |context, extensions| {
        one(&[&[0xff], context, &vector(2, extensions)].concat())
    }),
    ("extensions beyond the end of the request", |context, extensions| {
        let mut list = vector(2, extensions);
        list.pop();
        one(&[vector(1, context), list].concat())
    }),
    ("an extension beyond the end of the list", |context, extensions| {
        let cut = extensions.split_last().map(|(_, rest)| rest).unwrap_or_default();
        one(&[vector(1, context), vector(2, cut)].concat())
    }),
    ("bytes behind the extensions", |context, extensions| {
        one(&[&vector(1, context)[..], &vector(2, extensions), &[0, 0]].concat())
    }),
    ("signature_algorithms of an odd length", |context, _| {
        let odd = (extension::SIGNATURE_ALGORITHMS, vector(2, &[0x04, 0x03, 0x08]));
        listed(&Request::new(message::CLIENT_CERTIFICATE_REQUEST, context, &[odd]).bytes)
    }),
    ("an element of length 0", |_, _| {
        [listed(&[]), Request::encode_list(&[good_request()])].concat()
    }),
    ("an element of length 2^62-1", |context, extensions| {
        let body = [vector(1, context), vector(2, extensions)].concat();
        let request = message::encode(message::CLIENT_CERTIFICATE_REQUEST, &body);
        [wide_varint((1 << 62) - 1, 8, 0xc0), request].concat()
    }),
];

/// The list of one request with this body.
fn one(body: &[u8]) -> Vec<u8> {
    listed(&message::encode(message::CLIENT_CERTIFICATE_REQUEST, body))
}

/// An element of the list.
fn listed(request: &[u8]) -> Vec<u8> {
    [crate::bytes::varint(request.len() as u64), request.to_vec()].concat()
}

async fn inside(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    let mut extensions = Vec::new();
    for (typ, contents) in good_request().extensions {
        extensions.extend(typ.to_be_bytes());
        extensions.extend(vector(2, &contents));
    }
    let Some((what, wrong)) = INSIDE.get(guest.round) else { return Ok(()) };
    let list = wrong(&random_context(), &extensions);
    guest.peer.control(guest.host.points.requests, &list).await;
    told(what, guest.peer.expect_error(MALFORMED).await)
}
