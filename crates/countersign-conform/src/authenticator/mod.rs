//! Authenticators (RFC 9261), from the formulas of the RFC.
//!
//! Nothing is optimised and nothing is hidden: every part can be made wrong, and every check left out, for that is what
//! a tester and a peer that is broken on purpose need.

mod check;
mod draft;
mod key;
mod request;
mod secrets;

pub use self::check::{Check, Proof, check};
pub(crate) use self::draft::right_content;
pub use self::draft::{Draft, Entry, certificate_message, decline};
pub use self::key::{Key, SCHEMES, Scheme, scheme_name};
pub use self::request::{Request, extension};
pub use self::secrets::{Hash, Secrets, Side};

/// Handshake types (RFC 8446, section 4; RFC 9261, section 8.3).
pub mod message {
    #![expect(missing_docs, reason = "the names are those of the specification")]
    pub const CERTIFICATE: u8 = 11;
    pub const CERTIFICATE_REQUEST: u8 = 13;
    pub const CERTIFICATE_VERIFY: u8 = 15;
    pub const CLIENT_CERTIFICATE_REQUEST: u8 = 17;
    pub const FINISHED: u8 = 20;

    /// A message with its type and its length of three bytes.
    pub fn encode(typ: u8, body: &[u8]) -> Vec<u8> {
        [&[typ][..], &crate::bytes::vector(3, body)].concat()
    }

    /// The whole messages at the beginning of `bytes`.
    pub(crate) fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
        let (mut reader, mut messages) = (crate::bytes::Reader(bytes), Vec::new());
        loop {
            let whole = reader.0;
            let Some(body) = reader.take(1).and_then(|_| reader.vector(3)) else {
                return messages;
            };
            messages.push(whole.iter().take(4 + body.len()).copied().collect());
        }
    }
}
