//! Requests that a client has to answer, and how.

use std::collections::VecDeque;

use super::ClientCase;
use super::guest::{Guest, good_request, request_with};
use crate::authenticator::{Request, extension, message};
use crate::bytes::{vector, wide_varint};
use crate::case::{Done, Version, cases, failed, skipped};
use crate::code_points::GREASE;
use crate::identity::random_context;
use crate::raw::H2Frame;

pub(super) const CASES: &[ClientCase] = cases! {
    Must "client/3.1/c1" Both:
        "A client that supports the mechanism announces a positive number of credentials.",
        "SETTINGS that announce support",
        "SETTINGS_HTTP_CLIENT_CERT_AUTH above 0 in the first SETTINGS frame"
        => announces;
    Must "client/3/c1" Both:
        "A client sends no CERTIFICATE to a server that announced nothing.",
        "SETTINGS without the settings, and a response",
        "no CERTIFICATE"
        => |guest| quiet(guest, false);
    Must "client/4.2/c1" Both:
        "A client sends no CERTIFICATE that nobody asked for.",
        "SETTINGS that announce support, and a response",
        "no CERTIFICATE"
        => |guest| quiet(guest, true);
    Must "client/4.1.4/c1" Both:
        "A client answers a request with CERTIFICATE.",
        "a request of handshake type 17",
        "a valid authenticator, empty or not, on stream 0 or the control stream"
        => |guest| answers(guest, message::CLIENT_CERTIFICATE_REQUEST);
    Must "rfc9261/4/c1" Both:
        "A server's request is a CertificateRequest.",
        "a request of handshake type 13",
        "a valid answer as to any other request"
        => |guest| odd(guest, |typ| *typ = message::CERTIFICATE_REQUEST, Vec::new);
    Must "client/4.2/c2" Both:
        "A client sends exactly one CERTIFICATE for each request.",
        "a request, and a response once it is answered",
        "no second CERTIFICATE"
        => once;
    Must "client/4.1.4/c2" Both:
        "Requests of one frame are answered in their order.",
        "as many requests in one frame as the client allows, up to 4",
        "valid answers in this order"
        => |guest| in_order(guest, true);
    Must "client/4.2/c3" Both:
        "Requests of several frames are answered in their order.",
        "as many requests in as many frames as the client allows, up to 4",
        "valid answers in this order"
        => |guest| in_order(guest, false);
    Robustness "client/4.1/c1" Both:
        "A client can be asked again.",
        "eight requests, each when the one before is answered",
        "eight valid answers"
        => again_and_again;
    Robustness "client/4.1/c4" Both:
        "An answer makes room for another request.",
        "as many requests as the client allows, and then one for each answer, four in all",
        "valid answers in this order"
        => replenished;
    Must "rfc9261/5.2.1/c1" Both:
        "Extensions of a request that are not recognised are ignored.",
        "a request with an extension that nobody knows",
        "a valid answer as to any other request, without extensions that were not requested"
        => |guest| odd(guest, |_| {}, || vec![(0xfefe, vec![1, 2, 3])]);
    Robustness "client/4.1.3/c1" Both:
        "A request may be long.",
        "a request with certificate_authorities of more than 10,000 bytes",
        "a valid authenticator, empty or not"
        => |guest| long(guest);
    Must "rfc9261/4/c2" Both:
        "A context has 0 to 255 bytes.",
        "a request with a context of 255 bytes, and on another connection one with an empty context",
        "valid answers as to any other request"
        => contexts;
    Must "rfc9261/5.1/c1" Both:
        "The exported values are as long as the hash of the cipher suite.",
        "a request on a connection with TLS_AES_256_GCM_SHA384",
        "a valid authenticator, empty or not"
        => |guest| answers(guest, message::CLIENT_CERTIFICATE_REQUEST);
    Robustness "rfc9261/5.1/c2" Http2:
        "Authenticators work with TLS 1.2 and the extended master secret.",
        "a request on a connection of TLS 1.2",
        "a valid authenticator, empty or not"
        => |guest| answers(guest, message::CLIENT_CERTIFICATE_REQUEST);
    Robustness "rfc9261/5.1/c3" Http2:
        "The exported values of TLS 1.2 are as long as the hash of its PRF.",
        "a request on a connection of TLS 1.2 with SHA-384",
        "a valid authenticator, empty or not"
        => |guest| answers(guest, message::CLIENT_CERTIFICATE_REQUEST);
    Robustness "client/4.1.3/c2" Both:
        "A length may be longer than it need be.",
        "a request whose length has 8 bytes",
        "a valid answer as to any other request"
        => wide;
    Robustness "client/4.1/c2" Both:
        "AUTHENTICATOR_REQUESTS may arrive in pieces.",
        "a request, 3 bytes at a time",
        "a valid answer as to any other request"
        => in_pieces;
    Must "http2/4.1/c1" Http2:
        "Undefined flags and the reserved bit are ignored.",
        "a request in a frame with all flags and the reserved bit set",
        "a valid answer as to any other request"
        => flags;
    Robustness "client/3.1/c2" Both:
        "Settings, frames and streams that nobody knows change nothing.",
        "unknown settings, frames and (HTTP/3) streams around a request",
        "a valid answer as to any other request"
        => greased;
};

async fn announces(guest: &mut Guest<'_>) -> Done {
    guest.welcome().await?;
    match guest.peer.setting(guest.host.points.client_cert_auth) {
        Some(1..) => Ok(()),
        Some(0) => failed("the client announced 0"),
        None => failed("the client announced nothing"),
    }
}

