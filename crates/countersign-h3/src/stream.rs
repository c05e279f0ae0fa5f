//! Streams as the HTTP/3 stack sees them.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use countersign_proto::Role;
use countersign_proto::link::Link;
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::VarInt;

use crate::error::{internal, on_stream};
use crate::frames::FrameWalk;
use crate::inbound::UniWalk;
use crate::outbound::extend_settings;
use crate::protocol;
use crate::shared::Core;

/// How many pieces of the control stream that bring the stack nothing are read before other tasks get
/// their turn.
const CHUNKS_PER_POLL: usize = 64;

/// The send half of a stream.
pub struct SendStream<L: Link + ?Sized, B> {
    core: Arc<Core<L>>,
    id: StreamId,
    half: SendHalf,
    /// What is left of the stack's last write.
    writing: Option<WriteBuf<B>>,
    /// A server's, once all is written: what comes with the last acknowledgement.
    delivered: Option<Delivered>,
}

type Delivered =
    Pin<Box<dyn Future<Output = Result<Option<VarInt>, quinn::StoppedError>> + Send + Sync>>;

enum SendHalf {
    Quic(quinn::SendStream),
    /// Our control stream, which its own task writes. `settings` until they went that way.
    Control {
        settings: bool,
    },
}

impl<L: Link + ?Sized, B: Buf> SendStream<L, B> {
    pub(crate) fn new(
        core: Arc<Core<L>>,
        stream: quinn::SendStream,
    ) -> Result<Self, ConnectionErrorIncoming> {
        let id = stream_id(stream.id())?;
        Ok(Self { core, id, half: SendHalf::Quic(stream), writing: None, delivered: None })
    }

    pub(crate) fn control(
        core: Arc<Core<L>>,
        id: quinn::StreamId,
    ) -> Result<Self, ConnectionErrorIncoming> {
        let id = stream_id(id)?;
        Ok(Self {
            core,
            id,
            half: SendHalf::Control { settings: true },
            writing: None,
            delivered: None,
        })
    }

    fn send(&mut self, mut data: WriteBuf<B>) -> Result<(), ConnectionErrorIncoming> {
        self.core.check()?;
        let SendHalf::Control { settings } = &mut self.half else {
            if self.writing.is_some() {
                return Err(internal("data was sent while other data was being sent"));
            }
            self.writing = Some(data);
            return Ok(());
        };
        let mut frames = data.copy_to_bytes(data.remaining());
        if std::mem::replace(settings, false) {
            frames = extend_settings(&frames, &self.core.rules.link.local_settings())
                .ok_or_else(|| internal("the control stream does not begin with SETTINGS"))?;
        }
        if self.core.outbox.put(frames) {
            Ok(())
        } else {
            Err(internal("a frame was sent while another frame was being sent"))
        }
    }
}

impl<L: Link + ?Sized, B: Buf> quic::SendStream<B> for SendStream<L, B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        match &mut self.half {
            SendHalf::Control { .. } => {
                if ready!(self.core.outbox.poll_written(cx)) {
                    Poll::Ready(Ok(()))
                } else {
                    Poll::Ready(Err(on_stream(self.core.error())))
                }
            }
            SendHalf::Quic(stream) => {
                while let Some(data) = &mut self.writing {
                    if !data.has_remaining() {
                        self.writing = None;
                        break;
                    }
                    let written = match ready!(pin!(stream.write(data.chunk())).poll(cx)) {
                        Ok(written) => written,
                        Err(error) => return Poll::Ready(Err(write_error(&self.core, error))),
                    };
                    data.advance(written);
                }
                Poll::Ready(Ok(()))
            }
        }
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send(data.into()).map_err(on_stream)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        ready!(self.poll_ready(cx))?;
        let SendHalf::Quic(stream) = &mut self.half else {
            // It lasts as long as the connection (RFC 9114, section 6.2.1).
            return Poll::Ready(Ok(()));
        };
        let delivered = match &mut self.delivered {
            Some(delivered) => delivered,
            None => {
                stream.finish().map_err(|closed| StreamErrorIncoming::Unknown(Box::new(closed)))?;
                if self.core.rules.role == Role::Client {
                    return Poll::Ready(Ok(()));
                }
                self.delivered.insert(Box::pin(stream.stopped()))
            }
        };
        // A server that ends closes the connection after its last response, and closing discards
        // what was not received. If the client is gone or wants no more, there is no more to do.
        let _ = ready!(delivered.as_mut().poll(cx));
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, reset_code: u64) {
        match &mut self.half {
            SendHalf::Control { .. } => {}
            // It fails on a stream that has ended, which is what is wanted.
            SendHalf::Quic(stream) => drop(stream.reset(varint(reset_code))),
        }
    }

    fn send_id(&self) -> StreamId {
        self.id
    }
}

