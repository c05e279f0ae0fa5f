//! Contexts: each is used once on a connection, whichever way it went and whoever sent it.

#![cfg(test)]

mod support;

use exported_authenticator::{
    AuthenticateError, AuthenticatorRequest, Connection, ContextError, Credential,
    InvalidAuthenticator, MessageType, Offered, RequestError, Role, TLS13_SCHEMES, Unsuitable,
    Validated, stateless,
};
use support::{Ends, alice, proven, template};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

fn offered() -> Offered {
    Offered { signature_algorithms: TLS13_SCHEMES.to_vec(), extensions: Vec::new() }
}

/// A key that is there but does not work, like a smart card that was pulled out.
#[derive(Debug)]
struct Broken;

impl rustls::sign::SigningKey for Broken {
    fn choose_scheme(
        &self,
        offered: &[rustls::SignatureScheme],
    ) -> Option<Box<dyn rustls::sign::Signer>> {
        offered
            .contains(&rustls::SignatureScheme::ED25519)
            .then(|| Box::new(Self) as Box<dyn rustls::sign::Signer>)
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        rustls::SignatureAlgorithm::ED25519
    }
}

impl rustls::sign::Signer for Broken {
    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Err(rustls::Error::General("the card is gone".into()))
    }

    fn scheme(&self) -> rustls::SignatureScheme {
        rustls::SignatureScheme::ED25519
    }
}

#[test]
fn a_context_is_requested_once_in_both_directions_together() {
    for first in ROLES {
        let mut ends = Ends::seeded(1);
        ends.ask(first, &template(), b"once");
        let repeated = Err(RequestError::Context(ContextError::Repeated));
        for typ in [MessageType::CertificateRequest, MessageType::ClientCertificateRequest] {
            let again = template().build(typ, b"once").unwrap();
            for role in ROLES {
                let (end, _) = ends.of_role(role);
                assert_eq!(end.request(&template(), typ, b"once"), repeated);
                assert_eq!(end.receive_request(again.as_bytes()), repeated);
            }
        }
        ends.ask(first.peer(), &template(), b"another");
    }
}

#[test]
fn the_empty_context_is_one_like_any_other() {
    let mut ends = Ends::seeded(1);
    let (_, alice) = alice();
    let request = ends.ask(Role::Server, &template(), b"");
    let authenticator = ends.client.authenticate(&request, &alice).unwrap();
    proven(ends.server.validate(&request, &authenticator).unwrap());
    assert_eq!(
        ends.server.request(&template(), MessageType::CertificateRequest, b""),
        Err(RequestError::Context(ContextError::Repeated))
    );
}

#[test]
fn a_request_is_answered_once() {
    let (_, alice) = alice();
    for sender in ROLES {
        let mut ends = Ends::seeded(1);
        let request = ends.ask(sender.peer(), &template(), b"once");
        let (sending, validating) = ends.of_role(sender);
        let authenticator = sending.authenticate(&request, &alice).unwrap();
        let replayed = Err(AuthenticateError::Context(ContextError::Replayed));
        assert_eq!(sending.authenticate(&request, &alice), replayed);
        assert_eq!(sending.decline(&request), replayed);
        proven(validating.validate(&request, &authenticator).unwrap());
        let replayed = Err(InvalidAuthenticator::Context(ContextError::Replayed));
        assert_eq!(validating.validate(&request, &authenticator), replayed);
    }
}

#[test]
fn a_refusal_is_an_answer_too() {
    let (_, alice) = alice();
    for sender in ROLES {
        let mut ends = Ends::seeded(1);
        let request = ends.ask(sender.peer(), &template(), b"once");
        let (sending, validating) = ends.of_role(sender);
        let refusal = sending.decline(&request).unwrap();
        assert_eq!(
            sending.authenticate(&request, &alice),
            Err(AuthenticateError::Context(ContextError::Replayed))
        );
        assert_eq!(validating.validate(&request, &refusal), Ok(Validated::Empty));
        assert_eq!(
            validating.validate(&request, &refusal),
            Err(InvalidAuthenticator::Context(ContextError::Replayed))
        );
    }
}

