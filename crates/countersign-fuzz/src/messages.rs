//! What is parsed from bytes.

use bytes::Bytes;
use countersign_proto::frame::{put_request, read_requests};
use countersign_trust::RevocationList;
use exported_authenticator::{Authenticator, AuthenticatorRequest, Role, Validated, stateless};
use rustls::pki_types::{CertificateRevocationListDer, UnixTime};

use crate::seeds::{PROVIDER, VALUES, authenticators, challenge};

/// A request that is read says what was read.
pub(crate) fn request(input: &[u8]) {
    let Ok(request) = AuthenticatorRequest::parse(input) else { return };
    assert_eq!(request.as_bytes(), input);
    assert!(!request.signature_algorithms().is_empty());
    assert!(request.context().len() <= 255);
    let _name = (request.server_name(), request.is_targeted(), format!("{request:?}"));
    let names: usize = request.certificate_authorities().map(<[u8]>::len).sum();
    assert!(names <= input.len());
}

pub(crate) fn authenticator(input: &[u8]) {
    let Ok(authenticator) = Authenticator::parse(input) else { return };
    assert_eq!(authenticator.is_empty(), authenticator.context().is_none());
    let _shown = format!("{authenticator:?}");
}

/// What is accepted is one of the few that were really made, or else a forgery.
pub(crate) fn validation(input: &[u8]) {
    let Some(request) = challenge() else { return };
    let Ok(authenticator) = Authenticator::parse(input) else { return };
    let algorithms = PROVIDER.signature_verification_algorithms;
    let verdict = stateless::validate(&VALUES, Role::Client, &request, &authenticator, &algorithms);
    if let Ok(Validated::Proven(proven)) = verdict {
        // The tag at the end is over all that stands before it.
        let Some((last, rest)) = input.split_last() else { return };
        let changed = [rest, &[last ^ 1]].concat();
        let parsed = Authenticator::parse(&changed);
        let again = parsed.map(|changed| {
            stateless::validate(&VALUES, Role::Client, &request, &changed, &algorithms)
        });
        assert!(!matches!(again, Ok(Ok(Validated::Proven(_)))), "a MAC that is wrong was taken");
        assert!(!proven.chain().is_empty());
        assert!(authenticators().iter().any(|made| made.len().abs_diff(input.len()) < 64));
    }
}

/// What was read can be written, and is read the same again.
pub(crate) fn request_list(input: &[u8]) {
    let Ok(requests) = read_requests(&Bytes::copy_from_slice(input)) else { return };
    let mut written = Vec::new();
    for request in &requests {
        put_request(&mut written, request);
    }
    assert!(written.len() <= input.len());
    assert_eq!(read_requests(&written.into()), Ok(requests));
}

pub(crate) fn revocation_list(input: &[u8]) {
    let list = CertificateRevocationListDer::from(input);
    let algorithms = PROVIDER.signature_verification_algorithms;
    let Ok(list) = RevocationList::new("fuzz", &list, algorithms, UnixTime::now()) else { return };
    // An entry has a serial number and a date.
    assert!(list.entries() <= input.len() / 10);
    assert!(!list.is_ahead_of(&list) && list.is_in_line_with(&list));
}
