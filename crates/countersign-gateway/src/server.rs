//! The listener: accepts connections, within limits, until it is told to end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use countersign::server::{AuthHandle, ServerStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::admin::{Admin, Watched};
use crate::audit::Finishing;
use crate::config::Config;
use crate::live::Live;
use crate::metrics::Protocol;
use crate::places::{Place, Places};
use crate::refusals::{Reason, Refusals};
use crate::reload::Reloader;
use crate::witness::Witness;
use crate::{connection, handshake, quic};

/// The longest HTTP/2 frame taken, in bytes: post-quantum chains are in one frame.
pub(crate) const MAX_FRAME: u32 = 64 * 1024;
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
    /// The address cannot be listened on for the admin endpoints.
    #[error("cannot listen on {address} for the admin endpoints: {source}")]
    ListenAdmin {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The audit log cannot be written.
    #[error("the audit log `{}` cannot be opened: {source}", path.display())]
    Audit {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no thread to write the audit log.
    #[error("the audit log cannot be written: {0}")]
    AuditThread(io::Error),
    /// A revocation list would be replaced by an earlier one of its issuer.
    #[error(
        "the revocation list `{file}` is older than the one in force: its CRL number or thisUpdate is lower; \
         put the issuer's latest list there"
    )]
    OutdatedRevocationList {
        /// The file, as the configuration names it.
        file: String,
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
    admin: Option<Admin>,
    live: Arc<Live>,
    reloader: Reloader,
}

impl Gateway {
    /// Listens on the configured address; connections are served once [`Gateway::run`] is called.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    pub async fn bind(config: Config) -> Result<Self, GatewayError> {
        let address = config.address;
        let listen = |source| GatewayError::Listen { address, source };
        let (listener, socket) = quic::listen(address, config.http3).await?;
        let local_addr = listener.local_addr().map_err(listen)?;
        let live = Live::new(&config, socket.as_ref().map(|_| local_addr))?;
        let endpoint = match socket {
            Some(socket) => {
                // Each connection is accepted by the configuration of its time; this one only says that there
                // is somebody.
                let tls = quic::tls(handshake::tls(&config)?);
                let server = quic::server_config(tls, &config.limits)?;
                Some(quic::endpoint(socket, local_addr, server)?)
            }
            None => None,
        };
        let admin = match config.admin {
            Some(address) => Some(Admin::bind(address).await?),
            None => None,
        };
        let live = Arc::new(live);
        let udp = endpoint.as_ref().map(|_| local_addr);
        let reloader = Reloader::new(Arc::clone(&live), &config, udp);
        Ok(Self { listener, local_addr, endpoint, admin, live, reloader })
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

