//! What the specification fixes about bytes on an HTTP/2 connection, seen by a raw client.

#![cfg(test)]

use std::sync::Arc;

use countersign::server::{Acceptor, AuthConfig, CredentialKind, WithAuthHandle};
use countersign::{AuthenticatorRequest, CodePoints};
use countersign_testkit::tls::{roots, test_pki};
use countersign_testkit::{RawPeer, TlsOptions, within};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;

#[tokio::test]
async fn the_setting_and_the_frame_look_as_they_should() {
    let options = TlsOptions::default();
    let verifier = WebPkiClientVerifier::builder_with_provider(
        roots([&test_pki().device_ca]),
        options.provider(),
    );
    let device = CredentialKind::new("device", verifier.build().unwrap()).ask_on_connect();
    let rules = AuthConfig::builder(options.provider()).credential(device);
    let acceptor =
        Acceptor::new(Arc::new(options.server_config()), Arc::new(rules.build().unwrap()));
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    tokio::spawn(async move {
        let (tcp, _) = tcp.accept().await.unwrap();
        let (stream, handle) = acceptor.accept(tcp).await.unwrap();
        let service = TowerToHyperService::new(WithAuthHandle::new(axum::Router::new(), handle));
        let _ended = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    });

    let points = CodePoints::default();
    let mut peer = RawPeer::connect(address, Arc::new(options.client_config())).await;
    let settings = within(peer.open(&[(points.settings_client_cert_auth, 2)])).await;
    //= specs/client-certs.md#section-3.1
    //= type=test
    //# A server that supports the mechanism MUST confirm this by setting the value 1.
    //= specs/client-certs.md#section-3.1.1
    //= type=test
    //# An HTTP/2 server MUST set 1 when it supports the mechanism.
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) The setting MUST be part of the first SETTINGS frame that an endpoint sends.
    assert!(settings.contains(&(points.settings_client_cert_auth, 1)));

    let frame = within(peer.expect_kind(points.frame_authenticator_requests)).await;
    //= specs/client-certs.md#section-4.1
    //= type=test
    //# In HTTP/2 the frame MUST be sent on stream 0.
    //= specs/client-certs.md#section-4.1.1
    //= type=test
    //# The HTTP/2 frame MUST consist of the 9-byte frame header with type AUTHENTICATOR_REQUESTS,
    //# unused flags and stream identifier 0, and then one or more authenticator requests.
    assert_eq!((frame.stream, frame.flags), (0, 0));
    let [first, second, request @ ..] = &*frame.payload else {
        panic!("no request");
    };
    let len = u16::from_be_bytes([*first, *second]) & 0x3fff;
    assert_eq!((first >> 6, usize::from(len)), (1, request.len()));
    let request = AuthenticatorRequest::parse(request).unwrap();
    assert!(request.is_targeted());
}
