//! Keys in PKCS#11 tokens: finds the token, opens it, and joins a key with its certificates.

mod key;
mod uri;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use countersign::Chain;
use countersign::client::ClientCredential;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use rustls::SignatureScheme;
use rustls::pki_types::CertificateDer;
use rustls::sign::SigningKey;
use x509_parser::parse_x509_certificate;

use self::key::TokenKey;
use self::uri::Uri;

/// Names the module where the URI does not.
const MODULE: &str = "PKCS11_MODULE";

/// A `pkcs11:` URI as it was written. It shows itself without its query, where the PIN is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TokenUri(String);

impl TokenUri {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Opens the token and finds the key, and its chain unless there is one already. The error is a
    /// sentence without the PIN.
    pub(super) fn load(
        &self,
        chain: Option<Vec<CertificateDer<'static>>>,
    ) -> Result<ClientCredential, String> {
        let uri = Uri::parse(&self.0)
            .map_err(|reason| format!("the pkcs11: URI cannot be used: {reason}"))?;
        open(&uri, chain).map_err(|reason| format!("{self}: {reason}"))
    }
}

impl TokenUri {
    /// Opens the token for signatures in handshakes with the key of `certificate`. The error is the
    /// end of a sentence without the PIN.
    pub(super) fn signing_key(
        &self,
        certificate: &CertificateDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, String> {
        let uri = Uri::parse(&self.0)?;
        let (session, key) = open_key(&uri)?;
        Ok(Arc::new(TokenKey::new(session, key, supported(certificate)?)))
    }
}

impl fmt::Display for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.split('?').next().unwrap_or_default())
    }
}

impl fmt::Debug for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenUri")
    }
}

fn open(
    uri: &Uri,
    chain: Option<Vec<CertificateDer<'static>>>,
) -> Result<ClientCredential, String> {
    let (session, key) = open_key(uri)?;
    let chain = match chain {
        Some(chain) => chain,
        None => token_chain(&session, uri, key)?,
    };
    let schemes = chain.first().map(supported).transpose()?.unwrap_or_default();
    let chain = Chain::new(chain).map_err(|error| error.to_string())?;
    Ok(ClientCredential::remote(chain, Arc::new(TokenKey::new(session, key, schemes))))
}

/// The key, in a session of its own.
fn open_key(uri: &Uri) -> Result<(Session, ObjectHandle), String> {
    let pkcs11 = module(uri)?;
    let slot = slot(&pkcs11, uri)?;
    let session = pkcs11.open_ro_session(slot).map_err(|error| refused(&error))?;
    let pin = uri.pin()?;
    let logged_in = log_in(&pkcs11, slot, &session, pin)?;
    let key = private_key(&session, uri, logged_in)?;
    Ok((session, key))
}

/// The module, which stays loaded: whoever let go of it would end the sessions of others.
fn module(uri: &Uri) -> Result<Pkcs11, String> {
    static LOADED: Mutex<BTreeMap<String, Pkcs11>> = Mutex::new(BTreeMap::new());
    let module = match &uri.module_path {
        Some(path) => path.clone(),
        None => std::env::var(MODULE).map_err(|_| {
            format!(
                "it names no PKCS#11 module; add \"?module-path=/path/to/module.so\" to it or set \
                 {MODULE}"
            )
        })?,
    };
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pkcs11) = loaded.get(&module) {
        return Ok(pkcs11.clone());
    }
    let pkcs11 = Pkcs11::new(&module)
        .map_err(|error| format!("the PKCS#11 module {module} cannot be loaded ({error})"))?;
    match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // Under another name.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => {
            return Err(format!("the PKCS#11 module {module} cannot be used ({error})"));
        }
    }
    loaded.insert(module, pkcs11.clone());
    Ok(pkcs11)
}

/// What the key of this certificate can sign with, which is something.
fn supported(leaf: &CertificateDer<'static>) -> Result<Vec<SignatureScheme>, String> {
    let schemes = schemes(leaf);
    if schemes.is_empty() {
        return Err("the certificate's key is of no supported kind; it has to be EC P-256, P-384 \
                    or P-521, RSA or Ed25519"
            .to_owned());
    }
    Ok(schemes)
}

/// The one slot with a token that the URI describes.
fn slot(pkcs11: &Pkcs11, uri: &Uri) -> Result<Slot, String> {
    let slots = pkcs11.get_slots_with_token().map_err(|error| refused(&error))?;
    let is = |wanted: &Option<String>, has: &str| wanted.as_deref().is_none_or(|one| one == has);
    let fits: Vec<_> = slots
        .into_iter()
        .filter(|slot| {
            uri.slot_id.is_none_or(|id| id == slot.id())
                && pkcs11.get_token_info(*slot).is_ok_and(|token| {
                    token.token_initialized()
                        && is(&uri.token, token.label())
                        && is(&uri.serial, token.serial_number())
                        && is(&uri.manufacturer, token.manufacturer_id())
                        && is(&uri.model, token.model())
                })
        })
        .collect();
    match fits.as_slice() {
        [slot] => Ok(*slot),
        [] => Err("no token is there that it describes; insert it, or correct token, serial or \
                   slot-id"
            .to_owned()),
        more => Err(format!("{} tokens fit; add token, serial or slot-id to it", more.len())),
    }
}

