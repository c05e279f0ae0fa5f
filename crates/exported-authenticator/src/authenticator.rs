//! Authenticators as bytes: Certificate, CertificateVerify and Finished, or Finished alone
//! (RFC 9261, sections 5.2 and 6). Decoding proves nothing; see [`crate::stateless::validate`].

use std::fmt;

use rustls::SignatureScheme;

use crate::Malformed;
use crate::certificate::CertificateMessage;
use crate::codec::{Handshake, HandshakeType, Reader, split_handshake};

/// An authenticator whose messages decode and stand in their order.
#[derive(Clone, Copy)]
pub struct Authenticator<'a> {
    full: Option<Full<'a>>,
    finished: &'a [u8],
}

#[derive(Clone, Copy)]
pub(crate) struct Full<'a> {
    pub(crate) certificate: Handshake<'a>,
    pub(crate) certificate_verify: Handshake<'a>,
    context: &'a [u8],
    pub(crate) scheme: SignatureScheme,
    pub(crate) signature: &'a [u8],
}

impl<'a> Authenticator<'a> {
    /// Splits `bytes`, all of it, into its messages.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (first, rest) = split_handshake(bytes)?;
        //= specs/exported-authenticators.md#section-6
        //# An empty authenticator MUST be a Finished message alone.
        if first.typ == HandshakeType::FINISHED {
            return if rest.is_empty() {
                Ok(Self { full: None, finished: first.body })
            } else {
                Err(Malformed::Trailing("the authenticator"))
            };
        }
        let (second, rest) = next(rest)?;
        let (third, rest) = next(rest)?;
        let order = [first.typ, second.typ, third.typ];
        if order
            != [
                //= specs/exported-authenticators.md#section-5.2
                //# An authenticator MUST be a TLS 1.3 Certificate followed by a CertificateVerify
                //# and a Finished.
                //= specs/exported-authenticators.md#section-5.2
                //# Each of the three MUST be encoded as a TLS handshake message with its type and
                //# length.
                //= specs/exported-authenticators.md#section-5.2
                //# The three MUST NOT be wrapped in TLS records or protected with the keys of the
                //# handshake or of application data.
                HandshakeType::CERTIFICATE,
                HandshakeType::CERTIFICATE_VERIFY,
                HandshakeType::FINISHED,
            ]
        {
            return Err(Malformed::MessageSequence);
        }
        if !rest.is_empty() {
            return Err(Malformed::Trailing("the authenticator"));
        }
        let mut verify = Reader::new(second.body);
        //= specs/exported-authenticators.md#section-5.2.2
        //# CertificateVerify MUST consist of a two-byte signature scheme and a signature with a
        //# two-byte length.
        let scheme = SignatureScheme::from(verify.u16("signature scheme")?);
        let signature = verify.vec16("signature")?;
        verify.finish("signature")?;
        let context = CertificateMessage::read(first.body)?.context;
        Ok(Self {
            full: Some(Full {
                certificate: first,
                certificate_verify: second,
                context,
                scheme,
                signature,
            }),
            finished: third.body,
        })
    }

    /// Whether it is an empty authenticator: a refusal to authenticate.
    pub fn is_empty(&self) -> bool {
        self.full.is_none()
    }

    /// Its certificate_request_context ("get context", RFC 9261, section 7.2). An empty authenticator
    /// does not carry one.
    pub fn context(&self) -> Option<&'a [u8]> {
        //= specs/exported-authenticators.md#section-7.2
        //# The interface MUST return the certificate_request_context of a request or an
        //# authenticator.
        self.full.map(|full| full.context)
    }

    pub(crate) fn full(&self) -> Option<&Full<'a>> {
        self.full.as_ref()
    }

    pub(crate) fn finished(&self) -> &'a [u8] {
        self.finished
    }
}

impl fmt::Debug for Authenticator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("is_empty", &self.is_empty())
            .field("scheme", &self.full.map(|full| full.scheme))
            .finish_non_exhaustive()
    }
}

fn next(rest: &[u8]) -> Result<(Handshake<'_>, &[u8]), Malformed> {
    if rest.is_empty() {
        return Err(Malformed::MessageSequence);
    }
    split_handshake(rest)
}
