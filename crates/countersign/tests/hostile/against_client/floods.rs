//! Servers that ask, or have sent to them, as much as they can.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use countersign::client::{ClientHandle, Handshaker, Origin};
use countersign::{Closed, Violation};
use countersign_testkit::raw::{flag, kind};
use countersign_testkit::{Frame, RawPeer, TlsOptions, Version, within};
use futures_util::stream;
use http::Request;
use http_body_util::StreamBody;
use hyper::body::Frame as BodyFrame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;

use crate::client::{Impostor, alices_rules, declining_rules};
use crate::forge::good_request;
use crate::wire::*;

countersign_testkit::over_both_versions! {
    of_challenges_that_never_end,
}

/// How many contexts a client keeps track of.
const CONTEXTS: u16 = 4096;

async fn of_challenges_that_never_end(version: Version) {
    //= specs/client-certs.md#decisions-limits
    //= type=test
    //# (ours) A client that cannot remember any more request contexts MUST end the connection, with ENHANCE_YOUR_CALM in HTTP/2 and H3_EXCESSIVE_LOAD in HTTP/3.

    //= specs/client-certs.md#section-5.5
    //= type=test
    //# An implementation SHOULD bound the computation that one connection can cause.
    let limit: u16 = 64;
    let mut server = Impostor::opened(version, declining_rules().limit(limit.into()), 1).await;
    let mut numbers: VecDeque<u16> = (0..CONTEXTS).collect();
    while !numbers.is_empty() {
        let asked: Vec<_> = numbers.drain(..usize::from(limit)).map(good_request).collect();
        server.wire.send(&requests(asked.iter().map(|one| &one[..]))).await;
        for _ in 0..limit {
            server.wire.expect_kind(CERTIFICATE).await;
        }
    }
    server.wire.send(&requests([&good_request(CONTEXTS)[..]])).await;
    server.refused(TOO_MUCH, Violation::TooManyContexts).await;
}

#[tokio::test]
async fn of_changes_to_its_setting() {
    let mut server = Impostor::opened(Version::H2, alices_rules(), 1).await;
    let flood: Vec<u8> = (0..5000).flat_map(|turn| announce(1 + turn % 7).encode()).collect();
    server.wire.send_bytes(&flood).await;
    server.wire.h2().send(&Frame::response(1, 200)).await;
    assert_eq!(within(server.waiting).await.unwrap().unwrap(), 200);
    assert_eq!(server.client.handle.closed_reason(), None);
}

/// The real client, sending a body that never ends to a raw server that has ceased to read it.
struct Stuck {
    wire: RawPeer<TlsStream<TcpStream>>,
    handle: ClientHandle,
    driven: JoinHandle<()>,
    response: JoinHandle<bool>,
}

async fn stuck() -> Stuck {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connect = async {
        let tls = Arc::new(TlsOptions::default().client_config());
        let handshaker = Handshaker::new(tls, Arc::new(alices_rules().build().unwrap()));
        let tcp = TcpStream::connect(address).await.unwrap();
        let origin = Origin::new("localhost", address.port());
        let (stream, handle) = handshaker.connect(tcp, origin).await.unwrap();
        let (requests, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        (handle, requests, tokio::spawn(async move { drop(connection.await) }))
    };
    let tls = Arc::new(TlsOptions::default().server_config());
    let ((handle, mut requests, driven), mut wire) =
        tokio::join!(within(connect), RawPeer::accept(&listener, tls));
    let response = tokio::spawn(async move {
        let piece = || Ok::<_, std::io::Error>(BodyFrame::data(Bytes::from_static(&[0; 8192])));
        let body = StreamBody::new(stream::repeat_with(piece));
        let request = Request::post("https://localhost/").body(body).unwrap();
        requests.send_request(request).await.is_ok()
    });
    wire.open(&[(CLIENT_CERT_AUTH, 1)]).await;
    wire.send(&widest_window(0)).await;
    let request = wire.expect_kind(kind::HEADERS).await;
    assert_eq!(request.flags & flag::END_STREAM, 0);
    wire.send(&widest_window(1)).await;
    let mut received = 0;
    while received < 1 << 20 {
        received += wire.expect_kind(kind::DATA).await.payload.len();
    }
    Stuck { wire, handle, driven, response }
}

#[tokio::test]
async fn who_never_reads_is_left_in_the_end() {
    let mut server = stuck().await;
    server.wire.send(&certificate(b"whatever").h2()).await;
    assert!(!within(server.response).await.unwrap());
    within(server.driven).await.unwrap();
    let violation = Violation::ServerCertificateNotNegotiated;
    assert_eq!(server.handle.closed_reason(), Some(Closed::Violation(violation)));
}

#[tokio::test]
async fn who_reads_late_reads_why() {
    let mut server = stuck().await;
    server.wire.send(&certificate(b"whatever").h2()).await;
    assert!(server.wire.try_send_bytes(noise(Version::H2)).await, "the connection was reset");
    server.wire.expect_goaway(PROTOCOL_ERROR).await;
    drop(server.wire);
    assert!(!within(server.response).await.unwrap());
}
