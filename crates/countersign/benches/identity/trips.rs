//! Round trips, counted by the time that passes on a network that takes nothing else.

use std::sync::Arc;

use quinn::{Endpoint, EndpointConfig, TokioRuntime};
use tokio::time::{Instant, sleep_until};

use crate::ends::{Client, H2Server, quic_server_config, serve_h3};
use crate::net::{ROUND_TRIP, tcp, udp};
use crate::{Version, Way};

/// From the first packet for it until the response is there.
pub(crate) fn count(version: Version, way: Way) -> f64 {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let net = Net::new(version, way);
        let elapsed = if way == Way::Second {
            let began = Instant::now();
            net.connect().await.get(way.path()).await;
            began.elapsed()
        } else {
            let mut client = net.connect().await;
            client.get("/").await;
            // Whatever is on its way arrives.
            sleep_until(Instant::now() + 10 * ROUND_TRIP).await;
            let began = Instant::now();
            client.step_up(way).await;
            began.elapsed()
        };
        elapsed.as_secs_f64() / ROUND_TRIP.as_secs_f64()
    })
}

/// A server and the way to it.
enum Net {
    Tcp(Way, H2Server),
    Quic(Way, Endpoint, std::net::SocketAddr),
}

impl Net {
    fn new(version: Version, way: Way) -> Self {
        match version {
            Version::H2 => Self::Tcp(way, H2Server::new(way)),
            Version::H3 => {
                let (near, far) = udp();
                let address = far.address();
                let endpoint = |config, socket| {
                    let runtime = Arc::new(TokioRuntime);
                    let limits = EndpointConfig::default();
                    Endpoint::new_with_abstract_socket(limits, config, socket, runtime).unwrap()
                };
                tokio::spawn(serve_h3(endpoint(Some(quic_server_config(way)), far), way));
                Self::Quic(way, endpoint(None, near), address)
            }
        }
    }

    async fn connect(&self) -> Client {
        match self {
            Self::Tcp(way, server) => {
                let (near, far) = tcp().await;
                tokio::spawn(server.clone().serve(far));
                Client::over_tcp(*way, near).await
            }
            Self::Quic(way, endpoint, address) => Client::over_quic(*way, endpoint, *address).await,
        }
    }
}
