//! Certificates with their keys: from files, and made for the occasion.

use std::fmt;
use std::fs;
use std::path::Path;

use countersign_pki::{Authority, Issued, KeyKind, Leaf};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, RsaKeySize,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::authenticator::Key;
use crate::case::{Done, Stop};

/// The object identifier of subjectAltName.
const SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];

/// A chain, leaf first, and the leaf's key.
#[derive(Debug)]
pub struct Identity {
    /// DER.
    pub chain: Vec<Vec<u8>>,
    /// What signs.
    pub key: Key,
}

impl Identity {
    /// Reads `CERT[,KEY]`: PEM files, which may be one.
    pub fn load(argument: &str) -> Result<Self, String> {
        let (chain, key) = read_pair(argument)?;
        let PrivateKeyDer::Pkcs8(key) = key else {
            return Err(format!("{argument}: the key is not in PKCS#8 (\"BEGIN PRIVATE KEY\")"));
        };
        let key = Key::from_pkcs8(key.secret_pkcs8_der());
        let key =
            key.ok_or_else(|| format!("{argument}: a key of a kind that the tool does not know"))?;
        Ok(Self { chain: chain.iter().map(|der| der.to_vec()).collect(), key })
    }

    /// One that was just issued.
    pub fn issued(issued: &Issued) -> Option<Self> {
        let key = Key::from_pkcs8(issued.key.secret_der())?;
        Some(Self { chain: issued.chain.iter().map(|der| der.to_vec()).collect(), key })
    }

    /// Whether one of these authorities issued any certificate of the chain.
    pub fn is_below(&self, authorities: &[Vec<u8>]) -> bool {
        self.chain.iter().any(|der| {
            X509Certificate::from_der(der).is_ok_and(|(_, parsed)| {
                authorities.iter().any(|name| name == parsed.issuer().as_raw())
            })
        })
    }
}

/// The chain and the key of `CERT[,KEY]`: PEM files, which may be one.
///
/// # Errors
/// Says what is wrong, without repeating anything of the key.
pub fn read_pair(
    argument: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let (certificate, key) = match argument.split_once(',') {
        Some(pair) if !Path::new(argument).exists() => pair,
        Some(_) | None => (argument, argument),
    };
    let read = |path: &str| fs::read(path).map_err(|error| format!("{path}: {error}"));
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{certificate}: {error}"))?;
    if chain.is_empty() {
        return Err(format!("{certificate}: there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|_| format!("{key}: there is no private key in it, in PEM"))?;
    Ok((chain, key))
}

/// An authority that the server under test trusts for the first path; it makes identities of all kinds.
pub struct Mint {
    /// The authority's own certificate.
    own: CertificateDer<'static>,
    chain: Vec<Vec<u8>>,
    issuer: Issuer<'static, KeyPair>,
    /// The subjectAltName that all identities carry, from the first identity that was given.
    names: Option<Vec<u8>>,
}

impl fmt::Debug for Mint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mint").finish_non_exhaustive()
    }
}

/// What an identity of the mint is like.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The kind of the leaf's key.
    pub key: KeyKind,
    /// How many further authorities stand between.
    pub authorities: usize,
    /// The kind of their keys.
    pub authority_key: KeyKind,
    /// Days from now until it becomes valid; negative when it is.
    pub since: i64,
    /// Days from now until it expires; negative when it has expired.
    pub days: i64,
    /// Whether it is for clients; otherwise it is for servers alone.
    pub for_clients: bool,
    /// Whether its key usage has digitalSignature; otherwise it has keyAgreement alone.
    pub for_signatures: bool,
    /// Whether the issuer right above it is no authority but a leaf as good as any.
    pub below_a_leaf: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            key: KeyKind::P256,
            authorities: 0,
            authority_key: KeyKind::P256,
            since: -60,
            days: 30,
            for_clients: true,
            for_signatures: true,
            below_a_leaf: false,
        }
    }
}

impl Mint {
    /// Reads `CERT[,KEY]` of the authority; `like` is the identity whose names all others get.
    pub fn load(argument: &str, like: Option<&Identity>) -> Result<Self, String> {
        let (chain, key) = read_pair(argument)?;
        Self::new(&chain, &key, like).map_err(|error| format!("{argument}: {error}"))
    }

