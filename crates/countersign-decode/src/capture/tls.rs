//! Records of TLS (RFC 8446, section 5; RFC 5246, section 6).

use std::time::Duration;

use super::cipher::{self, Opener, Suite, TrafficSecret};
use super::hello::{self, Messages, ServerHello};
use super::key_log::{KeyLog, MASTER_SECRET, Phase, label};
use super::{Both, Side, Story, Transport, Trouble, What};

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HEADER: usize = 5;
/// The longest fragment there is (RFC 5246, section 6.2.3).
const MAX_FRAGMENT: usize = (1 << 14) + 2048;

/// Both directions of a connection.
#[derive(Default)]
pub(super) struct Tls {
    halves: Both<Half>,
    chosen: Option<ServerHello>,
}

/// What one side sends.
#[derive(Default)]
struct Half {
    buffer: Vec<u8>,
    messages: Messages,
    state: State,
    /// Records that were opened with the present keys.
    sequence: u64,
}

#[derive(Default)]
enum State {
    #[default]
    Plain,
    /// TLS 1.3.
    Traffic {
        phase: Phase,
        secret: TrafficSecret,
        opener: Opener,
    },
    Tls12(Opener),
    /// No more of it can be read.
    Lost,
}

/// A whole record.
struct Record {
    header: [u8; HEADER],
    fragment: Vec<u8>,
}

impl Record {
    fn typ(&self) -> u8 {
        let [typ, ..] = self.header;
        typ
    }
}

impl Tls {
    /// More of what a side sends.
    pub(super) fn take(
        &mut self,
        at: Duration,
        from: Side,
        bytes: &[u8],
        keys: &KeyLog,
        story: &mut Story,
    ) {
        let half = self.halves.of_mut(from);
        if matches!(half.state, State::Lost) {
            return;
        }
        half.buffer.extend_from_slice(bytes);
        // What the server chooses tells how to read what the client has sent before.
        while [from, from.peer()].into_iter().any(|side| self.step(at, side, keys, story)) {}
    }

    /// Reads one record, if there is one that can be read.
    fn step(&mut self, at: Duration, from: Side, keys: &KeyLog, story: &mut Story) -> bool {
        let half = self.halves.of_mut(from);
        let Some(header) = half.buffer.first_chunk().copied() else { return false };
        let [typ, major, _, high, low] = header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let is_tls = (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&typ)
            && major == 3
            && length <= MAX_FRAGMENT;
        if !is_tls {
            self.lose(from, Trouble::NotTls { from }, story);
            return false;
        }
        let knows_keys = self.chosen.is_some() && story.connection.client_random.is_some();
        let waits = typ == APPLICATION_DATA && matches!(half.state, State::Plain) && !knows_keys;
        let Some(fragment) = half.buffer.get(HEADER..HEADER + length) else { return false };
        if waits {
            return false;
        }
        let record = Record { header, fragment: fragment.to_vec() };
        half.buffer.drain(..HEADER + length);
        if let Err(trouble) = self.record(at, from, record, keys, story) {
            self.lose(from, trouble, story);
        }
        true
    }

    fn lose(&mut self, from: Side, trouble: Trouble, story: &mut Story) {
        story.trouble(trouble);
        *self.halves.of_mut(from) = Half { state: State::Lost, ..Half::default() };
    }

    fn record(
        &mut self,
        at: Duration,
        from: Side,
        mut record: Record,
        keys: &KeyLog,
        story: &mut Story,
    ) -> Result<(), Trouble> {
        let half = self.halves.of_mut(from);
        match (record.typ(), &half.state) {
            // In TLS 1.3 it stands for nothing (RFC 8446, section 5).
            (CHANGE_CIPHER_SPEC, _) => self.change_cipher_spec(from, keys, story),
            (APPLICATION_DATA, State::Plain) => {
                self.traffic(from, Phase::Handshake, keys, story)?;
                self.record(at, from, record, keys, story)
            }
            (typ, State::Plain) => self.content(at, from, typ, &record.fragment, keys, story),
            (APPLICATION_DATA, State::Traffic { phase, opener, .. }) => {
                let is_early =
                    from == Side::Client && *phase == Phase::Handshake && half.sequence == 0;
                let Some(opened) = opener.open(half.sequence, &record.header, &mut record.fragment)
                else {
                    // Early data is sealed with keys of its own, and is left out.
                    return if is_early { Ok(()) } else { Err(Trouble::Undecryptable { from }) };
                };
                half.sequence += 1;
                let end = opened.iter().rposition(|byte| *byte != 0);
                let Some((typ, content)) = end.and_then(|end| opened.get(..=end)?.split_last())
                else {
                    return Err(Trouble::NotTls { from });
                };
                let (typ, content) = (*typ, content.to_vec());
                self.content(at, from, typ, &content, keys, story)
            }
            (typ, State::Tls12(opener)) => {
                let [_, major, minor, ..] = record.header;
                let opened =
                    opener.open_tls12(half.sequence, typ, [major, minor], &mut record.fragment);
                let content = opened.ok_or(Trouble::Undecryptable { from })?.to_vec();
                half.sequence += 1;
                self.content(at, from, typ, &content, keys, story)
            }
            (_, State::Traffic { .. }) => Err(Trouble::NotTls { from }),
            (_, State::Lost) => Ok(()),
        }
    }

