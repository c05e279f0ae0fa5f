//! How many answers come, and how much of anything.

use super::ServerCase;
use super::visit::{Next, Visit};
use crate::authenticator::{Draft, Request, Side, decline};
use crate::case::{Done, cases, failed, skipped};
use crate::raw::{
    Arrival, FLAG_END_HEADERS, FLAG_END_STREAM, H2Frame, Peer, fields, kind, settings_payload,
};

pub(super) const CASES: &[ServerCase] = cases! {
    Robustness "client/4.1/s5" Both:
        "Who has declined all challenges that are kept ready can still authenticate.",
        "empty authenticators for all challenges that came unprovoked, then a GET that needs a credential",
        "a request that a valid answer has success with"
        => used_up;
    Robustness "client/4.1/s6" Both:
        "Who has declined can think better of it.",
        "five GETs that need a credential, each declined; then another one, and a valid answer",
        "success"
        => after_five_refusals;
    Must "client/4.2/s9" Both:
        "Of two answers to one request the second is a connection error.",
        "a limit of 1, and a valid answer twice in one breath",
        "a connection error"
        => |visit| twice_in_one_breath(visit, false);
    Must "client/4.2/s10" Both:
        "Of two empty authenticators for one request the second is a connection error.",
        "a limit of 1, and an empty authenticator twice in one breath",
        "a connection error"
        => |visit| twice_in_one_breath(visit, true);
    Robustness "client/5.5/s5" Http2:
        "A client may change its limit often.",
        "5,000 limits of 4 and 5 in two SETTINGS frames, then a valid answer",
        "success"
        => many_limits;
    Robustness "client/5.5/s6" Http2:
        "Requests that are taken back at once cost one connection at most.",
        "2,000 GETs that need a credential, each reset at once",
        "others are served"
        => many_resets;
    Robustness "client/5.5/s7" Http3:
        "An answer that is slow to come holds up no streams.",
        "half a valid answer, a GET that needs none, and after its response the other half",
        "success for both"
        => |visit| half_an_answer(visit, true);
    Should "client/5.5/s9" Both:
        "There is a limit to what one connection is asked.",
        "up to 5,000 GETs that need a credential, each declined, one after the other",
        "an error status without a request, or the end of the connection"
        => endless_refusals;
    Robustness "client/5.5/s8" Both:
        "Who never ends an answer is not waited for without end.",
        "a GET that needs a credential, half a valid answer, and silence",
        "an error status or the end of the connection"
        => |visit| half_an_answer(visit, false);
};

/// More than anybody needs who means well.
const MANY_REFUSALS: usize = 5_000;

async fn used_up(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(4).await?;
    let ready = come_unprovoked(visit, &mut peer).await?;
    if ready.is_empty() {
        return skipped("the server keeps no challenges ready");
    }
    for request in ready {
        peer.decline(&request).await;
    }
    // Over HTTP/3 the next GET would overtake them, and be told that its challenge was declined.
    peer.unanswered = come_unprovoked(visit, &mut peer).await?;
    let stream = visit.get(&mut peer, visit.path(0)?).await;
    visit.granted(&mut peer, stream).await
}

/// What is asked by the time that two requests which need nothing are answered.
async fn come_unprovoked(visit: &Visit<'_>, peer: &mut Peer) -> Done<Vec<Request>> {
    let mut all = Vec::new();
    for _ in 0..2 {
        let stream = visit.get(peer, visit.public()?).await;
        loop {
            match visit.next(peer, stream).await? {
                Next::Requests(requests) => all.extend(requests),
                Next::Response(_) => break,
                Next::Ended(how) => return failed(how),
            }
        }
    }
    while let Some(list) = peer.came(visit.target.points.requests) {
        all.extend(Request::parse_list(&list)?);
    }
    Ok(all)
}

async fn after_five_refusals(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(4).await?;
    for _ in 0..5 {
        let mut asked = visit.challenged_on(peer, visit.path(0)?).await?;
        asked.peer.decline(&asked.request).await;
        visit.refused_alone(&mut asked.peer, asked.stream).await?;
        peer = asked.peer;
    }
    let mut asked = visit.challenged_on(peer, visit.path(0)?).await?;
    asked.peer.answer(&asked.request, visit.identity(&asked.request)?).await?;
    visit.granted(&mut asked.peer, asked.stream).await
}

