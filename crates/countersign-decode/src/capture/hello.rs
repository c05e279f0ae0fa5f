//! What is needed of handshake messages (RFC 8446, section 4).

use super::Offered;
use crate::cursor::{Broken, Cursor};

pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const ENCRYPTED_EXTENSIONS: u8 = 8;
pub(super) const FINISHED: u8 = 20;
pub(super) const KEY_UPDATE: u8 = 24;

const SIGNATURE_ALGORITHMS: u64 = 13;
const ALPN: u64 = 16;
const SUPPORTED_VERSIONS: u64 = 43;
/// ServerHello.random of a HelloRetryRequest (RFC 8446, section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Bytes of a stream of handshake messages that is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Messages {
    buffer: Vec<u8>,
}

impl Messages {
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message: its type and what is in it.
    pub(super) fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        let [typ, a, b, c, ..] = self.buffer[..] else { return None };
        let end = 4 + usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
        let body = self.buffer.get(4..end)?.to_vec();
        self.buffer.drain(..end);
        Some((typ, body))
    }
}

/// What matters of a ClientHello: its random, and what it offers.
pub(super) fn client_hello(body: &[u8]) -> Option<([u8; 32], Offered)> {
    let mut cursor = Cursor::new(body);
    cursor.take(2, "legacy_version").ok()?;
    let random = cursor.take(32, "random").ok()?.rest().try_into().ok()?;
    // Without extensions it is of a time before TLS 1.3.
    Some((random, offered(&mut cursor).unwrap_or_default()))
}

fn offered(cursor: &mut Cursor<'_>) -> Result<Offered, Broken> {
    cursor.vector(1, "legacy_session_id")?;
    cursor.vector(2, "cipher_suites")?;
    cursor.vector(1, "legacy_compression_methods")?;
    let mut offered = Offered::default();
    extensions(cursor, |typ, mut extension| {
        offered.extensions.push(u16::try_from(typ).unwrap_or_default());
        if typ == SIGNATURE_ALGORITHMS
            && let Ok(mut list) = extension.vector(2, "supported_signature_algorithms")
        {
            while let Ok(scheme) = list.number(2, "a signature scheme") {
                offered.signature_algorithms.push(u16::try_from(scheme).unwrap_or_default());
            }
        }
    })?;
    Ok(offered)
}

/// What a server chooses in its ServerHello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerHello {
    pub(super) random: [u8; 32],
    pub(super) suite: u16,
    pub(super) is_tls13: bool,
    /// Of TLS 1.2 alone.
    pub(super) alpn: Option<Vec<u8>>,
}

/// Nothing for a HelloRetryRequest, which chooses nothing that matters here.
pub(super) fn server_hello(body: &[u8]) -> Option<ServerHello> {
    parse_server_hello(&mut Cursor::new(body)).ok().filter(|hello| hello.random != RETRY)
}

fn parse_server_hello(cursor: &mut Cursor<'_>) -> Result<ServerHello, Broken> {
    cursor.take(2, "legacy_version")?;
    let random = cursor.take(32, "random")?.rest();
    let random = random.try_into().map_err(|_| cursor.broken("random"))?;
    cursor.vector(1, "legacy_session_id_echo")?;
    let suite = u16::try_from(cursor.number(2, "cipher_suite")?).unwrap_or_default();
    cursor.take(1, "legacy_compression_method")?;
    let mut hello = ServerHello { random, suite, is_tls13: false, alpn: None };
    if !cursor.is_empty() {
        extensions(cursor, |typ, mut extension| {
            if typ == SUPPORTED_VERSIONS {
                hello.is_tls13 = extension.rest() == [3, 4];
            } else if typ == ALPN {
                hello.alpn = chosen_protocol(&mut extension).ok();
            }
        })?;
    }
    Ok(hello)
}

/// The protocol that EncryptedExtensions names.
pub(super) fn encrypted_alpn(body: &[u8]) -> Option<Vec<u8>> {
    let mut alpn = None;
    let all = extensions(&mut Cursor::new(body), |typ, mut extension| {
        if typ == ALPN {
            alpn = chosen_protocol(&mut extension).ok();
        }
    });
    all.ok().and(alpn)
}

fn chosen_protocol(extension: &mut Cursor<'_>) -> Result<Vec<u8>, Broken> {
    let mut list = extension.vector(2, "protocol_name_list")?;
    Ok(list.vector(1, "ProtocolName")?.rest().to_vec())
}

fn extensions<'a>(
    cursor: &mut Cursor<'a>,
    mut each: impl FnMut(u64, Cursor<'a>),
) -> Result<(), Broken> {
    let mut list = cursor.vector(2, "extensions")?;
    while !list.is_empty() {
        let typ = list.number(2, "extension_type")?;
        each(typ, list.vector(2, "extension_data")?);
    }
    Ok(())
}

#[cfg(feature = "fuzzing")]
pub(super) fn fuzz(input: &[u8]) {
    let mut messages = Messages::default();
    messages.put(input);
    while let Some((_, body)) = messages.take() {
        let _parsed = (client_hello(&body), server_hello(&body), encrypted_alpn(&body));
    }
}
