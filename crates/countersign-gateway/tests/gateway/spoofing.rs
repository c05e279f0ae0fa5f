//! What clients claim about themselves never reaches a backend.

use bytes::Bytes;
use countersign_testkit::raw::RawPeer;
use countersign_testkit::tls::test_pki;
use countersign_testkit::within;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use crate::support::{
    Backend, Client, Http1, Running, Seen, Version, empty, for_both_versions, tls,
};

for_both_versions! {
    no_spelling_comes_through_on_any_route,
    the_address_is_the_connections_and_the_host_the_requests,
    the_way_is_told_and_the_trace_goes_on,
}

/// Names that some backend takes for an identity field.
const SPELLINGS: [&str; 14] = [
    "client-cert",
    "client_cert",
    "client.cert",
    "client-cert-chain",
    "client_cert_chain",
    "client-cert_chain",
    "x-forwarded-client-cert",
    "x_forwarded_client_cert",
    "x-forwarded-client_cert",
    "x.forwarded.client.cert",
    "client-identities",
    "client_identities",
    "client~identities",
    "forwarded",
];

fn spoofed() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in SPELLINGS {
        for _ in 0..2 {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("EVIL"));
        }
    }
    headers
}

fn body_with_trailers() -> crate::support::Body {
    let mut trailers = spoofed();
    trailers.insert("x-checksum", HeaderValue::from_static("1"));
    let frames = [Ok(Frame::data(Bytes::from_static(b"data"))), Ok(Frame::trailers(trailers))];
    StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

fn clean(seen: &Seen) {
    let all = seen.headers.iter().chain(seen.trailers.iter().flatten_maps());
    for (name, value) in all {
        assert_ne!(value, "EVIL", "{name}");
    }
}

trait FlattenMaps<'a> {
    fn flatten_maps(self) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>;
}

impl<'a, I: Iterator<Item = &'a HeaderMap>> FlattenMaps<'a> for I {
    fn flatten_maps(self) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
        self.flat_map(HeaderMap::iter)
    }
}

async fn no_spelling_comes_through_on_any_route(version: Version) {
    let pki = test_pki();
    for scheme in ["http", "h2c"] {
        let backend = Backend::start().await;
        let gateway = Running::standard(&format!("{scheme}://{}", backend.address)).await;
        let client = Client::showing(version, &gateway, &[&pki.device, &pki.alice]).await;
        for path in ["/public/", "/user/", "/admin/"] {
            let mut request =
                client.request(path).method("POST").body(body_with_trailers()).unwrap();
            request.headers_mut().extend(spoofed());
            request
                .headers_mut()
                .insert("trailer", HeaderValue::from_static("x-checksum, client-cert"));
            assert_eq!(client.send(request).await.status, 200);
        }
        let seen = backend.seen();
        assert_eq!(seen.len(), 3);
        for one in &seen {
            clean(one);
            assert_eq!(one.body, "data");
        }
        assert_eq!(seen[0].header("client-identities"), None);
        for (one, expected) in seen.iter().zip([0, 0, 1]) {
            assert_eq!(one.headers.get_all("client-cert").iter().count(), expected);
        }
        // The harmless trailer shows that the others were looked at and not just lost.
        let trailers = seen[0].trailers.as_ref().unwrap();
        assert_eq!(trailers.keys().collect::<Vec<_>>(), ["x-checksum"], "{scheme}");
    }
}

#[tokio::test]
async fn no_spelling_comes_through_over_http1() {
    let backend = Backend::start().await;
    let gateway = Running::standard(&format!("http://{}", backend.address)).await;
    let mut client = Http1::connect(&gateway, Some(&test_pki().alice)).await;
    for path in ["/public/", "/user/"] {
        let mut request = http::Request::post(path)
            .header("host", "localhost")
            // Naming the gateway's own fields here must not remove them either.
            .header("connection", "client-identities, x-forwarded-for")
            .body(body_with_trailers())
            .unwrap();
        request.headers_mut().extend(spoofed());
        assert_eq!(client.send(request).await.status, 200);
    }
    let seen = backend.seen();
    seen.iter().for_each(clean);
    assert_eq!(seen[1].header("x-forwarded-for"), Some("127.0.0.1"));
    assert!(seen[1].header("client-identities").unwrap().starts_with("\"user\";"));
}

async fn the_address_is_the_connections_and_the_host_the_requests(version: Version) {
    let backend = Backend::start().await;
    let gateway = Running::open(&format!("h2c://{}", backend.address)).await;
    let client = Client::plain(version, &gateway, None).await;
    let request = client
        .request("/")
        .header("x-forwarded-for", "10.0.0.1")
        .header("x_forwarded_host", "evil.example")
        .header("te", "trailers")
        .body(crate::support::empty())
        .unwrap();
    assert_eq!(client.send(request).await.status, 200);
    let seen = backend.only();
    assert_eq!(seen.line, format!("GET http://{}/ HTTP/2.0", client.authority));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-host"), Some(client.authority.as_str()));
    assert_eq!(seen.header("te"), Some("trailers"));
    assert!(!seen.headers.contains_key("x_forwarded_host"));
}

async fn the_way_is_told_and_the_trace_goes_on(version: Version) {
    let backend = Backend::start().await;
    let gateway = Running::open(&format!("http://{}", backend.address)).await;
    let client = Client::showing(version, &gateway, &[]).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = client.request("/").header("via", "1.0 before").header("traceparent", parent);
    let answer = client.send(request.body(empty()).unwrap()).await;
    assert_eq!(answer.headers["via"], "1.1 localhost");
    let received = if version == Version::Http2 { "2 localhost" } else { "3 localhost" };
    let seen = backend.only();
    let via: Vec<_> = seen.headers.get_all("via").iter().collect();
    assert_eq!(via, ["1.0 before", received]);
    assert_eq!(seen.header("traceparent"), Some(parent));
    client.get("/").await;
    let begun = backend.seen().pop().unwrap();
    assert!(begun.header("traceparent").is_some_and(|begun| begun != parent && begun.len() == 55));
}

#[tokio::test]
async fn no_case_and_no_repetition_comes_through_over_http1() {
    let backend = Backend::start().await;
    let gateway = Running::standard(&format!("http://{}", backend.address)).await;
    for transform in [str::to_ascii_uppercase, str::to_ascii_lowercase, alternating] {
        let fields: String = SPELLINGS
            .iter()
            .flat_map(|name| std::iter::repeat_n(format!("{}: EVIL\r\n", transform(name)), 3))
            .collect();
        let mut peer = RawPeer::connect(gateway.address, tls("http/1.1", None)).await;
        let request = format!(
            "GET /public/ HTTP/1.1\r\nHost: localhost\r\nX-Kept: yes\r\n{fields}Connection: close\r\n\r\n"
        );
        peer.send_bytes(request.as_bytes()).await;
        let answer = within(peer.rest()).await;
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", answer.escape_ascii());
    }
    let seen = backend.seen();
    assert_eq!(seen.len(), 3);
    for one in &seen {
        clean(one);
        assert_eq!(one.header("x-kept"), Some("yes"));
    }
}

/// `ClIeNt_cErT`.
fn alternating(name: &str) -> String {
    let cased = |(index, letter): (usize, char)| match index % 2 {
        0 => letter.to_ascii_uppercase(),
        _ => letter,
    };
    name.chars().enumerate().map(cased).collect()
}