    /// The same from its parts: the authority's own certificate first, then those above it.
    pub fn new(
        chain: &[CertificateDer<'static>],
        key: &PrivateKeyDer<'static>,
        like: Option<&Identity>,
    ) -> Result<Self, String> {
        let wrong = |error: rcgen::Error| error.to_string();
        let key = KeyPair::try_from(key).map_err(wrong)?;
        let own = chain.first().ok_or_else(|| "there is no certificate in it".to_owned())?;
        let issuer = Issuer::from_ca_cert_der(own, key).map_err(wrong)?;
        let names = like.and_then(|like| {
            let (_, leaf) = X509Certificate::from_der(like.chain.first()?).ok()?;
            let oid = x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;
            Some(leaf.get_extension_unique(&oid).ok()??.value.to_vec())
        });
        // A root is not sent.
        let own_issuer = X509Certificate::from_der(own)
            .is_ok_and(|(_, parsed)| parsed.issuer().as_raw() == parsed.subject().as_raw());
        let skip = usize::from(own_issuer);
        let own = own.clone();
        let chain = chain.iter().skip(skip).map(|der| der.to_vec()).collect();
        Ok(Self { own, chain, issuer, names })
    }

    /// An authority that has the name in common with this one, and nothing else.
    pub fn impostor(&self) -> Done<Self> {
        let made = || {
            let issuer = Issuer::from_ca_cert_der(&self.own, generate(KeyKind::P256)?)?;
            let (own, chain, names) = (self.own.clone(), self.chain.clone(), self.names.clone());
            Ok(Self { own, chain, issuer, names })
        };
        made()
            .map_err(|error: rcgen::Error| Stop::Failed(format!("no authority was made: {error}")))
    }

    /// Makes an identity.
    pub fn issue(&self, wanted: Wanted) -> Done<Identity> {
        self.try_issue(wanted)
            .map_err(|error| Stop::Failed(format!("no certificate could be made: {error}")))
    }

    fn try_issue(&self, wanted: Wanted) -> Result<Identity, rcgen::Error> {
        let mut chain = self.chain.clone();
        let mut below: Option<Issuer<'static, KeyPair>> = None;
        for number in 0..wanted.authorities {
            let key = generate(wanted.authority_key)?;
            let mut params = CertificateParams::default();
            params
                .distinguished_name
                .push(DnType::CommonName, format!("Conformance authority {number}"));
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            date(&mut params, -60, 365);
            let made = params.signed_by(&key, below.as_ref().unwrap_or(&self.issuer))?;
            chain.insert(0, made.der().to_vec());
            below = Some(Issuer::new(params, key));
        }
        if wanted.below_a_leaf {
            let key = generate(wanted.key)?;
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "Conformance leaf that issues");
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            date(&mut params, -60, 30);
            let made = params.signed_by(&key, below.as_ref().unwrap_or(&self.issuer))?;
            chain.insert(0, made.der().to_vec());
            below = Some(Issuer::new(params, key));
        }
        let key = generate(wanted.key)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Conformance leaf");
        params.key_usages = vec![if wanted.for_signatures {
            KeyUsagePurpose::DigitalSignature
        } else {
            KeyUsagePurpose::KeyAgreement
        }];
        params.extended_key_usages = vec![if wanted.for_clients {
            ExtendedKeyUsagePurpose::ClientAuth
        } else {
            ExtendedKeyUsagePurpose::ServerAuth
        }];
        if let Some(names) = &self.names {
            let names = CustomExtension::from_oid_content(SUBJECT_ALT_NAME, names.clone());
            params.custom_extensions.push(names);
        }
        date(&mut params, wanted.since, wanted.days);
        let made = params.signed_by(&key, below.as_ref().unwrap_or(&self.issuer))?;
        chain.insert(0, made.der().to_vec());
        let key =
            Key::from_pkcs8(&key.serialize_der()).ok_or(rcgen::Error::CouldNotParseKeyPair)?;
        Ok(Identity { chain, key })
    }
}

/// A fresh key.
pub(crate) fn generate(kind: KeyKind) -> Result<KeyPair, rcgen::Error> {
    let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
    let algorithm = match kind {
        KeyKind::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        KeyKind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        KeyKind::P521 => &rcgen::PKCS_ECDSA_P521_SHA512,
        KeyKind::Ed25519 => &rcgen::PKCS_ED25519,
        KeyKind::Rsa2048 => return rsa(RsaKeySize::_2048),
        KeyKind::Rsa3072 => return rsa(RsaKeySize::_3072),
        KeyKind::Rsa4096 => return rsa(RsaKeySize::_4096),
        KeyKind::MlDsa44 => &rcgen::PKCS_ML_DSA_44,
        KeyKind::MlDsa65 => &rcgen::PKCS_ML_DSA_65,
        KeyKind::MlDsa87 => &rcgen::PKCS_ML_DSA_87,
    };
    KeyPair::generate_for(algorithm)
}

/// Valid between these days from now.
fn date(params: &mut CertificateParams, since: i64, until: i64) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now.saturating_add(Duration::days(since));
    params.not_after = now.saturating_add(Duration::days(until));
}

/// A fresh context.
pub fn random_context() -> Vec<u8> {
    let mut context = vec![0; 32];
    // Without randomness the context stays what it is, and the peer refuses it the second time.
    let _ = aws_lc_rs::rand::fill(&mut context);
    context
}

/// Somebody whom nobody trusts.
pub fn stranger() -> Done<Identity> {
    stranger_with(KeyKind::P256)
}

/// The same with a key of any kind.
pub fn stranger_with(key: KeyKind) -> Done<Identity> {
    let made = || {
        let authority = Authority::root("Nobody's authority", KeyKind::P256).ok()?;
        let leaf = Leaf::client("stranger")
            .key(key)
            .email("stranger@example.test")
            .dns("stranger.example.test");
        Identity::issued(&authority.issue(&leaf).ok()?)
    };
    made().ok_or_else(|| Stop::Failed("no certificate could be made".to_owned()))
}
