//! One end of a connection, under a case's full control.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::forms::{Form, Forms};
use super::h2::{self, FLAG_END_HEADERS, FLAG_END_STREAM, Frame as H2Frame};
use super::{
    Arrival, End, Event, fields, h3, kind, parse_settings, payload, printable, settings_payload,
};
use crate::authenticator::{Draft, Request, Secrets, Side, decline};
use crate::case::{Done, Version, failed};
use crate::code_points::{self, Code, CodePoints};
use crate::identity::Identity;

/// One end of a connection.
#[derive(Debug)]
pub struct Peer {
    /// The version.
    pub version: Version,
    /// The numbers in use.
    pub points: CodePoints,
    /// What authenticators are made with.
    pub secrets: Secrets,
    /// What the peer announced in its first SETTINGS.
    pub settings: Vec<(u64, u64)>,
    later_settings: Vec<(u64, u64)>,
    /// Whether TLS resumed a session; not known in QUIC.
    pub resumed: Option<bool>,
    /// What a client's ClientHello offers in signature_algorithms; nothing of servers.
    pub offered: Vec<u16>,
    /// Requests that came together with one that was answered; they are next.
    pub unanswered: Vec<Request>,
    /// Requests for no certificate in particular that nothing is left to answer with.
    pub kept_back: Vec<Request>,
    /// The leaves that were presented.
    presented: Vec<Vec<u8>>,
    patience: Duration,
    wire: Wire,
    arriving: mpsc::UnboundedReceiver<Arrival>,
    kept: VecDeque<Arrival>,
    ended: Option<End>,
    forms: Forms,
}

#[derive(Debug)]
enum Wire {
    H2(h2::Wire),
    H3(h3::Wire),
}

impl Peer {
    /// A peer on TLS over TCP, whose handshake is done.
    pub fn over_tls(
        stream: tokio_rustls::TlsStream<tokio::net::TcpStream>,
        secrets: Secrets,
        points: CodePoints,
        patience: Duration,
    ) -> Self {
        let (arrivals, arriving) = mpsc::unbounded_channel();
        let side = match &stream {
            tokio_rustls::TlsStream::Client(_) => Side::Client,
            tokio_rustls::TlsStream::Server(_) => Side::Server,
        };
        let resumed = match &stream {
            tokio_rustls::TlsStream::Client(stream) => stream.get_ref().1.handshake_kind(),
            tokio_rustls::TlsStream::Server(stream) => stream.get_ref().1.handshake_kind(),
        };
        let resumed = Some(resumed == Some(rustls::HandshakeKind::Resumed));
        let forms = Forms::default();
        let wire = Wire::H2(h2::Wire::new(stream, side, arrivals, patience, forms.clone()));
        let mut peer =
            Self::new(Version::Http2, wire, arriving, secrets, points, patience, resumed);
        peer.forms = forms;
        peer
    }

    /// A peer on QUIC.
    pub fn over_quic(
        connection: quinn::Connection,
        secrets: Secrets,
        points: CodePoints,
        patience: Duration,
    ) -> Self {
        let (arrivals, arriving) = mpsc::unbounded_channel();
        let forms = Forms::default();
        let wire = Wire::H3(h3::Wire::new(connection, arrivals, patience, forms.clone()));
        let mut peer = Self::new(Version::Http3, wire, arriving, secrets, points, patience, None);
        peer.forms = forms;
        peer
    }

