//! Names that people and scripts know things by.

pub(crate) use countersign_decode::names::{h2_error, h3_error, scheme};
use rustls::{ProtocolVersion, SupportedCipherSuite};
use x509_parser::der_parser::Oid;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::x509::X509Name;

/// A protocol version, as in `TLSv1.3`.
pub(crate) fn version(version: ProtocolVersion) -> String {
    format!("{version:?}").replace('_', ".")
}

/// A cipher suite's name in IANA's registry.
pub(crate) fn cipher_suite(suite: SupportedCipherSuite) -> String {
    countersign_decode::names::cipher_suite(suite.suite().into())
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

/// What a peer says, fit for a terminal and for one line.
pub(crate) fn printable(text: &str) -> String {
    let fit = |one: char| if one.is_control() { char::REPLACEMENT_CHARACTER } else { one };
    text.chars().map(fit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_is_one_line() {
        assert_eq!(
            printable("CN=a\u{1b}[2J\r\nb \u{e4}"),
            "CN=a\u{fffd}[2J\u{fffd}\u{fffd}b \u{e4}"
        );
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
