//! Patterns for the subject alternative names of a certificate.
//!
//! A pattern is a mailbox (`*@example.test`), a host name (`*.example.test`) or a URI
//! (`spiffe://example.test/*`), told apart by its form, and is compared only with names of its own
//! kind (rfc822Name, dNSName, uniformResourceIdentifier); the subject's common name is never looked
//! at.
//!
//! `*` stands for one or more characters within one part of the name and never crosses a separator:
//! the part is the whole local part of a mailbox, one label of a host name, one path segment of a
//! URI. So `*@example.test` is any mailbox at exactly that host, and `*.example.test` is one label
//! below it. Host names (also those in mailboxes), and the scheme and host of a URI, compare
//! without regard to case; everything else compares byte for byte.

use std::fmt;

/// A name from a certificate's subjectAltName extension, of a kind that a [`Pattern`] can match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// An rfc822Name.
    Mailbox(String),
    /// A dNSName.
    Host(String),
    /// A uniformResourceIdentifier.
    Uri(String),
}

impl Name {
    /// As it stands in the certificate.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Mailbox(name) | Self::Host(name) | Self::Uri(name) => name,
        }
    }
}

/// A pattern for subject alternative names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Local part and host.
    Mailbox(String, String),
    /// Host.
    Host(String),
    /// Scheme, then the rest split at `/`; with `//` after the scheme the first of it is the host.
    Uri(String, Vec<String>),
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    /// Nothing there.
    #[error("a name pattern cannot be empty")]
    Empty,
    /// A space, a control character or something beyond ASCII.
    #[error("a name pattern is printable ASCII without spaces")]
    NotAscii,
    /// An IP address.
    #[error("IP addresses are not matched; use a mailbox, a host name or a URI")]
    Address,
    /// The host part is no host name.
    #[error(
        "the host in a name pattern is labels of letters, digits, `-`, `_` and `*` with dots between"
    )]
    Host,
    /// A mailbox without local part.
    #[error("a mailbox pattern has a local part before the `@`")]
    LocalPart,
}

impl Pattern {
    /// Reads a pattern.
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PatternError::NotAscii);
        }
        if text.parse::<std::net::IpAddr>().is_ok() {
            return Err(PatternError::Address);
        }
        if let Some((scheme, rest)) = split_scheme(text) {
            let parts: Vec<String> = rest.split('/').map(str::to_owned).collect();
            return Ok(Self::Uri(scheme.to_ascii_lowercase(), parts));
        }
        if let Some((local, host)) = text.rsplit_once('@') {
            if local.is_empty() {
                return Err(PatternError::LocalPart);
            }
            return Ok(Self::Mailbox(local.to_owned(), host_pattern(host)?));
        }
        Ok(Self::Host(host_pattern(text)?))
    }

    /// Whether `name` is of this pattern's kind and fits it.
    pub(crate) fn matches(&self, name: &Name) -> bool {
        match (self, name) {
            (Self::Mailbox(local, host), Name::Mailbox(name)) => {
                name.rsplit_once('@').is_some_and(|(name_local, name_host)| {
                    part(local.as_bytes(), name_local.as_bytes(), Case::Kept, b'@')
                        && host_matches(host, name_host)
                })
            }
            (Self::Host(host), Name::Host(name)) => host_matches(host, name),
            (Self::Uri(scheme, parts), Name::Uri(name)) => uri_matches(scheme, parts, name),
            (Self::Mailbox(..), Name::Host(_) | Name::Uri(_))
            | (Self::Host(_), Name::Mailbox(_) | Name::Uri(_))
            | (Self::Uri(..), Name::Mailbox(_) | Name::Host(_)) => false,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mailbox(local, host) => write!(f, "{local}@{host}"),
            Self::Host(host) => f.write_str(host),
            Self::Uri(scheme, parts) => write!(f, "{scheme}:{}", parts.join("/")),
        }
    }
}

/// Whether one of `names` fits one of `patterns`.
pub(crate) fn any_match(patterns: &[Pattern], names: &[Name]) -> bool {
    patterns.iter().any(|pattern| names.iter().any(|name| pattern.matches(name)))
}

/// `scheme:rest`, if the text starts with a URI scheme (RFC 3986, section 3.1).
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let mut bytes = scheme.bytes();
    let well_formed = bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    well_formed.then_some((scheme, rest))
}

fn host_pattern(host: &str) -> Result<String, PatternError> {
    let label_is_sound = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte))
    };
    if host.split('.').all(label_is_sound) {
        Ok(host.to_ascii_lowercase())
    } else {
        Err(PatternError::Host)
    }
}

fn host_matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.split('.'), name.split('.'));
    loop {
        match (pattern.next(), name.next()) {
            (None, None) => return true,
            (Some(pattern), Some(label)) => {
                if !part(pattern.as_bytes(), label.as_bytes(), Case::Folded, b'@') {
                    return false;
                }
            }
            (Some(_), None) | (None, Some(_)) => return false,
        }
    }
}

fn uri_matches(scheme: &str, parts: &[String], name: &str) -> bool {
    let Some((name_scheme, rest)) = split_scheme(name) else {
        return false;
    };
    if !name_scheme.eq_ignore_ascii_case(scheme) {
        return false;
    }
    let name_parts: Vec<&str> = rest.split('/').collect();
    // After `//` the third part is the authority.
    let has_host = matches!(parts, [first, second, ..] if first.is_empty() && second.is_empty());
    parts.len() == name_parts.len()
        && parts.iter().zip(&name_parts).enumerate().all(|(index, (pattern, name))| {
            if has_host && index == 2 {
                return host_matches(&pattern.to_ascii_lowercase(), name);
            }
            part(pattern.as_bytes(), name.as_bytes(), Case::Kept, b'/')
        })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Kept,
    Folded,
}