    /// Has the peer wait longer, or shorter.
    pub fn be_patient(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// How long it waits.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// How the next frame of this type came on stream 0 or the control stream, that was not asked about yet.
    pub fn form(&mut self, kind: impl Into<u64>) -> Option<Form> {
        self.forms.take(kind.into())
    }

    /// How the connection ended, as far as that has been noticed.
    pub fn ending(&self) -> Option<&End> {
        self.ended.as_ref()
    }

    fn new(
        version: Version,
        wire: Wire,
        arriving: mpsc::UnboundedReceiver<Arrival>,
        secrets: Secrets,
        points: CodePoints,
        patience: Duration,
        resumed: Option<bool>,
    ) -> Self {
        let (settings, unanswered, kept, ended) = (Vec::new(), Vec::new(), VecDeque::new(), None);
        Self {
            version,
            points,
            secrets,
            settings,
            later_settings: Vec::new(),
            resumed,
            offered: Vec::new(),
            unanswered,
            kept_back: Vec::new(),
            presented: Vec::new(),
            patience,
            wire,
            arriving,
            kept,
            ended,
            forms: Forms::default(),
        }
    }

    /// Sends the preface, where there is one, and SETTINGS; waits for the peer's.
    pub async fn open(&mut self, settings: &[(u64, u64)]) -> Done {
        self.announce(settings).await;
        self.read_settings().await
    }

    /// Sends the preface, where there is one, and SETTINGS.
    pub async fn announce(&mut self, settings: &[(u64, u64)]) {
        match &mut self.wire {
            Wire::H2(wire) => wire.open(settings).await,
            Wire::H3(wire) => wire.open(&settings_payload(Version::Http3, settings)).await,
        }
    }

    /// Waits for the peer's first SETTINGS.
    pub async fn read_settings(&mut self) -> Done {
        let frame = self.control_frame(kind::SETTINGS, "the peer's SETTINGS").await?;
        self.take_settings(&frame)
    }

    /// Takes these for the peer's first SETTINGS.
    pub fn take_settings(&mut self, frame: &[u8]) -> Done {
        let Some(settings) = parse_settings(self.version, frame) else {
            return failed("the peer's SETTINGS frame does not decode");
        };
        self.settings = settings;
        Ok(())
    }

    /// What the peer announced for a setting.
    pub fn setting(&self, identifier: u16) -> Option<u64> {
        self.settings
            .iter()
            .find(|(known, _)| *known == u64::from(identifier))
            .map(|(_, value)| *value)
    }

    /// What the peer announced in all SETTINGS frames behind its first that have come until now.
    pub fn later_settings(&mut self) -> &[(u64, u64)] {
        while let Some(frame) = self.came(kind::SETTINGS) {
            self.later_settings.extend(parse_settings(self.version, &frame).unwrap_or_default());
        }
        &self.later_settings
    }

    /// The first of what satisfies `wanted` and was not asked for yet.
    pub async fn event(&mut self, wanted: impl Fn(&Arrival) -> bool) -> Event {
        if let Some(arrival) =
            self.kept.iter().position(&wanted).and_then(|at| self.kept.remove(at))
        {
            return Event::Arrived(arrival);
        }
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some(end) = &self.ended {
                return Event::Closed(end.clone());
            }
            match timeout_at(deadline, self.arriving.recv()).await {
                Err(_) => return Event::Silence,
                Ok(None) => self.ended = Some(End::default()),
                Ok(Some(Arrival::Closed(end))) => self.ended = Some(end),
                Ok(Some(arrival)) if wanted(&arrival) => return Event::Arrived(arrival),
                Ok(Some(arrival)) => self.kept.push_back(arrival),
            }
        }
    }

    /// The same for who cannot go on without it.
    pub async fn expect(&mut self, what: &str, wanted: impl Fn(&Arrival) -> bool) -> Done<Arrival> {
        match self.event(wanted).await {
            Event::Arrived(arrival) => Ok(arrival),
            Event::Closed(end) => failed(format!("{} instead of {what}", self.tell(&end))),
            Event::Silence => failed(format!("{what} did not come within {:?}", self.patience)),
        }
    }

    /// The payload of the next frame of this type on stream 0 or the control stream.
    pub async fn control_frame(&mut self, kind: impl Into<u64>, what: &str) -> Done<Bytes> {
        let kind = kind.into();
        let wanted = |arrival: &Arrival| is_control(arrival, kind);
        Ok(payload(self.expect(what, wanted).await?))
    }

    /// Whether a frame of this type on stream 0 or the control stream has come already; it is taken.
    pub fn came(&mut self, kind: impl Into<u64>) -> Option<Bytes> {
        let kind = kind.into();
        while let Ok(arrival) = self.arriving.try_recv() {
            match arrival {
                Arrival::Closed(end) => self.ended = Some(end),
                Arrival::Frame { .. }
                | Arrival::StreamEnded(_)
                | Arrival::ControlEnded
                | Arrival::Oversized => self.kept.push_back(arrival),
            }
        }
        let at = self.kept.iter().position(|arrival| is_control(arrival, kind))?;
        self.kept.remove(at).map(payload)
    }

