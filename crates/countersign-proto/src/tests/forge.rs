//! Authenticators that nobody would make: put together byte by byte.

use exported_authenticator::AuthenticatorRequest;
use rustls::SignatureScheme;

use super::fixtures::alice;

/// An authenticator that decodes, with a signature and a MAC that are made up.
pub(super) struct Forgery {
    context: Vec<u8>,
    /// Certificates and the bytes of their extensions.
    pub(super) certificates: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) scheme: SignatureScheme,
}

impl Forgery {
    /// Alice's certificates in answer to `request`.
    pub(super) fn of(request: &AuthenticatorRequest) -> Self {
        Self {
            context: request.context().to_vec(),
            certificates: alice()
                .chain()
                .certificates()
                .iter()
                .map(|certificate| (certificate.to_vec(), Vec::new()))
                .collect(),
            scheme: SignatureScheme::ECDSA_NISTP256_SHA256,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut list = Vec::new();
        for (certificate, extensions) in &self.certificates {
            list.extend(vector(3, certificate));
            list.extend(vector(2, extensions));
        }
        let certificate = [vector(1, &self.context), vector(3, &list)].concat();
        let scheme = u16::from(self.scheme).to_be_bytes().to_vec();
        let verify = [scheme, vector(2, &[0x30, 6, 2, 1, 1, 2, 1, 1])].concat();
        [message(11, &certificate), message(15, &verify), message(20, &[0; 32])].concat()
    }
}

/// The same bytes but for one bit.
pub(super) fn with_byte_flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

fn message(typ: u8, body: &[u8]) -> Vec<u8> {
    [vec![typ], vector(3, body)].concat()
}

fn vector(width: usize, body: &[u8]) -> Vec<u8> {
    let len = body.len().to_be_bytes();
    [&len[len.len() - width..], body].concat()
}
