//! Early data (0-RTT) may be somebody's repetition: what is in it waits for the end of the handshake, or is
//! not taken at all, whatever the user's configuration of TLS allows.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use countersign::axum::{Listener, into_make_service};
use countersign::server::{Acceptor, RequireCredentialLayer};
use countersign::{client, h3};
use countersign_testkit::relay::{Fate, Relay, Way};
use countersign_testkit::tls::test_pki;
use countersign_testkit::{PATIENCE, TlsOptions, quic, within};
use quinn::TransportConfig;
use rustls::HandshakeKind;
use rustls::server::StoresServerSessions;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;

use crate::support::{Send, connect_on, origin, provider, quic_config, rules, show};

/// Sessions that can be resumed again and again, as with several servers that do not tell each other. By
/// itself rustls takes the early data of a session once.
#[derive(Debug, Default)]
struct Forgetful(Mutex<HashMap<Vec<u8>, Vec<u8>>>);

impl StoresServerSessions for Forgetful {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.0.lock().unwrap().insert(key, value);
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(key).cloned()
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.get(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// A server's TLS that allows early data.
fn allowing() -> rustls::ServerConfig {
    let mut tls = TlsOptions::default().server_config();
    tls.session_storage = Arc::new(Forgetful::default());
    tls.max_early_data_size = u32::MAX;
    tls
}

/// A client's TLS that uses it.
fn using(alpn: &str) -> rustls::ClientConfig {
    let mut tls = TlsOptions::default().alpn([alpn]).client_config();
    tls.enable_early_data = true;
    tls
}

/// How many connections a server accepted, and how many requests it got from them.
type Counts = Arc<Mutex<(usize, usize)>>;

fn router() -> Router {
    Router::new()
        .route("/admin", get(async || "secret").layer(RequireCredentialLayer::new("user")))
        .route("/", get(async || "open"))
}

/// A server of this crate on the user's `tls`.
fn serve(tls: rustls::ServerConfig) -> (SocketAddr, Counts) {
    let endpoint = quic::server(tls, TransportConfig::default());
    let address = endpoint.local_addr().unwrap();
    let counts = Counts::default();
    let acceptor = h3::Acceptor::new(Arc::new(rules().build().unwrap()));
    let counted = Arc::clone(&counts);
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let (acceptor, counts) = (acceptor.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                let (connection, _) = acceptor.accept(incoming).await?;
                counts.lock().unwrap().0 += 1;
                let service = tower::service_fn(move |request: http::Request<h3::RequestBody>| {
                    counts.lock().unwrap().1 += 1;
                    tower::ServiceExt::oneshot(router(), request.map(axum::body::Body::new))
                });
                connection.serve(service, std::future::pending()).await;
                Ok::<_, h3::AcceptError>(())
            });
        }
    });
    (address, counts)
}

/// What passes the relay: everything, or only what the client says, of which a record is kept.
struct Gate {
    open: watch::Sender<bool>,
    answers: watch::Sender<usize>,
    record: Mutex<Vec<Bytes>>,
}

impl Gate {
    fn new() -> Arc<Self> {
        let (open, answers) = (watch::Sender::new(true), watch::Sender::new(0));
        Arc::new(Self { open, answers, record: Mutex::default() })
    }

    fn fate(&self, way: Way, datagram: &Bytes) -> Fate {
        let open = *self.open.borrow();
        match way {
            Way::ToServer if !open => self.record.lock().unwrap().push(datagram.clone()),
            Way::ToClient if !open => {
                self.answers.send_modify(|answers| *answers += 1);
                return Fate::Late;
            }
            Way::ToServer | Way::ToClient => {}
        }
        Fate::Pass
    }

    /// The server has answered the client's first flight, and the client does not know it.
    async fn answered(&self) {
        self.answers.subscribe().wait_for(|answers| *answers > 0).await.unwrap();
    }
}

/// A client that may use early data, and the network between it and a server.
struct Visitor {
    endpoint: quinn::Endpoint,
    tls: rustls::ClientConfig,
    server: SocketAddr,
    gate: Arc<Gate>,
    relay: Relay,
}

