//! What is wrong with what arrives, by name: a client with one fault takes one of these and no other.

use countersign_conform::authenticator::{extension, message};
use countersign_conform::bytes::Reader;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The shape of an authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As it has to be.
    Whole,
    /// Bytes that are no messages.
    Rubbish,
    /// It begins well, and breaks off within a message.
    Cut,
    /// One message, Finished.
    Empty,
    /// There is nothing.
    Nothing,
    /// Certificate and CertificateVerify.
    NoFinished,
    /// Certificate and Finished.
    NoVerify,
    /// CertificateVerify before Certificate, which stands before Finished.
    Swapped,
    /// A list of certificates without one.
    NoEntries,
    /// A leaf that is not X.509.
    NotX509,
    /// So many bytes in Finished, which are not those of SHA-256.
    Finished(usize),
    /// Anything else.
    Odd,
}

pub(crate) fn shape(bytes: &[u8]) -> Shape {
    let (messages, rest) = messages(bytes);
    let types: Vec<_> = messages.iter().map(|(typ, _)| *typ).collect();
    match (&types[..], rest) {
        ([11, 15, 20], []) => body_shape(&messages),
        ([20], []) => Shape::Empty,
        ([], []) => Shape::Nothing,
        ([11, 15], []) => Shape::NoFinished,
        ([11, 20], []) => Shape::NoVerify,
        ([15, 11, 20], []) => Shape::Swapped,
        ([], [11, ..]) | ([11], [15, ..]) | ([11, 15], [20, ..]) => Shape::Cut,
        ([], _) => Shape::Rubbish,
        _ => Shape::Odd,
    }
}

/// That of the three messages.
fn body_shape(messages: &[(u8, &[u8])]) -> Shape {
    let mut certificate = Reader(messages[0].1);
    certificate.vector(1).unwrap();
    let Some(list) = certificate.vector(3) else { return Shape::Odd };
    match (Reader(list).vector(3).map(X509Certificate::from_der), messages[2].1.len()) {
        (None, _) if list.is_empty() => Shape::NoEntries,
        (None, _) => Shape::Odd,
        (Some(Err(_)), _) => Shape::NotX509,
        (Some(Ok(_)), 32) => Shape::Whole,
        (Some(Ok(_)), length) => Shape::Finished(length),
    }
}

/// The whole messages at the beginning with their types, and what is behind them.
pub(crate) fn messages(bytes: &[u8]) -> (Vec<(u8, &[u8])>, &[u8]) {
    let (mut reader, mut messages) = (Reader(bytes), Vec::new());
    loop {
        let rest = reader.0;
        let (Some(typ), Some(body)) = (reader.number(1), reader.vector(3)) else {
            return (messages, rest);
        };
        messages.push((typ as u8, body));
    }
}

/// What is wrong with the payload of AUTHENTICATOR_REQUESTS, if it is read from the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// There is nothing.
    Empty,
    /// A length of which a part is missing.
    CutLength,
    /// A request that goes on beyond the end of the frame.
    BeyondFrame,
    /// A handshake message of a type that no request has.
    OtherType,
    /// A message that is longer than its place in the list.
    LongerThanItsPlace,
    /// A message that is shorter than its place in the list.
    ShorterThanItsPlace,
    /// An element of length 0.
    ZeroLength,
    /// One that no frame could have.
    HugeLength,
    /// A context that goes on beyond the request.
    ContextBeyond,
    /// Extensions that go on beyond the request.
    ListBeyond,
    /// An extension that goes on beyond the list.
    ExtensionBeyond,
    /// Bytes behind the extensions.
    BytesInside,
    /// signature_algorithms of an odd length.
    OddAlgorithms,
}

pub(crate) fn flaw(payload: &[u8]) -> Option<Flaw> {
    if payload.is_empty() {
        return Some(Flaw::Empty);
    }
    let mut list = Reader(payload);
    while !list.is_empty() {
        let Some(length) = list.varint() else { return Some(Flaw::CutLength) };
        if length == 0 || length == (1 << 62) - 1 {
            return Some(if length == 0 { Flaw::ZeroLength } else { Flaw::HugeLength });
        }
        let place = usize::try_from(length).ok().and_then(|length| list.take(length));
        let Some(place) = place else { return Some(Flaw::BeyondFrame) };
        if let Some(flaw) = flaw_of_one(place) {
            return Some(flaw);
        }
    }
    None
}

fn flaw_of_one(place: &[u8]) -> Option<Flaw> {
    let mut reader = Reader(place);
    let requests = [message::CERTIFICATE_REQUEST, message::CLIENT_CERTIFICATE_REQUEST];
    if !reader.number(1).is_some_and(|typ| requests.map(u64::from).contains(&typ)) {
        return Some(Flaw::OtherType);
    }
    let Some(body) = reader.vector(3) else { return Some(Flaw::LongerThanItsPlace) };
    if !reader.is_empty() {
        return Some(Flaw::ShorterThanItsPlace);
    }
    flaw_inside(body)
}

fn flaw_inside(body: &[u8]) -> Option<Flaw> {
    let mut body = Reader(body);
    if body.vector(1).is_none() {
        return Some(Flaw::ContextBeyond);
    }
    let Some(list) = body.vector(2) else { return Some(Flaw::ListBeyond) };
    if !body.is_empty() {
        return Some(Flaw::BytesInside);
    }
    let mut list = Reader(list);
    while !list.is_empty() {
        let (Some(typ), Some(contents)) = (list.number(2), list.vector(2)) else {
            return Some(Flaw::ExtensionBeyond);
        };
        if typ == u64::from(extension::SIGNATURE_ALGORITHMS) && contents.len() % 2 != 0 {
            return Some(Flaw::OddAlgorithms);
        }
    }
    None
}
