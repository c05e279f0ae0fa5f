//! Authenticators in which one thing is wrong each. None may be taken for a proof.

use countersign_pki::KeyKind;

use super::ServerCase;
use super::visit::{Next, Visit};
use crate::authenticator::{Draft, Side, certificate_message, decline, extension, message};
use crate::bytes::Reader;
use crate::case::{Done, Stop, cases, failed, skipped};
use crate::identity::Wanted;

pub(super) const CASES: &[ServerCase] = cases! {
    Must "rfc9261/5.2.3/s1" Both:
        "A wrong MAC makes an authenticator invalid.",
        "a valid answer with the last bit of Finished flipped",
        "a connection error or an error status"
        => |visit| altered(visit, |mut bytes| { flip(bytes.last_mut()); bytes });
    Must "rfc9261/5.2.3/s2" Both:
        "A MAC of another connection makes an authenticator invalid.",
        "an answer with this connection's signature and another connection's Finished MAC Key",
        "a connection error or an error status"
        => |visit| stolen(visit, false, true);
    Must "rfc9261/5.2.2/s2" Both:
        "A wrong signature makes an authenticator invalid.",
        "an answer with a bit of the signature flipped, and the MAC made over that",
        "a connection error or an error status"
        => |visit| forged(visit, |draft| draft.break_signature = true);
    Must "rfc9261/5.2.2/s3" Both:
        "A signature of another connection makes an authenticator invalid.",
        "an answer signed over another connection's handshake context, with this connection's MAC",
        "a connection error or an error status"
        => |visit| stolen(visit, true, false);
    Must "rfc9261/5.2.2/s4" Both:
        "An authenticator of another connection is invalid.",
        "an answer made with another connection's values throughout",
        "a connection error or an error status"
        => |visit| stolen(visit, true, true);
    Must "rfc9261/5.2.2/s5" Both:
        "The signed content begins with the context string of exported authenticators.",
        "an answer signed under the string of TLS 1.3's own client certificates",
        "a connection error or an error status"
        => |visit| forged(visit, |draft| draft.context_string = b"TLS 1.3, client CertificateVerify");
    Must "rfc9261/5.2.2/s6" Both:
        "The transcript contains the request.",
        "an answer whose signature and MAC leave the request out",
        "a connection error or an error status"
        => |visit| forged(visit, |draft| draft.request.clear());
    Must "rfc9261/5.2.2/s7" Both:
        "The transcript contains the request as it was sent.",
        "an answer whose signature and MAC are over the request with the other handshake type",
        "a connection error or an error status"
        => |visit| forged(visit, |draft| {
            if let Some(typ) = draft.request.first_mut() {
                *typ ^= message::CERTIFICATE_REQUEST ^ message::CLIENT_CERTIFICATE_REQUEST;
            }
        });
    Must "rfc9261/5.2.2/s8" Both:
        "The scheme is one that the request offers.",
        "a valid answer by an identity of the issuer's with a scheme that was not offered",
        "a connection error or an error status"
        => not_offered;
    Must "rfc9261/5.2.2/s9" Both:
        "RSASSA-PKCS1-v1_5 is not valid for signatures.",
        "an answer by an RSA identity of the issuer's, signed with and named rsa_pkcs1_sha256",
        "a connection error or an error status"
        => pkcs1;
    Must "rfc9261/5.2.2/s10" Both:
        "The scheme is the one of the signature.",
        "an answer that names another scheme than the key's",
        "a connection error or an error status"
        => |visit| forged(visit, |draft| {
            draft.scheme = if draft.scheme == 0x0503 { 0x0403 } else { 0x0503 };
        });
    Must "rfc9261/5.1/s2" Both:
        "A client's signature is over the client's handshake context.",
        "an answer signed over the server's handshake context",
        "a connection error or an error status"
        => |visit| forged(visit, |draft| draft.signer = Side::Server);
    Must "rfc9261/5.1/s3" Both:
        "A client's MAC is made with the client's values.",
        "an answer MACed with the server's values",
        "a connection error or an error status"
        => |visit| forged(visit, |draft| draft.finisher = Side::Server);
    Must "rfc9261/5.2.1/s1" Both:
        "The context is the request's.",
        "an answer with a bit of the context flipped, signed and MACed as it is",
        "a connection error or an error status"
        => |visit| forged(visit, |draft| flip(draft.context.last_mut()));
    Must "rfc9261/5.2.1/s2" Both:
        "An empty context is not the request's.",
        "an answer with an empty context, signed and MACed as it is",
        "a connection error or an error status"
        => |visit| forged(visit, |draft| draft.context.clear());
    Must "rfc9261/5.2.1/s3" Both:
        "Certificate has only extensions that the request has.",
        "an answer with an extension that was not requested",
        "a connection error or an error status"
        => |visit| forged(visit, |draft| extend(draft, &[0xfefe]));
    Must "rfc9261/5.2.1/s4" Both:
        "An extension does not occur twice.",
        "an answer with an extension twice that the request has, status_request or signed_certificate_timestamp",
        "a connection error or an error status"
        => requested_twice;
    Must "rfc9261/5.2.1/s5" Both:
        "Only X.509 certificates are supported.",
        "an answer with bytes that are no certificate in the place of the leaf",
        "a connection error or an error status"
        => |visit| forged(visit, |draft| {
            if let Some((leaf, _)) = draft.chain.first_mut() {
                *leaf = b"no certificate at all".to_vec();
            }
        });
    Must "rfc9261/5.2.1/s6" Both:
        "What is not an empty authenticator has a certificate.",
        "an answer whose Certificate has no entries, with CertificateVerify and Finished",
        "a connection error or an error status"
        => |visit| forged(visit, |draft| draft.chain.clear());
    Must "rfc9261/5.2.4/s2" Both:
        "An authenticator ends with Finished.",
        "a valid answer without its Finished",
        "a connection error or an error status"
        => |visit| altered(visit, |bytes| messages(&bytes).into_iter().take(2).flatten().collect());
    Must "rfc9261/5.2.4/s3" Both:
        "An authenticator contains CertificateVerify.",
        "a Certificate and the Finished over it, without CertificateVerify between them",
        "a connection error or an error status"
        => without_verify;
    Must "rfc9261/5.2.4/s4" Both:
        "The messages are in their order.",
        "a valid answer with CertificateVerify before Certificate",
        "a connection error or an error status"
        => |visit| altered(visit, |bytes| {
            let mut all = messages(&bytes);
            if all.len() > 1 {
                all.swap(0, 1);
            }
            all.concat()
        });
    Must "rfc9261/5.2.4/s5" Both:
        "Nothing follows Finished.",
        "a valid answer with a byte behind it",
        "a connection error or an error status"
        => |visit| altered(visit, |bytes| [&bytes[..], &[0]].concat());
    Must "rfc9261/5.2.4/s6" Both:
        "An authenticator is whole.",
        "the first 100 bytes of a valid answer",
        "a connection error or an error status"
        => |visit| altered(visit, |bytes| bytes.into_iter().take(100).collect());
    Must "rfc9261/5.2.4/s7" Both:
        "An authenticator is not nothing.",
        "CERTIFICATE without a payload",
        "a connection error or an error status"
        => |visit| altered(visit, |_| Vec::new());
    Must "rfc9261/5.2.4/s8" Both:
        "Signature and MAC cover everything.",
        "valid answers with one bit flipped each, at sixteen places",
        "a connection error or an error status, each time"
        => flipped_anywhere;
    Robustness "rfc9261/6/s1" Both:
        "An empty authenticator has a MAC too.",
        "an empty authenticator with a bit of its MAC flipped",
        "a connection error"
        => |visit| bad_refusal(visit, |mut bytes| { flip(bytes.last_mut()); bytes });
    Robustness "rfc9261/6/s2" Both:
        "An empty authenticator is a Finished message alone.",
        "an empty authenticator twice in one frame",
        "a connection error"
        => |visit| bad_refusal(visit, |bytes| bytes.repeat(2));
    Must "client/5.2/s2" Both:
        "An answer does not count for another request.",
        "the valid answer to one of two outstanding requests, sent for both",
        "no success for the second"
        => replayed;
    Must "client/4.2/s8" Both:
        "A CERTIFICATE carries a single authenticator.",
        "the valid answers to two outstanding requests in one frame",
        "a connection error or an error status"
        => two_in_one;
    Robustness "client/4.1.4/s3" Both:
        "Answers come in the order of their requests.",
        "the answer to the second of two outstanding requests, first",
        "a connection error"
        => out_of_order;
};