impl Visitor {
    /// Connects once, for a ticket.
    async fn new(server: SocketAddr) -> Self {
        let gate = Gate::new();
        let passing = Arc::clone(&gate);
        let relay = Relay::new(server, move |way, bytes| passing.fate(way, bytes)).await;
        let endpoint = quic::client();
        let visitor = Self { endpoint, tls: using("h3"), server, gate, relay };
        visitor.visit().await;
        visitor
    }

    fn auth(&self) -> client::AuthConfig {
        client::AuthConfig::builder(provider())
            .resolver(Arc::new(show(self.server, &[&test_pki().alice])))
            .build()
            .unwrap()
    }

    /// A request on a new connection, past the relay.
    async fn visit(&self) {
        let (client, _) =
            connect_on(&self.endpoint, self.tls.clone(), self.auth(), self.server).await;
        assert_eq!(Send::H3(client).get(self.server, "/").await, (200, "open".into()));
    }

    /// A connection to `address` with a request for `path` in early data.
    async fn early(&self, address: SocketAddr, path: &str) -> Early {
        let config = quic_config(self.tls.clone());
        let connecting = self.endpoint.connect_with(config, address, "localhost").unwrap();
        let (quic, accepted) = connecting.into_0rtt().unwrap();
        let (mut send, response) = quic.open_bi().await.unwrap();
        send.write_all(&request(path)).await.unwrap();
        send.finish().unwrap();
        Early { quic, accepted, response }
    }

    /// HTTP/3 on a connection whose handshake is complete.
    async fn begin(&self, quic: quinn::Connection) -> h3::Client {
        let config = quic_config(self.tls.clone());
        let handshaker = h3::Handshaker::new(config, Arc::new(self.auth()));
        handshaker.begin(quic, origin(self.server)).await.unwrap().0
    }
}

struct Early {
    quic: quinn::Connection,
    accepted: quinn::ZeroRttAccepted,
    response: quinn::RecvStream,
}

/// A GET as HTTP/3 has it, with the static table of QPACK only.
fn request(path: &str) -> Vec<u8> {
    let path_field = [&[0x51, path.len() as u8], path.as_bytes()].concat();
    let fields = [&[0, 0, 0xd1, 0xd7][..], &path_field, b"\x50\x09localhost"].concat();
    [&[1, fields.len() as u8][..], &fields].concat()
}

/// The content of a response with status 200, as short as ours are; more frames may follow it.
fn content(response: &[u8]) -> &[u8] {
    let (head, rest) = response[2..].split_at(response[1].into());
    assert_eq!((response[0], head[2]), (1, 0xd9), "HEADERS with status 200");
    assert_eq!(rest[0], 0, "DATA");
    &rest[2..][..rest[1].into()]
}

#[tokio::test]
async fn a_request_in_early_data_is_held_until_the_handshake_is_complete() {
    within(async {
        let (address, counts) = serve(allowing());
        let visitor = Visitor::new(address).await;
        visitor.gate.open.send_replace(false);
        let mut early = visitor.early(visitor.relay.address(), "/admin").await;
        visitor.gate.answered().await;
        visitor.visit().await;
        assert_eq!(*counts.lock().unwrap(), (2, 2), "neither accepted nor served, let alone asked");

        visitor.gate.open.send_replace(true);
        assert!(early.accepted.await, "the server has the request from early data");
        let _client = visitor.begin(early.quic).await;
        let response = early.response.read_to_end(1000).await.unwrap();
        assert_eq!(content(&response), b"secret");
        assert_eq!(*counts.lock().unwrap(), (3, 3));
    })
    .await;
}

