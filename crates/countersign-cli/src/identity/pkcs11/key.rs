//! A private key that stays in its token: signatures as TLS wants them, by what the token can do.

use std::ffi::c_ulong;
use std::fmt;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest;
use countersign::BoxFuture;
use countersign::client::{RemoteKey, SignError};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use tokio::runtime::{Handle, RuntimeFlavor};

/// A key and the session that it is used in, by one signature at a time.
pub(super) struct TokenKey {
    session: Arc<Mutex<Session>>,
    key: ObjectHandle,
    schemes: Vec<SignatureScheme>,
}

impl TokenKey {
    pub(super) fn new(session: Session, key: ObjectHandle, schemes: Vec<SignatureScheme>) -> Self {
        Self { session: Arc::new(Mutex::new(session)), key, schemes }
    }
}

impl RemoteKey for TokenKey {
    fn schemes(&self) -> &[SignatureScheme] {
        &self.schemes
    }

    fn sign<'a>(
        &'a self,
        scheme: SignatureScheme,
        message: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, SignError>> {
        let (session, key, message) = (Arc::clone(&self.session), self.key, message.to_vec());
        Box::pin(async move {
            let signing = tokio::task::spawn_blocking(move || {
                let session = session.lock().map_err(|_| "an earlier signature failed badly")?;
                sign(&session, key, scheme, &message)
            });
            let signed = signing.await.unwrap_or_else(|error| Err(error.to_string()));
            signed.map_err(SignError)
        })
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").field("schemes", &self.schemes).finish_non_exhaustive()
    }
}

impl SigningKey for TokenKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = *self.schemes.iter().find(|scheme| offered.contains(scheme))?;
        Some(Box::new(TokenSigner { session: Arc::clone(&self.session), key: self.key, scheme }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.schemes.first() {
            Some(SignatureScheme::ED25519) => SignatureAlgorithm::ED25519,
            Some(
                SignatureScheme::RSA_PSS_SHA256
                | SignatureScheme::RSA_PSS_SHA384
                | SignatureScheme::RSA_PSS_SHA512,
            ) => SignatureAlgorithm::RSA,
            _ => SignatureAlgorithm::ECDSA,
        }
    }
}

/// A signature of a handshake.
struct TokenSigner {
    session: Arc<Mutex<Session>>,
    key: ObjectHandle,
    scheme: SignatureScheme,
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSigner").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl Signer for TokenSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signed = make_room(|| {
            let session = self.session.lock().map_err(|_| "an earlier signature failed badly")?;
            sign(&session, self.key, self.scheme, message)
        });
        signed.map_err(rustls::Error::General)
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

/// Runs `work`, which may take as long as a token does, while another thread takes over the other tasks of
/// this one.
fn make_room<T>(work: impl FnOnce() -> T) -> T {
    let many = Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if many { tokio::task::block_in_place(work) } else { work() }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "no other scheme is ever offered")]
fn sign(
    session: &Session,
    key: ObjectHandle,
    scheme: SignatureScheme,
    message: &[u8],
) -> Result<Vec<u8>, String> {
    let with = |mechanism: &Mechanism<'_>, data: &[u8]| {
        let signed = session.sign(mechanism, key, data);
        signed.map_err(|error| format!("the token refused ({error})"))
    };
    let ecdsa = |hash| {
        let raw = with(&Mechanism::Ecdsa, digest::digest(hash, message).as_ref())?;
        ecdsa_der(&raw).ok_or_else(|| "the token's ECDSA signature is malformed".to_owned())
    };
    let pss = |hash_alg, mgf, salt: c_ulong| PkcsPssParams { hash_alg, mgf, s_len: salt.into() };
    match scheme {
        SignatureScheme::ECDSA_NISTP256_SHA256 => ecdsa(&digest::SHA256),
        SignatureScheme::ECDSA_NISTP384_SHA384 => ecdsa(&digest::SHA384),
        SignatureScheme::ECDSA_NISTP521_SHA512 => ecdsa(&digest::SHA512),
        SignatureScheme::ED25519 => {
            with(&Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)), message)
        }
        SignatureScheme::RSA_PSS_SHA256 => {
            let params = pss(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32);
            with(&Mechanism::Sha256RsaPkcsPss(params), message)
        }
        SignatureScheme::RSA_PSS_SHA384 => {
            let params = pss(MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48);
            with(&Mechanism::Sha384RsaPkcsPss(params), message)
        }
        SignatureScheme::RSA_PSS_SHA512 => {
            let params = pss(MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64);
            with(&Mechanism::Sha512RsaPkcsPss(params), message)
        }
        _ => Err("the key has no such signature scheme".to_owned()),
    }
}

/// A token's `r || s` as the DER sequence that TLS has; none if it is empty or of an odd length.
fn ecdsa_der(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.is_empty() || !raw.len().is_multiple_of(2) {
        return None;
    }
    let (r, s) = raw.split_at_checked(raw.len() / 2)?;
    let mut body = integer(r)?;
    body.extend(integer(s)?);
    let len = u8::try_from(body.len()).ok()?;
    let mut der = if len < 0x80 { vec![0x30, len] } else { vec![0x30, 0x81, len] };
    der.extend(body);
    Some(der)
}

fn integer(bytes: &[u8]) -> Option<Vec<u8>> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = bytes.get(zeros..)?;
    // Zero has one digit, and what would look negative gets one more.
    let pad = digits.first().is_none_or(|first| *first >= 0x80);
    let len = u8::try_from(digits.len() + usize::from(pad)).ok().filter(|len| *len < 0x80)?;
    let mut der = vec![0x02, len];
    der.extend(pad.then_some(0));
    der.extend_from_slice(digits);
    Some(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_ecdsa_signatures_become_der() {
        let der = |raw: &[u8]| ecdsa_der(raw);
        assert_eq!(der(&[1, 2]).unwrap(), [0x30, 6, 2, 1, 1, 2, 1, 2]);
        assert_eq!(der(&[0, 5, 0x80, 1]).unwrap(), [0x30, 8, 2, 1, 5, 2, 3, 0, 0x80, 1]);
        assert_eq!(der(&[0, 1]).unwrap(), [0x30, 6, 2, 1, 0, 2, 1, 1]);
        // P-521 needs the long form.
        let long = der(&[0x01; 132]).unwrap();
        assert_eq!((long.len(), &long[..5]), (139, &[0x30, 0x81, 136, 2, 66][..]));
        assert!(der(&[]).is_none() && der(&[1, 2, 3]).is_none());
    }
}
