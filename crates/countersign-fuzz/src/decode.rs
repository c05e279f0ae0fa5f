//! The decoder, on bytes and on captures.

use std::io::Write;
use std::sync::{Arc, Mutex};

use countersign_decode::capture::{Capture, KeyLog, fuzzing};
use countersign_decode::{Explainer, Form};
use etherparse::PacketBuilder;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
};

use crate::seeds;

/// As each form; and as what is behind a capture's encryption.
pub(crate) fn bytes(input: &[u8]) {
    for form in [Form::Messages, Form::Requests, Form::Http2, Form::Http3] {
        let (_, broken) = Explainer::default().explain(form, input);
        assert!(broken.is_none_or(|broken| broken.at <= input.len()), "beyond the end");
    }
    let _any = Form::guess(input);
    fuzzing::decrypted(input);
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let frame = |payload: Vec<u8>, typ: u8| {
        let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
        let [_, high, middle, low] = length;
        [vec![high, middle, low, typ, 0, 0, 0, 0, 0], payload].concat()
    };
    let requests = seeds::request_lists().into_iter().map(|list| frame(list, 0xf5));
    let answers = seeds::authenticators().into_iter().map(|one| frame(one, 0xf6));
    requests.chain(answers).chain(seeds::requests()).collect()
}

/// A key log behind its length, then a capture.
pub(crate) fn capture(input: &[u8]) {
    let Some(([high, low], rest)) = input.split_first_chunk() else { return };
    let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (keys, file) = rest.split_at(length);
    if let Ok(capture) = Capture::read(file, &KeyLog::parse(keys)) {
        let explainer = Explainer { full: true, ..Explainer::default() };
        let _text = explainer.explain_capture(&capture);
    }
}

/// A connection over TLS, on which a frame is sent.
pub(crate) fn captures() -> Vec<Vec<u8>> {
    recorded().into_iter().collect()
}

#[derive(Debug, Default)]
struct Lines(Mutex<String>);

impl rustls::KeyLog for Lines {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex::encode(client_random), hex::encode(secret));
        if let Ok(mut lines) = self.0.lock() {
            lines.push_str(&line);
        }
    }
}

fn recorded() -> Option<Vec<u8>> {
    let lines = Arc::<Lines>::default();
    let (mut client, mut server) = connections(&lines)?;
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 0x0004_0000, 101] {
        file.extend(u32::to_le_bytes(word));
    }
    let [mut here, mut there] = [[127, 0, 0, 1], [127, 0, 0, 2]].map(|ip| End { ip, sequence: 1 });
    let frames = seeds().into_iter().next()?;
    for _ in 0..3 {
        pass(&mut client, &mut server, &mut here, &there, &mut file)?;
        pass(&mut server, &mut client, &mut there, &here, &mut file)?;
        if !server.is_handshaking() && !client.is_handshaking() {
            server.writer().write_all(&frames).ok()?;
        }
    }
    let keys = lines.0.lock().ok()?.clone();
    let length = u16::try_from(keys.len()).ok()?.to_be_bytes();
    Some([&length[..], keys.as_bytes(), &file].concat())
}

fn connections(lines: &Arc<Lines>) -> Option<(Connection, Connection)> {
    let root = countersign_pki::Authority::root("Servers", countersign_pki::KeyKind::P256).ok()?;
    let issued = root.issue(&countersign_pki::Leaf::server("localhost").dns("localhost")).ok()?;
    let provider = Arc::new(seeds::PROVIDER.clone());
    let mut roots = RootCertStore::empty();
    roots.add(root.root_der()).ok()?;
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    client.key_log = Arc::clone(lines) as Arc<_>;
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .ok()?
        .with_no_client_auth()
        .with_single_cert(issued.chain, issued.key)
        .ok()?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("localhost").ok()?;
    let client = ClientConnection::new(Arc::new(client), name).ok()?;
    Some((client.into(), ServerConnection::new(Arc::new(server)).ok()?.into()))
}

/// An end of a connection of TCP.
struct End {
    ip: [u8; 4],
    /// The number of the next byte from here.
    sequence: u32,
}

/// What `from` has to send goes to `to` and into the file, as one segment.
fn pass(
    from: &mut Connection,
    to: &mut Connection,
    here: &mut End,
    there: &End,
    file: &mut Vec<u8>,
) -> Option<()> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).ok()?;
    }
    let mut packet = Vec::new();
    PacketBuilder::ipv4(here.ip, there.ip, 64)
        .tcp(443, 443, here.sequence, u16::MAX)
        .write(&mut packet, &bytes)
        .ok()?;
    here.sequence = here.sequence.wrapping_add(u32::try_from(bytes.len()).ok()?);
    let length = u32::try_from(packet.len()).ok()?;
    for word in [0, 0, length, length] {
        file.extend(word.to_le_bytes());
    }
    file.extend(packet);
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).ok()?;
        to.process_new_packets().ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capture_that_is_begun_with_is_sound() {
        let seed = recorded().unwrap();
        let ([high, low], rest) = seed.split_first_chunk().unwrap();
        let (keys, file) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        let capture = Capture::read(file, &KeyLog::parse(keys)).unwrap();
        let text = Explainer::default().explain_capture(&capture);
        assert!(text.contains("AUTHENTICATOR_REQUESTS") && !text.contains('!'), "{text}");
    }
}
