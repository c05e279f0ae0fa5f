//! What is held on one connection is not held on the next, resumed or not.

use std::sync::Arc;

use rustls::ClientConfig;

use super::ServerCase;
use super::target::Counting;
use super::visit::{Asked, Visit};
use crate::authenticator::{Draft, Hash, Secrets};
use crate::case::{Done, cases, failed, skipped};
use crate::raw::Peer;
use crate::tls::Suites;

pub(super) const CASES: &[ServerCase] = cases! {
    Must "client/5.4/s2" Both:
        "An identity is not carried over to another connection.",
        "a valid answer; then the same GET on a new connection that announces nothing",
        "an error status"
        => |visit| no_other_connection(visit, false);
    Must "client/5.4/s3" Both:
        "An identity is not carried over to a resumed session.",
        "a valid answer; then the same GET on a connection that resumes the TLS session and announces nothing",
        "an error status"
        => |visit| no_other_connection(visit, true);
    Robustness "client/5.4/s4" Both:
        "A resumed session can be authenticated.",
        "a valid answer on a connection that resumes the TLS session of another one",
        "success"
        => answered_resumed;
    Must "client/5.4/s5" Both:
        "A resumed session has values of its own.",
        "an answer made with the values of the connection whose TLS session was resumed",
        "a connection error or an error status"
        => values_of_before;
};

async fn no_other_connection(visit: &Visit<'_>, resumed: bool) -> Done {
    let (config, counting) = visit.tls_counted(Suites::Of(Hash::Sha256))?;
    let mut peer = visit.connect_with(Arc::clone(&config), Hash::Sha256).await?;
    peer.open(&visit.announcing(4)).await?;
    visit.takes_part(&peer)?;
    let mut asked = visit.challenged_on(peer, visit.path(0)?).await?;
    asked.peer.answer(&asked.request, visit.identity(&asked.request)?).await?;
    visit.granted(&mut asked.peer, asked.stream).await?;
    let mut other =
        if resumed { resumes(visit, config, &counting).await? } else { visit.connect().await? };
    other.open(&[]).await?;
    let stream = visit.get(&mut other, visit.path(0)?).await;
    match visit.status_unasked(&mut other, stream).await? {
        400.. => Ok(()),
        status => failed(format!("status {status} on another connection")),
    }
}

/// A connection that resumes the session of one before it.
async fn resumes(visit: &Visit<'_>, config: Arc<ClientConfig>, counting: &Counting) -> Done<Peer> {
    let before = counting.shown();
    let peer = visit.connect_with(config, Hash::Sha256).await?;
    if counting.shown() > before {
        return skipped("the server does not resume sessions");
    }
    Ok(peer)
}

/// A client that was asked on a resumed session, and the values of the session's first connection.
async fn asked_resumed(visit: &Visit<'_>) -> Done<(Asked, Secrets)> {
    let (config, counting) = visit.tls_counted(Suites::Of(Hash::Sha256))?;
    let mut first = visit.connect_with(Arc::clone(&config), Hash::Sha256).await?;
    first.open(&visit.announcing(4)).await?;
    visit.takes_part(&first)?;
    // With a response, whatever resumes the session has come too.
    let path = visit.target.public.as_deref().map_or_else(|| visit.path(0), Ok)?;
    let stream = visit.get(&mut first, path).await;
    visit.status(&mut first, stream).await?;
    let mut peer = resumes(visit, config, &counting).await?;
    peer.open(&visit.announcing(4)).await?;
    Ok((visit.challenged_on(peer, visit.path(0)?).await?, first.secrets.clone()))
}

async fn answered_resumed(visit: &Visit<'_>) -> Done {
    let (mut asked, _) = asked_resumed(visit).await?;
    asked.peer.answer(&asked.request, visit.identity(&asked.request)?).await?;
    visit.granted(&mut asked.peer, asked.stream).await
}

async fn values_of_before(visit: &Visit<'_>) -> Done {
    let (mut asked, before) = asked_resumed(visit).await?;
    let mut draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
    draft.stolen_signature = Some(before.clone());
    draft.stolen_finished = Some(before);
    let authenticator = draft.sign(&asked.peer.secrets)?;
    asked.peer.certificate(&authenticator).await;
    visit.refused(&mut asked.peer, asked.stream).await
}
