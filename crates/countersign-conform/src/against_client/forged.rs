//! Authenticators of servers in which one thing is wrong each. None may be taken for a proof.

use super::ClientCase;
use super::guest::Guest;
use super::host::Host;
use crate::authenticator::{Draft, Secrets, Side, decline, extension, message, scheme_name};
use crate::case::{Done, Stop, cases, failed, skipped};
use crate::identity::random_context;

pub(super) const CASES: &[ClientCase] = cases! {
    Must "server/5.3/c1" Both:
        "What does not decode is SERVER_CERTIFICATE_INVALID.",
        "SERVER_CERTIFICATE with bytes that are no authenticator",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| altered(guest, |_| b"whatever".to_vec());
    Must "server/5.3/c2" Both:
        "A wrong signature is SERVER_CERTIFICATE_INVALID.",
        "an authenticator with a bit of the signature flipped, and the MAC made over that",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| forged(guest, |draft, _| draft.break_signature = true);
    Must "server/5.3/c3" Both:
        "A wrong MAC is SERVER_CERTIFICATE_INVALID.",
        "an authenticator with the last bit of Finished flipped",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| altered(guest, |mut bytes| {
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            bytes
        });
    Must "server/5.3/c4" Both:
        "An authenticator of another side is SERVER_CERTIFICATE_INVALID.",
        "an authenticator made with the client's values",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| forged(guest, |draft, _| (draft.signer, draft.finisher) = (Side::Client, Side::Client));
    Must "server/5.3/c5" Both:
        "An authenticator ends with Finished.",
        "an authenticator with a byte behind it",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| altered(guest, |bytes| [&bytes[..], &[0]].concat());
    Must "server/5.3/c6" Both:
        "An authenticator is whole.",
        "the first 100 bytes of an authenticator",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| altered(guest, |bytes| bytes.into_iter().take(100).collect());
    Must "server/5.3/c7" Both:
        "A server that was not asked cannot decline.",
        "an empty authenticator",
        "SERVER_CERTIFICATE_INVALID"
        => empty;
    Should "server/5.3/c8" Both:
        "A context is valid once.",
        "a valid spontaneous authenticator, twice",
        "SERVER_CERTIFICATE_INVALID"
        => repeated;
    Must "rfc9261/5.2.2/c2" Both:
        "RSASSA-PKCS1-v1_5 is not valid for signatures.",
        "an authenticator signed with and named rsa_pkcs1_sha256",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| forged_by(guest, |host| &host.rsa, |draft, _| {
            (draft.scheme, draft.signed_with) = (0x0401, 0x0401);
        });
    Must "rfc9261/5.2.2/c3" Both:
        "The scheme is the one of the signature.",
        "an authenticator by an ECDSA key on P-256 that names ecdsa_secp384r1_sha384",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| forged(guest, |draft, _| draft.scheme = 0x0503);
    Must "rfc9261/5.2.1/c3" Both:
        "Certificate has only extensions that the ClientHello has.",
        "an authenticator with an extension that nobody knows",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| forged(guest, |draft, _| {
            if let Some((_, extensions)) = draft.chain.first_mut() {
                extensions.push((0xfefe, Vec::new()));
            }
        });
    Must "server/5.3/c9" Both:
        "The signed content begins with the context string of exported authenticators.",
        "an authenticator signed under the string of TLS 1.3's own server certificates",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| forged(guest, |draft, _| {
            draft.context_string = b"TLS 1.3, server CertificateVerify";
        });
    Must "server/5.3/c10" Both:
        "A server's signature is over the server's handshake context.",
        "an authenticator signed over the client's handshake context",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| forged(guest, |draft, _| draft.signer = Side::Client);
    Must "server/5.3/c11" Both:
        "A server's MAC is made with the server's values.",
        "an authenticator MACed with the client's values",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| forged(guest, |draft, _| draft.finisher = Side::Client);
    Must "server/5.3/c12" Both:
        "An authenticator of another connection is SERVER_CERTIFICATE_INVALID.",
        "an authenticator made with another connection's values throughout",
        "SERVER_CERTIFICATE_INVALID"
        => elsewhere;
    Must "server/5.3/c13" Both:
        "An authenticator ends with Finished.",
        "an authenticator without its Finished",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| reordered(guest, &[0, 1]);
    Must "server/5.3/c14" Both:
        "An authenticator contains CertificateVerify.",
        "an authenticator without its CertificateVerify",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| reordered(guest, &[0, 2]);
    Must "server/5.3/c15" Both:
        "The messages are in their order.",
        "an authenticator with CertificateVerify before Certificate",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| reordered(guest, &[1, 0, 2]);
    Must "server/5.3/c16" Both:
        "An authenticator is not nothing.",
        "SERVER_CERTIFICATE without a payload",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| reordered(guest, &[]);
    Must "server/5.3/c17" Both:
        "What is not an empty authenticator has a certificate.",
        "an authenticator whose Certificate has no entries, with CertificateVerify and Finished",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| forged(guest, |draft, _| draft.chain.clear());
    Must "server/5.3/c18" Both:
        "Only X.509 certificates are supported.",
        "an authenticator with bytes that are no certificate in the place of the leaf",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| forged(guest, |draft, _| {
            if let Some((leaf, _)) = draft.chain.first_mut() {
                *leaf = b"no certificate at all".to_vec();
            }
        });
    Must "server/5.3/c19" Both:
        "An extension does not occur twice.",
        "an authenticator with status_request twice",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| forged(guest, |draft, _| {
            if let Some((_, extensions)) = draft.chain.first_mut() {
                extensions.extend([(); 2].map(|()| (extension::STATUS_REQUEST, vec![1, 0, 0, 1, 0])));
            }
        });
    Must "server/5.3/c20" Both:
        "Signature and MAC cover everything.",
        "authenticators with one bit flipped each, at sixteen places, on as many connections",
        "SERVER_CERTIFICATE_INVALID, each time"
        => flipped_anywhere;
    Must "server/5.3/c21" Both:
        "Finished has the whole of the MAC and no more.",
        "authenticators with 0, 1, 31 and 33 bytes in Finished, on as many connections",
        "SERVER_CERTIFICATE_INVALID, each time"
        => another_length;
    Must "rfc9261/5.2.2/c4" Both:
        "The signature is by the key of the first certificate.",
        "an authenticator with a second leaf behind the first, signed with the second one's key",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| forged(guest, |draft, host| {
            draft.chain.extend(host.stranger.chain.first().map(|leaf| (leaf.clone(), Vec::new())));
            draft.identity = &host.stranger;
        });
    Must "rfc9261/5.2.2/c5" Both:
        "A scheme of ECDSA names the curve together with the hash.",
        "an authenticator by a P-521 key that signs with SHA-384 and names ecdsa_secp384r1_sha384",
        "SERVER_CERTIFICATE_INVALID"
        => |guest| forged_by(guest, |host| &host.p521_with_sha384, |_, _| {});
    Must "rfc9261/5.2.2/c6" Both:
        "The scheme of a spontaneous authenticator is one that the ClientHello offers.",
        "an authenticator with a scheme that the ClientHello lacks",
        "SERVER_CERTIFICATE_INVALID"
        => not_offered;
};

