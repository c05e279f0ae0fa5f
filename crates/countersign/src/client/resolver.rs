//! Who decides which certificate is shown to whom.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use exported_authenticator::AuthenticatorRequest;

use super::{ClientCredential, Origin};
use crate::BoxFuture;

/// Decides how to answer a server's challenge.
///
/// It is asked once for each challenge, on a task of its own: it may take its time, ask a person, or
/// reach for a key elsewhere. The other streams of the connection go on meanwhile.
pub trait CredentialResolver: Send + Sync + 'static {
    /// How to answer `request` from `origin`, which the connection is authenticated for.
    fn resolve<'a>(
        &'a self,
        origin: &'a Origin,
        request: &'a AuthenticatorRequest,
    ) -> BoxFuture<'a, Resolution>;
}

/// How to answer a challenge.
#[derive(Clone, Debug)]
pub enum Resolution {
    /// Prove this credential.
    Present(Arc<ClientCredential>),
    /// Decline with an empty authenticator. The reason stays here.
    Decline(Cow<'static, str>),
    /// Leave the challenge in the pool, for [`super::ClientHandle::present`].
    Later,
}

/// Shows each identity only to the origins that it was configured for.
///
/// A targeted challenge gets the first credential that suits it. A generic one, which names nothing
/// that it wants, is declined, unless [`StaticCredentials::keep_generic`] leaves it in the pool.
#[derive(Clone, Debug, Default)]
pub struct StaticCredentials {
    by_origin: HashMap<Origin, Vec<Arc<ClientCredential>>>,
    keep_generic: bool,
}

impl StaticCredentials {
    /// No identity for anybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an identity to show to `origin`; earlier ones come first.
    pub fn identity(mut self, origin: Origin, credential: impl Into<ClientCredential>) -> Self {
        self.by_origin.entry(origin).or_default().push(Arc::new(credential.into()));
        self
    }

    /// Leaves generic challenges in the pool instead of declining them.
    pub fn keep_generic(mut self) -> Self {
        self.keep_generic = true;
        self
    }

    /// How many identities the origin with the most of them may see.
    pub fn most_for_an_origin(&self) -> usize {
        self.by_origin.values().map(Vec::len).max().unwrap_or(0)
    }

    fn choose(&self, origin: &Origin, request: &AuthenticatorRequest) -> Resolution {
        if !request.is_targeted() {
            return if self.keep_generic {
                Resolution::Later
            } else {
                Resolution::Decline("the request does not say what it wants".into())
            };
        }
        //= specs/client-certs.md#section-5.3
        //# A client SHOULD NOT present a certificate that identifies it where the resource or the
        //# occasion does not call for it.
        let Some(credentials) = self.by_origin.get(origin) else {
            return Resolution::Decline("no identity is configured for this origin".into());
        };
        let mut reason = None;
        for credential in credentials {
            match credential.suits(request) {
                Ok(()) => return Resolution::Present(Arc::clone(credential)),
                Err(unsuitable) => reason = Some(unsuitable.to_string()),
            }
        }
        Resolution::Decline(reason.map_or("no identity is configured".into(), Cow::Owned))
    }
}

impl CredentialResolver for StaticCredentials {
    fn resolve<'a>(
        &'a self,
        origin: &'a Origin,
        request: &'a AuthenticatorRequest,
    ) -> BoxFuture<'a, Resolution> {
        Box::pin(std::future::ready(self.choose(origin, request)))
    }
}

/// Declines everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCredentials;

impl CredentialResolver for NoCredentials {
    fn resolve<'a>(
        &'a self,
        _origin: &'a Origin,
        _request: &'a AuthenticatorRequest,
    ) -> BoxFuture<'a, Resolution> {
        Box::pin(std::future::ready(Resolution::Decline("no identity is configured".into())))
    }
}
