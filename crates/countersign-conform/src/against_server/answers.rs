//! Valid answers, and what they are worth.

use countersign_pki::KeyKind;

use super::ServerCase;
use super::visit::{Next, Visit};
use crate::authenticator::{Draft, Hash, scheme_name};
use crate::case::{Done, Version, cases, failed, skipped};
use crate::identity::Wanted;
use crate::raw::{H2Frame, Peer};
use crate::tls::Suites;

pub(super) const CASES: &[ServerCase] = cases! {
    Must "rfc9261/5.2.4/s1" Both:
        "An authenticator whose signature and MAC are right is valid.",
        "a valid answer by --identity",
        "success"
        => answered;
    Must "client/4.2/s1" Both:
        "An empty authenticator declines and leaves the connection alive.",
        "an empty authenticator",
        "an error status, and an answer to the next request"
        => declined;
    Must "client/5.4/s1" Both:
        "A certificate holds for all streams of the connection.",
        "a valid answer, then the same GET on another stream",
        "success without another answer"
        => whole_connection;
    Robustness "client/4.1.4/s2" Both:
        "Several outstanding requests are answered in their order.",
        "GETs for two paths, and both answers once both requests have come",
        "success for both"
        => two_in_order;
    Must "rfc9261/5.1/s1" Both:
        "The exported values are as long as the hash of the cipher suite.",
        "a valid answer on a connection with TLS_AES_256_GCM_SHA384",
        "success"
        => sha384;
    Robustness "rfc9261/5.1/s4" Http2:
        "Authenticators work with TLS 1.2 and the extended master secret.",
        "a valid answer on a connection of TLS 1.2",
        "success"
        => |visit| tls12(visit, Suites::Tls12);
    Robustness "rfc9261/5.1/s5" Http2:
        "With TLS 1.2 the exported values are as long as the hash of its PRF.",
        "a valid answer on a connection of TLS 1.2 with AES-256-GCM, whose PRF is SHA-384",
        "success"
        => |visit| tls12(visit, Suites::Tls12Sha384);
    Robustness "rfc9261/5.2.2/s20" Both:
        "ECDSA on P-256 is accepted where it was offered.", "a valid answer with ecdsa_secp256r1_sha256", "success"
        => |visit| scheme(visit, KeyKind::P256, 0x0403);
    Robustness "rfc9261/5.2.2/s21" Both:
        "ECDSA on P-384 is accepted where it was offered.", "a valid answer with ecdsa_secp384r1_sha384", "success"
        => |visit| scheme(visit, KeyKind::P384, 0x0503);
    Robustness "rfc9261/5.2.2/s22" Both:
        "ECDSA on P-521 is accepted where it was offered.", "a valid answer with ecdsa_secp521r1_sha512", "success"
        => |visit| scheme(visit, KeyKind::P521, 0x0603);
    Robustness "rfc9261/5.2.2/s23" Both:
        "Ed25519 is accepted where it was offered.", "a valid answer with ed25519", "success"
        => |visit| scheme(visit, KeyKind::Ed25519, 0x0807);
    Robustness "rfc9261/5.2.2/s24" Both:
        "RSA-PSS with SHA-256 is accepted where it was offered.", "a valid answer with rsa_pss_rsae_sha256", "success"
        => |visit| scheme(visit, KeyKind::Rsa2048, 0x0804);
    Robustness "rfc9261/5.2.2/s25" Both:
        "RSA-PSS with SHA-384 is accepted where it was offered.", "a valid answer with rsa_pss_rsae_sha384", "success"
        => |visit| scheme(visit, KeyKind::Rsa2048, 0x0805);
    Robustness "rfc9261/5.2.2/s26" Both:
        "RSA-PSS with SHA-512 is accepted where it was offered.", "a valid answer with rsa_pss_rsae_sha512", "success"
        => |visit| scheme(visit, KeyKind::Rsa2048, 0x0806);
    Robustness "rfc9261/5.2.2/s27" Both:
        "ML-DSA-44 is accepted where it was offered.", "a valid answer with mldsa44", "success"
        => |visit| scheme(visit, KeyKind::MlDsa44, 0x0904);
    Robustness "rfc9261/5.2.2/s28" Both:
        "ML-DSA-65 is accepted where it was offered.", "a valid answer with mldsa65", "success"
        => |visit| scheme(visit, KeyKind::MlDsa65, 0x0905);
    Robustness "rfc9261/5.2.2/s29" Both:
        "ML-DSA-87 is accepted where it was offered.", "a valid answer with mldsa87", "success"
        => |visit| scheme(visit, KeyKind::MlDsa87, 0x0906);
    Robustness "rfc9261/5.2.1/s20" Both:
        "A chain may have several authorities.",
        "a valid answer by a leaf with three further authorities above it",
        "success"
        => |visit| minted(visit, Wanted { authorities: 3, ..Wanted::default() });
    Robustness "rfc9261/5.2.1/s21" Both:
        "A post-quantum chain is longer than 16,384 bytes.",
        "a valid answer by an ML-DSA-87 leaf below two ML-DSA-87 authorities, in one frame",
        "success"
        => post_quantum;
    Robustness "client/4.2/s2" Both:
        "CERTIFICATE may arrive in pieces.",
        "a valid answer, 7 bytes at a time",
        "success"
        => in_pieces;
    Must "http2/4.1/s1" Http2:
        "Undefined flags and the reserved bit are ignored.",
        "a valid answer in CERTIFICATE with all flags and the reserved bit set",
        "success"
        => flags;
    Robustness "client/4.2/s3" Both:
        "Who takes a request back may still answer.",
        "a GET that needs a credential, cancelled when the challenge has come; then a valid answer",
        "success for the next GET"
        => cancelled;
};

