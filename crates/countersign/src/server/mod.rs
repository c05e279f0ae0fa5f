//! The server's side: ask, verify, hold identities.

mod acceptor;
mod config;
mod handle;
mod identity;
mod layer;
mod session;

pub use acceptor::{Acceptor, ServerStream};
pub use config::{AuthConfig, AuthConfigBuilder, ConfigError, CredentialKind};
pub use handle::{AuthHandle, Denied};
pub use identity::{Identity, Source};
pub use layer::{RequireCredential, RequireCredentialLayer, WithAuthHandle};

#[cfg(feature = "h3")]
pub(crate) use session::{ServerLink, ServerSession};
