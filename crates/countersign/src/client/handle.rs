//! What a client's caller holds of a connection.

use std::fmt;
use std::sync::Arc;

use countersign_proto::link::Closed;
use countersign_proto::{Misuse, PeerSettings};

use super::session::ClientSession;
use super::{ClientCredential, Origin};

/// One connection, seen from the client. Cheap to clone.
#[derive(Clone)]
pub struct ClientHandle(Arc<ClientSession>);

/// A credential could not be presented.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PresentError {
    /// The connection cannot carry it: no support on either side, or closed.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// No signature could be had; the challenge was declined.
    #[error("{0}")]
    Signing(String),
}

impl ClientHandle {
    pub(crate) fn new(session: Arc<ClientSession>) -> Self {
        Self(session)
    }

    pub(super) fn session(&self) -> &Arc<ClientSession> {
        &self.0
    }

    /// The origin that the connection was authenticated for.
    pub fn origin(&self) -> &Origin {
        self.0.origin()
    }

    /// What the server has announced, once its SETTINGS are here. `None` if the connection ended
    /// before, or cannot carry the extension.
    pub async fn peer_settings(&self) -> Option<PeerSettings> {
        let received = || match self.0.peer() {
            Some(peer) if peer.received => Ok(Some(peer)),
            Some(_) => Ok(None),
            None => Err(Misuse::NotNegotiated),
        };
        self.until(received).await.ok()
    }

    /// Presents `credential` of one's own accord, with the oldest challenge in the pool that it suits.
    ///
    /// Waits until the server has left such a challenge, and until the answer is on its way behind
    /// those to earlier challenges; put a deadline around it. Over HTTP/2 the server then has it before
    /// any request that is sent afterwards. The resolver has to leave challenges in the pool
    /// ([`super::Resolution::Later`]).
    pub async fn present(&self, credential: Arc<ClientCredential>) -> Result<(), PresentError> {
        let (id, request) = self.until(|| self.0.take_kept(&credential)).await?;
        self.0.prove(id, &request, credential).await.map_err(PresentError::Signing)?;
        Ok(self.until(|| self.0.is_sent(id)).await?)
    }

    /// Waits until `step` gives an answer, or the connection is over.
    pub(super) async fn until<T>(
        &self,
        mut step: impl FnMut() -> Result<Option<T>, Misuse>,
    ) -> Result<T, Misuse> {
        loop {
            let changed = self.0.changed().notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(answer) = step()? {
                return Ok(answer);
            }
            if self.closed_reason().is_some() {
                return Err(Misuse::Closed);
            }
            changed.await;
        }
    }

    /// Announces another limit on outstanding requests, in a further SETTINGS frame (HTTP/2).
    pub fn set_limit(&self, limit: u32) -> Result<(), Misuse> {
        self.0.set_limit(limit)
    }

    /// Why the connection can no longer be used, once it cannot.
    pub fn closed_reason(&self) -> Option<Closed> {
        self.0.closed_reason()
    }
}

impl fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandle")
            .field("origin", self.origin())
            .field("closed", &self.closed_reason())
            .finish_non_exhaustive()
    }
}
