//! A tap between TLS and an unmodified HTTP/2 stack.
//!
//! HTTP/2 stacks such as `h2`, which hyper uses, drop frames they do not know and have no hook for
//! sending any. [`Tap`] wraps the connection below such a stack and is handed to it in place of the
//! connection. It adds the extension's entries to the first SETTINGS, puts the extension's frames
//! between those of the stack, takes the peer's out, and closes the connection when the peer breaks a
//! rule. The rules themselves are behind [`Link`](countersign_proto::link::Link), and unknown here.
//!
//! Bytes of the stack are never copied on the way out; on the way in they are moved within the
//! stack's own buffer, and only behind a frame that was taken out. Payload is skipped by its length.
//!
//! ```no_run
//! # async fn serve(
//! #     stream: tokio::net::TcpStream,
//! #     link: std::sync::Arc<dyn countersign_proto::link::Link>,
//! # ) -> Result<(), h2::Error> {
//! let tap = countersign_h2::Tap::new(stream, link);
//! let mut connection = h2::server::handshake(tap).await?;
//! while let Some(request) = connection.accept().await {
//!     let (request, mut respond) = request?;
//!     # drop(request);
//!     respond.send_response(http::Response::new(()), true)?;
//! }
//! # Ok(())
//! # }
//! ```

mod acks;
mod bell;
mod closing;
mod inbound;
mod outbound;
mod reading;
mod state;
mod tap;
mod walk;
mod writing;

pub use tap::Tap;

#[cfg(test)]
#[path = "../tests/support/mock.rs"]
#[expect(dead_code, reason = "the integration tests use more of it")]
mod mock;
