//! What webpki says, in the words of rustls.

use std::sync::Arc;

use rustls::{CertificateError, Error, OtherError};

/// Why a chain is not accepted. What has no word of its own there is told as it is.
#[expect(clippy::wildcard_enum_match_arm, reason = "webpki's reasons are open-ended")]
pub(crate) fn told(reason: webpki::Error) -> Error {
    let told = match reason {
        webpki::Error::BadDer | webpki::Error::BadDerTime | webpki::Error::TrailingData(_) => {
            CertificateError::BadEncoding
        }
        webpki::Error::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        webpki::Error::CertExpired { time, not_after } => {
            CertificateError::ExpiredContext { time, not_after }
        }
        webpki::Error::InvalidCertValidity => CertificateError::Expired,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        webpki::Error::CertRevoked => CertificateError::Revoked,
        webpki::Error::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        webpki::Error::CrlExpired { time, next_update } => {
            CertificateError::ExpiredRevocationListContext { time, next_update }
        }
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    told.into()
}
