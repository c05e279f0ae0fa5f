//! Extended CONNECT for WebSocket over HTTP/3 (RFC 9220), at a server of this crate.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use countersign::h3;
use countersign_testkit::raw_h3::{Arrival, Frame, RawH3Peer, kind};
use countersign_testkit::{TlsOptions, quic, within};
use http::{Method, Request, Response};
use http_body_util::{Either, Full};
use hyper::ext::Protocol;
use quinn::TransportConfig;

use crate::support::rules;

const ENABLE_CONNECT_PROTOCOL: u64 = 8;

/// A server that gives back what comes through a tunnel, and says which protocols it was asked for.
fn serve(websocket: bool) -> SocketAddr {
    let options = TlsOptions::default().alpn(["h3"]);
    let endpoint = quic::server(options.server_config(), TransportConfig::default());
    let address = endpoint.local_addr().unwrap();
    let acceptor = h3::Acceptor::new(Arc::new(rules().build().unwrap())).websocket(websocket);
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let (connection, _handle) = acceptor.accept(incoming).await.unwrap();
            let service = tower::service_fn(|request: Request<h3::RequestBody>| async move {
                let protocol = request.extensions().get::<Protocol>().map(Protocol::as_str);
                let wanted = request.method() == Method::CONNECT && protocol == Some("websocket");
                let body = if wanted {
                    assert_eq!(request.uri().path(), "/chat");
                    Either::Left(request.into_body())
                } else {
                    Either::Right(Full::new(Bytes::from(protocol.unwrap_or("none").to_owned())))
                };
                Ok::<_, Infallible>(Response::new(body))
            });
            tokio::spawn(connection.serve(service, std::future::pending()));
        }
    });
    address
}

fn ask(method: &str, protocol: &str) -> Vec<u8> {
    let fields = [
        (":method", method),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/chat"),
        (":protocol", protocol),
    ];
    Frame::headers(&fields).encode()
}

async fn connect(address: SocketAddr) -> (RawH3Peer, Vec<(u64, u64)>) {
    let tls = TlsOptions::default().alpn(["h3"]).client_config();
    let mut peer = RawH3Peer::connect(address, tls).await;
    let settings = peer.open(&[]).await;
    (peer, settings)
}

/// The next frame of a stream that means something; `None` at its end.
async fn next(peer: &mut RawH3Peer, id: u64) -> Option<Frame> {
    let of_it = |arrival: &Arrival| match arrival {
        Arrival::Exchange(of, frame) => {
            *of == id && [kind::DATA, kind::HEADERS].contains(&frame.kind)
        }
        Arrival::Ended(of) => *of == id,
        Arrival::Control(_) => false,
    };
    match peer.next_matching(of_it).await {
        Some(Arrival::Exchange(_, frame)) => Some(frame),
        Some(Arrival::Ended(_) | Arrival::Control(_)) | None => None,
    }
}

#[tokio::test]
async fn a_tunnel_is_a_request_whose_bodies_are_open_at_once() {
    let (mut peer, settings) = connect(serve(true)).await;
    assert!(settings.contains(&(ENABLE_CONNECT_PROTOCOL, 1)), "{settings:?}");
    let request = ask("CONNECT", "websocket");
    // Also when the field section comes in pieces.
    for at in [request.len(), 1, 40] {
        let (first, rest) = request.split_at(at);
        let id = peer.open_request(first).await;
        peer.send_on(id, rest).await;
        assert_eq!(next(&mut peer, id).await.unwrap().status(), Some(200));
        for text in ["one", "two"] {
            peer.send_on(id, &Frame::new(kind::DATA, text).encode()).await;
            assert_eq!(next(&mut peer, id).await.unwrap().payload, text);
        }
        peer.finish(id).await;
        assert_eq!(next(&mut peer, id).await, None);
    }
}

#[tokio::test]
async fn other_protocols_are_not_implemented_and_other_methods_have_none() {
    let (mut peer, _) = connect(serve(true)).await;
    for protocol in ["webtransport", "connect-udp", "websocket2"] {
        let id = peer.open_request(&ask("CONNECT", protocol)).await;
        let refusal = next(&mut peer, id).await.unwrap();
        assert_eq!(refusal.status(), Some(501));
        assert_eq!(next(&mut peer, id).await, None);
    }
    let id = peer.open_request(&ask("GET", "websocket")).await;
    assert_eq!(next(&mut peer, id).await, None);
    // None of that costs the connection.
    let id = peer.request("localhost", "/").await;
    assert_eq!(within(peer.whole_response(id)).await, Some((200, "none".into())));
}

#[tokio::test]
async fn who_does_not_take_it_does_not_say_so() {
    let (mut peer, settings) = connect(serve(false)).await;
    assert!(settings.iter().all(|(id, value)| *id != ENABLE_CONNECT_PROTOCOL || *value == 0));
    let id = peer.open_request(&ask("CONNECT", "websocket")).await;
    assert_eq!(next(&mut peer, id).await, None);
}
