//! Authenticators to be sent, and what can be wrong with them.

use super::message;
use super::request::Request;
use super::secrets::{Secrets, Side};
use crate::bytes::vector;
use crate::case::{Done, failed, skipped};
use crate::identity::Identity;

/// What CertificateVerify's signature begins with, behind 64 spaces (RFC 9261, section 5.2.2).
const CONTEXT_STRING: &[u8] = b"Exported Authenticator";

/// A certificate and the extensions that come with it.
pub type Entry = (Vec<u8>, Vec<(u16, Vec<u8>)>);

/// An authenticator before it is signed. Left alone it becomes a valid one; what a case changes is signed and MACed all
/// the same, so that nothing else about it is wrong.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// The bytes of the request in the transcript.
    pub request: Vec<u8>,
    /// The context in Certificate.
    pub context: Vec<u8>,
    /// The certificates, leaf first.
    pub chain: Vec<Entry>,
    /// Whose key signs.
    pub identity: &'a Identity,
    /// The scheme that the signature is made with.
    pub signed_with: u16,
    /// The scheme that CertificateVerify names.
    pub scheme: u16,
    /// Whose handshake context the signature is over.
    pub signer: Side,
    /// Whose values the MAC is made with.
    pub finisher: Side,
    /// What the signed content begins with.
    pub context_string: &'static [u8],
    /// Another connection's values in the place of this one's for the signature, and for the MAC.
    pub stolen_signature: Option<Secrets>,
    /// The same for the MAC.
    pub stolen_finished: Option<Secrets>,
    /// Flips a bit of the signature before the MAC is made.
    pub break_signature: bool,
}

impl<'a> Draft<'a> {
    /// A client's valid answer to `request`. Skips the case if the identity's key has none of the schemes.
    pub fn answer(request: &Request, identity: &'a Identity) -> Done<Self> {
        let offered = request.schemes();
        let Some(scheme) = identity.key.schemes().iter().find(|scheme| offered.contains(scheme))
        else {
            return skipped(
                "the server's request offers no signature scheme for the identity's key",
            );
        };
        let draft = Self::new(&request.bytes, &request.context, identity, *scheme, Side::Client);
        Ok(draft)
    }

    /// What a server says of its own accord.
    pub fn spontaneous(context: &[u8], identity: &'a Identity) -> Self {
        let scheme = identity.key.schemes().first().copied().unwrap_or_default();
        Self::new(&[], context, identity, scheme, Side::Server)
    }

    /// A valid one from its parts.
    pub(crate) fn new(
        request: &[u8],
        context: &[u8],
        identity: &'a Identity,
        scheme: u16,
        side: Side,
    ) -> Self {
        Self {
            request: request.to_vec(),
            context: context.to_vec(),
            chain: identity.chain.iter().map(|der| (der.clone(), Vec::new())).collect(),
            identity,
            signed_with: scheme,
            scheme,
            signer: side,
            finisher: side,
            context_string: CONTEXT_STRING,
            stolen_signature: None,
            stolen_finished: None,
            break_signature: false,
        }
    }

    /// Signs and MACs whatever is there.
    pub fn sign(&self, secrets: &Secrets) -> Done<Vec<u8>> {
        let certificate = certificate_message(&self.context, &self.chain);
        let signing = self.stolen_signature.as_ref().unwrap_or(secrets);
        let transcript = signing.transcript(self.signer, &[&self.request, &certificate]);
        let content = signed_content(self.context_string, &transcript);
        let Some(mut signature) = self.identity.key.sign(self.signed_with, &content) else {
            return failed("the tool's own key could not sign");
        };
        if let Some(last) = signature.last_mut().filter(|_| self.break_signature) {
            *last ^= 1;
        }
        let verify = [&self.scheme.to_be_bytes()[..], &vector(2, &signature)].concat();
        let verify = message::encode(message::CERTIFICATE_VERIFY, &verify);
        let finishing = self.stolen_finished.as_ref().unwrap_or(secrets);
        let finished = finishing.finished(self.finisher, &[&self.request, &certificate, &verify]);
        Ok([certificate, verify, finished].concat())
    }
}

/// What CertificateVerify signs.
pub(super) fn signed_content(context_string: &[u8], transcript: &[u8]) -> Vec<u8> {
    [&[0x20; 64][..], context_string, &[0], transcript].concat()
}

/// What CertificateVerify signs when it is right.
pub(crate) fn right_content(transcript: &[u8]) -> Vec<u8> {
    signed_content(CONTEXT_STRING, transcript)
}

/// The empty authenticator that declines `request` (RFC 9261, section 6).
pub fn decline(secrets: &Secrets, side: Side, request: &[u8], context: &[u8]) -> Vec<u8> {
    secrets.finished(side, &[request, &certificate_message(context, &[])])
}

/// A Certificate message.
pub fn certificate_message(context: &[u8], chain: &[Entry]) -> Vec<u8> {
    let mut list = Vec::new();
    for (certificate, extensions) in chain {
        list.extend(vector(3, certificate));
        let mut encoded = Vec::new();
        for (typ, body) in extensions {
            encoded.extend(typ.to_be_bytes());
            encoded.extend(vector(2, body));
        }
        list.extend(vector(2, &encoded));
    }
    message::encode(message::CERTIFICATE, &[vector(1, context), vector(3, &list)].concat())
}
