//! `[credentials.NAME]`.

use std::sync::Arc;

use countersign_trust::{
    ChainVerifier, Revocation, RevocationList, TrustError, UnknownStatus, VerifiedChains,
};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use toml::Spanned;
use toml::de::DeValue;

use super::files;
use super::keys::{Key, Keys, Kind};
use super::table::{At, Table};
use crate::credential::{Constraint, Credential, PURPOSES};
use crate::names::Pattern;

pub(super) const KEYS: Keys = &[
    Key::needed("trust", Kind::File, "PEM file of the CA certificates that vouch for it."),
    Key::new(
        "crl",
        Kind::NonEmpty(&Kind::File),
        "Files with revocation lists, each PEM or one list in DER; without them revocation is not checked.",
    ),
    Key::new(
        "crl_policy",
        Kind::Word(&["require", "if-present"]),
        "With `crl`: whether certificates for whose issuer there is no list are refused (unless set otherwise) or pass.",
    ),
    Key::default(
        "ask",
        Kind::Word(&["on-connect", "on-demand"]),
        "\"on-demand\"",
        "When clients are asked: as soon as they connect, or once a route requires it.",
    ),
    Key::new(
        "subject_alt_names",
        Kind::NonEmpty(&NAME_PATTERN),
        "Patterns; one must fit one of the certificate's names.",
    ),
    Key::new(
        "extended_key_usages",
        Kind::NonEmpty(&Kind::Text("^([A-Za-z]+|[0-9]+([.][0-9]+){2,})$")),
        "Names such as `clientAuth`, or object identifiers; the certificate must have all.",
    ),
    Key::default(
        "handshake",
        Kind::Word(&["accept", "ignore"]),
        "\"ignore\"",
        "Whether a certificate from the TLS handshake may be this credential.",
    ),
    Key::new(
        "spiffe_trust_domains",
        Kind::Reserved(
            "leave it out; `subject_alt_names = [\"spiffe://example.test/…\"]` matches URIs",
        ),
        "Reserved.",
    ),
];

/// A pattern for names of certificates.
pub(super) const NAME_PATTERN: Kind = Kind::Text("^[!-~]+$");

/// Reads all of `[credentials]`.
///
/// The names come back even if something in them is wrong, so that routes are checked against them.
pub(crate) fn read(
    table: Table<'_>,
    provider: &Arc<CryptoProvider>,
    known: &Arc<VerifiedChains>,
) -> (Vec<Credential>, Vec<Arc<str>>) {
    let mut credentials = Vec::new();
    let mut lists = files::RevocationLists::new(provider.signature_verification_algorithms);
    let mut names: Vec<Arc<str>> = Vec::new();
    for (key, value) in table.entries() {
        let name: Arc<str> = (&**key.get_ref()).into();
        if !is_name(&name) {
            table.source().mistake(
                key.span(),
                format!("`{name}` is no name for a credential"),
                "1 to 64 letters, digits, `-` and `_`".to_owned(),
            );
        }
        names.push(Arc::clone(&name));
        credentials.extend(one(&table, name, value, provider, &mut lists, known));
    }
    (credentials, names)
}