fn flip(byte: Option<&mut u8>) {
    if let Some(byte) = byte {
        *byte ^= 1;
    }
}

fn extend(draft: &mut Draft<'_>, types: &[u16]) {
    if let Some((_, extensions)) = draft.chain.first_mut() {
        extensions.extend(types.iter().map(|typ| (*typ, vec![1, 0, 0, 1, 0])));
    }
}

/// The messages of an authenticator.
fn messages(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut reader, mut messages) = (Reader(bytes), Vec::new());
    loop {
        let whole = reader.0;
        let Some(body) = reader.take(1).and_then(|_| reader.vector(3)) else {
            return messages;
        };
        messages.push(whole.iter().take(4 + body.len()).copied().collect());
    }
}

async fn forged(visit: &Visit<'_>, change: fn(&mut Draft<'_>)) -> Done {
    let mut asked = visit.challenged().await?;
    let mut draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
    change(&mut draft);
    let authenticator = draft.sign(&asked.peer.secrets)?;
    asked.peer.certificate(&authenticator).await;
    visit.refused(&mut asked.peer, asked.stream).await
}

async fn altered(visit: &Visit<'_>, change: fn(Vec<u8>) -> Vec<u8>) -> Done {
    let mut asked = visit.challenged().await?;
    let draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
    let authenticator = change(draft.sign(&asked.peer.secrets)?);
    asked.peer.certificate(&authenticator).await;
    visit.refused(&mut asked.peer, asked.stream).await
}

