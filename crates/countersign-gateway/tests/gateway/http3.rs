//! What is HTTP/3's own. Decisions and bodies are tested for both versions elsewhere.

use std::sync::Arc;

use bytes::Bytes;
use countersign_testkit::tls::{roots, test_pki};
use countersign_testkit::{CountingVerifier, TlsOptions, within};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use rustls::client::WebPkiServerVerifier;
use tokio::net::{TcpListener, UdpSocket};

use crate::support::{
    Backend, Client, HEAD, Http1, Running, Version, empty, full, quic, serve, try_start,
};

async fn world() -> (Backend, Running) {
    let backend = Backend::start().await;
    let gateway = Running::standard(&format!("http://{}", backend.address)).await;
    (backend, gateway)
}

#[tokio::test]
async fn alt_svc_is_told_on_tcp_only() {
    let backend =
        serve(|_| async { Response::builder().header("alt-svc", "x").body(full("")).unwrap() })
            .await;
    let gateway = Running::standard(&format!("http://{backend}")).await;
    let told = format!("h3=\":{}\"; ma=86400", gateway.address.port());
    let mut http1 = Http1::connect(&gateway, None).await;
    let http2 = Client::plain(Version::Http2, &gateway, None).await;
    let http3 = Client::plain(Version::Http3, &gateway, None).await;
    for path in ["/public/", "/admin/", "/elsewhere"] {
        assert_eq!(http1.get(path).await.headers["alt-svc"], told.as_str());
        assert_eq!(http2.get(path).await.headers["alt-svc"], told.as_str());
        assert_eq!(http3.get(path).await.headers.get("alt-svc"), None);
    }
}

#[tokio::test]
async fn without_http3_there_is_neither_alt_svc_nor_a_socket() {
    let backend = Backend::start().await;
    let routes = format!("[[routes]]\npath = \"/\"\nupstream = \"http://{}\"\n", backend.address);
    let text = format!("{HEAD}{routes}").replace("http3 = true\n", "");
    let gateway = Running::start(&text).await;
    let client = Client::plain(Version::Http2, &gateway, None).await;
    assert_eq!(client.get("/").await.headers.get("alt-svc"), None);
    UdpSocket::bind(gateway.address).await.unwrap();
}

#[tokio::test]
async fn identities_do_not_pass_from_one_connection_to_another() {
    let (_backend, gateway) = world().await;
    let pki = test_pki();
    let http2 = Client::showing(Version::Http2, &gateway, &[&pki.device, &pki.alice]).await;
    assert_eq!(http2.get("/admin/").await.status, 200);
    let http3 = Client::showing(Version::Http3, &gateway, &[&pki.device]).await;
    let refused = http3.get("/admin/").await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.problem().1, ["user"]);
    let third = Client::plain(Version::Http3, &gateway, None).await;
    assert_eq!(third.get("/admin/").await.problem().1, ["device", "user"]);
    assert_eq!(http2.get("/admin/").await.status, 200);
}

