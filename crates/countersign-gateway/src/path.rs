//! Request paths: normalised once, before anything is matched, and forwarded as they were matched.
//!
//! A proxy that reads a path otherwise than the backend behind it guards the wrong door. So what
//! this gateway and some backend could read differently is refused, not guessed:
//!
//! | in the path | what happens |
//! | --- | --- |
//! | `%` without two hexadecimal digits, control characters (also encoded), raw non-ASCII, octets that are no UTF-8 once decoded | 400 |
//! | `%2f`, `\`, `%5c` | 400: some backends take them for `/` |
//! | a segment `.` or `..`, in any encoding, also before `;` | 400: clients resolve these themselves |
//! | `%25` followed by two hexadecimal digits | 400: some backends decode twice |
//! | an encoded unreserved character (`%61`) | decoded, also in what is forwarded |
//! | any other encoded character | stays encoded, compares decoded |
//! | `//`, `;parameters`, upper case | stay as they are; the path must lead to the same route with and without them, else 400 |
//!
//! The last line is [`RouteTable::find`](crate::route::RouteTable::find)'s: backends that merge
//! slashes, drop parameters or ignore case exist, and so do those that do not.

use std::borrow::Cow;

/// A path that every backend reads alike, but for slashes, parameters and case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NormalPath {
    /// What is forwarded; starts with `/`.
    forward: String,
    /// The same, fully decoded. No `/` in it was encoded, so splitting there is safe.
    decoded: String,
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    /// Not `/…`, such as `*`.
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    /// `%` and something else than two hexadecimal digits.
    #[error("the path has a `%` that is not followed by two hexadecimal digits")]
    BadEncoding,
    /// A character that is not allowed raw, or a control character even if encoded.
    #[error("the path has a character that is not allowed in a path")]
    BadCharacter,
    /// Not UTF-8 once decoded.
    #[error("the path is not valid UTF-8 once decoded")]
    NotUtf8,
    /// A slash in disguise: `%2f`, `\` or `%5c`.
    #[error("the path has an encoded slash or a backslash")]
    HiddenSlash,
    /// A segment `.` or `..`.
    #[error("the path has a dot segment")]
    DotSegment,
    /// Something that was encoded twice.
    #[error("the path is percent-encoded twice")]
    DoubleEncoding,
}

impl NormalPath {
    /// Normalises the path of a request target, without its query.
    pub(crate) fn parse(raw: &str) -> Result<Self, PathError> {
        if !raw.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        let mut forward = String::with_capacity(raw.len());
        let mut decoded = Vec::with_capacity(raw.len());
        let mut bytes = raw.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'%' => {
                    let octet = hex_pair(bytes.next(), bytes.next())?;
                    match octet {
                        b'/' | b'\\' => return Err(PathError::HiddenSlash),
                        _ if octet.is_ascii_control() => return Err(PathError::BadCharacter),
                        _ if is_unreserved(octet) => forward.push(char::from(octet)),
                        _ => push_encoded(&mut forward, octet),
                    }
                    decoded.push(octet);
                }
                b'\\' => return Err(PathError::HiddenSlash),
                _ if byte.is_ascii_graphic() => {
                    forward.push(char::from(byte));
                    decoded.push(byte);
                }
                _ => return Err(PathError::BadCharacter),
            }
        }
        let decoded = String::from_utf8(decoded).map_err(|_| PathError::NotUtf8)?;
        if decoded.split('/').any(is_dot_segment) {
            return Err(PathError::DotSegment);
        }
        if has_encoded_octet(&decoded) {
            return Err(PathError::DoubleEncoding);
        }
        Ok(Self { forward, decoded })
    }

    /// The path to forward.
    pub(crate) fn as_str(&self) -> &str {
        &self.forward
    }

    /// The decoded path.
    pub(crate) fn decoded(&self) -> &str {
        &self.decoded
    }

    /// How the most forgiving backend would read the decoded path: slashes merged, parameters
    /// dropped, all in lower case.
    pub(crate) fn loosely_read(&self) -> Cow<'_, str> {
        loosely_read(&self.decoded)
    }
}

/// Slashes merged, parameters dropped, all in lower case.
pub(crate) fn loosely_read(decoded: &str) -> Cow<'_, str> {
    let plain = !decoded.contains("//")
        && decoded
            .bytes()
            .all(|byte| byte.is_ascii() && byte != b';' && !byte.is_ascii_uppercase());
    if plain {
        return Cow::Borrowed(decoded);
    }
    let mut read = String::with_capacity(decoded.len());
    for segment in decoded.split('/') {
        let name = segment.split(';').next().unwrap_or_default();
        if !name.is_empty() {
            read.push('/');
            read.push_str(&name.to_lowercase());
        }
    }
    if read.is_empty() {
        read.push('/');
    }
    Cow::Owned(read)
}

/// RFC 3986, section 2.3.
fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-._~".contains(&octet)
}

fn is_dot_segment(segment: &str) -> bool {
    matches!(segment.split(';').next(), Some("." | ".."))
}

fn has_encoded_octet(decoded: &str) -> bool {
    decoded.as_bytes().windows(3).any(
        |window| matches!(window, [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()),
    )
}

fn hex_pair(high: Option<u8>, low: Option<u8>) -> Result<u8, PathError> {
    let digit = |byte: Option<u8>| {
        byte.and_then(|byte| char::from(byte).to_digit(16))
            .and_then(|digit| u8::try_from(digit).ok())
    };
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => Ok(high << 4 | low),
        _ => Err(PathError::BadEncoding),
    }
}

