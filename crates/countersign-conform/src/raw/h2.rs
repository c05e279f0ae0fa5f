//! Frames of HTTP/2 (RFC 9113) over TLS.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsStream;

use super::forms::{Form, Forms};
use super::{Arrival, End, GREATEST, kind, settings_payload};
use crate::authenticator::Side;
use crate::bytes::Reader;
use crate::case::Version;

/// What a client sends before its first frame (section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Flags.
pub const FLAG_ACK: u8 = 1;
/// The same bit on DATA and HEADERS.
pub const FLAG_END_STREAM: u8 = 1;
/// On HEADERS and CONTINUATION.
pub const FLAG_END_HEADERS: u8 = 4;

const FLAG_PADDED: u8 = 0x8;
const FLAG_PRIORITY: u8 = 0x20;

/// SETTINGS_HEADER_TABLE_SIZE: 0, so that header blocks need no memory to be read.
const HEADER_TABLE_SIZE: u64 = 1;
const ENABLE_PUSH: u64 = 2;
const MAX_FRAME_SIZE: u64 = 5;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The type.
    pub kind: u8,
    /// The flags.
    pub flags: u8,
    /// The stream, with the reserved bit.
    pub stream: u32,
    /// What follows the header.
    pub payload: Bytes,
}

impl Frame {
    /// One from its parts.
    pub fn new(kind: u64, flags: u8, stream: u64, payload: &[u8]) -> Self {
        Self {
            kind: u8::try_from(kind).unwrap_or(u8::MAX),
            flags,
            stream: u32::try_from(stream).unwrap_or(u32::MAX),
            payload: Bytes::copy_from_slice(payload),
        }
    }

    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Self::header(self.kind.into(), self.payload.len());
        bytes.truncate(4);
        bytes.push(self.flags);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// The header of a frame on stream 0 that announces `length` bytes.
    pub fn header(kind: u64, length: usize) -> Vec<u8> {
        let length = (length as u64).to_be_bytes();
        let mut bytes = length.get(5..).unwrap_or_default().to_vec();
        bytes.push(u8::try_from(kind).unwrap_or(u8::MAX));
        bytes.extend([0; 5]);
        bytes
    }

    /// Takes the frame at the beginning of `received`, as soon as it is whole.
    fn take(received: &mut BytesMut) -> Option<Self> {
        let mut header = Reader(received);
        let length = usize::try_from(header.number(3)?).ok()?;
        let kind = u8::try_from(header.number(1)?).ok()?;
        let flags = u8::try_from(header.number(1)?).ok()?;
        let stream = u32::try_from(header.number(4)?).ok()? & 0x7fff_ffff;
        if header.0.len() < length {
            return None;
        }
        received.advance(9);
        Some(Self { kind, flags, stream, payload: received.split_to(length).freeze() })
    }
}

type Io = TlsStream<TcpStream>;
type Writer = Arc<Mutex<Sending>>;

/// The half that sends.
#[derive(Debug)]
struct Sending {
    io: WriteHalf<Io>,
    /// Acknowledgements that have to wait for the preface and SETTINGS of our own; none once those are sent.
    owed: Option<Vec<u8>>,
}

impl Sending {
    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.io.write_all(bytes).await?;
        self.io.flush().await
    }

    async fn acknowledge(&mut self, reply: &Frame) -> std::io::Result<()> {
        match &mut self.owed {
            Some(owed) => owed.extend(reply.encode()),
            None => self.write(&reply.encode()).await?,
        }
        Ok(())
    }
}

/// The sending half, and the task that receives.
#[derive(Debug)]
pub(super) struct Wire {
    side: Side,
    writer: Writer,
    reading: JoinHandle<()>,
    patience: Duration,
    next_stream: u64,
}

impl Wire {
    pub(super) fn new(
        stream: Io,
        side: Side,
        arrivals: mpsc::UnboundedSender<Arrival>,
        patience: Duration,
        forms: Forms,
    ) -> Self {
        let (reader, io) = tokio::io::split(stream);
        let writer = Arc::new(Mutex::new(Sending { io, owed: Some(Vec::new()) }));
        let reading = tokio::spawn(read(reader, Arc::clone(&writer), side, arrivals, forms));
        Self { side, writer, reading, patience, next_stream: 1 }
    }

    pub(super) async fn open(&mut self, settings: &[(u64, u64)]) {
        let mut all = vec![(HEADER_TABLE_SIZE, 0), (MAX_FRAME_SIZE, GREATEST as u64)];
        let mut bytes = Vec::new();
        if self.side == Side::Client {
            all.push((ENABLE_PUSH, 0));
            bytes.extend(PREFACE);
        }
        all.extend(settings);
        let payload = settings_payload(Version::Http2, &all);
        bytes.extend(Frame::new(kind::SETTINGS, 0, 0, &payload).encode());
        let sending = async {
            let mut writer = self.writer.lock().await;
            bytes.extend(writer.owed.take().unwrap_or_default());
            writer.write(&bytes).await
        };
        let _ = tokio::time::timeout(self.patience, sending).await;
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let sending = async { self.writer.lock().await.write(bytes).await };
        // A peer that has closed or does not read is found out by what comes back, or does not.
        let _ = tokio::time::timeout(self.patience, sending).await;
    }

