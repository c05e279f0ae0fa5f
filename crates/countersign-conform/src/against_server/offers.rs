//! Certificates that the server offers itself.

use super::ServerCase;
use super::visit::{Next, Visit};
use crate::authenticator::{Hash, Proof, Request, Side, check, scheme_name};
use crate::case::{Done, cases, failed, skipped};
use crate::raw::{Arrival, Event, Peer, kind, parse_settings, payload};
use crate::tls::Suites;

pub(super) const CASES: &[ServerCase] = cases! {
    Must "server/3.1/s1" Both:
        "A client that announced nothing is offered no certificate.",
        "SETTINGS without SETTINGS_HTTP_SERVER_CERT_AUTH, then a GET",
        "a response and no SERVER_CERTIFICATE"
        => |visit| is_not_offered(visit, false);
    Must "server/3.1/s4" Both:
        "A client that announced 0 is offered no certificate.",
        "SETTINGS with SETTINGS_HTTP_SERVER_CERT_AUTH = 0, then a GET",
        "a response and no SERVER_CERTIFICATE"
        => |visit| is_not_offered(visit, true);
    Must "server/3.1/s5" Both:
        "A server that announced nothing offers no certificate.",
        "SETTINGS with SETTINGS_HTTP_SERVER_CERT_AUTH = 1 to a server that does not announce 1, then a GET",
        "a response and no SERVER_CERTIFICATE"
        => offers_unannounced;
    Must "server/3.1/s3" Http2:
        "A server does not take SETTINGS_HTTP_SERVER_CERT_AUTH back.",
        "SETTINGS with the value 1, a valid answer, and another GET",
        "no SETTINGS with the value 0"
        => |visit| keeps_its_word(visit, visit.target.points.server_cert_auth);
    Must "client/3.1/s7" Http2:
        "A server does not take SETTINGS_HTTP_CLIENT_CERT_AUTH back.",
        "a valid answer, and another GET",
        "no SETTINGS with the value 0"
        => |visit| keeps_its_word(visit, visit.target.points.client_cert_auth);
    Must "server/5.3/s1" Both:
        "What a server offers is a valid spontaneous authenticator, under a context of its own.",
        "SETTINGS with SETTINGS_HTTP_SERVER_CERT_AUTH = 1, on two connections",
        "SERVER_CERTIFICATE on stream 0 or the control stream with right signature and MAC; different contexts"
        => offers;
    Must "rfc9261/5.2.1/s9" Both:
        "The contexts of offers and of requests on a connection all differ.",
        "SETTINGS that announce both, then a GET that needs a credential",
        "different contexts in SERVER_CERTIFICATE and AUTHENTICATOR_REQUESTS"
        => contexts_differ;
    Must "rfc9261/5.2.2/s13" Both:
        "The scheme of an offer is one that the ClientHello offers.",
        "SETTINGS with the value 1, and the same on a connection whose ClientHello lacks the scheme that came",
        "no SERVER_CERTIFICATE with that scheme"
        => scheme_of_the_hello;
};

/// Has two responses come, so that whatever was to come on its own has come too.
async fn has_time(visit: &Visit<'_>, peer: &mut Peer) -> Done {
    let path = visit.target.public.as_deref().map_or_else(|| visit.path(0), Ok)?;
    for _ in 0..2 {
        let stream = visit.get(peer, path).await;
        visit.status(peer, stream).await?;
    }
    Ok(())
}

async fn offers_nothing(visit: &Visit<'_>, mut peer: Peer) -> Done {
    has_time(visit, &mut peer).await?;
    match visit.offered(&mut peer) {
        None => Ok(()),
        Some(_) => failed("the server sent SERVER_CERTIFICATE"),
    }
}

async fn is_not_offered(visit: &Visit<'_>, says_so: bool) -> Done {
    let mut peer = visit.connect().await?;
    let mut settings = visit.announcing(4);
    if says_so {
        settings.push((visit.target.points.server_cert_auth.into(), 0));
    }
    peer.open(&settings).await?;
    offers_nothing(visit, peer).await
}

async fn offers_unannounced(visit: &Visit<'_>) -> Done {
    let mut peer = visit.connect().await?;
    let mut settings = visit.announcing(4);
    settings.push((visit.target.points.server_cert_auth.into(), 1));
    peer.open(&settings).await?;
    if peer.setting(visit.target.points.server_cert_auth) == Some(1) {
        return skipped("the server announces SETTINGS_HTTP_SERVER_CERT_AUTH");
    }
    offers_nothing(visit, peer).await
}

