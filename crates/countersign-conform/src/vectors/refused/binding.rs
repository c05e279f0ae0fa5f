//! Authenticators of other connections, other sides and other transcripts.

use crate::authenticator::{Hash, Side, message};
use crate::vectors::Vector;
use crate::vectors::kit::{Connection, Recipe};

/// What binds an authenticator to a connection, a side and a transcript (sections 5.1, 5.2.2, 5.2.3).
pub(super) fn secrets(base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
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
