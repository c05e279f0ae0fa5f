//! HTTP/3 over a network that loses, repeats and reorders datagrams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use countersign::axum::Identities;
use countersign::client::{self, ClientHandle};
use countersign::server::{self, RequireCredentialLayer};
use countersign::{Closed, h3};
use countersign_testkit::pki::Issued;
use countersign_testkit::relay::{Relay, lossy};
use countersign_testkit::tls::test_pki;
use countersign_testkit::{TlsOptions, quic, within};
use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty, Full};
use quinn::{Endpoint, TransportConfig};
use tokio::sync::{Notify, watch};

use crate::support::{Log, Send, origin, provider, rules, show, until};

/// What decides about the datagrams, of one client each.
const SEEDS: [u64; 3] = [1, 20, 300];

/// Tells which losses a test failed with.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with the seed {}", self.0);
        }
    }
}

/// A server and how it is ended; what is counted has to be gone in the end.
struct Server {
    endpoint: Endpoint,
    address: SocketAddr,
    /// Held by each of its sessions.
    auth: Arc<server::AuthConfig>,
    ending: watch::Sender<bool>,
    /// What `/slow` waits for.
    slow: Arc<Slow>,
}

#[derive(Default)]
struct Slow {
    begun: Notify,
    end: Notify,
}

impl Server {
    fn start() -> Self {
        let endpoint = quic::server(TlsOptions::default().server_config(), transport());
        let address = endpoint.local_addr().unwrap();
        let auth = Arc::new(rules().build().unwrap());
        let (ending, slow) = (watch::Sender::new(false), Arc::<Slow>::default());
        let acceptor = h3::Acceptor::new(Arc::clone(&auth));
        let (accepting, app, ended) = (endpoint.clone(), router(&slow), ending.subscribe());
        tokio::spawn(async move {
            while let Some(incoming) = accepting.accept().await {
                let (acceptor, app, mut ended) = (acceptor.clone(), app.clone(), ended.clone());
                tokio::spawn(async move {
                    let (connection, _) = acceptor.accept(incoming).await?;
                    let service = tower::service_fn(move |request: http::Request<_>| {
                        tower::ServiceExt::oneshot(app.clone(), request.map(Body::new))
                    });
                    let shutdown = async move { drop(ended.wait_for(|ended| *ended).await) };
                    connection.serve::<_, Body>(service, shutdown).await;
                    Ok::<_, h3::AcceptError>(())
                });
            }
        });
        Self { endpoint, address, auth, ending, slow }
    }

    /// Stops, and waits until nothing is left of any connection.
    async fn end(self) {
        self.ending.send_replace(true);
        self.endpoint.wait_idle().await;
        assert_eq!(self.endpoint.open_connections(), 0);
        self.endpoint.close(0_u32.into(), b"");
        // Without connections and without an acceptor.
        until(|| Arc::strong_count(&self.auth) == 1).await;
        until(|| Arc::strong_count(&self.slow) == 1).await;
    }
}

fn router(slow: &Arc<Slow>) -> Router {
    let names = |identities: Identities| async move {
        let names: Vec<_> = identities.0.iter().map(|one| one.credential().to_owned()).collect();
        names.join(",")
    };
    let slow = Arc::clone(slow);
    let wait = move || async move {
        slow.begun.notify_one();
        slow.end.notified().await;
        "at last"
    };
    Router::new()
        .route("/admin", get(names).layer(RequireCredentialLayer::new("user")))
        .route("/device", get(names).layer(RequireCredentialLayer::new("device")))
        .route("/", get(names))
        .route("/echo", post(|body: Body| async move { body }))
        .route("/slow", get(wait))
}

/// Soon sends again what was lost, and gives up a connection whose close was lost sooner than a test does.
fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.initial_rtt(Duration::from_millis(20));
    transport.max_idle_timeout(Some(Duration::from_secs(5).try_into().unwrap()));
    transport
}

/// A client behind a network of its own.
struct Client {
    endpoint: Endpoint,
    relay: Relay,
    client: h3::Client,
    handle: ClientHandle,
    /// Held by its session.
    log: Arc<Log>,
}

