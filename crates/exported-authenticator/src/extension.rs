//! Extensions of CertificateRequest and Certificate (RFC 8446, section 4.2), known and unknown.

use std::fmt;

use crate::Malformed;
use crate::codec::{Reader, TooLong, put_vector};

/// An extension's type. Every value is representable; only some are understood.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtensionType(pub u16);

impl ExtensionType {
    /// server_name (RFC 6066), in client-generated requests.
    pub const SERVER_NAME: Self = Self(0);
    /// status_request: OCSP (RFC 6066).
    pub const STATUS_REQUEST: Self = Self(5);
    /// signature_algorithms (RFC 8446, section 4.2.3).
    pub const SIGNATURE_ALGORITHMS: Self = Self(13);
    /// signed_certificate_timestamp (RFC 6962).
    pub const SIGNED_CERTIFICATE_TIMESTAMP: Self = Self(18);
    /// certificate_authorities (RFC 8446, section 4.2.4).
    pub const CERTIFICATE_AUTHORITIES: Self = Self(47);
    /// oid_filters (RFC 8446, section 4.2.5).
    pub const OID_FILTERS: Self = Self(48);
    /// signature_algorithms_cert (RFC 8446, section 4.2.3).
    pub const SIGNATURE_ALGORITHMS_CERT: Self = Self(50);

    /// Whether the registry keeps it out of requests, which may have what it marks with CR alone. Types that nobody has
    /// registered are for those who agree on them.
    pub(crate) fn is_kept_out_of_requests(self) -> bool {
        /// The last type that was registered when this was written, but for one.
        const LAST_REGISTERED: u16 = 63;
        const RENEGOTIATION_INFO: ExtensionType = ExtensionType(0xff01);
        /// compress_certificate, delegated_credential and transparency_info.
        const OTHERS: [u16; 3] = [27, 34, 52];
        let has_cr = matches!(
            self,
            Self::SERVER_NAME
                | Self::STATUS_REQUEST
                | Self::SIGNATURE_ALGORITHMS
                | Self::SIGNED_CERTIFICATE_TIMESTAMP
                | Self::CERTIFICATE_AUTHORITIES
                | Self::OID_FILTERS
                | Self::SIGNATURE_ALGORITHMS_CERT
        ) || OTHERS.contains(&self.0);
        self == RENEGOTIATION_INFO || self.0 <= LAST_REGISTERED && !has_cr
    }

    /// Whether a Certificate may carry it where it was offered. The extensions that guide the choice
    /// of a certificate belong to requests and the ClientHello alone (RFC 8446, section 4.2).
    pub(crate) fn may_accompany_certificate(self) -> bool {
        !matches!(
            self,
            Self::SERVER_NAME
                | Self::SIGNATURE_ALGORITHMS
                | Self::CERTIFICATE_AUTHORITIES
                | Self::OID_FILTERS
                | Self::SIGNATURE_ALGORITHMS_CERT
        )
    }

    fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::SERVER_NAME => "server_name",
            Self::STATUS_REQUEST => "status_request",
            Self::SIGNATURE_ALGORITHMS => "signature_algorithms",
            Self::SIGNED_CERTIFICATE_TIMESTAMP => "signed_certificate_timestamp",
            Self::CERTIFICATE_AUTHORITIES => "certificate_authorities",
            Self::OID_FILTERS => "oid_filters",
            Self::SIGNATURE_ALGORITHMS_CERT => "signature_algorithms_cert",
            Self(_) => return None,
        })
    }
}

impl fmt::Display for ExtensionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "extension {}", self.0),
        }
    }
}

impl fmt::Debug for ExtensionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One extension: its type and its body, uninterpreted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The type.
    pub typ: ExtensionType,
    /// The body, at most 65,535 bytes.
    pub body: Vec<u8>,
}

/// Reads a list of extensions; the same type twice is malformed.
pub(crate) fn read_extensions(list: &[u8]) -> Result<Vec<Extension>, Malformed> {
    let mut reader = Reader::new(list);
    let mut extensions: Vec<Extension> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    while !reader.is_empty() {
        let typ = ExtensionType(reader.u16("extension type")?);
        let body = reader.vec16("extension body")?;
        //= specs/exported-authenticators.md#decisions
        //# (ours) An extension that occurs twice in one list MUST be refused.
        if !seen.insert(typ) {
            return Err(Malformed::DuplicateExtension(typ));
        }
        extensions.push(Extension { typ, body: body.to_vec() });
    }
    Ok(extensions)
}

pub(crate) fn put_extension(
    out: &mut Vec<u8>,
    typ: ExtensionType,
    body: &[u8],
) -> Result<(), TooLong> {
    out.extend_from_slice(&typ.0.to_be_bytes());
    put_vector(out, 2, |out| out.extend_from_slice(body))
}
