//! A certificate chain with its key, which may live elsewhere.

use std::fmt;
use std::sync::Arc;

use exported_authenticator::{
    AuthenticatorRequest, Chain, Credential, ExporterValues, Role, UnsignedAuthenticator,
    Unsuitable, is_tls13,
};
use rustls::SignatureScheme;

use crate::BoxFuture;

/// A key that is reached by asking for a signature: in hardware, in an agent, on another machine.
pub trait RemoteKey: Send + Sync + 'static {
    /// The schemes that it can sign with.
    fn schemes(&self) -> &[SignatureScheme];

    /// Signs `message`, which is not hashed, with `scheme`.
    fn sign<'a>(
        &'a self,
        scheme: SignatureScheme,
        message: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, SignError>>;
}

/// No signature could be had. The text is shown to people and must hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SignError(pub String);

/// What a client can present.
#[derive(Clone)]
pub struct ClientCredential(Kind);

#[derive(Clone)]
enum Kind {
    Local(Credential),
    Remote { chain: Chain, key: Arc<dyn RemoteKey> },
}

impl From<Credential> for ClientCredential {
    fn from(credential: Credential) -> Self {
        Self(Kind::Local(credential))
    }
}

impl ClientCredential {
    /// A chain whose key is elsewhere.
    pub fn remote(chain: Chain, key: Arc<dyn RemoteKey>) -> Self {
        Self(Kind::Remote { chain, key })
    }

    /// The certificates.
    pub fn chain(&self) -> &Chain {
        match &self.0 {
            Kind::Local(credential) => credential.chain(),
            Kind::Remote { chain, .. } => chain,
        }
    }

    /// Whether it can answer `request`.
    pub fn suits(&self, request: &AuthenticatorRequest) -> Result<(), Unsuitable> {
        self.scheme(request).map(drop)
    }

    fn scheme(&self, request: &AuthenticatorRequest) -> Result<SignatureScheme, Unsuitable> {
        match &self.0 {
            Kind::Local(credential) => credential.choose_scheme(request),
            Kind::Remote { chain, key } => {
                let schemes: Vec<_> =
                    key.schemes().iter().copied().filter(|scheme| is_tls13(*scheme)).collect();
                chain.choose_scheme(request, &schemes)
            }
        }
    }

    /// Makes the authenticator that answers `request`. The error is a sentence for people.
    pub(crate) async fn authenticate(
        &self,
        values: &ExporterValues,
        request: &AuthenticatorRequest,
    ) -> Result<Vec<u8>, String> {
        let scheme = self.scheme(request).map_err(|reason| reason.to_string())?;
        let unsigned =
            UnsignedAuthenticator::answer(values, Role::Client, request, self.chain(), scheme)
                .map_err(|error| error.to_string())?;
        let finished = match &self.0 {
            Kind::Local(credential) => unsigned.sign_with(credential),
            Kind::Remote { key, .. } => {
                let signature = key
                    .sign(scheme, unsigned.message())
                    .await
                    .map_err(|error| format!("the key did not sign: {error}"))?;
                unsigned.finish(&signature)
            }
        };
        finished.map_err(|error| error.to_string())
    }
}

impl fmt::Debug for ClientCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredential")
            .field("certificates", &self.chain().certificates().len())
            .finish_non_exhaustive()
    }
}
