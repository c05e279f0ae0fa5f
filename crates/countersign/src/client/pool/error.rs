//! Why a pooled client has no response.

use std::error::Error;
use std::sync::Arc;

use super::BoxError;
use crate::client::Origin;

/// A request of a [`PooledClient`](super::PooledClient) got no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// hyper-util's client says so: for connections without further certificates of the server, and for
    /// what is no request to an `https` origin.
    #[error(transparent)]
    Client(#[from] hyper_util::client::legacy::Error),
    /// No connection to the origin could be opened.
    #[error("no connection to {origin} can be opened")]
    Connect {
        /// The origin.
        origin: Origin,
        /// What went wrong, for all requests that waited for the connection.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The request failed on its connection.
    #[error("the request failed on its connection")]
    Http(#[from] hyper::Error),
    /// The request's body failed before anything was sent.
    #[error("the request's body cannot be read")]
    Body(#[source] BoxError),
}
