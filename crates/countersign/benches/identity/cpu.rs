//! The CPU time of a server's thread and of a client's, over loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use countersign_testkit::bench::median;
use rustix::time::{ClockId, clock_gettime};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::client::Client;
use crate::server::Server;
use crate::way::{Version, Way};

/// How many identities or origins are added, or connections made, between two looks at the clock.
const BATCH: usize = 20;

/// Microseconds of CPU.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) server: f64,
    pub(crate) client: f64,
}

/// For each way, medians over all rounds.
pub(crate) fn of(version: Version, ways: &'static [Way], rounds: usize) -> Vec<Spent> {
    let (host, stopped) = Host::start(version, ways);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut spent = vec![Vec::new(); ways.len()];
    runtime.block_on(async {
        let endpoint = countersign_testkit::quic::client();
        for _ in 0..rounds {
            for (site, spent) in host.sites.iter().zip(&mut spent) {
                spent.push(host.batch(&endpoint, site).await);
            }
        }
    });
    drop(runtime);
    drop(host);
    stopped.join().unwrap();
    let medians = |spent: Vec<Spent>| Spent {
        server: median(spent.iter().map(|spent| spent.server).collect()),
        client: median(spent.iter().map(|spent| spent.client).collect()),
    };
    spent.into_iter().map(medians).collect()
}

type Job = Box<dyn FnOnce() + Send>;

/// Listens for each way, in a thread that does nothing else.
struct Host {
    version: Version,
    sites: Vec<Site>,
    jobs: mpsc::UnboundedSender<Job>,
}

struct Site {
    way: Way,
    server: Arc<Server>,
    address: SocketAddr,
}

impl Host {
    fn start(version: Version, ways: &'static [Way]) -> (Self, std::thread::JoinHandle<()>) {
        let (jobs, mut asked) = mpsc::unbounded_channel::<Job>();
        let (started, sites) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for way in ways {
                    started.send(listen(version, *way).await).unwrap();
                }
                drop(started);
                while let Some(job) = asked.recv().await {
                    job();
                }
            });
        });
        (Self { version, sites: sites.into_iter().collect(), jobs }, thread)
    }

    /// Has the server's thread do something.
    async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, answered) = oneshot::channel();
        // Who asks waits for the answer.
        let job = move || assert!(answer.send(job()).is_ok());
        self.jobs.send(Box::new(job)).ok().unwrap();
        answered.await.unwrap()
    }

    async fn spent(&self) -> Spent {
        Spent { server: self.run(cpu_micros).await, client: cpu_micros() }
    }

    async fn connect(&self, endpoint: &quinn::Endpoint, site: &Site) -> Client {
        match self.version {
            Version::H2 => {
                let tcp = TcpStream::connect(site.address).await.unwrap();
                tcp.set_nodelay(true).unwrap();
                Client::over_tcp(site.way, tcp).await
            }
            Version::H3 => Client::over_quic(site.way, endpoint, site.address).await,
        }
    }

    /// What one of a batch takes.
    async fn batch(&self, endpoint: &quinn::Endpoint, site: &Site) -> Spent {
        let mut clients = Vec::new();
        if !site.way.connects() {
            let server = Arc::clone(&site.server);
            self.run(move || server.withdraw()).await;
            for _ in 0..BATCH {
                let mut client = self.connect(endpoint, site).await;
                client.warm_up().await;
                clients.push(client);
            }
        }
        let before = self.spent().await;
        if site.way.connects() {
            for _ in 0..BATCH {
                let mut client = self.connect(endpoint, site).await;
                client.proceed().await;
                clients.push(client);
            }
        } else {
            let server = Arc::clone(&site.server);
            self.run(move || server.offer()).await;
            for client in &mut clients {
                client.proceed().await;
            }
        }
        let after = self.spent().await;
        Spent {
            server: (after.server - before.server) / BATCH as f64,
            client: (after.client - before.client) / BATCH as f64,
        }
    }
}

/// Serves in the background.
async fn listen(version: Version, way: Way) -> Site {
    let any = (Ipv4Addr::LOCALHOST, 0);
    let server = Server::new(version, way);
    let serving = server.clone();
    let address = match version {
        Version::H2 => {
            let listener = TcpListener::bind(any).await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(async move {
                while let Ok((tcp, _)) = listener.accept().await {
                    tcp.set_nodelay(true).unwrap();
                    tokio::spawn(serving.clone().serve_h2(tcp));
                }
            });
            address
        }
        Version::H3 => {
            let endpoint = quinn::Endpoint::server(server.quic_config(), any.into()).unwrap();
            let address = endpoint.local_addr().unwrap();
            tokio::spawn(serving.serve_h3(endpoint));
            address
        }
    };
    Site { way, server: Arc::new(server), address }
}

fn cpu_micros() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
