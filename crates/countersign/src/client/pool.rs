//! A pooled client that never mixes credentials: one pool for each set of them.
//!
//! An identity belongs to the connection. Were two callers with different identities to share a pool,
//! one would speak with the other's.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use countersign_proto::CodePoints;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::CryptoProvider;

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

/// hyper-util's client, once for each set of credentials.
pub struct PooledClient<B> {
    tls: Arc<rustls::ClientConfig>,
    /// The most recently used last.
    pools: Mutex<Vec<(u64, Client<Connector, B>)>>,
}

impl<B> PooledClient<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// A client over TCP. `tls` has the trust anchors, and the ALPN protocols `h2` and `http/1.1`. TLS
    /// client certificates of its own must not be in it, or all sets would share them.
    pub fn new(tls: Arc<rustls::ClientConfig>) -> Self {
        Self { tls, pools: Mutex::new(Vec::new()) }
    }

    /// Sends a request over a connection on which only the credentials of `set` are presented.
    pub async fn request(
        &self,
        set: &CredentialSet,
        request: Request<B>,
    ) -> Result<Response<Incoming>, Error> {
        let client = self.client(set);
        client.request(request).await
    }

    fn client(&self, set: &CredentialSet) -> Client<Connector, B> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pools.iter().position(|(id, _)| *id == set.id);
        let entry = match known {
            Some(index) => pools.remove(index),
            None => (set.id, self.build(set)),
        };
        let client = entry.1.clone();
        pools.push(entry);
        if pools.len() > MAX_POOLS {
            pools.remove(0);
        }
        client
    }

    fn build(&self, set: &CredentialSet) -> Client<Connector, B> {
        let handshaker = Handshaker::new(Arc::clone(&self.tls), Arc::clone(&set.auth));
        Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .http2_max_frame_size(set.auth.max_frame_len.clamp(0x4000, 0xff_ffff) as u32)
            .build(Connector::new(handshaker))
    }
}

impl<B> fmt::Debug for PooledClient<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledClient").finish_non_exhaustive()
    }
}