    /// What a record says.
    fn content(
        &mut self,
        at: Duration,
        from: Side,
        typ: u8,
        content: &[u8],
        keys: &KeyLog,
        story: &mut Story,
    ) -> Result<(), Trouble> {
        match (typ, content) {
            (APPLICATION_DATA, bytes) => {
                if !bytes.is_empty() {
                    let bytes = bytes.to_vec();
                    story.tell(at, from, What::Data { stream: 0, bytes, end: false });
                }
                Ok(())
            }
            (ALERT, [_, description]) => {
                story.tell(at, from, What::Alert { description: *description });
                Ok(())
            }
            (HANDSHAKE, bytes) => {
                self.halves.of_mut(from).messages.put(bytes);
                while let Some((typ, body)) = self.halves.of_mut(from).messages.take() {
                    self.message(from, typ, &body, keys, story)?;
                }
                Ok(())
            }
            _ => Err(Trouble::NotTls { from }),
        }
    }

    fn message(
        &mut self,
        from: Side,
        typ: u8,
        body: &[u8],
        keys: &KeyLog,
        story: &mut Story,
    ) -> Result<(), Trouble> {
        match (typ, from) {
            (hello::CLIENT_HELLO, Side::Client) => story.client_hello(body),
            (hello::SERVER_HELLO, Side::Server) if self.chosen.is_none() => {
                let Some(hello) = hello::server_hello(body) else { return Ok(()) };
                let transport = if hello.is_tls13 { Transport::Tls13 } else { Transport::Tls12 };
                story.server_hello(transport, &hello);
                self.chosen = Some(hello);
            }
            (hello::ENCRYPTED_EXTENSIONS, Side::Server) => {
                story.connection.alpn = hello::encrypted_alpn(body);
            }
            (hello::FINISHED, _) if self.is_in(from, Phase::Handshake) => {
                self.traffic(from, Phase::Application, keys, story)?;
            }
            (hello::KEY_UPDATE, _) if self.is_in(from, Phase::Application) => {
                let half = self.halves.of_mut(from);
                if let State::Traffic { phase, secret, .. } = &half.state {
                    let next = secret.next().and_then(|secret| Some((secret.opener()?, secret)));
                    let (opener, secret) = next.ok_or(Trouble::Undecryptable { from })?;
                    half.state = State::Traffic { phase: *phase, secret, opener };
                    half.sequence = 0;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn is_in(&self, side: Side, expected: Phase) -> bool {
        matches!(&self.halves.of(side).state, State::Traffic { phase, .. } if *phase == expected)
    }

    /// The next keys of TLS 1.3.
    fn traffic(
        &mut self,
        from: Side,
        phase: Phase,
        keys: &KeyLog,
        story: &Story,
    ) -> Result<(), Trouble> {
        let hello = self.chosen.as_ref().filter(|hello| hello.is_tls13);
        let hello = hello.ok_or(Trouble::NotTls { from })?;
        let random = story.connection.client_random.ok_or(Trouble::NotTls { from })?;
        let suite = Suite::tls13(hello.suite).ok_or(Trouble::Suite { suite: hello.suite })?;
        let label = label(from, phase);
        let secret = keys.secret(label, &random).ok_or(Trouble::NoSecret { label, random })?;
        let secret = TrafficSecret::new(suite, secret, &cipher::TLS);
        let secret = secret.and_then(|secret| Some((secret.opener()?, secret)));
        let (opener, secret) = secret.ok_or(Trouble::Undecryptable { from })?;
        let half = self.halves.of_mut(from);
        half.state = State::Traffic { phase, secret, opener };
        half.sequence = 0;
        Ok(())
    }

    /// The keys of TLS 1.2 (RFC 5246, section 7.1).
    fn change_cipher_spec(
        &mut self,
        from: Side,
        keys: &KeyLog,
        story: &Story,
    ) -> Result<(), Trouble> {
        let Some(hello) = self.chosen.as_ref().filter(|hello| !hello.is_tls13) else {
            return Ok(());
        };
        let random = story.connection.client_random.ok_or(Trouble::NotTls { from })?;
        let suite = Suite::tls12(hello.suite).ok_or(Trouble::Suite { suite: hello.suite })?;
        let secret = keys
            .secret(MASTER_SECRET, &random)
            .ok_or(Trouble::NoSecret { label: MASTER_SECRET, random })?;
        let openers = cipher::tls12(suite, secret, &random, &hello.random);
        let [client, server] = openers.ok_or(Trouble::Undecryptable { from })?;
        let half = self.halves.of_mut(from);
        half.state = State::Tls12(match from {
            Side::Client => client,
            Side::Server => server,
        });
        half.sequence = 0;
        Ok(())
    }
}
