//! What binds authenticators to a connection (RFC 9261, section 5.1).

use std::fmt;

use aws_lc_rs::{digest, hmac};

use super::message;

/// The hash of the connection's cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
}

impl Hash {
    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
        }
    }

    /// Bytes of its output.
    pub fn output_len(self) -> usize {
        self.digest().output_len()
    }
}

/// The side that an authenticator comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// The four exported values.
#[derive(Clone)]
pub struct Secrets {
    hash: Hash,
    client: Half,
    server: Half,
}

#[derive(Clone)]
struct Half {
    handshake_context: Vec<u8>,
    finished_key: Vec<u8>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl Secrets {
    /// Asks an exporter, which fills the buffer for a label and an empty context.
    pub fn export<E>(
        hash: Hash,
        mut exporter: impl FnMut(&mut [u8], &[u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut value = |label: &[u8]| {
            let mut value = vec![0; hash.output_len()];
            exporter(&mut value, label)?;
            Ok(value)
        };
        let client = Half {
            handshake_context: value(b"EXPORTER-client authenticator handshake context")?,
            finished_key: value(b"EXPORTER-client authenticator finished key")?,
        };
        let server = Half {
            handshake_context: value(b"EXPORTER-server authenticator handshake context")?,
            finished_key: value(b"EXPORTER-server authenticator finished key")?,
        };
        Ok(Self { hash, client, server })
    }

    /// The hash that they are as long as.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Handshake Context and Finished MAC Key of a side.
    pub(crate) fn values(&self, side: Side) -> (&[u8], &[u8]) {
        let half = self.half(side);
        (&half.handshake_context, &half.finished_key)
    }

    fn half(&self, side: Side) -> &Half {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    /// Hash(Handshake Context || messages), for the given side.
    pub fn transcript(&self, side: Side, messages: &[&[u8]]) -> Vec<u8> {
        let mut context = digest::Context::new(self.hash.digest());
        context.update(&self.half(side).handshake_context);
        for message in messages {
            context.update(message);
        }
        context.finish().as_ref().to_vec()
    }

    /// The Finished message over these messages.
    pub fn finished(&self, side: Side, messages: &[&[u8]]) -> Vec<u8> {
        let key = hmac::Key::new(self.hash.hmac(), &self.half(side).finished_key);
        let tag = hmac::sign(&key, &self.transcript(side, messages));
        message::encode(message::FINISHED, tag.as_ref())
    }
}
