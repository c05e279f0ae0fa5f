//! Certificates that prove something, but not what is needed; and those that the server offers itself.

use super::ServerCase;
use super::visit::Visit;
use crate::authenticator::{Proof, Side, check};
use crate::case::{Done, cases, failed, skipped};
use crate::identity::{Identity, Wanted};
use crate::raw::{Arrival, Event, payload};

pub(super) const CASES: &[ServerCase] = cases! {
    Must "client/5.1/s1" Both:
        "A certificate that is not trusted grants nothing.",
        "a valid answer by a certificate of an authority that nobody knows",
        "an error status or the end of the connection"
        => |visit| stranger(visit, false);
    Robustness "client/4.2.1/s1" Both:
        "A certificate that is not acceptable need not cost the connection.",
        "a valid answer by a certificate of an authority that nobody knows",
        "an error status, and an answer to the next request"
        => |visit| stranger(visit, true);
    Must "client/5.1/s2" Both:
        "An expired certificate grants nothing.",
        "a valid answer by a certificate that expired yesterday",
        "an error status or the end of the connection"
        => |visit| unacceptable(visit, Wanted { days: -1, ..Wanted::default() });
    Must "client/5.1/s3" Both:
        "A certificate for servers grants a client nothing.",
        "a valid answer by a certificate whose extended key usage is serverAuth alone",
        "an error status or the end of the connection"
        => |visit| unacceptable(visit, Wanted { for_clients: false, ..Wanted::default() });
    Must "client/5.1/s4" Both:
        "A certificate of the wrong kind grants nothing.",
        "a valid answer by an identity that another path accepts",
        "an error status or the end of the connection"
        => anothers;
    Must "client/5.1/s5" Both:
        "What is revoked or otherwise rejected grants nothing.",
        "a valid answer by each --reject",
        "an error status or the end of the connection, each time"
        => rejected;
    Must "server/5.3/s1" Both:
        "What a server offers is a valid spontaneous authenticator, under a context of its own.",
        "SETTINGS with SETTINGS_HTTP_SERVER_CERT_AUTH = 1, on two connections",
        "SERVER_CERTIFICATE on stream 0 or the control stream with right signature and MAC; different contexts"
        => offers;
};

async fn presents(visit: &Visit<'_>, identity: &Identity, alone: bool) -> Done {
    let mut asked = visit.challenged().await?;
    asked.peer.answer(&asked.request, identity).await?;
    if alone {
        visit.refused_alone(&mut asked.peer, asked.stream).await
    } else {
        visit.kept_out(&mut asked.peer, asked.stream).await
    }
}

async fn stranger(visit: &Visit<'_>, alone: bool) -> Done {
    presents(visit, &visit.target.stranger, alone).await
}

async fn unacceptable(visit: &Visit<'_>, wanted: Wanted) -> Done {
    presents(visit, &visit.minted(wanted)?, false).await
}

async fn anothers(visit: &Visit<'_>) -> Done {
    visit.path(1)?;
    let mut asked = visit.challenged().await?;
    let own = visit.identity(&asked.request)?;
    let other = visit.target.identities.iter().find(|identity| identity.chain != own.chain);
    let Some(other) = other.filter(|other| {
        asked.request.authorities().is_some_and(|authorities| !other.is_below(&authorities))
    }) else {
        return skipped(
            "it needs an --identity of an authority that the first path does not accept",
        );
    };
    asked.peer.answer(&asked.request, other).await?;
    visit.kept_out(&mut asked.peer, asked.stream).await
}

async fn rejected(visit: &Visit<'_>) -> Done {
    if visit.target.rejected.is_empty() {
        return skipped("it needs --reject");
    }
    for identity in &visit.target.rejected {
        presents(visit, identity, false).await?;
    }
    Ok(())
}

async fn offers(visit: &Visit<'_>) -> Done {
    let mut contexts: Vec<Vec<u8>> = Vec::new();
    for _ in 0..2 {
        let mut peer = visit.opened_for_both(1).await?;
        let kind = u64::from(visit.target.points.server_certificate);
        let wanted = |arrival: &Arrival| matches!(arrival, Arrival::Frame { kind: found, .. } if *found == kind);
        let Event::Arrived(arrival) = peer.event(wanted).await else {
            return skipped("the server offered no certificate");
        };
        if !matches!(arrival, Arrival::Frame { stream: None, .. }) {
            return failed("SERVER_CERTIFICATE on a stream of its own");
        }
        let mut next = Some(payload(arrival));
        while let Some(authenticator) = next {
            match check(&peer.secrets, Side::Server, None, &authenticator, &[])? {
                Proof::Declined => return failed("an empty authenticator that nobody asked for"),
                Proof::Proven { context, .. } => {
                    if contexts.contains(&context) || context.len() < 8 {
                        return failed("a context that is used twice or can be guessed");
                    }
                    contexts.push(context);
                }
            }
            next = visit.offered(&mut peer);
        }
    }
    Ok(())
}
