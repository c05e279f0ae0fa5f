//! Opening connections: the TLS handshake, then the tap where HTTP/2 was negotiated.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::proofs::Peer;
use super::session::{ClientLink, ClientSession};
use super::{AuthConfig, ClientHandle, Origin};
use crate::ALPN_H2;
use crate::stream::{MaybeTapped, exporter_values};

/// Turns byte streams into [`ClientStream`]s. Cheap to clone.
#[derive(Clone)]
pub struct Handshaker {
    tls: TlsConnector,
    require_ems: bool,
    auth: Arc<AuthConfig>,
}

impl Handshaker {
    /// Joins a TLS configuration (with ALPN set by the caller: `h2`, `http/1.1`) and the rules for
    /// answering.
    pub fn new(tls: Arc<rustls::ClientConfig>, auth: Arc<AuthConfig>) -> Self {
        let require_ems = tls.require_ems;
        Self { tls: TlsConnector::from(tls), require_ems, auth }
    }

    /// Does the TLS handshake with the server of `origin`, whose name its certificate must have.
    ///
    /// A further origin cannot be checked against the connection's address, which is not known; see
    /// [`Handshaker::connect_to`].
    pub async fn connect<IO>(
        &self,
        io: IO,
        origin: Origin,
    ) -> io::Result<(ClientStream<IO>, ClientHandle)>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        self.handshake(io, origin, None).await
    }

    /// As [`Handshaker::connect`], over a byte stream that leads to `address`.
    pub async fn connect_to<IO>(
        &self,
        io: IO,
        origin: Origin,
        address: SocketAddr,
    ) -> io::Result<(ClientStream<IO>, ClientHandle)>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        self.handshake(io, origin, Some(address)).await
    }

    pub(super) async fn handshake<IO>(
        &self,
        io: IO,
        origin: Origin,
        address: Option<SocketAddr>,
    ) -> io::Result<(ClientStream<IO>, ClientHandle)>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let name = origin
            .server_name()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let stream = self.tls.connect(name, io).await?;
        let (_, connection) = stream.get_ref();
        let h2 = connection.alpn_protocol() == Some(ALPN_H2);
        let values = if h2 {
            exporter_values(connection, &self.auth.provider, self.require_ems)
        } else {
            None
        };
        let tapped = values.is_some();
        let chain = connection.peer_certificates().unwrap_or_default();
        let chain = chain.iter().map(|one| one.clone().into_owned()).collect();
        let peer = Peer { chain, address };
        let session = ClientSession::new(Arc::clone(&self.auth), origin, values, &peer);
        let handle = ClientHandle::new(Arc::clone(&session));
        let link = Arc::new(ClientLink(session));
        let inner = if tapped {
            MaybeTapped::tapped(stream, link)
        } else {
            //= specs/client-certs.md#decisions-limits
            //# (ours) On an HTTP/2 connection that cannot carry authenticators the extension's
            //# frames MUST count as unknown.
            MaybeTapped::plain(stream, link)
        };
        Ok((ClientStream { inner, handle: handle.clone() }, handle))
    }
}

impl std::fmt::Debug for Handshaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshaker").field("auth", &self.auth).finish_non_exhaustive()
    }
}

/// An open connection, to be driven by any HTTP implementation.
pub struct ClientStream<IO> {
    inner: MaybeTapped<TlsStream<IO>, ClientLink>,
    handle: ClientHandle,
}

impl<IO> ClientStream<IO> {
    /// The protocol that ALPN agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.tls().alpn_protocol()
    }

    /// The connection's handle.
    pub fn handle(&self) -> &ClientHandle {
        &self.handle
    }

    /// The stream below TLS.
    pub fn get_ref(&self) -> &IO {
        self.inner.get_ref().get_ref().0
    }

    /// The TLS connection.
    pub fn tls(&self) -> &ClientConnection {
        self.inner.get_ref().get_ref().1
    }
}

impl<IO> std::fmt::Debug for ClientStream<IO> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientStream").field("handle", &self.handle).finish_non_exhaustive()
    }
}

crate::stream::delegate_io!(ClientStream);
