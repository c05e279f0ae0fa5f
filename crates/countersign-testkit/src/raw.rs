//! An HTTP/2 peer (RFC 9113) that sends exactly what a test tells it to.
//!
//! It knows frames and no more: no flow control, no stream states, no answers of its own but where a
//! method says so. Header blocks are written as literals from the static table; of a response only the
//! status is read, which is why [`RawPeer::open`] announces an HPACK table of size 0.

mod hpack;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::within;

/// What a client sends before its first frame (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types of RFC 9113, section 6.
pub mod kind {
    #![expect(missing_docs, reason = "the names are those of the specification")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Frame flags of RFC 9113, section 6.
pub mod flag {
    #![expect(missing_docs, reason = "the names are those of the specification")]
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
}

/// The identifier of SETTINGS_HEADER_TABLE_SIZE.
const HEADER_TABLE_SIZE: u16 = 1;

/// A frame as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The type; [`kind`] has names for those of HTTP/2 itself.
    pub kind: u8,
    /// The flags.
    pub flags: u8,
    /// The stream, without the reserved bit.
    pub stream: u32,
    /// What follows the header.
    pub payload: Bytes,
}

impl Frame {
    /// One without flags on stream 0.
    pub fn control(kind: u8, payload: impl Into<Bytes>) -> Self {
        Self { kind, flags: 0, stream: 0, payload: payload.into() }
    }

    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let mut bytes = Vec::with_capacity(9 + self.payload.len());
        bytes.extend_from_slice(length.last_chunk::<3>().unwrap());
        bytes.extend_from_slice(&[self.kind, self.flags]);
        bytes.extend_from_slice(&self.stream.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// A SETTINGS frame.
    pub fn settings(settings: &[(u16, u32)]) -> Self {
        let mut payload = Vec::with_capacity(settings.len() * 6);
        for (identifier, value) in settings {
            payload.extend_from_slice(&identifier.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        Self::control(kind::SETTINGS, payload)
    }

    /// What a SETTINGS frame announces.
    pub fn parse_settings(&self) -> Vec<(u16, u32)> {
        let mut payload = self.payload.clone();
        let mut settings = Vec::new();
        while payload.has_remaining() {
            settings.push((payload.get_u16(), payload.get_u32()));
        }
        settings
    }

    /// The error code of a GOAWAY or RST_STREAM frame.
    pub fn error_code(&self) -> Option<u32> {
        let mut payload = self.payload.clone();
        match self.kind {
            kind::GOAWAY => {
                payload.try_get_u32().ok()?;
                payload.try_get_u32().ok()
            }
            kind::RST_STREAM => payload.try_get_u32().ok(),
            _ => None,
        }
    }

    /// The debug data of a GOAWAY frame, which should be text.
    pub fn debug_text(&self) -> Option<String> {
        let text = self.payload.get(8..).filter(|_| self.kind == kind::GOAWAY)?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// A whole GET request as one HEADERS frame that ends the stream.
    pub fn get(stream: u32, authority: &str, path: &str, fields: &[(&str, &str)]) -> Self {
        Self {
            kind: kind::HEADERS,
            flags: flag::END_HEADERS | flag::END_STREAM,
            stream,
            payload: hpack::get(authority, path, fields).into(),
        }
    }

    /// A response head with `status`, which ends the stream.
    pub fn response(stream: u32, status: u16) -> Self {
        Self {
            kind: kind::HEADERS,
            flags: flag::END_HEADERS | flag::END_STREAM,
            stream,
            payload: hpack::status(status).into(),
        }
    }

    /// The `:status` of a HEADERS frame; it must be the first field.
    pub fn status(&self) -> Option<u16> {
        (self.kind == kind::HEADERS).then(|| hpack::read_status(&self.payload)).flatten()
    }
}

/// One end of an HTTP/2 connection, under a test's full control.
#[derive(Debug)]
pub struct RawPeer<S> {
    io: S,
    received: BytesMut,
}

impl RawPeer<client::TlsStream<TcpStream>> {
    /// Connects as a client to `localhost` at `address`; nothing of HTTP/2 is sent yet.
    pub async fn connect(address: SocketAddr, config: Arc<ClientConfig>) -> Self {
        let tcp = within(TcpStream::connect(address)).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = within(TlsConnector::from(config).connect(name, tcp)).await.unwrap();
        Self::over(tls)
    }

    /// Sends the preface and SETTINGS, reads the server's SETTINGS, acknowledges them, returns them.
    pub async fn open(&mut self, settings: &[(u16, u32)]) -> Vec<(u16, u32)> {
        self.send_bytes(PREFACE).await;
        self.exchange_settings(settings).await
    }

    /// Sends a GET and waits for its status; other streams' frames are dropped.
    pub async fn get(&mut self, stream: u32, path: &str) -> Option<u16> {
        self.send(&Frame::get(stream, "localhost", path, &[])).await;
        self.response(stream).await
    }
}

impl RawPeer<server::TlsStream<TcpStream>> {
    /// Accepts the next connection as a server; nothing of HTTP/2 is sent yet.
    pub async fn accept(listener: &TcpListener, config: Arc<ServerConfig>) -> Self {
        let (tcp, _) = within(listener.accept()).await.unwrap();
        let tls = within(TlsAcceptor::from(config).accept(tcp)).await.unwrap();
        Self::over(tls)
    }

    /// Reads the client's preface, sends SETTINGS, reads the client's, acknowledges them, returns them.
    pub async fn open(&mut self, settings: &[(u16, u32)]) -> Vec<(u16, u32)> {
        self.read_preface().await;
        self.exchange_settings(settings).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> RawPeer<S> {
    /// A peer over any stream.
    pub fn over(io: S) -> Self {
        Self { io, received: BytesMut::new() }
    }

    /// The stream beneath, for its TLS session.
    pub fn stream(&self) -> &S {
        &self.io
    }

    /// Reads the client's preface, which has to be done before the first of its frames is read.
    pub async fn read_preface(&mut self) {
        while self.received.len() < PREFACE.len() {
            assert!(self.fill().await, "the client closed before its preface");
        }
        assert_eq!(self.received.split_to(PREFACE.len()), PREFACE);
    }

    /// Sends bytes as they are.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        within(async {
            self.io.write_all(bytes).await?;
            self.io.flush().await
        })
        .await
        .unwrap();
    }

    /// Like [`Self::send_bytes`], for a peer that may have closed already: whether it went out.
    pub async fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        within(async {
            self.io.write_all(bytes).await?;
            self.io.flush().await
        })
        .await
        .is_ok()
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &Frame) {
        self.send_bytes(&frame.encode()).await;
    }

    /// Sends a frame from its parts.
    pub async fn send_frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        self.send(&Frame { kind, flags, stream, payload }).await;
    }

    /// Everything up to the end, unparsed: for what is no HTTP/2 at all.
    pub async fn rest(&mut self) -> Bytes {
        while self.fill().await {}
        self.received.split().freeze()
    }

    /// The next frame; None once the peer has closed.
    pub async fn next_frame(&mut self) -> Option<Frame> {
        while self.frame_length().is_none_or(|length| self.received.len() < length) {
            if !self.fill().await {
                return None;
            }
        }
        let length = self.frame_length()?;
        let mut bytes = self.received.split_to(length).freeze();
        let length_and_kind = bytes.get_u32();
        let flags = bytes.get_u8();
        let stream = bytes.get_u32() & 0x7fff_ffff;
        Some(Frame { kind: length_and_kind.to_be_bytes()[3], flags, stream, payload: bytes })
    }

    /// The next frame that satisfies `wanted`; those before it are dropped, PINGs and SETTINGS answered.
    /// None once the peer has closed.
    pub async fn next_matching(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.next_frame().await?;
            if wanted(&frame) {
                return Some(frame);
            }
            let answers = matches!(frame.kind, kind::PING | kind::SETTINGS);
            if answers && frame.flags & flag::ACK == 0 {
                let payload = if frame.kind == kind::PING { frame.payload } else { Bytes::new() };
                let ack = Frame { kind: frame.kind, flags: flag::ACK, stream: 0, payload };
                // Who closes while we acknowledge is noticed at the next read.
                self.try_send_bytes(&ack.encode()).await;
            }
        }
    }

