//! [`Connection`]: where the HTTP/3 stack gets its streams from.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use countersign_proto::ErrorCode;
use countersign_proto::link::Link;
use futures_util::{Stream, StreamExt as _, stream};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming};

use crate::error::{internal, on_stream};
use crate::frames::Rules;
use crate::outbound::Driver;
use crate::shared::{Core, Shared};
use crate::stream::{BidiStream, RecvStream, SendStream};

/// The longest payload of a frame other than DATA that is accepted unless set otherwise, in bytes.
pub const DEFAULT_MAX_FRAME_LEN: u64 = 64 << 10;

type Bidi = (quinn::SendStream, quinn::RecvStream);
type Incoming<T> = Pin<Box<dyn Stream<Item = Result<T, quinn::ConnectionError>> + Send + Sync>>;
type Opening<T> = Pin<Box<dyn Future<Output = Result<T, quinn::ConnectionError>> + Send + Sync>>;

/// A QUIC connection for an HTTP/3 stack, with the extension's frames put into and taken out of the
/// control streams. The side, the code points and all rules are the [`Link`]'s.
///
/// - The first unidirectional stream that the stack opens is our control stream, and a task of its own
///   sends it: what the link has to send goes out even while nobody polls the stack. The peer's
///   control stream is read when the stack polls: a server that works on a request has to go on
///   accepting meanwhile, in another task, if the request shall wait for an answer.
/// - A violation closes the connection with the violation's code and text, before the stack hears of
///   it. A client whose handshake is not yet confirmed waits for that, for at most three seconds.
/// - When the connection, all its streams and all its openers are dropped, the QUIC connection is
///   closed with H3_NO_ERROR. [`Link::closed`] is called then at the latest.
///
/// Wait for the end of the handshake before making one: the link needs values from it, and what a
/// client says in early data may be somebody else's repetition.
pub struct Connection<L: Link + ?Sized> {
    pub(crate) core: Arc<Core<L>>,
    incoming_bidi: Incoming<Bidi>,
    incoming_uni: Incoming<quinn::RecvStream>,
    opener: OpenStreams<L>,
}

impl<L: Link + ?Sized> Connection<L> {
    /// Takes `quic`, on which no stream was opened or accepted yet. To be used in a tokio runtime.
    pub fn new(quic: quinn::Connection, link: Arc<L>) -> Self {
        Self::with_max_frame_len(quic, link, DEFAULT_MAX_FRAME_LEN)
    }

    /// The same with another limit for frames other than DATA, in bytes of payload. The stack would
    /// buffer them whole; a longer one closes the connection with H3_EXCESSIVE_LOAD at its header.
    /// Frames of the extension have [`Link::max_frame_len`] instead.
    pub fn with_max_frame_len(quic: quinn::Connection, link: Arc<L>, max_frame_len: u64) -> Self {
        Self::with_rules(quic, Rules::new(link, max_frame_len))
    }

    /// The same for a server that takes requests for WebSocket (RFC 9220): the stack, which has no name for it,
    /// reads [`WEBSOCKET`](crate::WEBSOCKET) as their `:protocol`, and [`OTHER`](crate::OTHER) in place of
    /// every other value.
    pub fn with_websocket(quic: quinn::Connection, link: Arc<L>, max_frame_len: u64) -> Self {
        Self::with_rules(quic, Rules { websocket: true, ..Rules::new(link, max_frame_len) })
    }

    fn with_rules(quic: quinn::Connection, rules: Rules<L>) -> Self {
        let shared = Shared::new(quic.clone(), rules);
        let core = Arc::new(Core(Arc::new(shared)));
        let incoming_bidi =
            stream::unfold(quic.clone(), async |quic| Some((quic.accept_bi().await, quic)));
        let incoming_uni = stream::unfold(quic, async |quic| Some((quic.accept_uni().await, quic)));
        Self {
            opener: OpenStreams::new(Arc::clone(&core)),
            core,
            incoming_bidi: Box::pin(incoming_bidi),
            incoming_uni: Box::pin(incoming_uni),
        }
    }

    /// The QUIC connection below.
    pub fn quic(&self) -> &quinn::Connection {
        &self.core.quic
    }

    /// The rules above.
    pub fn link(&self) -> &Arc<L> {
        &self.core.rules.link
    }
}

