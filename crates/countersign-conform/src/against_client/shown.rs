//! Valid authenticators of servers. A client takes them in, whether it trusts the certificates or not.

use super::guest::Guest;
use super::{ClientCase, Host};
use crate::authenticator::Draft;
use crate::case::{Done, Version, cases, skipped};
use crate::identity::{Identity, random_context};

pub(super) const CASES: &[ClientCase] = cases! {
    Must "server/3.2/c1" Both:
        "A client that announced support takes certificates.",
        "a valid spontaneous authenticator, and a response",
        "no error"
        => |guest| content(guest, |host| &host.further);
    Must "server/6.2/c1" Both:
        "An expired certificate is no connection error.",
        "a valid spontaneous authenticator by an expired certificate, and a response",
        "no error"
        => |guest| content(guest, |host| &host.expired);
    Must "server/6.2/c2" Both:
        "A certificate that is not trusted is no connection error.",
        "a valid spontaneous authenticator by a certificate of an authority that nobody knows, and a response",
        "no error"
        => |guest| content(guest, |host| &host.stranger);
    Must "server/3.2/c2" Both:
        "A client verifies signatures in every scheme that its ClientHello offers.",
        "valid spontaneous authenticators, one in each such scheme, and a response",
        "no error"
        => every_scheme;
    Robustness "server/3.2/c3" Both:
        "Chains may be long.",
        "a valid spontaneous authenticator with three authorities behind the leaf, and a response",
        "no error"
        => |guest| content(guest, |host| &host.deep);
    Robustness "server/3.2/c4" Both:
        "Authenticators may be long.",
        "a valid spontaneous authenticator of ML-DSA-87 with more than 16,384 bytes, and a response",
        "no error"
        => long;
    Must "rfc9261/5.1/c5" Both:
        "The server's exported values, too, are as long as the hash of the cipher suite.",
        "a valid spontaneous authenticator on a connection with TLS_AES_256_GCM_SHA384, and a response",
        "no error"
        => |guest| content(guest, |host| &host.further);
    Must "server/6.2/c3" Both:
        "An authority is more than a name.",
        "a valid spontaneous authenticator by a certificate of an authority that has the name of a trusted one and \
         another key, and a response",
        "no error"
        => |guest| content(guest, |host| &host.namesake);
    Must "server/6.2/c4" Both:
        "A certificate that is not valid yet is no connection error.",
        "a valid spontaneous authenticator by a certificate that is valid from tomorrow, and a response",
        "no error"
        => |guest| content(guest, |host| &host.early);
};

async fn content(guest: &mut Guest<'_>, who: fn(&Host) -> &Identity) -> Done {
    guest.welcome_to_be_shown().await?;
    guest.show(who(guest.host), |_| {}).await?;
    guest.content_in_the_end().await
}

async fn every_scheme(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_shown().await?;
    for identity in &guest.host.kinds {
        for scheme in identity.key.schemes() {
            if guest.peer.offered.contains(scheme) {
                let mut draft = Draft::spontaneous(&random_context(), identity);
                (draft.scheme, draft.signed_with) = (*scheme, *scheme);
                let authenticator = draft.sign(&guest.peer.secrets)?;
                guest.peer.control(guest.host.points.server_certificate, &authenticator).await;
            }
        }
    }
    guest.content_in_the_end().await
}

async fn long(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_shown().await?;
    let great = &guest.host.great;
    if !great.key.schemes().iter().any(|scheme| guest.peer.offered.contains(scheme)) {
        return skipped("the client does not offer mldsa87");
    }
    let authenticator = guest.spontaneous(great, |_| {})?;
    // SETTINGS_MAX_FRAME_SIZE.
    let greatest = guest.peer.setting(5).unwrap_or(1 << 14);
    if guest.version() == Version::Http2 && authenticator.len() as u64 > greatest {
        return skipped(format!("the client takes frames of {greatest} bytes"));
    }
    guest.peer.control(guest.host.points.server_certificate, &authenticator).await;
    guest.content_in_the_end().await
}
