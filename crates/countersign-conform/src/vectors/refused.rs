//! Authenticators that have to be refused: each differs in one thing from an accepted one.

use countersign_pki::KeyKind;
use rcgen::{CustomExtension, ExtendedKeyUsagePurpose};

use super::Vector;
use super::accepted::{UNKNOWN_OID, ocsp};
use super::kit::{ALL_SCHEMES, Connection, Kit, Recipe, context, plain_request, verify_message};
use super::pki::{Authority, Leaf};
use crate::authenticator::{Hash, Request, Side, certificate_message, decline, extension, message};
use crate::bytes::vector;

/// The accepted cases that the refused ones begin with.
pub(super) fn bases(kit: &Kit) -> Vec<Recipe<'_>> {
    let made = &kit.ed25519;
    let mut bases = vec![
        Recipe::new("base-client", Side::Client, Hash::Sha256, made),
        Recipe::new("base-server", Side::Server, Hash::Sha256, made),
        Recipe::spontaneous("base-spontaneous", Hash::Sha256, made),
        Recipe::new("base-sha384", Side::Client, Hash::Sha384, made),
        Recipe::new("base-rsa", Side::Client, Hash::Sha256, &kit.rsa),
        Recipe::new("base-p256", Side::Client, Hash::Sha256, &kit.p256),
        Recipe::new("base-empty-client", Side::Client, Hash::Sha256, made),
        Recipe::new("base-empty-server", Side::Server, Hash::Sha256, made),
        Recipe::new("base-empty-sha384", Side::Client, Hash::Sha384, made),
    ];
    if let Some(base) = bases.first_mut() {
        let offered = (extension::STATUS_REQUEST, vec![1, 0, 0, 0, 0]);
        let list = [Request::algorithms(&ALL_SCHEMES), offered];
        *base = base.clone().with_request(Request::new(17, &base.context, &list));
    }
    bases
}

pub(super) fn vectors(kit: &Kit) -> Result<Vec<Vector>, String> {
    let mut vectors = Vec::new();
    for base in bases(kit) {
        match (base.name.contains("empty"), base.name.as_str()) {
            (true, _) => vectors.extend(refusals(&base)?),
            (false, "base-rsa") => vectors.extend(rsa(&base)?),
            (false, "base-p256") => vectors.extend(ecdsa(&base)?),
            (false, "base-spontaneous") => {
                vectors.extend(secrets(&base)?);
                vectors.extend(spontaneous(&base)?);
            }
            (false, "base-client") => {
                vectors.extend(secrets(&base)?);
                vectors.extend(answers(&base)?);
                vectors.extend(shapes(&base)?);
                vectors.extend(entries(&base)?);
                vectors.extend(chains(kit, &base)?);
            }
            (false, _) => vectors.extend(secrets(&base)?),
        }
    }
    Ok(vectors)
}

/// What binds an authenticator to a connection, a side and a transcript (sections 5.1, 5.2.2, 5.2.3).
fn secrets(base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
    let other = match base.side {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    };
    let hash = base.connection.secrets.hash();
    let elsewhere = || Connection::new("another", hash).secrets;
    let (signature, mac) = ("bad_signature", "bad_finished");
    let bytes = base.right()?;
    let flipped = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        bytes
    };
    let wrong_hash = match hash {
        Hash::Sha256 => Hash::Sha384,
        Hash::Sha384 => Hash::Sha256,
    };
    let in_other_hash =
        Recipe { connection: Connection::new("vectors", wrong_hash), ..base.clone() }.right()?;
    Ok(vec![
        base.changed("signature-flipped", signature, "the MAC fits", |draft| {
            draft.break_signature = true;
        })?,
        base.changed(
            "signature-of-other-side",
            signature,
            "the other side's Handshake Context",
            |draft| {
                draft.signer = other;
            },
        )?,
        base.changed("mac-of-other-side", mac, "the other side's values", |draft| {
            draft.finisher = other;
        })?,
        base.changed(
            "both-of-other-side",
            "bad_signature|bad_finished",
            "as the other side would make it",
            |draft| {
                draft.signer = other;
                draft.finisher = other;
            },
        )?,
        base.changed(
            "signature-elsewhere",
            signature,
            "made for another connection, as a relay would",
            |draft| {
                draft.stolen_signature = Some(elsewhere());
            },
        )?,
        base.changed("mac-elsewhere", mac, "the key of another connection", |draft| {
            draft.stolen_finished = Some(elsewhere());
        })?,
        base.changed(
            "context-string-client",
            signature,
            "what TLS 1.3 has clients sign",
            |draft| {
                draft.context_string = b"TLS 1.3, client CertificateVerify";
            },
        )?,
        base.changed(
            "context-string-server",
            signature,
            "what TLS 1.3 has servers sign",
            |draft| {
                draft.context_string = b"TLS 1.3, server CertificateVerify";
            },
        )?,
        base.changed("context-string-none", signature, "", |draft| draft.context_string = b"")?,
        base.refused("mac-flipped", mac, "", flipped(&bytes)),
        base.refused(
            "other-hash",
            "bad_signature|bad_finished",
            "hashed with the other of SHA-256 and SHA-384",
            in_other_hash,
        ),
        mac_with(base, "mac-short", "the first half of the right MAC", |tag| {
            tag.iter().take(tag.len() / 2).copied().collect()
        })?,
        mac_with(base, "mac-long", "a zero behind the right MAC", |tag| [tag, &[0]].concat())?,
        mac_with(base, "mac-none", "an empty Finished", |_| Vec::new())?,
        mac_with(base, "mac-zero", "nothing but zeros", |tag| vec![0; tag.len()])?,
    ])
}

