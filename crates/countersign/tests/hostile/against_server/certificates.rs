//! Certificates that are not accepted. Nobody misbehaved: the request is refused, and that is all.

use countersign::Violation;
use countersign_testkit::Version;
use countersign_testkit::pki::Issued;
use serde_json::{Value, json};

use crate::forge::Draft;
use crate::people::people;
use crate::server::{Attacker, Server};
use crate::wire::*;

countersign_testkit::over_both_versions! {
    of_an_authority_that_only_has_the_name,
    of_another_authority,
    expired,
    not_yet_valid,
    revoked,
    for_another_purpose,
    with_another_name,
    damaged_under_the_clients_own_signature,
    with_rubbish_for_an_intermediate,
    declined,
}

/// The answer to the GET on `stream` is a 403 with this problem.
async fn gets_problem(client: &mut Attacker, stream: u32, problem: &str) {
    let (status, body) = client.wire.whole_response(stream).await.unwrap();
    let document: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 403, "{document}");
    assert_eq!(document["type"], format!("urn:countersign:{problem}"));
    assert_eq!(document["credentials"], json!(["user"]));
    assert_eq!(document["status"], 403);
}

/// Answers the challenge for a user with what `change` makes of `who`: that gets `problem`, and nothing
/// else happens.
async fn is_not_accepted(version: Version, who: &Issued, change: fn(&mut Draft), problem: &str) {
    //= specs/client-certs.md#decisions-bad
    //= type=test
    //# (ours) A certificate that is untrusted, expired, revoked or of the wrong kind MUST NOT be a connection error.

    //= specs/client-certs.md#decisions-bad
    //= type=test
    //# (ours) A certificate that is not acceptable MUST grant nothing.

    //= specs/client-certs.md#decisions-bad
    //= type=test
    //# (ours) A request that needs a credential which was not obtained MUST be refused with status 403.
    let mut server = Server::start(version).await;
    let (mut client, challenge) = server.challenged().await;
    let mut draft = Draft::of(&challenge, who);
    change(&mut draft);
    let answer = draft.sign(&client.secrets());
    client.wire.send(&certificate(&answer)).await;
    gets_problem(&mut client, 1, problem).await;
    assert_eq!(client.handle.identities(), []);

    assert_eq!(client.wire.get(3, "/open").await, Some(200));
    let challenge = client.get_and_be_asked(5, "/user").await;
    let answer = client.secrets().answer(&challenge, &people().alice);
    client.wire.send(&certificate(&answer)).await;
    assert_eq!(client.wire.response(5).await, Some(200), "a good one is still welcome");
    assert_eq!(client.handle.closed_reason(), None);
}

fn as_it_is(_: &mut Draft) {}

async fn of_an_authority_that_only_has_the_name(version: Version) {
    is_not_accepted(version, &people().stranger, as_it_is, "credential-untrusted").await;
}

async fn of_another_authority(version: Version) {
    is_not_accepted(version, &people().device, as_it_is, "credential-untrusted").await;
}

async fn expired(version: Version) {
    is_not_accepted(version, &people().expired, as_it_is, "credential-expired").await;
}

async fn not_yet_valid(version: Version) {
    is_not_accepted(version, &people().not_yet_valid, as_it_is, "credential-expired").await;
}

async fn revoked(version: Version) {
    is_not_accepted(version, &people().revoked, as_it_is, "credential-revoked").await;
}

async fn for_another_purpose(version: Version) {
    //= specs/client-certs.md#section-5.1
    //= type=test
    //# A server MUST make sure that a client's certificate suits the purpose it is used for.
    is_not_accepted(version, &people().wrong_purpose, as_it_is, "credential-untrusted").await;
}

async fn with_another_name(version: Version) {
    is_not_accepted(version, &people().bob, as_it_is, "credential-untrusted").await;
}

async fn damaged_under_the_clients_own_signature(version: Version) {
    // The last bit of its issuer's signature: the key is proven, the certificate is worth nothing.
    let damage = |draft: &mut Draft| *draft.chain[0].0.last_mut().unwrap() ^= 1;
    is_not_accepted(version, &people().alice, damage, "credential-untrusted").await;
}

async fn with_rubbish_for_an_intermediate(version: Version) {
    // Alice needs none, so a verifier may well accept her; what it must not do is fall over.
    let mut server = Server::start(version).await;
    let (mut client, challenge) = server.challenged().await;
    let mut draft = Draft::of(&challenge, &people().alice);
    draft
        .chain
        .extend([(vec![0xff; 40], Vec::new()), (people().bob.chain[0].to_vec(), Vec::new())]);
    let answer = draft.sign(&client.secrets());
    client.wire.send(&certificate(&answer)).await;
    let status = client.wire.response(1).await.unwrap();
    assert!(matches!(status, 200 | 403), "{status}");
    assert_eq!(client.wire.get(3, "/open").await, Some(200));
}

async fn declined(version: Version) {
    let mut server = Server::start(version).await;
    let (mut client, challenge) = server.challenged().await;
    let refusal = client.secrets().decline(&challenge);
    client.wire.send(&certificate(&refusal)).await;
    gets_problem(&mut client, 1, "credential-declined").await;
    assert_eq!(client.wire.get(3, "/open").await, Some(200));
    client.waiting.take();
    // Once is enough: another one is one too many.
    client.wire.send(&certificate(&refusal)).await;
    server.refuses(client, UNEXPECTED, Violation::Unsolicited).await;
}
