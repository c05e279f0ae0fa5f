//! Making and checking authenticators, without the memory of used contexts.
//!
//! [`crate::Connection`] wraps these functions and keeps that memory. Use them directly where the
//! caller keeps it, for example to verify away from the connection's own task.

use std::fmt;

use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::hash::Context;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use subtle::ConstantTimeEq;
use webpki::{EndEntityCert, RawPublicKeyEntity};
use x509_parser::parse_x509_certificate;

use crate::authenticator::Full;
use crate::certificate::{CertificateMessage, Entry, put_certificate};
use crate::codec::{HandshakeType, put_handshake, put_vector};
use crate::scheme::verification;
use crate::{
    AuthenticateError, Authenticator, AuthenticatorRequest, Chain, Credential, ExporterValues,
    ExtensionType, InvalidAuthenticator, Malformed, Proven, Role, Unsuitable,
};

/// What a ClientHello offered, for authenticators that a server sends without a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// Its signature_algorithms.
    pub signature_algorithms: Vec<SignatureScheme>,
    /// The types of its extensions.
    pub extensions: Vec<ExtensionType>,
}

/// What an authenticator answers.
#[derive(Clone, Copy)]
pub(crate) enum Occasion<'a> {
    /// A request.
    Request(&'a AuthenticatorRequest),
    /// Nothing: the server sends it of its own accord, under the handshake's ClientHello.
    Spontaneous { context: Option<&'a [u8]>, offered: &'a Offered },
}

impl Occasion<'_> {
    fn request_bytes(&self) -> &[u8] {
        match self {
            Self::Request(request) => request.as_bytes(),
            //= specs/exported-authenticators.md#section-5.2.2
            //# A request that does not exist MUST contribute nothing to the transcript.
            Self::Spontaneous { .. } => &[],
        }
    }

    /// Whether a Certificate may carry an extension of type `typ`.
    fn allows_extension(&self, typ: ExtensionType) -> bool {
        let offered = match self {
            //= specs/exported-authenticators.md#section-5.2.1
            //# A Certificate that answers a request MUST contain only extensions that the request
            //# contains.
            Self::Request(request) => request.offers(typ),
            //= specs/exported-authenticators.md#section-5.2.1
            //# A Certificate that answers no request MUST contain only extensions that the
            //# ClientHello contains.
            //= specs/exported-authenticators.md#section-5.2
            //# Without a request the extensions of an authenticator MUST be taken from those of the
            //# ClientHello.
            //= specs/server-certs.md#decisions
            //# (ours) The certificates of a spontaneous authenticator MUST NOT carry an extension
            //# that the ClientHello did not offer.
            Self::Spontaneous { offered, .. } => offered.extensions.contains(&typ),
        };
        offered && typ.may_accompany_certificate()
    }

    fn offers_scheme(&self, scheme: SignatureScheme) -> bool {
        match self {
            //= specs/exported-authenticators.md#section-5.2.2
            //# With a request the scheme MUST be in the request's signature_algorithms.
            Self::Request(request) => request.signature_algorithms().contains(&scheme),
            //= specs/exported-authenticators.md#section-5.2.2
            //# Without a request the scheme MUST be in the signature_algorithms of the ClientHello.
            Self::Spontaneous { offered, .. } => offered.signature_algorithms.contains(&scheme),
        }
    }

    /// The context that the Certificate has to carry, where it is known.
    fn context(&self) -> Option<&[u8]> {
        match self {
            //= specs/exported-authenticators.md#section-5.2.1
            //# The Certificate message MUST take its context from the request if there is one.
            //= specs/exported-authenticators.md#section-4
            //# The answering authenticator MUST repeat the request's certificate_request_context.
            Self::Request(request) => Some(request.context()),
            Self::Spontaneous { context, .. } => *context,
        }
    }
}

