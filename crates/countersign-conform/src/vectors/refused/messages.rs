//! Authenticators whose messages are not what they should be.

use crate::authenticator::message;
use crate::bytes::vector;
use crate::vectors::Vector;
use crate::vectors::kit::{Recipe, verify_message};

/// Messages that are missing, cut, too many or out of order (section 5.2).
pub(super) fn shapes(base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
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
pub(super) fn entries(base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
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
