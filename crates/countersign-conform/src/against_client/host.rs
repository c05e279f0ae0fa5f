//! What the tool is while clients visit it: a server with certificates of many kinds.

use std::net::SocketAddr;
use std::time::Duration;

use countersign_pki::{Authority, Issued, KeyKind, KeyUsage, Leaf, PkiError};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::authenticator::Key;
use crate::code_points::CodePoints;
use crate::identity::Identity;

/// The kinds of keys that together have all schemes of the tool.
const KINDS: [KeyKind; 8] = [
    KeyKind::P256,
    KeyKind::P384,
    KeyKind::P521,
    KeyKind::Ed25519,
    KeyKind::Rsa2048,
    KeyKind::MlDsa44,
    KeyKind::MlDsa65,
    KeyKind::MlDsa87,
];

/// What the tool is while clients visit it.
#[derive(Debug)]
pub struct Host {
    /// Where it listens; port 0 is any.
    pub address: SocketAddr,
    /// The name in URLs.
    pub name: String,
    /// For TLS.
    pub chain: Vec<CertificateDer<'static>>,
    /// For TLS.
    pub key: PrivateKeyDer<'static>,
    /// The numbers in use.
    pub points: CodePoints,
    /// How long to wait for anything from a client that is there.
    pub patience: Duration,
    /// How long to wait for the client to come.
    pub visit_within: Duration,
    /// A server whose certificate may be trusted.
    pub further: Identity,
    /// The same with an RSA key.
    pub rsa: Identity,
    /// One that expired yesterday.
    pub expired: Identity,
    /// One that is valid from tomorrow.
    pub early: Identity,
    /// One for another name.
    pub other: Identity,
    /// One for the same name that is for clients.
    pub for_clients: Identity,
    /// One whose key usage is keyAgreement alone.
    pub key_agreement: Identity,
    /// One of an authority that nobody knows.
    pub stranger: Identity,
    /// One whose P-521 key signs with SHA-384, which no scheme of TLS 1.3 is for.
    pub p521_with_sha384: Identity,
    /// One with three authorities behind it.
    pub deep: Identity,
    /// One whose authenticator is longer than frames of HTTP/2 are without further agreement.
    pub great: Identity,
    /// One of an authority that has the name of the trusted one, and another key.
    pub namesake: Identity,
    /// One for each kind of keys: together they can sign with all schemes of the tool.
    pub kinds: Vec<Identity>,
}

impl Host {
    /// One with certificates made for the occasion; also the authority to trust, as PEM.
    pub fn new(
        address: SocketAddr,
        points: CodePoints,
        patience: Duration,
    ) -> Result<(Self, String), String> {
        let wrong = |error: countersign_pki::PkiError| error.to_string();
        let root = || Authority::root("Conformance servers", KeyKind::P256).map_err(wrong);
        let (authority, namesake) = (root()?, root()?);
        let deep = below(&authority, KeyKind::P256).map_err(wrong)?;
        let great = below(&authority, KeyKind::MlDsa87).map_err(wrong)?;
        let unknown = Authority::root("Nobody's authority", KeyKind::P256).map_err(wrong)?;
        let further = || Leaf::server("further").dns("further.test");
        let identity = |issued: Result<Issued, _>| {
            Identity::issued(&issued.map_err(wrong)?).ok_or_else(unusable)
        };
        let p521 = authority.issue(&further().key(KeyKind::P521)).map_err(wrong)?;
        let p521_with_sha384 = Identity {
            chain: p521.chain.iter().map(|der| der.to_vec()).collect(),
            key: Key::p521_with_sha384(p521.key.secret_der()).ok_or_else(unusable)?,
        };
        let of_kind = |kind: KeyKind| identity(authority.issue(&further().key(kind)));
        let local = Leaf::server("localhost")
            .dns("localhost")
            .ip([127, 0, 0, 1])
            .ip([0, 0, 0, 0, 0, 0, 0, 1]);
        let own = authority.issue(&local).map_err(wrong)?;
        let host = Self {
            address,
            name: "localhost".to_owned(),
            chain: own.chain,
            key: own.key,
            points,
            patience,
            visit_within: patience,
            further: identity(authority.issue(&further()))?,
            rsa: identity(authority.issue(&further().key(KeyKind::Rsa2048)))?,
            expired: identity(authority.issue(&further().expired()))?,
            early: identity(authority.issue(&further().not_yet_valid()))?,
            other: identity(authority.issue(&Leaf::server("other").dns("other.test")))?,
            for_clients: identity(authority.issue(&Leaf::client("further").dns("further.test")))?,
            key_agreement: identity(
                authority.issue(&further().key_usages([KeyUsage::KeyAgreement])),
            )?,
            stranger: identity(unknown.issue(&further()))?,
            deep: identity(deep.issue(&further()))?,
            great: identity(great.issue(&further().key(KeyKind::MlDsa87)))?,
            namesake: identity(namesake.issue(&further()))?,
            p521_with_sha384,
            kinds: KINDS.into_iter().map(of_kind).collect::<Result<_, _>>()?,
        };
        Ok((host, authority.root_pem()))
    }
}

/// The last of three authorities below another.
fn below(root: &Authority, key: KeyKind) -> Result<Authority, PkiError> {
    let first = root.intermediate("Conformance servers 1", key)?;
    first.intermediate("Conformance servers 2", key)?.intermediate("Conformance servers 3", key)
}

fn unusable() -> String {
    "a key that cannot be used".to_owned()
}
