//! A pooled client that never mixes credentials: one pool for each set of them.
//!
//! An identity belongs to the connection. Were two callers with different identities to share a pool,
//! one would speak with the other's. Within a set, origins may share a connection (server draft, section 3.2;
//! RFC 9110, section 7.4).

mod body;
mod connection;
mod error;
mod handover;
mod set;
mod state;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use countersign_proto::CodePoints;
use http::{Request, Response, Uri};
use http_body::Body;
use hyper::body::Incoming;
use hyper::rt;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use rustls::crypto::CryptoProvider;
use tower_service::Service;

pub use self::error::PoolError;
use self::set::SetPool;

use super::connector::BoxError;
use super::{AuthConfig, Connector, CredentialResolver, Handshaker};

/// The credentials that one caller goes by. Clones are the same set; each [`CredentialSet::new`] is a set
/// of its own, whatever its resolver.
#[derive(Clone)]
pub struct CredentialSet {
    id: u64,
    auth: Arc<AuthConfig>,
}

static NEXT_SET: AtomicU64 = AtomicU64::new(0);

impl CredentialSet {
    /// The set that answers by `auth`.
    pub fn new(auth: Arc<AuthConfig>) -> Self {
        Self { id: NEXT_SET.fetch_add(1, Ordering::Relaxed), auth }
    }

    /// The set that answers by `resolver`, with the default code points and `limit`.
    pub fn with_resolver(
        provider: Arc<CryptoProvider>,
        resolver: Arc<dyn CredentialResolver>,
        limit: u32,
    ) -> Result<Self, super::ClientConfigError> {
        let auth = AuthConfig::builder(provider)
            .resolver(resolver)
            .limit(limit)
            .code_points(CodePoints::default())
            .build()?;
        Ok(Self::new(Arc::new(auth)))
    }
}

impl fmt::Debug for CredentialSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialSet").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How many sets keep their pool; the one used longest ago gives way.
const MAX_POOLS: usize = 64;

/// A client with a pool of connections for each set of credentials.
///
/// With [`AuthConfigBuilder::authority`](super::AuthConfigBuilder::authority), a set's HTTP/2 connection is
/// used for other origins too, as soon as it is authoritative for them
/// ([`ClientHandle::is_authoritative_for`](super::ClientHandle::is_authoritative_for)). A server that
/// answers 421 (Misdirected Request) there is sent the request again, over a connection of the
/// origin's own, and so are all later ones for the origin. A body that is longer than 65,536 bytes or does not tell
/// its size cannot be sent twice; such a request is sent on another origin's connection only if that has
/// answered for its origin before.
///
/// A connection that is not used for 90 seconds is closed.
pub struct PooledClient<B, C: Service<Uri> = HttpConnector> {
    tls: Arc<rustls::ClientConfig>,
    below: C,
    pools: Mutex<Pools<B, C>>,
}

/// By the number of their sets, the most recently used last.
type Pools<B, C> = Vec<(u64, Arc<SetPool<B, C>>)>;

impl<B> PooledClient<B> {
    /// A client over TCP. `tls` has the trust anchors, and the ALPN protocols `h2` and `http/1.1`. TLS
    /// client certificates of its own must not be in it, or all sets would share them.
    pub fn new(tls: Arc<rustls::ClientConfig>) -> Self {
        Self::over(Connector::tcp(), tls)
    }
}

impl<B, C: Service<Uri>> PooledClient<B, C> {
    /// The same over the connections that `below` opens.
    pub fn over(below: C, tls: Arc<rustls::ClientConfig>) -> Self {
        Self { tls, below, pools: Mutex::new(Vec::new()) }
    }
}

impl<B, C> PooledClient<B, C>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: rt::Read + rt::Write + Connection + Unpin + Send + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    /// Sends a request over a connection on which only the credentials of `set` are presented. The
    /// connection's [`ClientHandle`](super::ClientHandle) is in the extensions of the response.
    pub async fn request(
        &self,
        set: &CredentialSet,
        request: Request<B>,
    ) -> Result<Response<Incoming>, PoolError> {
        let pool = self.pool(set);
        pool.request(request).await
    }

    fn pool(&self, set: &CredentialSet) -> Arc<SetPool<B, C>> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pools.iter().position(|(id, _)| *id == set.id);
        let entry = match known {
            Some(index) => pools.remove(index),
            None => (set.id, Arc::new(self.build(set))),
        };
        let pool = Arc::clone(&entry.1);
        pools.push(entry);
        if pools.len() > MAX_POOLS {
            pools.remove(0);
        }
        pool
    }

    fn build(&self, set: &CredentialSet) -> SetPool<B, C> {
        let handshaker = Handshaker::new(Arc::clone(&self.tls), Arc::clone(&set.auth));
        SetPool::new(Connector::over(self.below.clone(), handshaker), &set.auth)
    }
}

impl<B, C: Service<Uri>> fmt::Debug for PooledClient<B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledClient").finish_non_exhaustive()
    }
}

/// What connections are opened over.
trait Transport:
    Service<
        Uri,
        Response: rt::Read + rt::Write + Connection + Unpin + Send + 'static,
        Future: Send + 'static,
        Error: Into<BoxError>,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<C> Transport for C
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: rt::Read + rt::Write + Connection + Unpin + Send + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
}

/// A body of a request.
trait RequestBody: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static {}

impl<B> RequestBody for B
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
}
