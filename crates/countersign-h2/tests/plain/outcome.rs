//! What a peer sees.

use std::collections::BTreeMap;

use countersign_testkit::raw::{Frame, kind};

use crate::wire::{ACK, END_STREAM};

/// All that a peer can tell apart, but for pieces and pace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Code, last stream and debug data.
    goaway: Option<(u32, u32, Vec<u8>)>,
    closed: bool,
    resets: BTreeMap<u32, u32>,
    responses: BTreeMap<u32, Response>,
    pongs: Vec<Vec<u8>>,
    settings: usize,
    settings_acks: usize,
    /// Types of frames that have no place here.
    others: Vec<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Response {
    status: Option<u16>,
    body: Vec<u8>,
    /// HEADERS frames: two with trailers.
    heads: usize,
    ended: bool,
}

/// The outcome in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// GOAWAY with this error, and the end.
    Goaway(u32),
    /// The end without a word.
    Closed,
    /// RST_STREAM on the case's stream; the connection lives.
    Reset(u32),
    /// A response on the case's stream, up to its end.
    Status(u16),
    /// PING was acknowledged.
    Pong,
    /// Nothing.
    Ignored,
}

impl Outcome {
    pub(crate) fn add(&mut self, frame: &Frame) {
        let ack = frame.flags & ACK != 0;
        match frame.kind {
            kind::GOAWAY => {
                let last = frame.payload.get(..4).and_then(|bytes| bytes.first_chunk());
                let last = last.map_or(0, |bytes| u32::from_be_bytes(*bytes));
                let debug = frame.payload.get(8..).unwrap_or_default().to_vec();
                self.goaway = Some((frame.error_code().unwrap_or_default(), last, debug));
            }
            kind::RST_STREAM => {
                self.resets.insert(frame.stream, frame.error_code().unwrap_or_default());
            }
            kind::HEADERS => {
                let response = self.responses.entry(frame.stream).or_default();
                response.heads += 1;
                response.status = response.status.or(frame.status());
                response.ended |= frame.flags & END_STREAM != 0;
            }
            kind::DATA => {
                let response = self.responses.entry(frame.stream).or_default();
                response.body.extend_from_slice(&frame.payload);
                response.ended |= frame.flags & END_STREAM != 0;
            }
            kind::PING if ack => self.pongs.push(frame.payload.to_vec()),
            kind::SETTINGS if ack => self.settings_acks += 1,
            kind::SETTINGS => self.settings += 1,
            // Credit is given when the stack likes.
            kind::WINDOW_UPDATE => {}
            other => self.others.push(other),
        }
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether the exchange on a stream is over.
    pub(crate) fn is_over(&self, stream: u32) -> bool {
        self.resets.contains_key(&stream)
            || self.responses.get(&stream).is_some_and(|response| response.ended)
    }

    pub(crate) fn seen(&self, stream: u32) -> Seen {
        let response = self.responses.get(&stream).filter(|response| response.ended);
        let status = response.and_then(|response| response.status);
        match (&self.goaway, self.resets.get(&stream), status) {
            (Some((code @ 1.., ..)), _, _) => Seen::Goaway(*code),
            (_, Some(code), _) => Seen::Reset(*code),
            (_, None, Some(status)) => Seen::Status(status),
            (_, None, None) if self.closed => Seen::Closed,
            (_, None, None) if !self.pongs.is_empty() => Seen::Pong,
            (_, None, None) => Seen::Ignored,
        }
    }
}
