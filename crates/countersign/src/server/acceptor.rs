//! Accepting connections: the TLS handshake, then the tap where HTTP/2 was negotiated.

use std::io;
use std::sync::Arc;

use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::hello::Listening;
use super::session::{ServerLink, ServerSession};
use super::{AuthConfig, AuthHandle, Observer};
use crate::ALPN_H2;
use crate::stream::{MaybeTapped, exporter_values};

/// Turns byte streams into [`ServerStream`]s. Cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    require_ems: bool,
    auth: Arc<AuthConfig>,
}

impl Acceptor {
    /// Joins a TLS configuration (with ALPN set by the caller: `h2`, `http/1.1`) and the rules for asking.
    /// Early data is switched off: nobody would read it, and it may be somebody's repetition.
    pub fn new(mut tls: Arc<rustls::ServerConfig>, auth: Arc<AuthConfig>) -> Self {
        let require_ems = tls.require_ems;
        if tls.max_early_data_size != 0 {
            Arc::make_mut(&mut tls).max_early_data_size = 0;
        }
        Self { tls: TlsAcceptor::from(tls), require_ems, auth }
    }

    /// Does the TLS handshake. Put a deadline around it; there is none inside.
    pub async fn accept<IO>(&self, io: IO) -> io::Result<(ServerStream<IO>, AuthHandle)>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let (stream, handle, ()) = self.accept_with(io, |_| (None, ())).await?;
        Ok((stream, handle))
    }

    /// The same; whoever `observe` returns is told what becomes of the connection's identities, from those of
    /// the handshake on.
    pub async fn accept_observed<IO, O>(
        &self,
        io: IO,
        observe: impl FnOnce(&ServerConnection) -> Arc<O>,
    ) -> io::Result<(ServerStream<IO>, AuthHandle, Arc<O>)>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
        O: Observer,
    {
        let observe = |connection: &ServerConnection| {
            let observer = observe(connection);
            (Some(Arc::clone(&observer) as Arc<dyn Observer>), observer)
        };
        self.accept_with(io, observe).await
    }

    async fn accept_with<IO, O>(
        &self,
        io: IO,
        observe: impl FnOnce(&ServerConnection) -> (Option<Arc<dyn Observer>>, O),
    ) -> io::Result<(ServerStream<IO>, AuthHandle, O)>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let (tls, listening) = match &self.auth.server_certificates {
            Some(_) => {
                let (tls, listening) = Listening::on(self.tls.config());
                (TlsAcceptor::from(Arc::new(tls)), Some(listening))
            }
            None => (self.tls.clone(), None),
        };
        let stream = tls.accept(io).await?;
        let hello = listening.and_then(|listening| listening.heard());
        let (_, connection) = stream.get_ref();
        let h2 = connection.alpn_protocol() == Some(ALPN_H2);
        let values = if h2 {
            exporter_values(connection, &self.auth.provider, self.require_ems)
        } else {
            None
        };
        let tapped = values.is_some();
        let (observer, observing) = observe(connection);
        let session = ServerSession::new(Arc::clone(&self.auth), values, hello, observer);
        let handle = AuthHandle::new(Arc::clone(&session), connection.server_name());
        let chain = connection.peer_certificates();
        let chain = chain.map(|chain| chain.iter().map(|one| one.clone().into_owned()).collect());
        if let Some(chain) = chain {
            session.grant_handshake(chain).await;
        }
        let link = Arc::new(ServerLink(session));
        let inner = if tapped {
            //= specs/exported-authenticators.md#section-4
            //# A protocol that carries a request SHOULD run over a channel as secure as TLS, so
            //# that the request stays confidential.
            //= specs/exported-authenticators.md#section-4
            //# The application MAY carry messages over the very connection they belong to.
            //= specs/exported-authenticators.md#section-5
            //# A protocol that carries an authenticator SHOULD run over a channel as secure as TLS,
            //# so that the authenticator stays confidential.
            //= specs/exported-authenticators.md#section-5
            //# An authenticator MAY be carried over the connection it belongs to.
            MaybeTapped::tapped(stream, link)
        } else {
            //= specs/client-certs.md#decisions-limits
            //# (ours) On an HTTP/2 connection that cannot carry authenticators the extension's
            //# frames MUST count as unknown.
            MaybeTapped::plain(stream, link)
        };
        Ok((ServerStream { inner, handle: handle.clone() }, handle, observing))
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").field("auth", &self.auth).finish_non_exhaustive()
    }
}

/// An accepted connection, to be served by any HTTP implementation.
pub struct ServerStream<IO> {
    inner: MaybeTapped<TlsStream<IO>, ServerLink>,
    handle: AuthHandle,
}

impl<IO> ServerStream<IO> {
    /// The protocol that ALPN agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.tls().alpn_protocol()
    }

    /// The connection's handle.
    pub fn auth_handle(&self) -> &AuthHandle {
        &self.handle
    }

    /// The stream below TLS.
    pub fn get_ref(&self) -> &IO {
        self.inner.get_ref().get_ref().0
    }

    /// The TLS connection.
    pub fn tls(&self) -> &ServerConnection {
        self.inner.get_ref().get_ref().1
    }
}

impl<IO> std::fmt::Debug for ServerStream<IO> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerStream").field("handle", &self.handle).finish_non_exhaustive()
    }
}

crate::stream::delegate_io!(ServerStream);