async fn keeps_its_word(visit: &Visit<'_>, setting: u16) -> Done {
    let peer = if setting == visit.target.points.server_cert_auth {
        visit.opened_for_both(4).await?
    } else {
        visit.opened(4).await?
    };
    let mut asked = visit.challenged_on(peer, visit.path(0)?).await?;
    asked.peer.answer(&asked.request, visit.identity(&asked.request)?).await?;
    visit.granted(&mut asked.peer, asked.stream).await?;
    has_time(visit, &mut asked.peer).await?;
    while let Some(frame) = asked.peer.came(kind::SETTINGS) {
        let Some(settings) = parse_settings(visit.version, &frame) else {
            return failed("a SETTINGS frame that does not decode");
        };
        if settings.contains(&(setting.into(), 0)) {
            return failed("the server went back to 0");
        }
    }
    Ok(())
}

async fn offers(visit: &Visit<'_>) -> Done {
    let mut contexts: Vec<Vec<u8>> = Vec::new();
    for _ in 0..2 {
        for (context, _) in offered(visit).await? {
            if contexts.contains(&context) || context.len() < 8 {
                return failed("a context that is used twice or can be guessed");
            }
            contexts.push(context);
        }
    }
    Ok(())
}

/// Contexts and schemes of what a server offers on a new connection.
async fn offered(visit: &Visit<'_>) -> Done<Vec<(Vec<u8>, u16)>> {
    let mut peer = visit.opened_for_both(1).await?;
    let kind = u64::from(visit.target.points.server_certificate);
    let wanted =
        |arrival: &Arrival| matches!(arrival, Arrival::Frame { kind: found, .. } if *found == kind);
    let Event::Arrived(arrival) = peer.event(wanted).await else {
        return skipped("the server offered no certificate");
    };
    if !matches!(arrival, Arrival::Frame { stream: None, .. }) {
        return failed("SERVER_CERTIFICATE on a stream of its own");
    }
    let mut offers = vec![offer(&peer, &payload(arrival))?];
    while let Some(authenticator) = visit.offered(&mut peer) {
        offers.push(offer(&peer, &authenticator)?);
    }
    Ok(offers)
}

fn offer(peer: &Peer, authenticator: &[u8]) -> Done<(Vec<u8>, u16)> {
    match check(&peer.secrets, Side::Server, None, authenticator, &[])? {
        Proof::Declined => failed("an empty authenticator that nobody asked for"),
        Proof::Proven { context, scheme, .. } => Ok((context, scheme)),
    }
}

async fn contexts_differ(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened_for_both(4).await?;
    let stream = visit.get(&mut peer, visit.path(0)?).await;
    let mut contexts: Vec<Vec<u8>> = Vec::new();
    match visit.next(&mut peer, stream).await? {
        Next::Requests(requests) => {
            contexts.extend(requests.into_iter().map(|request| request.context));
        }
        Next::Response(status) => return failed(format!("status {status} and no request")),
        Next::Ended(how) => return failed(how),
    }
    let asked = contexts.len();
    // What a server has to offer comes by itself, and a response that needs nothing comes behind it.
    let stream = visit.get(&mut peer, visit.public()?).await;
    visit.status_unanswered(&mut peer, stream).await?;
    while let Some(authenticator) = visit.offered(&mut peer) {
        contexts.push(offer(&peer, &authenticator)?.0);
    }
    if contexts.len() == asked {
        return skipped("the server offered no certificate");
    }
    while let Some(list) = peer.came(visit.target.points.requests) {
        contexts.extend(Request::parse_list(&list)?.into_iter().map(|request| request.context));
    }
    let mut all = contexts.clone();
    all.sort();
    all.dedup();
    if all.len() < contexts.len() {
        return failed("a context twice on a connection");
    }
    Ok(())
}

async fn scheme_of_the_hello(visit: &Visit<'_>) -> Done {
    for (_, scheme) in offered(visit).await? {
        let config = visit.tls_without(Suites::Of(Hash::Sha256), scheme)?;
        let Ok(mut peer) = visit.connect_with(config, Hash::Sha256).await else {
            return skipped("the server's handshake needs the scheme of its offer");
        };
        let mut settings = visit.announcing(4);
        settings.push((visit.target.points.server_cert_auth.into(), 1));
        peer.open(&settings).await?;
        has_time(visit, &mut peer).await?;
        while let Some(authenticator) = visit.offered(&mut peer) {
            if offer(&peer, &authenticator)?.1 == scheme {
                let name = scheme_name(scheme);
                return failed(format!("an offer with {name}, which the ClientHello lacks"));
            }
        }
    }
    Ok(())
}