    /// The address of the admin endpoints, if there are any.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::address)
    }

    /// Serves until `shutdown` is ready, then takes no more connections, lets requests in flight
    /// finish for up to `limits.drain_timeout` and returns.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let udp = self.udp_addr();
        let Self { listener, local_addr, endpoint, admin, live, reloader } = self;
        let watched = Arc::new(Watched {
            live: Arc::clone(&live),
            reloader,
            tcp: local_addr,
            udp,
            draining: AtomicBool::new(false),
        });
        // It ends when this does: whoever watches sees the end of the drain, too.
        let mut telling = JoinSet::new();
        if let Some(admin) = admin {
            telling.spawn(admin.serve(Arc::clone(&watched)));
        }
        let _audit = Finishing(Arc::clone(&live.meters().audit));
        let (ending, end) = watch::channel(false);
        let refusals = Arc::clone(&live.meters().refusals);
        let places = Places::new(Arc::clone(&refusals));
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = shutdown.as_mut() => break,
                Some(_) = connections.join_next() => {}
                accepted = accept(&listener, endpoint.as_ref(), &places, &live) => match accepted {
                    Ok(arrival) => {
                        if let Some((arrival, place)) = arrival.admit(&places, &live) {
                            let (live, end) = (Arc::clone(&live), end.clone());
                            connections.spawn(async move {
                                arrival.serve(live, end).await;
                                drop(place);
                            });
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep_until(Instant::now() + ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        watched.draining.store(true, Ordering::SeqCst);
        drop(listener);
        if let Some(endpoint) = &endpoint {
            // New ones are refused; those that are there go on.
            endpoint.set_server_config(None);
        }
        // A connection that just begins sees the change too: receivers are cloned from one that has
        // not.
        let _ = ending.send(true);
        let limits = live.shared().limits;
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(limits.drain, drained).await.is_err() {
            tracing::warn!(left = connections.len(), "connections are cut off at the end");
            refusals.add(Reason::Drain, connections.len() as u64);
            connections.shutdown().await;
        }
        if let Some(endpoint) = endpoint {
            // The last goodbyes are on their way until then.
            let _ = timeout(limits.closing, endpoint.wait_idle()).await;
        }
        refusals.log();
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

impl Arrival {
    fn address(&self) -> IpAddr {
        match self {
            Self::Tcp(_, client) => client.ip(),
            Self::Quic(incoming) => incoming.remote_address().ip(),
        }
    }

    /// Finds a place; who gets none is told so by the end of the connection.
    fn admit(self, places: &Arc<Places>, live: &Live) -> Option<(Self, Place)> {
        let (address, limits) = (self.address(), live.shared().limits);
        let arrival = match self {
            Self::Quic(incoming)
                if incoming.may_retry()
                    && !incoming.remote_address_validated()
                    && places.crowded(address, &limits) =>
            {
                // The client has to show first that its address is its own.
                let _ = incoming.retry();
                return None;
            }
            arrival @ (Self::Tcp(..) | Self::Quic(_)) => arrival,
        };
        match (places.take(address, &limits), arrival) {
            (Some(place), arrival) => Some((arrival, place)),
            (None, Self::Tcp(..)) => None,
            (None, Self::Quic(incoming)) => {
                incoming.refuse();
                None
            }
        }
    }

    /// Serves it to its end. What only a part of that time or one of the protocols needs is boxed: this is the
    /// task of a connection, and takes its room for as long as the connection idles.
    async fn serve(self, live: Arc<Live>, mut end: watch::Receiver<bool>) {
        match self {
            Self::Tcp(stream, client) => {
                let accepted = Box::pin(handshake(&live, stream, client, &mut end)).await;
                if let Some((stream, auth, witness)) = accepted {
                    connection::serve(live, stream, auth, witness, end).await;
                }
            }
            Self::Quic(incoming) => Box::pin(handle_quic(live, *incoming, end)).await,
        }
    }
}

async fn accept(
    listener: &TcpListener,
    endpoint: Option<&quinn::Endpoint>,
    places: &Places,
    live: &Live,
) -> io::Result<Arrival> {
    places.room(|| live.shared().limits).await;
    let quic = async {
        match endpoint {
            // There are no more once the endpoint is closed, which it is not before the end.
            Some(endpoint) => endpoint.accept().await.ok_or(io::ErrorKind::NotConnected.into()),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        accepted = listener.accept() => accepted.map(|(stream, client)| Arrival::Tcp(stream, client)),
        accepted = quic => accepted.map(|incoming| Arrival::Quic(Box::new(incoming))),
    }
}

/// Does the TLS handshake; `None` if nothing comes of it.
async fn handshake(
    live: &Live,
    stream: TcpStream,
    client: SocketAddr,
    end: &mut watch::Receiver<bool>,
) -> Option<(ServerStream<TcpStream>, AuthHandle, Arc<Witness>)> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%client, %error, "a connection ended at once");
        return None;
    }
    let acceptor = live.state().acceptor.clone();
    let limit = live.shared().limits.handshake;
    let observe = |connection: &rustls::ServerConnection| {
        let h2 = connection.alpn_protocol() == Some(b"h2");
        let protocol = if h2 { Protocol::Http2 } else { Protocol::Http1 };
        Witness::new(client, protocol, live.meters())
    };
    let accepted = tokio::select! {
        accepted = timeout(limit, acceptor.accept_observed(stream, observe)) => accepted,
        _ = end.changed() => return None,
    };
    match accepted {
        Ok(Ok(accepted)) => return Some(accepted),
        Ok(Err(error)) => tracing::debug!(%client, %error, "a TLS handshake failed"),
        Err(_) => too_long(&live.meters().refusals, client),
    }
    None
}

async fn handle_quic(live: Arc<Live>, incoming: quinn::Incoming, mut end: watch::Receiver<bool>) {
    let client = incoming.remote_address();
    let Some(acceptor) = live.state().http3.clone() else {
        incoming.refuse();
        return;
    };
    let limit = live.shared().limits.handshake;
    let witness = Witness::new(client, Protocol::Http3, live.meters());
    let accepting = acceptor.accept_observed(incoming, Arc::clone(&witness) as _);
    let accepted = tokio::select! {
        accepted = timeout(limit, accepting) => accepted,
        _ = end.changed() => return,
    };
    match accepted {
        Ok(Ok((connection, auth))) => {
            connection::serve_quic(live, connection, auth, witness, end).await;
        }
        Ok(Err(error)) => tracing::debug!(%client, %error, "a QUIC handshake failed"),
        Err(_) => too_long(&live.meters().refusals, client),
    }
}

fn too_long(refusals: &Refusals, client: SocketAddr) {
    tracing::debug!(%client, "a handshake took too long");
    refusals.count(Reason::HandshakeTimeout);
}

#[cfg(test)]
mod tests;