#[tokio::test]
async fn what_somebody_repeats_is_not_served() {
    within(async {
        let tls = allowing();
        let (address, counts) = serve(tls.clone());
        let mut visitor = Visitor::new(address).await;
        visitor.gate.open.send_replace(false);
        let mut early = visitor.early(visitor.relay.address(), "/").await;
        visitor.gate.answered().await;
        visitor.gate.open.send_replace(true);
        assert!(early.accepted.await);
        let _client = visitor.begin(early.quic).await;
        assert_eq!(content(&early.response.read_to_end(1000).await.unwrap()), b"open");
        let record = visitor.gate.record.lock().unwrap().clone();

        let hasty = quic::server(tls.clone(), TransportConfig::default());
        let _repeating = repeat(&record, hasty.local_addr().unwrap()).await;
        let connecting = hasty.accept().await.unwrap().accept().unwrap();
        let (quic, _) = connecting.into_0rtt().unwrap();
        let (_, mut repeated) = quic.accept_bi().await.unwrap();
        assert!(repeated.is_0rtt(), "a server that does not wait would serve it");
        assert_eq!(repeated.read_to_end(1000).await.unwrap(), request("/"));

        // Another server with the same sessions: the first one still knows the connection's identifier.
        let (address, repetitions) = serve(tls);
        let socket = repeat(&record, address).await;
        assert_ne!(socket.recv(&mut [0; 2000]).await.unwrap(), 0, "it is answered, in vain");
        visitor.server = address;
        visitor.visit().await;
        assert_eq!(*repetitions.lock().unwrap(), (1, 1), "only the visit");
        assert_eq!(*counts.lock().unwrap(), (2, 2), "the ticket and the original");
    })
    .await;
}

/// Sends the datagrams of `record` to `address` from a socket of their own.
async fn repeat(record: &[Bytes], address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
    for datagram in record {
        socket.send(datagram).await.unwrap();
    }
    socket
}

#[tokio::test]
async fn early_data_that_is_not_allowed_is_not_taken() {
    within(async {
        let mut tls = allowing();
        let (address, _) = serve(tls.clone());
        let mut visitor = Visitor::new(address).await;
        // The same sessions, and tickets from when it was allowed.
        tls.max_early_data_size = 0;
        let (strict, counts) = serve(tls);
        visitor.server = strict;
        let mut early = visitor.early(strict, "/admin").await;
        assert!(!early.accepted.await);
        assert!(early.response.read_to_end(1000).await.is_err());
        let client = visitor.begin(early.quic).await;
        assert_eq!(Send::H3(client).get(strict, "/admin").await, (200, "secret".into()));
        assert_eq!(*counts.lock().unwrap(), (1, 1));
    })
    .await;
}

/// A request over HTTP/1.1, in early data where there is a ticket for it: how the handshake went, whether
/// early data was possible, and the response.
fn over_tcp(tls: Arc<rustls::ClientConfig>, address: SocketAddr) -> (HandshakeKind, bool, String) {
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut tcp = std::net::TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE / 2)).unwrap();
    let mut tls = rustls::ClientConnection::new(tls, "localhost".try_into().unwrap()).unwrap();
    let early = match tls.early_data() {
        Some(mut early) => early.write(REQUEST).unwrap() == REQUEST.len(),
        None => false,
    };
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp).unwrap();
    }
    let kind = tls.handshake_kind().unwrap();
    let accepted = tls.is_early_data_accepted();
    let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
    if !accepted {
        stream.write_all(REQUEST).unwrap();
    }
    let mut response = Vec::new();
    // Servers may end without close_notify; a read that takes too long leaves nothing to compare.
    let _ = stream.read_to_end(&mut response);
    (kind, early, String::from_utf8(response).unwrap())
}

#[tokio::test]
async fn over_tcp_early_data_is_switched_off() {
    within(async {
        let mut tls = allowing();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let acceptor = Acceptor::new(Arc::new(tls), Arc::new(rules().build().unwrap()));
        let listener = Listener::new(tcp, acceptor).unwrap();
        tokio::spawn(async move { axum::serve(listener, into_make_service(router())).await });
        let client = Arc::new(using("http/1.1"));
        for wanted in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let client = Arc::clone(&client);
            let visit = tokio::task::spawn_blocking(move || over_tcp(client, address));
            let (kind, early, response) = visit.await.unwrap();
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response:?}");
            assert!(response.ends_with("open"), "{response:?}");
            assert_eq!((kind, early), (wanted, false));
        }
    })
    .await;
}
