//! Clients of the soak: they come, ask for this and that, give up half-way, and go, in one way or the other.
//!
//! Each knows what it has to get by what it can prove. Whatever else it gets is told in the end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use countersign::client::{AuthConfig, Handshaker, Origin, StaticCredentials};
use countersign::h3;
use exported_authenticator::Credential;
use h2::client::SendRequest;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::Resumption;
use rustls::{ClientConfig, version};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{Instant, sleep_until, timeout};

use crate::client::{exchange, provider};
use crate::pki::{self, HOST};

/// What takes longer hangs; longer than the gateway waits for anything.
const STUCK: Duration = Duration::from_secs(40);
/// What is told of each kind of surprise.
const EXAMPLES: usize = 5;

/// Whom a visitor can prove to be, and what it gets for that: nothing but a response, or a refusal.
#[derive(Debug)]
struct Kind {
    identities: &'static [&'static str],
    limit: u32,
    device: Option<&'static str>,
    admin: Option<&'static str>,
    /// In so many of all visits.
    share: usize,
}

const fn with_device(user: &'static [&'static str], admin: Option<&'static str>) -> Kind {
    Kind { identities: user, limit: 4, device: None, admin, share: 8 }
}

const KINDS: [Kind; 7] = [
    Kind { share: 40, ..with_device(&["device", "alice"], None) },
    Kind { share: 20, ..with_device(&["device"], Some("credential-declined")) },
    with_device(&["device", "bob"], Some("not-allowed")),
    with_device(&["device", "expired"], Some("credential-expired")),
    with_device(&["device", "revoked"], Some("credential-revoked")),
    Kind {
        identities: &[],
        limit: 4,
        device: Some("credential-declined"),
        admin: Some("credential-declined"),
        share: 8,
    },
    Kind {
        identities: &[],
        limit: 0,
        device: Some("credential-missing"),
        admin: Some("credential-missing"),
        share: 8,
    },
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    address: SocketAddr,
    files: PathBuf,
    /// Visitors at a time; every third one comes over HTTP/3
    visitors: usize,
}

/// Prints what has happened, in JSON, once standard input has something.
pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let kinds =
        KINDS.iter().map(|kind| Dressed::new(kind, args)).collect::<anyhow::Result<Vec<_>>>()?;
    let site = Rc::new(Site {
        address: args.address,
        endpoint: quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?,
        kinds,
        told: RefCell::default(),
    });
    let (stop, stopped) = watch::channel(false);
    let tasks = LocalSet::new();
    for number in 0..args.visitors {
        let (site, stopped) = (Rc::clone(&site), stopped.clone());
        tasks.spawn_local(async move { site.visit_again_and_again(number, stopped).await });
    }
    tasks
        .run_until(async {
            let _asked = tokio::io::stdin().read(&mut [0]).await?;
            stop.send_replace(true);
            anyhow::Ok(())
        })
        .await?;
    tasks.await;
    site.endpoint.wait_idle().await;
    println!("{}", site.told.borrow().json());
    Ok(())
}

/// What has happened.
#[derive(Debug, Default)]
struct Told {
    counts: BTreeMap<String, u64>,
    surprises: BTreeMap<String, Vec<String>>,
}

impl Told {
    fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    fn surprise(&mut self, kind: &str, text: String) {
        self.count(&format!("surprise: {kind}"));
        let examples = self.surprises.entry(kind.to_owned()).or_default();
        if examples.len() < EXAMPLES {
            examples.push(text);
        }
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({ "counts": self.counts, "surprises": self.surprises })
    }
}

/// Numbers that look random and are the same for the same visitor (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((it ^ (it >> 31)) % limit.max(1) as u64) as usize
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.below(1_000) as f64 / 1_000.0)
    }
}

/// A kind with all that its connections share.
struct Dressed {
    kind: &'static Kind,
    tcp: Handshaker,
    quic: h3::Handshaker,
}

