//! How a backend learns who is calling: `Client-Cert` and `Client-Cert-Chain` (RFC 9440),
//! `X-Forwarded-Client-Cert` (as Envoy writes it) and `Client-Identities`.
//!
//! `Client-Identities` is a structured field (RFC 8941): a List with one member per credential, an
//! Item that is the credential's name as a String, with these parameters:
//!
//! | parameter | value |
//! | --- | --- |
//! | `sha256` | Byte Sequence: the hash of the end-entity certificate's DER |
//! | `subject`, `issuer` | String: the names as RFC 4514 text |
//! | `serial` | String: the serial number in hexadecimal |
//! | `not-after` | Integer: the end of validity in seconds since 1970 |
//! | `email`, `dns`, `uri` | String: the subject alternative names of that kind, one space between; absent if there are none |
//!
//! For example `"user";sha256=:…:;subject="CN=alice";issuer="CN=User
//! CA";serial="0a";not-after=1790000000;email="alice@example.test"`.
//!
//! Removing what clients send under these names is [`headers`](crate::headers)' task and has been
//! done before.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{Integer, ItemSerializer, KeyRef, ListSerializer, StringRef};

use crate::caller::{Caller, hex};
use crate::names::Name;

/// `Client-Cert`, RFC 9440.
pub(crate) const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
/// `Client-Cert-Chain`, RFC 9440.
pub(crate) const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
/// `X-Forwarded-Client-Cert`.
pub(crate) const XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
/// `Client-Identities`, see the module.
pub(crate) const CLIENT_IDENTITIES: HeaderName = HeaderName::from_static("client-identities");

/// Which identity fields a route sends to its backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forward {
    /// The credential in `Client-Cert` and `Client-Cert-Chain`.
    pub(crate) client_cert: Option<Arc<str>>,
    /// The credential in `X-Forwarded-Client-Cert`.
    pub(crate) xfcc: Option<Arc<str>>,
    /// Whether `Client-Identities` tells all identities.
    pub(crate) identities: bool,
}

impl Forward {
    /// Adds the fields for `callers`, the identities that the connection holds, to a request.
    pub(crate) fn apply(&self, callers: &[Arc<Caller>], headers: &mut HeaderMap) {
        let find = |name: &Option<Arc<str>>| {
            let name = name.as_deref()?;
            callers.iter().find(|caller| caller.credential() == name)
        };
        let mut set = |name: HeaderName, value: &Option<HeaderValue>| {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        };
        if let Some(caller) = find(&self.client_cert) {
            let fields = caller.fields();
            set(CLIENT_CERT, fields.client_cert.get_or_init(|| client_cert(caller)));
            let chain = fields.client_cert_chain.get_or_init(|| client_cert_chain(caller));
            set(CLIENT_CERT_CHAIN, chain);
        }
        if let Some(caller) = find(&self.xfcc) {
            set(XFCC, caller.fields().xfcc.get_or_init(|| compact(xfcc(caller))));
        }
        if self.identities {
            let members: Vec<&str> = callers
                .iter()
                .filter_map(|caller| {
                    let member = &caller.fields().identity;
                    member.get_or_init(|| identity(caller).ok()).as_deref()
                })
                .collect();
            if !members.is_empty() {
                set(CLIENT_IDENTITIES, &HeaderValue::from_str(&members.join(", ")).ok());
            }
        }
    }
}

fn client_cert(caller: &Caller) -> Option<HeaderValue> {
    let item = ItemSerializer::new().bare_item(caller.leaf()).finish();
    compact(item)
}

fn client_cert_chain(caller: &Caller) -> Option<HeaderValue> {
    let mut chain = ListSerializer::new();
    for issuer in caller.issuers() {
        chain.bare_item(issuer.as_ref());
    }
    chain.finish().and_then(compact)
}

/// A value that is kept as long as the connection is: without the room that its text was given to grow.
fn compact(mut text: String) -> Option<HeaderValue> {
    text.shrink_to_fit();
    HeaderValue::try_from(text).ok()
}

/// Envoy's element: the keys in its order, one `URI` and one `DNS` per name. `By` is left out,
/// since it names the proxy by a URI that ours need not have.
fn xfcc(caller: &Caller) -> String {
    // In RFC 4514 text every quote has its backslash already.
    let mut out = format!(
        "Hash={};Cert=\"{}\";Subject=\"{}\"",
        hex(caller.sha256()),
        url_encoded_pem(caller.leaf()),
        caller.subject()
    );
    let uris = caller.names().iter().filter_map(|name| match name {
        Name::Uri(uri) => Some(("URI", uri)),
        Name::Mailbox(_) | Name::Host(_) => None,
    });
    let hosts = caller.names().iter().filter_map(|name| match name {
        Name::Host(host) => Some(("DNS", host)),
        Name::Mailbox(_) | Name::Uri(_) => None,
    });
    for (key, name) in uris.chain(hosts) {
        out.push_str(&format!(";{key}={}", quoted_if_needed(name)));
    }
    out
}

/// A value with a separator of the field in it must be quoted, or it could pose as further keys.
fn quoted_if_needed(value: &str) -> String {
    if value.contains([',', ';', '=', '"', '\\']) {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        value.to_owned()
    }
}

/// PEM with what is not allowed in the field percent-encoded, the same characters as Envoy does.
fn url_encoded_pem(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut out = String::from("-----BEGIN%20CERTIFICATE-----%0A");
    for (index, character) in encoded.chars().enumerate() {
        if index != 0 && index % 64 == 0 {
            out.push_str("%0A");
        }
        match character {
            '+' => out.push_str("%2B"),
            '/' => out.push_str("%2F"),
            '=' => out.push_str("%3D"),
            other => out.push(other),
        }
    }
    out.push_str("%0A-----END%20CERTIFICATE-----%0A");
    out
}

fn identity(caller: &Caller) -> Result<String, sfv::Error> {
    let mut item = ItemSerializer::new()
        .bare_item(StringRef::from_str(caller.credential())?)
        .parameter(KeyRef::from_str("sha256")?, caller.sha256())
        .parameter(KeyRef::from_str("subject")?, StringRef::from_str(caller.subject())?)
        .parameter(KeyRef::from_str("issuer")?, StringRef::from_str(caller.issuer())?)
        .parameter(KeyRef::from_str("serial")?, StringRef::from_str(caller.serial())?);
    if let Ok(not_after) = Integer::try_from(caller.not_after()) {
        item = item.parameter(KeyRef::from_str("not-after")?, not_after);
    }
    let (mut email, mut dns, mut uri) = (Vec::new(), Vec::new(), Vec::new());
    for name in caller.names() {
        match name {
            Name::Mailbox(name) => email.push(name.as_str()),
            Name::Host(name) => dns.push(name.as_str()),
            Name::Uri(name) => uri.push(name.as_str()),
        }
    }
    for (key, names) in [("email", email), ("dns", dns), ("uri", uri)] {
        if !names.is_empty() {
            let names = names.join(" ");
            item = item.parameter(KeyRef::from_str(key)?, StringRef::from_str(&names)?);
        }
    }
    let mut member = item.finish();
    member.shrink_to_fit();
    Ok(member)
}

#[cfg(test)]
mod tests;