async fn without_verify(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    let draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
    let certificate = certificate_message(&draft.context, &draft.chain);
    let finished = asked.peer.secrets.finished(Side::Client, &[&draft.request, &certificate]);
    asked.peer.certificate(&[certificate, finished].concat()).await;
    visit.refused(&mut asked.peer, asked.stream).await
}

async fn requested_twice(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    // Those that a Certificate may answer with.
    let known = [extension::STATUS_REQUEST, extension::SIGNED_CERTIFICATE_TIMESTAMP];
    let Some(typ) = known.into_iter().find(|typ| asked.request.extension(*typ).is_some()) else {
        return skipped("the server requests no extension that could be answered");
    };
    let mut draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
    extend(&mut draft, &[typ; 2]);
    let authenticator = draft.sign(&asked.peer.secrets)?;
    asked.peer.certificate(&authenticator).await;
    visit.refused(&mut asked.peer, asked.stream).await
}

async fn stolen(visit: &Visit<'_>, signature: bool, finished: bool) -> Done {
    let elsewhere = visit.connect().await?.secrets;
    let mut asked = visit.challenged().await?;
    let mut draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
    draft.stolen_signature = signature.then(|| elsewhere.clone());
    draft.stolen_finished = finished.then_some(elsewhere);
    let authenticator = draft.sign(&asked.peer.secrets)?;
    asked.peer.certificate(&authenticator).await;
    visit.refused(&mut asked.peer, asked.stream).await
}

async fn not_offered(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    let offered = asked.request.schemes();
    // The last, rsa_pss_pss_sha256, is computed as rsa_pss_rsae_sha256 is, and hardly anybody offers it.
    let kinds = [
        (KeyKind::Ed25519, 0x0807, 0x0807),
        (KeyKind::P521, 0x0603, 0x0603),
        (KeyKind::MlDsa44, 0x0904, 0x0904),
        (KeyKind::P384, 0x0503, 0x0503),
        (KeyKind::Rsa2048, 0x0804, 0x0804),
        (KeyKind::Rsa2048, 0x0809, 0x0804),
    ];
    let Some((key, scheme, signed_with)) =
        kinds.into_iter().find(|(_, scheme, _)| !offered.contains(scheme))
    else {
        return skipped("the server offers all of the tool's schemes and rsa_pss_pss_sha256");
    };
    let identity = visit.minted(Wanted { key, ..Wanted::default() })?;
    let mut draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
    draft.chain = identity.chain.iter().map(|der| (der.clone(), Vec::new())).collect();
    (draft.identity, draft.scheme, draft.signed_with) = (&identity, scheme, signed_with);
    let authenticator = draft.sign(&asked.peer.secrets)?;
    asked.peer.certificate(&authenticator).await;
    visit.refused(&mut asked.peer, asked.stream).await
}

