//! For whom a client takes the server once it was shown a further certificate: it is told to fetch from a second origin.

use super::guest::{Guest, good_request};
use super::{ClientCase, Host};
use crate::case::{Done, cases, failed, skipped};
use crate::identity::Identity;

pub(super) const CASES: &[ClientCase] = cases! {
    Must "server/1.1/c1" Both:
        "Authority for an origin comes from a certificate that is valid for its name, of a server, now, and trusted.",
        "a certificate for the second origin; and on other connections one for another name, one that has expired, \
         one that is not valid yet, one of a stranger, one of a namesake of the authority, one that is not for servers",
        "a request for the second origin on the first connection, and on none of the others"
        => |guest| judged(guest, &UNFIT);
    Must "rfc9261/5.2.1/c6" Both:
        "A certificate with key usage is fit only if digitalSignature is in it.",
        "a certificate for the second origin; and on another connection one whose key usage is keyAgreement alone",
        "a request for the second origin on the first connection, and none on the other, whether the client refuses the \
         authenticator or the certificate"
        => not_for_signatures;
};

/// The host of the second origin.
const FURTHER: &str = "further.test";

/// The second URL to be fetched, once the response to the first one is there; none in most cases.
pub fn further_url(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (place, case) = rest.rsplit_once('/')?;
    let (_, port) = place.rsplit_once(':')?;
    let wanted = CASES.iter().any(|known| known.about.id.replace('/', "-") == case);
    wanted.then(|| format!("{scheme}://{FURTHER}:{port}/{case}"))
}

/// A certificate that gives no authority, and why not.
type Unfit = (&'static str, fn(&Host) -> &Identity);

/// Those of `server/1.1/c1`.
pub(super) const UNFIT: [Unfit; 6] = [
    ("a certificate for another name", |host| &host.other),
    ("an expired certificate", |host| &host.expired),
    ("a certificate that is not valid yet", |host| &host.early),
    ("a certificate of a stranger", |host| &host.stranger),
    ("a certificate of a namesake", |host| &host.namesake),
    ("a certificate for clients", |host| &host.for_clients),
];

/// That of `rfc9261/5.2.1/c6`.
pub(super) const NOT_FOR_SIGNATURES: [Unfit; 1] =
    [("a certificate that is not for signatures", |host| &host.key_agreement)];

async fn not_for_signatures(guest: &mut Guest<'_>) -> Done {
    let judged = judged(guest, &NOT_FOR_SIGNATURES).await;
    let refused = guest.peer.end().is_some_and(|end| end.code == Some(guest.invalid()));
    // The certificate is not what TLS asks for, so that the authenticator may count as invalid as well.
    if guest.round > 0 && refused { Ok(()) } else { judged }
}

/// On the first connection there is a certificate that is fit, on each further one an unfit one.
async fn judged(guest: &mut Guest<'_>, unfit: &'static [Unfit]) -> Done {
    guest.welcome_to_be_shown().await?;
    let unfit = guest.round.checked_sub(1).and_then(|at| unfit.get(at));
    let who = unfit.map_or(&guest.host.further, |(_, who)| who(guest.host));
    guest.show(who, |_| {}).await?;
    if guest.peer.setting(guest.host.points.client_cert_auth).is_some_and(|limit| limit > 0) {
        // Over HTTP/3 the response could overtake the certificate.
        guest.exchange(&good_request()).await?;
    }
    match (unfit, guest.is_used_again().await?) {
        (None, true) | (Some(_), false) => Ok(()),
        (None, false) => skipped(format!(
            "the client made no request for {FURTHER} on the connection; it has to fetch {{further}} as well"
        )),
        (Some((what, _)), true) => {
            failed(format!("{what}: the client made a request for {FURTHER} on the connection"))
        }
    }
}
