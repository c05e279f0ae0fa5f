//! A private key that stays in its token: signatures as TLS wants them, by what the token can do.

use std::ffi::c_ulong;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest;
use countersign::BoxFuture;
use countersign::client::{RemoteKey, SignError};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use rustls::SignatureScheme;

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