async fn quiet(guest: &mut Guest<'_>, announced: bool) -> Done {
    let settings = if announced { guest.both() } else { Vec::new() };
    guest.welcome_with(&settings).await?;
    guest.content().await
}

async fn answers(guest: &mut Guest<'_>, typ: u8) -> Done {
    guest.welcome_to_be_asked().await?;
    guest.exchange(&request_with(typ, &random_context(), &[])).await.map(|_| ())
}

async fn once(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    guest.exchange(&good_request()).await?;
    guest.content().await
}

async fn in_order(guest: &mut Guest<'_>, at_once: bool) -> Done {
    let limit = guest.welcome_to_be_asked().await?;
    if limit < 2 {
        return skipped("the client takes one request at a time");
    }
    let requests: Vec<_> = (0..limit.min(4)).map(|_| good_request()).collect();
    if at_once {
        guest.ask(&requests).await;
    } else {
        for request in &requests {
            guest.ask(std::slice::from_ref(request)).await;
        }
    }
    for request in &requests {
        guest.answer(request).await?;
    }
    guest.content().await
}

async fn again_and_again(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    for _ in 0..8 {
        guest.exchange(&good_request()).await?;
    }
    guest.content().await
}

async fn replenished(guest: &mut Guest<'_>) -> Done {
    let limit = guest.welcome_to_be_asked().await?;
    if limit > 200 {
        return skipped(format!("the client takes {limit} requests"));
    }
    let mut outstanding: VecDeque<_> = (0..limit).map(|_| good_request()).collect();
    guest.ask(outstanding.make_contiguous()).await;
    let mut more = 4;
    while let Some(oldest) = outstanding.pop_front() {
        guest.answer(&oldest).await?;
        if more > 0 {
            more -= 1;
            let request = good_request();
            guest.ask(std::slice::from_ref(&request)).await;
            outstanding.push_back(request);
        }
    }
    guest.content().await
}

/// What makes this request unlike others is no reason to answer it in another way.
async fn odd(
    guest: &mut Guest<'_>,
    retype: fn(&mut u8),
    more: fn() -> Vec<(u16, Vec<u8>)>,
) -> Done {
    guest.welcome_to_be_asked().await?;
    let mut typ = message::CLIENT_CERTIFICATE_REQUEST;
    retype(&mut typ);
    let proof = guest.exchange(&request_with(typ, &random_context(), &more())).await?;
    guest.as_ever(&proof).await
}

async fn long(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    let more = [(extension::CERTIFICATE_AUTHORITIES, many_authorities())];
    let typ = message::CLIENT_CERTIFICATE_REQUEST;
    guest.exchange(&request_with(typ, &random_context(), &more)).await.map(|_| ())
}

/// A distinguished name with this common name.
pub(super) fn name(common: &str) -> Vec<u8> {
    let value = [&[0x0c], &vector(1, common.as_bytes())[..]].concat();
    let pair = [&[0x06, 3, 0x55, 4, 3], &value[..]].concat();
    let sequence = [&[0x30], &vector(1, &pair)[..]].concat();
    let set = [&[0x31], &vector(1, &sequence)[..]].concat();
    [&[0x30], &vector(1, &set)[..]].concat()
}

fn many_authorities() -> Vec<u8> {
    let names = (0..300).flat_map(|number| {
        vector(2, &name(&format!("An authority that nobody knows, number {number}")))
    });
    vector(2, &names.collect::<Vec<_>>())
}

/// The contexts of `rfc9261/4/c2`.
pub(super) const CONTEXTS: [&[u8]; 2] = [&[9; 255], &[]];

async fn contexts(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    let context = CONTEXTS.get(guest.round).copied().unwrap_or_default();
    let request = request_with(message::CLIENT_CERTIFICATE_REQUEST, context, &[]);
    let proof = guest.exchange(&request).await?;
    guest.as_ever(&proof).await
}

async fn wide(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    let request = good_request();
    let length = wide_varint(request.bytes.len() as u64, 8, 0xc0);
    let list = [&length[..], &request.bytes].concat();
    guest.peer.control(guest.host.points.requests, &list).await;
    let proof = guest.answer(&request).await?;
    guest.as_ever(&proof).await
}

async fn in_pieces(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    let request = good_request();
    let list = Request::encode_list(std::slice::from_ref(&request));
    let frame = guest.peer.encode(guest.host.points.requests, &list);
    for piece in frame.chunks(3) {
        guest.peer.bytes(piece).await;
    }
    let proof = guest.answer(&request).await?;
    guest.as_ever(&proof).await
}

async fn flags(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    let request = good_request();
    let list = Request::encode_list(std::slice::from_ref(&request));
    let frame = H2Frame::new(guest.host.points.requests.into(), 0xff, 0x8000_0000, &list);
    guest.peer.bytes(&frame.encode()).await;
    let proof = guest.answer(&request).await?;
    guest.as_ever(&proof).await
}

async fn greased(guest: &mut Guest<'_>) -> Done {
    // HTTP/2 has settings of 16 bits and frame types of 8.
    let settings = [vec![(GREASE, 7)], guest.both(), vec![(0xfafa, 1)]].concat();
    guest.welcome_with(&settings).await?;
    let unknown = match guest.version() {
        Version::Http2 => 0xfb,
        Version::Http3 => GREASE,
    };
    guest.peer.open_uni(&[crate::bytes::varint(GREASE), vec![0; 40]].concat()).await;
    guest.peer.control(unknown, b"nothing").await;
    let request = good_request();
    guest.ask(std::slice::from_ref(&request)).await;
    guest.peer.control(unknown, &[0; 99]).await;
    let proof = guest.answer(&request).await?;
    guest.as_ever(&proof).await
}
