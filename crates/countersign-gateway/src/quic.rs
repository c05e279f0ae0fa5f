//! QUIC below HTTP/3: the socket beside the listener's, the endpoint and its limits.
//!
//! The limits mirror those of HTTP/2. No early data is taken: what is in it may be somebody's
//! repetition, and identities do not exist yet.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use countersign::h3::ALPN_H3;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, IdleTimeout, TokioRuntime, TransportConfig, VarInt};
use rustls::ServerConfig;
use tokio::net::TcpListener;

use crate::limits::Limits;
use crate::server::{GatewayError, KEEP_ALIVE};

/// What a client may send ahead of being read: on one stream and on all together, in bytes.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;
/// What is kept for one client until it has acknowledged it, in bytes.
const SEND_WINDOW: u64 = 2 * 1024 * 1024;
/// The control stream, QPACK's two, and some that clients open to see whether they are ignored.
const MAX_UNI_STREAMS: u32 = 16;
/// Handshakes that wait for their turn, and what is kept of all their packets, in bytes.
const MAX_INCOMING: usize = 1024;
const INCOMING_BUFFER: u64 = 16 * 1024 * 1024;
/// A free TCP port may be taken for UDP; this often, another pair is tried.
const ATTEMPTS: usize = 16;

/// Listens on `address` for TCP and, if `udp`, on the port that this got for UDP too.
pub(crate) async fn listen(
    address: SocketAddr,
    udp: bool,
) -> Result<(TcpListener, Option<UdpSocket>), GatewayError> {
    let on_tcp = |source| GatewayError::Listen { address, source };
    let mut attempts = if address.port() == 0 { ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        let listener = TcpListener::bind(address).await.map_err(on_tcp)?;
        if !udp {
            return Ok((listener, None));
        }
        let address = listener.local_addr().map_err(on_tcp)?;
        match UdpSocket::bind(address) {
            Ok(socket) => return Ok((listener, Some(socket))),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
            Err(source) => return Err(GatewayError::ListenUdp { address, source }),
        }
    }
}

/// Makes the endpoint on `socket`.
pub(crate) fn endpoint(
    socket: UdpSocket,
    address: SocketAddr,
    server: quinn::ServerConfig,
) -> Result<Endpoint, GatewayError> {
    Endpoint::new(EndpointConfig::default(), Some(server), socket, Arc::new(TokioRuntime))
        .map_err(|source| GatewayError::ListenUdp { address, source })
}

/// Makes TLS for QUIC of `tls`, which is for TCP.
pub(crate) fn tls(mut tls: ServerConfig) -> Arc<ServerConfig> {
    tls.alpn_protocols = vec![ALPN_H3.to_vec()];
    tls.max_early_data_size = 0;
    Arc::new(tls)
}

/// The transport's limits, with `tls`.
pub(crate) fn server_config(
    tls: Arc<ServerConfig>,
    limits: &Limits,
) -> Result<quinn::ServerConfig, rustls::Error> {
    let crypto = QuicServerConfig::try_from(tls)
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits.streams))
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_UNI_STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(idle_timeout(KEEP_ALIVE * 2)));
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    server
        .transport_config(Arc::new(transport))
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size_total(INCOMING_BUFFER);
    Ok(server)
}

fn idle_timeout(timeout: Duration) -> IdleTimeout {
    let milliseconds = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    IdleTimeout::from(VarInt::from_u32(milliseconds))
}