/// Logs in if there is a PIN, or if the token asks for it itself; whether it did.
fn log_in(
    pkcs11: &Pkcs11,
    slot: Slot,
    session: &Session,
    pin: Option<String>,
) -> Result<bool, String> {
    let pin = pin.map(AuthPin::from);
    let token = pkcs11.get_token_info(slot).map_err(|error| refused(&error))?;
    if pin.is_none() && !token.protected_authentication_path() {
        return Ok(false);
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others need no words of their own")]
    match session.login(UserType::User, pin.as_ref()) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(true),
        Err(Error::Pkcs11(error, _)) => Err(match error {
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => {
                "the token does not accept the PIN; correct pin-value or pin-source".to_owned()
            }
            RvError::PinLocked => {
                "the PIN is locked; unlock it with the tools of the token".to_owned()
            }
            other => refused(&Error::Pkcs11(other, cryptoki::context::Function::Login)),
        }),
        Err(error) => Err(refused(&error)),
    }
}

fn private_key(session: &Session, uri: &Uri, logged_in: bool) -> Result<ObjectHandle, String> {
    let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
    template.extend(uri.object.as_ref().map(|label| Attribute::Label(label.clone().into())));
    template.extend(uri.id.clone().map(Attribute::Id));
    let keys = session.find_objects(&template).map_err(|error| refused(&error))?;
    match keys.as_slice() {
        [key] => Ok(*key),
        [] if logged_in => {
            Err("the token has no such private key; correct object or id".to_owned())
        }
        [] => Err("without a PIN the token shows no such private key; add \"pin-source=FILE\" or \
                   \"pin-value=PIN\" after a \"?\", or correct object or id"
            .to_owned()),
        more => {
            Err(format!("{} private keys in the token fit; add object or id to it", more.len()))
        }
    }
}

/// The certificate of `key` and those above it, as far as they are in the token and not roots.
fn token_chain(
    session: &Session,
    uri: &Uri,
    key: ObjectHandle,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let own = session
        .get_attributes(key, &[AttributeType::Id, AttributeType::Label])
        .map_err(|error| refused(&error))?;
    let named = own.into_iter().filter(|attribute| {
        let empty =
            matches!(attribute, Attribute::Id(name) | Attribute::Label(name) if name.is_empty());
        let label = matches!(attribute, Attribute::Label(_));
        !empty && (uri.id.is_none() || !label)
    });
    let mut leaf = None;
    for attribute in named {
        if leaf.is_none() {
            leaf = certificates(session, Some(attribute))?.into_iter().next();
        }
    }
    let mut last = leaf.ok_or(
        "the token has no certificate of this key; put its PEM file before the URI, with a comma",
    )?;
    let others = certificates(session, None)?;
    let mut chain = vec![last.clone()];
    while let Some(issuer) = others.iter().find(|other| issued(other, &last)) {
        if chain.contains(issuer) {
            break;
        }
        last = issuer.clone();
        chain.push(last.clone());
    }
    Ok(chain)
}

/// The certificates in the token that have this attribute.
fn certificates(
    session: &Session,
    attribute: Option<Attribute>,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut template = vec![Attribute::Class(ObjectClass::CERTIFICATE)];
    template.extend(attribute);
    let mut found = Vec::new();
    for object in session.find_objects(&template).map_err(|error| refused(&error))? {
        let values = session
            .get_attributes(object, &[AttributeType::Value])
            .map_err(|error| refused(&error))?;
        for value in values {
            if let Attribute::Value(der) = value {
                found.push(CertificateDer::from(der));
            }
        }
    }
    Ok(found)
}

/// Whether `other` is the issuer of `subject` by its name, and no root.
fn issued(other: &CertificateDer<'_>, subject: &CertificateDer<'_>) -> bool {
    match (parse_x509_certificate(other), parse_x509_certificate(subject)) {
        (Ok((_, other)), Ok((_, subject))) => {
            other.subject() == subject.issuer() && other.subject() != other.issuer()
        }
        _ => false,
    }
}

/// What the key of this certificate can sign with.
fn schemes(leaf: &CertificateDer<'static>) -> Vec<SignatureScheme> {
    let Ok((_, certificate)) = parse_x509_certificate(leaf) else {
        return Vec::new();
    };
    let algorithm = &certificate.public_key().algorithm;
    let curve = algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
    let curve = curve.map(|oid| oid.to_id_string());
    match (algorithm.algorithm.to_id_string().as_str(), curve.as_deref()) {
        ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => {
            vec![SignatureScheme::ECDSA_NISTP256_SHA256]
        }
        ("1.2.840.10045.2.1", Some("1.3.132.0.34")) => vec![SignatureScheme::ECDSA_NISTP384_SHA384],
        ("1.2.840.10045.2.1", Some("1.3.132.0.35")) => vec![SignatureScheme::ECDSA_NISTP521_SHA512],
        ("1.2.840.113549.1.1.1", _) => vec![
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA512,
        ],
        ("1.3.101.112", _) => vec![SignatureScheme::ED25519],
        _ => Vec::new(),
    }
}

fn refused(error: &Error) -> String {
    format!("the token cannot be used ({error})")
}
