//! How an upstream's servers are spoken to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::uri::PathAndQuery;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::config::Input;

/// The values of an `[upstreams.NAME]`, or what goes for a URL in a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// How long a server may take to accept a connection, with its TLS handshake.
    pub(crate) connect_timeout: Duration,
    /// How long it may take to begin a response once it has the request.
    pub(crate) first_byte_timeout: Duration,
    /// How long bodies may stand still.
    pub(crate) idle_timeout: Duration,
    /// How often a request is sent again at most.
    pub(crate) retries: u32,
    /// How many unused HTTP/1.1 connections to one server are kept.
    pub(crate) max_idle_connections: usize,
    /// For `https`.
    pub(crate) tls: Option<Tls>,
    /// How servers are asked whether they are well, if they are.
    pub(crate) health: Option<HealthCheck>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            retries: 1,
            max_idle_connections: 1024,
            tls: None,
            health: None,
        }
    }
}

/// Which versions of HTTP are offered in ALPN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Versions {
    /// HTTP/2 rather than HTTP/1.1; the server decides.
    #[default]
    Auto,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone.
    Http2,
}

impl Versions {
    /// Their names in ALPN.
    pub(crate) fn alpn(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Self::Auto => &[b"h2", b"http/1.1"],
            Self::Http1 => &[b"http/1.1"],
            Self::Http2 => &[b"h2"],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }
}

/// TLS to servers.
#[derive(Clone)]
pub(crate) struct Tls {
    /// Which versions are offered.
    pub(crate) versions: Versions,
    /// With ALPN for `versions`.
    pub(crate) config: Arc<ClientConfig>,
    /// With ALPN for HTTP/1.1 alone, which WebSocket needs.
    pub(crate) http1: Arc<ClientConfig>,
    /// Whom the certificate has to be for, if not the URL's host.
    pub(crate) server_name: Option<ServerName<'static>>,
    /// The files that trust, certificate and key were read from.
    pub(crate) files: Vec<Input>,
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        // The configurations are made of the rest.
        self.versions == other.versions
            && self.server_name == other.server_name
            && self.files == other.files
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("versions", &self.versions)
            .field("server_name", &self.server_name)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// `health`: a GET every now and then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthCheck {
    /// What is asked for.
    pub(crate) path: PathAndQuery,
    /// From one check to the next.
    pub(crate) interval: Duration,
    /// How long one may take, with its connection.
    pub(crate) timeout: Duration,
    /// So many passed checks in a row take a server in again.
    pub(crate) healthy: u32,
    /// So many failed ones take it out.
    pub(crate) unhealthy: u32,
    /// The only status that passes; without it every 2xx does.
    pub(crate) status: Option<StatusCode>,
}

impl HealthCheck {
    /// With the default of everything but the path.
    pub(crate) fn new(path: PathAndQuery) -> Self {
        Self {
            path,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            healthy: 2,
            unhealthy: 3,
            status: None,
        }
    }
}
