//! Authenticators that do not fit what was asked or offered.

use crate::authenticator::{Request, Side, decline, extension, message};
use crate::vectors::Vector;
use crate::vectors::accepted::ocsp;
use crate::vectors::kit::{ALL_SCHEMES, Recipe, context, plain_request};

/// An answer that does not fit its request (sections 4, 5.2.1, 5.2.2).
pub(super) fn answers(base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
    let other = context("another request");
    let mut vectors = vec![
        base.changed(
            "other-context",
            "context_mismatch",
            "the transcript has the right request",
            |draft| {
                draft.context.clone_from(&other);
            },
        )?,
        base.changed("no-context", "context_mismatch", "", |draft| draft.context.clear())?,
        base.changed("longer-context", "context_mismatch", "the right one and a byte", |draft| {
            draft.context.push(0);
        })?,
        base.changed(
            "request-not-signed",
            "bad_signature",
            "a transcript without the request",
            |draft| {
                draft.request.clear();
            },
        )?,
        base.changed(
            "request-body-signed",
            "bad_signature",
            "a transcript with the request's body only",
            |draft| {
                draft.request = draft.request.split_off(4);
            },
        )?,
        base.changed(
            "request-type-signed",
            "bad_signature",
            "a transcript with message type 13 instead of 17",
            |draft| {
                if let Some(typ) = draft.request.first_mut() {
                    *typ = message::CERTIFICATE_REQUEST;
                }
            },
        )?,
        base.changed(
            "other-request",
            "context_mismatch",
            "the whole answer to another request",
            |draft| {
                draft.request = plain_request(17, &other, &ALL_SCHEMES).bytes;
                draft.context.clone_from(&other);
            },
        )?,
    ];
    let mut replayed =
        base.refused("replayed", "context_replayed", "valid, for the second time", base.right()?);
    replayed.used_contexts = vec![base.context.clone().into()];
    vectors.push(replayed);
    // The same scheme, in a request that does not have it.
    let request = Request::new(
        17,
        &base.context,
        &[Request::algorithms(&[0x0403, 0x0804]), (extension::STATUS_REQUEST, vec![1, 0, 0, 0, 0])],
    );
    let narrow = base.clone().with_request(request);
    vectors.push(narrow.refused(
        "scheme-not-offered",
        "scheme_not_offered",
        "Ed25519, which this request leaves out",
        narrow.right()?,
    ));
    for (fault, scheme, expect) in [
        ("scheme-of-another-key", 0x0403, "scheme_key_mismatch|bad_signature"),
        ("scheme-rsa", 0x0804, "scheme_key_mismatch|bad_signature"),
        ("scheme-unknown", 0xfe00, "scheme_not_tls13|scheme_not_offered"),
        ("scheme-zero", 0, "scheme_not_tls13|scheme_not_offered"),
    ] {
        let wrong =
            base.changed(fault, expect, "only the name is wrong", |draft| draft.scheme = scheme)?;
        vectors.push(wrong);
    }
    for (fault, typ, body) in [
        ("extension-sct", extension::SIGNED_CERTIFICATE_TIMESTAMP, Vec::new()),
        ("extension-unknown", 0xfafa, b"unasked".to_vec()),
    ] {
        vectors.push(base.changed(fault, "extension_not_requested", "", |draft| {
            if let Some((_, extensions)) = draft.chain.first_mut() {
                extensions.push((typ, body));
            }
        })?);
    }
    vectors.push(base.changed(
        "extension-of-requests",
        "extension_not_requested",
        "signature_algorithms is in the request, but has no place in Certificate",
        |draft| {
            if let Some((_, extensions)) = draft.chain.first_mut() {
                extensions.push(Request::algorithms(&ALL_SCHEMES));
            }
        },
    )?);
    vectors.push(base.changed("extension-twice", "duplicate_extension", "", |draft| {
        if let Some((_, extensions)) = draft.chain.first_mut() {
            extensions.extend([(5, ocsp()), (5, ocsp())]);
        }
    })?);
    Ok(vectors)
}

/// What a server may say unasked (section 5.2.1), and that a client may not (section 5).
pub(super) fn spontaneous(base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
    let right = base.right()?;
    let mut repeated =
        base.refused("repeated", "context_replayed", "its context was used before", right.clone());
    repeated.used_contexts = vec![base.context.clone().into()];
    let mut narrow = base.refused("scheme-not-in-clienthello", "scheme_not_offered", "", right);
    if let Some(hello) = &mut narrow.client_hello {
        hello.signature_algorithms = vec![0x0403, 0x0804];
    }
    let mut offered = base.clone();
    if let Some((_, extensions)) = offered.chain.first_mut() {
        extensions.push((extension::STATUS_REQUEST, ocsp()));
    }
    let mut unoffered =
        offered.refused("ocsp-not-in-clienthello", "extension_not_requested", "", offered.right()?);
    unoffered.twin = "spontaneous-ocsp".to_owned();
    if let Some(hello) = &mut unoffered.client_hello {
        hello.extensions = vec![extension::SIGNATURE_ALGORITHMS];
    }
    let unknown =
        base.changed("extension-not-in-clienthello", "extension_not_requested", "", |draft| {
            if let Some((_, extensions)) = draft.chain.first_mut() {
                extensions.push((extension::SIGNED_CERTIFICATE_TIMESTAMP, vec![0, 0]));
            }
        })?;
    let empty = decline(&base.connection.secrets, base.side, &[], &base.context);
    let empty = base.refused(
        "empty",
        "bad_message_sequence|malformed",
        "there is no request to decline",
        empty,
    );
    let client = Recipe { side: Side::Client, ..base.clone() };
    let mut client =
        client.refused("from-a-client", "spontaneous_client", "only servers may", client.right()?);
    client.server_name.clear();
    let mut name = base.refused(
        "other-name",
        "wrong_name|untrusted",
        "the chain is for another name",
        base.right()?,
    );
    name.server_name = "other.example.test".to_owned();
    Ok(vec![repeated, narrow, unoffered, unknown, empty, client, name])
}