/// An authenticator that lacks its signature.
///
/// The key may live anywhere: sign [`UnsignedAuthenticator::message`] with [`UnsignedAuthenticator::scheme`] there and hand
/// the signature to [`UnsignedAuthenticator::finish`].
pub struct UnsignedAuthenticator<'a> {
    values: &'a ExporterValues,
    sender: Role,
    transcript: Box<dyn Context>,
    bytes: Vec<u8>,
    scheme: SignatureScheme,
    message: Vec<u8>,
}

impl<'a> UnsignedAuthenticator<'a> {
    /// Begins the answer of `sender` to `request`, to be signed with `scheme`, which the caller got
    /// from [`Chain::choose_scheme`].
    pub fn answer(
        values: &'a ExporterValues,
        sender: Role,
        request: &AuthenticatorRequest,
        chain: &Chain,
        scheme: SignatureScheme,
    ) -> Result<Self, AuthenticateError> {
        Self::begin(values, sender, Occasion::Request(request), chain, scheme)
    }

    /// Begins what a server says of its own accord, with `chain` and a scheme that
    /// [`Credential::choose_spontaneous_scheme`] found. `context` must be new on the connection.
    pub fn spontaneous(
        values: &'a ExporterValues,
        context: &[u8],
        offered: &Offered,
        chain: &Chain,
        scheme: SignatureScheme,
    ) -> Result<Self, AuthenticateError> {
        if context.len() > usize::from(u8::MAX) {
            return Err(AuthenticateError::TooLong);
        }
        let occasion = Occasion::Spontaneous { context: Some(context), offered };
        Self::begin(values, Role::Server, occasion, chain, scheme)
    }

    fn begin(
        values: &'a ExporterValues,
        sender: Role,
        occasion: Occasion<'_>,
        chain: &Chain,
        scheme: SignatureScheme,
    ) -> Result<Self, AuthenticateError> {
        if !occasion.offers_scheme(scheme) || !crate::is_tls13(scheme) {
            return Err(Unsuitable::NoCommonScheme.into());
        }
        let mut bytes = Vec::new();
        let context = occasion.context().unwrap_or_default();
        put_certificate(&mut bytes, context, chain.entries(), |extension| {
            occasion.allows_extension(extension.typ)
        })
        .map_err(|_| AuthenticateError::TooLong)?;
        let transcript = transcript(values, sender, &occasion, &bytes);
        let message = signed_message(transcript.fork_finish().as_ref());
        Ok(Self { values, sender, transcript, bytes, scheme, message })
    }

    /// The scheme to sign with.
    pub fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// What to sign, not hashed.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Adds the signature and the Finished message.
    pub fn finish(self, signature: &[u8]) -> Result<Vec<u8>, AuthenticateError> {
        let Self { values, sender, mut transcript, mut bytes, scheme, message: _ } = self;
        let at = bytes.len();
        let mut inner = Ok(());
        put_handshake(&mut bytes, HandshakeType::CERTIFICATE_VERIFY, |out| {
            //= specs/exported-authenticators.md#section-5.2.2
            //# The algorithm field MUST name the scheme with which the signature was made.
            out.extend_from_slice(&u16::from(scheme).to_be_bytes());
            inner = put_vector(out, 2, |out| out.extend_from_slice(signature));
        })
        .and(inner)
        .map_err(|_| AuthenticateError::TooLong)?;
        transcript.update(bytes.get(at..).unwrap_or_default());
        //= specs/exported-authenticators.md#section-5.2.4
        //# The authenticator's bytes MUST be those of Certificate, CertificateVerify and Finished,
        //# one after the other.
        put_finished(&mut bytes, values, sender, transcript)?;
        Ok(bytes)
    }

    /// Signs with a key at hand.
    pub fn sign_with(self, credential: &Credential) -> Result<Vec<u8>, AuthenticateError> {
        let signer =
            credential.key().choose_scheme(&[self.scheme]).ok_or(AuthenticateError::Signing)?;
        let signature = signer.sign(&self.message).map_err(|_| AuthenticateError::Signing)?;
        self.finish(&signature)
    }
}

