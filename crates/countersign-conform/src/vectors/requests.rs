//! Requests to decode: those that RFC 9261, section 4, allows, and those that it does not.

use super::Vector;
use super::kit::{ALL_SCHEMES, context};
use crate::authenticator::{Request, extension, message};
use crate::bytes::vector;

const TWIN: &str = "request-17";

pub(super) fn vectors() -> Vec<Vector> {
    let mut vectors = accepted();
    vectors.extend(refused());
    vectors
}

fn case(name: &str, expect: &str, note: &str, bytes: Vec<u8>) -> Vector {
    Vector {
        name: name.to_owned(),
        op: "parse_request".to_owned(),
        expect: expect.to_owned(),
        note: note.to_owned(),
        twin: if expect == "ok" { String::new() } else { TWIN.to_owned() },
        request: bytes.into(),
        ..Vector::default()
    }
}

fn encoded(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    Request::new(17, &context("request"), extensions).bytes
}

fn with(more: &[(u16, Vec<u8>)]) -> Vec<u8> {
    encoded(&[&[Request::algorithms(&ALL_SCHEMES)], more].concat())
}

fn accepted() -> Vec<Vector> {
    let algorithms = Request::algorithms(&ALL_SCHEMES);
    let one = Request::algorithms(&[0x0403]);
    let filter = [vector(1, &[6, 3, 0x55, 0x1d, 0x25]), vector(2, &[])].concat();
    let host = [&[0][..], &vector(2, b"server.example.test")].concat();
    let name = [0x30, 0];
    let of = |typ, length: usize| {
        Request::new(typ, &vec![7; length], std::slice::from_ref(&algorithms)).bytes
    };
    let ok = |name: &str, note: &str, bytes| case(name, "ok", note, bytes);
    vec![
        ok(TWIN, "ClientCertificateRequest", with(&[])),
        ok("request-13", "CertificateRequest", of(13, 32)),
        ok("request-context-0", "", of(17, 0)),
        ok("request-context-255", "", of(17, 255)),
        ok("request-one-scheme", "the shortest signature_algorithms", encoded(&[one])),
        ok("request-unknown-first", "an unknown extension in front", {
            encoded(&[(0xfafa, vec![1; 40]), algorithms.clone()])
        }),
        ok("request-grease", "", with(&[(0x1a1a, Vec::new()), (0xdada, vec![0])])),
        ok("request-filters", "", with(&[(extension::OID_FILTERS, vector(2, &filter))])),
        ok("request-no-filter", "", with(&[(extension::OID_FILTERS, vec![0, 0])])),
        ok("request-authorities", "an empty name in DER", {
            with(&[(extension::CERTIFICATE_AUTHORITIES, vector(2, &vector(2, &name)))])
        }),
        ok("request-schemes-of-certificates", "", {
            with(&[(extension::SIGNATURE_ALGORITHMS_CERT, vector(2, &[4, 1]))])
        }),
        ok("request-server-name", "", with(&[(extension::SERVER_NAME, vector(2, &host))])),
        ok("request-status", "", with(&[(extension::STATUS_REQUEST, vec![1, 0, 0, 0, 0])])),
        ok("request-large", "16,000 bytes", with(&[(0xfafa, vec![0; 16_000])])),
    ]
}

