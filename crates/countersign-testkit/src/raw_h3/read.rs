//! What reads streams in the background.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::BytesMut;
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{Mutex, mpsc};

use super::{Arrival, CONTROL, Frame, wire};

pub(super) async fn read_unidirectional(
    connection: Connection,
    arrivals: mpsc::UnboundedSender<Arrival>,
) {
    while let Ok(stream) = connection.accept_uni().await {
        let arrivals = arrivals.clone();
        tokio::spawn(async move {
            let mut reader = Reader::new(stream);
            let control = reader.stream_type().await == Some(CONTROL);
            // Streams of other types are read all the same: some may not be stopped.
            while let Some(frame) = reader.next_frame().await {
                if control {
                    // The test may be over.
                    let _ = arrivals.send(Arrival::Control(frame));
                }
            }
        });
    }
}

pub(super) async fn read_requests(
    connection: Connection,
    arrivals: mpsc::UnboundedSender<Arrival>,
    requests: Arc<Mutex<HashMap<u64, SendStream>>>,
) {
    while let Ok((send, receive)) = connection.accept_bi().await {
        let id = send.id().into();
        requests.lock().await.insert(id, send);
        tokio::spawn(read_exchange(id, receive, arrivals.clone()));
    }
}

pub(super) async fn read_exchange(
    id: u64,
    stream: RecvStream,
    arrivals: mpsc::UnboundedSender<Arrival>,
) {
    let mut reader = Reader::new(stream);
    // Nobody may be there to be told any more, here and below.
    while let Some(frame) = reader.next_frame().await {
        let _ = arrivals.send(Arrival::Exchange(id, frame));
    }
    let _ = arrivals.send(Arrival::Ended(id));
}

/// A stream, and what was read of it and not used yet.
struct Reader {
    stream: RecvStream,
    received: BytesMut,
}

impl Reader {
    fn new(stream: RecvStream) -> Self {
        Self { stream, received: BytesMut::new() }
    }

    async fn stream_type(&mut self) -> Option<u64> {
        loop {
            if let Some((value, width)) = wire::read_varint(&self.received) {
                let _type = self.received.split_to(width);
                return Some(value);
            }
            self.fill().await?;
        }
    }

    /// The next frame; None at the end, however abrupt.
    async fn next_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = Frame::take(&mut self.received) {
                return Some(frame);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Option<()> {
        let chunk = self.stream.read_chunk(usize::MAX, true).await.ok()??;
        self.received.extend_from_slice(&chunk.bytes);
        Some(())
    }
}
