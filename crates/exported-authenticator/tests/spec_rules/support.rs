//! Known exporter values, handshake messages put together by hand, and the RFC's formulas.

use std::sync::Arc;

use countersign_pki::{Authority, Issued, KeyKind, Leaf};
use exported_authenticator::{
    AuthenticatorHash, AuthenticatorRequest, Chain, Connection, Credential, ExporterValues,
    MessageType, Offered, RequestTemplate, Role, TLS13_SCHEMES,
};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, sign::any_supported_type};
use rustls::crypto::tls13::OkmBlock;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::{SignatureScheme, SupportedCipherSuite, Tls13CipherSuite};

pub(crate) const CONTEXT: &[u8] = &[0xc0; 32];
pub(crate) const CERTIFICATE: u8 = 11;
pub(crate) const CERTIFICATE_VERIFY: u8 = 15;
pub(crate) const FINISHED: u8 = 20;

pub(crate) fn provider() -> CryptoProvider {
    default_provider()
}

pub(crate) fn algorithms() -> WebPkiSupportedAlgorithms {
    provider().signature_verification_algorithms
}

/// A connection whose exporter gave these bytes for these labels.
#[derive(Clone, Copy)]
pub(crate) struct Secrets {
    pub(crate) suite: SupportedCipherSuite,
    /// Tells one connection from another.
    pub(crate) seed: u8,
}

pub(crate) const SHA256: Secrets =
    Secrets { suite: cipher_suite::TLS13_AES_128_GCM_SHA256, seed: 0 };
pub(crate) const SHA384: Secrets =
    Secrets { suite: cipher_suite::TLS13_AES_256_GCM_SHA384, seed: 0 };

impl Secrets {
    fn tls13(self) -> &'static Tls13CipherSuite {
        self.suite.tls13().unwrap()
    }

    pub(crate) fn hash(self, data: &[u8]) -> Vec<u8> {
        let hash = self.tls13().common.hash_provider;
        hash.hash(data).as_ref().to_vec()
    }

    /// The exported value for `label`.
    pub(crate) fn exported(self, label: &str) -> Vec<u8> {
        self.hash(&[label.as_bytes(), &[self.seed]].concat())
    }

    pub(crate) fn handshake_context(self, sender: Role) -> Vec<u8> {
        self.exported(match sender {
            Role::Client => "EXPORTER-client authenticator handshake context",
            Role::Server => "EXPORTER-server authenticator handshake context",
        })
    }

    fn finished_key(self, sender: Role) -> Vec<u8> {
        self.exported(match sender {
            Role::Client => "EXPORTER-client authenticator finished key",
            Role::Server => "EXPORTER-server authenticator finished key",
        })
    }

    /// HMAC(Finished MAC Key, Hash(Handshake Context || messages)).
    pub(crate) fn finished(self, sender: Role, messages: &[&[u8]]) -> Vec<u8> {
        let transcript = self.transcript(sender, messages);
        let key = OkmBlock::new(&self.finished_key(sender));
        let tag = self.tls13().hkdf_provider.hmac_sign(&key, &transcript);
        tag.as_ref().to_vec()
    }

    /// Hash(Handshake Context || messages).
    pub(crate) fn transcript(self, sender: Role, messages: &[&[u8]]) -> Vec<u8> {
        self.hash(&[self.handshake_context(sender), messages.concat()].concat())
    }

    pub(crate) fn values(self) -> Arc<ExporterValues> {
        let hash = AuthenticatorHash::of_suite(self.suite, &provider()).unwrap();
        let values = ExporterValues::from_exporter(hash, |output, label, _context| {
            let value = self.exported(std::str::from_utf8(label).unwrap());
            output.copy_from_slice(&value);
            Ok::<(), ()>(())
        });
        Arc::new(values.unwrap())
    }

    pub(crate) fn connection(self, role: Role) -> Connection {
        Connection::new(self.values(), role, algorithms())
    }

    /// An authenticator put together by hand around `certificate`, signed by `key` with `scheme`.
    pub(crate) fn forge(
        self,
        sender: Role,
        request: &[u8],
        certificate: &[u8],
        signer: &Credential,
        scheme: SignatureScheme,
    ) -> Vec<u8> {
        let signed = [
            &[0x20; 64][..],
            b"Exported Authenticator\0",
            &self.transcript(sender, &[request, certificate]),
        ]
        .concat();
        let signer = signer.key().choose_scheme(&[scheme]).unwrap();
        let signature = signer.sign(&signed).unwrap();
        self.forge_signed(sender, request, certificate, scheme, &signature)
    }

    pub(crate) fn forge_signed(
        self,
        sender: Role,
        request: &[u8],
        certificate: &[u8],
        scheme: SignatureScheme,
        signature: &[u8],
    ) -> Vec<u8> {
        let verify = message(
            CERTIFICATE_VERIFY,
            &[&u16::from(scheme).to_be_bytes(), &vector(2, signature)[..]].concat(),
        );
        let mac = self.finished(sender, &[request, certificate, &verify]);
        [certificate, &verify, &message(FINISHED, &mac)].concat()
    }
}