/// The places at which `server/5.3/c20` flips a bit.
pub(super) const PLACES: usize = 16;
/// How long Finished is in `server/5.3/c21`; the right length is 32.
pub(super) const LENGTHS: [usize; 4] = [0, 1, 31, 33];

async fn forged(guest: &mut Guest<'_>, change: for<'h> fn(&mut Draft<'h>, &'h Host)) -> Done {
    forged_by(guest, |host| &host.further, change).await
}

async fn forged_by(
    guest: &mut Guest<'_>,
    who: fn(&Host) -> &crate::identity::Identity,
    change: for<'h> fn(&mut Draft<'h>, &'h Host),
) -> Done {
    guest.welcome_to_be_shown().await?;
    let mut draft = Draft::spontaneous(&random_context(), who(guest.host));
    change(&mut draft, guest.host);
    let authenticator = draft.sign(&guest.peer.secrets)?;
    invalid(guest, &authenticator).await
}

async fn altered(guest: &mut Guest<'_>, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Done {
    guest.welcome_to_be_shown().await?;
    let authenticator = change(guest.spontaneous(&guest.host.further, |_| {})?);
    invalid(guest, &authenticator).await
}

/// Shows this, which is not valid.
async fn invalid(guest: &mut Guest<'_>, authenticator: &[u8]) -> Done {
    guest.peer.control(guest.host.points.server_certificate, authenticator).await;
    guest.peer.expect_code(guest.invalid()).await
}

