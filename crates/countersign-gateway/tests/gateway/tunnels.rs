//! Clients and backends that speak WebSocket's handshake and then bytes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use countersign_testkit::pki::Issued;
use countersign_testkit::raw_h3::{Arrival, Frame, RawH3Peer, kind};
use countersign_testkit::within;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::ext::Protocol;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::support::{Running, connect, empty, tls};

/// The key and the answer of RFC 6455, section 1.3.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// A request for WebSocket in HTTP/1.1.
pub(crate) const REQUEST: &str = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-protocol: chat\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    Http1,
    Http2,
    Http3,
}

/// Makes a test of each function, for all versions in front.
macro_rules! for_all_fronts {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn http1() {
                super::$name(crate::tunnels::Front::Http1).await;
            }

            #[tokio::test]
            async fn http2() {
                super::$name(crate::tunnels::Front::Http2).await;
            }

            #[tokio::test]
            async fn http3() {
                super::$name(crate::tunnels::Front::Http3).await;
            }
        }
    )+};
}
pub(crate) use for_all_fronts;

/// An HTTP/1.1 backend that gives one answer on each connection, and echoes if it was a 101.
pub(crate) struct SocketBackend {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
    ended: watch::Sender<usize>,
    closing: watch::Sender<()>,
}

impl SocketBackend {
    /// Answers by `answer`, which gets the request's header section.
    pub(crate) async fn start(answer: fn(&str) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            heads: Arc::default(),
            ended: watch::Sender::new(0),
            closing: watch::Sender::default(),
        };
        let (connections, heads) = (Arc::clone(&backend.connections), Arc::clone(&backend.heads));
        let (ended, closing) = (backend.ended.clone(), backend.closing.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (heads, ended) = (Arc::clone(&heads), ended.clone());
                let mut closing = closing.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        () = serve(stream, answer, &heads) => {}
                        _ = closing.changed() => {}
                    }
                    ended.send_modify(|ended| *ended += 1);
                });
            }
        });
        backend
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The header sections that it got, each whole and in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().iter().map(|head| head.to_lowercase()).collect()
    }

    pub(crate) fn only(&self) -> String {
        let mut heads = self.heads();
        assert_eq!(heads.len(), 1, "{heads:?}");
        heads.remove(0)
    }

    /// Waits until so many of its connections have ended.
    pub(crate) async fn ended(&self, count: usize) {
        within(self.ended.subscribe().wait_for(|ended| *ended >= count)).await.unwrap();
    }

    /// Closes the connections that are there.
    pub(crate) async fn close(&self) {
        self.closing.send_replace(());
    }
}

/// An h2c backend that answers extended CONNECT with `status`, and echoes if that is 200. It tells of the requests
/// that it got. Unless `announces`, its SETTINGS have nothing of it.
pub(crate) async fn extended(
    announces: bool,
    status: u16,
) -> (SocketAddr, mpsc::UnboundedReceiver<Request<Incoming>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tell = tell.clone();
            let service = service_fn(move |mut request: Request<Incoming>| {
                let upgrade = hyper::upgrade::on(&mut request);
                tell.send(request).unwrap();
                tokio::spawn(async move {
                    if let Ok(upgraded) = upgrade.await {
                        let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
                        let _ = tokio::io::copy(&mut reader, &mut writer).await;
                        let _ = writer.shutdown().await;
                    }
                });
                let response = Response::builder().status(status).body(empty());
                std::future::ready(Ok::<_, Infallible>(response.unwrap()))
            });
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            if announces {
                builder.enable_connect_protocol();
            }
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, told)
}

async fn serve(mut stream: TcpStream, answer: fn(&str) -> String, heads: &Mutex<Vec<String>>) {
    let Some(head) = read_head(&mut stream).await else { return };
    heads.lock().unwrap().push(head.clone());
    let answer = answer(&head);
    if stream.write_all(answer.as_bytes()).await.is_err() {
        return;
    }
    let (mut reader, mut writer) = stream.split();
    if answer.starts_with("HTTP/1.1 101 ") {
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
        let _ = writer.shutdown().await;
    } else {
        let _ = reader.read_to_end(&mut Vec::new()).await;
    }
}

/// Agrees, as RFC 6455 has it.
pub(crate) fn accepting(head: &str) -> String {
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key").then_some(value)
    });
    let text = format!("{}258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key.unwrap());
    let accept = BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()));
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    )
}

/// Reads up to the empty line, byte by byte, so that nothing behind it is lost.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

enum Way {
    Stream(Box<dyn Io>),
    /// A response that is no tunnel, whole.
    Body(Bytes),
    Http3(Box<RawH3Peer>, u64, Vec<u8>),
}

/// A client that asked for WebSocket.
pub(crate) struct Peer {
    pub(crate) status: u16,
    /// The response's fields, one a line; none in HTTP/3.
    pub(crate) head: String,
    way: Way,
}

impl Peer {
    /// Asks; `shown` is for the TLS handshake.
    pub(crate) async fn open(
        front: Front,
        gateway: &Running,
        path: &str,
        shown: Option<&Issued>,
    ) -> Self {
        match front {
            Front::Http1 => {
                let mut stream = connect(gateway, "http/1.1", shown).await;
                let request = REQUEST.replace("GET /", &format!("GET {path}"));
                stream.write_all(request.as_bytes()).await.unwrap();
                Self::over(stream).await
            }
            Front::Http2 | Front::Http3 => {
                Self::connect_by(front, gateway, path, shown, Some("websocket")).await
            }
        }
    }

