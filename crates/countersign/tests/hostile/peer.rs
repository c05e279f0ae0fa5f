//! A raw peer of either version, with the words that both understand.
//!
//! A test names an exchange by the stream that it has in HTTP/2; exchanges are begun in their order.

mod roles;

pub(crate) use roles::value_of;

use bytes::Bytes;
use countersign_testkit::raw::kind;
use countersign_testkit::raw_h3::{self, Arrival};
use countersign_testkit::{Frame, RawH3Peer, RawPeer, Version};
use exported_authenticator::{AuthenticatorHash, ExporterValues};
use rustls::Tls13CipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::crypto::hash::HashAlgorithm;
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use crate::people::provider;
use crate::wire::{Code, Extension, noise};

/// The raw end of a connection.
pub(crate) enum Wire<S> {
    H2(Box<RawPeer<S>>),
    H3(Box<RawH3Peer>),
}

/// The raw end that is a client, and the one that is a server.
pub(crate) type ClientWire = Wire<client::TlsStream<TcpStream>>;
pub(crate) type ServerWire = Wire<server::TlsStream<TcpStream>>;

/// What of the real end's frames a test looks at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The payload of a frame of the extension.
    Frame(Bytes),
    /// The head of a response, or of a request, which has no status.
    Head(u32, Option<u16>),
}

/// The identifier in HTTP/3 of what is `stream` in HTTP/2: only clients open either.
fn h3_stream(stream: u32) -> u64 {
    u64::from(stream - 1) * 2
}

fn h2_stream(id: u64) -> u32 {
    u32::try_from(id / 2 + 1).unwrap()
}

/// Both kinds of TLS streams, for their exporter.
pub(crate) trait Exporter: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {
    fn export(&self, output: &mut [u8], label: &[u8]);
}

impl Exporter for client::TlsStream<TcpStream> {
    fn export(&self, output: &mut [u8], label: &[u8]) {
        self.get_ref().1.export_keying_material(output, label, Some(&[])).unwrap();
    }
}

impl Exporter for server::TlsStream<TcpStream> {
    fn export(&self, output: &mut [u8], label: &[u8]) {
        self.get_ref().1.export_keying_material(output, label, Some(&[])).unwrap();
    }
}

impl<S: Exporter> Wire<S> {
    pub(crate) fn version(&self) -> Version {
        match self {
            Self::H2(_) => Version::H2,
            Self::H3(_) => Version::H3,
        }
    }

    /// The peer of a test that is about HTTP/2's framing.
    pub(crate) fn h2(&mut self) -> &mut RawPeer<S> {
        match self {
            Self::H2(wire) => wire,
            Self::H3(_) => panic!("this test is about HTTP/2 alone"),
        }
    }

    /// The peer of a test that is about HTTP/3's streams.
    pub(crate) fn h3(&mut self) -> &mut RawH3Peer {
        match self {
            Self::H3(wire) => wire,
            Self::H2(_) => panic!("this test is about HTTP/3 alone"),
        }
    }

