//! Empty authenticators that do not decline what was asked.

use crate::authenticator::{Side, certificate_message, decline, message};
use crate::vectors::Vector;
use crate::vectors::kit::{ALL_SCHEMES, Connection, Recipe, context, plain_request};

/// Empty authenticators that are not right (section 6).
pub(super) fn refusals(base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
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
