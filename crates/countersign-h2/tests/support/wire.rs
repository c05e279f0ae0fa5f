//! HTTP/2 frames as bytes, written down and read by the simplest means.

use countersign_proto::Setting;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PUSH_PROMISE: u8 = 0x5;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const CONTINUATION: u8 = 0x9;
pub(crate) const REQUESTS: u8 = 0xf5;
pub(crate) const CERTIFICATE: u8 = 0xf6;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WireFrame {
    pub(crate) frame_type: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl WireFrame {
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.frame_type, REQUESTS | CERTIFICATE)
    }

    /// Whether a header block is open after this frame.
    pub(crate) fn leaves_block_open(&self, before: bool) -> bool {
        match self.frame_type {
            HEADERS | PUSH_PROMISE | CONTINUATION => self.flags & END_HEADERS == 0,
            _ => before,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        frame(self.frame_type, self.flags, self.stream, &self.payload)
    }
}

pub(crate) fn header(len: usize, frame_type: u8, flags: u8, stream: u32) -> [u8; 9] {
    let [_, a, b, c] = (len as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    [a, b, c, frame_type, flags, d, e, f, g]
}

pub(crate) fn frame(frame_type: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [&header(payload.len(), frame_type, flags, stream), payload].concat()
}

pub(crate) fn settings(entries: &[Setting]) -> Vec<u8> {
    let mut payload = Vec::new();
    for entry in entries {
        payload.extend((entry.id as u16).to_be_bytes());
        payload.extend((entry.value as u32).to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

pub(crate) fn settings_ack() -> Vec<u8> {
    frame(SETTINGS, ACK, 0, b"")
}

/// The whole frames at the beginning of `bytes`, and what is left.
pub(crate) fn parse(mut bytes: &[u8]) -> (Vec<WireFrame>, &[u8]) {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        if rest.len() < len {
            break;
        }
        frames.push(WireFrame {
            frame_type: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff,
            payload: rest[..len].to_vec(),
        });
        bytes = &rest[len..];
    }
    (frames, bytes)
}
