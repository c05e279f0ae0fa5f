//! What the server asks with.

use std::collections::VecDeque;

use super::ServerCase;
use super::visit::{MOMENT, Next, Visit};
use crate::authenticator::{Request, SCHEMES, extension};
use crate::case::{Done, cases, failed, skipped};
use crate::raw::{Arrival, Event, Peer};

pub(super) const CASES: &[ServerCase] = cases! {
    Must "client/4.1/s1" Both:
        "AUTHENTICATOR_REQUESTS is sent on stream 0 or the control stream and is not empty.",
        "a GET that needs a credential",
        "such a frame, with requests that decode"
        => |visit| looks(visit, |_| Ok(()));
    Must "rfc9261/4/s1" Both:
        "A request has only extensions that the registry allows in CertificateRequest.",
        "a GET that needs a credential",
        "requests with such extensions, each at most once, and GREASE"
        => |visit| looks(visit, only_known_extensions);
    Must "rfc9261/8.1/s1" Both:
        "A server's request does not carry server_name.",
        "a GET that needs a credential",
        "requests without server_name"
        => |visit| looks(visit, |request| match request.extension(extension::SERVER_NAME) {
            None => Ok(()),
            Some(_) => failed("server_name in a server's request"),
        });
    Must "rfc9261/7.1/s1" Both:
        "A request includes signature_algorithms.",
        "a GET that needs a credential",
        "requests with at least one scheme that TLS 1.3 allows"
        => |visit| looks(visit, has_schemes);
    Should "rfc9261/5.2.2/s1" Both:
        "No scheme that TLS 1.3 forbids for signatures is asked for.",
        "a GET that needs a credential",
        "requests without PKCS#1 v1.5 and SHA-1 in signature_algorithms"
        => |visit| looks(visit, no_forbidden_schemes);
    Should "rfc9261/4/s2" Both:
        "The context of a request is unpredictable.",
        "a GET that needs a credential, on three connections",
        "three contexts of 8 bytes or more that differ in every eighth"
        => unpredictable;
    Must "rfc9261/4/s3" Both:
        "The context of every request on a connection is another one.",
        "GETs that need credentials, declined, so that the server asks again",
        "different contexts"
        => unique;
    Should "client/5.2/s1" Both:
        "A context is not used again on another connection.",
        "a GET that needs a credential, on two connections",
        "different contexts"
        => |visit| contexts_differ(visit);
    Must "client/4.1.4/s1" Both:
        "No more requests are outstanding than the client announced.",
        "limits of 1 and 2, and three GETs for each path at once, answered one after the other",
        "never more requests that are not answered than the limit"
        => within_the_limit;
    Robustness "client/4.1/s2" Both:
        "Answered requests make room for others.",
        "a limit of 1, and GETs for two paths that need different credentials",
        "success for both"
        => replenished;
    Robustness "client/4.1/s3" Both:
        "A challenge that is kept ready can be used for whatever the client presents.",
        "a valid answer to a challenge that came unprovoked, then a GET that needs what was presented",
        "success"
        => kept_ready;
    Robustness "client/4.1/s4" Both:
        "A server asks as soon as it has a request's header section.",
        "the header section of a GET that needs a credential, whose stream stays open",
        "AUTHENTICATOR_REQUESTS"
        => before_the_end;
    Must "client/3/s2" Http3:
        "Nothing of the extension is sent before the client's SETTINGS.",
        "a GET that needs no credential, without a control stream",
        "no AUTHENTICATOR_REQUESTS and no SERVER_CERTIFICATE before the response, if one comes"
        => before_settings;
    Robustness "client/1.1/s1" Both:
        "What needs no credential is answered without one.",
        "a GET that needs none, on a connection that announced a limit of 4",
        "success"
        => none_needed;
};

