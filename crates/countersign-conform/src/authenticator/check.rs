//! Authenticators that were received.

use aws_lc_rs::signature::UnparsedPublicKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::draft::{decline, right_content};
use super::key::SCHEMES;
use super::message;
use super::request::Request;
use super::secrets::{Secrets, Side};
use crate::bytes::Reader;

/// A check that can be left out, by a peer that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// That it decodes at all.
    Shape,
    /// That nothing follows.
    Trailing,
    /// The context is the request's.
    Context,
    /// The scheme was offered and TLS 1.3 allows it.
    Scheme,
    /// Extensions were offered, each once.
    Extensions,
    /// The signature.
    Signature,
    /// The MAC.
    Finished,
}

/// What a valid authenticator says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It declines.
    Declined,
    /// The peer holds the key of the first certificate.
    Proven {
        /// The certificates, leaf first.
        chain: Vec<Vec<u8>>,
        /// The scheme of the signature.
        scheme: u16,
        /// The context in Certificate.
        context: Vec<u8>,
    },
}

struct Parsed<'a> {
    certificate: &'a [u8],
    verify: &'a [u8],
    finished: &'a [u8],
    context: Vec<u8>,
    chain: Vec<Vec<u8>>,
    extensions: Vec<Vec<u16>>,
    scheme: u16,
    signature: &'a [u8],
}

/// Checks an authenticator from `side`, for `request` or spontaneous, but for the checks to skip. The error says what is
/// wrong.
pub fn check(
    secrets: &Secrets,
    side: Side,
    request: Option<&Request>,
    bytes: &[u8],
    skip: &[Check],
) -> Result<Proof, String> {
    let asked = request.map(|request| &request.bytes[..]).unwrap_or_default();
    if bytes.first() == Some(&message::FINISHED) {
        let context = request.map(|request| &request.context[..]).unwrap_or_default();
        let right = decline(secrets, side, asked, context) == bytes;
        return if right || skip.contains(&Check::Finished) {
            Ok(Proof::Declined)
        } else {
            Err("an empty authenticator with a wrong MAC".to_owned())
        };
    }
    let parsed = match parse(bytes, skip.contains(&Check::Trailing)) {
        Ok(parsed) => parsed,
        Err(_) if skip.contains(&Check::Shape) => {
            return Ok(Proof::Proven { chain: Vec::new(), scheme: 0, context: Vec::new() });
        }
        Err(what) => return Err(format!("an authenticator that does not decode: {what}")),
    };
    let wrong = |check: Check, holds: bool, what: &str| {
        if holds || skip.contains(&check) {
            Ok(())
        } else {
            Err(format!("an authenticator with {what}"))
        }
    };
    if request.is_none() {
        // What rustls' ClientHello offers that could be answered in a Certificate message.
        let offered = |typ: &u16| *typ == super::extension::STATUS_REQUEST;
        let all = parsed.extensions.iter().flatten().all(offered);
        wrong(Check::Extensions, all, "an extension that the ClientHello does not have")?;
    }
    if let Some(request) = request {
        wrong(
            Check::Context,
            parsed.context == request.context,
            "another context than the request's",
        )?;
        let offered = request.schemes();
        wrong(
            Check::Scheme,
            offered.contains(&parsed.scheme),
            "a signature scheme that was not offered",
        )?;
        let known = |typ: &u16| request.extension(*typ).is_some();
        let all = parsed.extensions.iter().flatten().all(known);
        wrong(Check::Extensions, all, "an extension that the request does not have")?;
    }
    let unique = parsed.extensions.iter().all(|list| {
        list.iter().enumerate().all(|(at, typ)| !list.get(..at).unwrap_or_default().contains(typ))
    });
    wrong(Check::Extensions, unique, "an extension twice")?;
    let scheme = SCHEMES.iter().find(|scheme| scheme.number == parsed.scheme);
    let allowed = scheme.is_some_and(|scheme| scheme.allowed);
    wrong(Check::Scheme, allowed, "a signature scheme that TLS 1.3 does not allow")?;
    let transcript = secrets.transcript(side, &[asked, parsed.certificate]);
    let signed = || {
        let (_, leaf) = X509Certificate::from_der(parsed.chain.first()?).ok()?;
        let key = UnparsedPublicKey::new(
            scheme?.verification,
            &leaf.public_key().subject_public_key.data,
        );
        key.verify(&right_content(&transcript), parsed.signature).ok()
    };
    wrong(Check::Signature, signed().is_some(), "a wrong signature")?;
    let expected = secrets.finished(side, &[asked, parsed.certificate, parsed.verify]);
    wrong(Check::Finished, expected == parsed.finished, "a wrong MAC")?;
    Ok(Proof::Proven { chain: parsed.chain, scheme: parsed.scheme, context: parsed.context })
}

fn parse(bytes: &[u8], lenient: bool) -> Result<Parsed<'_>, &'static str> {
    let mut reader = Reader(bytes);
    let (certificate, body) =
        take(&mut reader, message::CERTIFICATE).ok_or("no whole Certificate")?;
    let (verify, verify_body) =
        take(&mut reader, message::CERTIFICATE_VERIFY).ok_or("no whole CertificateVerify")?;
    let (finished, _) = take(&mut reader, message::FINISHED).ok_or("no whole Finished")?;
    if !reader.is_empty() && !lenient {
        return Err("bytes behind Finished");
    }
    let mut body = Reader(body);
    let context = body.vector(1).ok_or("a context beyond the end of Certificate")?.to_vec();
    let mut list = Reader(body.vector(3).ok_or("a list beyond the end of Certificate")?);
    if !body.is_empty() {
        return Err("bytes behind the list of certificates");
    }
    let (mut chain, mut extensions) = (Vec::new(), Vec::new());
    while !list.is_empty() {
        let der = list.vector(3).ok_or("a certificate beyond the end of the list")?;
        let more = list.vector(2).ok_or("extensions beyond the end of the list")?;
        chain.push(der.to_vec());
        extensions.push(extension_types(more).ok_or("an extension beyond the end of its list")?);
    }
    let leaf = chain.first().ok_or("no certificate in it")?;
    if !X509Certificate::from_der(leaf).is_ok_and(|(rest, _)| rest.is_empty()) {
        return Err("a certificate that is not X.509");
    }
    let mut fields = Reader(verify_body);
    let scheme = fields.number(2).and_then(|scheme| u16::try_from(scheme).ok());
    let signature = fields.vector(2).filter(|_| fields.is_empty());
    let (Some(scheme), Some(signature)) = (scheme, signature) else {
        return Err("a CertificateVerify of another shape");
    };
    Ok(Parsed { certificate, verify, finished, context, chain, extensions, scheme, signature })
}

/// A message of this type: the whole of it, and its body.
fn take<'a>(reader: &mut Reader<'a>, typ: u8) -> Option<(&'a [u8], &'a [u8])> {
    let whole = reader.0;
    if reader.number(1)? != u64::from(typ) {
        return None;
    }
    let body = reader.vector(3)?;
    Some((whole.get(..4 + body.len())?, body))
}

fn extension_types(list: &[u8]) -> Option<Vec<u16>> {
    let (mut list, mut types) = (Reader(list), Vec::new());
    while !list.is_empty() {
        types.push(u16::try_from(list.number(2)?).ok()?);
        list.vector(2)?;
    }
    Some(types)
}
