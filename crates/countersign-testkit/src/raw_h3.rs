//! An HTTP/3 peer (RFC 9114) that sends exactly what a test tells it to, directly on quinn.
//!
//! It knows streams and frames and no more: no state of a request, no answers of its own. Field
//! sections are of QPACK's static table and literals; of a response only the status is read. What arrives is read in
//! the background and kept until a test asks for it.

mod qpack;
mod read;
mod wire;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig};
use tokio::sync::{Mutex, mpsc};

pub use self::wire::{Frame, header, varint};
use crate::{quic, within};

/// Frame types of RFC 9114, section 7.2.
pub mod kind {
    #![expect(missing_docs, reason = "the names are those of the specification")]
    pub const DATA: u64 = 0;
    pub const HEADERS: u64 = 1;
    pub const SETTINGS: u64 = 4;
}

/// The type of a control stream (RFC 9114, section 6.2.1).
const CONTROL: u64 = 0;
/// H3_NO_ERROR and H3_REQUEST_CANCELLED (RFC 9114, section 8.1).
const NO_ERROR: u32 = 0x100;
const REQUEST_CANCELLED: u32 = 0x10c;

/// Something that the peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A frame on its control stream.
    Control(Frame),
    /// A frame on the request stream with this identifier.
    Exchange(u64, Frame),
    /// The end of that request stream, clean or not.
    Ended(u64),
}

/// One end of an HTTP/3 connection, under a test's full control. Closes it when dropped.
#[derive(Debug)]
pub struct RawH3Peer {
    connection: Connection,
    control: Option<SendStream>,
    requests: Arc<Mutex<HashMap<u64, SendStream>>>,
    arriving: mpsc::UnboundedReceiver<Arrival>,
    arrivals: mpsc::UnboundedSender<Arrival>,
    /// Arrived, and not asked for yet.
    kept: VecDeque<Arrival>,
}

impl RawH3Peer {
    /// Connects as a client to `localhost` at `address`; nothing of HTTP/3 is sent yet.
    pub async fn connect(address: SocketAddr, tls: rustls::ClientConfig) -> Self {
        Self::connect_with(address, tls, TransportConfig::default()).await
    }

    /// The same with settings of QUIC's own, such as flow-control windows.
    pub async fn connect_with(
        address: SocketAddr,
        tls: rustls::ClientConfig,
        transport: TransportConfig,
    ) -> Self {
        let config = quic::client_config(tls, transport);
        let connecting = quic::client().connect_with(config, address, "localhost").unwrap();
        Self::over(within(connecting).await.unwrap())
    }

    /// Accepts the next connection as a server; nothing of HTTP/3 is sent yet.
    pub async fn accept(endpoint: &Endpoint) -> Self {
        let incoming = within(endpoint.accept()).await.expect("the endpoint is open");
        Self::over(within(incoming.into_future()).await.unwrap())
    }

    /// A peer on any connection.
    pub fn over(connection: Connection) -> Self {
        let (arrivals, arriving) = mpsc::unbounded_channel();
        let requests = Arc::default();
        let (kept, control) = (VecDeque::new(), None);
        let peer = Self { connection, control, requests, arriving, arrivals, kept };
        tokio::spawn(read::read_unidirectional(peer.connection.clone(), peer.arrivals.clone()));
        tokio::spawn(read::read_requests(
            peer.connection.clone(),
            peer.arrivals.clone(),
            Arc::clone(&peer.requests),
        ));
        peer
    }

    /// The connection beneath.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Opens the control stream with SETTINGS, waits for the peer's SETTINGS, returns them.
    pub async fn open(&mut self, settings: &[(u64, u64)]) -> Vec<(u64, u64)> {
        self.open_control(&Frame::settings(settings).encode()).await;
        self.expect_kind(kind::SETTINGS).await.parse_settings()
    }

    /// Opens the control stream with `bytes` behind its type.
    pub async fn open_control(&mut self, bytes: &[u8]) {
        self.control = Some(self.open_uni(&[&varint(CONTROL), bytes].concat()).await);
    }

    /// Opens a unidirectional stream that begins with `bytes`.
    pub async fn open_uni(&self, bytes: &[u8]) -> SendStream {
        let mut stream = within(self.connection.open_uni()).await.unwrap();
        within(stream.write_all(bytes)).await.unwrap();
        stream
    }

    /// The control stream, open.
    pub fn control(&mut self) -> &mut SendStream {
        self.control.as_mut().expect("the control stream was opened")
    }