impl Dressed {
    fn new(kind: &'static Kind, args: &Args) -> anyhow::Result<Self> {
        let provider = Arc::new(provider());
        let mut shown = StaticCredentials::new();
        for name in kind.identities {
            let (chain, key) = pki::identity(&args.files, name)?;
            let credential = Credential::load(&provider, chain, key)?;
            shown = shown.identity(Origin::new(HOST, 443), credential);
        }
        let mut tls = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13])?
            .with_root_certificates(pki::roots(&args.files, "server")?)
            .with_no_client_auth();
        tls.resumption = Resumption::disabled();
        let rules =
            AuthConfig::builder(provider).resolver(Arc::new(shown)).limit(kind.limit).build()?;
        let rules = Arc::new(rules);
        let mut over_tcp = tls.clone();
        over_tcp.alpn_protocols = vec![b"h2".to_vec()];
        tls.alpn_protocols = vec![h3::ALPN_H3.to_vec()];
        let quic = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        Ok(Self {
            kind,
            tcp: Handshaker::new(Arc::new(over_tcp), Arc::clone(&rules)),
            quic: h3::Handshaker::new(quic, rules),
        })
    }
}

struct Site {
    address: SocketAddr,
    endpoint: quinn::Endpoint,
    kinds: Vec<Dressed>,
    told: RefCell<Told>,
}

/// A live connection.
#[derive(Clone)]
enum Sender {
    Http2(SendRequest<Bytes>),
    Http3(h3::Client),
}

impl Sender {
    /// The status, and the body if it is no 200.
    async fn get(&self, path: &str) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        match self {
            Self::Http2(send) => exchange(send, path).await,
            Self::Http3(client) => {
                let uri = format!("https://{HOST}{path}");
                let request = Request::get(uri).body(Empty::<Bytes>::new())?;
                let response = client.clone().send(request).await?;
                let status = response.status();
                let body = response.into_body().collect().await?.to_bytes();
                Ok((status, if status == StatusCode::OK { Vec::new() } else { body.into() }))
            }
        }
    }
}

impl Site {
    async fn visit_again_and_again(&self, number: usize, mut stopped: watch::Receiver<bool>) {
        let mut dice = Dice(number as u64);
        let is_http3 = number % 3 == 2;
        // They do not all come at once.
        self.pause(&mut dice, Duration::from_secs(8), &mut stopped).await;
        while !*stopped.borrow() {
            let Some(dressed) = self.choose(&mut dice) else { return };
            let (sender, driver) = match timeout(STUCK, self.open(dressed, is_http3)).await {
                Ok(Ok(opened)) => opened,
                Ok(Err(error)) => {
                    self.told.borrow_mut().surprise("no connection", format!("{error:#}"));
                    self.pause(&mut dice, Duration::from_secs(1), &mut stopped).await;
                    continue;
                }
                Err(_) => {
                    self.told.borrow_mut().surprise("stuck", "a handshake".into());
                    continue;
                }
            };
            let version = if is_http3 { "HTTP/3" } else { "HTTP/2" };
            self.told.borrow_mut().count(&format!("{version} connections"));
            for _ in 0..=dice.below(6) {
                self.pause(&mut dice, Duration::from_secs(8), &mut stopped).await;
                if *stopped.borrow() {
                    break;
                }
                self.act(&sender, dressed.kind, version, &mut dice).await;
            }
            self.leave(sender, driver, &mut dice).await;
        }
    }

