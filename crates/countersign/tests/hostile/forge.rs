//! Authenticators put together by hand, from RFC 9261's formulas and the connection's own exporter.
//!
//! A [`Draft`] becomes a valid authenticator as long as a test leaves it alone. Whatever a test changes
//! is signed and MACed all the same, so that nothing else about it is wrong.

use std::sync::Arc;

use countersign::AuthenticatorRequest;
use countersign_proto::Role;
use countersign_testkit::pki::Issued;
use rustls::crypto::tls13::OkmBlock;
use rustls::sign::SigningKey;
use rustls::{SignatureScheme, Tls13CipherSuite};

use crate::peer::{Exporter, Wire};
use crate::people::key_of;

const CERTIFICATE: u8 = 11;
const CERTIFICATE_REQUEST: u8 = 17;
const CERTIFICATE_VERIFY: u8 = 15;
const FINISHED: u8 = 20;

/// The extension signature_algorithms, and status_request, which our server never asks for.
pub(crate) const SIGNATURE_ALGORITHMS: u16 = 13;
pub(crate) const STATUS_REQUEST: u16 = 5;

/// What binds authenticators to one connection, for each sender (RFC 9261, section 5.1).
pub(crate) struct Secrets {
    suite: &'static Tls13CipherSuite,
    client: Sender,
    server: Sender,
}

struct Sender {
    context: Vec<u8>,
    key: OkmBlock,
}

impl Secrets {
    pub(crate) fn of<S: Exporter>(wire: &Wire<S>) -> Self {
        let suite = wire.suite();
        let length = suite.common.hash_provider.output_len();
        let export = |name: String| {
            let mut value = vec![0; length];
            wire.export(&mut value, format!("EXPORTER-{name}").as_bytes());
            value
        };
        let sender = |name| Sender {
            context: export(format!("{name} authenticator handshake context")),
            key: OkmBlock::new(&export(format!("{name} authenticator finished key"))),
        };
        Self { suite, client: sender("client"), server: sender("server") }
    }

    fn of_sender(&self, role: Role) -> &Sender {
        match role {
            Role::Client => &self.client,
            Role::Server => &self.server,
        }
    }

    fn transcript(&self, role: Role, messages: &[&[u8]]) -> Vec<u8> {
        let mut hash = self.suite.common.hash_provider.start();
        hash.update(&self.of_sender(role).context);
        messages.iter().for_each(|message| hash.update(message));
        hash.finish().as_ref().to_vec()
    }

    fn finished(&self, role: Role, messages: &[&[u8]]) -> Vec<u8> {
        let transcript = self.transcript(role, messages);
        let tag = self.suite.hkdf_provider.hmac_sign(&self.of_sender(role).key, &transcript);
        message(FINISHED, tag.as_ref())
    }

    /// The empty authenticator that declines `request`.
    pub(crate) fn decline(&self, request: &AuthenticatorRequest) -> Vec<u8> {
        let certificate = certificate(request.context(), &[]);
        self.finished(Role::Client, &[request.as_bytes(), &certificate])
    }

    /// A refusal as a server would send it, if there were something to refuse.
    pub(crate) fn servers_decline(&self, context: &[u8]) -> Vec<u8> {
        self.finished(Role::Server, &[&certificate(context, &[])])
    }

    /// The valid answer to `request` by `issued`.
    pub(crate) fn answer(&self, request: &AuthenticatorRequest, issued: &Issued) -> Vec<u8> {
        Draft::of(request, issued).sign(self)
    }
}

/// A certificate and the extensions that come with it.
pub(crate) type Entry = (Vec<u8>, Vec<(u16, Vec<u8>)>);

/// An authenticator before it is signed.
pub(crate) struct Draft {
    /// The bytes of the request in the transcript.
    pub(crate) request: Vec<u8>,
    pub(crate) context: Vec<u8>,
    pub(crate) chain: Vec<Entry>,
    pub(crate) key: Arc<dyn SigningKey>,
    /// What signs, and what CertificateVerify says.
    pub(crate) signed_with: SignatureScheme,
    pub(crate) scheme: SignatureScheme,
    /// Whose handshake context the signature is over, and whose values the MAC is made with.
    pub(crate) signer: Role,
    pub(crate) finisher: Role,
    /// Flips a bit of the signature before the MAC is made.
    pub(crate) break_signature: bool,
}

