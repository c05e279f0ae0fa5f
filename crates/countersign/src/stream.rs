//! A TLS stream, under the tap where HTTP/2 was negotiated and untouched where not.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use countersign_h2::Tap;
use countersign_proto::link::{Closed, Link};
use exported_authenticator::{ExporterValues, ExtendedMasterSecret};
use rustls::ConnectionCommon;
use rustls::crypto::CryptoProvider;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What authenticators are bound to, or `None` where the connection cannot carry them. With `require_ems`
/// the connection's configuration refuses TLS 1.2 without the extended master secret.
pub(crate) fn exporter_values<Data>(
    connection: &ConnectionCommon<Data>,
    provider: &CryptoProvider,
    require_ems: bool,
) -> Option<ExporterValues> {
    let ems =
        if require_ems { ExtendedMasterSecret::Required } else { ExtendedMasterSecret::Unknown };
    ExporterValues::from_rustls(connection, provider, ems)
        .inspect_err(|reason| tracing::debug!(%reason, "connection without the extension"))
        .ok()
}

/// What an HTTP implementation reads from and writes to.
///
/// Boxed either way: HTTP stacks move futures around that contain the whole stream.
#[derive(Debug)]
pub(crate) enum MaybeTapped<IO, L: Link> {
    /// HTTP/2 with the extension.
    Tapped(Box<Tap<IO, L>>),
    /// Anything else. The link is told when the stream ends.
    Plain { io: Box<IO>, _told: OnDrop<L> },
}

impl<IO, L: Link> MaybeTapped<IO, L> {
    pub(crate) fn tapped(io: IO, link: Arc<L>) -> Self {
        Self::Tapped(Box::new(Tap::new(io, link)))
    }

    pub(crate) fn plain(io: IO, link: Arc<L>) -> Self {
        Self::Plain { io: Box::new(io), _told: OnDrop(link) }
    }

    pub(crate) fn get_ref(&self) -> &IO {
        match self {
            Self::Tapped(tap) => tap.get_ref(),
            Self::Plain { io, .. } => io,
        }
    }
}

/// Tells the link that the transport is gone.
#[derive(Debug)]
pub(crate) struct OnDrop<L: Link>(Arc<L>);

impl<L: Link> Drop for OnDrop<L> {
    fn drop(&mut self) {
        self.0.closed(Closed::Transport);
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin, L: Link> AsyncRead for MaybeTapped<IO, L> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tapped(tap) => Pin::new(&mut **tap).poll_read(cx, buf),
            Self::Plain { io, .. } => Pin::new(&mut **io).poll_read(cx, buf),
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin, L: Link> AsyncWrite for MaybeTapped<IO, L> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tapped(tap) => Pin::new(&mut **tap).poll_write(cx, buf),
            Self::Plain { io, .. } => Pin::new(&mut **io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tapped(tap) => Pin::new(&mut **tap).poll_write_vectored(cx, bufs),
            Self::Plain { io, .. } => Pin::new(&mut **io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tapped(tap) => tap.is_write_vectored(),
            Self::Plain { io, .. } => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tapped(tap) => Pin::new(&mut **tap).poll_flush(cx),
            Self::Plain { io, .. } => Pin::new(&mut **io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tapped(tap) => Pin::new(&mut **tap).poll_shutdown(cx),
            Self::Plain { io, .. } => Pin::new(&mut **io).poll_shutdown(cx),
        }
    }
}

/// Reads from and writes to the field `inner` of a generic stream type.
macro_rules! delegate_io {
    ($stream:ident) => {
        impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for $stream<IO> {
            fn poll_read(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<io::Result<()>> {
                std::pin::Pin::new(&mut self.inner).poll_read(cx, buf)
            }
        }

        impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for $stream<IO> {
            fn poll_write(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<io::Result<usize>> {
                std::pin::Pin::new(&mut self.inner).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> std::task::Poll<io::Result<usize>> {
                std::pin::Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.inner.is_write_vectored()
            }

            fn poll_flush(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<io::Result<()>> {
                std::pin::Pin::new(&mut self.inner).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<io::Result<()>> {
                std::pin::Pin::new(&mut self.inner).poll_shutdown(cx)
            }
        }
    };
}
pub(crate) use delegate_io;
