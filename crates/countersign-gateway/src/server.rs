//! The listener: accepts connections, within limits, until it is told to end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::config::Config;
use crate::live::Live;
use crate::reload::Reloader;
use crate::{connection, handshake, quic};

/// How much of everything. Safe for a public listener; not configurable yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at a time; further ones wait in the kernel's queue.
    pub(crate) connections: usize,
    /// The time for a TLS handshake.
    pub(crate) handshake: Duration,
    /// The time for a request's header section in HTTP/1.1, also the time to wait for the next
    /// request.
    pub(crate) headers: Duration,
    /// How long a connection may be without a request.
    pub(crate) idle: Duration,
    /// How long a connection that was told to end may take, unless it has requests in flight.
    pub(crate) closing: Duration,
    /// How long requests in flight may take once the gateway was told to end.
    pub(crate) drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(30),
            idle: Duration::from_secs(120),
            closing: Duration::from_secs(5),
            drain: Duration::from_secs(30),
        }
    }
}

/// The longest HTTP/2 frame taken, in bytes: post-quantum chains are in one frame.
pub(crate) const MAX_FRAME: u32 = 64 * 1024;
/// The longest header section taken, in bytes.
pub(crate) const MAX_HEADERS: u32 = 64 * 1024;
/// Requests at a time on one connection.
pub(crate) const MAX_STREAMS: u32 = 128;
/// How often, and how long, a client is asked whether it is still there.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long to wait after an accept that failed, mostly for file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The address cannot be listened on for HTTP/3.
    #[error("cannot listen on {address} for UDP: {source}")]
    ListenUdp {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The TLS configuration cannot be made.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The credentials cannot be asked for.
    #[error("the credentials cannot be asked for: {0}")]
    Credentials(#[from] countersign::server::ConfigError),
}

/// A gateway that listens.
pub struct Gateway {
    listener: TcpListener,
    local_addr: SocketAddr,
    /// The other half of the listener, at the same port.
    endpoint: Option<quinn::Endpoint>,
    live: Arc<Live>,
    reloader: Reloader,
    limits: Limits,
}

impl Gateway {
    /// Listens on the configured address; connections are served once [`Gateway::run`] is called.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    pub async fn bind(config: Config) -> Result<Self, GatewayError> {
        Self::bind_with(config, Limits::default()).await
    }

    pub(crate) async fn bind_with(config: Config, limits: Limits) -> Result<Self, GatewayError> {
        let address = config.address;
        let listen = |source| GatewayError::Listen { address, source };
        let (listener, socket) = quic::listen(address, config.http3).await?;
        let local_addr = listener.local_addr().map_err(listen)?;
        let live = Live::new(&config, limits, socket.as_ref().map(|_| local_addr))?;
        let endpoint = match socket {
            Some(socket) => {
                // Each connection is accepted by the configuration of its time; this one only says that there
                // is somebody.
                let server = quic::server_config(quic::tls(handshake::tls(&config)?))?;
                Some(quic::endpoint(socket, local_addr, server)?)
            }
            None => None,
        };
        let live = Arc::new(live);
        let reloader = Reloader::new(
            Arc::clone(&live),
            &config,
            limits,
            endpoint.as_ref().map(|_| local_addr),
        );
        Ok(Self { listener, local_addr, endpoint, live, reloader, limits })
    }

    /// What replaces the configuration while the gateway runs.
    pub fn reloader(&self) -> &Reloader {
        &self.reloader
    }

    /// The TCP address that the gateway listens on, with the port that it got.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The UDP address that HTTP/3 is served on, if it is: TCP's.
    pub fn udp_addr(&self) -> Option<SocketAddr> {
        self.endpoint.as_ref().map(|_| self.local_addr)
    }

    /// Serves until `shutdown` is ready, then takes no more connections, lets requests in flight
    /// finish for up to 30 seconds and returns.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, endpoint, live, limits, .. } = self;
        let (ending, end) = watch::channel(false);
        let slots = Arc::new(Semaphore::new(limits.connections));
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = shutdown.as_mut() => break,
                Some(_) = connections.join_next() => {}
                accepted = accept(&listener, endpoint.as_ref(), &slots) => match accepted {
                    Ok((arrival, slot)) => {
                        let (live, end) = (Arc::clone(&live), end.clone());
                        let crowded = slots.available_permits() < limits.connections / 2;
                        connections.spawn(async move {
                            match arrival {
                                Arrival::Tcp(stream, client) => {
                                    handle(live, stream, client, limits, end).await;
                                }
                                Arrival::Quic(incoming) => {
                                    handle_quic(live, *incoming, crowded, limits, end).await;
                                }
                            }
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep_until(Instant::now() + ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        if let Some(endpoint) = &endpoint {
            // New ones are refused; those that are there go on.
            endpoint.set_server_config(None);
        }
        // A connection that just begins sees the change too: receivers are cloned from one that has
        // not.
        let _ = ending.send(true);
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(limits.drain, drained).await.is_err() {
            tracing::warn!(left = connections.len(), "connections are cut off at the end");
            connections.shutdown().await;
        }
        if let Some(endpoint) = endpoint {
            // The last goodbyes are on their way until then.
            let _ = timeout(limits.closing, endpoint.wait_idle()).await;
        }
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

/// Who wants to come in.
enum Arrival {
    Tcp(TcpStream, SocketAddr),
    Quic(Box<quinn::Incoming>),
}

async fn accept(
    listener: &TcpListener,
    endpoint: Option<&quinn::Endpoint>,
    slots: &Arc<Semaphore>,
) -> io::Result<(Arrival, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let quic = async {
        match endpoint {
            // There are no more once the endpoint is closed, which it is not before the end.
            Some(endpoint) => endpoint.accept().await.ok_or(io::ErrorKind::NotConnected.into()),
            None => std::future::pending().await,
        }
    };
    let arrival = tokio::select! {
        accepted = listener.accept() => accepted.map(|(stream, client)| Arrival::Tcp(stream, client)),
        accepted = quic => accepted.map(|incoming| Arrival::Quic(Box::new(incoming))),
    };
    Ok((arrival?, slot))
}

async fn handle(
    live: Arc<Live>,
    stream: TcpStream,
    client: SocketAddr,
    limits: Limits,
    mut end: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%client, %error, "a connection ended at once");
        return;
    }
    let acceptor = live.state().acceptor.clone();
    let accepted = tokio::select! {
        accepted = timeout(limits.handshake, acceptor.accept(stream)) => accepted,
        _ = end.changed() => return,
    };
    match accepted {
        Ok(Ok((stream, auth))) => {
            connection::serve(live, stream, auth, client.ip(), end).await;
        }
        Ok(Err(error)) => tracing::debug!(%client, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%client, "a TLS handshake took too long"),
    }
}

/// `crowded`: the client has to show first that its address is its own.
async fn handle_quic(
    live: Arc<Live>,
    incoming: quinn::Incoming,
    crowded: bool,
    limits: Limits,
    mut end: watch::Receiver<bool>,
) {
    let client = incoming.remote_address();
    if crowded && incoming.may_retry() && !incoming.remote_address_validated() {
        let _ = incoming.retry();
        return;
    }
    let Some(acceptor) = live.state().http3.clone() else {
        incoming.refuse();
        return;
    };
    let accepted = tokio::select! {
        accepted = timeout(limits.handshake, acceptor.accept(incoming)) => accepted,
        _ = end.changed() => return,
    };
    match accepted {
        Ok(Ok((connection, auth))) => {
            connection::serve_quic(live, connection, auth, client.ip(), end).await;
        }
        Ok(Err(error)) => tracing::debug!(%client, %error, "a QUIC handshake failed"),
        Err(_) => tracing::debug!(%client, "a QUIC handshake took too long"),
    }
}

#[cfg(test)]
mod tests;
