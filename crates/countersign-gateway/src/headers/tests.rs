//! What comes through and what does not.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    headers
}

fn whence(client: &str) -> Whence {
    Whence::new(client.parse().unwrap())
}

fn prepared(fields: &[(&str, &str)], next_hop: Version) -> HeaderMap {
    let mut headers = map(fields);
    let authority = HeaderValue::from_static("public.example");
    prepare_request(&mut headers, &whence("192.0.2.7"), &authority, next_hop);
    headers
}

/// The names that are left, without those that are always set.
fn left(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = headers
        .keys()
        .map(HeaderName::as_str)
        .filter(|name| !name.starts_with("x-forwarded-") && *name != "forwarded")
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn hop_by_hop_fields_end_here() {
    let headers = prepared(
        &[
            ("connection", "keep-alive, X-Private"),
            ("connection", "close, host, content-length, bad name"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers, deflate"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("http2-settings", "AAMAAABk"),
            ("proxy-authorization", "Basic x"),
            ("x-private", "1"),
            ("expect", "100-continue"),
            ("host", "public.example"),
            ("content-length", "3"),
            ("trailer", "x-checksum"),
            ("accept", "*/*"),
            ("cookie", "a=1"),
        ],
        Version::HTTP_11,
    );
    assert_eq!(left(&headers), ["accept", "content-length", "cookie", "host", "trailer"]);
}

#[test]
fn te_trailers_is_kept_for_http2() {
    assert_eq!(prepared(&[("te", "trailers")], Version::HTTP_2)[TE], "trailers");
    assert!(!prepared(&[("te", "gzip")], Version::HTTP_2).contains_key(TE));
}

#[test]
fn forwarding_fields_are_set_anew() {
    let headers = prepared(
        &[
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x_forwarded_for", "10.0.0.3"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "evil.example"),
            ("forwarded", "for=10.0.0.1"),
        ],
        Version::HTTP_11,
    );
    let all: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    assert_eq!(all, ["192.0.2.7"]);
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert_eq!(headers["x-forwarded-host"], "public.example");
    let all: Vec<_> = headers.get_all(FORWARDED).iter().collect();
    assert_eq!(all, ["for=192.0.2.7;host=\"public.example\";proto=https"]);
    assert_eq!(headers.len(), 4);
}

#[test]
fn a_client_that_came_over_ipv6_mapped_ipv4_is_told_as_ipv4() {
    let mut headers = HeaderMap::new();
    let authority = HeaderValue::from_static("a");
    prepare_request(&mut headers, &whence("::ffff:192.0.2.7"), &authority, Version::HTTP_11);
    assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
}

#[test]
fn forwarded_is_for_the_authority_of_each_request() {
    let client = whence("192.0.2.7");
    for authority in ["a", "b", "b", "a"] {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_static(authority);
        prepare_request(&mut headers, &client, &value, Version::HTTP_11);
        let expected = format!("for=192.0.2.7;host=\"{authority}\";proto=https");
        assert_eq!(headers[FORWARDED], expected);
        assert_eq!(headers["x-forwarded-host"], authority);
    }
}

#[test]
fn an_ipv6_client_stands_in_brackets_and_quotes() {
    let mut headers = HeaderMap::new();
    let authority = HeaderValue::from_static("[::1]:8443");
    prepare_request(&mut headers, &whence("2001:db8::1"), &authority, Version::HTTP_11);
    let expected = "for=\"[2001:db8::1]\";host=\"[::1]:8443\";proto=https";
    assert_eq!(headers[FORWARDED], expected);
}

#[test]
fn names_that_only_resemble_ours_come_through() {
    let names = ["client-certificate", "x-client-cert", "client", "client-cert-", "clientcert"];
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (*name, "1")).collect();
    assert_eq!(left(&prepared(&fields, Version::HTTP_11)).len(), names.len());
}

#[test]
fn trailers_frame_and_identify_nothing() {
    let mut trailers = map(&[
        ("x-checksum", "1"),
        ("client_cert", ":AA==:"),
        ("Client-Identities", "\"user\""),
        ("content-length", "3"),
        ("host", "x"),
        ("transfer-encoding", "chunked"),
        ("connection", "x-checksum2"),
        ("x-checksum2", "1"),
    ]);
    prepare_request_trailers(&mut trailers);
    assert_eq!(left(&trailers), ["x-checksum"]);
}

#[test]
fn a_response_that_varies_with_identity_is_not_reused() {
    for vary in
        ["Client-Cert", "accept, client-cert-chain", "CLIENT-IDENTITIES", "x-forwarded-client-cert"]
    {
        let mut headers =
            map(&[("vary", "accept-encoding"), ("vary", vary), ("connection", "close")]);
        prepare_response(&mut headers);
        assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["*"], "{vary}");
        assert!(!headers.contains_key(CONNECTION));
    }
    let mut headers = map(&[("vary", "accept"), ("set-cookie", "a"), ("set-cookie", "b")]);
    prepare_response(&mut headers);
    assert_eq!(headers[VARY], "accept");
    assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
}

proptest! {
    /// However it is spelt, what CGI would take for one of our names does not come through.
    #[test]
    fn every_spelling_is_stripped(
        name in prop::sample::select(OURS.to_vec()),
        separators in prop::collection::vec(prop::sample::select("-_.!#$%&'*+^`|~".chars().collect::<Vec<_>>()), 4),
        upper in any::<u32>(),
        copies in 1_usize..4,
        in_trailers in any::<bool>(),
    ) {
        let mut separators = separators.into_iter();
        let spelt: String = name
            .chars()
            .enumerate()
            .map(|(index, character)| match character {
                '-' => separators.next().unwrap(),
                _ if upper >> (index % 32) & 1 == 1 => character.to_ascii_uppercase(),
                _ => character,
            })
            .collect();
        let fields: Vec<(&str, &str)> = std::iter::repeat_n((spelt.as_str(), "evil"), copies).collect();
        let headers = if in_trailers {
            let mut trailers = map(&fields);
            prepare_request_trailers(&mut trailers);
            trailers
        } else {
            prepared(&fields, Version::HTTP_11)
        };
        prop_assert!(headers.values().all(|value| value != "evil"), "{}", spelt);
    }
}

#[test]
fn cookies_in_several_fields_become_one() {
    let mut headers = map(&[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]);
    join_cookies(&mut headers);
    assert_eq!(headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
}

#[test]
fn detached_values_are_the_same_and_keep_nothing_of_the_buffer_they_were_read_into() {
    let buffer = Bytes::from(b"textsecret".repeat(1000));
    let value = |range| HeaderValue::from_maybe_shared(buffer.slice(range)).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", value(0..4));
    headers.append("x-twice", value(4..10));
    headers.append("x-twice", value(0..0));
    headers.get_mut("content-type").unwrap().set_sensitive(true);
    let before = headers.clone();
    detach(&mut headers);
    assert_eq!(headers, before);
    assert!(headers["content-type"].is_sensitive() && !headers["x-twice"].is_sensitive());
    drop(before);
    assert!(buffer.is_unique());
}
