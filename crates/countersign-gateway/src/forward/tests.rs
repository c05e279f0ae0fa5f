//! The identity fields, against RFC 9440's own example and against parsers.

use countersign_testkit::pki::{Authority, KeyKind, Leaf};
use countersign_testkit::tls::test_pki;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sfv::{BareItem, Item, List, ListEntry, Parser};

use super::*;

fn caller(credential: &str, chain: &[CertificateDer<'static>]) -> Arc<Caller> {
    Arc::new(Caller::read(credential, chain).unwrap())
}

fn alice() -> Arc<Caller> {
    caller("user", &test_pki().alice.chain)
}

fn device() -> Arc<Caller> {
    caller("device", &test_pki().device.chain)
}

fn forward(client_cert: Option<&str>, xfcc: Option<&str>, identities: bool) -> Forward {
    Forward { client_cert: client_cert.map(Arc::from), xfcc: xfcc.map(Arc::from), identities }
}

fn applied(forward: &Forward, callers: &[Arc<Caller>]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    forward.apply(callers, &mut headers);
    headers
}

#[test]
fn the_example_of_rfc_9440_comes_out() {
    let pem = include_bytes!("../testdata/rfc9440.pem");
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().unwrap();
    let headers = applied(&forward(Some("x"), None, false), &[caller("x", &chain)]);
    let base64 = |index: usize| STANDARD.encode(&chain[index]);
    assert!(
        base64(0).starts_with("MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBB")
    );
    assert_eq!(headers[CLIENT_CERT], format!(":{}:", base64(0)));
    assert_eq!(headers[CLIENT_CERT_CHAIN], format!(":{}:, :{}:", base64(1), base64(2)));
    assert_eq!(headers.len(), 2);
}

#[test]
fn a_backend_reads_the_certificates_back() {
    let headers = applied(&forward(Some("user"), None, false), &[device(), alice()]);
    let item: Item = Parser::new(headers[CLIENT_CERT].as_bytes()).parse().unwrap();
    assert_eq!(item.bare_item, BareItem::ByteSequence(test_pki().alice.chain[0].to_vec()));
    let list: List = Parser::new(headers[CLIENT_CERT_CHAIN].as_bytes()).parse().unwrap();
    assert_eq!(list.len(), test_pki().alice.chain.len() - 1);
}

#[test]
fn a_leaf_alone_has_no_chain_field() {
    let leaf = test_pki().alice.chain[..1].to_vec();
    let headers = applied(&forward(Some("user"), None, false), &[caller("user", &leaf)]);
    assert!(headers.contains_key(CLIENT_CERT) && !headers.contains_key(CLIENT_CERT_CHAIN));
}

#[test]
fn xfcc_is_written_as_envoy_does() {
    let users = Authority::root("Users", KeyKind::P256).unwrap();
    let leaf = Leaf::client("web \"1\", blue")
        .uri("spiffe://example.test/ns/web")
        .uri("urn:x:a=b")
        .email("not-in-xfcc@example.test")
        .dns("web.example.test")
        .dns("www.example.test");
    let issued = users.issue(&leaf).unwrap();
    let headers = applied(&forward(None, Some("w"), false), &[caller("w", &issued.chain)]);
    let value = headers[XFCC].to_str().unwrap();
    let (hash, rest) = value.split_once(";Cert=\"").unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &issued.chain[0]);
    assert_eq!(hash, format!("Hash={}", hex(digest.as_ref())));
    let (pem, rest) = rest.split_once("\";").unwrap();
    let decoded = pem
        .replace("%0A", "\n")
        .replace("%20", " ")
        .replace("%2B", "+")
        .replace("%2F", "/")
        .replace("%3D", "=");
    assert_eq!(CertificateDer::from_pem_slice(decoded.as_bytes()).unwrap(), issued.chain[0]);
    assert!(decoded.lines().all(|line| line.len() <= 64));
    assert!(!pem.contains(['+', '/', '=', ' ', '"']));
    assert_eq!(
        rest,
        concat!(
            r#"Subject="CN=web \"1\"\, blue,O=Countersign test PKI";URI=spiffe://example.test/ns/web;URI="urn:x:a=b";"#,
            "DNS=web.example.test;DNS=www.example.test"
        )
    );
}

#[test]
fn client_identities_has_one_member_per_credential() {
    let headers = applied(&forward(None, None, true), &[device(), alice()]);
    let list: List = Parser::new(headers[CLIENT_IDENTITIES].as_bytes()).parse().unwrap();
    let items: Vec<&Item> = list
        .iter()
        .map(|entry| match entry {
            ListEntry::Item(item) => item,
            ListEntry::InnerList(_) => panic!("an inner list"),
        })
        .collect();
    let text = |item: &Item, key: &str| {
        item.params
            .get(key)
            .and_then(|value| value.as_string())
            .map(|text| text.as_str().to_owned())
    };
    assert_eq!(items.len(), 2);
    assert_eq!(items[0].bare_item.as_string().unwrap().as_str(), "device");
    assert_eq!(text(items[0], "dns").as_deref(), Some("device-1.example.test"));
    assert_eq!(text(items[0], "email"), None);
    assert_eq!(items[1].bare_item.as_string().unwrap().as_str(), "user");
    assert_eq!(text(items[1], "email").as_deref(), Some("alice@example.test"));
    assert_eq!(text(items[1], "subject").as_deref(), Some("CN=alice,O=Countersign test PKI"));
    assert_eq!(text(items[1], "issuer").as_deref(), Some("CN=User CA 1,O=Countersign test PKI"));
    assert_eq!(text(items[1], "serial").as_deref(), Some(alice().serial()));
    assert_eq!(items[1].params["sha256"].as_byte_sequence().unwrap(), alice().sha256());
    assert!(items[1].params["not-after"].as_integer().is_some());
}

#[test]
fn what_the_connection_does_not_hold_is_not_told() {
    let all = forward(Some("user"), Some("user"), true);
    assert!(applied(&all, &[]).is_empty());
    assert_eq!(applied(&all, &[device()]).keys().collect::<Vec<_>>(), [&CLIENT_IDENTITIES]);
    assert!(applied(&Forward::default(), &[device(), alice()]).is_empty());
}

#[test]
fn what_a_connection_keeps_of_an_identity_has_no_room_to_spare() {
    let chain: Arc<[_]> = test_pki().device.chain.clone().into();
    let caller = Caller::share("device", Arc::clone(&chain)).unwrap();
    assert_eq!(caller.leaf().as_ptr(), chain[0].as_ref().as_ptr(), "the identity's own");
    assert_eq!(caller.issuers().len(), chain.len() - 1);
    let (text, member) = (client_cert(&caller).unwrap(), identity(&caller).unwrap());
    assert_eq!(text, format!(":{}:", STANDARD.encode(&chain[0])));
    assert_eq!(member.capacity(), member.len());
}