/// These of an authenticator's messages, in this order.
async fn reordered(guest: &mut Guest<'_>, order: &'static [usize]) -> Done {
    altered(guest, |bytes| {
        let all = message::split(&bytes);
        order.iter().filter_map(|at| all.get(*at)).flatten().copied().collect()
    })
    .await
}

async fn empty(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_shown().await?;
    let authenticator = decline(&guest.peer.secrets, Side::Server, &[], &[]);
    invalid(guest, &authenticator).await
}

async fn repeated(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_shown().await?;
    let authenticator = guest.spontaneous(&guest.host.further, |_| {})?;
    guest.peer.control(guest.host.points.server_certificate, &authenticator).await;
    invalid(guest, &authenticator).await
}

async fn elsewhere(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_shown().await?;
    let random = |value: &mut [u8], _: &[u8]| aws_lc_rs::rand::fill(value);
    let Ok(secrets) = Secrets::export(guest.peer.secrets.hash(), random) else {
        return failed("the tool has no random numbers");
    };
    let draft = Draft::spontaneous(&random_context(), &guest.host.further);
    invalid(guest, &draft.sign(&secrets)?).await
}

async fn flipped_anywhere(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_shown().await?;
    let mut authenticator = guest.spontaneous(&guest.host.further, |_| {})?;
    let at = authenticator.len() * (2 * guest.round + 1) / (2 * PLACES);
    if let Some(byte) = authenticator.get_mut(at) {
        *byte ^= 1 << (guest.round % 8);
    }
    let what = format!("byte {at} of {}", authenticator.len());
    told(&what, invalid(guest, &authenticator).await)
}

async fn another_length(guest: &mut Guest<'_>) -> Done {
    let length = LENGTHS.get(guest.round).copied().unwrap_or_default();
    let tried = altered(guest, |bytes| {
        let mut all = message::split(&bytes);
        let finished = all.pop().unwrap_or_default();
        let mut data = finished.get(4..).unwrap_or_default().to_vec();
        data.resize(length, 0);
        [all.concat(), message::encode(message::FINISHED, &data)].concat()
    });
    told(&format!("{length} bytes in Finished"), tried.await)
}

/// Says of a failure which of several things was tried.
pub(super) fn told(what: &str, tried: Done) -> Done {
    tried.map_err(|stop| match stop {
        Stop::Failed(how) => Stop::Failed(format!("{what}: {how}")),
        Stop::Skipped(_) => stop,
    })
}

/// rsa_pss_pss_sha256. Its signatures are those of rsa_pss_rsae_sha256, which the tool can make; the certificate is for the
/// latter.
const RSA_PSS_PSS_SHA256: u16 = 0x0809;

async fn not_offered(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_shown().await?;
    let host = guest.host;
    let of_host = host.kinds.iter().flat_map(|identity| {
        identity.key.schemes().iter().map(move |scheme| (identity, *scheme, *scheme))
    });
    let offered = guest.peer.offered.clone();
    let missing = of_host
        .chain([(&host.rsa, RSA_PSS_PSS_SHA256, 0x0804)])
        .find(|(_, scheme, _)| !offered.contains(scheme));
    let Some((identity, scheme, signed_with)) = missing else {
        return skipped("the client offers every scheme that the tool has for this");
    };
    let mut draft = Draft::spontaneous(&random_context(), identity);
    (draft.scheme, draft.signed_with) = (scheme, signed_with);
    let authenticator = draft.sign(&guest.peer.secrets)?;
    told(&scheme_name(scheme), invalid(guest, &authenticator).await)
}