/// The receive half of a stream.
pub struct RecvStream<L: Link + ?Sized> {
    core: Arc<Core<L>>,
    id: StreamId,
    stream: quinn::RecvStream,
    walk: Walk,
}

enum Walk {
    /// A stream of a request: everything passes.
    Request(FrameWalk),
    /// The same up to the end of its first frame, where `:protocol` is written anew; what has arrived of it.
    Opening(FrameWalk, BytesMut),
    /// One of the peer's unidirectional streams: something may be taken out.
    Uni(Box<UniWalk>),
    /// It has ended, or failed.
    Ended,
}

impl<L: Link + ?Sized> RecvStream<L> {
    pub(crate) fn request(
        core: Arc<Core<L>>,
        stream: quinn::RecvStream,
    ) -> Result<Self, ConnectionErrorIncoming> {
        let id = stream_id(stream.id())?;
        let walk = if core.rules.websocket && core.rules.role == Role::Server {
            Walk::Opening(FrameWalk::new(), BytesMut::new())
        } else {
            Walk::Request(FrameWalk::new())
        };
        Ok(Self { core, id, stream, walk })
    }

    pub(crate) fn uni(
        core: Arc<Core<L>>,
        stream: quinn::RecvStream,
    ) -> Result<Self, ConnectionErrorIncoming> {
        let id = stream_id(stream.id())?;
        let walk = Walk::Uni(Box::new(UniWalk::new(id.into_inner())));
        Ok(Self { core, id, stream, walk })
    }

    /// The bytes as they come. The future has no state of its own, so it need not be kept.
    fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        let chunk = ready!(pin!(self.stream.read_chunk(usize::MAX, true)).poll(cx));
        Poll::Ready(match chunk {
            Ok(chunk) => Ok(chunk.map(|chunk| chunk.bytes)),
            Err(error) => Err(read_error(&self.core, error)),
        })
    }
}

