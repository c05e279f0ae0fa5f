//! hyper-util's pooled client: one pool for each set of credentials.

mod coalescing;
mod site;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use countersign::client::{ClientHandle, CredentialSet, PooledClient};
use countersign_testkit::tls::test_pki;
use countersign_testkit::{TlsOptions, within};
use http_body_util::{BodyExt, Empty};

use crate::support::{provider, rules, serve, show};

async fn get(
    client: &PooledClient<Empty<Bytes>>,
    set: &CredentialSet,
    address: SocketAddr,
    path: &str,
) -> (u16, String) {
    let uri = format!("https://localhost:{}{path}", address.port());
    let request = http::Request::get(uri).body(Empty::new()).unwrap();
    let response = client.request(set, request).await.unwrap();
    assert!(response.extensions().get::<ClientHandle>().is_some());
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn callers_with_other_credentials_never_share_a_connection() {
    within(async {
        let address = serve(&TlsOptions::default(), rules()).await;
        let pki = test_pki();
        let set = |identities| {
            let shown = Arc::new(show(address, identities));
            CredentialSet::with_resolver(provider(), shown, 2).unwrap()
        };
        let (alice, nobody) = (set(&[&pki.device, &pki.alice]), set(&[]));
        let client = PooledClient::new(Arc::new(TlsOptions::default().client_config()));
        assert_eq!(get(&client, &alice, address, "/device").await.0, 200);
        assert_eq!(get(&client, &alice, address, "/admin").await.0, 200);
        assert_eq!(get(&client, &alice, address, "/").await.1, "device,user", "one connection");
        assert_eq!(get(&client, &nobody, address, "/").await, (200, String::new()));
        assert_eq!(get(&client, &nobody, address, "/admin").await.0, 403);
        assert_eq!(get(&client, &alice.clone(), address, "/").await.1, "device,user");
    })
    .await;
}

#[tokio::test]
async fn plain_http_is_refused() {
    within(async {
        let client = PooledClient::new(Arc::new(TlsOptions::default().client_config()));
        let set = CredentialSet::with_resolver(
            provider(),
            Arc::new(countersign::client::NoCredentials),
            1,
        )
        .unwrap();
        let request =
            http::Request::get("http://localhost:1/").body(Empty::<Bytes>::new()).unwrap();
        let error = client.request(&set, request).await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("is no https origin"), "{source}");
    })
    .await;
}
