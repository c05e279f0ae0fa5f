//! The server's side: ask, verify, hold identities.

mod acceptor;
mod certificates;
mod config;
mod expiry;
mod handle;
mod hello;
mod identity;
mod kinds;
mod layer;
mod live;
mod observer;
mod offering;
mod pool;
mod session;
mod turns;

pub use acceptor::{Acceptor, ServerStream};
pub use certificates::{ServerCertificate, ServerCertificates};
pub use config::{AuthConfig, AuthConfigBuilder, ConfigError, CredentialKind};
pub use handle::{AuthHandle, Denied};
pub use identity::{Identity, Source};
pub use layer::{RequireCredential, RequireCredentialLayer, WithAuthHandle};
pub use observer::{Event, Loss, Observer};
pub use offering::OfferError;
pub use pool::VerificationPool;

#[cfg(feature = "h3")]
pub(crate) use hello::Listening;
#[cfg(feature = "h3")]
pub(crate) use session::{ServerLink, ServerSession};
