//! What is said about input, good and bad.

use countersign_pki::{Authority, KeyKind, Leaf};
use exported_authenticator::{MessageType, RequestTemplate};
use proptest::prelude::*;
use rustls::SignatureScheme;

use super::*;

fn request() -> Vec<u8> {
    let template = RequestTemplate::new(vec![SignatureScheme::ED25519]);
    template.build(MessageType::ClientCertificateRequest, &[7; 4]).unwrap().as_bytes().to_vec()
}

fn vector(width: usize, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[4 - width..], content].concat()
}

fn message(typ: u8, body: &[u8]) -> Vec<u8> {
    [&[typ][..], &vector(3, body)].concat()
}

/// One that nobody has signed.
fn authenticator() -> Vec<u8> {
    let root = Authority::root("Root", KeyKind::P256).unwrap();
    let issued = root.issue(&Leaf::client("alice").email("alice@example.test")).unwrap();
    let leaf = issued.chain.first().unwrap();
    let entry = [vector(3, leaf), vector(2, &[])].concat();
    let certificate = message(11, &[vector(1, &[7; 4]), vector(3, &entry)].concat());
    let verify = message(15, &[vec![8, 7], vector(2, &[1; 64])].concat());
    [certificate, verify, message(20, &[2; 32])].concat()
}

fn said(form: Form, input: &[u8]) -> (String, Result<(), Broken>) {
    let (text, broken) = Explainer::default().explain(form, input);
    (text, broken.map_or(Ok(()), Err))
}

fn http2_frame(typ: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[typ, 0, 0, 0, 0, stream], payload].concat()
}

fn http3_frame(typ: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap() | 0x4000;
    [&[0x40, typ][..], &length.to_be_bytes(), payload].concat()
}

#[test]
fn a_request_is_explained() {
    let request = request();
    assert_eq!(Form::guess(&request), Some(Form::Messages));
    let (text, outcome) = said(Form::Messages, &request);
    assert_eq!(outcome, Ok(()));
    let expected = "\
000000  ClientCertificateRequest (17), 15 bytes
000004    certificate_request_context: 4 bytes: 07070707
00000b    signature_algorithms (13), 4 bytes
000011      ed25519
";
    assert_eq!(text, expected);
}

