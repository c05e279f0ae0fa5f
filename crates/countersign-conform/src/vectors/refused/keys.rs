//! Signature schemes that do not fit the key, or TLS 1.3.

use crate::vectors::Vector;
use crate::vectors::kit::{Recipe, plain_request};

/// What TLS 1.3 no longer allows, and keys that another scheme names.
pub(super) fn rsa(base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
    let not_allowed = "scheme_not_tls13|scheme_not_offered";
    let mut vectors = vec![base.changed(
        "pkcs1",
        not_allowed,
        "rsa_pkcs1_sha256, which the request does not offer either",
        |draft| (draft.signed_with, draft.scheme) = (0x0401, 0x0401),
    )?];
    let request = plain_request(17, &base.context, &[0x0401, 0x0501, 0x0601, 0x0804, 0x0807]);
    let offered = base.clone().with_request(request);
    vectors.push(offered.changed(
        "pkcs1-offered",
        "scheme_not_tls13",
        "the request offers it, which is for certificates alone",
        |draft| (draft.signed_with, draft.scheme) = (0x0401, 0x0401),
    )?);
    for (fault, scheme, expect) in [
        ("sha1", 0x0201, not_allowed),
        ("pss-of-another-hash", 0x0805, "bad_signature"),
        ("pss-pss", 0x0809, "scheme_not_tls13|scheme_not_offered|scheme_key_mismatch"),
        ("named-ecdsa", 0x0403, "scheme_key_mismatch"),
        ("named-ed25519", 0x0807, "scheme_key_mismatch"),
    ] {
        vectors.push(
            base.changed(fault, expect, "only the name is wrong", |draft| draft.scheme = scheme)?,
        );
    }
    Ok(vectors)
}

/// In TLS 1.3 a scheme of ECDSA binds the curve.
pub(super) fn ecdsa(base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
    let mut vectors = Vec::new();
    for (fault, scheme, expect) in [
        ("named-p384", 0x0503, "scheme_key_mismatch"),
        ("named-p521", 0x0603, "scheme_key_mismatch"),
        ("ecdsa-sha1", 0x0203, "scheme_not_tls13|scheme_not_offered"),
        ("named-pss", 0x0804, "scheme_key_mismatch"),
    ] {
        vectors.push(
            base.changed(fault, expect, "only the name is wrong", |draft| draft.scheme = scheme)?,
        );
    }
    vectors.push(base.changed("signature-flipped", "bad_signature", "", |draft| {
        draft.break_signature = true;
    })?);
    Ok(vectors)
}
