//! Streams and frames of HTTP/3 (RFC 9114) over QUIC.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, VarInt};
use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::forms::{Form, Forms};
use super::{Arrival, End, GREATEST, stream};
use crate::bytes::{Reader, read_varint, varint};

const NO_ERROR: u32 = 0x100;
const REQUEST_CANCELLED: u32 = 0x10c;
/// SETTINGS.
const SETTINGS: u64 = 4;

/// A frame's bytes.
pub(super) fn encode(kind: u64, payload: &[u8]) -> Vec<u8> {
    [&header(kind, payload.len())[..], payload].concat()
}

/// The header of a frame that announces `length` bytes.
pub(super) fn header(kind: u64, length: usize) -> Vec<u8> {
    [varint(kind), varint(length as u64)].concat()
}

type Requests = Arc<Mutex<HashMap<u64, SendStream>>>;

/// A connection; closed when dropped.
#[derive(Debug)]
pub(super) struct Wire {
    connection: Connection,
    control: Option<SendStream>,
    unidirectional: Vec<SendStream>,
    requests: Requests,
    /// What reads the responses to our own requests.
    readers: HashMap<u64, AbortHandle>,
    arrivals: mpsc::UnboundedSender<Arrival>,
    patience: Duration,
}

impl Wire {
    pub(super) fn new(
        connection: Connection,
        arrivals: mpsc::UnboundedSender<Arrival>,
        patience: Duration,
        forms: Forms,
    ) -> Self {
        let requests = Requests::default();
        tokio::spawn(read_unidirectional(connection.clone(), arrivals.clone(), forms));
        tokio::spawn(read_requests(connection.clone(), arrivals.clone(), Arc::clone(&requests)));
        tokio::spawn(tell_end(connection.clone(), arrivals.clone()));
        let (control, unidirectional, readers) = (None, Vec::new(), HashMap::new());
        Self { connection, control, unidirectional, requests, readers, arrivals, patience }
    }

