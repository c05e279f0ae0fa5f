//! The numbers that the drafts leave open (0xTBD), settable in one place.

use std::fmt;
use std::ops::RangeInclusive;

use crate::Role;

/// The extension's frames, told apart by type and, where the types coincide, by direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
//= specs/client-certs.md#decisions-bad
//= type=implication
//# (ours) A server MUST NOT send a frame of this extension that signals the rejection of a
//# certificate.
pub enum FrameKind {
    /// AUTHENTICATOR_REQUESTS, server to client (client draft, section 4.1).
    AuthenticatorRequests,
    /// CERTIFICATE, client to server (client draft, section 4.2).
    Certificate,
    /// SERVER_CERTIFICATE, server to client (server draft, section 5).
    ServerCertificate,
}

impl FrameKind {
    /// The side that may send this frame.
    pub fn sender(self) -> Role {
        match self {
            Self::AuthenticatorRequests | Self::ServerCertificate => Role::Server,
            Self::Certificate => Role::Client,
        }
    }
}

impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AuthenticatorRequests => "AUTHENTICATOR_REQUESTS",
            Self::Certificate => "CERTIFICATE",
            Self::ServerCertificate => "SERVER_CERTIFICATE",
        })
    }
}

/// The code points in use, the same for HTTP/2 and HTTP/3.
///
/// The drafts have no numbers assigned yet. The defaults lie in HTTP/2's experimental ranges and are
/// no HTTP/3 GREASE values; both ends have to agree on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
//= specs/client-certs.md#decisions-frames
//# (ours) The code points MUST be settable, with the same values for HTTP/2 and HTTP/3.
pub struct CodePoints {
    /// SETTINGS_HTTP_CLIENT_CERT_AUTH.
    pub settings_client_cert_auth: u16,
    /// SETTINGS_HTTP_SERVER_CERT_AUTH.
    pub settings_server_cert_auth: u16,
    /// The frame type AUTHENTICATOR_REQUESTS.
    pub frame_authenticator_requests: u8,
    /// The frame type CERTIFICATE, client to server.
    pub frame_certificate: u8,
    /// The frame type SERVER_CERTIFICATE, server to client; may equal `frame_certificate`.
    pub frame_server_certificate: u8,
    /// The error code SERVER_CERTIFICATE_INVALID.
    pub error_server_certificate_invalid: u32,
}

impl Default for CodePoints {
    fn default() -> Self {
        Self {
            settings_client_cert_auth: 0xff0c,
            settings_server_cert_auth: 0xff0d,
            //= specs/client-certs.md#section-6.1
            //# AUTHENTICATOR_REQUESTS MUST have a frame type in HTTP/2 and one in HTTP/3.
            frame_authenticator_requests: 0xf5,
            //= specs/client-certs.md#decisions-frames
            //# (ours) The frames of client and server that carry an authenticator MUST share one
            //# type by default and be told apart by their direction.
            frame_certificate: 0xf6,
            //= specs/server-certs.md#section-8.1
            //# SERVER_CERTIFICATE MUST have a frame type in HTTP/2 and one in HTTP/3.
            //= specs/server-certs.md#decisions
            //# (ours) SERVER_CERTIFICATE MUST by default have the frame type of the client draft's
            //# CERTIFICATE and be told from it by its direction.
            frame_server_certificate: 0xf6,
            //= specs/server-certs.md#section-8.3
            //# SERVER_CERTIFICATE_INVALID MUST have an error code in HTTP/2 and one in HTTP/3.
            error_server_certificate_invalid: 0xff0e,
        }
    }
}

/// The highest frame type that HTTP/2 or HTTP/3 has given a meaning of its own (PRIORITY_UPDATE).
const LAST_KNOWN_FRAME: u8 = 0x10;
/// The highest setting that HTTP has given a meaning of its own below the experimental range.
const LAST_KNOWN_SETTING: u16 = 0x33;
/// WebTransport's stream signal, a frame type of HTTP/3 that has no length.
const WT_STREAM: u8 = 0x41;
/// The highest error code of HTTP/2.
const LAST_KNOWN_ERROR: u32 = 0x0d;
/// The error codes of HTTP/3 and of QPACK (RFC 9114, section 8.1; RFC 9204, section 6).
const H3_ERRORS: [RangeInclusive<u32>; 2] = [0x100..=0x110, 0x200..=0x202];

