//! Round trips, counted by the time that passes on a network that takes nothing else, and the bytes on it.

use std::sync::Arc;

use quinn::{Endpoint, EndpointConfig, TokioRuntime};
use tokio::time::{Instant, sleep_until};

use crate::client::Client;
use crate::net::{ROUND_TRIP, Traffic, tcp, udp};
use crate::server::Server;
use crate::way::{Version, Way};

/// What one identity, origin or connection takes.
pub(crate) struct Passed {
    /// From the first packet that the client sends for it until the response is there.
    pub(crate) trips: f64,
    /// Bytes by the client, acknowledgements included.
    pub(crate) sent: u64,
    /// Bytes by the server.
    pub(crate) received: u64,
}

pub(crate) fn count(version: Version, way: Way) -> Passed {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let net = Net::new(version, way);
        let (client, began) = if way.connects() {
            let began = Instant::now();
            let mut client = net.connect().await;
            client.proceed().await;
            (client, began)
        } else {
            let mut client = net.connect().await;
            client.warm_up().await;
            quiet().await;
            net.traffic.reset();
            net.server.offer();
            quiet().await;
            let began = Instant::now();
            client.proceed().await;
            (client, began)
        };
        let trips = began.elapsed().as_secs_f64() / ROUND_TRIP.as_secs_f64();
        quiet().await;
        drop(client);
        let (sent, received) = net.traffic.bytes();
        Passed { trips, sent, received }
    })
}

/// Whatever is on its way arrives.
async fn quiet() {
    sleep_until(Instant::now() + 10 * ROUND_TRIP).await;
}

/// A server and the way to it.
struct Net {
    way: Way,
    server: Server,
    traffic: Arc<Traffic>,
    /// The client's endpoint and the server's address, over QUIC.
    quic: Option<(Endpoint, std::net::SocketAddr)>,
}

impl Net {
    fn new(version: Version, way: Way) -> Self {
        let (server, traffic) = (Server::new(version, way), Arc::<Traffic>::default());
        let quic = match version {
            Version::H2 => None,
            Version::H3 => {
                let (near, far) = udp(&traffic);
                let address = far.address();
                let endpoint = |config, socket| {
                    let runtime = Arc::new(TokioRuntime);
                    let limits = EndpointConfig::default();
                    Endpoint::new_with_abstract_socket(limits, config, socket, runtime).unwrap()
                };
                let serving = endpoint(Some(server.quic_config()), far);
                tokio::spawn(server.clone().serve_h3(serving));
                Some((endpoint(None, near), address))
            }
        };
        Self { way, server, traffic, quic }
    }

    async fn connect(&self) -> Client {
        match &self.quic {
            None => {
                let (near, far) = tcp(&self.traffic).await;
                tokio::spawn(self.server.clone().serve_h2(far));
                Client::over_tcp(self.way, near).await
            }
            Some((endpoint, address)) => Client::over_quic(self.way, endpoint, *address).await,
        }
    }
}
