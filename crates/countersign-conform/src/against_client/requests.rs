//! Requests that a client must not answer.

use super::ClientCase;
use super::guest::{Guest, good_request, request_with};
use crate::authenticator::{Proof, Request, Side, check, message};
use crate::case::{Done, cases, failed, skipped};
use crate::code_points::UNEXPECTED;
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
    Robustness "rfc9261/4/c3" Both:
        "A context is not used twice on a connection.",
        "a request, and when it is answered another one with the same context",
        "a connection error"
        => repeated;
    Robustness "rfc9261/4/c5" Both:
        "A context is not used twice in one frame.",
        "two requests with the same context in one frame",
        "a connection error"
        => twins;
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
    Must "client/3/c2" Both:
        "A client does not answer a server that announced nothing.",
        "SETTINGS without the setting, then a request",
        "no CERTIFICATE; silence will do, and so will the end of the connection"
        => never_answers;
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

async fn repeated(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    let context = random_context();
    let typ = message::CLIENT_CERTIFICATE_REQUEST;
    guest.exchange(&request_with(typ, &context, &[])).await?;
    guest.ask(&[request_with(typ, &context, &[(0xfefe, Vec::new())])]).await;
    guest.complains().await
}

async fn twins(guest: &mut Guest<'_>) -> Done {
    if guest.welcome_to_be_asked().await? < 2 {
        return skipped("the client takes one request at a time");
    }
    let (typ, context) = (message::CLIENT_CERTIFICATE_REQUEST, random_context());
    let more: [&[_]; 2] = [&[], &[(0xfefe, Vec::new())]];
    guest.ask(&more.map(|more| request_with(typ, &context, more))).await;
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

async fn never_answers(guest: &mut Guest<'_>) -> Done {
    guest.welcome_with(&[]).await?;
    guest.ask(&[good_request()]).await;
    // No response, which a client over HTTP/3 might read first, and leave.
    let kind = u64::from(guest.host.points.certificate);
    let answer =
        |arrival: &Arrival| matches!(arrival, Arrival::Frame { kind: found, .. } if *found == kind);
    match guest.peer.event(answer).await {
        Event::Arrived(_) => failed("the client answered with CERTIFICATE"),
        Event::Closed(_) | Event::Silence => Ok(()),
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