fn refused() -> Vec<Vector> {
    let right = with(&[]);
    let typed = |typ: u8| {
        let rest = right.get(1..).unwrap_or_default();
        [&[typ][..], rest].concat()
    };
    let raw = |body: &[u8]| message::encode(17, body);
    let malformed = "malformed";
    let cut = |at: usize| right.get(..at).unwrap_or_default().to_vec();
    let mut cases = vec![
        ("type-0", "not_a_request", "another handshake type", typed(0)),
        ("type-11", "not_a_request", "Certificate", typed(11)),
        ("type-20", "not_a_request", "Finished", typed(20)),
        ("trailing", "trailing_bytes", "a byte behind it", [&right[..], &[0]].concat()),
        ("twice", "trailing_bytes", "two requests", [&right[..], &right].concat()),
        ("trailing-inside", "trailing_bytes", "a byte behind the extensions, in the message", {
            raw(&[right.get(4..).unwrap_or_default(), &[0]].concat())
        }),
        ("body-empty", malformed, "", raw(&[])),
        ("context-cut", malformed, "", raw(&[32, 1, 2])),
        ("no-extensions-field", malformed, "a context and nothing behind it", raw(&[2, 1, 2])),
        ("extensions-empty", malformed, "the list has at least two bytes", raw(&[1, 7, 0, 0])),
        ("extensions-overrun", malformed, "", raw(&[1, 7, 0xff, 0xff, 0, 13])),
        ("extension-cut", malformed, "", raw(&[1, 7, 0, 3, 0, 13, 0])),
        ("extension-overrun", malformed, "", raw(&[1, 7, 0, 4, 0, 13, 0, 9])),
        ("no-algorithms", "no_signature_algorithms", "other extensions only", {
            encoded(&[(extension::STATUS_REQUEST, vec![1, 0, 0, 0, 0])])
        }),
        ("in-a-record", "not_a_request|malformed", "wrapped in a TLS record", {
            [&[22, 3, 3][..], &vector(2, &right)].concat()
        }),
    ];
    for (name, at) in
        [("nothing", 0), ("cut-type", 1), ("cut-length", 3), ("cut-half", right.len() / 2)]
    {
        cases.push((name, malformed, "", cut(at)));
    }
    cases.push(("cut-last", malformed, "", cut(right.len() - 1)));
    for (name, body) in [
        ("algorithms-empty", vec![0, 0]),
        ("algorithms-no-length", Vec::new()),
        ("algorithms-odd", vec![0, 3, 4, 3, 8]),
        ("algorithms-overrun", vec![0, 8, 4, 3]),
        ("algorithms-trailing", vec![0, 2, 4, 3, 0]),
    ] {
        let bytes = encoded(&[(extension::SIGNATURE_ALGORITHMS, body)]);
        cases.push((name, "malformed|trailing_bytes", "", bytes));
    }
    let twice = Request::algorithms(&ALL_SCHEMES);
    cases.push(("algorithms-twice", "duplicate_extension", "", with(&[twice])));
    let unknown = [(0xfafa, vec![1]), (0xfafa, vec![2])];
    cases.push(("unknown-twice", "duplicate_extension", "", with(&unknown)));
    let either = "malformed|trailing_bytes";
    for (name, typ, expect, body) in [
        ("authorities-empty", extension::CERTIFICATE_AUTHORITIES, either, vec![0, 0]),
        ("authorities-no-name", extension::CERTIFICATE_AUTHORITIES, either, vec![0, 2, 0, 0]),
        ("authorities-overrun", extension::CERTIFICATE_AUTHORITIES, either, vec![0, 3, 0, 9, 1]),
        ("certificates-schemes-empty", extension::SIGNATURE_ALGORITHMS_CERT, either, vec![0, 0]),
        ("filters-overrun", extension::OID_FILTERS, either, vec![0, 9, 1]),
        ("filters-no-oid", extension::OID_FILTERS, either, vec![0, 3, 0, 0, 0]),
        ("filters-trailing", extension::OID_FILTERS, either, vec![0, 0, 0]),
        ("filters-twice", extension::OID_FILTERS, "duplicate_oid", {
            vector(2, &[&[3, 6, 1, 0x55, 0, 0][..], &[3, 6, 1, 0x55, 0, 0]].concat())
        }),
    ] {
        cases.push((name, expect, "", with(&[(typ, body)])));
    }
    cases
        .into_iter()
        .map(|(name, expect, note, bytes)| {
            case(&format!("refused-request-{name}"), expect, note, bytes)
        })
        .collect()
}