impl fmt::Debug for UnsignedAuthenticator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsignedAuthenticator")
            .field("sender", &self.sender)
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

/// The answer of `sender` to `request` with `credential` ("authenticate", RFC 9261, section 7.3).
pub fn authenticate(
    values: &ExporterValues,
    sender: Role,
    request: &AuthenticatorRequest,
    credential: &Credential,
) -> Result<Vec<u8>, AuthenticateError> {
    let scheme = credential.choose_scheme(request)?;
    UnsignedAuthenticator::answer(values, sender, request, credential.chain(), scheme)?
        .sign_with(credential)
}

/// What a server proves of its own accord ("authenticate" without a request, RFC 9261, section 7.3).
///
/// `context` must be new on the connection and unpredictable to the peer; `offered` is what the ClientHello
/// offered.
pub fn authenticate_spontaneously(
    values: &ExporterValues,
    context: &[u8],
    offered: &Offered,
    credential: &Credential,
) -> Result<Vec<u8>, AuthenticateError> {
    let scheme = credential.choose_spontaneous_scheme(offered)?;
    UnsignedAuthenticator::spontaneous(values, context, offered, credential.chain(), scheme)?
        .sign_with(credential)
}

/// The empty authenticator: `sender` declines `request` (RFC 9261, section 6).
pub fn decline(
    values: &ExporterValues,
    sender: Role,
    request: &AuthenticatorRequest,
) -> Result<Vec<u8>, AuthenticateError> {
    let transcript = declined_transcript(values, sender, request);
    let mut bytes = Vec::new();
    //= specs/exported-authenticators.md#section-6
    //# An empty authenticator MUST be encoded as a TLS handshake message with its type and length.
    //= specs/exported-authenticators.md#section-6
    //# An empty authenticator MUST NOT be wrapped in TLS records or protected with the keys of the
    //# handshake or of application data.
    put_finished(&mut bytes, values, sender, transcript)?;
    Ok(bytes)
}

/// What a valid authenticator says.
#[derive(Clone, Debug, PartialEq, Eq)]
//= specs/exported-authenticators.md#section-7.4
//# A well-formed empty authenticator MUST be reported as invalid.
pub enum Validated {
    /// The sender declines to authenticate.
    Empty,
    /// The sender holds the key of a certificate.
    Proven(Proven),
}