impl Client {
    async fn connect(server: &Server, seed: u64, identities: &[&Issued]) -> Self {
        let relay = Relay::new(server.address, lossy(seed)).await;
        let (endpoint, log) = (quic::client(), Arc::<Log>::default());
        let auth = client::AuthConfig::builder(provider())
            .resolver(Arc::new(show(relay.address(), identities)))
            .observer(Arc::clone(&log) as Arc<_>)
            .build()
            .unwrap();
        let tls = quic::client_config(TlsOptions::default().client_config(), transport());
        let handshaker = h3::Handshaker::new(tls, Arc::new(auth));
        let address = relay.address();
        let opened = handshaker.connect(&endpoint, address, origin(address)).await;
        let (client, handle) = opened.unwrap();
        Self { endpoint, relay, client, handle, log }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        Send::H3(self.client.clone()).get(self.relay.address(), path).await
    }

    /// Leaves, and waits until nothing is left.
    async fn end(self) {
        let Self { endpoint, relay, client, handle, log } = self;
        drop((client, handle));
        endpoint.wait_idle().await;
        assert_eq!(endpoint.open_connections(), 0);
        until(|| Arc::strong_count(&log) == 1).await;
        drop(relay);
    }
}

#[tokio::test]
async fn certificates_are_shown_and_declined() {
    for seed in SEEDS.map(Seed) {
        within(async {
            let server = Server::start();
            let pki = test_pki();
            let polite = Client::connect(&server, seed.0, &[&pki.device, &pki.alice]).await;
            let silent = Client::connect(&server, seed.0 + 1, &[&pki.device]).await;
            assert_eq!(polite.get("/device").await, (200, "device".into()));
            let requests = join_all((0..20).map(|_| polite.get("/admin"))).await;
            assert_eq!(requests, vec![(200, "device,user".into()); 20]);
            let (status, problem) = silent.get("/admin").await;
            assert_eq!(status, 403);
            assert!(problem.contains("credential-declined"), "{problem}");
            assert_eq!(silent.get("/").await, (200, "device".into()), "the connection lives on");
            silent.end().await;
            assert_eq!(polite.get("/").await, (200, "device,user".into()));
            polite.end().await;
            server.end().await;
        })
        .await;
    }
}

#[tokio::test]
async fn big_bodies_arrive_whole_in_both_directions() {
    for seed in SEEDS.map(Seed) {
        within(async {
            let server = Server::start();
            let client = Client::connect(&server, seed.0, &[&test_pki().device]).await;
            let body: Bytes = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
            let echo = async || {
                let uri = format!("https://{}/echo", client.relay.address());
                let request = http::Request::post(uri).body(Full::new(body.clone())).unwrap();
                let response = client.client.clone().send(request).await.unwrap();
                assert_eq!(response.status(), 200);
                assert!(response.into_body().collect().await.unwrap().to_bytes() == body);
            };
            tokio::join!(echo(), echo());
            assert_eq!(client.get("/device").await, (200, "device".into()));
            client.end().await;
            server.end().await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_shutdown_finishes_what_has_begun_and_no_more() {
    for seed in SEEDS.map(Seed) {
        within(async {
            let server = Server::start();
            let client = Client::connect(&server, seed.0, &[&test_pki().device]).await;
            let shut_down = async {
                server.slow.begun.notified().await;
                server.ending.send_replace(true);
                // New requests are refused once GOAWAY has come through.
                loop {
                    let uri = format!("https://{}/", client.relay.address());
                    let request = http::Request::get(uri).body(Empty::new()).unwrap();
                    if client.client.clone().send(request).await.is_err() {
                        break;
                    }
                }
                server.slow.end.notify_one();
            };
            let (slow, ()) = tokio::join!(client.get("/slow"), shut_down);
            assert_eq!(slow, (200, "at last".into()));
            until(|| client.handle.closed_reason() == Some(Closed::Transport)).await;
            client.end().await;
            server.end().await;
        })
        .await;
    }
}