/// Why a set of code points cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodePointError {
    /// A value that HTTP itself uses.
    #[error("{name} {value:#x} is a value that HTTP itself uses; choose one above {last:#x}")]
    Taken {
        /// The code point's name.
        name: &'static str,
        /// What it was set to.
        value: u32,
        /// The last value that HTTP uses.
        last: u32,
    },
    /// A value that HTTP/3 reserves for GREASE (0x21 + 31·N), which peers ignore.
    #[error("{name} {value:#x} is reserved by HTTP/3 for values that everybody ignores")]
    Grease {
        /// The code point's name.
        name: &'static str,
        /// What it was set to.
        value: u32,
    },
    /// Two names that must differ share a value.
    #[error("{first} and {second} are both {value:#x}; they must differ")]
    Clash {
        /// One name.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// Their common value.
        value: u32,
    },
}

impl CodePoints {
    /// Checks that the values can be told apart from each other and from HTTP's own.
    //= specs/client-certs.md#decisions-frames
    //# (ours) A default code point MUST lie in an experimental range of HTTP/2 and be no value that
    //# HTTP/3 reserves for greasing.
    pub fn check(&self) -> Result<(), CodePointError> {
        let frames = [
            ("frame_authenticator_requests", self.frame_authenticator_requests),
            ("frame_certificate", self.frame_certificate),
            ("frame_server_certificate", self.frame_server_certificate),
        ];
        for (name, value) in frames {
            not_taken(name, value.into(), LAST_KNOWN_FRAME.into())?;
            if value == WT_STREAM {
                let (value, last) = (value.into(), value.into());
                return Err(CodePointError::Taken { name, value, last });
            }
        }
        let settings = [
            ("settings_client_cert_auth", self.settings_client_cert_auth),
            ("settings_server_cert_auth", self.settings_server_cert_auth),
        ];
        for (name, value) in settings {
            not_taken(name, value.into(), LAST_KNOWN_SETTING.into())?;
        }
        let (name, value) =
            ("error_server_certificate_invalid", self.error_server_certificate_invalid);
        not_taken(name, value, LAST_KNOWN_ERROR)?;
        if let Some(taken) = H3_ERRORS.iter().find(|range| range.contains(&value)) {
            let last = *taken.end();
            return Err(CodePointError::Taken { name, value, last });
        }
        for (name, value) in [
            ("frame_certificate", self.frame_certificate),
            ("frame_server_certificate", self.frame_server_certificate),
        ] {
            if value == self.frame_authenticator_requests {
                return Err(CodePointError::Clash {
                    first: "frame_authenticator_requests",
                    second: name,
                    value: value.into(),
                });
            }
        }
        if self.settings_client_cert_auth == self.settings_server_cert_auth {
            return Err(CodePointError::Clash {
                first: "settings_client_cert_auth",
                second: "settings_server_cert_auth",
                value: self.settings_client_cert_auth.into(),
            });
        }
        Ok(())
    }

    /// The type number of `kind`.
    pub fn frame_type(&self, kind: FrameKind) -> u8 {
        match kind {
            FrameKind::AuthenticatorRequests => self.frame_authenticator_requests,
            FrameKind::Certificate => self.frame_certificate,
            FrameKind::ServerCertificate => self.frame_server_certificate,
        }
    }

    /// What a frame of type `frame_type` means when `receiver` gets it, or `None` if it is not ours.
    ///
    /// One number may stand for CERTIFICATE and SERVER_CERTIFICATE; then the direction decides. A
    /// frame that only the receiver itself may send is still named, so that it can be refused.
    pub fn classify(&self, frame_type: u64, receiver: Role) -> Option<FrameKind> {
        let is = |kind| u64::from(self.frame_type(kind)) == frame_type;
        //= specs/client-certs.md#decisions-frames
        //# (ours) The two directions MAY be given two frame types.
        let (first, second) = match receiver {
            Role::Client => (FrameKind::ServerCertificate, FrameKind::Certificate),
            //= specs/server-certs.md#decisions
            //# (ours) A client's CERTIFICATE of the client draft MUST NOT count as a certificate
            //# under this mechanism.
            Role::Server => (FrameKind::Certificate, FrameKind::ServerCertificate),
        };
        [FrameKind::AuthenticatorRequests, first, second].into_iter().find(|kind| is(*kind))
    }
}