    pub(super) async fn open(&mut self, settings: &[u8]) {
        if let Ok(Ok(mut stream)) = timeout(self.patience, self.connection.open_uni()).await {
            let bytes = [varint(stream::CONTROL), encode(SETTINGS, settings)].concat();
            write(self.patience, &mut stream, &bytes).await;
            self.control = Some(stream);
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        if self.control.is_none()
            && let Ok(Ok(mut stream)) = timeout(self.patience, self.connection.open_uni()).await
        {
            write(self.patience, &mut stream, &varint(stream::CONTROL)).await;
            self.control = Some(stream);
        }
        if let Some(stream) = &mut self.control {
            write(self.patience, stream, bytes).await;
        }
    }

    pub(super) fn finish_control(&mut self) {
        if let Some(stream) = &mut self.control {
            let _ = stream.finish();
        }
    }

    pub(super) fn reset_control(&mut self) {
        if let Some(stream) = &mut self.control {
            let _ = stream.reset(NO_ERROR.into());
        }
    }

    pub(super) async fn open_uni(&mut self, bytes: &[u8]) {
        if let Ok(Ok(mut stream)) = timeout(self.patience, self.connection.open_uni()).await {
            write(self.patience, &mut stream, bytes).await;
            self.unidirectional.push(stream);
        }
    }

    pub(super) async fn begin(&mut self, bytes: &[u8]) -> u64 {
        // A connection that is gone is noticed by who waits for the response.
        let Ok(Ok((mut send, receive))) = timeout(self.patience, self.connection.open_bi()).await
        else {
            return u64::MAX;
        };
        let id = send.id().into();
        write(self.patience, &mut send, bytes).await;
        self.requests.lock().await.insert(id, send);
        let reading = tokio::spawn(read_exchange(id, receive, self.arrivals.clone()));
        self.readers.insert(id, reading.abort_handle());
        id
    }

    pub(super) async fn send_on(&mut self, id: u64, bytes: &[u8]) {
        if let Some(stream) = self.requests.lock().await.get_mut(&id) {
            write(self.patience, stream, bytes).await;
        }
    }

    pub(super) async fn finish(&mut self, id: u64) {
        if let Some(mut stream) = self.requests.lock().await.remove(&id) {
            let _ = stream.finish();
        }
    }

    pub(super) async fn reset(&mut self, id: u64) {
        if let Some(mut stream) = self.requests.lock().await.remove(&id) {
            let _ = stream.reset(REQUEST_CANCELLED.into());
        }
        // A response that nobody reads is stopped.
        if let Some(reading) = self.readers.remove(&id) {
            reading.abort();
        }
    }

    pub(super) fn close(&self, code: u64, text: &str) {
        let code = VarInt::from_u64(code).unwrap_or(VarInt::from_u32(NO_ERROR));
        self.connection.close(code, text.as_bytes());
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // The tasks that read hold the connection too.
        self.connection.close(NO_ERROR.into(), b"");
    }
}

async fn write(patience: Duration, stream: &mut SendStream, bytes: &[u8]) {
    // A peer that has closed or does not read is found out by what comes back, or does not.
    let _ = timeout(patience, stream.write_all(bytes)).await;
}

async fn tell_end(connection: Connection, arrivals: mpsc::UnboundedSender<Arrival>) {
    let reason = connection.closed().await;
    let end = if let ConnectionError::ApplicationClosed(close) = reason {
        let code = close.error_code.into_inner();
        let text = String::from_utf8_lossy(&close.reason).into_owned();
        End { code: (code != u64::from(NO_ERROR)).then_some(code), text }
    } else {
        End { code: None, text: reason.to_string() }
    };
    let _ = arrivals.send(Arrival::Closed(end));
}

async fn read_unidirectional(
    connection: Connection,
    arrivals: mpsc::UnboundedSender<Arrival>,
    forms: Forms,
) {
    let has_control = Arc::new(AtomicBool::new(false));
    while let Ok(incoming) = connection.accept_uni().await {
        let (arrivals, has_control) = (arrivals.clone(), Arc::clone(&has_control));
        let forms = forms.clone();
        tokio::spawn(async move {
            let id = incoming.id().into();
            let mut reader = Incoming::new(incoming);
            let stream = match reader.varint().await {
                Some(stream::CONTROL) => has_control.swap(true, Ordering::Relaxed).then_some(id),
                // A push stream begins with its own number.
                Some(stream::PUSH) if reader.varint().await.is_some() => Some(id),
                // QPACK's streams carry nothing that has to be understood without a dynamic table.
                Some(_) | None => {
                    while reader.fill().await.is_some() {
                        reader.received.clear();
                    }
                    return;
                }
            };
            while let Some((kind, payload)) = reader.next_frame().await {
                if stream.is_none() {
                    forms.push(Form { kind, ..reader.form });
                }
                let frame = Arrival::Frame { stream, kind, flags: 0, payload: payload.freeze() };
                if arrivals.send(frame).is_err() {
                    return;
                }
            }
            if reader.oversized {
                let _ = arrivals.send(Arrival::Oversized);
            } else if !reader.lost && stream.is_none() {
                let _ = arrivals.send(Arrival::ControlEnded);
            }
        });
    }
}

async fn read_requests(
    connection: Connection,
    arrivals: mpsc::UnboundedSender<Arrival>,
    requests: Requests,
) {
    while let Ok((send, receive)) = connection.accept_bi().await {
        let id = send.id().into();
        requests.lock().await.insert(id, send);
        tokio::spawn(read_exchange(id, receive, arrivals.clone()));
    }
}

async fn read_exchange(id: u64, stream: RecvStream, arrivals: mpsc::UnboundedSender<Arrival>) {
    let mut reader = Incoming::new(stream);
    while let Some((kind, payload)) = reader.next_frame().await {
        let payload = payload.freeze();
        let _ = arrivals.send(Arrival::Frame { stream: Some(id), kind, flags: 0, payload });
    }
    // The end of the connection is told by who knows its reason.
    if !reader.lost {
        let _ = arrivals.send(Arrival::StreamEnded(id));
    }
}

/// A stream, and what was read of it and not used yet.
struct Incoming {
    stream: RecvStream,
    received: BytesMut,
    oversized: bool,
    /// How the last frame came; its type aside.
    form: Form,
    reads: usize,
    /// Whether it ended because the connection did.
    lost: bool,
}

impl Incoming {
    fn new(stream: RecvStream) -> Self {
        let (received, form) = (BytesMut::new(), Form::default());
        Self { stream, received, oversized: false, form, reads: 0, lost: false }
    }

    /// The integer at the beginning.
    async fn varint(&mut self) -> Option<u64> {
        loop {
            if let Some((value, width)) = read_varint(&self.received) {
                self.received.advance(width);
                return Some(value);
            }
            self.fill().await?;
        }
    }

    /// The next frame; None at the end, however abrupt.
    async fn next_frame(&mut self) -> Option<(u64, BytesMut)> {
        loop {
            let mut reader = Reader(&self.received);
            if let (Some(kind), Some(length)) = (reader.varint(), reader.varint()) {
                let (header, length) =
                    (self.received.len() - reader.0.len(), usize::try_from(length).ok()?);
                if length > GREATEST {
                    self.oversized = true;
                    return None;
                }
                if reader.0.len() >= length {
                    let wide = header > self::header(kind, length).len();
                    self.form = Form { reads: self.reads, wide, ..Form::default() };
                    self.received.advance(header);
                    self.reads = usize::from(self.received.len() > length);
                    return Some((kind, self.received.split_to(length)));
                }
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Option<()> {
        let chunk = self.stream.read_chunk(usize::MAX, true).await;
        self.lost = matches!(chunk, Err(ReadError::ConnectionLost(_)));
        self.received.extend_from_slice(&chunk.ok()??.bytes);
        self.reads += 1;
        Some(())
    }
}
