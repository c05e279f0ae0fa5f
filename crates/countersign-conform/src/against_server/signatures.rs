//! Whose signature it is and how it was computed, and how long a Finished message is.

use countersign_pki::KeyKind;

use super::ServerCase;
use super::visit::{Next, Visit};
use crate::authenticator::{Draft, Key, Side, decline, message};
use crate::case::{Done, Stop, cases, failed, skipped};
use crate::identity::{Wanted, stranger_with};

pub(super) const CASES: &[ServerCase] = cases! {
    Must "rfc9261/5.2.2/s11" Both:
        "The signature is by the key of the first certificate.",
        "an answer whose second certificate is of the tool's own making, signed with that one's key",
        "a connection error or an error status"
        => by_the_second_key;
    Must "rfc9261/5.2.2/s12" Both:
        "A scheme of ECDSA says which curve and which hash.",
        "an answer by a P-521 identity of the issuer's, signed with SHA-384 and named ecdsa_secp384r1_sha384",
        "a connection error or an error status"
        => on_another_curve;
    Must "rfc9261/5.2.3/s3" Both:
        "Finished has the whole value of the MAC.",
        "answers whose Finished is cut to 0 bytes, to 1, and by 1, and is a byte too long; all lengths say so",
        "a connection error or an error status, each time"
        => of_other_lengths;
    Robustness "rfc9261/6/s3" Both:
        "The Finished message of an empty authenticator has the whole value of the MAC.",
        "empty authenticators cut to 0 bytes of the value, to 1, and by 1, and with a byte too many; all lengths say so",
        "a connection error, each time"
        => refusals_of_other_lengths;
    Robustness "rfc9261/6/s4" Both:
        "An empty authenticator does not count for another request.",
        "an empty authenticator, and the same once more for the next request",
        "a connection error"
        => replayed_refusal;
};

async fn by_the_second_key(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    let identity = visit.identity(&asked.request)?;
    let second = stranger_with(identity.key.kind())?;
    let mut draft = Draft::answer(&asked.request, identity)?;
    for der in second.chain.iter().take(1) {
        draft.chain.insert(1, (der.clone(), Vec::new()));
    }
    draft.identity = &second;
    let authenticator = draft.sign(&asked.peer.secrets)?;
    asked.peer.certificate(&authenticator).await;
    visit.refused(&mut asked.peer, asked.stream).await
}

async fn on_another_curve(visit: &Visit<'_>) -> Done {
    let mut identity = visit.minted(Wanted { key: KeyKind::P521, ..Wanted::default() })?;
    let der = identity.key.ecdsa_to_pkcs8();
    match der.and_then(|der| Key::p521_with_sha384(&der)) {
        Some(key) => identity.key = key,
        None => return failed("no key could be made"),
    }
    let mut asked = visit.challenged().await?;
    let draft = match Draft::answer(&asked.request, &identity) {
        Ok(draft) => draft,
        Err(Stop::Skipped(_)) => {
            return skipped("the server does not offer ecdsa_secp384r1_sha384");
        }
        Err(other) => return Err(other),
    };
    let authenticator = draft.sign(&asked.peer.secrets)?;
    asked.peer.certificate(&authenticator).await;
    visit.refused(&mut asked.peer, asked.stream).await
}

/// How long a Finished of `whole` bytes may not be.
fn wrong_lengths(whole: usize) -> [usize; 4] {
    [0, 1, whole.saturating_sub(1), whole.saturating_add(1)]
}

/// What `bytes` end with, a Finished of `whole` bytes, made `length` long.
fn resized(bytes: &[u8], whole: usize, length: usize) -> Vec<u8> {
    let (before, value) = bytes.split_at(bytes.len().saturating_sub(whole));
    let before = before.get(..before.len().saturating_sub(4)).unwrap_or_default();
    let mut value = value.to_vec();
    value.resize(length, 0);
    [before, &message::encode(message::FINISHED, &value)].concat()
}

async fn of_other_lengths(visit: &Visit<'_>) -> Done {
    for which in 0..4 {
        let mut asked = visit.challenged().await?;
        let draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
        let authenticator = draft.sign(&asked.peer.secrets)?;
        let whole = asked.peer.secrets.hash().output_len();
        let length = wrong_lengths(whole).get(which).copied().unwrap_or_default();
        asked.peer.certificate(&resized(&authenticator, whole, length)).await;
        if let Err(Stop::Failed(how)) = visit.refused(&mut asked.peer, asked.stream).await {
            return failed(format!("Finished of {length} bytes: {how}"));
        }
    }
    Ok(())
}

async fn refusals_of_other_lengths(visit: &Visit<'_>) -> Done {
    for which in 0..4 {
        let mut asked = visit.challenged().await?;
        let request = &asked.request;
        let refusal = decline(&asked.peer.secrets, Side::Client, &request.bytes, &request.context);
        let whole = asked.peer.secrets.hash().output_len();
        let length = wrong_lengths(whole).get(which).copied().unwrap_or_default();
        asked.peer.certificate(&resized(&refusal, whole, length)).await;
        if let Err(Stop::Failed(how)) = asked.peer.expect_any_error().await {
            return failed(format!("Finished of {length} bytes: {how}"));
        }
    }
    Ok(())
}

async fn replayed_refusal(visit: &Visit<'_>) -> Done {
    let peer = visit.opened(1).await?;
    let mut asked = visit.challenged_on(peer, visit.path(0)?).await?;
    let second = visit.get(&mut asked.peer, visit.path(1)?).await;
    let request = &asked.request;
    let refusal = decline(&asked.peer.secrets, Side::Client, &request.bytes, &request.context);
    asked.peer.certificate(&refusal).await;
    match visit.next(&mut asked.peer, second).await? {
        Next::Requests(_) => {}
        Next::Response(_) => return skipped("the server does not ask again"),
        Next::Ended(how) => return failed(how),
    }
    asked.peer.certificate(&refusal).await;
    asked.peer.expect_any_error().await
}
