//! Streams of an HTTP/3 connection, given to the backend over QUIC on loopback.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use countersign_conform::Version;
use countersign_conform::authenticator::Hash;
use countersign_conform::tls::{self, Suites};
use countersign_conform::vectors::{Input, Place, Vector};
use countersign_h3::Connection;
use countersign_pki::{Authority, KeyKind, Leaf};
use countersign_proto::Role;
use countersign_proto::link::Link;
use quinn::{ConnectionError, Endpoint, SendStream, VarInt};
use rustls::crypto::CryptoProvider;
use tokio::task::JoinHandle;

use super::link::Witness;
use crate::client::Trust;

const H3_NO_ERROR: u32 = 0x100;
/// H3_CLOSED_CRITICAL_STREAM.
const CLOSED_CRITICAL_STREAM: u64 = 0x104;

/// Two endpoints on loopback.
pub(super) struct Quic {
    client: Endpoint,
    server: Endpoint,
}

impl Quic {
    pub(super) fn new(provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let authority = Authority::root("Vectors over QUIC", KeyKind::P256);
        let issued =
            authority.and_then(|root| root.issue(&Leaf::server("localhost").dns("localhost")));
        let issued = issued.map_err(|error| error.to_string())?;
        let suites = Suites::Of(Hash::Sha256);
        let server = tls::server(issued.chain, issued.key, suites, Version::Http3)?;
        let trust = Trust::Anybody.verifier(provider).map_err(|error| error.to_string())?;
        let client = tls::client(&trust, suites, Version::Http3)?;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let said = |error: std::io::Error| error.to_string();
        let server = Endpoint::server(tls::quic_server(server)?, any).map_err(said)?;
        let mut endpoint = Endpoint::client(any).map_err(said)?;
        endpoint.set_default_client_config(tls::quic_client(client)?);
        Ok(Self { client: endpoint, server })
    }

    /// The client's end and the server's of a new connection.
    async fn connect(&self) -> Result<(quinn::Connection, quinn::Connection), String> {
        let address = self.server.local_addr().map_err(|error| error.to_string())?;
        let connecting =
            self.client.connect(address, "localhost").map_err(|error| error.to_string())?;
        let accepting = async {
            let incoming = self.server.accept().await.ok_or(ConnectionError::LocallyClosed)?;
            incoming.await
        };
        tokio::try_join!(connecting, accepting).map_err(|error| error.to_string())
    }
}

/// The code that the connection was closed with, if the case ended so.
pub(super) async fn run(
    vector: &Vector,
    witness: &Arc<Witness>,
    quic: &Quic,
) -> Result<Option<u64>, String> {
    let (client, server) = quic.connect().await?;
    let (ours, peer) = match witness.role() {
        Role::Client => (client, server),
        Role::Server => (server, client),
    };
    let wants_response = vector.input.iter().any(|input| input.place == Place::Response);
    let stack = stack(ours, witness, wants_response).await?;
    // Streams that are dropped are ended, which is another case.
    let mut streams = Vec::new();
    for input in &vector.input {
        if !streams.is_empty() {
            // Streams are not ordered against each other; the first is the control stream.
            witness.something().await;
        }
        match arrive(&peer, input).await {
            Ok(stream) => streams.push(stream),
            // Closed for what came before, as it may have to be.
            Err(_) => break,
        }
    }
    if vector.error.is_none() {
        end(vector, streams).await?;
    }
    let reason = peer.closed().await;
    let ConnectionError::ApplicationClosed(close) = reason else {
        return Err(format!("the connection ended with another error: {reason}"));
    };
    let code = close.error_code.into_inner();
    let code = Some(code).filter(|code| vector.error.is_some() || *code != CLOSED_CRITICAL_STREAM);
    peer.close(VarInt::from_u32(H3_NO_ERROR), b"");
    // It ends with the connection.
    let _ = stack.await;
    Ok(code)
}

/// Ends a case in which nothing is wrong: the end of the control stream closes the connection with a code of its
/// own, when all that came before was taken.
async fn end(vector: &Vector, streams: Vec<SendStream>) -> Result<(), String> {
    if vector.input.iter().any(|input| input.fin) {
        return Err("a stream that ends is never the end of an accepted case".to_owned());
    }
    let mut streams = streams.into_iter();
    let control = streams.next();
    for stream in streams {
        // A stream that means nothing is stopped; anything else has closed the connection.
        let _ = stream.stopped().await;
    }
    // It may be closed already, and then for another reason.
    control.map(|mut control| control.finish());
    Ok(())
}

/// Has bytes arrive. The stream has to be kept.
async fn arrive(peer: &quinn::Connection, input: &Input) -> Result<SendStream, String> {
    let said = |error: ConnectionError| error.to_string();
    let mut stream = match input.place {
        Place::Connection => return Err("over HTTP/3 bytes arrive on streams".to_owned()),
        Place::Unidirectional => peer.open_uni().await.map_err(said)?,
        Place::Request => peer.open_bi().await.map_err(said)?.0,
        Place::Response => peer.accept_bi().await.map_err(said)?.0,
    };
    stream.write_all(&input.bytes.0).await.map_err(|error| error.to_string())?;
    if input.fin {
        stream.finish().map_err(|error| error.to_string())?;
    }
    Ok(stream)
}

/// The stock HTTP/3 stack on the backend, until the connection ends.
async fn stack(
    quic: quinn::Connection,
    witness: &Arc<Witness>,
    wants_response: bool,
) -> Result<JoinHandle<()>, String> {
    let limit = u64::from(u16::MAX);
    let role = witness.role();
    let connection = Connection::with_max_frame_len(quic, Arc::clone(witness), limit);
    match role {
        Role::Server => {
            let server = h3::server::Connection::<_, Bytes>::new(connection).await;
            let mut server = server.map_err(|error| error.to_string())?;
            Ok(tokio::spawn(async move {
                let mut requests = tokio::task::JoinSet::new();
                while let Ok(Some(resolver)) = server.accept().await {
                    requests.spawn(async move {
                        // Whatever is wrong with the request shows in the connection.
                        let _ = resolver.resolve_request().await;
                    });
                }
            }))
        }
        Role::Client => {
            let client = h3::client::new(connection).await;
            let (mut driver, mut requests) = client.map_err(|error| error.to_string())?;
            Ok(tokio::spawn(async move {
                let asking = async {
                    if wants_response {
                        let request = http::Request::get("https://localhost/").body(());
                        if let Ok(request) = request
                            && let Ok(mut stream) = requests.send_request(request).await
                        {
                            let _ = stream.finish().await;
                            let _ = stream.recv_response().await;
                        }
                    }
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    _ = poll_fn(|cx| driver.poll_close(cx)) => {}
                    () = asking => {}
                }
            }))
        }
    }
}
