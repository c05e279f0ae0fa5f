//! Section 6: empty authenticators.

use exported_authenticator::{
    Authenticator, ContextError, InvalidAuthenticator, Malformed, Role, Validated,
};

use crate::support::*;

#[test]
fn a_refusal_is_a_finished_over_an_empty_certificate() {
    for secrets in [SHA256, SHA384] {
        let mut pair = pair(secrets);
        let request = pair.ask(&anything(), CONTEXT);
        //= specs/exported-authenticators.md#section-6
        //= type=test
        //# An endpoint without a fitting identity for a request, or unwilling to show one, MUST
        //# form its refusal as an empty authenticator.
        let refusal = pair.client.decline(&request).unwrap();
        //= specs/exported-authenticators.md#decisions
        //= type=test
        //# (ours) The Certificate in the transcript of an empty authenticator MUST carry the
        //# request's context and an empty list.
        let certificate = message(CERTIFICATE, &[vector(1, CONTEXT), vector(3, &[])].concat());
        //= specs/exported-authenticators.md#section-6
        //= type=test
        //# The Finished of an empty authenticator MUST be HMAC(Finished MAC Key, Hash(Handshake
        //# Context || authenticator request || Certificate)), where Certificate has no entries.
        //= specs/exported-authenticators.md#section-6
        //= type=test
        //# The HMAC of an empty authenticator MUST use the authenticator hash and the Finished MAC
        //# Key.
        let mac = secrets.finished(Role::Client, &[request.as_bytes(), &certificate]);
        //= specs/exported-authenticators.md#section-6
        //= type=test
        //# An empty authenticator MUST be a Finished message alone.
        //= specs/exported-authenticators.md#section-6
        //= type=test
        //# An empty authenticator MUST be encoded as a TLS handshake message with its type and
        //# length.
        //= specs/exported-authenticators.md#section-6
        //= type=test
        //# An empty authenticator MUST NOT be wrapped in TLS records or protected with the keys of
        //# the handshake or of application data.
        assert_eq!(refusal, message(FINISHED, &mac));
        assert!(Authenticator::parse(&refusal).unwrap().is_empty());
        //= specs/exported-authenticators.md#section-7.4
        //= type=test
        //# A well-formed empty authenticator MUST be reported as invalid.
        assert_eq!(pair.server.validate(&request, &refusal), Ok(Validated::Empty));
    }
}

#[test]
fn a_refusal_is_authenticated_and_counts_once() {
    let mut pair = pair(SHA256);
    let request = pair.ask(&anything(), CONTEXT);
    let refusal = pair.client.decline(&request).unwrap();
    let mut forged = refusal.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(pair.server.validate(&request, &forged), Err(InvalidAuthenticator::BadFinished));
    assert!(pair.server.validate(&request, &refusal).is_ok());
    assert_eq!(
        pair.server.validate(&request, &refusal),
        Err(InvalidAuthenticator::Context(ContextError::Replayed))
    );
    assert!(pair.client.decline(&request).is_err());
}

#[test]
fn a_refusal_answers_a_request_only() {
    let mut client = SHA256.connection(Role::Client);
    let finished = message(FINISHED, &[0; 32]);
    assert_eq!(
        client.validate_spontaneous(&finished, &offered()),
        Err(InvalidAuthenticator::Malformed(Malformed::MessageSequence))
    );
}