    pub(super) async fn begin(&mut self, block: &[u8]) -> u64 {
        let stream = self.next_stream;
        self.next_stream += 2;
        let frame = Frame::new(kind::HEADERS, FLAG_END_HEADERS, stream, block);
        self.send(&frame.encode()).await;
        stream
    }

    pub(super) async fn close(&mut self, code: u64, text: &str) {
        let code = u32::try_from(code).unwrap_or(u32::MAX).to_be_bytes();
        let payload = [&[0; 4][..], &code, text.as_bytes()].concat();
        self.send(&Frame::new(kind::GOAWAY, 0, 0, &payload).encode()).await;
        self.shutdown().await;
    }

    pub(super) async fn shutdown(&mut self) {
        let closing = async { self.writer.lock().await.io.shutdown().await };
        let _ = tokio::time::timeout(self.patience, closing).await;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn read(
    mut reader: ReadHalf<Io>,
    writer: Writer,
    side: Side,
    arrivals: mpsc::UnboundedSender<Arrival>,
    forms: Forms,
) {
    let mut received = BytesMut::new();
    let mut awaits_preface = side == Side::Server;
    let mut goodbye = false;
    let mut reads = 0;
    loop {
        if awaits_preface && received.len() >= PREFACE.len() {
            received.advance(PREFACE.len());
            awaits_preface = false;
        }
        let mut next = || {
            // The reserved bit is before the stream's number.
            let reserved = received.get(5).is_some_and(|byte| byte & 0x80 != 0);
            Some((Frame::take(&mut received)?, reserved, received.is_empty()))
        };
        while let Some((frame, reserved, last)) = (!awaits_preface).then(&mut next).flatten() {
            if frame.stream == 0 {
                forms.push(Form { kind: frame.kind.into(), reads, reserved, wide: false });
            }
            reads = usize::from(!last);
            goodbye |= u64::from(frame.kind) == kind::GOAWAY;
            if take_in(frame, &writer, &arrivals).await.is_none() {
                return;
            }
        }
        if !awaits_preface
            && Reader(&received).number(3).is_some_and(|length| length > GREATEST as u64)
        {
            let _ = arrivals.send(Arrival::Oversized);
            drain(reader).await;
            let _ = arrivals.send(Arrival::Closed(End::default()));
            return;
        }
        // Room for what a record of TLS has, so that it is read at once.
        received.reserve(1 << 14);
        let text = match reader.read_buf(&mut received).await {
            Ok(1..) => {
                reads += 1;
                continue;
            }
            Ok(0) if goodbye => "after GOAWAY with NO_ERROR".to_owned(),
            Ok(0) => String::new(),
            Err(error) => error.to_string(),
        };
        let _ = arrivals.send(Arrival::Closed(End { code: None, text }));
        return;
    }
}

/// Reads to the end, lest unread bytes reset the connection over what was sent.
async fn drain(mut reader: ReadHalf<Io>) {
    let mut unread = BytesMut::with_capacity(1 << 14);
    while matches!(reader.read_buf(&mut unread).await, Ok(1..)) {
        unread.clear();
    }
}

/// Tells of a frame, and acknowledges it where that is due. None once nothing more is to be read.
async fn take_in(
    frame: Frame,
    writer: &Writer,
    arrivals: &mpsc::UnboundedSender<Arrival>,
) -> Option<()> {
    let (kind, ack) = (u64::from(frame.kind), frame.flags & FLAG_ACK != 0);
    let reply = match kind {
        kind::SETTINGS if !ack => Some(Frame::new(kind, FLAG_ACK, 0, b"")),
        kind::PING if !ack => Some(Frame::new(kind, FLAG_ACK, 0, &frame.payload)),
        _ => None,
    };
    if let Some(reply) = reply {
        // A failure shows in the next read.
        let _ = writer.lock().await.acknowledge(&reply).await;
    }
    let stream = u64::from(frame.stream);
    if kind == kind::GOAWAY {
        let mut fields = Reader(&frame.payload);
        fields.take(4);
        let code = fields.number(4).unwrap_or_default();
        if code == 0 {
            return Some(());
        }
        let text = String::from_utf8_lossy(fields.0).into_owned();
        let _ = arrivals.send(Arrival::Closed(End { code: Some(code), text }));
        return None;
    }
    if (kind == kind::SETTINGS || kind == kind::PING) && ack {
        return Some(());
    }
    let ends = match kind {
        kind::RST_STREAM => true,
        kind::DATA | kind::HEADERS => frame.flags & FLAG_END_STREAM != 0,
        _ => false,
    };
    let mut payload = frame.payload;
    if kind == kind::HEADERS {
        // Padding and priority stand before the fields (section 6.2); the padding's end does no harm to a reader of the first.
        let padded = usize::from(frame.flags & FLAG_PADDED != 0);
        let priority = if frame.flags & FLAG_PRIORITY != 0 { 5 } else { 0 };
        payload.advance((padded + priority).min(payload.len()));
    }
    let stream_of_it = (stream != 0).then_some(stream);
    let arrival = Arrival::Frame { stream: stream_of_it, kind, flags: frame.flags, payload };
    arrivals.send(arrival).ok()?;
    if ends {
        arrivals.send(Arrival::StreamEnded(stream)).ok()?;
    }
    Some(())
}