async fn pkcs1(visit: &Visit<'_>) -> Done {
    let identity = visit.minted(Wanted { key: KeyKind::Rsa2048, ..Wanted::default() })?;
    let mut asked = visit.challenged().await?;
    let mut draft = match Draft::answer(&asked.request, &identity) {
        Ok(draft) => draft,
        Err(Stop::Skipped(_)) => return skipped("the server offers no scheme for RSA keys"),
        Err(other) => return Err(other),
    };
    (draft.scheme, draft.signed_with) = (0x0401, 0x0401);
    let authenticator = draft.sign(&asked.peer.secrets)?;
    asked.peer.certificate(&authenticator).await;
    visit.refused(&mut asked.peer, asked.stream).await
}

async fn flipped_anywhere(visit: &Visit<'_>) -> Done {
    for place in 0..16 {
        let mut asked = visit.challenged().await?;
        let draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
        let mut authenticator = draft.sign(&asked.peer.secrets)?;
        let at = authenticator.len() * (2 * place + 1) / 32;
        if let Some(byte) = authenticator.get_mut(at) {
            *byte ^= 1 << (place % 8);
        }
        asked.peer.certificate(&authenticator).await;
        if let Err(Stop::Failed(how)) = visit.refused(&mut asked.peer, asked.stream).await {
            return failed(format!("byte {at} of {}: {how}", authenticator.len()));
        }
    }
    Ok(())
}

async fn bad_refusal(visit: &Visit<'_>, change: fn(Vec<u8>) -> Vec<u8>) -> Done {
    let mut asked = visit.challenged().await?;
    let request = &asked.request;
    let refusal = decline(&asked.peer.secrets, Side::Client, &request.bytes, &request.context);
    asked.peer.certificate(&change(refusal)).await;
    asked.peer.expect_any_error().await
}

/// A client of which two credentials are asked for, with both requests and the streams that wait.
async fn asked_twice(
    visit: &Visit<'_>,
) -> Done<(super::visit::Asked, crate::authenticator::Request, u64)> {
    let second_path = visit.path(1)?;
    let mut asked = visit.challenged().await?;
    let second = visit.get(&mut asked.peer, second_path).await;
    match visit.next(&mut asked.peer, second).await? {
        Next::Requests(requests) => match requests.into_iter().next() {
            Some(request) => Ok((asked, request, second)),
            None => failed("AUTHENTICATOR_REQUESTS without a request"),
        },
        Next::Response(status) => failed(format!("status {status} before an answer")),
        Next::Ended(how) => failed(how),
    }
}

async fn replayed(visit: &Visit<'_>) -> Done {
    let (mut asked, _, second) = asked_twice(visit).await?;
    let draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
    let authenticator = draft.sign(&asked.peer.secrets)?;
    asked.peer.certificate(&authenticator).await;
    asked.peer.certificate(&authenticator).await;
    visit.refused(&mut asked.peer, second).await
}

async fn two_in_one(visit: &Visit<'_>) -> Done {
    let (mut asked, later, _) = asked_twice(visit).await?;
    let mut frame = Vec::new();
    for request in [&asked.request, &later] {
        frame.extend(Draft::answer(request, visit.identity(request)?)?.sign(&asked.peer.secrets)?);
    }
    asked.peer.certificate(&frame).await;
    visit.refused(&mut asked.peer, asked.stream).await
}

async fn out_of_order(visit: &Visit<'_>) -> Done {
    let (mut asked, later, _) = asked_twice(visit).await?;
    asked.peer.answer(&later, visit.identity(&later)?).await?;
    asked.peer.expect_any_error().await
}
