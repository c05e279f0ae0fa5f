//! Keys and certificates of the vectors, valid from 2020 until 2049.

use countersign_pki::KeyKind;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::authenticator::Key;
use crate::identity::{Identity, generate};

/// Year, month and day from which certificates are valid.
pub(super) const VALID_FROM: (i32, u8, u8) = (2020, 1, 1);
/// The same until which they are.
pub(super) const VALID_UNTIL: (i32, u8, u8) = (2049, 12, 31);
/// The name of servers.
pub(super) const SERVER_NAME: &str = "server.example.test";

/// An authority with its key.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The root above it.
    pub(super) root: Vec<u8>,
    /// Its own certificate and those above it, but for the root.
    pub(super) chain: Vec<Vec<u8>>,
}

/// What a leaf is like.
#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) key: KeyKind,
    pub(super) from: (i32, u8, u8),
    pub(super) until: (i32, u8, u8),
    pub(super) purposes: Vec<ExtendedKeyUsagePurpose>,
    pub(super) extensions: Vec<CustomExtension>,
}

/// A chain with its key, which is told, too.
pub(super) struct Made {
    pub(super) identity: Identity,
    pub(super) pkcs8: Vec<u8>,
    /// What to trust.
    pub(super) root: Vec<u8>,
}

impl Leaf {
    /// For clients and servers.
    pub(super) fn of(key: KeyKind) -> Self {
        Self {
            key,
            from: VALID_FROM,
            until: VALID_UNTIL,
            purposes: vec![
                ExtendedKeyUsagePurpose::ClientAuth,
                ExtendedKeyUsagePurpose::ServerAuth,
            ],
            extensions: Vec::new(),
        }
    }
}

fn said(error: rcgen::Error) -> String {
    format!("no certificate could be made: {error}")
}

impl Authority {
    /// A root.
    pub(super) fn root(kind: KeyKind) -> Result<Self, String> {
        let key = generate(kind).map_err(said)?;
        let params = authority(&format!("Vectors root {kind:?}"));
        let root = params.self_signed(&key).map_err(said)?.der().to_vec();
        Ok(Self { issuer: Issuer::new(params, key), root, chain: Vec::new() })
    }

    /// An authority below this one.
    pub(super) fn below(&self, kind: KeyKind) -> Result<Self, String> {
        let key = generate(kind).map_err(said)?;
        let params = authority(&format!("Vectors intermediate {} {kind:?}", self.chain.len() + 1));
        let made = params.signed_by(&key, &self.issuer).map_err(said)?;
        let mut chain = self.chain.clone();
        chain.insert(0, made.der().to_vec());
        Ok(Self { issuer: Issuer::new(params, key), root: self.root.clone(), chain })
    }

    /// Issues a leaf.
    pub(super) fn issue(&self, leaf: &Leaf) -> Result<Made, String> {
        let key = generate(leaf.key).map_err(said)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("Vectors leaf {:?}", leaf.key));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages.clone_from(&leaf.purposes);
        params.custom_extensions.clone_from(&leaf.extensions);
        let text = |text: &str| text.try_into().map_err(said);
        params.subject_alt_names = vec![
            SanType::Rfc822Name(text("client@example.test")?),
            SanType::DnsName(text(SERVER_NAME)?),
        ];
        params.not_before = date_time_ymd(leaf.from.0, leaf.from.1, leaf.from.2);
        params.not_after = date_time_ymd(leaf.until.0, leaf.until.1, leaf.until.2);
        let made = params.signed_by(&key, &self.issuer).map_err(said)?;
        let mut chain = vec![made.der().to_vec()];
        chain.extend(self.chain.iter().cloned());
        let pkcs8 = key.serialize_der();
        let key = Key::from_pkcs8(&pkcs8).ok_or("a key that the tool does not know")?;
        Ok(Made { identity: Identity { chain, key }, pkcs8, root: self.root.clone() })
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_before = date_time_ymd(VALID_FROM.0, VALID_FROM.1, VALID_FROM.2);
    params.not_after = date_time_ymd(VALID_UNTIL.0, VALID_UNTIL.1, VALID_UNTIL.2);
    params
}
