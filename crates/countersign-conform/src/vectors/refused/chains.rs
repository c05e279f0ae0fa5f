//! Authenticators that prove something that is not acceptable.

use countersign_pki::KeyKind;
use rcgen::{CustomExtension, ExtendedKeyUsagePurpose};

use crate::vectors::Vector;
use crate::vectors::accepted::UNKNOWN_OID;
use crate::vectors::kit::{Kit, Recipe};
use crate::vectors::pki::{Authority, Leaf, Made};

/// Proven, but not to be accepted: the verdict of a client's verifier that trusts `roots`.
pub(super) fn chains(kit: &Kit, base: &Recipe<'_>) -> Result<Vec<Vector>, String> {
    let kind = KeyKind::Ed25519;
    let mut vectors = Vec::new();
    let mut push = |fault: &str, expect: &str, note: &str, made: &Made, rest: bool| {
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
