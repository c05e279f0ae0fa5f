use super::*;
use crate::TlsOptions;

#[tokio::test]
async fn two_raw_peers_understand_each_other() {
    let options = TlsOptions::default();
    let endpoint = quic::server(options.server_config(), TransportConfig::default());
    let address = endpoint.local_addr().unwrap();
    let (mut client, mut server) = tokio::join!(
        RawH3Peer::connect(address, options.client_config()),
        RawH3Peer::accept(&endpoint),
    );
    let (of_server, of_client) =
        tokio::join!(client.open(&[(0xff0c, 1 << 40)]), server.open(&[(0xff0c, 1), (6, 70)]));
    assert_eq!(of_server, [(0xff0c, 1), (6, 70)]);
    assert_eq!(of_client, [(0xff0c, 1 << 40)]);

    let id = client.request("localhost", "/x").await;
    let request = server.next_matching(|one| matches!(one, Arrival::Exchange(..))).await.unwrap();
    let headers = Frame::get("localhost", "/x");
    assert_eq!(request, Arrival::Exchange(id, headers));
    server.respond(id, 403).await;
    assert_eq!(client.whole_response(id).await, Some((403, Bytes::new())));
    client.send(&Frame::new(0xf6, vec![7; 20_000])).await;
    assert_eq!(server.expect_kind(0xf6).await.payload, vec![7; 20_000]);
    server.connection().close(0x105_u32.into(), b"because");
    assert_eq!(client.expect_close(0x105).await, "because");
    assert!(!client.try_send_bytes(b"more").await);
}
