//! What a configuration comes to, as one value that a reload replaces.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use countersign::h3;
use countersign::server::{Acceptor, AuthConfig, ServerCertificates, VerificationPool};
use countersign_trust::{ChainStats, RevocationList, VerifiedChains};
use http::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::watch;

use crate::caller::{names_in, parse};
use crate::certificates::offers;
use crate::config::Config;
use crate::connection::Shared;
use crate::credential::Credential;
use crate::headers::Via;
use crate::limits::Limits;
use crate::names::Name;
use crate::refusals::Meters;
use crate::server::{GatewayError, KEEP_ALIVE, MAX_FRAME};
use crate::upstream::Upstreams;
use crate::{handshake, quic};

/// One configuration, ready to be served.
pub(crate) struct State {
    /// What requests need, of connections that are there too.
    pub(crate) shared: Arc<Shared>,
    /// For new connections over TCP.
    pub(crate) acceptor: Acceptor,
    /// For new connections over QUIC, if there are any.
    pub(crate) http3: Option<h3::Acceptor>,
    auth: Arc<AuthConfig>,
    revocation_lists: Vec<(Arc<str>, Arc<RevocationList>)>,
    chains: Arc<VerifiedChains>,
}

impl State {
    /// The revocation lists, each with the credential that it is for.
    pub(crate) fn revocation_lists(&self) -> impl Iterator<Item = (&str, &RevocationList)> {
        self.revocation_lists.iter().map(|(credential, list)| (&**credential, &**list))
    }

    /// The chains that are remembered as verified.
    pub(crate) fn chains(&self) -> &VerifiedChains {
        &self.chains
    }

    /// A list of which `previous` had a later issue.
    fn outdated_list(&self, previous: &Self) -> Option<&RevocationList> {
        previous.revocation_lists().find_map(|(_, old)| {
            let mut successors = self
                .revocation_lists
                .iter()
                .map(|(_, list)| &**list)
                .filter(|list| old.is_in_line_with(list))
                .peekable();
            let first = *successors.peek()?;
            successors.all(|list| old.is_ahead_of(list)).then_some(first)
        })
    }

    /// Finds the counters of all routes.
    fn count_by(&self, meters: &Meters) {
        let requests = &meters.traffic.requests;
        requests.keep(self.shared.routes.iter().map(|route| route.path.as_str()));
        for route in self.shared.routes.iter() {
            let _again = route.meter.set(requests.route(&route.path));
        }
    }

    /// Does all that can fail. `udp` is where HTTP/3 is served; `previous` is what will be replaced.
    pub(crate) fn new(
        config: &Config,
        udp: Option<SocketAddr>,
        certificates: Arc<ServerCertificates>,
        pool: VerificationPool,
        previous: Option<&Self>,
    ) -> Result<Self, GatewayError> {
        let limits = config.limits;
        let auth = Arc::new(handshake::auth(config, Arc::clone(&certificates), pool)?);
        let http3 = match udp {
            Some(_) => {
                let tls = quic::tls(handshake::tls(config)?);
                let server = quic::server_config(Arc::clone(&tls), &limits)?;
                let acceptor = h3::Acceptor::new(Arc::clone(&auth)).tls(server, tls);
                let acceptor = acceptor.max_field_section_size(limits.header_bytes.into());
                Some(acceptor.websocket(true))
            }
            None => None,
        };
        let proxy_name = proxy_name(config);
        let shared = Arc::new(Shared {
            upstreams: Upstreams::new(
                &config.routes,
                previous.map(|state| &state.shared.upstreams),
            ),
            routes: config.routes.clone(),
            certificates,
            via: Via::new(&proxy_name),
            proxy_name,
            alt_svc: udp.and_then(|udp| alt_svc(udp.port())),
            http1: http1(limits),
            http2: http2(limits),
            limits,
        });
        let acceptor = Acceptor::new(Arc::new(handshake::tls(config)?), Arc::clone(&auth));
        let lists = |credential: &Credential| {
            let name = Arc::clone(&credential.name);
            let lists = credential.revocation_lists.clone();
            lists.into_iter().map(move |list| (Arc::clone(&name), list))
        };
        let revocation_lists = config.credentials.iter().flat_map(lists).collect();
        let chains = Arc::clone(&config.chains);
        Ok(Self { shared, acceptor, http3, auth, revocation_lists, chains })
    }
}

