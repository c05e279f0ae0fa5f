//! How a client takes part.

use std::sync::Arc;

use countersign_proto::{CodePointError, CodePoints};
use rustls::crypto::CryptoProvider;

use super::{AuthorityRules, CredentialResolver, NoCredentials, Observer};

/// A client's rules for answering. Shared by all its connections.
pub struct AuthConfig {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) resolver: Arc<dyn CredentialResolver>,
    pub(crate) limit: u32,
    pub(crate) points: CodePoints,
    pub(crate) max_frame_len: usize,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) authority: Option<AuthorityRules>,
}

impl AuthConfig {
    /// Begins with a client that supports the extension and declines everything. `provider` is the one
    /// of the TLS configuration.
    pub fn builder(provider: Arc<CryptoProvider>) -> AuthConfigBuilder {
        AuthConfigBuilder(Self {
            provider,
            resolver: Arc::new(NoCredentials),
            limit: 4,
            points: CodePoints::default(),
            max_frame_len: 64 * 1024,
            observer: None,
            authority: None,
        })
    }
}

impl std::fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthConfig")
            .field("limit", &self.limit)
            .field("points", &self.points)
            .field("max_frame_len", &self.max_frame_len)
            .finish_non_exhaustive()
    }
}

/// A client configuration that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientConfigError {
    /// Code points that clash.
    #[error(transparent)]
    CodePoints(#[from] CodePointError),
    /// More challenges than could be kept in memory with a good conscience.
    #[error("the limit is {0}; at most {MAX_LIMIT} challenges can be outstanding")]
    Limit(u32),
}

/// The largest limit: each outstanding challenge may hold up to `max_frame_len` bytes.
const MAX_LIMIT: u32 = 1024;

/// Makes an [`AuthConfig`].
#[derive(Debug)]
pub struct AuthConfigBuilder(AuthConfig);

impl AuthConfigBuilder {
    /// Who decides what is shown to whom. Default: nothing is shown.
    pub fn resolver(mut self, resolver: Arc<dyn CredentialResolver>) -> Self {
        self.0.resolver = resolver;
        self
    }

    /// How many requests to take at a time; 0 announces no support. Default 4, at most 1,024.
    pub fn limit(mut self, limit: u32) -> Self {
        self.0.limit = limit;
        self
    }

    /// Other code points than the defaults.
    pub fn code_points(mut self, points: CodePoints) -> Self {
        self.0.points = points;
        self
    }

    /// The longest AUTHENTICATOR_REQUESTS payload to accept, in bytes. Default 65,536. In HTTP/2 the
    /// announced SETTINGS_MAX_FRAME_SIZE bounds it too, by default 16,384.
    pub fn max_frame_len(mut self, bytes: usize) -> Self {
        self.0.max_frame_len = bytes;
        self
    }

    /// Who is told of everything that happens.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.0.observer = Some(observer);
        self
    }

    /// Takes further certificates of servers by these rules, and uses connections for the origins that
    /// they are for (server draft). Default: no support is announced.
    //= specs/server-certs.md#section-3.1
    //# A client that announces support MUST be able to make requests for names that it learns from
    //# a server's authenticators.
    pub fn authority(mut self, rules: AuthorityRules) -> Self {
        self.0.authority = Some(rules);
        self
    }

    /// Checks everything and builds.
    pub fn build(self) -> Result<AuthConfig, ClientConfigError> {
        self.0.points.check()?;
        if self.0.limit > MAX_LIMIT {
            return Err(ClientConfigError::Limit(self.0.limit));
        }
        Ok(self.0)
    }
}