#[test]
fn an_invalid_answer_leaves_the_request_open() {
    let (_, alice) = alice();
    let mut ends = Ends::seeded(1);
    let request = ends.ask(Role::Server, &template(), b"once");
    let authenticator = ends.client.authenticate(&request, &alice).unwrap();
    let mut bad = authenticator.clone();
    *bad.last_mut().unwrap() ^= 1;
    assert_eq!(ends.server.validate(&request, &bad), Err(InvalidAuthenticator::BadFinished));
    proven(ends.server.validate(&request, &authenticator).unwrap());
}

#[test]
fn who_cannot_authenticate_can_still_decline() {
    let mut ends = Ends::seeded(1);
    let (_, alice) = alice();
    let chain = alice.chain().clone();
    let broken = Credential::new(chain, std::sync::Arc::new(Broken)).unwrap();
    let request = ends.ask(Role::Server, &template(), b"once");
    assert_eq!(ends.client.authenticate(&request, &broken), Err(AuthenticateError::Signing));
    let refusal = ends.client.decline(&request).unwrap();
    assert_eq!(ends.server.validate(&request, &refusal), Ok(Validated::Empty));
}

#[test]
fn a_foreign_request_is_neither_answered_nor_validated() {
    let (_, alice) = alice();
    for sender in ROLES {
        let mut ends = Ends::seeded(1);
        let (sending, validating) = ends.of_role(sender);
        let typ = MessageType::CertificateRequest;
        let foreign = template().build(typ, b"foreign").unwrap();
        let unknown = Err(AuthenticateError::Context(ContextError::Unknown));
        assert_eq!(sending.authenticate(&foreign, &alice), unknown);
        assert_eq!(sending.decline(&foreign), unknown);
        // Right for this connection in every other respect.
        let right = stateless::authenticate(sending.values(), sender, &foreign, &alice).unwrap();
        assert_eq!(
            validating.validate(&foreign, &right),
            Err(InvalidAuthenticator::Context(ContextError::Unknown))
        );
    }
}

#[test]
fn an_answer_to_another_request_is_refused() {
    let (_, alice) = alice();
    let mut ends = Ends::seeded(1);
    let first = ends.ask(Role::Server, &template(), b"first");
    let second = ends.ask(Role::Server, &template(), b"second");
    let to_first = ends.client.authenticate(&first, &alice).unwrap();
    assert_eq!(
        ends.server.validate(&second, &to_first),
        Err(InvalidAuthenticator::ContextMismatch)
    );
    let refusal = ends.client.decline(&second).unwrap();
    assert_eq!(ends.server.validate(&first, &refusal), Err(InvalidAuthenticator::BadFinished));
}

#[test]
fn what_one_side_sent_is_worth_nothing_from_the_other() {
    //= specs/exported-authenticators.md#section-9
    //= type=test
    //# An authenticator MUST NOT be accepted in the other direction.
    let (_, alice) = alice();
    for sender in ROLES {
        let mut ends = Ends::seeded(1);
        let request = ends.ask(sender.peer(), &template(), b"x");
        let (sending, validating) = ends.of_role(sender);
        let reflected = [
            stateless::authenticate(validating.values(), sender.peer(), &request, &alice).unwrap(),
            stateless::decline(validating.values(), sender.peer(), &request).unwrap(),
        ];
        let [full, empty] = reflected.map(|one| validating.validate(&request, &one));
        assert_eq!(full, Err(InvalidAuthenticator::BadSignature));
        assert_eq!(empty, Err(InvalidAuthenticator::BadFinished));
        sending.decline(&request).unwrap();
    }
}

#[test]
fn no_more_contexts_are_tracked_than_allowed() {
    let mut ends = Ends::seeded(1);
    let (_, alice) = alice();
    ends.client = ends.client.with_context_limit(2);
    let request = |context: &[u8]| -> AuthenticatorRequest {
        let typ = MessageType::CertificateRequest;
        template().build(typ, context).unwrap()
    };
    let first = ends.client.receive_request(request(b"1").as_bytes()).unwrap();
    ends.client.receive_request(request(b"2").as_bytes()).unwrap();
    assert_eq!(
        ends.client.receive_request(request(b"3").as_bytes()),
        Err(RequestError::Context(ContextError::Exhausted))
    );
    // What is open can still be answered, and stays remembered.
    ends.client.authenticate(&first, &alice).unwrap();
    assert_eq!(
        ends.client.receive_request(first.as_bytes()),
        Err(RequestError::Context(ContextError::Repeated))
    );
}

