//! Octets of an HTTP/2 connection, given to the tap in memory.

use std::sync::Arc;

use countersign_conform::vectors::{Place, Vector};
use countersign_h2::Tap;
use countersign_proto::Role;
use countersign_proto::link::Link;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::link::Witness;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The header of a SETTINGS frame without entries.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const HEADER: usize = 9;
const GOAWAY: u8 = 7;

/// The code of the GOAWAY that the tap sends, if it is an error.
pub(super) async fn run(vector: &Vector, witness: &Arc<Witness>) -> Result<Option<u32>, String> {
    let said = |error: std::io::Error| error.to_string();
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let mut tap = Tap::new(near, Arc::clone(witness));
    // What an HTTP/2 stack above would write first.
    let preface = if witness.role() == Role::Client { PREFACE } else { &[] };
    tap.write_all(&[preface, &SETTINGS].concat()).await.map_err(said)?;
    tap.flush().await.map_err(said)?;
    for input in &vector.input {
        if input.place != Place::Connection {
            return Err(format!("over HTTP/2 nothing arrives at {:?}", input.place));
        }
        far.write_all(&input.bytes.0).await.map_err(said)?;
    }
    far.shutdown().await.map_err(said)?;
    let mut stack = Vec::new();
    // An error is how the stack hears of a violation; the peer hears of it by GOAWAY.
    let _ = tap.read_to_end(&mut stack).await;
    let _ = tap.flush().await;
    drop(tap);
    let mut sent = Vec::new();
    far.read_to_end(&mut sent).await.map_err(said)?;
    Ok(goaway(sent.get(preface.len()..).unwrap_or_default()))
}

fn goaway(mut frames: &[u8]) -> Option<u32> {
    while let Some((header, rest)) = frames.split_first_chunk::<HEADER>() {
        let [l0, l1, l2, kind, ..] = *header;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        if kind == GOAWAY {
            let code = u32::from_be_bytes(*payload.get(4..)?.first_chunk()?);
            return (code != 0).then_some(code);
        }
        frames = rest;
    }
    None
}
