//! What is taken out of messages on their way through.
//!
//! Hop-by-hop fields (RFC 9110, section 7.6.1) end here in both directions. Identity fields that a
//! client sends are removed from every request on every route, trailers included, in every spelling
//! that some backend takes for the same name: CGI and its descendants turn each character that is
//! neither letter nor digit into `_`, so `Client_Cert` and `client.cert` are `Client-Cert` to them.

use std::net::IpAddr;

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
    client: IpAddr,
    authority: &HeaderValue,
    next_hop: Version,
) {
    let wants_trailers = headers.get_all(TE).iter().any(|value| {
        value.to_str().is_ok_and(|te| te.split(',').any(|coding| coding.trim() == "trailers"))
    });
    strip_hop_by_hop(headers);
    strip_ours(headers);
    headers.remove(EXPECT);
    join_cookies(headers);
    if wants_trailers && next_hop == Version::HTTP_2 {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    let client = client.to_canonical();
    if let Some(value) = forwarded(client, authority) {
        headers.insert(FORWARDED, value);
    }
    if let Ok(client) = HeaderValue::from_str(&client.to_string()) {
        headers.insert(X_FORWARDED_FOR, client);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
    headers.insert(X_FORWARDED_HOST, authority.clone());
}

/// Says that the message came this way (RFC 9110, section 7.6.3): over which version of HTTP, and by whom it
/// is passed on.
pub(crate) fn add_via(headers: &mut HeaderMap, received: Version, name: &str) {
    let version = match received {
        Version::HTTP_3 => "3",
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    if let Ok(via) = HeaderValue::try_from(format!("{version} {name}")) {
        headers.append(VIA, via);
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
    strip_hop_by_hop(trailers);
    strip_ours(trailers);
    for name in [CONTENT_LENGTH, HOST, EXPECT, TRAILER] {
        trailers.remove(name);
    }
}

/// Makes a backend's response fields fit for the client.
///
/// A response that varies with the identity fields must not be reused by the client's own cache,
/// which never sees them (RFC 9440, section 2.4): its `Vary` becomes `*`. `Alt-Svc` would lead the
/// client past this gateway.
pub(crate) fn prepare_response(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    headers.remove(ALT_SVC);
    let varies = headers.get_all(VARY).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|vary| vary.split(',').any(|name| is_identity(&canonical(name.trim()))))
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
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        // Who could have Host or the length removed could have the message read anew.
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        CONNECTION,
        PROXY_CONNECTION,
        KEEP_ALIVE,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
        HTTP2_SETTINGS,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
    ] {
        headers.remove(name);
    }
}

fn strip_ours(headers: &mut HeaderMap) {
    let spoofed: Vec<HeaderName> =
        headers.keys().filter(|name| is_ours(&canonical(name.as_str()))).cloned().collect();
    for name in spoofed {
        headers.remove(name);
    }
}

fn is_ours(canonical: &str) -> bool {
    OURS.contains(&canonical)
}

fn is_identity(canonical: &str) -> bool {
    OURS.iter().take(4).any(|name| *name == canonical)
}

/// The spelling under which backends that translate names would confuse them.
fn canonical(name: &str) -> String {
    name.chars()
        .map(
            |character| {
                if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '-' }
            },
        )
        .collect()
}

#[cfg(test)]
mod tests;
