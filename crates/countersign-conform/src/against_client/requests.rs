//! Requests that a client must not answer.

use super::ClientCase;
use super::guest::{Guest, good_request, request_with};
use crate::authenticator::{Proof, Request, Side, check, message};
use crate::case::{Done, cases, failed, skipped};
use crate::code_points::{MALFORMED, UNEXPECTED};
use crate::identity::random_context;
use crate::raw::{Arrival, Event};

pub(super) const CASES: &[ClientCase] = cases! {
    Must "client/4.1.4/c3" Both:
        "More requests than the client announced are a connection error.",
        "one request more than allowed, all in one frame",
        "PROTOCOL_ERROR in HTTP/2, H3_FRAME_UNEXPECTED in HTTP/3"
        => too_many;
    Robustness "client/4.1/c3" Both:
        "The list of requests is not empty.",
        "AUTHENTICATOR_REQUESTS without a payload",
        "a connection error"
        => empty;
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
    Robustness "rfc9261/4/c3" Both:
        "A context is not used twice on a connection.",
        "a request, and when it is answered another one with the same context",
        "a connection error"
        => repeated;
    Robustness "rfc9261/7.1/c1" Both:
        "A request includes signature_algorithms.",
        "a request without it",
        "a connection error or an empty authenticator"
        => without_algorithms;
    Robustness "rfc9261/4/c4" Both:
        "An extension does not occur twice.",
        "a request with an extension twice",
        "a connection error or an empty authenticator"
        => twice;
    Robustness "client/3.1/c3" Both:
        "A server that announced nothing does not ask.",
        "SETTINGS without the setting, then a request",
        "a connection error, and no CERTIFICATE"
        => not_negotiated;
};

async fn too_many(guest: &mut Guest<'_>) -> Done {
    let limit = guest.welcome_to_be_asked().await?;
    if limit > 200 {
        return skipped(format!("the client takes {limit} requests"));
    }
    let requests: Vec<_> = (0..=limit).map(|_| good_request()).collect();
    guest.ask(&requests).await;
    guest.peer.expect_error(UNEXPECTED).await
}

async fn empty(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    guest.peer.control(guest.host.points.requests, b"").await;
    guest.complains().await
}

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

async fn repeated(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    let context = random_context();
    let typ = message::CLIENT_CERTIFICATE_REQUEST;
    guest.exchange(&request_with(typ, &context, &[])).await?;
    guest.ask(&[request_with(typ, &context, &[(0xfefe, Vec::new())])]).await;
    guest.complains().await
}

async fn without_algorithms(guest: &mut Guest<'_>) -> Done {
    let request =
        Request::new(message::CLIENT_CERTIFICATE_REQUEST, &random_context(), &[(0xfefe, vec![1])]);
    declined_or_refused(guest, request).await
}

async fn twice(guest: &mut Guest<'_>) -> Done {
    let more = [(0xfefe, Vec::new()), (0xfefe, Vec::new())];
    let request = request_with(message::CLIENT_CERTIFICATE_REQUEST, &random_context(), &more);
    declined_or_refused(guest, request).await
}

async fn declined_or_refused(guest: &mut Guest<'_>, request: Request) -> Done {
    guest.welcome_to_be_asked().await?;
    guest.ask(std::slice::from_ref(&request)).await;
    let kind = u64::from(guest.host.points.certificate);
    let answer =
        |arrival: &Arrival| matches!(arrival, Arrival::Frame { kind: found, .. } if *found == kind);
    match guest.peer.event(answer).await {
        Event::Closed(end) if end.code.is_some() => Ok(()),
        Event::Closed(end) => failed(guest.peer.tell(&end)),
        Event::Silence => failed("neither an answer nor a connection error"),
        Event::Arrived(arrival) => {
            let payload = crate::raw::payload(arrival);
            match check(&guest.peer.secrets, Side::Client, Some(&request), &payload, &[])? {
                Proof::Declined => Ok(()),
                Proof::Proven { .. } => failed("the client presented a certificate"),
            }
        }
    }
}

async fn not_negotiated(guest: &mut Guest<'_>) -> Done {
    guest.welcome_with(&[]).await?;
    if guest.peer.setting(guest.host.points.client_cert_auth).is_none_or(|limit| limit == 0) {
        return skipped("the client does not announce SETTINGS_HTTP_CLIENT_CERT_AUTH");
    }
    guest.ask(&[good_request()]).await;
    guest.complains().await
}
