use super::*;
use crate::TlsOptions;

async fn pair() -> (RawPeer<client::TlsStream<TcpStream>>, RawPeer<server::TlsStream<TcpStream>>) {
    let options = TlsOptions::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::join!(
        RawPeer::connect(address, Arc::new(options.client_config())),
        RawPeer::accept(&listener, Arc::new(options.server_config())),
    )
}

#[tokio::test]
async fn two_raw_peers_understand_each_other() {
    let (mut client, mut server) = pair().await;
    let (of_server, of_client) =
        tokio::join!(client.open(&[(0xff0c, 2)]), server.open(&[(0xff0c, 1)]));
    assert_eq!(of_server, [(0xff0c, 1), (HEADER_TABLE_SIZE, 0)]);
    assert_eq!(of_client, [(0xff0c, 2), (HEADER_TABLE_SIZE, 0)]);

    let serve = async {
        let request = server.expect_kind(kind::HEADERS).await;
        assert_eq!(request.payload, hpack::get("localhost", "/x", &[]));
        server.send_frame(kind::PING, 0, 0, b"are you?").await;
        server.send(&Frame::response(request.stream, 403)).await;
        let mut goaway = vec![0; 4];
        goaway.extend_from_slice(&1_u32.to_be_bytes());
        server.send(&Frame::control(kind::GOAWAY, goaway)).await;
        server.shutdown().await;
        let pong = server.expect_kind(kind::PING).await;
        assert_eq!((pong.flags, &pong.payload[..]), (flag::ACK, &b"are you?"[..]));
    };
    let ask = async {
        assert_eq!(client.get(1, "/x").await, Some(403));
        client.expect_goaway(1).await;
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
#[should_panic(expected = "closed without saying why")]
async fn silence_is_no_goaway() {
    let (mut client, mut server) = pair().await;
    server.shutdown().await;
    client.expect_goaway(1).await;
}
