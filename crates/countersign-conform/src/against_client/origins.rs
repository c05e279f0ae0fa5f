//! ORIGIN frames (RFC 8336, RFC 9412), which a client may use or not, but not stumble over.

use super::ClientCase;
use super::guest::Guest;
use crate::bytes::vector;
use crate::case::{Done, cases};
use crate::raw::H2Frame;

/// The frame's type in both versions.
const ORIGIN: u64 = 0xc;

pub(super) const CASES: &[ClientCase] = cases! {
    Must "rfc8336/2.2/c1" Both:
        "An ORIGIN frame on another stream than 0 or the control stream is ignored.",
        "ORIGIN on the stream of the client's GET, and a response",
        "no error"
        => on_a_stream;
    Must "rfc8336/2.2/c2" Both:
        "An entry of ORIGIN that does not parse is ignored.",
        "ORIGIN with entries that are no origins, and a response",
        "no error"
        => |guest| shown(guest, entries(&["", "nonsense", "https://", "\u{fc}", "https://further.test"]));
    Must "rfc8336/2.2/c3" Http2:
        "An ORIGIN frame with one of the flags 0x1, 0x2, 0x4 and 0x8 is ignored.",
        "ORIGIN with each of these flags and bytes that are no entries, and a response",
        "no error"
        => flagged;
    Robustness "rfc8336/2.1/c1" Both:
        "ORIGIN may have no entry, or many.",
        "an empty ORIGIN, one with 500 entries, and a response",
        "no error"
        => empty_and_long;
};

fn entries(origins: &[&str]) -> Vec<u8> {
    origins.iter().flat_map(|origin| vector(2, origin.as_bytes())).collect()
}

async fn shown(guest: &mut Guest<'_>, payload: Vec<u8>) -> Done {
    guest.welcome().await?;
    guest.peer.control(ORIGIN, &payload).await;
    guest.content_in_the_end().await
}

async fn on_a_stream(guest: &mut Guest<'_>) -> Done {
    guest.welcome().await?;
    guest.peer.on_stream(guest.stream, ORIGIN, &entries(&["https://further.test"])).await;
    guest.content_in_the_end().await
}

async fn flagged(guest: &mut Guest<'_>) -> Done {
    guest.welcome().await?;
    for flag in [0x1, 0x2, 0x4, 0x8] {
        guest.peer.bytes(&H2Frame::new(ORIGIN, flag, 0, &[0xff; 3]).encode()).await;
    }
    guest.content_in_the_end().await
}

async fn empty_and_long(guest: &mut Guest<'_>) -> Done {
    guest.welcome().await?;
    guest.peer.control(ORIGIN, b"").await;
    let names: Vec<_> = (0..500).map(|number| format!("https://{number}.further.test")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    guest.peer.control(ORIGIN, &entries(&names)).await;
    guest.content_in_the_end().await
}
