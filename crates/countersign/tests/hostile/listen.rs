//! The real server's sockets: what it serves is the same over both versions.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use countersign::h3;
use countersign::server::{
    Acceptor, AuthConfig, AuthHandle, RequireCredentialLayer, WithAuthHandle,
};
use countersign_testkit::TlsOptions;
use futures_util::stream;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use quinn::crypto::rustls::QuicServerConfig;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Each connection's handle, and the task that serves it.
pub(crate) type Accepted = mpsc::UnboundedReceiver<(AuthHandle, JoinHandle<()>)>;

fn router() -> Router {
    let endless = || stream::repeat_with(|| Ok::<_, axum::Error>(Bytes::from_static(&[0; 8192])));
    Router::new()
        .route("/user", get(|| async { "user" }).layer(RequireCredentialLayer::new("user")))
        .route("/device", get(|| async { "device" }).layer(RequireCredentialLayer::new("device")))
        .route("/open", get(|| async { "open" }))
        .route("/endless", get(move || async move { Body::from_stream(endless()) }))
}

/// Over TCP, on any of hyper's servers.
pub(crate) async fn over_tcp(
    tls: rustls::ServerConfig,
    rules: AuthConfig,
    hyper: auto::Builder<TokioExecutor>,
) -> (SocketAddr, Accepted) {
    let acceptor = Acceptor::new(Arc::new(tls), Arc::new(rules));
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let (sender, accepted) = mpsc::unbounded_channel();
    let app = router();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = tcp.accept().await.unwrap();
            let (acceptor, sender) = (acceptor.clone(), sender.clone());
            let (hyper, app) = (hyper.clone(), app.clone());
            tokio::spawn(async move {
                let Ok((stream, handle)) = acceptor.accept(tcp).await else {
                    return;
                };
                let app = TowerToHyperService::new(WithAuthHandle::new(app, handle.clone()));
                let served = tokio::spawn(async move {
                    // How it ends is the handle's to tell.
                    let _ended = hyper.serve_connection(TokioIo::new(stream), app).await;
                });
                // The test may be over.
                let _ = sender.send((handle, served));
            });
        }
    });
    (address, accepted)
}

/// Over UDP.
pub(crate) fn over_quic(
    rules: AuthConfig,
    mut transport: quinn::TransportConfig,
) -> (SocketAddr, Accepted) {
    // Some clients ask for more at a time than the default allows.
    transport.max_concurrent_bidi_streams(200_u32.into());
    let mut tls = TlsOptions::default().server_config();
    tls.alpn_protocols = vec![h3::ALPN_H3.to_vec()];
    let tls = Arc::new(tls);
    let crypto = QuicServerConfig::try_from(Arc::clone(&tls)).unwrap();
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    let endpoint = quinn::Endpoint::server(config.clone(), (Ipv4Addr::LOCALHOST, 0).into());
    let endpoint = endpoint.unwrap();
    let address = endpoint.local_addr().unwrap();
    let acceptor = h3::Acceptor::new(Arc::new(rules)).tls(config, tls);
    let (sender, accepted) = mpsc::unbounded_channel();
    let app = router();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let (acceptor, sender, app) = (acceptor.clone(), sender.clone(), app.clone());
            tokio::spawn(async move {
                let Ok((connection, handle)) = acceptor.accept(incoming).await else {
                    return;
                };
                let service = tower::service_fn(move |request: http::Request<h3::RequestBody>| {
                    tower::ServiceExt::oneshot(app.clone(), request.map(Body::new))
                });
                let served = tokio::spawn(connection.serve(service, std::future::pending()));
                // The test may be over.
                let _ = sender.send((handle, served));
            });
        }
    });
    (address, accepted)
}
