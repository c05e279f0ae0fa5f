//! The origin that a connection was authenticated for.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;
use rustls::pki_types::ServerName;

/// An `https` origin: host and port (RFC 6454). Compared without regard to case.
//= specs/server-certs.md#origin-http2
//= type=implication
//# The scheme of the initial origin MUST be https.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    host: Arc<str>,
    port: u16,
}

/// A URL that names no `https` origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no https origin; it has to look like https://host or https://host:port")]
pub struct OriginError(String);

impl Origin {
    /// The origin `https://host:port`. An IPv6 address may come with or without its brackets.
    pub fn new(host: &str, port: u16) -> Self {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        //= specs/server-certs.md#origin-http2
        //# The host of the initial origin MUST be the name sent as SNI in lower case, or the
        //# server's address if none was sent.
        Self { host: host.to_ascii_lowercase().into(), port }
    }

    /// The origin of a URI with the scheme `https`.
    pub fn of(uri: &Uri) -> Result<Self, OriginError> {
        let error = || OriginError(uri.to_string());
        if uri.scheme_str() != Some("https") {
            return Err(error());
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(error)?;
        Ok(Self::new(host, uri.port_u16().unwrap_or(443)))
    }

    /// The host, in lower case, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name to verify the server's certificate against.
    pub fn server_name(&self) -> Result<ServerName<'static>, OriginError> {
        ServerName::try_from(self.host.to_string()).map_err(|_| OriginError(self.to_string()))
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let uri: Uri = text.parse().map_err(|_| OriginError(text.to_owned()))?;
        Self::of(&uri)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "https://{open}{}{close}", self.host)?;
        if self.port == 443 { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_however_it_is_spelt() {
        //= specs/server-certs.md#origin-http2
        //= type=test
        //# The host of the initial origin MUST be the name sent as SNI in lower case, or the
        //# server's address if none was sent.
        let origin: Origin = "https://EXAMPLE.test/path".parse().unwrap();
        assert_eq!(origin, Origin::new("example.test", 443));
        assert_eq!(origin.to_string(), "https://example.test");
        let six: Origin = "https://[::1]:8443".parse().unwrap();
        assert_eq!((six.host(), six.to_string()), ("::1", "https://[::1]:8443".to_owned()));
        assert!(six.server_name().is_ok());
    }

    #[test]
    fn only_https_has_one() {
        assert!("http://example.test".parse::<Origin>().is_err());
        assert!("/path".parse::<Origin>().is_err());
    }
}
