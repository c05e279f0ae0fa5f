//! The conformance tool's own readers, which hear hostile peers too; and its opinion of authenticators beside ours.

use std::convert::Infallible;
use std::sync::LazyLock;

use countersign_conform::Version;
use countersign_conform::authenticator::{Hash, Request, Secrets, Side, check};
use countersign_conform::raw::{fields, parse_settings};
use exported_authenticator::{Authenticator, Role, stateless};

use crate::seeds::{self, PROVIDER, VALUES, challenge};

/// What [`VALUES`] are made of, for the tool.
static SECRETS: LazyLock<Secrets> = LazyLock::new(|| {
    let export = |output: &mut [u8], label: &[u8]| {
        output.fill(seeds::fill(label));
        Ok::<_, Infallible>(())
    };
    Secrets::export(Hash::Sha256, export).unwrap()
});

pub(crate) fn run(input: &[u8]) {
    for version in [Version::Http2, Version::Http3] {
        let _settings = parse_settings(version, input);
        let _fields = (fields::status(version, input), fields::path(version, input));
    }
    if let Ok(requests) = Request::parse_list(input) {
        for request in requests {
            let _lists = (request.schemes(), request.authorities());
        }
    }
    let _request = Request::parse(input);
    let _spontaneous = check(&SECRETS, Side::Server, None, input, &[]);
    opinions(input);
}

/// Both accept an authenticator, or none.
fn opinions(input: &[u8]) {
    let Some(request) = challenge() else { return };
    let Ok(theirs) = Request::parse(request.as_bytes()) else { return };
    let theirs = check(&SECRETS, Side::Client, Some(&theirs), input, &[]);
    let algorithms = PROVIDER.signature_verification_algorithms;
    let ours = Authenticator::parse(input).is_ok_and(|authenticator| {
        stateless::validate(&VALUES, Role::Client, &request, &authenticator, &algorithms).is_ok()
    });
    assert_eq!(ours, theirs.is_ok(), "{theirs:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_accept_what_is_sound() {
        let theirs = Request::parse(challenge().unwrap().as_bytes()).unwrap();
        for authenticator in seeds::authenticators() {
            opinions(&authenticator);
            let verdict = check(&SECRETS, Side::Client, Some(&theirs), &authenticator, &[]);
            assert!(verdict.is_ok(), "{verdict:?}");
        }
    }
}