/// Looks at all requests that come, for each path, until one came that an identity answers. Such as suit nobody are looked at too.
async fn looks(visit: &Visit<'_>, check: fn(&Request) -> Done) -> Done {
    visit.path(0)?;
    for path in &visit.target.paths {
        let mut peer = visit.opened(4).await?;
        let stream = visit.get(&mut peer, path).await;
        let mut came = false;
        while let Next::Requests(requests) = visit.next(&mut peer, stream).await? {
            came = true;
            for request in &requests {
                check(request)?;
            }
            if requests.iter().any(|request| visit.suits(request)) {
                break;
            }
            for request in requests {
                peer.decline(&request).await;
            }
        }
        if !came {
            return failed(format!("no AUTHENTICATOR_REQUESTS for {path}"));
        }
    }
    Ok(())
}

fn only_known_extensions(request: &Request) -> Done {
    for (at, (typ, _)) in request.extensions.iter().enumerate() {
        if !extension::IN_REQUESTS.contains(typ) && !extension::is_grease(*typ) {
            return failed(format!("extension {typ} in a request"));
        }
        if request.extensions.iter().take(at).any(|(earlier, _)| earlier == typ) {
            return failed(format!("extension {typ} twice in a request"));
        }
    }
    Ok(())
}

fn has_schemes(request: &Request) -> Done {
    let offered = request.schemes();
    let usable =
        |number: &u16| SCHEMES.iter().any(|known| known.number == *number && known.allowed);
    if offered.iter().any(usable) {
        return Ok(());
    }
    failed(format!("signature_algorithms with {offered:04x?}"))
}

fn no_forbidden_schemes(request: &Request) -> Done {
    // rsa_pkcs1_* and *_sha1 (RFC 8446, section 4.2.3).
    let forbidden = [0x0201, 0x0203, 0x0401, 0x0501, 0x0601];
    match request.schemes().into_iter().find(|scheme| forbidden.contains(scheme)) {
        None => Ok(()),
        Some(scheme) => failed(format!("scheme {scheme:#06x} in signature_algorithms")),
    }
}

async fn context(visit: &Visit<'_>) -> Done<Vec<u8>> {
    Ok(visit.challenged().await?.request.context)
}

async fn unpredictable(visit: &Visit<'_>) -> Done {
    let contexts = [context(visit).await?, context(visit).await?, context(visit).await?];
    let [first, second, third] = &contexts;
    if contexts.iter().any(|context| context.len() < 8) {
        return failed(format!("a context of {} bytes", first.len()));
    }
    for (one, other) in [(first, second), (second, third), (first, third)] {
        let alike =
            one.chunks(8).zip(other.chunks(8)).any(|(one, other)| one == other && one.len() == 8);
        if alike {
            return failed("contexts of two connections have eight bytes in common");
        }
    }
    Ok(())
}

async fn contexts_differ(visit: &Visit<'_>) -> Done {
    if context(visit).await? == context(visit).await? {
        return failed("the same context on two connections");
    }
    Ok(())
}

async fn unique(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    let mut contexts = vec![asked.request.context.clone()];
    asked.peer.decline(&asked.request).await;
    let mut streams = vec![asked.stream];
    for path in &visit.target.paths {
        streams.push(visit.get(&mut asked.peer, path).await);
    }
    for stream in streams {
        while let Next::Requests(requests) = visit.next(&mut asked.peer, stream).await? {
            for request in requests {
                if contexts.contains(&request.context) {
                    return failed("a context twice on a connection");
                }
                contexts.push(request.context.clone());
                asked.peer.decline(&request).await;
            }
        }
    }
    if contexts.len() < 2 {
        return skipped("the server asked only once");
    }
    Ok(())
}

async fn within_the_limit(visit: &Visit<'_>) -> Done {
    within(visit, 1).await?;
    within(visit, 2).await
}

