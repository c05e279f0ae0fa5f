//! A tower connector for hyper-util's pooled client.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector, HttpInfo};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::{ClientHandle, ClientStream, Handshaker, Origin};
use crate::{ALPN_H2, BoxFuture};

/// Opens TLS connections over those of `C`, with the tap where HTTP/2 was negotiated.
///
/// Only `https` URIs are accepted. The [`ClientHandle`] of a connection is in the extensions of every
/// response that came over it.
#[derive(Clone, Debug)]
pub struct Connector<C = HttpConnector> {
    below: C,
    handshaker: Handshaker,
}

impl Connector {
    /// Over TCP.
    pub fn new(handshaker: Handshaker) -> Self {
        Self::over(Self::tcp(), handshaker)
    }

    pub(super) fn tcp() -> HttpConnector {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp
    }
}

impl<C> Connector<C> {
    /// Over the connections that `below` opens.
    pub fn over(below: C, handshaker: Handshaker) -> Self {
        Self { below, handshaker }
    }
}

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

impl<C> Service<Uri> for Connector<C>
where
    C: Service<Uri>,
    C::Response: rt::Read + rt::Write + Connection + Unpin + Send + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = ConnectorStream<C::Response>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.below.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let origin = match Origin::of(&uri) {
            Ok(origin) => origin,
            Err(error) => return Box::pin(std::future::ready(Err(error.into()))),
        };
        let connecting = self.below.call(uri);
        let handshaker = self.handshaker.clone();
        Box::pin(async move {
            let io = connecting.await.map_err(Into::into)?;
            let mut facts = http::Extensions::new();
            io.connected().get_extras(&mut facts);
            let address = facts.get::<HttpInfo>().map(HttpInfo::remote_addr);
            let (stream, _handle) = handshaker.handshake(TokioIo::new(io), origin, address).await?;
            Ok(ConnectorStream(TokioIo::new(stream)))
        })
    }
}

/// A connection as hyper-util's client uses it.
#[derive(Debug)]
pub struct ConnectorStream<IO>(TokioIo<ClientStream<TokioIo<IO>>>);

impl<IO> ConnectorStream<IO> {
    /// The connection's handle.
    pub fn handle(&self) -> &ClientHandle {
        self.0.inner().handle()
    }
}

impl<IO: Connection + rt::Read + rt::Write + Unpin> Connection for ConnectorStream<IO> {
    fn connected(&self) -> Connected {
        let stream = self.0.inner();
        let connected = stream.get_ref().inner().connected().extra(stream.handle().clone());
        if stream.alpn() == Some(ALPN_H2) { connected.negotiated_h2() } else { connected }
    }
}

impl<IO: rt::Read + rt::Write + Unpin> rt::Read for ConnectorStream<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<IO: rt::Read + rt::Write + Unpin> rt::Write for ConnectorStream<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
