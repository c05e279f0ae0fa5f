//! What can go wrong, told apart by who is at fault.

use rustls::SignatureScheme;

use crate::{ContextError, ExtensionType, Unsuitable};

/// The bytes of a request or an authenticator do not follow the presentation language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A field is cut, or its length goes beyond what contains it.
    #[error("{0} is cut short")]
    Truncated(&'static str),
    /// Bytes are left over after a field that should have ended its container.
    #[error("bytes are left over after {0}")]
    Trailing(&'static str),
    /// A field is shorter than the least that its definition allows.
    #[error("{0} is empty or has an impossible length")]
    Length(&'static str),
    /// The message is of another type than a request may have.
    #[error("handshake type {0} is no authenticator request")]
    NoRequest(u8),
    /// An extension occurs twice.
    #[error("{0} occurs twice")]
    DuplicateExtension(ExtensionType),
    /// A request without the mandatory signature_algorithms extension.
    #[error("the request has no signature_algorithms extension")]
    NoSignatureAlgorithms,
    /// An object identifier occurs twice in oid_filters.
    #[error("an object identifier occurs twice in oid_filters")]
    DuplicateOid,
    /// Messages are missing, out of their order, or too many.
    #[error(
        "the authenticator is not Certificate, CertificateVerify, Finished, nor Finished alone"
    )]
    MessageSequence,
}

/// The peer's authenticator proves nothing. It is the peer that misbehaved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthenticator {
    /// The bytes do not decode.
    #[error("malformed authenticator: {0}")]
    Malformed(#[from] Malformed),
    /// The context is another one than the request's.
    #[error("the authenticator's context is not that of the request")]
    ContextMismatch,
    /// The context was used before on this connection, or cannot be tracked.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// A full authenticator without a certificate in it.
    #[error("the authenticator's certificate list is empty")]
    EmptyCertificateList,
    /// The end-entity certificate is no X.509 certificate.
    #[error("the end-entity certificate does not decode")]
    BadCertificate,
    /// An extension that the request (or the ClientHello) did not offer.
    #[error("{0} was not requested")]
    ExtensionNotRequested(ExtensionType),
    /// A signature scheme that TLS 1.3 does not allow, or that we cannot verify.
    #[error("signature scheme {0:?} is none of TLS 1.3 that can be verified")]
    SchemeNotTls13(SignatureScheme),
    /// A signature scheme that the request (or the ClientHello) did not offer.
    #[error("signature scheme {0:?} was not offered")]
    SchemeNotOffered(SignatureScheme),
    /// A signature scheme that the certificate's key cannot sign with.
    #[error("signature scheme {0:?} does not fit the certificate's key")]
    SchemeKeyMismatch(SignatureScheme),
    /// The signature does not verify over this connection's transcript.
    #[error("the signature does not verify")]
    BadSignature,
    /// The Finished message does not verify.
    #[error("the Finished message does not verify")]
    BadFinished,
    /// A client sent, or was asked to accept from a client, an authenticator without a request.
    #[error("a client cannot authenticate without a request")]
    SpontaneousClient,
}

/// Authenticators cannot be used on this connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The handshake has not completed, so the client's Finished is not verified.
    #[error("the TLS handshake has not completed")]
    HandshakeNotComplete,
    /// TLS 1.2 without a guarantee of the extended master secret, or an older version.
    #[error(
        "TLS 1.2 needs the extended master secret (RFC 7627), and older versions cannot be used"
    )]
    NoExtendedMasterSecret,
    /// The provider has no TLS 1.3 suite with the hash of the negotiated suite.
    #[error("the negotiated suite's hash is not available")]
    NoHash,
    /// The exporter failed.
    #[error("the TLS exporter failed")]
    Exporter,
}

/// A request could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The context is longer than 255 bytes.
    #[error("a certificate_request_context is at most 255 bytes long")]
    ContextTooLong,
    /// The extensions do not fit into 65,535 bytes.
    #[error("the extensions are longer than 65535 bytes")]
    ExtensionsTooLong,
    /// The result would not decode: no signature scheme, an extension twice, an empty name.
    #[error("the request would be malformed: {0}")]
    Malformed(#[from] Malformed),
    /// Only a client asks for the certificate of a named server.
    #[error("a server's request cannot contain server_name")]
    ServerName,
    /// The registry of TLS does not have the extension in requests.
    #[error("a request cannot contain {0}")]
    NotInRequests(ExtensionType),
    /// The context is not unique on this connection.
    #[error(transparent)]
    Context(#[from] ContextError),
}

/// An authenticator could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticateError {
    /// The credential does not meet the request; declining is possible.
    #[error("the credential does not suit the request: {0}")]
    Unsuitable(#[from] Unsuitable),
    /// The context was answered before on this connection.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// Clients answer requests only.
    #[error("a client cannot authenticate without a request")]
    SpontaneousClient,
    /// Chain, extensions or signature do not fit into the message's length fields.
    #[error("the certificate chain, its extensions or the signature are too long")]
    TooLong,
    /// The key refused to sign.
    #[error("the private key failed to sign")]
    Signing,
}