    /// The next frame of this type.
    ///
    /// # Panics
    /// When the peer closes first.
    pub async fn expect_kind(&mut self, kind: u8) -> Frame {
        let frame = self.next_matching(|frame| frame.kind == kind).await;
        frame.unwrap_or_else(|| panic!("the peer closed before a frame of type {kind:#04x}"))
    }

    /// The status of the response on `stream`; None when the stream is reset or the connection closes.
    pub async fn response(&mut self, stream: u32) -> Option<u16> {
        let frame = self
            .next_matching(|frame| {
                frame.stream == stream && matches!(frame.kind, kind::HEADERS | kind::RST_STREAM)
            })
            .await?;
        frame.status()
    }

    /// The whole response on `stream`; None when the stream is reset or the connection closes.
    ///
    /// Nothing is said about flow control, so the body has to be shorter than the window.
    pub async fn whole_response(&mut self, stream: u32) -> Option<(u16, Bytes)> {
        let mut status = None;
        let mut body = BytesMut::new();
        loop {
            let kinds = [kind::HEADERS, kind::DATA, kind::RST_STREAM];
            let frame = self
                .next_matching(|frame| frame.stream == stream && kinds.contains(&frame.kind))
                .await?;
            match frame.kind {
                kind::HEADERS => status = status.or(frame.status()),
                kind::DATA => body.extend_from_slice(&frame.payload),
                _ => return None,
            }
            if frame.flags & flag::END_STREAM != 0 {
                return Some((status?, body.freeze()));
            }
        }
    }

