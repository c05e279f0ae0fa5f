//! The CPU time of a server's thread, over loopback.

use std::net::{Ipv4Addr, SocketAddr};

use countersign_testkit::bench::median;
use rustix::time::{ClockId, clock_gettime};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::ends::{Client, H2Server, quic_server_config, serve_h3};
use crate::{Version, Way};

/// How many identities are added, or connections made, between two looks at the clock.
const BATCH: usize = 20;

/// Microseconds of the server for each way, medians over all rounds.
pub(crate) fn of_server(version: Version, rounds: usize) -> [f64; Way::ALL.len()] {
    let (server, stopped) = Server::start(version);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut spent: [Vec<f64>; Way::ALL.len()] = Default::default();
    runtime.block_on(async {
        let endpoint = countersign_testkit::quic::client();
        for _ in 0..rounds {
            for (way, spent) in Way::ALL.into_iter().zip(&mut spent) {
                spent.push(server.batch(&endpoint, way).await);
            }
        }
    });
    drop(runtime);
    drop(server);
    stopped.join().unwrap();
    spent.map(median)
}

/// Listens for each way, in a thread that does nothing else.
struct Server {
    version: Version,
    addresses: [SocketAddr; Way::ALL.len()],
    clock: mpsc::UnboundedSender<oneshot::Sender<f64>>,
}

impl Server {
    fn start(version: Version) -> (Self, std::thread::JoinHandle<()>) {
        let (clock, mut asked) = mpsc::unbounded_channel::<oneshot::Sender<f64>>();
        let (started, addresses) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for (way, index) in Way::ALL.into_iter().zip(0..) {
                    started.send((index, listen(version, way).await)).unwrap();
                }
                drop(started);
                while let Some(answer) = asked.recv().await {
                    // Who asks waits for the answer.
                    answer.send(cpu_micros()).unwrap();
                }
            });
        });
        let mut found = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); Way::ALL.len()];
        for (index, address) in addresses {
            let index: usize = index;
            found[index] = address;
        }
        (Self { version, addresses: found, clock }, thread)
    }

    async fn cpu(&self) -> f64 {
        let (answer, micros) = oneshot::channel();
        self.clock.send(answer).unwrap();
        micros.await.unwrap()
    }

    async fn connect(&self, endpoint: &quinn::Endpoint, way: Way) -> Client {
        let address = self.addresses[way as usize];
        match self.version {
            Version::H2 => {
                let tcp = TcpStream::connect(address).await.unwrap();
                tcp.set_nodelay(true).unwrap();
                Client::over_tcp(way, tcp).await
            }
            Version::H3 => Client::over_quic(way, endpoint, address).await,
        }
    }

    /// Microseconds for one of a batch.
    async fn batch(&self, endpoint: &quinn::Endpoint, way: Way) -> f64 {
        let mut clients = Vec::new();
        if way != Way::Second {
            for _ in 0..BATCH {
                let mut client = self.connect(endpoint, way).await;
                client.get("/").await;
                clients.push(client);
            }
        }
        let before = self.cpu().await;
        if way == Way::Second {
            for _ in 0..BATCH {
                let mut client = self.connect(endpoint, way).await;
                client.get(way.path()).await;
                clients.push(client);
            }
        } else {
            for client in &mut clients {
                client.step_up(way).await;
            }
        }
        (self.cpu().await - before) / BATCH as f64
    }
}

/// Serves in the background.
async fn listen(version: Version, way: Way) -> SocketAddr {
    let any = (Ipv4Addr::LOCALHOST, 0);
    match version {
        Version::H2 => {
            let server = H2Server::new(way);
            let listener = TcpListener::bind(any).await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(async move {
                while let Ok((tcp, _)) = listener.accept().await {
                    tcp.set_nodelay(true).unwrap();
                    tokio::spawn(server.clone().serve(tcp));
                }
            });
            address
        }
        Version::H3 => {
            let endpoint = quinn::Endpoint::server(quic_server_config(way), any.into()).unwrap();
            let address = endpoint.local_addr().unwrap();
            tokio::spawn(serve_h3(endpoint, way));
            address
        }
    }
}

fn cpu_micros() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
