//! What a peer can do wrong, and the error code that each wrong earns in HTTP/2 and HTTP/3.

use std::fmt;

use crate::CodePoints;

/// A rule that the peer broke. It ends the connection, and only that connection.
///
/// The text is for people and goes into GOAWAY's debug data; it never contains secrets or contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// AUTHENTICATOR_REQUESTS or CERTIFICATE before both sides announced support.
    #[error("a frame of client certificate authentication arrived without negotiated support")]
    NotNegotiated,
    /// SERVER_CERTIFICATE before both sides announced support for it.
    #[error("SERVER_CERTIFICATE arrived without negotiated support")]
    ServerCertificateNotNegotiated,
    /// AUTHENTICATOR_REQUESTS reached a server.
    #[error("AUTHENTICATOR_REQUESTS was sent by a client")]
    RequestsFromClient,
    /// The client-to-server CERTIFICATE reached a client.
    #[error("the client's CERTIFICATE was sent by a server")]
    CertificateFromServer,
    /// SERVER_CERTIFICATE reached a server.
    #[error("SERVER_CERTIFICATE was sent by a client")]
    ServerCertificateFromClient,
    /// A frame of the extension outside of stream 0 or the control stream.
    #[error("a frame of certificate authentication was sent outside of the control stream")]
    WrongStream,
    /// A frame of the extension between HEADERS and the end of its header block (HTTP/2).
    #[error("a frame of certificate authentication was sent inside a header block")]
    InsideHeaderBlock,
    /// A frame longer than what was announced or is accepted.
    #[error("a frame of certificate authentication is longer than accepted")]
    FrameTooLong,
    /// AUTHENTICATOR_REQUESTS without a request in it.
    #[error("AUTHENTICATOR_REQUESTS is empty")]
    EmptyRequests,
    /// A length that is cut, or reaches beyond the frame.
    #[error("AUTHENTICATOR_REQUESTS has a length that is cut or goes beyond the frame")]
    RequestLength,
    /// A request that does not decode.
    #[error("an authenticator request is malformed")]
    MalformedRequest,
    /// A request whose certificate_request_context was used before on this connection.
    #[error("an authenticator request repeats a certificate_request_context")]
    RepeatedContext,
    /// More outstanding requests than the client announced.
    #[error("more authenticator requests are outstanding than the client announced")]
    TooManyRequests,
    /// More contexts over the life of the connection than the client keeps track of.
    #[error("more authenticator contexts were used on this connection than the client can track")]
    TooManyContexts,
    /// CERTIFICATE while no request was outstanding.
    #[error("CERTIFICATE was sent while no authenticator request was outstanding")]
    Unsolicited,
    /// An authenticator that answers another outstanding request than the oldest one.
    #[error("an authenticator answers a later request before an earlier one")]
    OutOfOrder,
    /// An authenticator whose context belongs to no outstanding request.
    #[error("an authenticator carries a context that was not asked for")]
    WrongContext,
    /// An authenticator whose context was answered before.
    #[error("an authenticator was replayed")]
    Replayed,
    /// An authenticator that does not decode.
    #[error("an authenticator is malformed")]
    MalformedAuthenticator,
    /// An extension in Certificate that the request did not offer, or twice.
    #[error("an authenticator carries an extension that was not requested, or one twice")]
    AuthenticatorExtension,
    /// A signature scheme that was not offered, is none of TLS 1.3, or does not fit the key.
    #[error(
        "an authenticator uses a signature scheme that was not offered or does not fit the key"
    )]
    SignatureScheme,
    /// A signature that does not verify.
    #[error("an authenticator's signature does not verify")]
    BadSignature,
    /// A Finished that does not verify.
    #[error("an authenticator's Finished does not verify")]
    BadFinished,
    /// The setting went back to 0 after it had been greater.
    #[error("SETTINGS_HTTP_CLIENT_CERT_AUTH was taken back")]
    SettingTakenBack,
    /// SETTINGS_HTTP_SERVER_CERT_AUTH went back to 0, or is neither 0 nor 1.
    #[error("SETTINGS_HTTP_SERVER_CERT_AUTH was taken back or is neither 0 nor 1")]
    ServerCertSetting,
    /// A SERVER_CERTIFICATE whose authenticator does not validate.
    #[error("a server's authenticator does not validate")]
    ServerCertificateInvalid,
    /// More SERVER_CERTIFICATE frames than the client keeps until it has verified them.
    #[error("more SERVER_CERTIFICATE frames arrived at once than the client keeps")]
    TooManyServerCertificates,
}