impl<L: Link + ?Sized> quic::RecvStream for RecvStream<L> {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        for _ in 0..CHUNKS_PER_POLL {
            self.core.check().map_err(on_stream)?;
            if let Walk::Uni(walk) = &mut self.walk
                && let Some(piece) = walk.next()
            {
                return Poll::Ready(Ok(Some(piece)));
            }
            if let Walk::Ended = self.walk {
                return Poll::Ready(Ok(None));
            }
            let chunk = ready!(self.poll_chunk(cx))?;
            let rules = &self.core.rules;
            match (&mut self.walk, chunk) {
                (Walk::Request(walk), Some(chunk)) => {
                    return Poll::Ready(match walk.inspect(&chunk, self.id.into_inner(), rules) {
                        Ok(()) => Ok(Some(chunk)),
                        Err(reason) => Err(self.core.fail_stream(reason)),
                    });
                }
                (Walk::Opening(walk, held), Some(chunk)) => {
                    walk.inspect(&chunk, self.id.into_inner(), rules)
                        .map_err(|reason| self.core.fail_stream(reason))?;
                    if let Some(first) = protocol::open(held, chunk) {
                        self.walk = Walk::Request(std::mem::replace(walk, FrameWalk::new()));
                        return Poll::Ready(Ok(Some(first)));
                    }
                }
                (Walk::Uni(walk), Some(chunk)) => walk
                    .filter(chunk, rules, &self.core.control_seen)
                    .map_err(|reason| self.core.fail_stream(reason))?,
                (Walk::Uni(walk), None) => {
                    walk.end().map_err(|reason| self.core.fail_stream(reason))?;
                    if let Some(last) = walk.next() {
                        self.walk = Walk::Ended;
                        return Poll::Ready(Ok(Some(last)));
                    }
                    self.walk = Walk::Ended;
                }
                (Walk::Request(_), None) => {
                    self.walk = Walk::Ended;
                    return Poll::Ready(Ok(None));
                }
                (Walk::Opening(_, held), None) => {
                    // A cut frame is the stack's to judge.
                    let held = std::mem::take(held).freeze();
                    self.walk = Walk::Ended;
                    return Poll::Ready(Ok(Some(held).filter(|held| !held.is_empty())));
                }
                (Walk::Ended, _) => return Poll::Ready(Ok(None)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn stop_sending(&mut self, error_code: u64) {
        // It fails on a stream that has ended, which is what is wanted.
        drop(self.stream.stop(varint(error_code)));
    }

    fn recv_id(&self) -> StreamId {
        self.id
    }
}

impl<L: Link + ?Sized> Drop for RecvStream<L> {
    /// Says why nothing more is read of a request or a response; quinn would say 0, which is no code of
    /// HTTP/3 (RFC 9114, section 4.1).
    fn drop(&mut self) {
        if let Walk::Request(_) | Walk::Opening(..) = self.walk {
            quic::RecvStream::stop_sending(
                self,
                match self.core.rules.role {
                    Role::Server => Code::H3_NO_ERROR.value(),
                    Role::Client => Code::H3_REQUEST_CANCELLED.value(),
                },
            );
        }
    }
}

/// A stream of a request.
pub struct BidiStream<L: Link + ?Sized, B> {
    send: SendStream<L, B>,
    recv: RecvStream<L>,
}

impl<L: Link + ?Sized, B: Buf> BidiStream<L, B> {
    pub(crate) fn new(
        core: &Arc<Core<L>>,
        (send, recv): (quinn::SendStream, quinn::RecvStream),
    ) -> Result<Self, ConnectionErrorIncoming> {
        Ok(Self {
            send: SendStream::new(Arc::clone(core), send)?,
            recv: RecvStream::request(Arc::clone(core), recv)?,
        })
    }
}

impl<L: Link + ?Sized, B: Buf> quic::BidiStream<B> for BidiStream<L, B> {
    type SendStream = SendStream<L, B>;
    type RecvStream = RecvStream<L>;

    fn split(self) -> (Self::SendStream, Self::RecvStream) {
        (self.send, self.recv)
    }
}

impl<L: Link + ?Sized, B: Buf> quic::SendStream<B> for BidiStream<L, B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(cx)
    }

    fn reset(&mut self, reset_code: u64) {
        self.send.reset(reset_code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

impl<L: Link + ?Sized, B: Buf> quic::RecvStream for BidiStream<L, B> {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.recv.poll_data(cx)
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.recv.stop_sending(error_code);
    }

    fn recv_id(&self) -> StreamId {
        self.recv.recv_id()
    }
}

fn stream_id(id: quinn::StreamId) -> Result<StreamId, ConnectionErrorIncoming> {
    StreamId::try_from(VarInt::from(id).into_inner())
        .map_err(|_| internal("the number of a stream is out of range"))
}

fn varint(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

#[cold]
fn read_error<L: Link + ?Sized>(core: &Core<L>, error: quinn::ReadError) -> StreamErrorIncoming {
    match error {
        quinn::ReadError::Reset(code) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
        }
        quinn::ReadError::ConnectionLost(error) => on_stream(core.translate(error)),
        error @ (quinn::ReadError::ClosedStream
        | quinn::ReadError::IllegalOrderedRead
        | quinn::ReadError::ZeroRttRejected) => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}

#[cold]
fn write_error<L: Link + ?Sized>(core: &Core<L>, error: quinn::WriteError) -> StreamErrorIncoming {
    match error {
        quinn::WriteError::Stopped(code) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
        }
        quinn::WriteError::ConnectionLost(error) => on_stream(core.translate(error)),
        error @ (quinn::WriteError::ClosedStream | quinn::WriteError::ZeroRttRejected) => {
            StreamErrorIncoming::Unknown(Box::new(error))
        }
    }
}