    /// How the connection has ended, as far as that was noticed.
    pub fn end(&self) -> Option<&End> {
        self.ended.as_ref()
    }

    /// An ending in words.
    pub fn tell(&self, end: &End) -> String {
        let text = if end.text.is_empty() {
            String::new()
        } else {
            format!(" ({})", printable(&end.text))
        };
        match end.code {
            Some(code) => {
                let name = code_points::name(self.version, code, &self.points);
                format!("the connection ended with {name}{text}")
            }
            None => format!("the connection ended without an error{text}"),
        }
    }

    /// Waits for the connection error with this code.
    pub async fn expect_error(&mut self, code: Code) -> Done {
        self.expect_code(code.of(self.version)).await
    }

    /// The same with the version's own number.
    pub async fn expect_code(&mut self, code: u64) -> Done {
        let end = self.expect_end().await?;
        if end.code == Some(code) {
            return Ok(());
        }
        let name = code_points::name(self.version, code, &self.points);
        failed(format!("{} instead of {name}", self.tell(&end)))
    }

    /// Waits for a connection error, with whatever code.
    pub async fn expect_any_error(&mut self) -> Done {
        let end = self.expect_end().await?;
        end.code.map_or_else(|| failed(self.tell(&end)), |_| Ok(()))
    }

    /// Waits for the end of the connection, however it comes.
    pub async fn expect_end(&mut self) -> Done<End> {
        match self.event(|_| false).await {
            Event::Closed(end) => Ok(end),
            Event::Arrived(_) | Event::Silence => {
                failed(format!("the connection did not end within {:?}", self.patience))
            }
        }
    }

    /// Sends a frame on stream 0 or the control stream.
    pub async fn control(&mut self, kind: impl Into<u64>, payload: &[u8]) {
        let kind = kind.into();
        match &mut self.wire {
            Wire::H2(wire) => wire.send(&H2Frame::new(kind, 0, 0, payload).encode()).await,
            Wire::H3(wire) => wire.send(&h3::encode(kind, payload)).await,
        }
    }

    /// Sends bytes there, as they are.
    pub async fn bytes(&mut self, bytes: &[u8]) {
        match &mut self.wire {
            Wire::H2(wire) => wire.send(bytes).await,
            Wire::H3(wire) => wire.send(bytes).await,
        }
    }

    /// The bytes of a frame for stream 0 or the control stream.
    pub fn encode(&self, kind: impl Into<u64>, payload: &[u8]) -> Vec<u8> {
        match self.version {
            Version::Http2 => H2Frame::new(kind.into(), 0, 0, payload).encode(),
            Version::Http3 => h3::encode(kind.into(), payload),
        }
    }

    /// The header of such a frame that announces `length` bytes.
    pub fn header(&self, kind: impl Into<u64>, length: usize) -> Vec<u8> {
        match self.version {
            Version::Http2 => H2Frame::header(kind.into(), length),
            Version::Http3 => h3::header(kind.into(), length),
        }
    }

    /// Sends a frame on a stream that is open.
    pub async fn on_stream(&mut self, stream: u64, kind: impl Into<u64>, payload: &[u8]) {
        let kind = kind.into();
        match &mut self.wire {
            Wire::H2(wire) => wire.send(&H2Frame::new(kind, 0, stream, payload).encode()).await,
            Wire::H3(wire) => wire.send_on(stream, &h3::encode(kind, payload)).await,
        }
    }

    /// Sends a whole GET; returns its stream.
    pub async fn get(&mut self, authority: &str, path: &str) -> u64 {
        let stream = self.begin(authority, path).await;
        self.finish(stream).await;
        stream
    }

    /// Sends the head of a request that is to be gone on with; returns its stream.
    pub async fn begin(&mut self, authority: &str, path: &str) -> u64 {
        let block = fields::request(self.version, authority, path);
        match &mut self.wire {
            Wire::H2(wire) => wire.begin(&block).await,
            Wire::H3(wire) => wire.begin(&h3::encode(kind::HEADERS, &block)).await,
        }
    }