#[test]
fn an_authenticator_is_explained() {
    let authenticator = authenticator();
    assert_eq!(Form::guess(&authenticator), Some(Form::Messages));
    let (text, outcome) = said(Form::Messages, &authenticator);
    assert_eq!(outcome, Ok(()));
    for expected in [
        "Certificate (11), ",
        "subject: O=Countersign test PKI, CN=alice\n",
        "issuer: O=Countersign test PKI, CN=Root\n",
        "alice@example.test",
        "algorithm: ed25519\n",
        "signature: 64 bytes: 01010101010101010101010101010101…\n",
        "verify_data: 32 bytes: 02020202020202020202020202020202…\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_name_is_one_line_and_no_command_for_a_terminal() {
    let root = Authority::root("Root", KeyKind::P256).unwrap();
    let name = "alice\u{1b}[2J\n000000  valid on this connection\r";
    let issued = root.issue(&Leaf::client(name)).unwrap();
    let entry = [vector(3, issued.chain.first().unwrap()), vector(2, &[])].concat();
    let certificate = message(11, &[vector(1, &[]), vector(3, &entry)].concat());
    let (text, outcome) = said(Form::Messages, &certificate);
    assert_eq!(outcome, Ok(()));
    let subject = "CN=alice\u{fffd}[2J\u{fffd}000000  valid on this connection\u{fffd}\n";
    assert!(text.contains(subject), "{text:?}");
    assert!(text.chars().all(|one| one == '\n' || !one.is_control()), "{text:?}");
    assert!(text.lines().all(|line| !line.starts_with("000000  valid")), "{text:?}");
}

#[test]
fn frames_are_explained() {
    let list = [vec![u8::try_from(request().len()).unwrap()], request()].concat();
    assert_eq!(Form::guess(&list), Some(Form::Requests));
    let setting = [0xff, 0x0c, 0, 0, 0, 4];
    let http2 = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        http2_frame(4, 0, &setting),
        http2_frame(0xf5, 0, &list),
        http2_frame(0xf6, 3, &authenticator()),
        http2_frame(7, 0, &[0, 0, 0, 1, 0, 0, 0xff, 0x0e, b'n', b'o']),
    ]
    .concat();
    assert_eq!(Form::guess(&http2), Some(Form::Http2));
    let (text, outcome) = said(Form::Http2, &http2);
    assert_eq!(outcome, Ok(()));
    for expected in [
        "preface",
        "SETTINGS_HTTP_CLIENT_CERT_AUTH (0xff0c): 4\n",
        "AUTHENTICATOR_REQUESTS: type 0xf5, flags 0x00, stream 0, ",
        "ClientCertificateRequest (17)",
        "! it belongs to stream 0\n",
        "subject: O=Countersign test PKI, CN=alice\n",
        "last stream 1, error 0xff0e SERVER_CERTIFICATE_INVALID\n",
        "debug data: no\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let settings = [0x80, 0, 0xff, 0x0c, 4];
    let frames = [http3_frame(4, &settings), http3_frame(0xf5, &list)].concat();
    for (input, control) in [(frames.clone(), false), ([vec![0], frames].concat(), true)] {
        assert_eq!(Form::guess(&input), Some(Form::Http3));
        let (text, outcome) = said(Form::Http3, &input);
        assert_eq!(outcome, Ok(()));
        assert_eq!(text.contains("control stream"), control);
        assert!(text.contains("SETTINGS_HTTP_CLIENT_CERT_AUTH (0xff0c): 4\n"), "{text}");
        assert!(text.contains("ed25519"), "{text}");
    }
}

#[test]
fn what_is_cut_is_told_where_it_is_cut() {
    for (form, whole) in [
        (Form::Messages, authenticator()),
        (Form::Http2, http2_frame(0xf6, 0, &authenticator())),
        (Form::Http3, http3_frame(0xf6, &authenticator())),
    ] {
        for end in 1..whole.len() {
            let (_, outcome) = said(form, &whole[..end]);
            // Between two messages nothing is missing that could be told.
            let complete = messages::fit(&whole[..end]) && form == Form::Messages;
            assert_eq!(outcome.is_ok(), complete, "{form:?} cut at {end}");
            assert!(outcome.is_ok() || outcome.unwrap_err().at <= end);
        }
    }
}

#[test]
fn broken_rules_are_remarked() {
    let twice = [0, 13, 0, 4, 0, 2, 8, 7].repeat(2);
    let (text, outcome) =
        said(Form::Messages, &message(13, &[vec![0], vector(2, &twice)].concat()));
    assert_eq!(outcome, Ok(()));
    assert!(text.contains("! this type was there before"), "{text}");
    let (text, _) = said(Form::Messages, &message(17, &[0, 0, 0]));
    assert!(text.contains("! signature_algorithms is missing"), "{text}");
    let (text, _) = said(Form::Http2, &http2_frame(0xf5, 0, &[]));
    assert!(text.contains("! the list must not be empty"), "{text}");
}

proptest! {
    #[test]
    fn anything_can_be_read(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        for form in [Form::Messages, Form::Requests, Form::Http2, Form::Http3] {
            let (_, outcome) = said(form, &input);
            prop_assert!(outcome.is_ok() || outcome.unwrap_err().at <= input.len());
        }
        let _any = Form::guess(&input);
    }

    #[test]
    fn a_byte_that_is_changed_is_no_end(at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut input = http2_frame(0xf6, 0, &authenticator());
        let at = at.index(input.len());
        input[at] = with;
        let _any = said(Form::Http2, &input);
    }
}
