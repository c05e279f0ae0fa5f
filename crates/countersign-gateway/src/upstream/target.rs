//! Where a server is and what is spoken there: a URL.

use std::fmt;

use http::Version;
use http::uri::Authority;

/// How to speak to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    /// Without TLS.
    Http1,
    /// Without TLS, and without asking whether the backend speaks it.
    Http2,
}

/// One server: a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(super) protocol: Protocol,
    /// With the port.
    pub(super) authority: Authority,
}

/// Why a text is no upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    /// No URL at all.
    #[error("an upstream is a URL such as `http://127.0.0.1:9000` or `h2c://127.0.0.1:9000`")]
    NotAUrl,
    /// TLS.
    #[error("TLS to an upstream is not available in this version; use `http://` or `h2c://`")]
    Tls,
    /// Something after the authority.
    #[error("an upstream has no path and no query: the request's own are used")]
    Path,
    /// A user name.
    #[error("an upstream has no user name and no password")]
    UserInfo,
    /// A port that is none.
    #[error("an upstream's port is a number from 1 to 65535")]
    Port,
}

impl Target {
    /// Reads an upstream's URL.
    pub(crate) fn parse(text: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = text.split_once("://").ok_or(TargetError::NotAUrl)?;
        let protocol = match scheme {
            "http" => Protocol::Http1,
            "h2c" => Protocol::Http2,
            "https" | "h2" => return Err(TargetError::Tls),
            _ => return Err(TargetError::NotAUrl),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(TargetError::Path);
        }
        if rest.contains('@') {
            return Err(TargetError::UserInfo);
        }
        let authority: Authority = rest.parse().map_err(|_| TargetError::NotAUrl)?;
        if authority.host().is_empty() {
            return Err(TargetError::NotAUrl);
        }
        // What follows the host is `:port`, `:`, or nothing.
        let after_host = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let authority = match (after_host, authority.port_u16()) {
            ("", _) => format!("{rest}:80").parse().map_err(|_| TargetError::NotAUrl)?,
            (_, Some(port)) if port != 0 => authority,
            _ => return Err(TargetError::Port),
        };
        Ok(Self { protocol, authority })
    }

    /// The HTTP version spoken there.
    pub(crate) fn version(&self) -> Version {
        match self.protocol {
            Protocol::Http1 => Version::HTTP_11,
            Protocol::Http2 => Version::HTTP_2,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Http1 => "http",
            Protocol::Http2 => "h2c",
        };
        write!(f, "{scheme}://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_urls_without_a_path() {
        for (text, shown) in [
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("http://backend/", "http://backend:80"),
            ("h2c://[::1]:9000", "h2c://[::1]:9000"),
        ] {
            assert_eq!(Target::parse(text).map(|target| target.to_string()).as_deref(), Ok(shown));
        }
        for (text, error) in [
            ("127.0.0.1:9000", TargetError::NotAUrl),
            ("ftp://x", TargetError::NotAUrl),
            ("http://", TargetError::NotAUrl),
            ("http://a b", TargetError::NotAUrl),
            ("https://x", TargetError::Tls),
            ("http://x/y", TargetError::Path),
            ("http://x?y", TargetError::Path),
            ("http://u:p@x", TargetError::UserInfo),
            ("http://x:0", TargetError::Port),
            ("http://x:", TargetError::Port),
            ("http://x:99999", TargetError::Port),
        ] {
            assert_eq!(Target::parse(text), Err(error), "{text}");
        }
    }
}