/// Whether this may be a name of a table.
pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn one(
    parent: &Table<'_>,
    name: Arc<str>,
    value: &Spanned<DeValue<'_>>,
    provider: &Arc<CryptoProvider>,
    loaded: &mut files::RevocationLists,
    known: &Arc<VerifiedChains>,
) -> Option<Credential> {
    let source = parent.source();
    let title = format!("[credentials.{name}]");
    let Some(entries) = value.get_ref().as_table() else {
        source.mistake(
            value.span(),
            format!("`credentials.{name}` must be a table"),
            format!("found: {}", value.get_ref().type_str()),
        );
        return None;
    };
    let table = Table::new(source, &title, entries, value.span(), KEYS);
    let ask_on_connect =
        table.word("ask", &[("on-connect", true), ("on-demand", false)]).unwrap_or_default();
    let accept_handshake =
        table.word("handshake", &[("accept", true), ("ignore", false)]).unwrap_or_default();
    let constraint = Constraint {
        subject_alt_names: patterns(&table, "subject_alt_names").unwrap_or_default(),
        extended_key_usages: purposes(&table).unwrap_or_default(),
    };

    let trust = table.needed("trust", "trust = \"ca.pem\"");
    let roots = trust.as_ref().and_then(|trust| files::trust(source, trust));
    let lists = match table.strings("crl") {
        Some(list) if list.is_empty() => {
            empty_list(&table, "crl", "leave it out to check no revocation");
            None
        }
        Some(list) => list
            .iter()
            .map(|name| loaded.read(source, name))
            .collect::<Option<Vec<_>>>()
            .map(|lists| lists.concat()),
        None if table.get("crl").is_some() => None,
        None => Some(Vec::new()),
    };
    let (trust, roots, lists) = (trust?, roots?, lists?);
    let policies = [("require", UnknownStatus::Refuse), ("if-present", UnknownStatus::Pass)];
    let policy = table.word("crl_policy", &policies);
    if lists.is_empty() && policy.is_some() {
        source.mistake(
            table.key_span("crl_policy").unwrap_or(value.span()),
            "`crl_policy` says nothing without `crl`".to_owned(),
            "name the files with revocation lists in `crl`, or leave `crl_policy` out".to_owned(),
        );
        return None;
    }
    match verifier(provider, roots, &lists, policy.unwrap_or_default()) {
        Ok(verifier) => Some(Credential {
            name,
            verifier: Arc::new(verifier.remember_in(known)),
            constraint,
            ask_on_connect,
            accept_handshake,
            revocation_lists: lists,
        }),
        Err(error) => {
            source.mistake(
                table.key_span("crl").unwrap_or(trust.span),
                format!("no verifier can be made of these files: {error}"),
                None,
            );
            None
        }
    }
}

fn verifier(
    provider: &CryptoProvider,
    roots: Arc<RootCertStore>,
    lists: &[Arc<RevocationList>],
    unknown: UnknownStatus,
) -> Result<ChainVerifier, TrustError> {
    for list in lists {
        list.check_signature(&roots.roots)?;
    }
    let lists = lists.iter().map(|list| Arc::clone(list) as Arc<dyn Revocation>);
    let verifier = ChainVerifier::new(roots, provider.signature_verification_algorithms)?;
    Ok(verifier.ask(lists.collect(), unknown))
}

/// A list of name patterns, not empty.
pub(crate) fn patterns(table: &Table<'_>, key: &str) -> Option<Vec<Pattern>> {
    let list = table.strings(key)?;
    if list.is_empty() {
        empty_list(table, key, "leave it out to accept any name");
        return None;
    }
    list.into_iter().map(|At { value, span }| match Pattern::parse(value) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            table.source().mistake(
                span,
                format!("`{value}` is no pattern for names: {error}"),
                "for example: `*@example.test`, `device-1.example.test`, `spiffe://example.test/*`".to_owned(),
            );
            None
        }
    }).collect()
}

fn empty_list(table: &Table<'_>, key: &str, help: &str) {
    let span = table.get(key).map_or_else(|| table.span(), Spanned::span);
    table.source().mistake(span, format!("`{key}` is an empty list"), help.to_owned());
}

fn purposes(table: &Table<'_>) -> Option<Vec<String>> {
    let list = table.strings("extended_key_usages")?;
    if list.is_empty() {
        empty_list(table, "extended_key_usages", "leave it out to accept any purpose");
        return None;
    }
    list.into_iter()
        .map(|At { value, span }| {
            let named =
                PURPOSES.iter().find(|(name, _)| *name == value).map(|(_, oid)| (*oid).to_owned());
            let numbered = || is_oid(value).then(|| value.to_owned());
            let found = named.or_else(numbered);
            if found.is_none() {
                table.source().mistake(
                    span,
                    format!("`{value}` is no extended key usage"),
                    super::diagnostic::suggestion(
                        value,
                        PURPOSES.iter().map(|(name, _)| *name),
                        "an object identifier such as `1.3.6.1.5.5.7.3.2`, or one of",
                    ),
                );
            }
            found
        })
        .collect()
}

fn is_oid(text: &str) -> bool {
    let number = |part: &str| part.parse::<u32>().is_ok_and(|number| number.to_string() == part);
    text.split('.').count() >= 3 && text.split('.').all(number)
}
