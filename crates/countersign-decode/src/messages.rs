//! Requests and authenticators (RFC 9261, sections 4 and 5; client draft, section 4.1.2).

use rustls::SignatureScheme;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

use crate::cursor::{Broken, Cursor};
use crate::names;
use crate::tree::Tree;

const CERTIFICATE: u64 = 11;
const CERTIFICATE_REQUEST: u64 = 13;
const CERTIFICATE_VERIFY: u64 = 15;
const CLIENT_CERTIFICATE_REQUEST: u64 = 17;
const FINISHED: u64 = 20;

/// Whether it is messages to the last byte, of types that occur.
pub(crate) fn fit(input: &[u8]) -> bool {
    let mut cursor = Cursor::new(input);
    while !cursor.is_empty() {
        let known = cursor.number(1, "").is_ok_and(|typ| name(typ).is_some());
        if !known || cursor.vector(3, "").is_err() {
            return false;
        }
    }
    true
}

/// Whether it is a list of requests to the last byte.
pub(crate) fn requests_fit(input: &[u8]) -> bool {
    let mut cursor = Cursor::new(input);
    while !cursor.is_empty() {
        let Ok(length) = cursor.varint("") else { return false };
        let request = cursor.take(usize::try_from(length).unwrap_or(usize::MAX), "");
        if !request.is_ok_and(|request| !request.is_empty() && fit(request.rest())) {
            return false;
        }
    }
    true
}

/// The payload of AUTHENTICATOR_REQUESTS.
pub(crate) fn requests(cursor: &mut Cursor<'_>, tree: &mut Tree) -> Result<(), Broken> {
    if cursor.is_empty() {
        tree.remark(cursor.at(), "the list must not be empty (client draft, section 4.1)");
    }
    while !cursor.is_empty() {
        let at = cursor.at();
        let length = cursor.varint("the length of a request")?;
        tree.line(at, format_args!("request, {length} bytes"));
        let mut request =
            cursor.take(usize::try_from(length).unwrap_or(usize::MAX), "the request")?;
        tree.within(|tree| all(&mut request, tree))?;
    }
    Ok(())
}

/// Messages up to the end.
pub(crate) fn all(cursor: &mut Cursor<'_>, tree: &mut Tree) -> Result<(), Broken> {
    while !cursor.is_empty() {
        let at = cursor.at();
        let typ = cursor.number(1, "the type of a message")?;
        let Some(name) = name(typ) else {
            let why =
                format!("message type {typ} is neither a request nor part of an authenticator");
            return Err(Broken { at, why });
        };
        let mut body = cursor.vector(3, name)?;
        tree.line(at, format_args!("{name} ({typ}), {} bytes", body.rest().len()));
        tree.within(|tree| match typ {
            CERTIFICATE => certificate(&mut body, tree),
            CERTIFICATE_VERIFY => verify(&mut body, tree),
            FINISHED => {
                let mac = body.take_rest();
                tree.line(mac.at(), format_args!("verify_data: {}", tree.hex(mac.rest())));
                Ok(())
            }
            _ => request(&mut body, tree),
        })?;
        body.end(name)?;
    }
    Ok(())
}

fn name(typ: u64) -> Option<&'static str> {
    Some(match typ {
        CERTIFICATE => "Certificate",
        CERTIFICATE_REQUEST => "CertificateRequest",
        CERTIFICATE_VERIFY => "CertificateVerify",
        CLIENT_CERTIFICATE_REQUEST => "ClientCertificateRequest",
        FINISHED => "Finished",
        _ => return None,
    })
}

fn context(cursor: &mut Cursor<'_>, tree: &mut Tree) -> Result<(), Broken> {
    let at = cursor.at();
    let context = cursor.vector(1, "certificate_request_context")?;
    tree.line(at, format_args!("certificate_request_context: {}", tree.hex(context.rest())));
    Ok(())
}

fn request(body: &mut Cursor<'_>, tree: &mut Tree) -> Result<(), Broken> {
    let begin = body.at();
    context(body, tree)?;
    let types = extensions(body, tree)?;
    if !types.contains(&13) {
        tree.remark(begin, "signature_algorithms is missing (RFC 9261, section 4)");
    }
    Ok(())
}

fn certificate(body: &mut Cursor<'_>, tree: &mut Tree) -> Result<(), Broken> {
    context(body, tree)?;
    let mut list = body.vector(3, "certificate_list")?;
    if list.is_empty() {
        tree.remark(list.at(), "the list is empty, which an authenticator's never is");
    }
    while !list.is_empty() {
        let at = list.at();
        let der = list.vector(3, "cert_data")?;
        tree.line(at, format_args!("certificate, {} bytes", der.rest().len()));
        tree.within(|tree| {
            describe(&der, tree);
            extensions(&mut list, tree)
        })?;
    }
    Ok(())
}

