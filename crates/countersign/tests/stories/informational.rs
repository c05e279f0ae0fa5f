//! Informational responses over HTTP/3.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use countersign::{client, h3};
use countersign_testkit::{TlsOptions, quic, within};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Empty, Full};
use quinn::TransportConfig;
use tokio::sync::Notify;

use crate::support::{connect_on, provider, rules};

#[tokio::test]
async fn they_come_before_the_response_and_at_once() {
    let options = TlsOptions::default().alpn(["h3"]);
    let endpoint = quic::server(options.server_config(), TransportConfig::default());
    let address = endpoint.local_addr().unwrap();
    let acceptor = h3::Acceptor::new(Arc::new(rules().build().unwrap()));
    let go = Arc::new(Notify::new());
    let waiting = Arc::clone(&go);
    tokio::spawn(async move {
        let incoming = endpoint.accept().await.unwrap();
        let (connection, _handle) = acceptor.accept(incoming).await.unwrap();
        let service = tower::service_fn(move |request: Request<h3::RequestBody>| {
            let go = Arc::clone(&waiting);
            async move {
                let ahead = request.extensions().get::<h3::Informational>().unwrap();
                let link = HeaderValue::from_static("</style.css>; rel=preload");
                let fields = HeaderMap::from_iter([
                    (header::LINK, link),
                    (header::CONNECTION, HeaderValue::from_static("close")),
                ]);
                assert!(ahead.send(StatusCode::EARLY_HINTS, fields));
                go.notified().await;
                // What is sent together with the response comes first all the same.
                assert!(ahead.send(StatusCode::PROCESSING, HeaderMap::new()));
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("page"))))
            }
        });
        connection.serve(service, std::future::pending()).await;
    });
    let auth = client::AuthConfig::builder(provider()).build().unwrap();
    let config = options.client_config();
    let clients = quic::client();
    let (mut client, _handle) = within(connect_on(&clients, config, auth, address)).await;
    let request = Request::get(format!("https://localhost:{}/", address.port()));
    let mut heard = Vec::new();
    let response = client.send_listening(request.body(Empty::<Bytes>::new()).unwrap(), |ahead| {
        // Not before: so it did not wait for the response.
        go.notify_one();
        heard.push((ahead.status().as_u16(), ahead.headers().clone()));
    });
    assert_eq!(within(response).await.unwrap().status(), 200);
    let statuses: Vec<u16> = heard.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [103, 102]);
    assert_eq!(heard[0].1[header::LINK], "</style.css>; rel=preload");
    assert_eq!(heard[0].1.get(header::CONNECTION), None);
}
