//! Authenticators that prove something elsewhere: out of their turn, on another connection, for another
//! request, in another role.

use std::sync::Arc;

use countersign::{AuthenticatorRequest, Credential, Violation};
use countersign_proto::Role;
use countersign_testkit::TlsOptions;
use exported_authenticator::{ExporterValues, ExtendedMasterSecret, stateless};
use rustls::HandshakeKind;

use super::authenticators::{by_alice, drafts_refused};
use crate::forge::Draft;
use crate::people::{credential, people, provider};
use crate::server::{Attacker, Server};
use crate::wire::*;

#[tokio::test]
async fn out_of_order() {
    let mut server = Server::start().await;
    let (mut client, _user) = server.challenged().await;
    let device = client.get_and_be_asked(3, "/device").await;
    let answer = client.secrets().answer(&device, &people().device);
    client.wire.send(&certificate(&answer)).await;
    server.refuses(client, PROTOCOL_ERROR, Violation::OutOfOrder).await;
}

#[tokio::test]
async fn replayed_for_the_next_challenge() {
    let mut server = Server::start().await;
    let (mut client, user) = server.challenged().await;
    let _device = client.get_and_be_asked(3, "/device").await;
    let answer = by_alice(&client.secrets(), &user);
    client.wire.send(&certificate(&answer)).await;
    assert_eq!(client.wire.response(1).await, Some(200));
    client.waiting.take();
    client.wire.send(&certificate(&answer)).await;
    server.refuses(client, PROTOCOL_ERROR, Violation::Replayed).await;
}

#[tokio::test]
async fn a_refusal_replayed_for_the_next_challenge() {
    let mut server = Server::start().await;
    let (mut client, user) = server.challenged().await;
    let _device = client.get_and_be_asked(3, "/device").await;
    let refusal = client.secrets().decline(&user);
    client.wire.send(&certificate(&refusal)).await;
    assert_eq!(client.wire.response(1).await, Some(403));
    client.waiting.take();
    // It has no context to tell it by, but its MAC covers the request.
    client.wire.send(&certificate(&refusal)).await;
    server.refuses(client, PROTOCOL_ERROR, Violation::BadFinished).await;
}

#[tokio::test]
async fn for_a_context_that_nobody_asked_with() {
    let changes: [fn(&mut Draft); 3] = [
        |draft| draft.context[0] ^= 1,
        |draft| draft.context.clear(),
        |draft| draft.context.push(0),
    ];
    drafts_refused(&people().alice, &changes, Violation::WrongContext).await;
}

#[tokio::test]
async fn made_for_another_connection() {
    let mut server = Server::start().await;
    let (mut one, of_one) = server.challenged().await;
    let (mut other, of_other) = server.challenged().await;
    assert_ne!(of_one.context(), of_other.context());

    let answer = by_alice(&other.secrets(), &of_other);
    one.wire.send(&certificate(&answer)).await;
    server.refuses(one, PROTOCOL_ERROR, Violation::WrongContext).await;
    other.wire.send(&certificate(&answer)).await;
    assert_eq!(other.wire.response(1).await, Some(200), "it is good where it belongs");

    // With the right context, but the other connection's secrets.
    let (mut third, of_third) = server.challenged().await;
    let stolen = by_alice(&other.secrets(), &of_third);
    third.wire.send(&certificate(&stolen)).await;
    server.refuses(third, PROTOCOL_ERROR, Violation::BadSignature).await;

    // Nor does a refusal count that was made elsewhere.
    let (mut fourth, of_fourth) = server.challenged().await;
    let refusal = other.secrets().decline(&of_fourth);
    fourth.wire.send(&certificate(&refusal)).await;
    server.refuses(fourth, PROTOCOL_ERROR, Violation::BadFinished).await;
}

#[tokio::test]
async fn made_for_the_session_that_is_resumed() {
    //= specs/client-certs.md#decisions-identities
    //= type=test
    //# (ours) An identity MUST belong to the connection it was proven on, never to a stream or to a resumed session.
    let mut server = Server::start().await;
    let tls = Arc::new(TlsOptions::default().client_config());
    let mut first = server.attacker_with(tls.clone()).await;
    first.wire.open(&[(CLIENT_CERT_AUTH, 4)]).await;
    let challenge = first.get_and_be_asked(1, "/user").await;
    let answer = by_alice(&first.secrets(), &challenge);
    first.wire.send(&certificate(&answer)).await;
    assert_eq!(first.wire.response(1).await, Some(200));

    let mut second = server.attacker_with(tls).await;
    let resumed = second.wire.stream().get_ref().1.handshake_kind();
    assert_eq!(resumed, Some(HandshakeKind::Resumed));
    assert_eq!(second.handle.identities(), []);
    second.wire.open(&[(CLIENT_CERT_AUTH, 4)]).await;
    let challenge = second.get_and_be_asked(1, "/user").await;
    let answer = by_alice(&first.secrets(), &challenge);
    second.wire.send(&certificate(&answer)).await;
    server.refuses(second, PROTOCOL_ERROR, Violation::BadSignature).await;
    assert_eq!(first.wire.get(3, "/user").await, Some(200), "what is refused there is good here");
}

#[tokio::test]
async fn made_in_the_servers_role() {
    let changes: [fn(&mut Draft); 2] = [
        |draft| (draft.signer, draft.finisher) = (Role::Server, Role::Server),
        |draft| draft.signer = Role::Server,
    ];
    drafts_refused(&people().alice, &changes, Violation::BadSignature).await;
    let finished: fn(&mut Draft) = |draft| draft.finisher = Role::Server;
    drafts_refused(&people().alice, &[finished], Violation::BadFinished).await;

    // The same by the library, which would do so for a server.
    let mut server = Server::start().await;
    let (mut client, challenge) = server.challenged().await;
    let answer = library_answer(&client, Role::Server, &challenge, &credential(&people().alice));
    client.wire.send(&certificate(&answer)).await;
    server.refuses(client, PROTOCOL_ERROR, Violation::BadSignature).await;
}

fn library_answer(
    client: &Attacker,
    sender: Role,
    challenge: &AuthenticatorRequest,
    credential: &Credential,
) -> Vec<u8> {
    let connection = client.wire.stream().get_ref().1;
    let unknown = ExtendedMasterSecret::Unknown;
    let values = ExporterValues::from_rustls(connection, &provider(), unknown).unwrap();
    stateless::authenticate(&values, sender, challenge, credential).unwrap()
}

#[tokio::test]
async fn over_another_request() {
    // Signed over a request that the server never made, such as one that names other authorities.
    let changes: [fn(&mut Draft); 2] =
        [|draft| *draft.request.last_mut().unwrap() ^= 1, |draft| draft.request.clear()];
    drafts_refused(&people().alice, &changes, Violation::BadSignature).await;
}
