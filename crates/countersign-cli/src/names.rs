//! Names that people and scripts know things by.

use rustls::{ProtocolVersion, SignatureScheme, SupportedCipherSuite};
use x509_parser::der_parser::Oid;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::x509::X509Name;

/// A signature scheme's name in IANA's registry; its number where it has none here.
pub(crate) fn scheme(scheme: SignatureScheme) -> String {
    let number = u16::from(scheme);
    let name = match number {
        0x0201 => "rsa_pkcs1_sha1",
        0x0203 => "ecdsa_sha1",
        0x0401 => "rsa_pkcs1_sha256",
        0x0403 => "ecdsa_secp256r1_sha256",
        0x0501 => "rsa_pkcs1_sha384",
        0x0503 => "ecdsa_secp384r1_sha384",
        0x0601 => "rsa_pkcs1_sha512",
        0x0603 => "ecdsa_secp521r1_sha512",
        0x0804 => "rsa_pss_rsae_sha256",
        0x0805 => "rsa_pss_rsae_sha384",
        0x0806 => "rsa_pss_rsae_sha512",
        0x0807 => "ed25519",
        0x0808 => "ed448",
        0x0809 => "rsa_pss_pss_sha256",
        0x080a => "rsa_pss_pss_sha384",
        0x080b => "rsa_pss_pss_sha512",
        0x0904 => "mldsa44",
        0x0905 => "mldsa65",
        0x0906 => "mldsa87",
        _ => return format!("{number:#06x}"),
    };
    name.to_owned()
}

/// A protocol version, as in `TLSv1.3`.
pub(crate) fn version(version: ProtocolVersion) -> String {
    format!("{version:?}").replace('_', ".")
}

/// A cipher suite's name in IANA's registry.
pub(crate) fn cipher_suite(suite: SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name,
    }
}

/// A distinguished name, as in `CN=User root, O=Example`.
pub(crate) fn distinguished_name(der: &[u8]) -> String {
    match X509Name::from_der(der) {
        Ok((_, name)) => name.to_string(),
        Err(_) => "(a name that does not decode)".to_owned(),
    }
}

/// The common name in a distinguished name, else all of it.
pub(crate) fn common_name(der: &[u8]) -> String {
    let parsed = X509Name::from_der(der);
    let common_name = parsed.as_ref().ok().and_then(|(_, name)| {
        name.iter_common_name().next().and_then(|attribute| attribute.as_str().ok())
    });
    common_name.map_or_else(|| distinguished_name(der), str::to_owned)
}

/// An object identifier in DER, as in `2.5.29.37`.
pub(crate) fn object_identifier(der: &[u8]) -> String {
    match Oid::from_der(der) {
        Ok((_, oid)) => oid.to_id_string(),
        Err(_) => hex::encode(der),
    }
}

/// The subject of a certificate.
pub(crate) fn subject(certificate: &[u8]) -> String {
    match X509Certificate::from_der(certificate) {
        Ok((_, certificate)) => certificate.subject().to_string(),
        Err(_) => "(a certificate that does not decode)".to_owned(),
    }
}

/// The e-mail address, host name, URI or address that a certificate is for, else its subject.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other kinds of names are no names for people"
)]
pub(crate) fn holder(certificate: &[u8]) -> String {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return subject(certificate);
    };
    let names = parsed.subject_alternative_name().ok().flatten();
    names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .find_map(|name| match name {
            GeneralName::RFC822Name(name) | GeneralName::DNSName(name) | GeneralName::URI(name) => {
                Some((*name).to_owned())
            }
            _ => None,
        })
        .unwrap_or_else(|| parsed.subject().to_string())
}

/// The name of an HTTP/2 error code (RFC 9113, section 7).
pub(crate) fn h2_error(code: u32) -> &'static str {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    let index = usize::try_from(code).unwrap_or(usize::MAX);
    NAMES.get(index).copied().unwrap_or("an error that HTTP/2 does not name")
}

/// The name of an HTTP/3 error code (RFC 9114, section 8.1; RFC 9204, section 6; RFC 9297, section 5.2).
pub(crate) fn h3_error(code: u64) -> String {
    let name = h3::error::Code::from(code).to_string();
    // What it does not know it writes as a number.
    if name.starts_with("0x") { "an error that HTTP/3 does not name".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_have_their_registered_names() {
        assert_eq!(scheme(SignatureScheme::ECDSA_NISTP256_SHA256), "ecdsa_secp256r1_sha256");
        assert_eq!(scheme(SignatureScheme::ML_DSA_65), "mldsa65");
        assert_eq!(scheme(SignatureScheme::Unknown(0xfe00)), "0xfe00");
    }

    #[test]
    fn errors_have_the_names_of_their_registries() {
        assert_eq!(h2_error(11), "ENHANCE_YOUR_CALM");
        assert_eq!(h3_error(0x105), "H3_FRAME_UNEXPECTED");
        assert_eq!(h3_error(0x200), "QPACK_DECOMPRESSION_FAILED");
        assert_eq!(h3_error(0xff0e), "an error that HTTP/3 does not name");
    }

    #[test]
    fn object_identifiers() {
        assert_eq!(object_identifier(&[6, 3, 0x55, 0x1d, 0x25]), "2.5.29.37");
        assert_eq!(object_identifier(&[1, 2]), "0102");
    }

    #[test]
    fn versions_and_suites() {
        assert_eq!(version(ProtocolVersion::TLSv1_3), "TLSv1.3");
        let suites = rustls::crypto::aws_lc_rs::default_provider().cipher_suites;
        let names: Vec<_> = suites.into_iter().map(cipher_suite).collect();
        assert!(names.contains(&"TLS_AES_128_GCM_SHA256".to_owned()));
        assert!(names.contains(&"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned()));
    }

    #[test]
    fn people_are_known_by_their_address() {
        let pki = countersign_pki::TestPki::generate().unwrap();
        assert_eq!(holder(&pki.alice.chain[0]), "alice@example.test");
        assert_eq!(holder(&pki.device.chain[0]), "device-1.example.test");
        assert_eq!(holder(&pki.user_ca), "O=Countersign test PKI, CN=User root");
        assert_eq!(subject(&pki.alice.chain[0]), "O=Countersign test PKI, CN=alice");
    }
}