    /// Sends bytes on the control stream as they are.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        assert!(self.try_send_bytes(bytes).await, "{:?}", self.connection.close_reason());
    }

    /// Like [`Self::send_bytes`], for a peer that may have closed already: whether it went out.
    pub async fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        within(self.control().write_all(bytes)).await.is_ok()
    }

    /// Sends a frame on the control stream.
    pub async fn send(&mut self, frame: &Frame) {
        self.send_bytes(&frame.encode()).await;
    }

    /// Opens the next request stream with `bytes`; returns its identifier.
    pub async fn open_request(&mut self, bytes: &[u8]) -> u64 {
        let (mut send, receive) = within(self.connection.open_bi()).await.unwrap();
        let id = send.id().into();
        within(send.write_all(bytes)).await.unwrap();
        self.requests.lock().await.insert(id, send);
        tokio::spawn(read::read_exchange(id, receive, self.arrivals.clone()));
        id
    }

    /// Sends a whole GET on the next request stream; returns its identifier.
    pub async fn request(&mut self, authority: &str, path: &str) -> u64 {
        let id = self.open_request(&Frame::get(authority, path).encode()).await;
        self.finish(id).await;
        id
    }

    /// Sends bytes on an open request stream.
    pub async fn send_on(&mut self, id: u64, bytes: &[u8]) {
        let mut requests = self.requests.lock().await;
        let stream = requests.get_mut(&id).expect("the request stream is open");
        within(stream.write_all(bytes)).await.unwrap();
    }

    /// Sends a response without a body, whole.
    pub async fn respond(&mut self, id: u64, status: u16) {
        let headers = Frame::new(kind::HEADERS, qpack::status(status));
        self.send_on(id, &headers.encode()).await;
        self.finish(id).await;
    }

    /// Says that nothing follows on a request stream.
    pub async fn finish(&mut self, id: u64) {
        let mut stream = self.requests.lock().await.remove(&id).expect("the stream is open");
        stream.finish().unwrap();
    }

    /// Sends a whole GET on the next request stream, and reads nothing of it unless the stream is used.
    pub async fn request_unread(&self, authority: &str, path: &str) -> RecvStream {
        let (mut send, receive) = within(self.connection.open_bi()).await.unwrap();
        within(send.write_all(&Frame::get(authority, path).encode())).await.unwrap();
        send.finish().unwrap();
        receive
    }

    /// Sends a request's head and takes it back.
    pub async fn request_and_cancel(&self, authority: &str, path: &str) {
        let (mut send, mut receive) = within(self.connection.open_bi()).await.unwrap();
        within(send.write_all(&Frame::get(authority, path).encode())).await.unwrap();
        send.reset(REQUEST_CANCELLED.into()).unwrap();
        receive.stop(REQUEST_CANCELLED.into()).unwrap();
    }

    /// The first arrival that satisfies `wanted`, of those that were not asked for yet. None once the
    /// connection has ended without it.
    pub async fn next_matching(&mut self, wanted: impl Fn(&Arrival) -> bool) -> Option<Arrival> {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at);
        }
        loop {
            let arrival = within(self.arrive()).await?;
            if wanted(&arrival) {
                return Some(arrival);
            }
            self.kept.push_back(arrival);
        }
    }

    async fn arrive(&mut self) -> Option<Arrival> {
        tokio::select! {
            biased;
            arrival = self.arriving.recv() => arrival,
            _ = self.connection.closed() => self.arriving.try_recv().ok(),
        }
    }

    /// The next frame of this type on the control stream.
    ///
    /// # Panics
    /// When the connection ends first.
    pub async fn expect_kind(&mut self, kind: u64) -> Frame {
        let wanted =
            |arrival: &Arrival| matches!(arrival, Arrival::Control(frame) if frame.kind == kind);
        match self.next_matching(wanted).await {
            Some(Arrival::Control(frame)) => frame,
            Some(Arrival::Exchange(..) | Arrival::Ended(_)) | None => {
                panic!("{:?} before a frame of type {kind:#04x}", self.connection.close_reason())
            }
        }
    }

    /// The whole response on a request stream; None when the stream is reset or the connection closes.
    pub async fn whole_response(&mut self, id: u64) -> Option<(u16, Bytes)> {
        let mut status = None;
        let mut body = BytesMut::new();
        loop {
            let of_it = |arrival: &Arrival| matches!(arrival, Arrival::Exchange(of, _) | Arrival::Ended(of) if *of == id);
            match self.next_matching(of_it).await? {
                Arrival::Exchange(_, frame) if frame.kind == kind::HEADERS => {
                    status = status.or(frame.status());
                }
                Arrival::Exchange(_, frame) if frame.kind == kind::DATA => {
                    body.extend_from_slice(&frame.payload);
                }
                Arrival::Ended(_) => return Some((status?, body.freeze())),
                Arrival::Exchange(..) | Arrival::Control(_) => {}
            }
        }
    }

    /// Waits for CONNECTION_CLOSE with `code`. Returns its text.
    ///
    /// # Panics
    /// When another code comes or the connection ends otherwise.
    pub async fn expect_close(&self, code: u64) -> String {
        let reason = within(self.connection.closed()).await;
        let ConnectionError::ApplicationClosed(close) = reason else {
            panic!("not closed by the peer's HTTP/3: {reason}");
        };
        let got = close.error_code.into_inner();
        assert_eq!(got, code, "CONNECTION_CLOSE with {got:#x} instead of {code:#x}: {close}");
        String::from_utf8_lossy(&close.reason).into_owned()
    }

    /// Closes the connection without blame.
    pub fn close(&self) {
        self.connection.close(NO_ERROR.into(), b"");
    }
}

impl Drop for RawH3Peer {
    fn drop(&mut self) {
        // The tasks that read hold the connection too.
        self.close();
    }
}

#[cfg(test)]
mod tests;
