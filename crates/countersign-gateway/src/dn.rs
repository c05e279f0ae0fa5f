//! Distinguished names as text: RFC 4514, in ASCII, so that they can stand in a header field.
//!
//! The last relative name comes first, `,` joins, `+` joins the parts of a multi-valued one.
//! Special characters are escaped with `\`, everything outside of printable ASCII as `\` and two
//! hexadecimal digits per octet. Attribute types without a short name are written as dotted numbers
//! with their DER value in hexadecimal.

use std::fmt::Write as _;

use x509_parser::asn1_rs::ToDer;
use x509_parser::x509::{AttributeTypeAndValue, RelativeDistinguishedName, X509Name};

/// The short names of RFC 4514, section 3, and the mail address that is common besides.
const SHORT: [(&str, &str); 10] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// Writes a name.
pub(crate) fn render(name: &X509Name<'_>) -> String {
    let mut relative: Vec<String> = name.iter().map(render_relative).collect();
    relative.reverse();
    relative.join(",")
}

fn render_relative(relative: &RelativeDistinguishedName<'_>) -> String {
    let attributes: Vec<String> = relative.iter().map(render_attribute).collect();
    attributes.join("+")
}

fn render_attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let short = SHORT.iter().find(|(known, _)| *known == oid).map(|(_, short)| *short);
    match (short, attribute.as_str()) {
        (Some(short), Ok(value)) => {
            let mut out = format!("{short}=");
            escape(value, &mut out);
            out
        }
        (short, _) => {
            let mut out = format!("{}=#", short.unwrap_or(&oid));
            for octet in attribute.attr_value().to_der_vec().unwrap_or_default() {
                push_hex(octet, &mut out);
            }
            out
        }
    }
}

fn escape(value: &str, out: &mut String) {
    let last = value.len().saturating_sub(1);
    for (index, octet) in value.bytes().enumerate() {
        let at_the_edge =
            (index == 0 && matches!(octet, b' ' | b'#')) || (index == last && octet == b' ');
        match octet {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => {
                out.push('\\');
                out.push(char::from(octet));
            }
            _ if at_the_edge => {
                out.push('\\');
                out.push(char::from(octet));
            }
            b' ' => out.push(' '),
            _ if octet.is_ascii_graphic() => out.push(char::from(octet)),
            _ => {
                out.push('\\');
                push_hex(octet, out);
            }
        }
    }
}

fn push_hex(octet: u8, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{octet:02X}");
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::FromDer;

    use super::*;

    /// A Name of one-attribute relative names: (OID in DER, string tag, value).
    fn name(attributes: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
        let tlv =
            |tag: u8, value: &[u8]| [&[tag, u8::try_from(value.len()).unwrap()], value].concat();
        let sets: Vec<u8> = attributes
            .iter()
            .flat_map(|(oid, tag, value)| {
                tlv(0x31, &tlv(0x30, &[tlv(0x06, oid), tlv(*tag, value)].concat()))
            })
            .collect();
        tlv(0x30, &sets)
    }

    fn rendered(attributes: &[(&[u8], u8, &[u8])]) -> String {
        let der = name(attributes);
        render(&X509Name::from_der(&der).unwrap().1)
    }

    const UTF8: u8 = 0x0c;
    const CN: &[u8] = &[0x55, 4, 3];
    const O: &[u8] = &[0x55, 4, 10];

    #[test]
    fn the_last_comes_first() {
        assert_eq!(rendered(&[(O, UTF8, b"Example"), (CN, UTF8, b"alice")]), "CN=alice,O=Example");
        assert_eq!(rendered(&[]), "");
    }

    #[test]
    fn special_characters_are_escaped() {
        let value = " #a,b+c\"d\\e<f>g;h=i\r\n\u{e4} ";
        assert_eq!(
            rendered(&[(CN, UTF8, value.as_bytes())]),
            r##"CN=\ #a\,b\+c\"d\\e\<f\>g\;h\=i\0D\0A\C3\A4\ "##
        );
    }

    #[test]
    fn unknown_types_and_odd_strings_are_hexadecimal() {
        assert_eq!(rendered(&[(&[0x2a, 3], UTF8, b"x")]), "1.2.3=#0C0178");
        // A BMPString.
        assert_eq!(rendered(&[(CN, 0x1e, &[0, b'a'])]), "CN=#1E020061");
    }
}