/// Checks what `sender` sent in answer to `request` ("validate", RFC 9261, section 7.4).
///
/// `algorithms` are those of the provider, for the one signature over the transcript. Whether the
/// context was answered before is for the caller to know.
pub fn validate(
    values: &ExporterValues,
    sender: Role,
    request: &AuthenticatorRequest,
    authenticator: &Authenticator<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<Validated, InvalidAuthenticator> {
    validate_on(values, sender, Occasion::Request(request), authenticator, algorithms)
}

/// Checks what a server sent of its own accord ("validate" without a request, RFC 9261, section 7.4).
///
/// Whether the context is new on the connection is for the caller to know.
pub fn validate_spontaneous(
    values: &ExporterValues,
    offered: &Offered,
    authenticator: &Authenticator<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<Proven, InvalidAuthenticator> {
    let occasion = Occasion::Spontaneous { context: None, offered };
    //= specs/server-certs.md#section-1.2
    //# The Finished MAC Key of a server's certificate MUST be the one that RFC 9261 gives to
    //# authenticators of servers.
    match validate_on(values, Role::Server, occasion, authenticator, algorithms)? {
        Validated::Proven(proven) => Ok(proven),
        // An empty authenticator answers a request, and there was none.
        Validated::Empty => Err(Malformed::MessageSequence.into()),
    }
}

fn validate_on(
    values: &ExporterValues,
    sender: Role,
    occasion: Occasion<'_>,
    authenticator: &Authenticator<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<Validated, InvalidAuthenticator> {
    let Some(full) = authenticator.full() else {
        let Occasion::Request(request) = occasion else {
            return Err(Malformed::MessageSequence.into());
        };
        let transcript = declined_transcript(values, sender, request);
        check_finished(values, sender, transcript, authenticator.finished())?;
        return Ok(Validated::Empty);
    };
    let certificate = CertificateMessage::read(full.certificate.body)?;
    if occasion.context().is_some_and(|context| context != certificate.context) {
        return Err(InvalidAuthenticator::ContextMismatch);
    }
    let entries = certificate.entries()?;
    for extension in entries.iter().flat_map(|entry| &entry.extensions) {
        if !occasion.allows_extension(extension.typ) {
            return Err(InvalidAuthenticator::ExtensionNotRequested(extension.typ));
        }
    }
    //= specs/exported-authenticators.md#section-5.2.1
    //# The sender's certificate MUST be the first entry.
    //= specs/exported-authenticators.md#section-5.2.1
    //# A Certificate that a CertificateVerify follows MUST have an entry.
    let leaf = entries.first().ok_or(InvalidAuthenticator::EmptyCertificateList)?;
    //= specs/exported-authenticators.md#decisions
    //# (ours) The transcript MUST cover the request's bytes as they were received, never a
    //# re-encoding.
    let mut transcript = transcript(values, sender, &occasion, full.certificate.whole);
    let message = signed_message(transcript.fork_finish().as_ref());
    //= specs/exported-authenticators.md#section-5.2.4
    //# An authenticator MUST be valid only if its CertificateVerify is right for the request, where
    //# there is one, and its Finished has the expected value.
    //= specs/exported-authenticators.md#section-5.2.2
    //# An authenticator made on another connection, such as one on the far side of a
    //# TLS-terminating proxy, MUST fail to validate.
    check_signature(&occasion, leaf, full, &message, algorithms)?;
    transcript.update(full.certificate_verify.whole);
    check_finished(values, sender, transcript, authenticator.finished())?;
    Ok(Validated::Proven(Proven::new(certificate.context, entries, full.scheme)))
}

fn check_signature(
    occasion: &Occasion<'_>,
    leaf: &Entry,
    full: &Full<'_>,
    message: &[u8],
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), InvalidAuthenticator> {
    let scheme = full.scheme;
    let algorithm =
        verification(algorithms, scheme).ok_or(InvalidAuthenticator::SchemeNotTls13(scheme))?;
    if !occasion.offers_scheme(scheme) {
        return Err(InvalidAuthenticator::SchemeNotOffered(scheme));
    }
    //= specs/exported-authenticators.md#section-5.2.1
    //# Certificates MUST be of version 3.
    let verified = match EndEntityCert::try_from(&leaf.certificate) {
        Ok(leaf) => leaf.verify_signature(algorithm, message, full.signature),
        // Whether the certificate is acceptable is for the verifier to say, which may well know the
        // extension. The possession of its key can be shown all the same.
        Err(webpki::Error::UnsupportedCriticalExtension) => {
            let spki = public_key(&leaf.certificate)?;
            RawPublicKeyEntity::try_from(&spki)
                .and_then(|key| key.verify_signature(algorithm, message, full.signature))
        }
        Err(_) => return Err(InvalidAuthenticator::BadCertificate),
    };
    verified.map_err(|error| {
        if error == webpki::Error::InvalidSignatureForPublicKey {
            InvalidAuthenticator::BadSignature
        } else {
            InvalidAuthenticator::SchemeKeyMismatch(scheme)
        }
    })
}

fn public_key<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Result<SubjectPublicKeyInfoDer<'a>, InvalidAuthenticator> {
    let (_, parsed) =
        parse_x509_certificate(certificate).map_err(|_| InvalidAuthenticator::BadCertificate)?;
    Ok(parsed.tbs_certificate.subject_pki.raw.into())
}

/// Hash over Handshake Context, request if there is one, and Certificate; not finished yet.
//= specs/exported-authenticators.md#section-5.2.2
//# The transcript hash of CertificateVerify MUST be Hash(Handshake Context || authenticator request
//# || Certificate) with the authenticator hash.
fn transcript(
    values: &ExporterValues,
    sender: Role,
    occasion: &Occasion<'_>,
    certificate: &[u8],
) -> Box<dyn Context> {
    let mut transcript = values.hash().start();
    //= specs/exported-authenticators.md#section-9
    //# An authenticator MUST NOT be accepted in the other direction.
    transcript.update(&values.of_sender(sender).handshake_context);
    transcript.update(occasion.request_bytes());
    transcript.update(certificate);
    transcript
}

/// The transcript of a refusal: the Certificate in it has the request's context and no certificate.
fn declined_transcript(
    values: &ExporterValues,
    sender: Role,
    request: &AuthenticatorRequest,
) -> Box<dyn Context> {
    let context = request.context();
    // A decoded context has at most 255 bytes.
    let len = context.len() as u8;
    let [high, low] = (u16::from(len) + 4).to_be_bytes();
    //= specs/exported-authenticators.md#decisions
    //# (ours) The Certificate in the transcript of an empty authenticator MUST carry the request's
    //# context and an empty list.
    let mut certificate = vec![HandshakeType::CERTIFICATE.0, 0, high, low, len];
    certificate.extend_from_slice(context);
    certificate.extend_from_slice(&[0, 0, 0]);
    transcript(values, sender, &Occasion::Request(request), &certificate)
}

fn signed_message(transcript: &[u8]) -> Vec<u8> {
    //= specs/exported-authenticators.md#section-5.2.2
    //# The signed content MUST be 64 bytes of 0x20, the string "Exported Authenticator" without a
    //# terminator, one zero byte and the transcript hash, in this order.
    let mut message = vec![0x20; 64];
    message.extend_from_slice(b"Exported Authenticator\0");
    message.extend_from_slice(transcript);
    message
}

fn put_finished(
    out: &mut Vec<u8>,
    values: &ExporterValues,
    sender: Role,
    transcript: Box<dyn Context>,
) -> Result<(), AuthenticateError> {
    let key = &values.of_sender(sender).finished_key;
    //= specs/exported-authenticators.md#section-5.2.3
    //# Finished MUST be HMAC(Finished MAC Key, Hash(Handshake Context || authenticator request ||
    //# Certificate || CertificateVerify)) with the authenticator hash.
    //= specs/exported-authenticators.md#section-6
    //# The Finished of an empty authenticator MUST be HMAC(Finished MAC Key, Hash(Handshake Context
    //# || authenticator request || Certificate)), where Certificate has no entries.
    //= specs/exported-authenticators.md#section-6
    //# The HMAC of an empty authenticator MUST use the authenticator hash and the Finished MAC Key.
    let tag = values.hash().hmac(key, transcript.finish().as_ref());
    put_handshake(out, HandshakeType::FINISHED, |out| out.extend_from_slice(tag.as_ref()))
        .map_err(|_| AuthenticateError::TooLong)
}

fn check_finished(
    values: &ExporterValues,
    sender: Role,
    transcript: Box<dyn Context>,
    finished: &[u8],
) -> Result<(), InvalidAuthenticator> {
    let key = &values.of_sender(sender).finished_key;
    let tag = values.hash().hmac(key, transcript.finish().as_ref());
    //= specs/exported-authenticators.md#section-5.2.4
    //= type=implication
    //# Signature and MAC SHOULD be compared in constant time when an authenticator is validated.
    //= specs/exported-authenticators.md#section-7.4
    //= type=implication
    //# The comparison in validation SHOULD take constant time.
    if bool::from(tag.as_ref().ct_eq(finished)) {
        Ok(())
    } else {
        Err(InvalidAuthenticator::BadFinished)
    }
}
