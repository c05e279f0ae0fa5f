//! Names that people and scripts know numbers by.

use rustls::SignatureScheme;

/// A signature scheme's name in IANA's registry; its number where it has none here.
#[must_use]
pub fn scheme(scheme: SignatureScheme) -> String {
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

/// A cipher suite's name in IANA's registry; its number where it has none here.
#[must_use]
pub fn cipher_suite(number: u16) -> String {
    let name = format!("{:?}", rustls::CipherSuite::from(number));
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None if name.starts_with("TLS_") => name,
        None => format!("{number:#06x}"),
    }
}

/// The name of an HTTP/2 error code (RFC 9113, section 7).
#[must_use]
pub fn h2_error(code: u32) -> &'static str {
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
#[must_use]
pub fn h3_error(code: u64) -> String {
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
    fn suites_have_their_registered_names() {
        assert_eq!(cipher_suite(0x1301), "TLS_AES_128_GCM_SHA256");
        assert_eq!(cipher_suite(0xc02f), "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
        assert_eq!(cipher_suite(0xfefe), "0xfefe");
    }

    #[test]
    fn errors_have_the_names_of_their_registries() {
        assert_eq!(h2_error(11), "ENHANCE_YOUR_CALM");
        assert_eq!(h3_error(0x105), "H3_FRAME_UNEXPECTED");
        assert_eq!(h3_error(0x200), "QPACK_DECOMPRESSION_FAILED");
        assert_eq!(h3_error(0xff0e), "an error that HTTP/3 does not name");
    }
}