impl Draft {
    /// The valid answer to `request` by `issued`.
    pub(crate) fn of(request: &AuthenticatorRequest, issued: &Issued) -> Self {
        let key = key_of(issued);
        let scheme = *request
            .signature_algorithms()
            .iter()
            .find(|scheme| key.choose_scheme(&[**scheme]).is_some())
            .unwrap();
        Self {
            request: request.as_bytes().to_vec(),
            context: request.context().to_vec(),
            chain: issued.chain.iter().map(|one| (one.to_vec(), Vec::new())).collect(),
            key,
            signed_with: scheme,
            scheme,
            signer: Role::Client,
            finisher: Role::Client,
            break_signature: false,
        }
    }

    /// What the server `issued` says of its own accord, valid on a connection that offered
    /// ecdsa_secp256r1_sha256.
    pub(crate) fn spontaneous(context: &[u8], issued: &Issued) -> Self {
        let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
        Self {
            request: Vec::new(),
            context: context.to_vec(),
            chain: issued.chain.iter().map(|one| (one.to_vec(), Vec::new())).collect(),
            key: key_of(issued),
            signed_with: scheme,
            scheme,
            signer: Role::Server,
            finisher: Role::Server,
            break_signature: false,
        }
    }

    /// Signs and MACs whatever is there.
    pub(crate) fn sign(&self, secrets: &Secrets) -> Vec<u8> {
        let certificate = certificate(&self.context, &self.chain);
        let transcript = secrets.transcript(self.signer, &[&self.request, &certificate]);
        let signed = [&[0x20; 64][..], b"Exported Authenticator\0", &transcript].concat();
        let signer = self.key.choose_scheme(&[self.signed_with]).unwrap();
        let mut signature = signer.sign(&signed).unwrap();
        if self.break_signature {
            *signature.last_mut().unwrap() ^= 1;
        }
        let scheme = u16::from(self.scheme).to_be_bytes();
        let verify = message(CERTIFICATE_VERIFY, &[&scheme[..], &vector(2, &signature)].concat());
        let finished = secrets.finished(self.finisher, &[&self.request, &certificate, &verify]);
        [certificate, verify, finished].concat()
    }
}

fn certificate(context: &[u8], chain: &[Entry]) -> Vec<u8> {
    let mut list = Vec::new();
    for (certificate, extensions) in chain {
        list.extend(vector(3, certificate));
        list.extend(extension_list(extensions));
    }
    message(CERTIFICATE, &[vector(1, context), vector(3, &list)].concat())
}

fn extension_list(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let list: Vec<u8> = extensions
        .iter()
        .flat_map(|(typ, body)| [typ.to_be_bytes().to_vec(), vector(2, body)].concat())
        .collect();
    vector(2, &list)
}

/// A request of any extensions, in the shape of RFC 9261, section 4.
pub(crate) fn request(context: &[u8], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    message(CERTIFICATE_REQUEST, &[vector(1, context), extension_list(extensions)].concat())
}

/// A good request with this number in its context.
pub(crate) fn good_request(number: u16) -> Vec<u8> {
    let mut context = [0xc0; 32];
    context[..2].copy_from_slice(&number.to_be_bytes());
    request(&context, &[any_ecdsa(), filler()])
}

/// signature_algorithms with ecdsa_secp256r1_sha256.
pub(crate) fn any_ecdsa() -> (u16, Vec<u8>) {
    (SIGNATURE_ALGORITHMS, vector(2, &[0x04, 0x03]))
}

/// An extension that nobody knows, so that requests have a length of two bytes.
pub(crate) fn filler() -> (u16, Vec<u8>) {
    (0xfafa, vec![0; 32])
}

fn message(typ: u8, body: &[u8]) -> Vec<u8> {
    [&[typ][..], &vector(3, body)].concat()
}

/// `body` behind its length in `width` bytes.
pub(crate) fn vector(width: usize, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u64).to_be_bytes();
    [&length[8 - width..], body].concat()
}