fn not_taken(name: &'static str, value: u32, last: u32) -> Result<(), CodePointError> {
    if value <= last {
        return Err(CodePointError::Taken { name, value, last });
    }
    if value >= 0x21 && (value - 0x21).is_multiple_of(0x1f) {
        return Err(CodePointError::Grease { name, value });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_defaults_can_be_used() {
        //= specs/client-certs.md#decisions-frames
        //= type=test
        //# (ours) A default code point MUST lie in an experimental range of HTTP/2 and be no value
        //# that HTTP/3 reserves for greasing.
        assert_eq!(CodePoints::default().check(), Ok(()));
    }

    #[test]
    fn one_type_for_both_directions_is_told_apart_by_the_receiver() {
        //= specs/client-certs.md#decisions-frames
        //= type=test
        //# (ours) The frames of client and server that carry an authenticator MUST share one type
        //# by default and be told apart by their direction.
        let points = CodePoints::default();
        assert_eq!(points.classify(0xf6, Role::Server), Some(FrameKind::Certificate));
        assert_eq!(points.classify(0xf6, Role::Client), Some(FrameKind::ServerCertificate));
        assert_eq!(points.classify(0xf5, Role::Server), Some(FrameKind::AuthenticatorRequests));
        assert_eq!(points.classify(0x00, Role::Server), None);
    }

    #[test]
    fn two_types_keep_their_meaning_in_both_directions() {
        //= specs/client-certs.md#decisions-frames
        //= type=test
        //# (ours) The two directions MAY be given two frame types.
        //= specs/client-certs.md#decisions-frames
        //= type=test
        //# (ours) The code points MUST be settable, with the same values for HTTP/2 and HTTP/3.
        let points = CodePoints { frame_server_certificate: 0xf7, ..CodePoints::default() };
        assert_eq!(points.classify(0xf6, Role::Client), Some(FrameKind::Certificate));
        assert_eq!(points.classify(0xf7, Role::Server), Some(FrameKind::ServerCertificate));
    }

    #[test]
    fn values_that_cannot_be_told_apart_are_refused() {
        type Change = fn(&mut CodePoints);
        let refused: [(Change, &str); 11] = [
            (
                |points| points.frame_certificate = 0x04,
                "frame_certificate 0x4 is a value that HTTP itself uses; choose one above 0x10",
            ),
            (
                |points| points.frame_server_certificate = 0x41,
                "frame_server_certificate 0x41 is a value that HTTP itself uses; choose one above 0x41",
            ),
            (
                |points| points.settings_client_cert_auth = 0x33,
                "settings_client_cert_auth 0x33 is a value that HTTP itself uses; choose one above 0x33",
            ),
            (
                |points| points.error_server_certificate_invalid = 0x01,
                "error_server_certificate_invalid 0x1 is a value that HTTP itself uses; choose one above 0xd",
            ),
            (
                |points| points.error_server_certificate_invalid = 0x105,
                "error_server_certificate_invalid 0x105 is a value that HTTP itself uses; choose one above 0x110",
            ),
            (
                |points| points.frame_certificate = 0x21,
                "frame_certificate 0x21 is reserved by HTTP/3 for values that everybody ignores",
            ),
            (
                |points| points.settings_server_cert_auth = 0x40,
                "settings_server_cert_auth 0x40 is reserved by HTTP/3 for values that everybody ignores",
            ),
            (
                |points| points.error_server_certificate_invalid = 0x5f,
                "error_server_certificate_invalid 0x5f is reserved by HTTP/3 for values that everybody ignores",
            ),
            (
                |points| points.frame_certificate = 0xf5,
                "frame_authenticator_requests and frame_certificate are both 0xf5; they must differ",
            ),
            (
                |points| points.frame_server_certificate = 0xf5,
                "frame_authenticator_requests and frame_server_certificate are both 0xf5; they must differ",
            ),
            (
                |points| points.settings_server_cert_auth = 0xff0c,
                "settings_client_cert_auth and settings_server_cert_auth are both 0xff0c; they must differ",
            ),
        ];
        for (change, sentence) in refused {
            let mut points = CodePoints::default();
            change(&mut points);
            assert_eq!(points.check().unwrap_err().to_string(), sentence);
        }
    }

    proptest! {
        #[test]
        fn every_type_names_the_frame_it_was_set_for(types: [u8; 3], other: u64, server: bool) {
            let points = CodePoints {
                frame_authenticator_requests: types[0],
                frame_certificate: types[1],
                frame_server_certificate: types[2],
                ..CodePoints::default()
            };
            prop_assume!(points.check().is_ok());
            let receiver = if server { Role::Server } else { Role::Client };
            for kind in [
                FrameKind::AuthenticatorRequests,
                FrameKind::Certificate,
                FrameKind::ServerCertificate,
            ] {
                let named = points.classify(points.frame_type(kind).into(), receiver);
                if types[1] == types[2] && kind != FrameKind::AuthenticatorRequests {
                    // One type for both directions: the sender tells.
                    prop_assert_eq!(named.unwrap().sender(), receiver.peer());
                } else {
                    prop_assert_eq!(named, Some(kind));
                }
            }
            if !types.iter().any(|own| u64::from(*own) == other) {
                prop_assert_eq!(points.classify(other, receiver), None);
            }
        }
    }
}
