//! Certificates that prove something, but not what is needed.

use super::ServerCase;
use super::visit::Visit;
use crate::case::{Done, cases, skipped};
use crate::identity::{Identity, Wanted};

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
    Must "client/5.1/s6" Both:
        "Who holds a certificate issues none.",
        "a valid answer by a certificate that a leaf of the issuer's has issued",
        "an error status or the end of the connection"
        => |visit| unacceptable(visit, Wanted { below_a_leaf: true, ..Wanted::default() });
    Must "client/5.1/s7" Both:
        "An authority is known by its key.",
        "a valid answer by a certificate of an authority of the issuer's name and of the tool's own key",
        "an error status or the end of the connection"
        => impostors;
    Must "client/5.1/s8" Both:
        "A certificate that is not yet valid grants nothing.",
        "a valid answer by a certificate that will be valid from tomorrow",
        "an error status or the end of the connection"
        => |visit| unacceptable(visit, Wanted { since: 1, ..Wanted::default() });
    Must "client/5.1/s9" Both:
        "A certificate whose signature is wrong grants nothing.",
        "a valid answer by a certificate of the issuer's with a bit of its signature flipped",
        "an error status or the end of the connection"
        => damaged;
    Must "rfc9261/5.2.1/s7" Both:
        "A certificate that says what its key is for says digitalSignature.",
        "a valid answer by a certificate whose key usage is keyAgreement alone",
        "an error status or the end of the connection"
        => |visit| unacceptable(visit, Wanted { for_signatures: false, ..Wanted::default() });
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

async fn impostors(visit: &Visit<'_>) -> Done {
    let Some(mint) = &visit.target.mint else {
        return skipped("it needs --issuer");
    };
    presents(visit, &mint.impostor()?.issue(Wanted::default())?, false).await
}

async fn damaged(visit: &Visit<'_>) -> Done {
    let mut identity = visit.minted(Wanted::default())?;
    // A certificate ends with its signature.
    if let Some(last) = identity.chain.first_mut().and_then(|leaf| leaf.last_mut()) {
        *last ^= 1;
    }
    presents(visit, &identity, false).await
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
