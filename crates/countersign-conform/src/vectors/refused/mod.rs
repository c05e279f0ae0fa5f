//! Authenticators that have to be refused: each differs in one thing from an accepted one.

mod answers;
mod binding;
mod chains;
mod empty;
mod keys;
mod messages;

use super::Vector;
use super::kit::{ALL_SCHEMES, Kit, Recipe};
use crate::authenticator::{Hash, Request, Side, extension};

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
            (true, _) => vectors.extend(empty::refusals(&base)?),
            (false, "base-rsa") => vectors.extend(keys::rsa(&base)?),
            (false, "base-p256") => vectors.extend(keys::ecdsa(&base)?),
            (false, "base-spontaneous") => {
                vectors.extend(binding::secrets(&base)?);
                vectors.extend(answers::spontaneous(&base)?);
            }
            (false, "base-client") => {
                vectors.extend(binding::secrets(&base)?);
                vectors.extend(answers::answers(&base)?);
                vectors.extend(messages::shapes(&base)?);
                vectors.extend(messages::entries(&base)?);
                vectors.extend(chains::chains(kit, &base)?);
            }
            (false, _) => vectors.extend(binding::secrets(&base)?),
        }
    }
    Ok(vectors)
}
