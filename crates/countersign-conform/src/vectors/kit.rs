//! What the vectors are made with: connections, keys, and an authenticator that is right but for what a case changes.

use std::convert::Infallible;

use countersign_pki::KeyKind;

use super::pki::{Authority, Leaf, Made, SERVER_NAME};
use super::{ClientHello, Hex, Vector};
use crate::authenticator::{
    Draft, Entry, Hash, Request, Secrets, Side, certificate_message, decline, extension, message,
};
use crate::bytes::vector;
use crate::case::Done;

/// Every scheme of TLS 1.3 that the vectors sign with.
pub(super) const ALL_SCHEMES: [u16; 10] =
    [0x0807, 0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0904, 0x0905, 0x0906];

/// The keys that most vectors share.
pub(super) struct Kit {
    pub(super) root: Authority,
    pub(super) below: Authority,
    pub(super) ed25519: Made,
    pub(super) p256: Made,
    pub(super) rsa: Made,
    pub(super) stranger: Made,
}

impl Kit {
    pub(super) fn new() -> Result<Self, String> {
        let root = Authority::root(KeyKind::Ed25519)?;
        let below = root.below(KeyKind::Ed25519)?;
        let nobody = Authority::root(KeyKind::Ed25519)?;
        Ok(Self {
            ed25519: root.issue(&Leaf::of(KeyKind::Ed25519))?,
            p256: root.issue(&Leaf::of(KeyKind::P256))?,
            rsa: root.issue(&Leaf::of(KeyKind::Rsa2048))?,
            stranger: nobody.issue(&Leaf::of(KeyKind::Ed25519))?,
            root,
            below,
        })
    }
}

/// A connection's name, with the values that a TLS exporter would have given for it.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) tag: String,
    pub(super) secrets: Secrets,
}

impl Connection {
    pub(super) fn new(tag: &str, hash: Hash) -> Self {
        let tag = format!("{tag}-{}", hash_name(hash));
        let secrets = Secrets::export(hash, |output, label| {
            let input = [b"countersign vectors ", tag.as_bytes(), b" ", label].concat();
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, &input);
            for (to, from) in output.iter_mut().zip(digest.as_ref()) {
                *to = *from;
            }
            Ok::<(), Infallible>(())
        });
        let Ok(secrets) = secrets;
        Self { tag, secrets }
    }
}

pub(super) fn hash_name(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha256 => "sha256",
        Hash::Sha384 => "sha384",
    }
}

pub(super) fn side_name(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

/// 32 bytes that belong to `name`.
pub(super) fn context(name: &str) -> Vec<u8> {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    digest.as_ref().to_vec()
}

/// A request with nothing in it but signature_algorithms.
pub(super) fn plain_request(typ: u8, context: &[u8], schemes: &[u16]) -> Request {
    Request::new(typ, context, &[Request::algorithms(schemes)])
}

/// What rustls' ClientHello offers, as far as it matters.
pub(super) fn client_hello() -> ClientHello {
    ClientHello {
        signature_algorithms: ALL_SCHEMES.to_vec(),
        extensions: vec![extension::SIGNATURE_ALGORITHMS, extension::STATUS_REQUEST],
    }
}

/// An accepted case, from which the refused ones differ in one thing.
#[derive(Clone)]
pub(super) struct Recipe<'a> {
    pub(super) name: String,
    pub(super) note: String,
    pub(super) connection: Connection,
    pub(super) side: Side,
    /// None where a server speaks unasked.
    pub(super) request: Option<Request>,
    pub(super) context: Vec<u8>,
    pub(super) made: &'a Made,
    pub(super) chain: Vec<Entry>,
    pub(super) scheme: u16,
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) used: Vec<Vec<u8>>,
}

impl<'a> Recipe<'a> {
    /// An answer to a request of message type 17 for everything.
    pub(super) fn new(name: &str, side: Side, hash: Hash, made: &'a Made) -> Self {
        let context = context(name);
        let request = plain_request(message::CLIENT_CERTIFICATE_REQUEST, &context, &ALL_SCHEMES);
        Self {
            name: name.to_owned(),
            note: String::new(),
            connection: Connection::new("vectors", hash),
            side,
            request: Some(request),
            context,
            made,
            chain: made.identity.chain.iter().map(|der| (der.clone(), Vec::new())).collect(),
            scheme: made.identity.key.schemes().first().copied().unwrap_or_default(),
            roots: vec![made.root.clone()],
            used: Vec::new(),
        }
    }

    /// The same from a server that was not asked.
    pub(super) fn spontaneous(name: &str, hash: Hash, made: &'a Made) -> Self {
        Self { request: None, ..Self::new(name, Side::Server, hash, made) }
    }

    pub(super) fn note(mut self, note: &str) -> Self {
        note.clone_into(&mut self.note);
        self
    }

    pub(super) fn with_request(mut self, request: Request) -> Self {
        self.context.clone_from(&request.context);
        self.request = Some(request);
        self
    }

    pub(super) fn with_scheme(mut self, scheme: u16) -> Self {
        self.scheme = scheme;
        self
    }

    pub(super) fn request_bytes(&self) -> &[u8] {
        self.request.as_ref().map(|request| &request.bytes[..]).unwrap_or_default()
    }