/// Matches one part; a `*` takes one or more printable characters other than `separator`.
fn part(pattern: &[u8], text: &[u8], case: Case, separator: u8) -> bool {
    let wild = |byte: u8| byte.is_ascii_graphic() && byte != separator;
    let same = |a: u8, b: u8| match case {
        Case::Kept => a == b,
        Case::Folded => a.eq_ignore_ascii_case(&b),
    };
    // Greedy with one point to return to: the last star and how much it has taken.
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(position) {
        match pattern.get(at) {
            Some(b'*') if wild(byte) => {
                star = Some((at, position + 1));
                at += 1;
                position += 1;
            }
            Some(&expected) if expected != b'*' && same(expected, byte) => {
                at += 1;
                position += 1;
            }
            _ => match star {
                Some((star_at, taken_to)) if text.get(taken_to).copied().is_some_and(wild) => {
                    star = Some((star_at, taken_to + 1));
                    at = star_at + 1;
                    position = taken_to + 1;
                }
                _ => return false,
            },
        }
    }
    at == pattern.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, name: Name) -> bool {
        Pattern::parse(pattern).unwrap().matches(&name)
    }

    fn mailbox(name: &str) -> Name {
        Name::Mailbox(name.into())
    }

    fn host(name: &str) -> Name {
        Name::Host(name.into())
    }

    fn uri(name: &str) -> Name {
        Name::Uri(name.into())
    }

    #[test]
    fn a_star_is_any_mailbox_at_exactly_that_host() {
        assert!(fits("*@example.test", mailbox("alice@example.test")));
        assert!(fits("*@example.test", mailbox("a.b+c@EXAMPLE.test")));
        for foreign in [
            "alice@sub.example.test",
            "alice@example.test.evil",
            "alice@notexample.test",
            "@example.test",
            "example.test",
            "alice@evil.test@example.test",
            "alice@example.test\0.evil",
            "al ice@example.test",
            "",
        ] {
            assert!(!fits("*@example.test", mailbox(foreign)), "{foreign}");
        }
    }

    #[test]
    fn the_local_part_keeps_its_case_and_the_host_does_not() {
        assert!(fits("alice@example.test", mailbox("alice@Example.Test")));
        assert!(!fits("alice@example.test", mailbox("Alice@example.test")));
        assert!(fits("admin-*@example.test", mailbox("admin-7@example.test")));
        assert!(!fits("admin-*@example.test", mailbox("admin-@example.test")));
    }

    #[test]
    fn a_star_is_within_one_label_of_a_host() {
        assert!(fits("*.example.test", host("device-1.Example.test")));
        assert!(!fits("*.example.test", host("a.b.example.test")));
        assert!(!fits("*.example.test", host("example.test")));
        assert!(!fits("*.example.test", host(".example.test")));
        assert!(fits("device-*.*.test", host("device-1.example.test")));
    }

    #[test]
    fn a_star_is_within_one_segment_of_a_uri() {
        assert!(fits("spiffe://example.test/ns/*", uri("spiffe://EXAMPLE.test/ns/web")));
        assert!(!fits("spiffe://example.test/ns/*", uri("spiffe://example.test/ns/web/x")));
        assert!(!fits("spiffe://example.test/ns/*", uri("spiffe://example.test/ns/")));
        assert!(!fits("spiffe://example.test/ns/*", uri("spiffe://example.test/NS/web")));
        assert!(!fits("spiffe://example.test/*", uri("https://example.test/web")));
        assert!(fits("urn:example:*", uri("URN:example:1")));
        assert!(!fits("spiffe://*/web", uri("spiffe://user@example.test/web")));
    }

    #[test]
    fn kinds_do_not_mix() {
        assert!(!fits("*.test", mailbox("a@b.test")));
        assert!(!fits("*@b.test", host("b.test")));
        assert!(!fits("urn:*", host("urn")));
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (text, error) in [
            ("", PatternError::Empty),
            ("älice@example.test", PatternError::NotAscii),
            ("a b", PatternError::NotAscii),
            ("127.0.0.1", PatternError::Address),
            ("::1", PatternError::Address),
            ("a..b", PatternError::Host),
            ("a@", PatternError::Host),
            ("@example.test", PatternError::LocalPart),
            ("exa/mple", PatternError::Host),
        ] {
            assert_eq!(Pattern::parse(text), Err(error), "{text}");
        }
    }

    /// The definition, as naive as can be.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), Some((byte, left))) if *byte != b'@' => {
                naive(rest, left) || naive(pattern, left)
            }
            (Some((a, rest)), Some((b, left))) => *a != b'*' && a == b && naive(rest, left),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_its_definition(pattern in "[ab*@]{0,8}", text in "[ab@]{0,10}") {
            prop_assert_eq!(
                part(pattern.as_bytes(), text.as_bytes(), Case::Kept, b'@'),
                naive(pattern.as_bytes(), text.as_bytes())
            );
        }

        #[test]
        fn a_pattern_without_stars_matches_itself_only(
            local in "[a-z]{1,8}", domain in "[a-z]{1,8}\\.[a-z]{1,8}", other in "[a-z]{1,8}",
        ) {
            let text = format!("{local}@{domain}");
            prop_assert!(fits(&text, mailbox(&text)));
            prop_assert_eq!(fits(&text, mailbox(&format!("{other}@{domain}"))), other == local);
        }
    }
}