fn describe(der: &Cursor<'_>, tree: &mut Tree) {
    let at = der.at();
    let certificate = match X509Certificate::from_der(der.rest()) {
        Ok(([], certificate)) => certificate,
        Ok((left, _)) => {
            return tree.remark(at, format_args!("{} bytes are left behind it", left.len()));
        }
        Err(error) => return tree.remark(at, format_args!("it is no certificate: {error}")),
    };
    tree.line(at, format_args!("subject: {}", certificate.subject()));
    tree.line(at, format_args!("issuer: {}", certificate.issuer()));
    tree.line(at, format_args!("serial number: {}", hex::encode(certificate.raw_serial())));
    let validity = certificate.validity();
    tree.line(at, format_args!("valid: {} to {}", validity.not_before, validity.not_after));
    if let Ok(Some(names)) = certificate.subject_alternative_name() {
        for name in &names.value.general_names {
            tree.line(at, format_args!("subject alternative name: {name}"));
        }
    }
}

fn verify(body: &mut Cursor<'_>, tree: &mut Tree) -> Result<(), Broken> {
    let at = body.at();
    let scheme = scheme(body)?;
    tree.line(at, format_args!("algorithm: {scheme}"));
    let at = body.at();
    let signature = body.vector(2, "the signature")?;
    tree.line(at, format_args!("signature: {}", tree.hex(signature.rest())));
    Ok(())
}

fn scheme(cursor: &mut Cursor<'_>) -> Result<String, Broken> {
    let number = cursor.number(2, "a signature scheme")?;
    Ok(names::scheme(SignatureScheme::from(u16::try_from(number).unwrap_or_default())))
}

/// A list of them; the types that it has.
fn extensions(cursor: &mut Cursor<'_>, tree: &mut Tree) -> Result<Vec<u64>, Broken> {
    let at = cursor.at();
    let mut list = cursor.vector(2, "extensions")?;
    if list.is_empty() {
        tree.line(at, "extensions: none");
    }
    let mut types = Vec::new();
    while !list.is_empty() {
        let at = list.at();
        let typ = list.number(2, "the type of an extension")?;
        let mut body = list.vector(2, "the extension")?;
        let length = body.rest().len();
        let name = extension_name(typ).map_or_else(|| format!("extension {typ}"), str::to_owned);
        tree.line(at, format_args!("{name} ({typ}), {length} bytes"));
        if types.contains(&typ) {
            tree.remark(at, "this type was there before (RFC 8446, section 4.2)");
        }
        types.push(typ);
        tree.within(|tree| extension(typ, &mut body, tree))?;
        body.end(&name)?;
    }
    Ok(types)
}

fn extension_name(typ: u64) -> Option<&'static str> {
    Some(match typ {
        0 => "server_name",
        5 => "status_request",
        13 => "signature_algorithms",
        18 => "signed_certificate_timestamp",
        47 => "certificate_authorities",
        48 => "oid_filters",
        50 => "signature_algorithms_cert",
        _ => return None,
    })
}

fn extension(typ: u64, body: &mut Cursor<'_>, tree: &mut Tree) -> Result<(), Broken> {
    match typ {
        13 | 50 => {
            let mut list = body.vector(2, "the list of schemes")?;
            while !list.is_empty() {
                let at = list.at();
                let scheme = scheme(&mut list)?;
                tree.line(at, scheme);
            }
        }
        47 => {
            let mut list = body.vector(2, "the list of authorities")?;
            while !list.is_empty() {
                let at = list.at();
                let der = list.vector(2, "the name of an authority")?;
                match X509Name::from_der(der.rest()) {
                    Ok(([], name)) => tree.line(at, name),
                    _ => tree.remark(at, format_args!("it is no name: {}", tree.hex(der.rest()))),
                }
            }
        }
        48 => {
            let mut list = body.vector(2, "the list of filters")?;
            while !list.is_empty() {
                let at = list.at();
                let oid = list.vector(1, "certificate_extension_oid")?;
                let values = list.vector(2, "certificate_extension_values")?;
                let oid = match x509_parser::der_parser::asn1_rs::Oid::from_der(oid.rest()) {
                    Ok(([], oid)) => oid.to_id_string(),
                    _ => tree.hex(oid.rest()),
                };
                tree.line(at, format_args!("{oid}: values {}", tree.hex(values.rest())));
            }
        }
        0 if !body.is_empty() => {
            let mut list = body.vector(2, "the list of names")?;
            while !list.is_empty() {
                let at = list.at();
                let typ = list.number(1, "the type of a name")?;
                let name = list.vector(2, "the name")?;
                let shown = match std::str::from_utf8(name.rest()) {
                    Ok(text) if typ == 0 => text.escape_debug().to_string(),
                    _ => format!("of type {typ}: {}", tree.hex(name.rest())),
                };
                tree.line(at, shown);
            }
        }
        _ => {
            let raw = body.take_rest();
            tree.line(raw.at(), tree.hex(raw.rest()));
        }
    }
    Ok(())
}