/// What is served now, and what connections of before go by.
pub(crate) struct Live {
    current: ArcSwap<State>,
    /// What clients are offered, of all configurations.
    certificates: Arc<ServerCertificates>,
    /// Where proofs are verified, for all configurations.
    pool: VerificationPool,
    meters: Meters,
    /// What became of lookups under earlier configurations.
    chains: Mutex<ChainStats>,
    /// The rules for asking of earlier configurations that still have connections.
    earlier: Mutex<Vec<Weak<AuthConfig>>>,
    /// Told of each replacement.
    replaced: watch::Sender<()>,
}

impl Live {
    pub(crate) fn new(config: &Config, udp: Option<SocketAddr>) -> Result<Self, GatewayError> {
        let certificates = Arc::new(ServerCertificates::new(offers(&config.certificates)));
        let (meters, pool) = <(Meters, VerificationPool)>::default();
        let state = State::new(config, udp, Arc::clone(&certificates), pool.clone(), None)?;
        state.count_by(&meters);
        meters.audit.switch(meters.audit.open(config.audit.as_ref())?);
        let current = ArcSwap::from_pointee(state);
        let (earlier, replaced) = (Mutex::default(), watch::Sender::default());
        let chains = Mutex::default();
        Ok(Self { current, certificates, pool, meters, chains, earlier, replaced })
    }

    /// Changes with each configuration from now on.
    pub(crate) fn replaced(&self) -> watch::Receiver<()> {
        self.replaced.subscribe()
    }

    /// How much waits to be verified.
    pub(crate) fn waiting(&self) -> usize {
        self.pool.waiting()
    }

    /// What became of lookups of chains, over all configurations.
    pub(crate) fn chain_stats(&self) -> ChainStats {
        let before = *self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        before.and(self.current.load().chains.stats())
    }

    /// What is counted, over all configurations.
    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    pub(crate) fn state(&self) -> Arc<State> {
        self.current.load_full()
    }

    /// What requests go by from now on.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.current.load().shared)
    }

    /// Goes over to another configuration, for live connections too; on an error nothing changes.
    /// Returns how many identities are gone by that.
    ///
    /// Verifies the chains of all identities that are held, so it may take some time.
    pub(crate) fn replace(
        &self,
        config: &Config,
        udp: Option<SocketAddr>,
    ) -> Result<usize, GatewayError> {
        let (certificates, pool) = (Arc::clone(&self.certificates), self.pool.clone());
        let state = State::new(config, udp, certificates, pool, Some(&self.state()))?;
        if let Some(list) = state.outdated_list(&self.state()) {
            return Err(GatewayError::OutdatedRevocationList { file: list.label().to_owned() });
        }
        let audit = self.meters.audit.open(config.audit.as_ref())?;
        state.count_by(&self.meters);
        let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        earlier.push(Arc::downgrade(&self.current.load().auth));
        earlier.retain(|auth| auth.strong_count() > 0);
        // No request goes by the new routes with an identity that the new trust does not grant. The new rules
        // for asking were just made of the same credentials, so this does not fail half-way.
        let mut lost = 0;
        for auth in earlier.iter().filter_map(Weak::upgrade) {
            lost += auth.replace_credentials(handshake::kinds(config))?;
        }
        self.certificates.replace(offers(&config.certificates));
        let previous = self.current.swap(Arc::new(state));
        let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        *chains = chains.and(previous.chains.stats());
        drop(chains);
        previous.shared.upstreams.retire(&self.shared().upstreams);
        self.meters.audit.switch(audit);
        self.replaced.send_replace(());
        Ok(lost)
    }
}

/// Tells clients on TCP of HTTP/3 on the same host, for a day.
fn alt_svc(port: u16) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("h3=\":{port}\"; ma=86400")).ok()
}

fn http1(limits: Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        .max_buf_size(limits.header_bytes as usize);
    builder
}

fn http2(limits: Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_frame_size(MAX_FRAME)
        .max_header_list_size(limits.header_bytes)
        .max_concurrent_streams(limits.streams)
        .enable_connect_protocol();
    builder
}

/// The first host name in the server's default certificate: it says which deployment answered, and tells
/// nobody anything new.
fn proxy_name(config: &Config) -> String {
    let first_host = || {
        let certificate = parse(config.certificates.first()?.key.cert.first()?).ok()?;
        names_in(&certificate).ok()?.into_iter().find_map(|name| match name {
            Name::Host(host) => Some(host),
            Name::Mailbox(_) | Name::Uri(_) => None,
        })
    };
    first_host().unwrap_or_else(|| "gateway".to_owned())
}