    /// The suite that the default options of the test kit negotiate.
    pub(crate) fn suite(&self) -> &'static Tls13CipherSuite {
        cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap()
    }

    /// Keying material with an empty context.
    pub(crate) fn export(&self, output: &mut [u8], label: &[u8]) {
        match self {
            Self::H2(wire) => wire.stream().export(output, label),
            Self::H3(wire) => wire.connection().export_keying_material(output, label, &[]).unwrap(),
        }
    }

    /// What the library takes from the connection.
    pub(crate) fn exporter_values(&self) -> ExporterValues {
        let hash = AuthenticatorHash::of_algorithm(HashAlgorithm::SHA256, &provider()).unwrap();
        ExporterValues::from_exporter(hash, |output, label, context| {
            assert!(context.is_empty());
            self.export(output, label);
            Ok::<_, std::convert::Infallible>(())
        })
        .unwrap()
    }

    /// Sends a frame where the extension's frames belong.
    pub(crate) async fn send(&mut self, frame: &Extension) {
        self.send_bytes(&frame.encode(self.version())).await;
    }

    /// Sends bytes among these frames, as they are.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        match self {
            Self::H2(wire) => wire.send_bytes(bytes).await,
            Self::H3(wire) => wire.send_bytes(bytes).await,
        }
    }

    /// Like [`Self::send_bytes`]. HTTP/2 lets a peer send on that has lost its connection, and HTTP/3
    /// tells it at once.
    pub(crate) async fn flood(&mut self, bytes: &[u8]) {
        match self {
            Self::H2(wire) => {
                assert!(wire.try_send_bytes(bytes).await, "the connection was reset");
            }
            Self::H3(wire) => {
                let _out = wire.try_send_bytes(bytes).await;
            }
        }
    }

    /// The payload of the next frame of this type; others are passed over.
    pub(crate) async fn expect_kind(&mut self, kind: u8) -> Bytes {
        match self {
            Self::H2(wire) => wire.expect_kind(kind).await.payload,
            Self::H3(wire) => wire.expect_kind(kind.into()).await.payload,
        }
    }

    /// The next frame of this type or head of a message, whichever comes first.
    pub(crate) async fn expect_kind_or_head(&mut self, kind: u8) -> Option<Seen> {
        match self {
            Self::H2(wire) => {
                let wanted = |frame: &Frame| frame.kind == kind || frame.kind == kind::HEADERS;
                let frame = wire.next_matching(wanted).await?;
                Some(match frame.kind {
                    kind::HEADERS => Seen::Head(frame.stream, frame.status()),
                    _ => Seen::Frame(frame.payload),
                })
            }
            Self::H3(wire) => {
                let wanted = |arrival: &Arrival| match arrival {
                    Arrival::Control(frame) => frame.kind == u64::from(kind),
                    Arrival::Exchange(_, frame) => frame.kind == raw_h3::kind::HEADERS,
                    Arrival::Ended(_) => false,
                };
                match wire.next_matching(wanted).await? {
                    Arrival::Control(frame) => Some(Seen::Frame(frame.payload)),
                    Arrival::Exchange(id, frame) => Some(Seen::Head(h2_stream(id), frame.status())),
                    Arrival::Ended(_) => None,
                }
            }
        }
    }

    /// The payload of the next frame of this type; None if the connection error `code` comes first.
    pub(crate) async fn expect_kind_or_closed(&mut self, kind: u8, code: Code) -> Option<Bytes> {
        match self {
            Self::H2(wire) => {
                let wanted = |frame: &Frame| [kind, kind::GOAWAY].contains(&frame.kind);
                let frame = wire.next_matching(wanted).await.unwrap();
                if frame.kind == kind {
                    return Some(frame.payload);
                }
                assert_eq!(frame.error_code(), Some(code.h2));
                None
            }
            Self::H3(wire) => {
                let wanted = |arrival: &Arrival| matches!(arrival, Arrival::Control(frame) if frame.kind == u64::from(kind));
                if let Some(Arrival::Control(frame)) = wire.next_matching(wanted).await {
                    return Some(frame.payload);
                }
                wire.expect_close(code.h3).await;
                None
            }
        }
    }

    /// Closes without blame.
    pub(crate) async fn shutdown(&mut self) {
        match self {
            Self::H2(wire) => wire.shutdown().await,
            Self::H3(wire) => wire.close(),
        }
    }

    /// Waits for the connection error with `code`, and no longer. Returns its text.
    pub(crate) async fn expect_error(&mut self, code: Code) -> String {
        match self {
            Self::H2(wire) => {
                let goaway = wire.expect_kind(kind::GOAWAY).await;
                assert_eq!(goaway.error_code(), Some(code.h2));
                goaway.debug_text().unwrap()
            }
            Self::H3(wire) => wire.expect_close(code.h3).await,
        }
    }

    /// Waits for the connection error with `code` and the end. Returns its text.
    pub(crate) async fn expect_closed(&mut self, code: Code) -> String {
        match self {
            Self::H2(wire) => wire.expect_goaway(code.h2).await.debug_text().unwrap(),
            Self::H3(wire) => wire.expect_close(code.h3).await,
        }
    }

    /// The same for a peer that talks all the while.
    pub(crate) async fn expect_closed_behind_noise(&mut self, code: Code) -> String {
        //= specs/client-certs.md#decisions-bad
        //= type=test
        //# (ours) A connection error MUST be sent so that the peer can read it, by lingering over unread input before TCP is closed.
        self.flood(noise(self.version())).await;
        let text = self.expect_closed(code).await;
        self.flood(noise(self.version())).await;
        text
    }
}