fn push_encoded(out: &mut String, octet: u8) {
    let digit =
        |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default().to_ascii_uppercase();
    out.push('%');
    out.push(digit(octet >> 4));
    out.push(digit(octet & 0x0f));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn forwarded(raw: &str) -> Result<String, PathError> {
        NormalPath::parse(raw).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn ordinary_paths_pass_unchanged() {
        for path in [
            "/",
            "/a/b.html",
            "/a//b/",
            "/a;v=1/b",
            "/~user/-_.x",
            "/...",
            "/.well-known/x",
            "/a,b@c:!$&'()*+=",
            "/Ab",
        ] {
            assert_eq!(forwarded(path).as_deref(), Ok(path));
        }
    }

    #[test]
    fn unreserved_characters_are_decoded_and_others_stay() {
        assert_eq!(forwarded("/%61dmin%2D%7e").as_deref(), Ok("/admin-~"));
        assert_eq!(forwarded("/a%3fb%c3%a4").as_deref(), Ok("/a%3Fb%C3%A4"));
        assert_eq!(NormalPath::parse("/a%3fb%c3%a4").unwrap().decoded(), "/a?bä");
        assert_eq!(forwarded("/100%25").as_deref(), Ok("/100%25"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (path, error) in [
            ("*", PathError::NotAbsolute),
            ("", PathError::NotAbsolute),
            ("/a%", PathError::BadEncoding),
            ("/a%2", PathError::BadEncoding),
            ("/a%2g", PathError::BadEncoding),
            ("/a%+1", PathError::BadEncoding),
            ("/a%00", PathError::BadCharacter),
            ("/a\0", PathError::BadCharacter),
            ("/a%0d%0aX:1", PathError::BadCharacter),
            ("/a%7f", PathError::BadCharacter),
            ("/ä", PathError::BadCharacter),
            ("/a b", PathError::BadCharacter),
            ("/%c3", PathError::NotUtf8),
            ("/%c0%af", PathError::NotUtf8),
            ("/a%2fb", PathError::HiddenSlash),
            ("/a%2Fb", PathError::HiddenSlash),
            ("/a\\b", PathError::HiddenSlash),
            ("/a%5cb", PathError::HiddenSlash),
            ("/.", PathError::DotSegment),
            ("/public/../admin/", PathError::DotSegment),
            ("/public/%2e%2E/admin/", PathError::DotSegment),
            ("/public/.%2e", PathError::DotSegment),
            ("/public/..;/admin/", PathError::DotSegment),
            ("/public/..;x=1/admin/", PathError::DotSegment),
            ("/public/..%3b/admin/", PathError::DotSegment),
            ("/./a", PathError::DotSegment),
            ("/%252e%252e/", PathError::DoubleEncoding),
            ("/a%252fb", PathError::DoubleEncoding),
        ] {
            assert_eq!(forwarded(path), Err(error), "{path}");
        }
    }

    #[test]
    fn the_loose_reading_merges_strips_and_folds() {
        let loosely = |path: &str| NormalPath::parse(path).unwrap().loosely_read().into_owned();
        assert_eq!(loosely("/a/b/"), "/a/b/");
        assert_eq!(loosely("//A;x=1///b;y/"), "/a/b");
        assert_eq!(loosely("/;x//"), "/");
        assert_eq!(loosely("/%41%3bx"), "/a");
    }

    /// Whatever a backend may do: decode twice, take backslashes for slashes, drop parameters.
    fn wildest_reading(path: &str) -> String {
        let once = decode(path);
        let twice = decode(&once);
        twice.replace('\\', "/")
    }

    fn decode(text: &str) -> String {
        let mut out = Vec::new();
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let pair =
                text.get(at + 1..at + 3).filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
            match (bytes[at], pair) {
                (b'%', Some(pair)) => {
                    out.push(u8::from_str_radix(pair, 16).unwrap());
                    at += 3;
                }
                (byte, _) => {
                    out.push(byte);
                    at += 1;
                }
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn tricky() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/", "//", ".", "..", "%2e", "%2E", "%2f", "%5c", "\\", ";", ";x", "%3b", "%25", "%2",
            "2e", "a", "B", "admin", "%61", "%00", "%c3%a4", "%ff", "ä", "*", "?",
        ]);
        prop::collection::vec(piece, 0..10).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn what_passes_has_no_second_reading(raw in tricky()) {
            if let Ok(path) = NormalPath::parse(&raw) {
                let wild = wildest_reading(path.as_str());
                prop_assert_eq!(wild.as_str(), path.decoded(), "one decoding is all there is");
                prop_assert!(!wild.chars().any(|c| c.is_ascii_control()));
                prop_assert!(wild.split('/').all(|segment| !matches!(segment.split(';').next(), Some("." | ".."))));
                prop_assert!(path.as_str().is_ascii() && path.as_str().starts_with('/'));
            }
        }

        #[test]
        fn normalising_is_idempotent(raw in tricky()) {
            if let Ok(path) = NormalPath::parse(&raw) {
                prop_assert_eq!(NormalPath::parse(path.as_str()), Ok(path));
            }
        }

        #[test]
        fn anything_at_all_is_survived(raw in ".*") {
            let _ = NormalPath::parse(&raw);
        }
    }
}