#[test]
fn a_server_authenticates_spontaneously_once_per_context() {
    let (_, alice) = alice();
    let mut ends = Ends::seeded(1);
    let spontaneous = |server: &mut Connection, context: &[u8]| {
        server.authenticate_spontaneously(context, &offered(), &alice)
    };
    let authenticator = spontaneous(&mut ends.server, b"chosen").unwrap();
    let repeated = AuthenticateError::Context(ContextError::Repeated);
    assert_eq!(spontaneous(&mut ends.server, b"chosen"), Err(repeated.clone()));

    let mut bad = authenticator.clone();
    *bad.last_mut().unwrap() ^= 1;
    assert_eq!(
        ends.client.validate_spontaneous(&bad, &offered()),
        Err(InvalidAuthenticator::BadFinished)
    );
    let validated = ends.client.validate_spontaneous(&authenticator, &offered()).unwrap();
    assert_eq!(validated.context(), b"chosen");
    assert_eq!(
        ends.client.validate_spontaneous(&authenticator, &offered()),
        Err(InvalidAuthenticator::Context(ContextError::Repeated))
    );

    // Nor with a context that a request had.
    ends.ask(Role::Client, &template(), b"asked");
    assert_eq!(spontaneous(&mut ends.server, b"asked"), Err(repeated));
    let mut other = Ends::seeded(1);
    let used = spontaneous(&mut other.server, b"asked").unwrap();
    assert_eq!(
        ends.client.validate_spontaneous(&used, &offered()),
        Err(InvalidAuthenticator::Context(ContextError::Repeated))
    );
    assert_eq!(spontaneous(&mut ends.server, &[7; 256]), Err(AuthenticateError::TooLong));
}

#[test]
fn a_spontaneous_authenticator_keeps_to_the_client_hello() {
    use rustls::SignatureScheme as S;
    let (_, alice) = alice();
    let none =
        Offered { signature_algorithms: vec![S::ECDSA_NISTP256_SHA256], extensions: Vec::new() };
    let mut ends = Ends::seeded(1);
    assert_eq!(
        ends.server.authenticate_spontaneously(b"x", &none, &alice),
        Err(AuthenticateError::Unsuitable(Unsuitable::NoCommonScheme))
    );
    let authenticator = ends.server.authenticate_spontaneously(b"x", &offered(), &alice).unwrap();
    assert_eq!(
        ends.client.validate_spontaneous(&authenticator, &none),
        Err(InvalidAuthenticator::SchemeNotOffered(S::ED25519))
    );
}

#[test]
fn a_client_never_authenticates_spontaneously() {
    let (_, alice) = alice();
    let mut ends = Ends::seeded(1);
    assert_eq!(
        ends.client.authenticate_spontaneously(b"x", &offered(), &alice),
        Err(AuthenticateError::SpontaneousClient)
    );
    let authenticator = ends.server.authenticate_spontaneously(b"x", &offered(), &alice).unwrap();
    assert_eq!(
        ends.server.validate_spontaneous(&authenticator, &offered()),
        Err(InvalidAuthenticator::SpontaneousClient)
    );
}

#[test]
fn a_spontaneous_refusal_is_no_message() {
    let mut ends = Ends::seeded(1);
    let request = ends.ask(Role::Client, &template(), b"x");
    let refusal = ends.server.decline(&request).unwrap();
    let refused = ends.client.validate_spontaneous(&refusal, &offered());
    assert!(matches!(refused, Err(InvalidAuthenticator::Malformed(_))));
}

#[test]
fn an_answer_to_a_request_is_not_spontaneous() {
    let (_, alice) = alice();
    let mut ends = Ends::seeded(1);
    let request = ends.ask(Role::Client, &template(), b"x");
    let answer = ends.server.authenticate(&request, &alice).unwrap();
    let mut forgetful = Ends::seeded(1).client;
    assert_eq!(
        forgetful.validate_spontaneous(&answer, &offered()),
        Err(InvalidAuthenticator::BadSignature)
    );
}

#[test]
fn only_a_clients_request_names_a_server() {
    let name = rustls::pki_types::DnsName::try_from("shop.test").unwrap();
    let template = template().server_name(name.clone());
    let mut ends = Ends::seeded(1);
    let request = ends.ask(Role::Client, &template, b"x");
    assert_eq!(request.server_name(), Some(name));
    assert_eq!(
        ends.server.request(&template, MessageType::ClientCertificateRequest, b"y"),
        Err(RequestError::ServerName)
    );
}