async fn within(visit: &Visit<'_>, limit: usize) -> Done {
    let mut peer = visit.opened(limit as u64).await?;
    visit.path(0)?;
    let mut streams = VecDeque::new();
    for path in visit.target.paths.iter().cycle().take(3 * visit.target.paths.len()) {
        streams.push_back(visit.get(&mut peer, path).await);
    }
    let mut outstanding = VecDeque::new();
    while let Some(stream) = streams.front().copied() {
        if outstanding.is_empty() {
            match visit.next(&mut peer, stream).await? {
                Next::Response(_) => drop(streams.pop_front()),
                Next::Ended(how) => return failed(how),
                Next::Requests(requests) => outstanding.extend(requests),
            }
            continue;
        }
        others_have_time(visit, &mut peer).await?;
        while let Some(list) = peer.came(visit.target.points.requests) {
            outstanding.extend(Request::parse_list(&list)?);
        }
        if outstanding.len() > limit {
            let many = outstanding.len();
            return failed(format!("{many} requests outstanding with a limit of {limit}"));
        }
        if let Some(request) = outstanding.pop_front() {
            peer.decline(&request).await;
        }
    }
    Ok(())
}

/// Waits until more requests would have come, if any are to come.
async fn others_have_time(visit: &Visit<'_>, peer: &mut Peer) -> Done {
    let Some(public) = &visit.target.public else {
        let patience = peer.patience();
        peer.be_patient(MOMENT);
        peer.event(|_| false).await;
        peer.be_patient(patience);
        return Ok(());
    };
    let stream = visit.get(peer, public).await;
    let wanted = |arrival: &Arrival| matches!(arrival, Arrival::Frame { stream: Some(of), .. } if *of == stream);
    peer.expect("the public response", wanted).await.map(|_| ())
}

async fn replenished(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(1).await?;
    let first = visit.get(&mut peer, visit.path(0)?).await;
    let second = visit.get(&mut peer, visit.path(1)?).await;
    visit.granted(&mut peer, first).await?;
    visit.granted(&mut peer, second).await
}

async fn kept_ready(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(4).await?;
    let path = visit.path(0)?;
    // Whatever is kept ready has come when a request that needs nothing is answered.
    let stream = visit.get(&mut peer, visit.public()?).await;
    let mut ready = Vec::new();
    loop {
        match visit.next(&mut peer, stream).await? {
            Next::Requests(requests) => ready.extend(requests),
            Next::Response(_) => break,
            Next::Ended(how) => return failed(how),
        }
    }
    while let Some(list) = peer.came(visit.target.points.requests) {
        ready.extend(Request::parse_list(&list)?);
    }
    let Some((request, others)) = ready.split_first() else {
        return skipped("the server keeps no challenges ready");
    };
    peer.answer(request, visit.identity(request)?).await?;
    peer.unanswered = others.to_vec();
    let stream = visit.get(&mut peer, path).await;
    visit.granted(&mut peer, stream).await
}

async fn before_the_end(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(4).await?;
    let stream = peer.begin(&visit.target.authority, visit.path(0)?).await;
    match visit.next(&mut peer, stream).await? {
        Next::Requests(_) => Ok(()),
        Next::Response(status) => failed(format!("status {status} and no request")),
        Next::Ended(how) => failed(how),
    }
}

async fn before_settings(visit: &Visit<'_>) -> Done {
    let mut peer = visit.connect().await?;
    // Streams are not ordered against each other; by the second response the first's company has come.
    for _ in 0..2 {
        let stream = visit.get(&mut peer, visit.public()?).await;
        let wanted = |arrival: &Arrival| matches!(arrival, Arrival::Frame { stream: Some(of), .. } if *of == stream);
        if !matches!(peer.event(wanted).await, Event::Arrived(_)) {
            return skipped("the server answers nothing before the client's SETTINGS");
        }
    }
    let points = visit.target.points;
    if peer.came(points.requests).is_some() || peer.came(points.server_certificate).is_some() {
        return failed("a frame of the extension before the client's SETTINGS");
    }
    Ok(())
}

async fn none_needed(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(4).await?;
    let stream = visit.get(&mut peer, visit.public()?).await;
    match visit.status_unanswered(&mut peer, stream).await? {
        200..400 => Ok(()),
        status => failed(format!("status {status} instead of success")),
    }
}