async fn twice_in_one_breath(visit: &Visit<'_>, declines: bool) -> Done {
    let peer = visit.opened(1).await?;
    let mut asked = visit.challenged_on(peer, visit.path(0)?).await?;
    let (request, secrets) = (&asked.request, &asked.peer.secrets);
    let authenticator = if declines {
        decline(secrets, Side::Client, &request.bytes, &request.context)
    } else {
        Draft::answer(request, visit.identity(request)?)?.sign(secrets)?
    };
    let frame = asked.peer.encode(visit.target.points.certificate, &authenticator);
    asked.peer.bytes(&frame.repeat(2)).await;
    asked.peer.expect_any_error().await
}

async fn many_limits(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(4).await?;
    let limits = [visit.announcing(5), visit.announcing(4)].concat().repeat(1250);
    for _ in 0..2 {
        peer.control(kind::SETTINGS, &settings_payload(visit.version, &limits)).await;
    }
    let mut asked = visit.challenged_on(peer, visit.path(0)?).await?;
    asked.peer.answer(&asked.request, visit.identity(&asked.request)?).await?;
    visit.granted(&mut asked.peer, asked.stream).await
}

async fn many_resets(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(4).await?;
    let block = fields::request(visit.version, &visit.target.authority, visit.path(0)?);
    let (flags, cancel) = (FLAG_END_HEADERS | FLAG_END_STREAM, 8_u32.to_be_bytes());
    let mut bytes = Vec::new();
    let last = 4001;
    for stream in (1..last).step_by(2) {
        bytes.extend(H2Frame::new(kind::HEADERS, flags, stream, &block).encode());
        bytes.extend(H2Frame::new(kind::RST_STREAM, 0, stream, &cancel).encode());
    }
    let public = visit.target.public.as_deref().map_or_else(|| visit.path(0), Ok)?;
    let block = fields::request(visit.version, &visit.target.authority, public);
    bytes.extend(H2Frame::new(kind::HEADERS, flags, last, &block).encode());
    peer.bytes(&bytes).await;
    // With a response, or the end, the server is done with them.
    peer.event(|arrival| matches!(arrival, Arrival::Frame { stream: Some(of), .. } if *of == last))
        .await;
    visit.serves_others().await
}

async fn endless_refusals(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(4).await?;
    for _ in 0..MANY_REFUSALS {
        let stream = visit.get(&mut peer, visit.path(0)?).await;
        let mut asked = false;
        loop {
            match visit.next(&mut peer, stream).await? {
                Next::Requests(requests) => {
                    asked = true;
                    for request in requests {
                        peer.decline(&request).await;
                    }
                }
                Next::Response(400..) if asked => break,
                Next::Response(400..) | Next::Ended(_) => return Ok(()),
                Next::Response(status) => {
                    return failed(format!("status {status}: it was let in"));
                }
            }
        }
    }
    failed(format!("it asked {MANY_REFUSALS} times and would go on"))
}

async fn half_an_answer(visit: &Visit<'_>, ended: bool) -> Done {
    let mut asked = visit.challenged().await?;
    let identity = visit.identity(&asked.request)?;
    let authenticator = Draft::answer(&asked.request, identity)?.sign(&asked.peer.secrets)?;
    let frame = asked.peer.encode(visit.target.points.certificate, &authenticator);
    let (first, second) = frame.split_at(frame.len() / 2);
    asked.peer.bytes(first).await;
    if !ended {
        return visit.kept_out(&mut asked.peer, asked.stream).await;
    }
    let other = visit.get(&mut asked.peer, visit.public()?).await;
    let mut later = Vec::new();
    loop {
        match visit.next(&mut asked.peer, other).await? {
            Next::Requests(requests) => later.extend(requests),
            Next::Response(200..400) => break,
            Next::Response(status) => {
                return failed(format!("status {status} while an answer is on its way"));
            }
            Next::Ended(how) => return failed(how),
        }
    }
    asked.peer.bytes(second).await;
    asked.peer.unanswered = later;
    visit.granted(&mut asked.peer, asked.stream).await
}
