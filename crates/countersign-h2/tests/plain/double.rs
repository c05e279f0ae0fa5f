//! Somebody between the peer and the stack who loses frames.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::wire;

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Frames of this type from the peer.
    Received(u8),
    /// Frames of this type to the peer.
    Sent(u8),
}

impl Lost {
    pub(crate) const ALL: [Self; 9] = [
        Self::Received(wire::DATA),
        Self::Received(wire::PRIORITY),
        Self::Received(wire::RST_STREAM),
        Self::Received(wire::SETTINGS),
        Self::Received(wire::PUSH_PROMISE),
        Self::Received(wire::PING),
        Self::Received(wire::WINDOW_UPDATE),
        Self::Received(wire::CONTINUATION),
        Self::Sent(wire::GOAWAY),
    ];
}

/// The stack's end of a connection that loses frames.
pub(crate) fn losing(io: DuplexStream, lost: Lost) -> DuplexStream {
    let (near, far) = tokio::io::duplex(4 << 20);
    let (peer_in, peer_out) = tokio::io::split(io);
    let (stack_out, stack_in) = tokio::io::split(far);
    let (received, sent) = match lost {
        Lost::Received(kind) => (Some(kind), None),
        Lost::Sent(kind) => (None, Some(kind)),
    };
    tokio::spawn(pass(peer_in, stack_in, received, wire::PREFACE.len()));
    tokio::spawn(pass(stack_out, peer_out, sent, 0));
    near
}

/// Passes frames on, but for those of one type; bytes that are no frames as they are.
async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    lost: Option<u8>,
    preface: usize,
) -> Option<()> {
    let mut start = vec![0; preface];
    from.read_exact(&mut start).await.ok()?;
    to.write_all(&start).await.ok()?;
    // The first SETTINGS belong to the preface.
    let mut first = preface > 0;
    loop {
        let mut frame = vec![0; 9];
        if from.read_exact(&mut frame).await.is_err() {
            let _ = to.shutdown().await;
            return None;
        }
        let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]) as usize;
        frame.resize(9 + length, 0);
        from.read_exact(&mut frame[9..]).await.ok()?;
        if first || Some(frame[3]) != lost {
            to.write_all(&frame).await.ok()?;
        }
        first = false;
    }
}
