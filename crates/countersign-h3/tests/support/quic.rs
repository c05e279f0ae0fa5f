//! QUIC connections over loopback, and peers that write what they are told to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use countersign_proto::{Setting, varint};
use countersign_testkit::tls::{roots, test_pki};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig, VarInt};
use rustls::SupportedCipherSuite;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::quic::Suite;

pub(crate) const SERVER_NAME: &str = "localhost";

/// What the two ends agree on.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) suite: SupportedCipherSuite,
    /// Of every stream, in bytes; quinn's default unless set.
    pub(crate) window: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { suite: cipher_suite::TLS13_AES_128_GCM_SHA256, window: None }
    }
}

impl Options {
    pub(crate) fn provider(&self) -> Arc<CryptoProvider> {
        let cipher_suites = vec![self.suite];
        Arc::new(CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() })
    }

    fn transport(&self) -> Arc<TransportConfig> {
        let mut transport = TransportConfig::default();
        if let Some(window) = self.window {
            transport.stream_receive_window(window.into());
            transport.receive_window((window * 4).into());
            transport.send_window(window.into());
        }
        Arc::new(transport)
    }

    pub(crate) fn server_config(&self) -> ServerConfig {
        let identity = &test_pki().server;
        let mut tls = rustls::ServerConfig::builder_with_provider(self.provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain.clone(), identity.key.clone_key())
            .unwrap();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        tls.max_early_data_size = u32::MAX;
        let tls = QuicServerConfig::with_initial(Arc::new(tls), initial()).unwrap();
        let mut config = ServerConfig::with_crypto(Arc::new(tls));
        config.transport_config(self.transport());
        config
    }

    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut tls = rustls::ClientConfig::builder_with_provider(self.provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots([&test_pki().server_ca]))
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        tls.enable_early_data = true;
        let tls = QuicClientConfig::with_initial(Arc::new(tls), initial()).unwrap();
        let mut config = ClientConfig::new(Arc::new(tls));
        config.transport_config(self.transport());
        config
    }
}

/// Initial packets are always protected with this one, whatever is negotiated.
fn initial() -> Suite {
    cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap().quic_suite().unwrap()
}

/// Two endpoints that know each other.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) client: Endpoint,
    pub(crate) server: Endpoint,
}

impl Net {
    pub(crate) fn new(options: &Options) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Endpoint::server(options.server_config(), any).unwrap();
        let mut client = Endpoint::client(any).unwrap();
        client.set_default_client_config(options.client_config());
        Self { client, server }
    }

    pub(crate) fn connecting(&self) -> quinn::Connecting {
        self.client.connect(self.server.local_addr().unwrap(), SERVER_NAME).unwrap()
    }

    /// A connection whose handshake has completed: the client's end and the server's.
    pub(crate) async fn connect(&self) -> (Connection, Connection) {
        let client = self.connecting();
        let server = async { self.server.accept().await.unwrap().await };
        let (client, server) = tokio::try_join!(client, server).unwrap();
        (client, server)
    }
}

/// A connection between two endpoints of its own, which have to be kept.
pub(crate) async fn connect(options: &Options) -> (Net, Connection, Connection) {
    let net = Net::new(options);
    let (client, server) = net.connect().await;
    (net, client, server)
}

/// Integers of variable length, one after the other.
pub(crate) fn varints(values: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        varint::put(&mut bytes, *value);
    }
    bytes
}

/// A frame.
pub(crate) fn frame(frame_type: u64, payload: &[u8]) -> Vec<u8> {
    [varints(&[frame_type, payload.len() as u64]), payload.to_vec()].concat()
}

/// A SETTINGS frame.
pub(crate) fn settings(entries: &[Setting]) -> Vec<u8> {
    let flat: Vec<u64> = entries.iter().flat_map(|entry| [entry.id, entry.value]).collect();
    frame(0x4, &varints(&flat))
}

/// What a control stream begins with.
pub(crate) fn control(entries: &[Setting]) -> Vec<u8> {
    [vec![0], settings(entries)].concat()
}

/// Opens a unidirectional stream that begins with `bytes`.
pub(crate) async fn open_uni(connection: &Connection, bytes: &[u8]) -> quinn::SendStream {
    let mut stream = connection.open_uni().await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Opens a bidirectional stream that begins with `bytes`.
pub(crate) async fn open_bi(
    connection: &Connection,
    bytes: &[u8],
) -> (quinn::SendStream, quinn::RecvStream) {
    let (mut send, recv) = connection.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    (send, recv)
}

/// The code and the text that the other side closed the connection with.
pub(crate) async fn closed_with(connection: &Connection) -> (u64, String) {
    let reason = connection.closed().await;
    let quinn::ConnectionError::ApplicationClosed(close) = reason else {
        panic!("not closed by the application: {reason}");
    };
    (close.error_code.into_inner(), String::from_utf8(close.reason.to_vec()).unwrap())
}

pub(crate) fn code(code: u32) -> VarInt {
    code.into()
}