    /// Waits for the connection error with `code`, then for the end of the connection. Returns the
    /// GOAWAY.
    ///
    /// A GOAWAY with NO_ERROR before it, as a graceful shutdown sends one, is passed over.
    ///
    /// # Panics
    /// When another code comes or the peer closes without GOAWAY.
    pub async fn expect_goaway(&mut self, code: u32) -> Frame {
        let goaway = self
            .next_matching(|frame| {
                frame.error_code().is_some_and(|code| code != 0) && frame.stream == 0
            })
            .await
            .expect("the peer closed without saying why");
        assert_eq!(goaway.error_code(), Some(code), "GOAWAY: {goaway:?}");
        while self.next_frame().await.is_some() {}
        goaway
    }

    /// Half-closes.
    pub async fn shutdown(&mut self) {
        // The peer may be faster; then there is nothing left to close.
        let _ = within(self.io.shutdown()).await;
    }

    async fn exchange_settings(&mut self, settings: &[(u16, u32)]) -> Vec<(u16, u32)> {
        let mut settings = settings.to_vec();
        settings.push((HEADER_TABLE_SIZE, 0));
        self.send(&Frame::settings(&settings)).await;
        let theirs = self
            .next_matching(|frame| frame.kind == kind::SETTINGS && frame.flags & flag::ACK == 0)
            .await
            .expect("the peer closed before its SETTINGS");
        self.send_frame(kind::SETTINGS, flag::ACK, 0, b"").await;
        theirs.parse_settings()
    }

    /// Reads more; false at the end, however abrupt.
    async fn fill(&mut self) -> bool {
        matches!(within(self.io.read_buf(&mut self.received)).await, Ok(1..))
    }

    fn frame_length(&self) -> Option<usize> {
        let length = self.received.first_chunk::<3>()?;
        Some(
            9 + usize::from(length[0]) * 65536
                + usize::from(length[1]) * 256
                + usize::from(length[2]),
        )
    }
}

#[cfg(test)]
mod tests;
