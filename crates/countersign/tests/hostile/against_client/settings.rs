//! The setting, with values that it may and may not have.

use std::sync::Arc;

use countersign::client::PresentError;
use countersign::{Misuse, Violation};
use countersign_testkit::{Frame, Version, within};

use crate::client::{Impostor, alices_rules, silent_rules};
use crate::forge::good_request;
use crate::people::{credential, people};
use crate::wire::*;

countersign_testkit::over_both_versions! {
    any_number_but_zero_is_support,
}

async fn any_number_but_zero_is_support(version: Version) {
    //= specs/client-certs.md#decisions-limits
    //= type=test
    //# (ours) A server's setting greater than 1 MUST count as support.
    for value in [7, u32::MAX] {
        let mut server = Impostor::opened(version, alices_rules(), value).await;
        server.wire.send(&requests([&good_request(1)[..]])).await;
        let answer = server.wire.expect_kind(CERTIFICATE).await;
        assert!(answer.len() > 100, "it is no refusal");
        server.wire.respond(1, 200).await;
        assert_eq!(within(server.waiting).await.unwrap().unwrap(), 200);
    }
}

#[tokio::test]
async fn taken_back() {
    let mut server = Impostor::opened(Version::H2, alices_rules(), 1).await;
    server.wire.h2().send(&announce(0)).await;
    server.refused(UNEXPECTED, Violation::SettingTakenBack).await;
}

#[tokio::test]
async fn taken_back_while_the_client_is_asked() {
    let mut server = Impostor::opened(Version::H2, silent_rules(), 5).await;
    server.wire.send(&requests([&good_request(1)[..]])).await;
    server.wire.h2().send(&Frame::settings(&[(CLIENT_CERT_AUTH, 1), (CLIENT_CERT_AUTH, 0)])).await;
    server.refused(UNEXPECTED, Violation::SettingTakenBack).await;
}

#[tokio::test]
async fn taken_back_before_somebody_could_present_anything() {
    let mut server = Impostor::opened(Version::H2, silent_rules(), 1).await;
    let handle = server.client.handle.clone();
    let alice = Arc::new(credential(&people().alice).into());
    let presenting = tokio::spawn(async move { handle.present(alice).await });
    server.wire.h2().send(&announce(0)).await;
    server.refused(UNEXPECTED, Violation::SettingTakenBack).await;
    let refusal = within(presenting).await.unwrap();
    assert_eq!(refusal, Err(PresentError::Misuse(Misuse::Closed)));
}

#[tokio::test]
async fn never_given_because_a_rule_was_broken_first() {
    let mut server = Impostor::lure(Version::H2, alices_rules()).await;
    let handle = server.client.handle.clone();
    let settings = tokio::spawn(async move { handle.peer_settings().await });
    server.wire.h2().read_preface().await;
    server.wire.send(&requests([&good_request(1)[..]])).await;
    server.refused(UNEXPECTED, Violation::NotNegotiated).await;
    assert_eq!(within(settings).await.unwrap(), None);
}

#[tokio::test]
async fn given_late() {
    let mut server = Impostor::opened(Version::H2, alices_rules(), 0).await;
    server.wire.h2().send(&announce(1)).await;
    server.wire.send(&requests([&good_request(1)[..]])).await;
    server.wire.expect_kind(CERTIFICATE).await;
}

#[tokio::test]
async fn a_largest_frame_that_no_proof_fits_into_is_not_to_be_had() {
    // Smaller than 16,384 is HTTP/2's own error; nothing is sent in pieces or cut.
    let mut server = Impostor::opened(Version::H2, alices_rules(), 1).await;
    server.wire.h2().send(&Frame::settings(&[(5, 100)])).await;
    server.wire.h2().expect_goaway(PROTOCOL_ERROR).await;
}
