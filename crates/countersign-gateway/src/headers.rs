//! What is taken out of messages on their way through.
//!
//! Hop-by-hop fields (RFC 9110, section 7.6.1) end here in both directions. Identity fields that a
//! client sends are removed from every request on every route, trailers included, in every spelling
//! that some backend takes for the same name: CGI and its descendants turn each character that is
//! neither letter nor digit into `_`, so `Client_Cert` and `client.cert` are `Client-Cert` to them.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use bytes::BytesMut;
use http::header::{
    ALT_SVC, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY, VIA,
};
use http::{HeaderValue, Version};

/// Names that only this gateway may speak under, in canonical spelling.
const OURS: [&str; 9] = [
    "client-cert",
    "client-cert-chain",
    "x-forwarded-client-cert",
    "client-identities",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "forwarded",
    // The header that turns into the variable HTTP_PROXY, which many programs take orders from.
    "proxy",
];

/// Fields that end at the next hop, whatever `Connection` says.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    PROXY_CONNECTION,
    KEEP_ALIVE,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HTTP2_SETTINGS,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
];

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Makes a client's request fields fit to be forwarded: hop-by-hop fields and everything in our
/// names goes, `Forwarded` (RFC 7239) and `X-Forwarded-*` are set anew.
///
/// `Expect` goes too: [`crate::expect`] sets it anew where it is passed on. `TE:
/// trailers` is kept where the backend speaks HTTP/2 (`next_hop`), since gRPC insists on it.
pub(crate) fn prepare_request(
    headers: &mut HeaderMap,
    origin: &Whence,
    authority: &HeaderValue,
    next_hop: Version,
) {
    let wants_trailers = headers.get_all(TE).iter().any(|value| {
        value.to_str().is_ok_and(|te| te.split(',').any(|coding| coding.trim() == "trailers"))
    });
    strip(headers, |name| is_ours(name) || *name == EXPECT);
    join_cookies(headers);
    if wants_trailers && next_hop == Version::HTTP_2 {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(value) = origin.forwarded(authority) {
        headers.insert(FORWARDED, value);
    }
    if let Some(client) = &origin.client {
        headers.insert(X_FORWARDED_FOR, client.clone());
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
    headers.insert(X_FORWARDED_HOST, authority.clone());
}

/// Whom backends are told that requests come from: one connection's client.
#[derive(Debug)]
pub(crate) struct Whence {
    address: IpAddr,
    /// `X-Forwarded-For`.
    client: Option<HeaderValue>,
    /// `Forwarded` for the authority that was asked for last: mostly there is but one.
    forwarded: Mutex<Option<(HeaderValue, HeaderValue)>>,
}

impl Whence {
    pub(crate) fn new(client: IpAddr) -> Self {
        let address = client.to_canonical();
        let client = HeaderValue::try_from(address.to_string()).ok();
        Self { address, client, forwarded: Mutex::default() }
    }

    fn forwarded(&self, authority: &HeaderValue) -> Option<HeaderValue> {
        let mut last = self.forwarded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = last.as_ref().filter(|(known, _)| known == authority) {
            return Some(value.clone());
        }
        let value = forwarded(self.address, authority)?;
        *last = Some((authority.clone(), value.clone()));
        Some(value)
    }
}

/// What the gateway says of itself in `Via` (RFC 9110, section 7.6.3): over which version of HTTP it has got a
/// message, and its name.
#[derive(Debug)]
pub(crate) struct Via([Option<HeaderValue>; 4]);

impl Via {
    /// For the gateway called `name`.
    pub(crate) fn new(name: &str) -> Self {
        Self(
            ["1.0", "1.1", "2", "3"]
                .map(|version| HeaderValue::try_from(format!("{version} {name}")).ok()),
        )
    }

    /// Says in a message that was received over `version` that it came this way.
    pub(crate) fn add(&self, headers: &mut HeaderMap, version: Version) {
        let [http10, http11, http2, http3] = &self.0;
        let via = match version {
            Version::HTTP_3 => http3,
            Version::HTTP_2 => http2,
            Version::HTTP_10 => http10,
            _ => http11,
        };
        if let Some(via) = via {
            headers.append(VIA, via.clone());
        }
    }
}

/// The only element of `Forwarded`: RFC 7239, section 4, wants an IPv6 address in brackets and quotes.
fn forwarded(client: IpAddr, authority: &HeaderValue) -> Option<HeaderValue> {
    let client = match client {
        IpAddr::V4(client) => client.to_string(),
        IpAddr::V6(client) => format!("\"[{client}]\""),
    };
    // An authority has no quote and no backslash in it, but may have a colon and brackets.
    let host = authority.to_str().ok().filter(|host| !host.contains(['"', '\\']))?;
    HeaderValue::try_from(format!("for={client};host=\"{host}\";proto=https")).ok()
}

/// HTTP/2 and HTTP/3 clients may send cookies in several fields, HTTP/1.1 knows one (RFC 9114, section
/// 4.2.1).
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

/// Makes the trailers of a request fit to be forwarded. Some backends merge them into the header
/// fields, so nothing that frames, routes or identifies may come through.
pub(crate) fn prepare_request_trailers(trailers: &mut HeaderMap) {
    let framing = [CONTENT_LENGTH, HOST, EXPECT, TRAILER];
    strip(trailers, |name| is_ours(name) || framing.contains(name));
}

/// Makes a backend's response fields fit for the client.
///
/// A response that varies with the identity fields must not be reused by the client's own cache,
/// which never sees them (RFC 9440, section 2.4): its `Vary` becomes `*`. `Alt-Svc` would lead the
/// client past this gateway.
pub(crate) fn prepare_response(headers: &mut HeaderMap) {
    strip(headers, |name| *name == ALT_SVC);
    let varies = headers.get_all(VARY).iter().any(|value| {
        value.to_str().is_ok_and(|vary| vary.split(',').any(|name| is_identity(name.trim())))
    });
    if varies {
        headers.insert(VARY, HeaderValue::from_static("*"));
    }
}

/// Makes the trailers of a response fit for the client.
pub(crate) fn prepare_response_trailers(trailers: &mut HeaderMap) {
    strip_hop_by_hop(trailers);
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    strip(headers, |_| false);
}

/// Removes hop-by-hop fields and those that are `unwanted`. Most messages have none: they are only looked through.
fn strip(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    let named = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        // Who could have Host or the length removed could have the message read anew.
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH);
    let present = headers.keys().filter(|name| HOP_BY_HOP.contains(name) || unwanted(name));
    let leaving: Vec<HeaderName> = named.chain(present.cloned()).collect();
    for name in leaving {
        headers.remove(name);
    }
}

fn is_ours(name: &HeaderName) -> bool {
    OURS.iter().any(|ours| are_alike(name.as_str(), ours))
}

fn is_identity(name: &str) -> bool {
    OURS.iter().take(4).any(|ours| are_alike(name, ours))
}

/// Whether a backend that translates names would take `name` for the one in canonical spelling.
fn are_alike(name: &str, canonical: &str) -> bool {
    let mut characters = name.chars();
    let alike = canonical.bytes().all(|expected| {
        characters.next().is_some_and(|character| match u8::try_from(character) {
            Ok(byte) if byte.is_ascii_alphanumeric() => byte.to_ascii_lowercase() == expected,
            Ok(_) | Err(_) => expected == b'-',
        })
    });
    alike && characters.next().is_none()
}

/// Copies the values into memory of their own.
///
/// They are pieces of the buffer that the backend's response was read into, and the HPACK table of the client's
/// connection would keep all of it, for each of its entries, until others take their place.
pub(crate) fn detach(headers: &mut HeaderMap) {
    let mut copy = BytesMut::with_capacity(headers.values().map(HeaderValue::len).sum());
    for value in headers.values() {
        copy.extend_from_slice(value.as_bytes());
    }
    let mut copy = copy.freeze();
    for value in headers.values_mut() {
        let sensitive = value.is_sensitive();
        // What was a value before is one again.
        if let Ok(own) = HeaderValue::from_maybe_shared(copy.split_to(value.len())) {
            *value = own;
            value.set_sensitive(sensitive);
        }
    }
}

#[cfg(test)]
mod tests;
