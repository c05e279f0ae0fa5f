//! The setting, changed in ways that it may and may not be.

use countersign::Violation;
use countersign_testkit::{Frame, Version};

use crate::peer::Seen;
use crate::people::people;
use crate::server::Server;
use crate::wire::*;

countersign_testkit::over_both_versions! {
    held_to_by_the_server_while_the_client_is_silent,
}

#[tokio::test]
async fn taken_back() {
    //= specs/client-certs.md#decisions-limits
    //= type=test
    //# (ours) A setting that goes back to 0 in HTTP/2 MUST be a connection error PROTOCOL_ERROR.
    let mut server = Server::start(Version::H2).await;
    let mut client = server.opened(4).await;
    client.wire.h2().send(&announce(0)).await;
    server.refuses(client, UNEXPECTED, Violation::SettingTakenBack).await;

    let (mut client, _) = server.challenged().await;
    client.wire.h2().send(&announce(2)).await;
    client.wire.h2().send(&announce(0)).await;
    server.refuses(client, UNEXPECTED, Violation::SettingTakenBack).await;
}

#[tokio::test]
async fn taken_back_in_one_breath() {
    let mut server = Server::start(Version::H2).await;
    let mut client = server.opened(4).await;
    let both = [(CLIENT_CERT_AUTH, 9), (CLIENT_CERT_AUTH, 0)];
    client.wire.h2().send(&Frame::settings(&both)).await;
    server.refuses(client, UNEXPECTED, Violation::SettingTakenBack).await;
}

#[tokio::test]
async fn announced_late_and_changed_at_will() {
    //= specs/client-certs.md#decisions-limits
    //= type=test
    //# (ours) A client MAY raise or lower a positive limit with a later SETTINGS frame of HTTP/2.
    let mut server = Server::start(Version::H2).await;
    let mut client = server.opened(0).await;
    assert_eq!(client.wire.get(1, "/user").await, Some(403));
    for limit in [0, 7, u32::MAX, 1] {
        client.wire.h2().send(&announce(limit)).await;
    }
    let challenge = client.get_and_be_asked(3, "/user").await;
    let answer = client.secrets().answer(&challenge, &people().alice);
    client.wire.send(&certificate(&answer)).await;
    assert_eq!(client.wire.response(3).await, Some(200));
    assert_eq!(client.handle.peer_limit(), Some(1));
}

async fn held_to_by_the_server_while_the_client_is_silent(version: Version) {
    //= specs/client-certs.md#section-4.1.4
    //= type=test
    //# A server MUST NOT have more requests outstanding at any time than the client announced.
    let mut server = Server::start(version).await;
    let mut client = server.opened(1).await;
    let user = client.get_and_be_asked(1, "/user").await;
    client.wire.request(3, "/device").await;
    client.wire.request(5, "/open").await;
    let next = client.wire.expect_kind_or_head(REQUESTS).await;
    assert_eq!(next, Some(Seen::Head(5, Some(200))), "no second question");

    let answer = client.secrets().answer(&user, &people().alice);
    client.wire.send(&certificate(&answer)).await;
    let device = client.be_asked().await;
    let answer = client.secrets().answer(&device, &people().device);
    client.wire.send(&certificate(&answer)).await;
    assert_eq!(client.wire.response(3).await, Some(200));
}