    /// Reads the answer to a request in HTTP/1.1 that was sent.
    pub(crate) async fn over(mut stream: impl Io + 'static) -> Self {
        let head = within(read_head(&mut stream)).await.unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, way: Way::Stream(Box::new(stream)) }
    }

    /// Asks with CONNECT, extended if there is a `protocol`.
    pub(crate) async fn connect_by(
        front: Front,
        gateway: &Running,
        path: &str,
        shown: Option<&Issued>,
        protocol: Option<&'static str>,
    ) -> Self {
        if front == Front::Http3 {
            return Self::connect_http3(gateway, path, shown, protocol).await;
        }
        let stream = connect(gateway, "h2", shown).await;
        let builder = http2::Builder::new(TokioExecutor::new());
        let (mut send, connection) = within(builder.handshake(TokioIo::new(stream))).await.unwrap();
        tokio::spawn(connection);
        let port = gateway.address.port();
        let mut request = Request::new(empty());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = match protocol {
            Some(_) => format!("https://localhost:{port}{path}").parse().unwrap(),
            None => format!("localhost:{port}").parse().unwrap(),
        };
        if let Some(protocol) = protocol {
            request.extensions_mut().insert(Protocol::from_static(protocol));
            for (name, value) in SOCKET_FIELDS {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
        }
        let response = within(send.send_request(request)).await.unwrap();
        let status = response.status().as_u16();
        let fields = response.headers().iter();
        let head = fields.map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
        let head = head.collect();
        let way = if status == 200 {
            let upgraded = within(hyper::upgrade::on(response)).await.unwrap();
            Way::Stream(Box::new(TokioIo::new(upgraded)))
        } else {
            Way::Body(within(response.into_body().collect()).await.unwrap().to_bytes())
        };
        Self { status, head, way }
    }

    async fn connect_http3(
        gateway: &Running,
        path: &str,
        shown: Option<&Issued>,
        protocol: Option<&str>,
    ) -> Self {
        let tls = rustls::ClientConfig::clone(&tls("h3", shown));
        let mut raw = Box::new(RawH3Peer::connect(gateway.address, tls).await);
        let settings = raw.open(&[]).await;
        assert!(settings.contains(&(0x8, 1)), "{settings:?}");
        let authority = format!("localhost:{}", gateway.address.port());
        let mut fields = vec![(":method", "CONNECT"), (":authority", &authority)];
        if let Some(protocol) = protocol {
            fields.extend([(":protocol", protocol), (":scheme", "https"), (":path", path)]);
            fields.extend(SOCKET_FIELDS);
        }
        let id = raw.open_request(&Frame::headers(&fields).encode()).await;
        let of_it = |arrival: &Arrival| matches!(arrival, Arrival::Exchange(of, _) | Arrival::Ended(of) if *of == id);
        let headers = match raw.next_matching(of_it).await {
            Some(Arrival::Exchange(_, frame)) => frame,
            other => panic!("no response: {other:?}"),
        };
        let status = headers.status().unwrap();
        if status == 200 {
            return Self { status, head: String::new(), way: Way::Http3(raw, id, Vec::new()) };
        }
        let mut body = Vec::new();
        while let Some(data) = next_of(&mut raw, id).await {
            body.extend_from_slice(&data);
        }
        Self { status, head: String::new(), way: Way::Body(body.into()) }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        match &mut self.way {
            Way::Stream(stream) => {
                within(stream.write_all(bytes)).await.unwrap();
                within(stream.flush()).await.unwrap();
            }
            Way::Http3(raw, id, _) => {
                raw.send_on(*id, &Frame::new(kind::DATA, bytes.to_vec()).encode()).await;
            }
            Way::Body(_) => panic!("there is no tunnel"),
        }
    }

    /// Waits for exactly these bytes.
    pub(crate) async fn expect(&mut self, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        match &mut self.way {
            Way::Stream(stream) => {
                within(stream.read_exact(&mut got)).await.unwrap();
            }
            Way::Http3(raw, id, kept) => {
                while kept.len() < bytes.len() {
                    match next_of(raw, *id).await {
                        Some(data) => kept.extend_from_slice(&data),
                        None => panic!("the tunnel ended"),
                    }
                }
                got = kept.drain(..bytes.len()).collect();
            }
            Way::Body(body) => got = body.to_vec(),
        }
        assert!(got == bytes, "{} bytes are not those that were sent", bytes.len());
    }

    /// Ends this direction, as far as the version can.
    pub(crate) async fn finish(&mut self) {
        match &mut self.way {
            Way::Stream(stream) => within(stream.shutdown()).await.unwrap(),
            Way::Http3(raw, id, _) => raw.finish(*id).await,
            Way::Body(_) => panic!("there is no tunnel"),
        }
    }

    /// Waits for the end of what comes, clean or not.
    pub(crate) async fn expect_end(&mut self) {
        match &mut self.way {
            Way::Stream(stream) => {
                assert!(matches!(within(stream.read(&mut [0])).await, Ok(0) | Err(_)));
            }
            Way::Http3(raw, id, kept) => {
                assert!(kept.is_empty());
                assert_eq!(next_of(raw, *id).await, None);
            }
            Way::Body(_) => panic!("there is no tunnel"),
        }
    }
}

const SOCKET_FIELDS: [(&str, &str); 2] =
    [("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")];

/// The next data on a stream of HTTP/3; `None` at its end.
async fn next_of(raw: &mut RawH3Peer, id: u64) -> Option<Bytes> {
    let data = |arrival: &Arrival| match arrival {
        Arrival::Exchange(of, frame) => *of == id && frame.kind == kind::DATA,
        Arrival::Ended(of) => *of == id,
        Arrival::Control(_) => false,
    };
    match raw.next_matching(data).await {
        Some(Arrival::Exchange(_, frame)) => Some(frame.payload),
        Some(Arrival::Ended(_) | Arrival::Control(_)) | None => None,
    }
}
