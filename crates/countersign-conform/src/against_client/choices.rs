//! What a request says of certificates and signatures, and the client's choice.

use super::ClientCase;
use super::answers::name;
use super::guest::{Guest, good_request, request_with};
use crate::authenticator::{Proof, Request, SCHEMES, extension, message, scheme_name};
use crate::bytes::vector;
use crate::case::{Done, cases, failed, skipped};
use crate::identity::random_context;

pub(super) const CASES: &[ClientCase] = cases! {
    Must "rfc9261/5.2.2/c1" Both:
        "The scheme of a signature is one that the request offers.",
        "requests that offer one scheme each",
        "valid answers with this scheme, or empty ones"
        => |guest| schemes(guest);
    Should "rfc9261/5.2.1/c2" Both:
        "certificate_authorities guides the choice of a certificate.",
        "a request for certificates of an authority that nobody knows",
        "an empty authenticator"
        => unknown_authority;
    Must "rfc9261/5.2.1/c4" Both:
        "The certificates of a chain are signed with what signature_algorithms_cert offers.",
        "a request whose signature_algorithms_cert has a scheme that nobody signs with",
        "an empty authenticator"
        => |guest| nothing_fits(guest, (extension::SIGNATURE_ALGORITHMS_CERT, vector(2, &[0x02, 0xfe])));
    Must "rfc9261/5.2.1/c5" Both:
        "oid_filters limits the choice of a certificate.",
        "a request for an extended key usage that no certificate has",
        "an empty authenticator"
        => |guest| nothing_fits(guest, (extension::OID_FILTERS, unheard_of_usage()));
};

async fn schemes(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    let mut proofs = 0;
    for scheme in SCHEMES.iter().filter(|scheme| scheme.allowed) {
        let typ = message::CLIENT_CERTIFICATE_REQUEST;
        let extensions = [Request::algorithms(&[scheme.number])];
        let request = Request::new(typ, &random_context(), &extensions);
        match guest.exchange(&request).await? {
            Proof::Declined => {}
            Proof::Proven { scheme: used, .. } if used == scheme.number => proofs += 1,
            Proof::Proven { scheme: used, .. } => {
                return failed(format!("{} instead of {}", scheme_name(used), scheme.name));
            }
        }
    }
    if proofs == 0 {
        return skipped("the client presented nothing; it needs an identity");
    }
    Ok(())
}

async fn unknown_authority(guest: &mut Guest<'_>) -> Done {
    let authorities = vector(2, &vector(2, &name("An authority that nobody knows")));
    nothing_fits(guest, (extension::CERTIFICATE_AUTHORITIES, authorities)).await
}

/// An OIDFilter (RFC 8446, section 4.2.5) for extKeyUsage 1.3.6.1.4.1.99999.1.
fn unheard_of_usage() -> Vec<u8> {
    let usage = [0x30, 11, 0x06, 9, 0x2b, 6, 1, 4, 1, 0x86, 0x8d, 0x1f, 1];
    let filter = [vector(1, &[0x06, 3, 0x55, 0x1d, 0x25]), vector(2, &usage)].concat();
    vector(2, &filter)
}

/// The client presents nothing when it is asked with this extension, but something when it is asked without. Not the other
/// way round, for it may present a certificate once.
async fn nothing_fits(guest: &mut Guest<'_>, extension: (u16, Vec<u8>)) -> Done {
    guest.welcome_to_be_asked().await?;
    let request =
        request_with(message::CLIENT_CERTIFICATE_REQUEST, &random_context(), &[extension]);
    if guest.exchange(&request).await? != Proof::Declined {
        return failed("the client presented a certificate that was not asked for");
    }
    match guest.exchange(&good_request()).await? {
        Proof::Declined => skipped("the client presented nothing; it needs an identity"),
        Proof::Proven { .. } => Ok(()),
    }
}