    /// What is signed and MACed, to be changed before.
    pub(super) fn draft(&self) -> Draft<'a> {
        let identity = &self.made.identity;
        let mut draft =
            Draft::new(self.request_bytes(), &self.context, identity, self.scheme, self.side);
        draft.chain.clone_from(&self.chain);
        draft
    }

    /// The Certificate message.
    pub(super) fn certificate(&self) -> Vec<u8> {
        certificate_message(&self.context, &self.chain)
    }

    /// CertificateVerify for a Certificate message.
    pub(super) fn verify(&self, certificate: &[u8]) -> Result<Vec<u8>, String> {
        let transcript =
            self.connection.secrets.transcript(self.side, &[self.request_bytes(), certificate]);
        let content = crate::authenticator::right_content(&transcript);
        let signature = self.made.identity.key.sign(self.scheme, &content);
        let signature = signature.ok_or("the tool's own key could not sign")?;
        Ok(verify_message(self.scheme, &signature))
    }

    /// Finished over the two messages.
    pub(super) fn finished(&self, certificate: &[u8], verify: &[u8]) -> Vec<u8> {
        self.connection.secrets.finished(self.side, &[self.request_bytes(), certificate, verify])
    }

    /// A Certificate message of any kind, signed and MACed.
    pub(super) fn around(&self, certificate: &[u8]) -> Result<Vec<u8>, String> {
        let verify = self.verify(certificate)?;
        Ok(self.join(certificate, &verify))
    }

    /// Any two messages, MACed.
    pub(super) fn join(&self, certificate: &[u8], verify: &[u8]) -> Vec<u8> {
        [certificate, verify, &self.finished(certificate, verify)].concat()
    }

    /// The right authenticator.
    pub(super) fn right(&self) -> Result<Vec<u8>, String> {
        signed(&self.draft(), &self.connection.secrets)
    }

    /// The empty authenticator.
    pub(super) fn declined(&self) -> Vec<u8> {
        decline(&self.connection.secrets, self.side, self.request_bytes(), &self.context)
    }

    fn vector(&self, name: &str, expect: &str, note: &str, authenticator: Vec<u8>) -> Vector {
        let (handshake_context, finished_key) = self.connection.secrets.values(self.side);
        let server = self.side == Side::Server;
        let hexes = |list: &[Vec<u8>]| list.iter().cloned().map(Hex).collect::<Vec<_>>();
        Vector {
            name: name.to_owned(),
            op: "validate".to_owned(),
            expect: expect.to_owned(),
            note: note.to_owned(),
            connection: self.connection.tag.clone(),
            hash: hash_name(self.connection.secrets.hash()).to_owned(),
            role: side_name(self.side).to_owned(),
            handshake_context: handshake_context.into(),
            finished_key: finished_key.into(),
            request: self.request_bytes().into(),
            authenticator: authenticator.into(),
            client_hello: self.request.is_none().then(client_hello),
            roots: hexes(&self.roots),
            server_name: if server { SERVER_NAME.to_owned() } else { String::new() },
            used_contexts: hexes(&self.used),
            ..Vector::default()
        }
    }

    /// The accepted case itself.
    pub(super) fn accepted(&self) -> Result<Vector, String> {
        let mut vector = self.vector(&self.name, "ok", &self.note, self.right()?);
        let extended = self.chain.iter().any(|(_, extensions)| !extensions.is_empty());
        if self.scheme == 0x0807 && self.request.is_some() && !extended {
            vector.deterministic = true;
            vector.key_pkcs8 = Some(self.made.pkcs8.clone().into());
            vector.chain = self.chain.iter().map(|(der, _)| der.clone().into()).collect();
        }
        Ok(vector)
    }

    /// The valid refusal to authenticate.
    pub(super) fn empty(&self) -> Vector {
        let mut vector = self.vector(&self.name, "empty", &self.note, self.declined());
        vector.deterministic = true;
        vector.roots.clear();
        vector
    }

    /// A refused case with these bytes.
    pub(super) fn refused(&self, fault: &str, expect: &str, note: &str, bytes: Vec<u8>) -> Vector {
        let mut vector =
            self.vector(&format!("refused-{}-{fault}", self.name), expect, note, bytes);
        vector.twin.clone_from(&self.name);
        vector
    }

    /// A refused case that is signed and MACed after one change.
    pub(super) fn changed(
        &self,
        fault: &str,
        expect: &str,
        note: &str,
        change: impl FnOnce(&mut Draft<'a>),
    ) -> Result<Vector, String> {
        let mut draft = self.draft();
        change(&mut draft);
        Ok(self.refused(fault, expect, note, signed(&draft, &self.connection.secrets)?))
    }
}

/// A CertificateVerify message.
pub(super) fn verify_message(scheme: u16, signature: &[u8]) -> Vec<u8> {
    let body = [&scheme.to_be_bytes()[..], &vector(2, signature)].concat();
    message::encode(message::CERTIFICATE_VERIFY, &body)
}

fn signed(draft: &Draft<'_>, secrets: &Secrets) -> Result<Vec<u8>, String> {
    let signed: Done<Vec<u8>> = draft.sign(secrets);
    signed.map_err(|stop| format!("{stop:?}"))
}