/// The same with another MAC.
fn mac_with(
    base: &Recipe<'_>,
    fault: &str,
    note: &str,
    change: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Result<Vector, String> {
    let certificate = base.certificate();
    let verify = base.verify(&certificate)?;
    let finished = base.finished(&certificate, &verify);
    let tag = change(finished.get(4..).unwrap_or_default());
    let finished = message::encode(message::FINISHED, &tag);
    let bytes = [certificate, verify, finished].concat();
    Ok(base.refused(fault, "bad_finished|malformed", note, bytes))
}

/// An answer that does not fit its request (sections 4, 5.2.1, 5.2.2).
fn answers(base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
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

/// Messages that are missing, cut, too many or out of order (section 5.2).
fn shapes(base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
    let certificate = base.certificate();
    let verify = base.verify(&certificate)?;
    let finished = base.finished(&certificate, &verify);
    let bytes = base.right()?;
    let cut = |length: usize| bytes.get(..length).unwrap_or_default().to_vec();
    let (sequence, cut_short) = ("bad_message_sequence", "malformed|bad_message_sequence");
    let trailing = "trailing_bytes|malformed";
    let (first, second) = (certificate.len(), certificate.len() + verify.len());
    let mut vectors = vec![
        base.refused("nothing", cut_short, "no byte at all", Vec::new()),
        base.refused("one-byte", cut_short, "", cut(1)),
        base.refused("header-only", cut_short, "", cut(4)),
        base.refused("cut-certificate", cut_short, "", cut(first / 2)),
        base.refused("certificate-only", cut_short, "", cut(first)),
        base.refused("cut-verify", cut_short, "", cut(first + 10)),
        base.refused("no-finished", cut_short, "", cut(second)),
        base.refused("cut-finished-header", cut_short, "", cut(second + 2)),
        base.refused("cut-last-byte", cut_short, "", cut(bytes.len() - 1)),
        base.refused("trailing-byte", trailing, "", [&bytes[..], &[0]].concat()),
        base.refused("trailing-finished", trailing, "", [&bytes[..], &finished].concat()),
        base.refused("twice", trailing, "two whole ones", [&bytes[..], &bytes].concat()),
        base.refused("no-verify", sequence, "", [&certificate[..], &finished].concat()),
        base.refused("verify-first", sequence, "", base.join(&verify, &certificate)),
        base.refused(
            "verify-twice",
            sequence,
            "",
            [&certificate[..], &verify, &verify, &finished].concat(),
        ),
        base.refused(
            "finished-first",
            "bad_message_sequence|trailing_bytes|malformed",
            "",
            [&finished[..], &certificate, &verify].concat(),
        ),
        base.refused(
            "request-first",
            sequence,
            "the request is sent, too",
            [base.request_bytes(), &bytes].concat(),
        ),
    ];
    for (fault, at, typ) in
        [("certificate-type", 0, 25_u8), ("verify-type", first, 16), ("finished-type", second, 21)]
    {
        let mut wrong = bytes.clone();
        if let Some(byte) = wrong.get_mut(at) {
            *byte = typ;
        }
        vectors.push(base.refused(fault, sequence, "another handshake type", wrong));
    }
    let wrapped = [&[22, 3, 3][..], &vector(2, &bytes)].concat();
    vectors.push(base.refused("in-a-record", cut_short, "wrapped in a TLS record", wrapped));
    Ok(vectors)
}

/// Certificate and CertificateVerify with something wrong inside; signed and MACed as they are.
fn entries(base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
    let leaf = base.made.identity.chain.first().cloned().unwrap_or_default();
    let entry = |der: &[u8]| [vector(3, der), vec![0, 0]].concat();
    let list = |list: &[u8]| [vector(1, &base.context), vector(3, list)].concat();
    let malformed = "malformed|bad_certificate|trailing_bytes";
    let mut vectors = Vec::new();
    for (fault, expect, note, body) in [
        ("list-empty", "empty_certificate_list", "an empty list with a signature", list(&[])),
        ("certificate-empty", malformed, "a certificate of no bytes", list(&entry(&[]))),
        ("certificate-garbage", malformed, "", list(&entry(b"this is no certificate"))),
        (
            "certificate-cut",
            malformed,
            "the leaf lacks its last byte",
            list(&entry(leaf.get(..leaf.len() - 1).unwrap_or_default())),
        ),
        (
            "certificate-trailing",
            malformed,
            "a byte behind the leaf's DER",
            list(&entry(&[&leaf[..], &[0]].concat())),
        ),
        (
            "raw-public-key",
            malformed,
            "a SubjectPublicKeyInfo instead of a certificate",
            list(&entry(&raw_public_key(&leaf))),
        ),
        (
            "list-trailing",
            malformed,
            "a byte behind certificate_list",
            [list(&entry(&leaf)), vec![0]].concat(),
        ),
        (
            "list-overrun",
            malformed,
            "certificate_list is said to be longer than its message",
            [vector(1, &base.context), vec![0xff; 3], entry(&leaf)].concat(),
        ),
        (
            "certificate-overrun",
            malformed,
            "cert_data is said to be longer than its list",
            list(&[&[0xff; 3][..], &leaf, &[0, 0]].concat()),
        ),
        (
            "extensions-missing",
            malformed,
            "an entry without the length of its extensions",
            list(&vector(3, &leaf)),
        ),
        (
            "extensions-overrun",
            malformed,
            "extensions are said to be longer than their entry",
            list(&[&vector(3, &leaf)[..], &[0xff, 0xff]].concat()),
        ),
        (
            "extension-cut",
            malformed,
            "an extension without its length",
            list(&[vector(3, &leaf), vector(2, &[0, 5])].concat()),
        ),
        (
            "context-missing",
            malformed,
            "no context at all, in the form of TLS 1.2",
            vector(3, &vector(3, &leaf)),
        ),
    ] {
        let certificate = message::encode(message::CERTIFICATE, &body);
        vectors.push(base.refused(fault, expect, note, base.around(&certificate)?));
    }
    let certificate = base.certificate();
    let right = base.verify(&certificate)?;
    let signature = right.get(8..).unwrap_or_default();
    let bad = "bad_signature";
    for (fault, expect, note, verify) in [
        ("signature-empty", bad, "no byte", verify_message(base.scheme, &[])),
        (
            "signature-cut",
            bad,
            "",
            verify_message(base.scheme, signature.get(1..).unwrap_or_default()),
        ),
        (
            "signature-long",
            bad,
            "a zero behind it",
            verify_message(base.scheme, &[signature, &[0]].concat()),
        ),
        ("signature-zero", bad, "", verify_message(base.scheme, &vec![0; signature.len()])),
        (
            "verify-trailing",
            malformed,
            "a byte behind the signature",
            message::encode(15, &[right.get(4..).unwrap_or_default(), &[0]].concat()),
        ),
        (
            "verify-cut",
            malformed,
            "the signature is said to be longer than its message",
            message::encode(15, &[&[8, 7, 0xff, 0xff][..], signature].concat()),
        ),
        ("verify-empty", malformed, "", message::encode(15, &[])),
        (
            "verify-no-scheme",
            malformed,
            "the signature alone",
            message::encode(15, &vector(2, signature)),
        ),
    ] {
        vectors.push(base.refused(fault, expect, note, base.join(&certificate, &verify)));
    }
    Ok(vectors)
}

fn raw_public_key(leaf: &[u8]) -> Vec<u8> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let parsed = X509Certificate::from_der(leaf);
    parsed.map(|(_, leaf)| leaf.public_key().raw.to_vec()).unwrap_or_default()
}

/// Proven, but not to be accepted: the verdict of a client's verifier that trusts `roots`.
fn chains(kit: &Kit, base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
    let kind = KeyKind::Ed25519;
    let mut vectors = Vec::new();
    let mut push = |fault: &str, expect: &str, note: &str, made: &super::pki::Made, rest: bool| {
        let mut recipe = Recipe { made, ..base.clone() };
        let sent = if rest { made.identity.chain.len() } else { 1 };
        recipe.chain =
            made.identity.chain.iter().take(sent).map(|der| (der.clone(), Vec::new())).collect();
        vectors.push(recipe.refused(fault, expect, note, recipe.right()?));
        Ok::<(), String>(())
    };
    push(
        "chain-stranger",
        "untrusted",
        "issued by somebody else of the same name",
        &kit.stranger,
        true,
    )?;
    let leaf = Leaf { from: (2020, 1, 1), until: (2021, 1, 1), ..Leaf::of(kind) };
    push(
        "chain-expired",
        "expired|untrusted",
        "the leaf, since 2021",
        &kit.root.issue(&leaf)?,
        true,
    )?;
    let leaf = Leaf { from: (2048, 1, 1), ..Leaf::of(kind) };
    push(
        "chain-not-yet-valid",
        "expired|untrusted",
        "the leaf, until 2048",
        &kit.root.issue(&leaf)?,
        true,
    )?;
    let leaf = Leaf { purposes: vec![ExtendedKeyUsagePurpose::ServerAuth], ..Leaf::of(kind) };
    push("chain-for-servers", "wrong_purpose|untrusted", "", &kit.root.issue(&leaf)?, true)?;
    let leaf = Leaf { purposes: vec![ExtendedKeyUsagePurpose::EmailProtection], ..Leaf::of(kind) };
    push("chain-for-mail", "wrong_purpose|untrusted", "", &kit.root.issue(&leaf)?, true)?;
    let mut critical = CustomExtension::from_oid_content(UNKNOWN_OID, vec![4, 1, 0]);
    critical.set_criticality(true);
    let leaf = Leaf { extensions: vec![critical], ..Leaf::of(kind) };
    push(
        "chain-critical-extension",
        "untrusted",
        "an unknown one in the leaf",
        &kit.root.issue(&leaf)?,
        true,
    )?;
    let two = kit.below.issue(&Leaf::of(kind))?;
    push("chain-no-intermediate", "untrusted", "the intermediate is not sent", &two, false)?;
    let other = Authority::root(KeyKind::P256)?;
    let mut rootless = base.refused(
        "chain-other-root",
        "untrusted",
        "valid, below a root that is not trusted",
        base.right()?,
    );
    rootless.roots = vec![other.root.into()];
    vectors.push(rootless);
    Ok(vectors)
}

/// What a server may say unasked (section 5.2.1), and that a client may not (section 5).
fn spontaneous(base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
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

/// What TLS 1.3 no longer allows, and keys that another scheme names.
fn rsa(base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
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
fn ecdsa(base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
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

/// Empty authenticators that are not right (section 6).
fn refusals(base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
    let secrets = &base.connection.secrets;
    let right = base.declined();
    let asked = base.request_bytes();
    let other = match base.side {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    };
    let mut flipped = right.clone();
    if let Some(last) = flipped.last_mut() {
        *last ^= 1;
    }
    let another = plain_request(17, &context("another request"), &ALL_SCHEMES);
    let elsewhere = Connection::new("another", secrets.hash()).secrets;
    let mac = "bad_finished";
    let mut replayed = base.refused("replayed", "context_replayed", "", right.clone());
    replayed.used_contexts = vec![base.context.clone().into()];
    let mut vectors = vec![
        base.refused("flipped", mac, "", flipped),
        base.refused(
            "of-other-side",
            mac,
            "the other side's values",
            decline(secrets, other, asked, &base.context),
        ),
        base.refused(
            "elsewhere",
            mac,
            "another connection's values",
            decline(&elsewhere, base.side, asked, &base.context),
        ),
        base.refused(
            "other-request",
            mac,
            "declines another request",
            decline(secrets, base.side, &another.bytes, &another.context),
        ),
        base.refused(
            "other-context",
            mac,
            "Certificate in the transcript has another context",
            decline(secrets, base.side, asked, &another.context),
        ),
        base.refused(
            "no-certificate",
            mac,
            "no Certificate in the transcript",
            secrets.finished(base.side, &[asked]),
        ),
        base.refused(
            "no-request",
            mac,
            "no request in the transcript",
            secrets.finished(base.side, &[&certificate_message(&base.context, &[])]),
        ),
        base.refused(
            "trailing",
            "trailing_bytes|malformed|bad_message_sequence",
            "",
            [&right[..], &[0]].concat(),
        ),
        base.refused(
            "cut",
            "malformed",
            "",
            right.get(..right.len() - 1).unwrap_or_default().to_vec(),
        ),
        base.refused(
            "with-certificate",
            "bad_message_sequence",
            "Certificate is sent, too",
            [certificate_message(&base.context, &[]), right.clone()].concat(),
        ),
        base.refused("no-mac", mac, "an empty Finished", message::encode(message::FINISHED, &[])),
        replayed,
    ];
    for vector in &mut vectors {
        vector.roots.clear();
    }
    Ok(vectors)
}