impl<L: Link + ?Sized> fmt::Debug for Connection<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("quic", self.quic()).finish_non_exhaustive()
    }
}

impl<L: Link + ?Sized, B: Buf> quic::Connection<B> for Connection<L> {
    type RecvStream = RecvStream<L>;
    type OpenStreams = OpenStreams<L>;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RecvStream<L>, ConnectionErrorIncoming>> {
        self.core.check()?;
        let stream = ready!(self.incoming_uni.poll_next_unpin(cx)).ok_or_else(ended)?;
        let stream = stream.map_err(|error| self.core.translate(error))?;
        Poll::Ready(RecvStream::uni(Arc::clone(&self.core), stream))
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::BidiStream, ConnectionErrorIncoming>> {
        self.core.check()?;
        let stream = ready!(self.incoming_bidi.poll_next_unpin(cx)).ok_or_else(ended)?;
        let stream = stream.map_err(|error| self.core.translate(error))?;
        Poll::Ready(BidiStream::new(&self.core, stream))
    }

    fn opener(&self) -> OpenStreams<L> {
        self.opener.clone()
    }
}

/// The accepting streams never end, they fail.
fn ended() -> ConnectionErrorIncoming {
    internal("no more streams are accepted")
}

impl<L: Link + ?Sized, B: Buf> quic::OpenStreams<B> for Connection<L> {
    type BidiStream = BidiStream<L, B>;
    type SendStream = SendStream<L, B>;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::BidiStream, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::SendStream, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.core.close(ErrorCode(code.value()), reason);
    }
}

/// Opens streams on a [`Connection`].
pub struct OpenStreams<L: Link + ?Sized> {
    core: Arc<Core<L>>,
    /// While the peer's limit does not allow one.
    opening_bidi: Option<Opening<Bidi>>,
    opening_uni: Option<Opening<quinn::SendStream>>,
}

impl<L: Link + ?Sized> OpenStreams<L> {
    fn new(core: Arc<Core<L>>) -> Self {
        Self { core, opening_bidi: None, opening_uni: None }
    }
}

impl<L: Link + ?Sized> Clone for OpenStreams<L> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.core))
    }
}

impl<L: Link + ?Sized> fmt::Debug for OpenStreams<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenStreams").field("quic", &self.core.quic).finish_non_exhaustive()
    }
}

impl<L: Link + ?Sized, B: Buf> quic::OpenStreams<B> for OpenStreams<L> {
    type BidiStream = BidiStream<L, B>;
    type SendStream = SendStream<L, B>;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::BidiStream, StreamErrorIncoming>> {
        self.core.check().map_err(on_stream)?;
        if self.opening_bidi.is_none()
            && let Poll::Ready(opened) = pin!(self.core.quic.open_bi()).poll(cx)
        {
            let opened = opened.map_err(|error| on_stream(self.core.translate(error)))?;
            return Poll::Ready(BidiStream::new(&self.core, opened).map_err(on_stream));
        }
        let opening = self.opening_bidi.get_or_insert_with(|| {
            let quic = self.core.quic.clone();
            Box::pin(async move { quic.open_bi().await })
        });
        let opened = ready!(opening.as_mut().poll(cx));
        self.opening_bidi = None;
        let opened = opened.map_err(|error| on_stream(self.core.translate(error)))?;
        Poll::Ready(BidiStream::new(&self.core, opened).map_err(on_stream))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::SendStream, StreamErrorIncoming>> {
        self.core.check().map_err(on_stream)?;
        let opening = self.opening_uni.get_or_insert_with(|| {
            let quic = self.core.quic.clone();
            Box::pin(async move { quic.open_uni().await })
        });
        let opened = ready!(opening.as_mut().poll(cx));
        self.opening_uni = None;
        let opened = opened.map_err(|error| on_stream(self.core.translate(error)))?;
        if self.core.control_opened.swap(true, Ordering::Relaxed) {
            return Poll::Ready(SendStream::new(Arc::clone(&self.core), opened).map_err(on_stream));
        }
        let id = opened.id();
        tokio::spawn(Driver::new(Arc::clone(&self.core.0), opened));
        Poll::Ready(SendStream::control(Arc::clone(&self.core), id).map_err(on_stream))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.core.close(ErrorCode(code.value()), reason);
    }
}
