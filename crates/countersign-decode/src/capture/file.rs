//! Capture files: pcap, and pcapng (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng).

use std::time::Duration;

use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, SecretsType, create_reader};

use super::key_log::KeyLog;
use super::packet::{Segment, segment};

/// Why a file is no capture, or not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// Neither format.
    #[error("it is neither a pcap nor a pcapng file")]
    NoCapture,
    /// A block has no end, or is not what its length says.
    #[error("it is damaged or cut behind its packet {packets}")]
    Cut {
        /// The last one that is whole.
        packets: u64,
    },
}

/// Whether a file begins as a capture does.
#[must_use]
pub fn is_capture(file: &[u8]) -> bool {
    const BEGINNINGS: [[u8; 4]; 5] = [
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0x0a, 0x0d, 0x0d, 0x0a],
    ];
    BEGINNINGS.iter().any(|beginning| file.starts_with(beginning))
}

/// Adds the secrets that a pcapng file brings along.
pub(super) fn secrets(file: &[u8], keys: &mut KeyLog) -> Result<(), CaptureError> {
    each_block(file, |block| {
        if let PcapBlockOwned::NG(Block::DecryptionSecrets(block)) = block
            && block.secrets_type == SecretsType::TlsKeyLog
        {
            let length = usize::try_from(block.secrets_len).unwrap_or(usize::MAX);
            keys.add(block.data.get(..length).unwrap_or(block.data));
        }
    })
    .map(drop)
}

/// Tells each packet of TCP or UDP, and when it was seen, since the first one. How many packets there were, and
/// why they end too early.
pub(super) fn packets(
    file: &[u8],
    mut each: impl FnMut(Duration, Segment<'_>),
) -> Result<(u64, Option<CaptureError>), CaptureError> {
    let mut clock = Clock::default();
    let mut interfaces = Vec::new();
    let mut packets = 0;
    let mut legacy = Interface { link: Linktype::NULL, per_second: 1_000_000 };
    let end = each_block(file, |block| {
        let (interface, time, data) = match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let per_second =
                    if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
                legacy = Interface { link: header.network, per_second };
                return;
            }
            PcapBlockOwned::Legacy(packet) => {
                let time = nanoseconds(packet.ts_sec.into(), packet.ts_usec.into(), &legacy);
                (legacy, Some(time), captured(packet.data, packet.caplen))
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => return interfaces.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                let per_second = interface.ts_resolution().unwrap_or(1_000_000);
                return interfaces.push(Interface { link: interface.linktype, per_second });
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let number = usize::try_from(packet.if_id).unwrap_or(usize::MAX);
                let Some(interface) = interfaces.get(number) else { return };
                let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let seconds = units / interface.per_second;
                let time = nanoseconds(seconds, units % interface.per_second, interface);
                (*interface, Some(time), captured(packet.data, packet.caplen))
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                let Some(interface) = interfaces.first() else { return };
                (*interface, None, captured(packet.data, packet.origlen))
            }
            PcapBlockOwned::NG(_) => return,
        };
        packets += 1;
        let at = clock.since_the_first(time);
        if let Some(segment) = segment(interface.link, data) {
            each(at, segment);
        }
    })?;
    Ok((packets, end.err().map(|Unreadable| CaptureError::Cut { packets })))
}

/// Where packets were captured.
#[derive(Clone, Copy)]
struct Interface {
    link: Linktype,
    per_second: u64,
}

fn nanoseconds(seconds: u64, units: u64, interface: &Interface) -> u64 {
    let fraction = u128::from(units) * 1_000_000_000 / u128::from(interface.per_second.max(1));
    let fraction = u64::try_from(fraction).unwrap_or(u64::MAX);
    seconds.saturating_mul(1_000_000_000).saturating_add(fraction)
}

/// Without what pads a block.
fn captured(data: &[u8], length: u32) -> &[u8] {
    data.get(..usize::try_from(length).unwrap_or(usize::MAX)).unwrap_or(data)
}

/// When the first packet was seen.
#[derive(Default)]
struct Clock {
    first: Option<u64>,
    last: u64,
}

impl Clock {
    /// Packets without a time were seen with the one before them.
    fn since_the_first(&mut self, time: Option<u64>) -> Duration {
        self.last = time.unwrap_or(self.last);
        let first = *self.first.get_or_insert(self.last);
        Duration::from_nanos(self.last.saturating_sub(first))
    }
}

/// The rest of a file is none.
struct Unreadable;

/// Calls for each block of the file, as far as it goes.
fn each_block(
    file: &[u8],
    mut each: impl FnMut(PcapBlockOwned<'_>),
) -> Result<Result<(), Unreadable>, CaptureError> {
    if !is_capture(file) {
        return Err(CaptureError::NoCapture);
    }
    // The buffer has room for the file, so that no block is too long for it.
    let mut reader =
        create_reader(file.len().max(64), file).map_err(|_| CaptureError::NoCapture)?;
    let (mut begun, mut at_end) = (false, false);
    loop {
        match reader.next() {
            Ok((used, block)) => {
                begun = true;
                each(block);
                reader.consume(used);
            }
            Err(PcapError::Eof) => return Ok(Ok(())),
            // All of the file is in the buffer, which the reader learns by asking for more.
            Err(PcapError::Incomplete(_)) if !std::mem::replace(&mut at_end, true) => {
                if reader.refill().is_err() {
                    return Ok(Err(Unreadable));
                }
            }
            Err(_) if begun => return Ok(Err(Unreadable)),
            Err(_) => return Err(CaptureError::NoCapture),
        }
    }
}
