//! The client's side: answer what servers ask, with the right certificate or none.

mod authority;
mod config;
mod connector;
mod credential;
mod handle;
mod handshaker;
mod origin;
mod origin_frame;
mod pool;
mod proofs;
mod resolver;
mod session;

pub use authority::{AuthorityRules, DnsRule, NotAuthoritative, Resolve, SystemResolver};
pub use config::{AuthConfig, AuthConfigBuilder, ClientConfigError};
pub use connector::{Connector, ConnectorStream};
pub use credential::{ClientCredential, RemoteKey, SignError};
pub use handle::{ClientHandle, PresentError};
pub use handshaker::{ClientStream, Handshaker};
pub use origin::{Origin, OriginError};
pub use pool::{CredentialSet, PoolError, PooledClient};
pub use resolver::{CredentialResolver, NoCredentials, Resolution, StaticCredentials};
pub use session::{Event, Observer};

#[cfg(feature = "h3")]
pub(crate) use proofs::Peer;
#[cfg(feature = "h3")]
pub(crate) use session::{ClientLink, ClientSession};
