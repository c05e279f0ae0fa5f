//! The names that a server's certificate is for.

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, IpAddr, ServerName};
use rustls::server::ParsedCertificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// The dNSNames (wildcards included) and iPAddresses of a certificate's subjectAltName, as text.
pub(crate) fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    names.value.general_names.iter().filter_map(name).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "no other kind of name is a server's")]
fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(Into::into));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// A name to try a certificate with that is for `name`: of a wildcard any one that it covers.
pub(crate) fn sample(name: &str) -> Option<ServerName<'static>> {
    let name = match name.strip_prefix("*.") {
        Some(parent) => format!("any.{parent}"),
        None => name.to_owned(),
    };
    ServerName::try_from(name).ok()
}

/// Whether `certificate` is for `host`: a DNS name, or an IP address without brackets.
pub(crate) fn covers(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let name = match host.parse::<std::net::IpAddr>() {
        Ok(address) => Some(ServerName::IpAddress(IpAddr::from(address))),
        Err(_) => ServerName::try_from(host).ok(),
    };
    let parsed = ParsedCertificate::try_from(certificate).ok();
    //= specs/server-certs.md#origin-http2
    //# The host MUST match a dNSName among the subject alternative names of that certificate.
    parsed.zip(name).is_some_and(|(parsed, name)| verify_server_name(&parsed, &name).is_ok())
}

#[cfg(test)]
mod tests {
    use countersign_pki::{Authority, KeyKind, Leaf};

    use super::*;

    #[test]
    fn wildcards_and_addresses_are_names_too() {
        //= specs/server-certs.md#origin-http2
        //= type=test
        //# The host MUST match a dNSName among the subject alternative names of that certificate.
        let authority = Authority::root("Servers", KeyKind::P256).unwrap();
        let names = ["a.test", "*.b.test", "127.0.0.1", "::1"];
        let leaf = Leaf::new("names").dns("a.test").dns("*.b.test");
        let leaf = leaf.ip(std::net::Ipv4Addr::LOCALHOST).ip(std::net::Ipv6Addr::LOCALHOST);
        let leaf = authority.issue(&leaf).unwrap();
        let leaf = leaf.chain.first().unwrap();
        assert_eq!(names_of(leaf), names);
        for covered in ["a.test", "A.test", "x.b.test", "127.0.0.1", "::1"] {
            assert!(covers(leaf, covered), "{covered}");
        }
        for other in ["b.test", "x.y.b.test", "127.0.0.2", "", "[::1]"] {
            assert!(!covers(leaf, other), "{other}");
        }
        for name in names_of(leaf) {
            assert!(sample(&name).is_some(), "{name}");
        }
    }
}
