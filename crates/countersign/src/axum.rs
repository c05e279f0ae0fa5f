//! axum: a listener for `axum::serve`, and extractors.
//!
//! ```no_run
//! use countersign::axum::{Identities, Listener, into_make_service};
//! # async fn run(acceptor: countersign::server::Acceptor) -> std::io::Result<()> {
//! let app = axum::Router::new().route(
//!     "/",
//!     axum::routing::get(|identities: Identities| async move { format!("{}", identities.0.len()) }),
//! );
//! let tcp = tokio::net::TcpListener::bind("127.0.0.1:8443").await?;
//! axum::serve(Listener::new(tcp, acceptor)?, into_make_service(app)).await
//! # }
//! ```

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::serve::IncomingStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tower_service::Service;

use crate::server::{Acceptor, AuthHandle, Identity, ServerStream, WithAuthHandle};

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many TLS handshakes run at a time.
const MAX_HANDSHAKES: usize = 1024;
/// The pause after a failure to accept, such as too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Accepts TCP connections and hands them over once their TLS handshake is done.
///
/// Handshakes run beside each other, so that a slow client holds nobody up.
#[derive(Debug)]
pub struct Listener {
    ready: mpsc::Receiver<(ServerStream<TcpStream>, SocketAddr)>,
    local_addr: SocketAddr,
    accepting: AbortHandle,
}

impl Listener {
    /// Begins to accept from `tcp`. Must be called within a tokio runtime.
    pub fn new(tcp: TcpListener, acceptor: Acceptor) -> io::Result<Self> {
        let local_addr = tcp.local_addr()?;
        let (sender, ready) = mpsc::channel(16);
        let accepting = tokio::spawn(accept_all(tcp, acceptor, sender)).abort_handle();
        Ok(Self { ready, local_addr, accepting })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept_all(
    tcp: TcpListener,
    acceptor: Acceptor,
    ready: mpsc::Sender<(ServerStream<TcpStream>, SocketAddr)>,
) {
    let slots = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let (stream, peer) = match tcp.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep_until(tokio::time::Instant::now() + ACCEPT_RETRY).await;
                continue;
            }
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            let _slot = slot;
            let _nodelay = stream.set_nodelay(true);
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok((stream, _handle))) => drop(ready.send((stream, peer)).await),
                Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
            }
        });
    }
}

impl axum::serve::Listener for Listener {
    type Io = ServerStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            // The accepting task ends with this listener only.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local_addr)
    }
}

/// Makes a service of `router` for each connection that puts the connection's [`AuthHandle`] into the
/// extensions of every request.
pub fn into_make_service(router: Router) -> IntoMakeService {
    IntoMakeService { router }
}

/// See [`into_make_service`].
#[derive(Clone, Debug)]
pub struct IntoMakeService {
    router: Router,
}

impl Service<IncomingStream<'_, Listener>> for IntoMakeService {
    type Response = WithAuthHandle<Router>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, stream: IncomingStream<'_, Listener>) -> Self::Future {
        let handle = stream.io().auth_handle().clone();
        std::future::ready(Ok(WithAuthHandle::new(self.router.clone(), handle)))
    }
}

impl Connected<IncomingStream<'_, Listener>> for AuthHandle {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.io().auth_handle().clone()
    }
}

/// The request came over a connection that [`Listener`] did not accept.
const NO_HANDLE: (StatusCode, &str) =
    (StatusCode::INTERNAL_SERVER_ERROR, "the connection has no authentication handle");

impl<S: Sync> FromRequestParts<S> for AuthHandle {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let extensions = &parts.extensions;
        extensions
            .get::<Self>()
            .or_else(|| extensions.get::<ConnectInfo<Self>>().map(|info| &info.0))
            .cloned()
            .ok_or(NO_HANDLE)
    }
}

/// What the client has proven on the request's connection; may be empty.
#[derive(Clone, Debug)]
pub struct Identities(pub Vec<Identity>);

impl Identities {
    /// The identity for `credential`.
    pub fn get(&self, credential: &str) -> Option<&Identity> {
        self.0.iter().find(|identity| identity.credential() == credential)
    }
}

impl<S: Sync> FromRequestParts<S> for Identities {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let handle = AuthHandle::from_request_parts(parts, state).await?;
        Ok(Self(handle.identities()))
    }
}