    /// The same with a frame right behind it, in the same packet: a server reads both together, whether it waits
    /// for the rest of the request or not.
    pub async fn begin_with(
        &mut self,
        authority: &str,
        path: &str,
        kind: impl Into<u64>,
        payload: &[u8],
    ) -> u64 {
        let stream = match &mut self.wire {
            Wire::H2(_) => self.begin(authority, path).await,
            Wire::H3(wire) => {
                let block = fields::request(self.version, authority, path);
                let head = h3::encode(kind::HEADERS, &block);
                return wire.begin(&[head, h3::encode(kind.into(), payload)].concat()).await;
            }
        };
        self.on_stream(stream, kind, payload).await;
        stream
    }

    /// Says that nothing follows on a stream.
    pub async fn finish(&mut self, stream: u64) {
        match &mut self.wire {
            Wire::H2(wire) => {
                wire.send(&H2Frame::new(kind::DATA, FLAG_END_STREAM, stream, b"").encode()).await;
            }
            Wire::H3(wire) => wire.finish(stream).await,
        }
    }

    /// Takes a request back.
    pub async fn cancel(&mut self, stream: u64) {
        match &mut self.wire {
            Wire::H2(wire) => {
                let cancel = 8_u32.to_be_bytes();
                wire.send(&H2Frame::new(kind::RST_STREAM, 0, stream, &cancel).encode()).await;
            }
            Wire::H3(wire) => wire.reset(stream).await,
        }
    }

    /// Sends a whole response without a body.
    pub async fn respond(&mut self, stream: u64, status: u16) {
        let block = fields::response(self.version, status);
        match &mut self.wire {
            Wire::H2(wire) => {
                let flags = FLAG_END_HEADERS | FLAG_END_STREAM;
                wire.send(&H2Frame::new(kind::HEADERS, flags, stream, &block).encode()).await;
            }
            Wire::H3(wire) => {
                wire.send_on(stream, &h3::encode(kind::HEADERS, &block)).await;
                wire.finish(stream).await;
            }
        }
    }

    /// Ends the connection with an error, or with none.
    pub async fn close(&mut self, code: u64, text: &str) {
        match &mut self.wire {
            Wire::H2(wire) => wire.close(code, text).await,
            Wire::H3(wire) => wire.close(code, text),
        }
    }

    /// Ends our side of the control stream of HTTP/3; of HTTP/2 the whole of our side.
    pub async fn finish_control(&mut self) {
        match &mut self.wire {
            Wire::H2(wire) => wire.shutdown().await,
            Wire::H3(wire) => wire.finish_control(),
        }
    }

    /// Resets our control stream of HTTP/3; nothing in HTTP/2.
    pub fn reset_control(&mut self) {
        if let Wire::H3(wire) = &mut self.wire {
            wire.reset_control();
        }
    }

    /// Opens a unidirectional stream of HTTP/3 that begins with `bytes`; nothing in HTTP/2.
    pub async fn open_uni(&mut self, bytes: &[u8]) {
        if let Wire::H3(wire) = &mut self.wire {
            wire.open_uni(bytes).await;
        }
    }

    /// Sends a valid authenticator in CERTIFICATE.
    pub async fn answer(&mut self, request: &Request, identity: &Identity) -> Done {
        let authenticator = Draft::answer(request, identity)?.sign(&self.secrets)?;
        self.presented.extend(identity.chain.first().cloned());
        self.certificate(&authenticator).await;
        Ok(())
    }

    /// Whether this identity was presented on the connection.
    pub fn has_presented(&self, identity: &Identity) -> bool {
        identity.chain.first().is_some_and(|leaf| self.presented.contains(leaf))
    }

    /// Sends an empty authenticator in CERTIFICATE.
    pub async fn decline(&mut self, request: &Request) {
        let authenticator = decline(&self.secrets, Side::Client, &request.bytes, &request.context);
        self.certificate(&authenticator).await;
    }

    /// Sends CERTIFICATE.
    pub async fn certificate(&mut self, authenticator: &[u8]) {
        self.control(self.points.certificate, authenticator).await;
    }
}

fn is_control(arrival: &Arrival, wanted: u64) -> bool {
    matches!(arrival, Arrival::Frame { stream: None, kind, .. } if *kind == wanted)
}
