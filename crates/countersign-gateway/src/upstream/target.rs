//! Where a server is and what is spoken there: a URL.

use std::fmt;

use http::uri::Authority;
use rustls::pki_types::ServerName;

/// How to speak to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    /// Without TLS.
    Http1,
    /// Without TLS, and without asking whether the backend speaks it.
    Http2,
    /// TLS, with the version that ALPN comes to.
    Tls,
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
    /// A host that no certificate could be for.
    #[error("the host is no name that a certificate could be for")]
    Host,
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
            "https" => Protocol::Tls,
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
        let default = if protocol == Protocol::Tls { 443 } else { 80 };
        let authority = match (after_host, authority.port_u16()) {
            ("", _) => format!("{rest}:{default}").parse().map_err(|_| TargetError::NotAUrl)?,
            (_, Some(port)) if port != 0 => authority,
            _ => return Err(TargetError::Port),
        };
        let target = Self { protocol, authority };
        if protocol == Protocol::Tls && target.server_name().is_none() {
            return Err(TargetError::Host);
        }
        Ok(target)
    }

    /// Whether the connection is one over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.protocol == Protocol::Tls
    }

    /// Whom a certificate has to be for, unless another name is configured.
    pub(super) fn server_name(&self) -> Option<ServerName<'static>> {
        let host = self.authority.host();
        let host = host.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(host);
        ServerName::try_from(host).ok().map(|name| name.to_owned())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Http1 => "http",
            Protocol::Http2 => "h2c",
            Protocol::Tls => "https",
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
            ("https://backend", "https://backend:443"),
            ("https://[::1]:9443", "https://[::1]:9443"),
        ] {
            assert_eq!(Target::parse(text).map(|target| target.to_string()).as_deref(), Ok(shown));
        }
        for (text, error) in [
            ("127.0.0.1:9000", TargetError::NotAUrl),
            ("ftp://x", TargetError::NotAUrl),
            ("http://", TargetError::NotAUrl),
            ("http://a b", TargetError::NotAUrl),
            ("h2://x", TargetError::NotAUrl),
            ("https://a..b", TargetError::Host),
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