async fn answered(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    asked.peer.answer(&asked.request, visit.identity(&asked.request)?).await?;
    visit.granted(&mut asked.peer, asked.stream).await
}

async fn declined(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    asked.peer.decline(&asked.request).await;
    visit.refused_alone(&mut asked.peer, asked.stream).await
}

async fn whole_connection(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    asked.peer.answer(&asked.request, visit.identity(&asked.request)?).await?;
    visit.granted(&mut asked.peer, asked.stream).await?;
    let stream = visit.get(&mut asked.peer, visit.path(0)?).await;
    match visit.status_unanswered(&mut asked.peer, stream).await? {
        200..400 => Ok(()),
        status => failed(format!("status {status} on another stream")),
    }
}

async fn two_in_order(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(4).await?;
    let first = visit.get(&mut peer, visit.path(0)?).await;
    let second = visit.get(&mut peer, visit.path(1)?).await;
    let mut outstanding = Vec::new();
    while outstanding.len() < 2 {
        match visit.next(&mut peer, first).await? {
            Next::Requests(requests) => outstanding.extend(requests),
            Next::Response(status) => return failed(format!("status {status} before an answer")),
            Next::Ended(how) => return failed(how),
        }
    }
    for request in &outstanding {
        peer.answer(request, visit.identity(request)?).await?;
    }
    visit.granted(&mut peer, first).await?;
    visit.granted(&mut peer, second).await
}

async fn sha384(visit: &Visit<'_>) -> Done {
    let Ok(peer) = visit.connect_over(Suites::Of(Hash::Sha384)).await else {
        return skipped("the server does not accept TLS_AES_256_GCM_SHA384");
    };
    answered_on(visit, peer).await
}

async fn tls12(visit: &Visit<'_>, suites: Suites) -> Done {
    let Ok(peer) = visit.connect_over(suites).await else {
        return skipped("the server does not accept TLS 1.2 with AES-GCM");
    };
    answered_on(visit, peer).await
}

async fn answered_on(visit: &Visit<'_>, mut peer: Peer) -> Done {
    peer.open(&visit.announcing(4)).await?;
    visit.takes_part(&peer)?;
    let mut asked = visit.challenged_on(peer, visit.path(0)?).await?;
    asked.peer.answer(&asked.request, visit.identity(&asked.request)?).await?;
    visit.granted(&mut asked.peer, asked.stream).await
}

async fn scheme(visit: &Visit<'_>, key: KeyKind, scheme: u16) -> Done {
    let identity = visit.minted(Wanted { key, ..Wanted::default() })?;
    let mut asked = visit.challenged().await?;
    if !asked.request.schemes().contains(&scheme) {
        return skipped(format!("the server does not offer {}", scheme_name(scheme)));
    }
    let mut draft = Draft::answer(&asked.request, &identity)?;
    (draft.scheme, draft.signed_with) = (scheme, scheme);
    let authenticator = draft.sign(&asked.peer.secrets)?;
    asked.peer.certificate(&authenticator).await;
    visit.granted(&mut asked.peer, asked.stream).await
}

async fn minted(visit: &Visit<'_>, wanted: Wanted) -> Done {
    let identity = visit.minted(wanted)?;
    let mut asked = visit.challenged().await?;
    asked.peer.answer(&asked.request, &identity).await?;
    visit.granted(&mut asked.peer, asked.stream).await
}

async fn post_quantum(visit: &Visit<'_>) -> Done {
    let key = KeyKind::MlDsa87;
    let identity =
        visit.minted(Wanted { key, authorities: 2, authority_key: key, ..Wanted::default() })?;
    let mut asked = visit.challenged().await?;
    let authenticator = Draft::answer(&asked.request, &identity)?.sign(&asked.peer.secrets)?;
    // SETTINGS_MAX_FRAME_SIZE.
    let greatest = asked.peer.setting(5).unwrap_or(1 << 14);
    if visit.version == Version::Http2 && authenticator.len() as u64 > greatest {
        return skipped(format!("the server takes no frames above {greatest} bytes"));
    }
    asked.peer.certificate(&authenticator).await;
    visit.granted(&mut asked.peer, asked.stream).await
}

async fn in_pieces(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    let identity = visit.identity(&asked.request)?;
    let authenticator = Draft::answer(&asked.request, identity)?.sign(&asked.peer.secrets)?;
    let frame = asked.peer.encode(visit.target.points.certificate, &authenticator);
    for piece in frame.chunks(7) {
        asked.peer.bytes(piece).await;
    }
    visit.granted(&mut asked.peer, asked.stream).await
}

async fn flags(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    let identity = visit.identity(&asked.request)?;
    let authenticator = Draft::answer(&asked.request, identity)?.sign(&asked.peer.secrets)?;
    let kind = visit.target.points.certificate.into();
    let frame = H2Frame::new(kind, 0xff, 0x8000_0000, &authenticator);
    asked.peer.bytes(&frame.encode()).await;
    visit.granted(&mut asked.peer, asked.stream).await
}

async fn cancelled(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    asked.peer.cancel(asked.stream).await;
    asked.peer.answer(&asked.request, visit.identity(&asked.request)?).await?;
    let stream = visit.get(&mut asked.peer, visit.path(0)?).await;
    visit.granted(&mut asked.peer, stream).await
}
