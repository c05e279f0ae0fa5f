//! Authenticators that prove something elsewhere: out of their turn, on another connection, for another
//! request, in another role.

use std::sync::Arc;

use countersign::{AuthenticatorRequest, Credential, Violation};
use countersign_proto::Role;
use countersign_testkit::{TlsOptions, Version};
use exported_authenticator::stateless;
use rustls::HandshakeKind;

use super::authenticators::{by_alice, drafts_refused};
use crate::forge::Draft;
use crate::people::{credential, people};
use crate::server::{Attacker, Server};
use crate::wire::*;

countersign_testkit::over_both_versions! {
    out_of_order,
    replayed_for_the_next_challenge,
    a_refusal_replayed_for_the_next_challenge,
    for_a_context_that_nobody_asked_with,
    made_for_another_connection,
    made_in_the_servers_role,
    over_another_request,
}

async fn out_of_order(version: Version) {
    let mut server = Server::start(version).await;
    let (mut client, _user) = server.challenged().await;
    let device = client.get_and_be_asked(3, "/device").await;
    let answer = client.secrets().answer(&device, &people().device);
    client.wire.send(&certificate(&answer)).await;
    server.refuses(client, MALFORMED, Violation::OutOfOrder).await;
}

async fn replayed_for_the_next_challenge(version: Version) {
    let mut server = Server::start(version).await;
    let (mut client, user) = server.challenged().await;
    let _device = client.get_and_be_asked(3, "/device").await;
    let answer = by_alice(&client.secrets(), &user);
    client.wire.send(&certificate(&answer)).await;
    assert_eq!(client.wire.response(1).await, Some(200));
    client.waiting.take();
    client.wire.send(&certificate(&answer)).await;
    server.refuses(client, MALFORMED, Violation::Replayed).await;
}

async fn a_refusal_replayed_for_the_next_challenge(version: Version) {
    let mut server = Server::start(version).await;
    let (mut client, user) = server.challenged().await;
    let _device = client.get_and_be_asked(3, "/device").await;
    let refusal = client.secrets().decline(&user);
    client.wire.send(&certificate(&refusal)).await;
    assert_eq!(client.wire.response(1).await, Some(403));
    client.waiting.take();
    // It has no context to tell it by, but its MAC covers the request.
    client.wire.send(&certificate(&refusal)).await;
    server.refuses(client, MALFORMED, Violation::BadFinished).await;
}

async fn for_a_context_that_nobody_asked_with(version: Version) {
    let changes: [fn(&mut Draft); 3] = [
        |draft| draft.context[0] ^= 1,
        |draft| draft.context.clear(),
        |draft| draft.context.push(0),
    ];
    drafts_refused(version, &people().alice, &changes, Violation::WrongContext).await;
}

async fn made_for_another_connection(version: Version) {
    let mut server = Server::start(version).await;
    let (mut one, of_one) = server.challenged().await;
    let (mut other, of_other) = server.challenged().await;
    assert_ne!(of_one.context(), of_other.context());

    let answer = by_alice(&other.secrets(), &of_other);
    one.wire.send(&certificate(&answer)).await;
    server.refuses(one, MALFORMED, Violation::WrongContext).await;
    other.wire.send(&certificate(&answer)).await;
    assert_eq!(other.wire.response(1).await, Some(200), "it is good where it belongs");

    // With the right context, but the other connection's secrets.
    let (mut third, of_third) = server.challenged().await;
    let stolen = by_alice(&other.secrets(), &of_third);
    third.wire.send(&certificate(&stolen)).await;
    server.refuses(third, MALFORMED, Violation::BadSignature).await;

    // Nor does a refusal count that was made elsewhere.
    let (mut fourth, of_fourth) = server.challenged().await;
    let refusal = other.secrets().decline(&of_fourth);
    fourth.wire.send(&certificate(&refusal)).await;
    server.refuses(fourth, MALFORMED, Violation::BadFinished).await;
}

#[tokio::test]
async fn made_for_the_session_that_is_resumed() {
    //= specs/client-certs.md#decisions-identities
    //= type=test
    //# (ours) An identity MUST belong to the connection it was proven on, never to a stream or to a resumed session.
    let mut server = Server::start(Version::H2).await;
    let tls = Arc::new(TlsOptions::default().client_config());
    let mut first = server.attacker_with(tls.clone()).await;
    first.wire.open(Some(4)).await;
    let challenge = first.get_and_be_asked(1, "/user").await;
    let answer = by_alice(&first.secrets(), &challenge);
    first.wire.send(&certificate(&answer)).await;
    assert_eq!(first.wire.response(1).await, Some(200));

    let mut second = server.attacker_with(tls).await;
    let resumed = second.wire.h2().stream().get_ref().1.handshake_kind();
    assert_eq!(resumed, Some(HandshakeKind::Resumed));
    assert_eq!(second.handle.identities(), []);
    second.wire.open(Some(4)).await;
    let challenge = second.get_and_be_asked(1, "/user").await;
    let answer = by_alice(&first.secrets(), &challenge);
    second.wire.send(&certificate(&answer)).await;
    server.refuses(second, MALFORMED, Violation::BadSignature).await;
    assert_eq!(first.wire.get(3, "/user").await, Some(200), "what is refused there is good here");
}

async fn made_in_the_servers_role(version: Version) {
    let changes: [fn(&mut Draft); 2] = [
        |draft| (draft.signer, draft.finisher) = (Role::Server, Role::Server),
        |draft| draft.signer = Role::Server,
    ];
    drafts_refused(version, &people().alice, &changes, Violation::BadSignature).await;
    let finished: fn(&mut Draft) = |draft| draft.finisher = Role::Server;
    drafts_refused(version, &people().alice, &[finished], Violation::BadFinished).await;

    // The same by the library, which would do so for a server.
    let mut server = Server::start(version).await;
    let (mut client, challenge) = server.challenged().await;
    let answer = library_answer(&client, Role::Server, &challenge, &credential(&people().alice));
    client.wire.send(&certificate(&answer)).await;
    server.refuses(client, MALFORMED, Violation::BadSignature).await;
}

fn library_answer(
    client: &Attacker,
    sender: Role,
    challenge: &AuthenticatorRequest,
    credential: &Credential,
) -> Vec<u8> {
    let values = client.wire.exporter_values();
    stateless::authenticate(&values, sender, challenge, credential).unwrap()
}

async fn over_another_request(version: Version) {
    // Signed over a request that the server never made, such as one that names other authorities.
    let changes: [fn(&mut Draft); 2] =
        [|draft| *draft.request.last_mut().unwrap() ^= 1, |draft| draft.request.clear()];
    drafts_refused(version, &people().alice, &changes, Violation::BadSignature).await;
}
