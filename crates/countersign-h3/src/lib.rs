//! A quinn backend for an unmodified HTTP/3 stack.
//!
//! The `h3` crate ignores frames that it does not know and has no hook for sending any, but it is
//! generic over QUIC. [`Connection`] implements its traits on quinn. It adds the extension's entries to
//! SETTINGS, puts the extension's frames between those of the stack on the control stream, takes the
//! peer's out, and closes the connection when the peer breaks a rule. The rules themselves are behind
//! [`Link`](countersign_proto::link::Link), and unknown here.
//!
//! Streams of requests are looked at by frame header only and pass as they are, but for `:protocol` where a
//! server takes WebSocket. Frames other than DATA
//! that declare an unreasonable length are refused before the stack buffers them.
//!
//! [`exporter_values`] takes from a connection what authenticators are bound to.
//!
//! ```no_run
//! # async fn serve<L: countersign_proto::link::Link>(
//! #     connecting: quinn::Connecting,
//! #     link: std::sync::Arc<L>,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let quic = connecting.await?;
//! let connection = countersign_h3::Connection::new(quic, link);
//! let mut connection = h3::server::Connection::<_, bytes::Bytes>::new(connection).await?;
//! while let Some(resolver) = connection.accept().await? {
//!     tokio::spawn(async move {
//!         let (request, mut stream) = resolver.resolve_request().await?;
//!         # drop(request);
//!         stream.send_response(http::Response::new(())).await?;
//!         stream.finish().await
//!     });
//! }
//! # Ok(())
//! # }
//! ```

mod connection;
#[cfg(feature = "datagram")]
mod datagram;
mod error;
mod exporter;
mod frames;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod inbound;
mod outbound;
mod protocol;
mod shared;
mod stream;

pub use connection::{Connection, DEFAULT_MAX_FRAME_LEN, OpenStreams};
#[cfg(feature = "datagram")]
pub use datagram::{DatagramReceiver, DatagramSender};
pub use error::PeerError;
pub use exporter::{authenticator_hash, exporter_values};
pub use protocol::{OTHER, WEBSOCKET};
pub use stream::{BidiStream, RecvStream, SendStream};

#[cfg(test)]
#[path = "../tests/support/mock.rs"]
#[expect(dead_code, reason = "the integration tests use more of it")]
mod mock;