/// Both ends of one connection.
pub(crate) struct Pair {
    pub(crate) client: Connection,
    pub(crate) server: Connection,
}

pub(crate) fn pair(secrets: Secrets) -> Pair {
    Pair { client: secrets.connection(Role::Client), server: secrets.connection(Role::Server) }
}

impl Pair {
    /// The server asks for what `template` says, and the client hears it.
    pub(crate) fn ask(
        &mut self,
        template: &RequestTemplate,
        context: &[u8],
    ) -> AuthenticatorRequest {
        let typ = MessageType::ClientCertificateRequest;
        let request = self.server.request(template, typ, context).unwrap();
        self.client.receive_request(request.as_bytes()).unwrap()
    }
}

/// A handshake message.
pub(crate) fn message(typ: u8, body: &[u8]) -> Vec<u8> {
    [&[typ][..], &vector(3, body)].concat()
}

/// `body` behind its length in `width` bytes.
pub(crate) fn vector(width: usize, body: &[u8]) -> Vec<u8> {
    let len = body.len().to_be_bytes();
    [&len[len.len() - width..], body].concat()
}

/// An extension.
pub(crate) fn extension(typ: u16, body: &[u8]) -> Vec<u8> {
    [&typ.to_be_bytes()[..], &vector(2, body)].concat()
}

/// The extension signature_algorithms.
pub(crate) fn signature_algorithms(schemes: &[SignatureScheme]) -> Vec<u8> {
    let list: Vec<u8> =
        schemes.iter().flat_map(|scheme| u16::from(*scheme).to_be_bytes()).collect();
    extension(13, &vector(2, &list))
}

/// A request of type `typ` with these extensions, already encoded.
pub(crate) fn request_message(typ: u8, context: &[u8], extensions: &[u8]) -> Vec<u8> {
    message(typ, &[vector(1, context), vector(2, extensions)].concat())
}

/// A Certificate message with the chain of `credential`, its leaf with `extensions`.
pub(crate) fn certificate_message(
    context: &[u8],
    credential: &Credential,
    extensions: &[u8],
) -> Vec<u8> {
    let mut list = Vec::new();
    for (index, certificate) in credential.chain().certificates().iter().enumerate() {
        list.extend(vector(3, certificate));
        list.extend(vector(2, if index == 0 { extensions } else { &[] }));
    }
    message(CERTIFICATE, &[vector(1, context), vector(3, &list)].concat())
}

/// The messages of an authenticator: type, body, whole.
pub(crate) fn messages(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>, Vec<u8>)> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let len = u32::from_be_bytes([0, bytes[1], bytes[2], bytes[3]]) as usize + 4;
        messages.push((bytes[0], bytes[4..len].to_vec(), bytes[..len].to_vec()));
        bytes = &bytes[len..];
    }
    messages
}

pub(crate) fn authority() -> Authority {
    let root = Authority::root("Users", KeyKind::P256).unwrap();
    root.intermediate("Users 1", KeyKind::P256).unwrap()
}

pub(crate) fn credential_of(issued: &Issued) -> Credential {
    let chain = Chain::new(issued.chain.clone()).unwrap();
    Credential::new(chain, any_supported_type(&issued.key).unwrap()).unwrap()
}

pub(crate) fn credential() -> Credential {
    credential_with(KeyKind::P256)
}

pub(crate) fn credential_with(key: KeyKind) -> Credential {
    let leaf = Leaf::client("alice").dns("alice.example.test").key(key);
    credential_of(&authority().issue(&leaf).unwrap())
}

/// Asks for any certificate, signed with anything.
pub(crate) fn anything() -> RequestTemplate {
    RequestTemplate::new(TLS13_SCHEMES.to_vec())
}

/// A ClientHello that offers every scheme and no further extension.
pub(crate) fn offered() -> Offered {
    Offered { signature_algorithms: TLS13_SCHEMES.to_vec(), extensions: Vec::new() }
}