/// An error code of HTTP/2 (RFC 9113, section 7) or HTTP/3 (RFC 9114, section 8.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u64);

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// HTTP/2's PROTOCOL_ERROR.
const PROTOCOL_ERROR: ErrorCode = ErrorCode(0x1);
/// HTTP/2's FRAME_SIZE_ERROR.
const FRAME_SIZE_ERROR: ErrorCode = ErrorCode(0x6);
/// HTTP/2's ENHANCE_YOUR_CALM.
const ENHANCE_YOUR_CALM: ErrorCode = ErrorCode(0xb);
/// HTTP/3's H3_FRAME_UNEXPECTED.
const H3_FRAME_UNEXPECTED: ErrorCode = ErrorCode(0x105);
/// HTTP/3's H3_EXCESSIVE_LOAD.
const H3_EXCESSIVE_LOAD: ErrorCode = ErrorCode(0x107);
/// HTTP/3's H3_SETTINGS_ERROR.
const H3_SETTINGS_ERROR: ErrorCode = ErrorCode(0x109);
/// HTTP/3's H3_MESSAGE_ERROR.
const H3_MESSAGE_ERROR: ErrorCode = ErrorCode(0x10e);

impl Violation {
    /// Every violation, for tables and tests.
    pub const ALL: &'static [Self] = &[
        Self::NotNegotiated,
        Self::ServerCertificateNotNegotiated,
        Self::RequestsFromClient,
        Self::CertificateFromServer,
        Self::ServerCertificateFromClient,
        Self::WrongStream,
        Self::InsideHeaderBlock,
        Self::FrameTooLong,
        Self::EmptyRequests,
        Self::RequestLength,
        Self::MalformedRequest,
        Self::RepeatedContext,
        Self::TooManyRequests,
        Self::TooManyContexts,
        Self::Unsolicited,
        Self::OutOfOrder,
        Self::WrongContext,
        Self::Replayed,
        Self::MalformedAuthenticator,
        Self::AuthenticatorExtension,
        Self::SignatureScheme,
        Self::BadSignature,
        Self::BadFinished,
        Self::SettingTakenBack,
        Self::ServerCertSetting,
        Self::ServerCertificateInvalid,
        Self::TooManyServerCertificates,
    ];

    /// The code for GOAWAY in HTTP/2.
    pub fn h2_code(self, points: &CodePoints) -> ErrorCode {
        self.codes(points).0
    }

    /// The code for CONNECTION_CLOSE in HTTP/3.
    pub fn h3_code(self, points: &CodePoints) -> ErrorCode {
        self.codes(points).1
    }

    /// The one table of codes: HTTP/2, HTTP/3.
    //= specs/client-certs.md#section-4.1.4
    //# In HTTP/2 this error MUST be PROTOCOL_ERROR.
    //= specs/client-certs.md#section-4.1.4
    //# In HTTP/3 this error MUST be H3_FRAME_UNEXPECTED.
    //= specs/client-certs.md#decisions-limits
    //# (ours) AUTHENTICATOR_REQUESTS or CERTIFICATE without negotiation MUST be a connection error,
    //# PROTOCOL_ERROR in HTTP/2 and H3_FRAME_UNEXPECTED in HTTP/3.
    //= specs/client-certs.md#section-4.2
    //# In HTTP/2 a client that receives a server's CERTIFICATE without that negotiation MUST answer
    //# with a connection error PROTOCOL_ERROR.
    //= specs/client-certs.md#section-4.2
    //# In HTTP/3 a client that receives a server's CERTIFICATE without that negotiation MUST answer
    //# with a connection error H3_FRAME_UNEXPECTED.
    //= specs/client-certs.md#section-4.1.1
    //# A server that receives this HTTP/2 frame on whatever stream MUST treat that as a connection
    //# error PROTOCOL_ERROR.
    //= specs/client-certs.md#section-4.1.2
    //# A server that receives this HTTP/3 frame on whatever stream MUST treat that as a connection
    //# error H3_FRAME_UNEXPECTED.
    //= specs/client-certs.md#section-4.1.1
    //# A client that receives this HTTP/2 frame on another stream than 0 MUST treat that as a
    //# connection error PROTOCOL_ERROR.
    //= specs/client-certs.md#section-4.1.2
    //# A client that receives this HTTP/3 frame on another stream than the control stream MUST
    //# treat that as a connection error H3_FRAME_UNEXPECTED.
    //= specs/client-certs.md#decisions-frames
    //# (ours) A frame of the extension between HEADERS and the end of its header block MUST be a
    //# connection error PROTOCOL_ERROR.
    //= specs/client-certs.md#decisions-bad
    //# (ours) A CERTIFICATE that nobody asked for MUST be a connection error, PROTOCOL_ERROR in
    //# HTTP/2 and H3_FRAME_UNEXPECTED in HTTP/3.
    //= specs/client-certs.md#section-4.1.1
    //# In HTTP/2 a payload that does not decode, such as one with a cut length, MUST be treated as
    //# a connection error PROTOCOL_ERROR.
    //= specs/client-certs.md#section-4.1.2
    //# In HTTP/3 a payload that does not decode MUST be treated as a connection error
    //# H3_MESSAGE_ERROR.
    //= specs/client-certs.md#section-4.1.1
    //# In HTTP/2 an authenticator request that does not decode MUST be treated as a connection
    //# error PROTOCOL_ERROR.
    //= specs/client-certs.md#section-4.1.2
    //# In HTTP/3 an authenticator request that does not decode MUST be treated as a connection
    //# error H3_MESSAGE_ERROR.
    //= specs/client-certs.md#decisions-bad
    //# (ours) An authenticator that fails to decode, is out of order or has a wrong context,
    //# extension, scheme, signature or MAC MUST be a connection error, PROTOCOL_ERROR in HTTP/2 and
    //# H3_MESSAGE_ERROR in HTTP/3.
    //= specs/client-certs.md#decisions-frames
    //# (ours) A frame over the accepted size MUST be a connection error at its header, before any
    //# of it is buffered, FRAME_SIZE_ERROR in HTTP/2 and H3_EXCESSIVE_LOAD in HTTP/3.
    //= specs/client-certs.md#decisions-limits
    //# (ours) A client that cannot remember any more request contexts MUST end the connection, with
    //# ENHANCE_YOUR_CALM in HTTP/2 and H3_EXCESSIVE_LOAD in HTTP/3.
    //= specs/client-certs.md#decisions-limits
    //# (ours) A setting that goes back to 0 in HTTP/2 MUST be a connection error PROTOCOL_ERROR.
    fn codes(self, points: &CodePoints) -> (ErrorCode, ErrorCode) {
        match self {
            Self::NotNegotiated
            | Self::ServerCertificateNotNegotiated
            | Self::RequestsFromClient
            | Self::CertificateFromServer
            | Self::ServerCertificateFromClient
            | Self::WrongStream
            | Self::InsideHeaderBlock
            | Self::TooManyRequests
            | Self::Unsolicited => (PROTOCOL_ERROR, H3_FRAME_UNEXPECTED),
            //= specs/client-certs.md#decisions-frames
            //# (ours) An empty list in AUTHENTICATOR_REQUESTS MUST count as malformed.
            Self::EmptyRequests
            | Self::RequestLength
            | Self::MalformedRequest
            | Self::RepeatedContext
            | Self::OutOfOrder
            | Self::WrongContext
            | Self::Replayed
            | Self::MalformedAuthenticator
            | Self::AuthenticatorExtension
            | Self::SignatureScheme
            | Self::BadSignature
            | Self::BadFinished => (PROTOCOL_ERROR, H3_MESSAGE_ERROR),
            Self::FrameTooLong => (FRAME_SIZE_ERROR, H3_EXCESSIVE_LOAD),
            Self::TooManyContexts | Self::TooManyServerCertificates => {
                (ENHANCE_YOUR_CALM, H3_EXCESSIVE_LOAD)
            }
            Self::SettingTakenBack | Self::ServerCertSetting => (PROTOCOL_ERROR, H3_SETTINGS_ERROR),
            Self::ServerCertificateInvalid => {
                //= specs/server-certs.md#section-5.3
                //# An authenticator that fails this validation MUST be treated as a connection
                //# error SERVER_CERTIFICATE_INVALID.
                //= specs/server-certs.md#section-6.1
                //# SERVER_CERTIFICATE_INVALID MUST stand for an authenticator that could not be
                //# validated.
                let code = ErrorCode(points.error_server_certificate_invalid.into());
                (code, code)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_violation_is_in_the_reviewed_table() {
        //= specs/server-certs.md#decisions
        //= type=test
        //# (ours) A setting that goes back from 1 to 0 MUST be a connection error, PROTOCOL_ERROR
        //# in HTTP/2 and H3_SETTINGS_ERROR in HTTP/3.
        //= specs/client-certs.md#section-4.1.4
        //= type=test
        //# In HTTP/2 this error MUST be PROTOCOL_ERROR.
        //= specs/client-certs.md#section-4.1.4
        //= type=test
        //# In HTTP/3 this error MUST be H3_FRAME_UNEXPECTED.
        //= specs/client-certs.md#section-4.1.2
        //= type=test
        //# A server that receives this HTTP/3 frame on whatever stream MUST treat that as a
        //# connection error H3_FRAME_UNEXPECTED.
        //= specs/client-certs.md#section-4.1.2
        //= type=test
        //# A client that receives this HTTP/3 frame on another stream than the control stream MUST
        //# treat that as a connection error H3_FRAME_UNEXPECTED.
        //= specs/client-certs.md#section-4.1.2
        //= type=test
        //# In HTTP/3 a payload that does not decode MUST be treated as a connection error
        //# H3_MESSAGE_ERROR.
        //= specs/client-certs.md#section-4.1.2
        //= type=test
        //# In HTTP/3 an authenticator request that does not decode MUST be treated as a connection
        //# error H3_MESSAGE_ERROR.
        //= specs/client-certs.md#section-4.2
        //= type=test
        //# In HTTP/3 a client that receives a server's CERTIFICATE without that negotiation MUST
        //# answer with a connection error H3_FRAME_UNEXPECTED.
        //= specs/client-certs.md#decisions-limits
        //= type=test
        //# (ours) AUTHENTICATOR_REQUESTS or CERTIFICATE without negotiation MUST be a connection
        //# error, PROTOCOL_ERROR in HTTP/2 and H3_FRAME_UNEXPECTED in HTTP/3.
        //= specs/client-certs.md#decisions-bad
        //= type=test
        //# (ours) A CERTIFICATE that nobody asked for MUST be a connection error, PROTOCOL_ERROR in
        //# HTTP/2 and H3_FRAME_UNEXPECTED in HTTP/3.
        //= specs/client-certs.md#decisions-bad
        //= type=test
        //# (ours) An authenticator that fails to decode, is out of order or has a wrong context,
        //# extension, scheme, signature or MAC MUST be a connection error, PROTOCOL_ERROR in HTTP/2
        //# and H3_MESSAGE_ERROR in HTTP/3.
        let points = CodePoints::default();
        let mut table = String::new();
        for violation in Violation::ALL {
            let (h2, h3) = violation.codes(&points);
            table.push_str(&format!("{violation:?}: {h2:?} {h3:?} \"{violation}\"\n"));
        }
        insta::assert_snapshot!(table);
    }
}
