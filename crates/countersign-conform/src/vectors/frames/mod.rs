//! Frames of the extension that arrive, over both versions, at a client and at a server.

mod certificates;
mod requests;
mod transports;

use super::kit::{ALL_SCHEMES, Connection, Kit, context, hash_name, plain_request};
use super::settings::{Arriving, context_of};
use super::{Event, Vector};
use crate::authenticator::{Request, Side};
use crate::bytes::varint;
use crate::case::Version;
use crate::code_points::{Code, CodePoints};
use crate::raw::H2Frame;

const VERSIONS: [Version; 2] = [Version::Http2, Version::Http3];
const REQUESTS: u64 = 0xf5;
const CERTIFICATE: u64 = 0xf6;
const SERVER_CERTIFICATE: u64 = CERTIFICATE;

fn pair(code: Code) -> (u64, u64) {
    (code.h2.into(), code.h3)
}

fn invalid() -> (u64, u64) {
    let code = CodePoints::default().server_certificate_invalid.into();
    (code, code)
}

/// A receiver that has got SETTINGS with both settings.
fn settled(version: Version, receiver: Side) -> Arriving {
    let points = CodePoints::default();
    let limit = if receiver == Side::Server { 3 } else { 1 };
    Arriving::new(version, receiver)
        .settings(&[(points.client_cert_auth.into(), limit), (points.server_cert_auth.into(), 1)])
}

fn request(number: u8) -> Request {
    plain_request(17, &context(&format!("request {number}")), &ALL_SCHEMES)
}

fn list(numbers: &[u8]) -> Vec<u8> {
    Request::encode_list(&numbers.iter().map(|number| request(*number)).collect::<Vec<_>>())
}

pub(super) fn vectors(kit: &Kit) -> Result<Vec<Vector>, String> {
    let mut vectors = Vec::new();
    for version in VERSIONS {
        vectors.extend(requests::requests_accepted(version));
        vectors.extend(requests::requests_refused(version));
        vectors.extend(certificates::server_certificates(version, kit)?);
        vectors.extend(certificates::certificates(version, kit)?);
        vectors.extend(certificates::directions(version, kit)?);
    }
    vectors.extend(transports::only_h2(kit)?);
    vectors.extend(transports::only_h3());
    Ok(vectors)
}

fn asked(request: &Request) -> Event {
    Event::Request { context: context_of(&request.context), message_type: request.typ }
}

/// The header of a frame.
fn header(version: Version, kind: u64, length: usize) -> Vec<u8> {
    match version {
        Version::Http2 => H2Frame::header(kind, length),
        Version::Http3 => [varint(kind), varint(length as u64)].concat(),
    }
}

/// A vector with the values of the peer that authenticates.
fn bound(mut vector: Vector, connection: &Connection, peer: Side) -> Vector {
    let (handshake_context, finished_key) = connection.secrets.values(peer);
    vector.connection.clone_from(&connection.tag);
    hash_name(connection.secrets.hash()).clone_into(&mut vector.hash);
    vector.handshake_context = handshake_context.into();
    vector.finished_key = finished_key.into();
    vector
}
