//! What only a raw client, or only a raw server, says.

use bytes::Bytes;
use countersign_testkit::raw::kind;
use countersign_testkit::{Frame, Version};

use super::{ClientWire, ServerWire, h3_stream};
use crate::wire::{CLIENT_CERT_AUTH, Extension, widest_window};

fn client_auth(ours: Option<u32>) -> Vec<(u16, u32)> {
    ours.map(|value| (CLIENT_CERT_AUTH, value)).into_iter().collect()
}

/// What was announced for the setting `id`.
pub(crate) fn value_of(id: u16, settings: &[(u64, u64)]) -> Option<u64> {
    settings.iter().find(|(other, _)| *other == u64::from(id)).map(|(_, value)| *value)
}

fn widened(settings: &[(u16, u32)]) -> Vec<(u64, u64)> {
    settings.iter().map(|(id, value)| (u64::from(*id), u64::from(*value))).collect()
}

impl ClientWire {
    /// Announces this limit, or nothing; returns what the server announced.
    pub(crate) async fn open(&mut self, limit: Option<u32>) -> Option<u64> {
        value_of(CLIENT_CERT_AUTH, &self.open_with(&client_auth(limit)).await)
    }

    /// Announces these settings; returns those of the other end.
    pub(crate) async fn open_with(&mut self, settings: &[(u16, u32)]) -> Vec<(u64, u64)> {
        match self {
            Self::H2(wire) => widened(&wire.open(settings).await),
            Self::H3(wire) => wire.open(&widened(settings)).await,
        }
    }

    /// Sends a GET.
    pub(crate) async fn request(&mut self, stream: u32, path: &str) {
        match self {
            Self::H2(wire) => wire.send(&Frame::get(stream, "localhost", path, &[])).await,
            Self::H3(wire) => {
                assert_eq!(wire.request("localhost", path).await, h3_stream(stream));
            }
        }
    }

    /// Sends a GET, and takes it back at once.
    pub(crate) async fn request_and_cancel(&mut self, stream: u32, path: &str) {
        match self {
            Self::H2(wire) => {
                wire.send(&Frame::get(stream, "localhost", path, &[])).await;
                wire.send_frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await;
            }
            Self::H3(wire) => wire.request_and_cancel("localhost", path).await,
        }
    }

    /// Lets the server send as much as it likes, where it would soon be stopped otherwise.
    pub(crate) async fn widen_window(&mut self) {
        if let Self::H2(wire) = self {
            wire.send(&widest_window(0)).await;
        }
    }

    /// Sends a frame that belongs elsewhere on a stream for requests, the first on it in HTTP/3.
    pub(crate) async fn send_on(&mut self, stream: u32, frame: &Extension) {
        match self {
            Self::H2(wire) => wire.send(&Frame { stream, ..frame.h2() }).await,
            Self::H3(wire) => {
                let id = wire.open_request(&frame.encode(Version::H3)).await;
                assert_eq!(id, h3_stream(stream));
            }
        }
    }

    /// Sends a GET and waits for its status.
    pub(crate) async fn get(&mut self, stream: u32, path: &str) -> Option<u16> {
        self.request(stream, path).await;
        self.response(stream).await
    }

    /// The status of the response on `stream`; None when there is none.
    pub(crate) async fn response(&mut self, stream: u32) -> Option<u16> {
        match self {
            Self::H2(wire) => wire.response(stream).await,
            Self::H3(_) => Some(self.whole_response(stream).await?.0),
        }
    }

    pub(crate) async fn whole_response(&mut self, stream: u32) -> Option<(u16, Bytes)> {
        match self {
            Self::H2(wire) => wire.whole_response(stream).await,
            Self::H3(wire) => wire.whole_response(h3_stream(stream)).await,
        }
    }
}

impl ServerWire {
    /// Announces this value, or nothing; returns what the client announced.
    pub(crate) async fn open(&mut self, value: Option<u32>) -> Option<u64> {
        value_of(CLIENT_CERT_AUTH, &self.open_with(&client_auth(value)).await)
    }

    /// Announces these settings; returns those of the other end.
    pub(crate) async fn open_with(&mut self, settings: &[(u16, u32)]) -> Vec<(u64, u64)> {
        match self {
            Self::H2(wire) => widened(&wire.open(settings).await),
            Self::H3(wire) => wire.open(&widened(settings)).await,
        }
    }

    /// Sends a frame that belongs elsewhere on a stream that the client opened.
    pub(crate) async fn send_on(&mut self, stream: u32, frame: &Extension) {
        match self {
            Self::H2(wire) => wire.send(&Frame { stream, ..frame.h2() }).await,
            Self::H3(wire) => wire.send_on(h3_stream(stream), &frame.encode(Version::H3)).await,
        }
    }

    /// Answers the request on `stream`.
    pub(crate) async fn respond(&mut self, stream: u32, status: u16) {
        match self {
            Self::H2(wire) => wire.send(&Frame::response(stream, status)).await,
            Self::H3(wire) => wire.respond(h3_stream(stream), status).await,
        }
    }
}
