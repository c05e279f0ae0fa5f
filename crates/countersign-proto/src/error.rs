//! Certificates that are not acceptable, and callers that ask for what cannot be.

use rustls::CertificateError;

/// Why a certificate, whose possession was proven, grants nothing. The connection lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// No path to a trust anchor, or a path that breaks a rule of RFC 5280.
    #[error("the certificate does not chain to a trusted issuer")]
    Untrusted,
    /// Outside of its validity period.
    #[error("the certificate has expired or is not yet valid")]
    Expired,
    /// On a revocation list.
    #[error("the certificate has been revoked")]
    Revoked,
    /// Nobody knows whether it was revoked: there is no usable revocation list of its issuer.
    #[error("the certificate's revocation status cannot be determined")]
    RevocationUnknown,
    /// The revocation list of its issuer is past its nextUpdate.
    #[error("the revocation list for the certificate is out of date")]
    RevocationStale,
    /// The extended key usage does not allow client authentication, or lacks what is required.
    #[error("the certificate's extended key usage does not fit")]
    WrongPurpose,
    /// The subject alternative names do not meet the credential's constraint.
    #[error("the certificate's subject alternative names do not fit")]
    WrongName,
}

impl From<&rustls::Error> for Rejection {
    /// Sorts a verifier's word. What is not understood counts as untrusted.
    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls' reasons are open-ended")]
    fn from(error: &rustls::Error) -> Self {
        let reason = match error {
            rustls::Error::InvalidCertificate(reason) => reason,
            rustls::Error::InvalidCertRevocationList(_) => return Self::RevocationUnknown,
            _ => return Self::Untrusted,
        };
        match reason {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Expired,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::UnknownRevocationStatus => Self::RevocationUnknown,
            CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => Self::RevocationStale,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::WrongPurpose
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            _ => Self::Untrusted,
        }
    }
}

/// A call that cannot be carried out. Nothing was sent and nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// Both sides have not announced support (yet).
    #[error("the peer has not announced support for client certificate authentication")]
    NotNegotiated,
    /// More challenges wait to be sent than the machine keeps.
    #[error("too many challenges are already waiting to be sent on this connection")]
    QueueFull,
    /// No challenge of that number waits for an answer.
    #[error("there is no such challenge waiting for an answer")]
    NoSuchChallenge,
    /// No generic challenge is in the pool.
    #[error("the server has left no challenge that a credential could be presented with")]
    PoolEmpty,
    /// The limit cannot be set back to 0 once it was greater.
    #[error("the limit cannot go back to 0 on a live connection")]
    LimitTakenBack,
    /// HTTP/3 has one SETTINGS frame, so the limit cannot change.
    #[error("HTTP/3 cannot change a setting on a live connection")]
    SettingsFixed,
    /// The context is not unique on this connection, or no more can be tracked.
    #[error("no further unique certificate_request_context can be tracked on this connection")]
    ContextsExhausted,
    /// What was to be asked for makes no valid request.
    #[error("the challenge's extensions make no valid authenticator request")]
    BadTemplate,
    /// The source of random numbers failed.
    #[error("no random numbers could be drawn")]
    Random,
    /// The connection is over.
    #[error("the connection is closed")]
    Closed,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::{ServerName, UnixTime};
    use rustls::{CertRevocationListError, ExtendedKeyPurpose};

    use super::*;

    #[test]
    fn every_reason_of_a_verifier_has_its_rejection() {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(1));
        let (not_before, not_after, next_update) = (time, time, time);
        let certificate = |reason| rustls::Error::InvalidCertificate(reason);
        for (reason, rejection) in [
            (CertificateError::Expired, Rejection::Expired),
            (CertificateError::ExpiredContext { time, not_after }, Rejection::Expired),
            (CertificateError::NotValidYet, Rejection::Expired),
            (CertificateError::NotValidYetContext { time, not_before }, Rejection::Expired),
            (CertificateError::Revoked, Rejection::Revoked),
            (CertificateError::UnknownRevocationStatus, Rejection::RevocationUnknown),
            (CertificateError::ExpiredRevocationList, Rejection::RevocationStale),
            (
                CertificateError::ExpiredRevocationListContext { time, next_update },
                Rejection::RevocationStale,
            ),
            (CertificateError::InvalidPurpose, Rejection::WrongPurpose),
            (
                CertificateError::InvalidPurposeContext {
                    required: ExtendedKeyPurpose::ClientAuth,
                    presented: vec![ExtendedKeyPurpose::ServerAuth],
                },
                Rejection::WrongPurpose,
            ),
            (CertificateError::NotValidForName, Rejection::WrongName),
            (
                CertificateError::NotValidForNameContext {
                    expected: ServerName::try_from("localhost").unwrap(),
                    presented: Vec::new(),
                },
                Rejection::WrongName,
            ),
            (CertificateError::UnknownIssuer, Rejection::Untrusted),
            (CertificateError::BadEncoding, Rejection::Untrusted),
            (CertificateError::BadSignature, Rejection::Untrusted),
            (CertificateError::UnhandledCriticalExtension, Rejection::Untrusted),
            (CertificateError::ApplicationVerificationFailure, Rejection::Untrusted),
        ] {
            assert_eq!(Rejection::from(&certificate(reason.clone())), rejection, "{reason:?}");
        }
    }

    #[test]
    fn a_revocation_list_that_cannot_be_used_tells_nothing() {
        let error =
            rustls::Error::InvalidCertRevocationList(CertRevocationListError::IssuerInvalidForCrl);
        assert_eq!(Rejection::from(&error), Rejection::RevocationUnknown);
    }

    #[test]
    fn what_is_not_understood_counts_as_untrusted() {
        let error = rustls::Error::General("the verifier's own reason".into());
        assert_eq!(Rejection::from(&error), Rejection::Untrusted);
    }
}
