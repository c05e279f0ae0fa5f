//! Bytes in both directions, each as fast as the receiving end takes them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use countersign::h3;
use http_body::{Body, Frame};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, copy_bidirectional};
use tokio::time::{Instant, sleep_until};

/// How long a tunnel may be without a byte in either direction.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How much of a stream becomes one piece of a body, in bytes.
const PIECE: usize = 8 * 1024;

/// One end of a tunnel.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How a tunnel came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Both ends closed it.
    Closed,
    /// Nothing moved for too long.
    Idle,
}

/// Lets bytes flow until both ends have closed or nothing moves for `idle`. The end of one direction is
/// passed on by itself.
pub(super) async fn pass(client: impl Io, backend: impl Io, idle: Duration) -> io::Result<Ended> {
    let moved = Moved::now();
    let (mut client, mut backend) = (Watched(client, &moved), Watched(backend, &moved));
    tokio::select! {
        copied = copy_bidirectional(&mut client, &mut backend) => copied.map(|_| Ended::Closed),
        () = moved.stands_still(idle) => Ok(Ended::Idle),
    }
}

/// When something moved last.
struct Moved {
    begun: Instant,
    /// Since then, in milliseconds.
    last: AtomicU64,
}

impl Moved {
    fn now() -> Self {
        Self { begun: Instant::now(), last: AtomicU64::new(0) }
    }

    fn moves(&self) {
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    async fn stands_still(&self, idle: Duration) {
        loop {
            let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
            let limit = self.begun + last + idle;
            if limit <= Instant::now() {
                return;
            }
            sleep_until(limit).await;
        }
    }
}

/// One end, whose reading is noted.
struct Watched<'a, S>(S, &'a Moved);

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.0).poll_read(cx, buffer));
        self.1.moves();
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// What an HTTP/3 client sends in a tunnel, as a stream.
pub(super) struct Incoming {
    body: Box<h3::RequestBody>,
    piece: Bytes,
}

impl Incoming {
    pub(super) fn new(body: Box<h3::RequestBody>) -> Self {
        Self { body, piece: Bytes::new() }
    }
}

impl AsyncRead for Incoming {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.piece.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                // Trailers end a tunnel as well; there is nowhere to pass them on to.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => self.piece = piece,
                    Err(_) => return Poll::Ready(Ok(())),
                },
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.piece.len().min(buffer.remaining());
        buffer.put_slice(&self.piece.split_to(length));
        Poll::Ready(Ok(()))
    }
}

/// What an HTTP/3 client gets in a tunnel, as a body.
#[derive(Debug)]
pub(crate) struct Outgoing(DuplexStream);

impl Outgoing {
    pub(super) fn new(stream: DuplexStream) -> Self {
        Self(stream)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut piece = [0; PIECE];
        let mut buffer = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        let piece = Bytes::copy_from_slice(buffer.filled());
        Poll::Ready(piece.has_remaining().then(|| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn each_direction_ends_by_itself() {
        let ((mut client, near), (far, mut backend)) = (duplex(64), duplex(64));
        let passing = tokio::spawn(pass(near, far, LONG));
        client.write_all(b"to the end").await.unwrap();
        client.shutdown().await.unwrap();
        let mut got = String::new();
        backend.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "to the end");
        backend.write_all(b"still there").await.unwrap();
        drop(backend);
        let mut got = String::new();
        client.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "still there");
        assert_eq!(passing.await.unwrap().unwrap(), Ended::Closed);
    }

    #[tokio::test]
    async fn what_moves_stays_and_what_stands_still_ends() {
        let idle = Duration::from_millis(200);
        let ((mut client, near), (far, mut backend)) = (duplex(64), duplex(64));
        let passing = tokio::spawn(pass(near, far, idle));
        let begun = Instant::now();
        while begun.elapsed() < idle * 2 {
            // Only one of the two has anything to say.
            client.write_all(b"x").await.unwrap();
            assert_eq!(backend.read_u8().await.unwrap(), b'x');
            sleep_until(Instant::now() + idle / 20).await;
        }
        assert!(!passing.is_finished());
        assert_eq!(passing.await.unwrap().unwrap(), Ended::Idle);
        assert_eq!(backend.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn nothing_is_read_that_nobody_takes() {
        let ((client, near), (far, _backend)) = (duplex(64), duplex(64));
        let _passing = tokio::spawn(pass(near, far, LONG));
        let (_reader, mut writer) = tokio::io::split(client);
        let mut written = 0;
        let writing = async {
            loop {
                written += writer.write(&[7; 64]).await.unwrap();
            }
        };
        let pause = Duration::from_millis(100);
        assert!(tokio::time::timeout(pause, writing).await.is_err());
        assert!(written < 64 * 1024, "{written} bytes");
    }
}
