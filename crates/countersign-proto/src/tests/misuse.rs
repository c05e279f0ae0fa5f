//! Callers that ask for what cannot be: they are told, and nothing changes.
//!
//! [`Misuse::SettingsFixed`] is not here: only whoever drives HTTP/3 knows that.

use countersign_testkit::SeededRandom;
use exported_authenticator::{Extension, ExtensionType, RequestTemplate};
use rustls::crypto::{GetRandomFailed, SecureRandom};

use super::fixtures::{
    client, client_auth, generic, negotiated_client, negotiated_server, payload, policy, request,
    server, server_with,
};
use super::pair::MAX_PAYLOAD;
use crate::server::{ServerMachine, ServerPolicy};
use crate::{ChallengeId, Misuse, Violation};

#[test]
fn a_client_that_cannot_be_asked_yet() {
    //= specs/client-certs.md#section-3.1
    //= type=test
    //# A client's value of zero MUST be understood as no support.
    let mut server = server(policy());
    assert_eq!(server.challenge(&generic()), Err(Misuse::NotNegotiated));
    server.settings_sent();
    server.peer_settings(&client_auth(0)).unwrap();
    assert_eq!(server.challenge(&generic()), Err(Misuse::NotNegotiated));
}

#[test]
fn too_many_challenges_wait() {
    //= specs/client-certs.md#section-5.5
    //= type=test
    //# An implementation SHOULD bound the memory that one connection can take.
    let mut server = negotiated_server(ServerPolicy { max_queued: 2, ..policy() }, 1);
    server.challenge(&generic()).unwrap();
    let second = server.challenge(&generic()).unwrap();
    assert_eq!(server.challenge(&generic()), Err(Misuse::QueueFull));
    server.withdraw(second);
    assert!(server.challenge(&generic()).is_ok());
}

#[test]
fn a_challenge_that_is_not_there() {
    let mut client = negotiated_client(2);
    let unknown = Err(Misuse::NoSuchChallenge);
    assert_eq!(client.answer(ChallengeId(0), vec![1]), unknown);
    client.requests(&payload([&request(0), &request(1)])).unwrap();
    for id in [2, u64::MAX].map(ChallengeId) {
        assert_eq!(client.answer(id, vec![1]), unknown);
        assert_eq!(client.decline(id), unknown);
        assert_eq!(client.keep(id), unknown);
        assert_eq!(client.request(id), None);
    }
    client.answer(ChallengeId(1), vec![1]).unwrap();
    assert_eq!(client.answer(ChallengeId(1), vec![2]), unknown, "answered");
    assert_eq!(client.keep(ChallengeId(1)), unknown, "answered");
    client.decline(ChallengeId(0)).unwrap();
    assert!(client.poll_transmit(MAX_PAYLOAD).is_some());
    assert_eq!(client.decline(ChallengeId(0)), unknown, "sent");
    assert_eq!(client.request(ChallengeId(0)), None);
    assert_eq!(client.outstanding(), 1);
}

#[test]
fn an_empty_pool() {
    let mut client = negotiated_client(2);
    assert_eq!(client.take_kept(|_| true), Err(Misuse::PoolEmpty));
    client.requests(&payload([&request(0)])).unwrap();
    assert_eq!(client.take_kept(|_| true), Err(Misuse::PoolEmpty), "open");
    client.keep(ChallengeId(0)).unwrap();
    assert_eq!(client.take_kept(|_| false), Err(Misuse::PoolEmpty));
}

#[test]
fn a_limit_taken_back() {
    //= specs/client-certs.md#section-3.1
    //= type=test
    //# An endpoint MUST NOT set SETTINGS_HTTP_CLIENT_CERT_AUTH to zero once it has set it to more
    //# than zero.
    let mut announced = negotiated_client(2);
    assert_eq!(announced.set_limit(0), Err(Misuse::LimitTakenBack));
    let mut perhaps_announced = client(2);
    assert_eq!(perhaps_announced.set_limit(0), Err(Misuse::LimitTakenBack));
    let mut never_announced = client(0);
    never_announced.set_limit(3).unwrap();
    assert_eq!(never_announced.set_limit(0), Ok(()));
    never_announced.settings_sent();
    assert_eq!(never_announced.poll_transmit(MAX_PAYLOAD), None);
}

#[test]
fn no_more_contexts() {
    let mut server = with_random(2, SeededRandom::leaked(3));
    server.challenge(&generic()).unwrap();
    server.challenge(&generic()).unwrap();
    assert_eq!(server.challenge(&generic()), Err(Misuse::ContextsExhausted));
}

#[test]
fn a_context_drawn_twice() {
    //= specs/client-certs.md#section-5.2
    //= type=test
    //# A request MUST carry a context that has not been used before, because the protection against
    //# replay rests on it.
    let mut server = with_random(9, &Stuck);
    server.challenge(&generic()).unwrap();
    assert_eq!(server.challenge(&generic()), Err(Misuse::ContextsExhausted));
}

#[test]
fn no_random_numbers() {
    let mut server = with_random(9, &Broken);
    assert_eq!(server.challenge(&generic()), Err(Misuse::Random));
}

#[test]
fn a_template_that_makes_no_request() {
    let twice = generic()
        .extension(Extension { typ: ExtensionType::SIGNATURE_ALGORITHMS, body: vec![0, 2, 4, 3] });
    let huge = generic().extension(Extension { typ: ExtensionType(0xfafa), body: vec![0; 0xffff] });
    let named = generic().server_name("localhost".try_into().unwrap());
    for template in [RequestTemplate::new(Vec::new()), twice, huge, named] {
        let mut server = negotiated_server(policy(), 1);
        assert_eq!(server.challenge(&template), Err(Misuse::BadTemplate));
        assert_eq!(server.poll_transmit(MAX_PAYLOAD), None);
        assert!(server.challenge(&generic()).is_ok());
    }
}

#[test]
fn a_closed_connection() {
    let mut client = negotiated_client(2);
    client.requests(&payload([&request(0)])).unwrap();
    client.fail(Violation::WrongStream);
    let closed = Err(Misuse::Closed);
    assert_eq!(client.answer(ChallengeId(0), vec![1]), closed);
    assert_eq!(client.decline(ChallengeId(0)), closed);
    assert_eq!(client.keep(ChallengeId(0)), closed);
    assert_eq!(client.set_limit(7), closed);
    assert_eq!(client.take_kept(|_| true), Err(Misuse::Closed));
    assert_eq!(client.request(ChallengeId(0)), None);
    assert_eq!(client.poll_event(), None, "nobody can answer it any more");

    let mut server = negotiated_server(policy(), 1);
    server.fail(Violation::WrongStream);
    assert_eq!(server.challenge(&generic()), Err(Misuse::Closed));
}

fn with_random(contexts: usize, random: &'static dyn SecureRandom) -> ServerMachine {
    let mut server = server_with(policy(), contexts, random);
    server.settings_sent();
    server.peer_settings(&client_auth(8)).unwrap();
    server
}

/// Always the same number.
#[derive(Debug)]
pub(super) struct Stuck;

impl SecureRandom for Stuck {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        bytes.fill(7);
        Ok(())
    }
}

/// No numbers at all.
#[derive(Debug)]
pub(super) struct Broken;

impl SecureRandom for Broken {
    fn fill(&self, _: &mut [u8]) -> Result<(), GetRandomFailed> {
        Err(GetRandomFailed)
    }
}
