//! Numbers of the drafts, of HTTP/2 and of HTTP/3.

use crate::case::Version;

/// What the drafts leave to be assigned; the same in HTTP/2 and HTTP/3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodePoints {
    /// SETTINGS_HTTP_CLIENT_CERT_AUTH.
    pub client_cert_auth: u16,
    /// SETTINGS_HTTP_SERVER_CERT_AUTH.
    pub server_cert_auth: u16,
    /// AUTHENTICATOR_REQUESTS.
    pub requests: u8,
    /// CERTIFICATE, from client to server.
    pub certificate: u8,
    /// SERVER_CERTIFICATE, from server to client.
    pub server_certificate: u8,
    /// SERVER_CERTIFICATE_INVALID.
    pub server_certificate_invalid: u32,
}

impl Default for CodePoints {
    fn default() -> Self {
        Self {
            client_cert_auth: 0xff0c,
            server_cert_auth: 0xff0d,
            requests: 0xf5,
            certificate: 0xf6,
            server_certificate: 0xf6,
            server_certificate_invalid: 0xff0e,
        }
    }
}

/// A connection error in both versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// In GOAWAY (RFC 9113, section 7).
    pub h2: u32,
    /// In CONNECTION_CLOSE (RFC 9114, section 8.1).
    pub h3: u64,
}

impl Code {
    /// The one of a version.
    pub fn of(self, version: Version) -> u64 {
        match version {
            Version::Http2 => self.h2.into(),
            Version::Http3 => self.h3,
        }
    }
}

/// A frame that may not be there, whatever is in it.
pub const UNEXPECTED: Code = Code { h2: 0x1, h3: 0x105 };
/// A frame that may be there, but not with these contents.
pub const MALFORMED: Code = Code { h2: 0x1, h3: 0x10e };
/// A frame that is longer than was agreed on.
pub const TOO_LONG: Code = Code { h2: 0x6, h3: 0x107 };

/// A frame before SETTINGS.
pub const NO_SETTINGS: Code = Code { h2: 0x1, h3: H3_MISSING_SETTINGS };

/// Further codes of HTTP/3.
pub const H3_STREAM_CREATION_ERROR: u64 = 0x103;
/// The same.
pub const H3_FRAME_ERROR: u64 = 0x106;
/// H3_CLOSED_CRITICAL_STREAM and H3_MISSING_SETTINGS.
pub const H3_CLOSED_CRITICAL_STREAM: u64 = 0x104;
/// The same.
pub const H3_MISSING_SETTINGS: u64 = 0x10a;

/// A type of frames, streams and settings that means nothing (RFC 9114, sections 6.2.3, 7.2.4.1, 7.2.8).
pub const GREASE: u64 = 0x1f * 5 + 0x21;

/// The name of an error code, where it has one.
pub fn name(version: Version, code: u64, points: &CodePoints) -> String {
    if code == u64::from(points.server_certificate_invalid) {
        return "SERVER_CERTIFICATE_INVALID".to_owned();
    }
    let known = match version {
        Version::Http2 => match code {
            0x0 => "NO_ERROR",
            0x1 => "PROTOCOL_ERROR",
            0x2 => "INTERNAL_ERROR",
            0x3 => "FLOW_CONTROL_ERROR",
            0x5 => "STREAM_CLOSED",
            0x6 => "FRAME_SIZE_ERROR",
            0x7 => "REFUSED_STREAM",
            0x8 => "CANCEL",
            0x9 => "COMPRESSION_ERROR",
            0xb => "ENHANCE_YOUR_CALM",
            _ => "",
        },
        Version::Http3 => match code {
            0x100 => "H3_NO_ERROR",
            0x101 => "H3_GENERAL_PROTOCOL_ERROR",
            0x102 => "H3_INTERNAL_ERROR",
            0x103 => "H3_STREAM_CREATION_ERROR",
            0x104 => "H3_CLOSED_CRITICAL_STREAM",
            0x105 => "H3_FRAME_UNEXPECTED",
            0x106 => "H3_FRAME_ERROR",
            0x107 => "H3_EXCESSIVE_LOAD",
            0x108 => "H3_ID_ERROR",
            0x109 => "H3_SETTINGS_ERROR",
            0x10a => "H3_MISSING_SETTINGS",
            0x10b => "H3_REQUEST_REJECTED",
            0x10c => "H3_REQUEST_CANCELLED",
            0x10e => "H3_MESSAGE_ERROR",
            _ => "",
        },
    };
    if known.is_empty() { format!("{code:#x}") } else { known.to_owned() }
}
