//! Frames of QUIC (RFC 9000, section 19).

use crate::cursor::{Broken, Cursor};

/// What matters here of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Crypto {
        offset: u64,
        bytes: &'a [u8],
    },
    Stream {
        stream: u64,
        offset: u64,
        bytes: &'a [u8],
        fin: bool,
    },
    ResetStream {
        stream: u64,
        code: u64,
    },
    StopSending {
        stream: u64,
        code: u64,
    },
    NewConnectionId(&'a [u8]),
    ConnectionClose {
        application: bool,
        code: u64,
        reason: &'a [u8],
    },
    /// One that says nothing about what is told here.
    Other,
}

/// The next frame.
pub(super) fn next<'a>(cursor: &mut Cursor<'a>) -> Result<Frame<'a>, Broken> {
    let typ = cursor.varint("the type of a frame")?;
    Ok(match typ {
        // PADDING, PING, HANDSHAKE_DONE, IMMEDIATE_ACK.
        0x00 | 0x01 | 0x1e | 0x1f => Frame::Other,
        0x02 | 0x03 => {
            ack(cursor, typ == 0x03)?;
            Frame::Other
        }
        0x04 => {
            let frame = Frame::ResetStream { stream: cursor.varint("")?, code: cursor.varint("")? };
            cursor.varint("the final size")?;
            frame
        }
        0x05 => Frame::StopSending { stream: cursor.varint("")?, code: cursor.varint("")? },
        0x06 => Frame::Crypto { offset: cursor.varint("")?, bytes: prefixed(cursor)? },
        // NEW_TOKEN, DATAGRAM with a length.
        0x07 | 0x31 => {
            prefixed(cursor)?;
            Frame::Other
        }
        0x08..=0x0f => {
            let stream = cursor.varint("the stream")?;
            let offset = if typ & 4 != 0 { cursor.varint("the offset")? } else { 0 };
            let bytes = if typ & 2 != 0 { prefixed(cursor)? } else { cursor.take_rest().rest() };
            Frame::Stream { stream, offset, bytes, fin: typ & 1 != 0 }
        }
        // MAX_DATA, MAX_STREAMS, DATA_BLOCKED, STREAMS_BLOCKED, RETIRE_CONNECTION_ID.
        0x10 | 0x12..=0x14 | 0x16 | 0x17 | 0x19 => other(cursor, 1)?,
        // MAX_STREAM_DATA, STREAM_DATA_BLOCKED.
        0x11 | 0x15 => other(cursor, 2)?,
        0x18 => {
            other(cursor, 2)?;
            let id = cursor.vector(1, "the connection ID")?.rest();
            cursor.take(16, "the stateless reset token")?;
            Frame::NewConnectionId(id)
        }
        // PATH_CHALLENGE, PATH_RESPONSE.
        0x1a | 0x1b => {
            cursor.take(8, "the data")?;
            Frame::Other
        }
        0x1c | 0x1d => {
            let code = cursor.varint("the error code")?;
            if typ == 0x1c {
                cursor.varint("the frame's type")?;
            }
            Frame::ConnectionClose { application: typ == 0x1d, code, reason: prefixed(cursor)? }
        }
        // DATAGRAM up to the end.
        0x30 => {
            cursor.take_rest();
            Frame::Other
        }
        // ACK_FREQUENCY.
        0xaf => other(cursor, 4)?,
        typ => return Err(cursor.broken(format!("a frame of type {typ:#x}"))),
    })
}

fn ack(cursor: &mut Cursor<'_>, with_ecn: bool) -> Result<(), Broken> {
    other(cursor, 2)?;
    let ranges = cursor.varint("the number of ranges")?;
    cursor.varint("the first range")?;
    for _ in 0..ranges {
        other(cursor, 2)?;
    }
    if with_ecn {
        other(cursor, 3)?;
    }
    Ok(())
}

/// So many integers.
fn other(cursor: &mut Cursor<'_>, integers: usize) -> Result<Frame<'static>, Broken> {
    for _ in 0..integers {
        cursor.varint("a field")?;
    }
    Ok(Frame::Other)
}

fn prefixed<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Broken> {
    let length = cursor.varint("a length")?;
    Ok(cursor.take(usize::try_from(length).unwrap_or(usize::MAX), "a field")?.rest())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<Frame<'_>>, Broken> {
        let mut cursor = Cursor::new(bytes);
        let mut frames = Vec::new();
        while !cursor.is_empty() {
            frames.push(next(&mut cursor)?);
        }
        Ok(frames)
    }

    #[test]
    fn frames_are_told_apart() {
        let bytes = [
            &[0, 1, 2, 9, 0, 1, 0, 3, 4, 3, 9, 0, 0, 0, 1, 1, 1][..],
            &[4, 8, 0x41, 0x0c, 5, 5, 12, 7, 6, 2, 2, 0xab, 0xcd, 7, 1, 9, 0x0f, 4, 1, 2, 1, 2],
            &[0x10, 9, 0x11, 4, 9, 0x12, 9, 0x13, 9, 0x14, 9, 0x15, 4, 9, 0x16, 9, 0x17, 9],
            &[0x18, 1, 0, 2, 0xaa, 0xbb],
            &[7; 16],
            &[0x19, 0, 0x1a, 1, 2, 3, 4, 5, 6, 7, 8, 0x1b, 1, 2, 3, 4, 5, 6, 7, 8, 0x1e, 0x1f],
            &[0x1c, 0x0a, 6, 1, b'x', 0x1d, 0x41, 0x05, 0, 0x40, 0xaf, 1, 2, 3, 4, 0x31, 1, 0],
            &[0x08, 4, 5, 6],
        ]
        .concat();
        let frames = all(&bytes).unwrap();
        let telling: Vec<_> = frames.into_iter().filter(|frame| *frame != Frame::Other).collect();
        assert_eq!(
            telling,
            [
                Frame::ResetStream { stream: 8, code: 0x10c },
                Frame::StopSending { stream: 12, code: 7 },
                Frame::Crypto { offset: 2, bytes: &[0xab, 0xcd] },
                Frame::Stream { stream: 4, offset: 1, bytes: &[1, 2], fin: true },
                Frame::NewConnectionId(&[0xaa, 0xbb]),
                Frame::ConnectionClose { application: false, code: 10, reason: b"x" },
                Frame::ConnectionClose { application: true, code: 0x105, reason: b"" },
                Frame::Stream { stream: 4, offset: 0, bytes: &[5, 6], fin: false },
            ]
        );
    }

    #[test]
    fn what_ends_in_a_frame_is_broken() {
        for bytes in [&[6, 0, 9, 1][..], &[2, 0, 0, 0xff], &[0x18, 0, 0, 1], &[0x21]] {
            assert!(all(bytes).is_err(), "{bytes:?}");
        }
    }
}