    fn choose(&self, dice: &mut Dice) -> Option<&Dressed> {
        let mut left = dice.below(self.kinds.iter().map(|dressed| dressed.kind.share).sum());
        self.kinds.iter().find(|dressed| match left.checked_sub(dressed.kind.share) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
    }

    async fn pause(&self, dice: &mut Dice, most: Duration, stopped: &mut watch::Receiver<bool>) {
        let until = Instant::now() + dice.up_to(most);
        tokio::select! {
            () = sleep_until(until) => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    async fn open(
        &self,
        dressed: &Dressed,
        is_http3: bool,
    ) -> anyhow::Result<(Sender, Option<JoinHandle<()>>)> {
        let origin = Origin::new(HOST, 443);
        if is_http3 {
            let (client, _) = dressed.quic.connect(&self.endpoint, self.address, origin).await?;
            return Ok((Sender::Http3(client), None));
        }
        let io = TcpStream::connect(self.address).await.context("connect")?;
        io.set_nodelay(true)?;
        let (stream, _) = dressed.tcp.connect(io, origin).await.context("handshake")?;
        let (send, connection) = h2::client::handshake(stream).await?;
        let driver = tokio::task::spawn_local(async move { drop(connection.await) });
        Ok((Sender::Http2(send), Some(driver)))
    }

    async fn act(&self, sender: &Sender, kind: &Kind, version: &str, dice: &mut Dice) {
        match dice.below(12) {
            0..=2 => self.ask(sender, "/public/1k", None, version).await,
            3..=5 => self.ask(sender, "/device/1k", kind.device, version).await,
            6 | 7 => self.ask(sender, "/admin/1k", kind.admin, version).await,
            8 => self.ask(sender, "/device/1m", kind.device, version).await,
            9 => {
                // All at once, while the credentials are still to be asked for, perhaps.
                tokio::join!(
                    self.ask(sender, "/admin/1k", kind.admin, version),
                    self.ask(sender, "/device/1k", kind.device, version),
                    self.ask(sender, "/public/1k", None, version),
                    self.ask(sender, "/admin/1k", kind.admin, version),
                );
            }
            _ => {
                // Given up on the way; what comes of it is nobody's business.
                let path = ["/admin/1k", "/device/1k", "/device/1m"];
                let path = path.get(dice.below(path.len())).copied().unwrap_or("/admin/1k");
                let _given_up =
                    timeout(dice.up_to(Duration::from_millis(20)), sender.get(path)).await;
                self.told.borrow_mut().count(&format!("{version} requests given up"));
            }
        }
    }

    /// A GET that has to be answered, or refused for this reason.
    async fn ask(&self, sender: &Sender, path: &str, refusal: Option<&str>, version: &str) {
        let outcome = timeout(STUCK, sender.get(path)).await;
        let mut told = self.told.borrow_mut();
        match outcome {
            Ok(Ok((status, body))) => {
                let reason = refusal_of(&body);
                let is_expected = match refusal {
                    None => status == StatusCode::OK,
                    Some(expected) => {
                        status == StatusCode::FORBIDDEN && reason.as_deref() == Some(expected)
                    }
                };
                if is_expected {
                    told.count(&format!("{version} {}", refusal.unwrap_or("answered")));
                } else {
                    let body = String::from_utf8_lossy(&body);
                    let text = format!("{version} {path}: {status} {body}, not {refusal:?}");
                    told.surprise("another answer", text);
                }
            }
            Ok(Err(error)) => told.surprise("no answer", format!("{version} {path}: {error:#}")),
            Err(_) => told.surprise("stuck", format!("{version} {path}")),
        }
    }

    /// Properly, or in the middle of something.
    async fn leave(&self, sender: Sender, driver: Option<JoinHandle<()>>, dice: &mut Dice) {
        let is_abrupt = dice.below(3) == 0;
        if is_abrupt {
            let _given_up =
                timeout(dice.up_to(Duration::from_millis(5)), sender.get("/admin/1k")).await;
            self.told.borrow_mut().count("connections cut off");
        }
        if let (Sender::Http3(client), true) = (&sender, is_abrupt) {
            client.quic().close(0x10c_u32.into(), b"");
        }
        drop(sender);
        if let Some(mut driver) = driver {
            if is_abrupt {
                driver.abort();
            } else if timeout(STUCK, &mut driver).await.is_err() {
                driver.abort();
                self.told.borrow_mut().surprise("stuck", "the end of a connection".into());
            }
        }
    }
}

/// The last part of the problem's `type`.
fn refusal_of(body: &[u8]) -> Option<String> {
    let problem: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(problem.get("type")?.as_str()?.strip_prefix("urn:countersign:")?.to_owned())
}

/// The reasons for which visitors have to be refused.
pub(crate) fn refusals() -> impl Iterator<Item = &'static str> {
    KINDS.iter().flat_map(|kind| [kind.device, kind.admin]).flatten()
}

/// Whether the files of a PKI that `countersign pki init` makes are there.
pub(crate) fn check(files: &Path) -> anyhow::Result<()> {
    for name in KINDS.iter().flat_map(|kind| kind.identities) {
        pki::identity(files, name).with_context(|| format!("the identity {name}"))?;
    }
    Ok(())
}