#[tokio::test]
async fn a_request_without_a_body_has_none_for_the_backend() {
    let (backend, gateway) = world().await;
    let client = Client::plain(Version::Http3, &gateway, None).await;
    for method in ["GET", "HEAD", "OPTIONS"] {
        let request = client.request("/public/").method(method).body(empty()).unwrap();
        assert_eq!(client.send(request).await.status, 200);
    }
    for seen in backend.seen() {
        assert_eq!(seen.header("transfer-encoding"), None, "{}", seen.line);
        assert!(matches!(seen.header("content-length"), None | Some("0")), "{}", seen.line);
    }
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_announced_is_an_error() {
    for length in ["3", "5"] {
        let (_backend, gateway) = world().await;
        let client = Client::plain(Version::Http3, &gateway, None).await;
        let frames = [Ok(Frame::data(Bytes::from_static(b"four")))];
        let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
        let request = client.request("/public/").method("POST").header("content-length", length);
        if let Ok(response) = client.start(request.body(body).unwrap()).await {
            assert_eq!(response.status(), 502, "{length}");
        }
        assert_eq!(client.get("/public/").await.status, 200, "the connection lives on");
    }
}

#[tokio::test]
async fn a_response_on_its_way_is_delivered_when_the_gateway_ends() {
    // Less than the gateway keeps for a client, so that it is done with it before the client is.
    let len = 1_500_000;
    let backend = serve(move |_| async move { Response::new(full(vec![7; len])) }).await;
    let mut gateway = Running::open(&format!("http://{backend}")).await;
    let client = Client::plain(Version::Http3, &gateway, None).await;
    let response = client.start(client.request("/").body(empty()).unwrap()).await.unwrap();
    gateway.end();
    let body = within(response.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(body.len(), len);
    client.closed().await;
    gateway.ended().await;
}

#[tokio::test]
async fn neither_sessions_nor_early_data_are_taken_up() {
    let (_backend, gateway) = world().await;
    let config = quic(Some(&test_pki().alice));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    for _ in 0..2 {
        let connecting = endpoint.connect_with(config.clone(), gateway.address, "localhost");
        let connecting = connecting.unwrap().into_0rtt().err().unwrap();
        let connection = within(connecting).await.unwrap();
        // The gateway's control stream: all of its handshake, tickets too, has come before.
        within(connection.accept_uni()).await.unwrap();
        connection.close(quinn::VarInt::from_u32(0x100), b"");
    }
}

#[tokio::test]
async fn sessions_that_are_taken_up_bring_no_early_data() {
    let backend = Backend::start().await;
    let routes = format!("[[routes]]\npath = \"/\"\nupstream = \"http://{}\"\n", backend.address);
    let text = format!("{HEAD}{routes}").replace("handshake = \"accept\"\n", "");
    let gateway = Running::start(&text).await;
    let options = TlsOptions::default();
    let inner = WebPkiServerVerifier::builder_with_provider(
        roots([&options.server_ca]),
        options.provider(),
    );
    let verifier = CountingVerifier::new(inner.build().unwrap());
    let mut tls = options.client_config();
    tls.dangerous().set_certificate_verifier(Arc::clone(&verifier) as Arc<_>);
    tls.enable_early_data = true;
    let config = countersign_testkit::quic::client_config(tls, quinn::TransportConfig::default());
    let endpoint = countersign_testkit::quic::client();
    for _ in 0..3 {
        let connecting = endpoint.connect_with(config.clone(), gateway.address, "localhost");
        let connecting = connecting.unwrap().into_0rtt().err().unwrap();
        let connection = within(connecting).await.unwrap();
        // The gateway's control stream: all of its handshake, tickets too, has come before.
        within(connection.accept_uni()).await.unwrap();
        connection.close(quinn::VarInt::from_u32(0x100), b"");
    }
    assert_eq!(verifier.chains(), 1, "only the first was no resumption");
}

#[tokio::test]
async fn a_udp_port_in_use_is_told() {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = udp.local_addr().unwrap();
    // Somebody else may have the TCP port of that number.
    let Ok(tcp) = TcpListener::bind(address).await else { return };
    drop(tcp);
    let text = HEAD.replace("127.0.0.1:0", &address.to_string())
        + "[[routes]]\npath = \"/\"\nupstream = \"http://127.0.0.1:9\"\n";
    let error = try_start(&text).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {address} for UDP: ")), "{error}");
}

#[tokio::test]
async fn what_is_no_quic_harms_nobody() {
    let (_backend, gateway) = world().await;
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 1200], &[0xc0; 1200], &[0x40; 30]] {
        socket.send_to(bytes, gateway.address).await.unwrap();
    }
    let client = Client::plain(Version::Http3, &gateway, None).await;
    assert_eq!(client.get("/public/").await.status, 200);
}

#[tokio::test]
async fn a_get_that_never_ends_is_not_waited_for_without_end() {
    // The backend answers at once, whatever may still come.
    let address = serve(|_| async { Response::new(full("hello")) }).await;
    let head = format!("{HEAD}[limits]\nheader_timeout = \"100ms\"\n");
    let text = format!("{head}[[routes]]\npath = \"/\"\nupstream = \"http://{address}\"\n");
    let gateway = Running::start(&text).await;
    let client = Client::plain(Version::Http3, &gateway, None).await;
    let open = StreamBody::new(futures_util::stream::pending()).boxed_unsync();
    let answer = within(client.send(client.request("/").body(open).unwrap())).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"hello"[..]));
}

#[tokio::test]
async fn clients_cannot_get_a_server_left_out() {
    let servers = [Backend::start().await, Backend::start().await];
    let list = servers.each_ref().map(|server| format!("\"http://{}\"", server.address)).join(", ");
    let text = format!("{HEAD}[[routes]]\npath = \"/\"\nupstream = [{list}]\n");
    let gateway = Running::start(&text).await;
    // Three in a row would be enough for one of the two, five leave the other one in.
    for _ in 0..5 {
        let client = Client::plain(Version::Http3, &gateway, None).await;
        let frames = [Ok(Frame::data(Bytes::from_static(b"four")))];
        let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
        let request = client.request("/").method("POST").header("content-length", "5");
        let _broken = within(client.start(request.body(body).unwrap())).await;
    }
    let client = Client::plain(Version::Http3, &gateway, None).await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await.status, 200);
    }
    for server in &servers {
        assert_eq!(server.seen().len(), 2, "both get requests in turn");
    }
}
