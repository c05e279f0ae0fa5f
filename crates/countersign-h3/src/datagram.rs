//! HTTP datagrams (RFC 9297) for `h3-datagram`. They pass as they are.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use countersign_proto::link::Link;
use futures_util::{Stream, StreamExt as _, stream};
use h3::quic::ConnectionErrorIncoming;
use h3_datagram::datagram::EncodedDatagram;
use h3_datagram::quic_traits::{
    DatagramConnectionExt, RecvDatagram, SendDatagram, SendDatagramErrorIncoming,
};

use crate::Connection;
use crate::error::internal;
use crate::shared::Core;

/// Sends datagrams on a [`Connection`].
pub struct DatagramSender<L: Link + ?Sized>(Arc<Core<L>>);

/// Receives the datagrams of a [`Connection`].
pub struct DatagramReceiver<L: Link + ?Sized> {
    core: Arc<Core<L>>,
    incoming: Pin<Box<dyn Stream<Item = Result<Bytes, quinn::ConnectionError>> + Send + Sync>>,
}

impl<L: Link + ?Sized, B: Buf> DatagramConnectionExt<B> for Connection<L> {
    type SendDatagramHandler = DatagramSender<L>;
    type RecvDatagramHandler = DatagramReceiver<L>;

    fn send_datagram_handler(&self) -> DatagramSender<L> {
        DatagramSender(Arc::clone(&self.core))
    }

    fn recv_datagram_handler(&self) -> DatagramReceiver<L> {
        let incoming = stream::unfold(self.core.quic.clone(), async |quic| {
            Some((quic.read_datagram().await, quic))
        });
        DatagramReceiver { core: Arc::clone(&self.core), incoming: Box::pin(incoming) }
    }
}

impl<L: Link + ?Sized, B: Buf> SendDatagram<B> for DatagramSender<L> {
    fn send_datagram<T: Into<EncodedDatagram<B>>>(
        &mut self,
        data: T,
    ) -> Result<(), SendDatagramErrorIncoming> {
        self.0.check().map_err(SendDatagramErrorIncoming::ConnectionError)?;
        let mut data = data.into();
        let data = data.copy_to_bytes(data.remaining());
        self.0.quic.send_datagram(data).map_err(|error| match error {
            quinn::SendDatagramError::UnsupportedByPeer | quinn::SendDatagramError::Disabled => {
                SendDatagramErrorIncoming::NotAvailable
            }
            quinn::SendDatagramError::TooLarge => SendDatagramErrorIncoming::TooLarge,
            quinn::SendDatagramError::ConnectionLost(error) => {
                SendDatagramErrorIncoming::ConnectionError(self.0.translate(error))
            }
        })
    }
}

impl<L: Link + ?Sized> RecvDatagram for DatagramReceiver<L> {
    type Buffer = Bytes;

    fn poll_incoming_datagram(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, ConnectionErrorIncoming>> {
        self.core.check()?;
        let datagram = ready!(self.incoming.poll_next_unpin(cx))
            .ok_or_else(|| internal("no more datagrams are received"))?;
        Poll::Ready(datagram.map_err(|error| self.core.translate(error)))
    }
}
