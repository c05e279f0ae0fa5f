//! [`Tap`] itself; its two halves are in `reading` and `writing`.

use std::fmt;
use std::sync::Arc;

use countersign_proto::link::Link;

use crate::state::State;

/// A connection with the extension's frames spliced in on the way out and taken out on the way in.
///
/// It stands between TLS (`IO`) and an HTTP/2 stack, which sees an ordinary connection. The side, the
/// code points and all rules are the [`Link`]'s.
///
/// - Both halves have to be polled by one task, as `h2` and hyper do: it is the one that
///   is woken when the link has something to send.
/// - A violation ends the connection: the stack's output is finished up to the end of a frame or
///   header block, a GOAWAY with the violation's code and text follows, later output is swallowed and
///   input thrown away until the peer closes, for at most two seconds. Then reading fails with
///   [`InvalidData`](std::io::ErrorKind::InvalidData) and the
///   [`Violation`](countersign_proto::Violation) inside. This needs tokio's time.
/// - The link hears [`Link::closed`] when the connection breaks or ends below, and at the latest when
///   the tap is dropped.
pub struct Tap<IO, L: Link + ?Sized> {
    pub(crate) io: IO,
    /// Boxed, because hyper's client moves a future with room for a whole connection per request.
    pub(crate) state: Box<State<L>>,
}

impl<IO, L: Link + ?Sized> Tap<IO, L> {
    /// Taps `io`, on which nothing of HTTP/2 was sent or received yet. [`Link::role`] decides whether
    /// the stack above is a client or a server.
    pub fn new(io: IO, link: Arc<L>) -> Self {
        Self { io, state: Box::new(State::new(link)) }
    }

    /// The connection below.
    pub fn get_ref(&self) -> &IO {
        &self.io
    }

    /// The rules above.
    pub fn link(&self) -> &Arc<L> {
        &self.state.link
    }
}

impl<IO: fmt::Debug, L: Link + ?Sized> fmt::Debug for Tap<IO, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap")
            .field("io", &self.io)
            .field("inbound", &self.state.inbound)
            .field("outbound", &self.state.outbound)
            .field("closing", &self.state.closing)
            .finish_non_exhaustive()
    }
}
