//! A connection that takes and gives as little as it likes, when it likes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((it ^ (it >> 31)) % limit as u64) as usize
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A length from 1 to `limit`, mostly short.
    pub(crate) fn len(&mut self, limit: usize) -> usize {
        let cap = [1, 3, 9, 10, 40, 300, usize::MAX][self.below(7)];
        1 + self.below(limit.min(cap))
    }
}

/// Wraps a connection and makes it capricious. Pending always wakes.
#[derive(Debug)]
pub(crate) struct Chaos<T> {
    inner: T,
    dice: Dice,
    vectored: bool,
}

impl<T> Chaos<T> {
    pub(crate) fn new(inner: T, seed: u64, vectored: bool) -> Self {
        Self { inner, dice: Dice(seed), vectored }
    }

    fn refuses(&mut self, cx: &mut Context<'_>) -> bool {
        let refuses = self.dice.once_in(4);
        if refuses {
            cx.waker().wake_by_ref();
        }
        refuses
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Chaos<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if me.refuses(cx) {
            return Poll::Pending;
        }
        let len = me.dice.len(buf.remaining());
        let mut piece = vec![0; len];
        let mut piece = ReadBuf::new(&mut piece);
        let result = Pin::new(&mut me.inner).poll_read(cx, &mut piece);
        buf.put_slice(piece.filled());
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Chaos<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        if me.refuses(cx) {
            return Poll::Pending;
        }
        let len = me.dice.len(buf.len());
        Pin::new(&mut me.inner).poll_write(cx, &buf[..len])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        self.poll_write(cx, &all)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if me.refuses(cx) {
            return Poll::Pending;
        }
        Pin::new(&mut me.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if me.refuses(cx) {
            return Poll::Pending;
        }
        Pin::new(&mut me.inner).poll_shutdown(cx)
    }
}
