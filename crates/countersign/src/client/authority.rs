//! For which origins beside its own a client may use a connection: server draft, sections 3.2 and 7.1;
//! RFC 9113, section 9.1.1; RFC 8336.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::{Origin, origin_frame};
use crate::BoxFuture;
use crate::names::covers;

/// Looks up where an origin is reached.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses to connect to for `origin`.
    fn resolve(&self, origin: &Origin) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>>;
}

/// Looks names up as the operating system does.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, origin: &Origin) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        let target = (origin.host().to_owned(), origin.port());
        Box::pin(async move { Ok(tokio::net::lookup_host(target).await?.collect()) })
    }
}

/// When DNS has to agree before a connection is used for a further origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DnsRule {
    /// Always. A stolen certificate alone then moves no traffic.
    #[default]
    Always,
    /// Unless the server claims the origin in an ORIGIN frame (RFC 8336, section 2.4).
    UnlessClaimed,
    /// Never.
    Never,
}

/// How a client uses the further certificates of servers. Shared by its connections.
#[derive(Clone)]
pub struct AuthorityRules {
    pub(super) verifier: Arc<dyn ServerCertVerifier>,
    resolver: Arc<dyn Resolve>,
    dns: DnsRule,
}

impl AuthorityRules {
    /// Accepts what `verifier` accepts, which must be the one of the TLS configuration: its signature
    /// schemes are what the ClientHello offered. Names are looked up as the system does, always.
    pub fn new(verifier: Arc<dyn ServerCertVerifier>) -> Self {
        Self { verifier, resolver: Arc::new(SystemResolver), dns: DnsRule::Always }
    }

    /// Looks names up otherwise.
    pub fn resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// When to ask DNS. Default [`DnsRule::Always`].
    pub fn dns(mut self, dns: DnsRule) -> Self {
        self.dns = dns;
        self
    }
}

impl fmt::Debug for AuthorityRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorityRules").field("dns", &self.dns).finish_non_exhaustive()
    }
}

/// Why a connection cannot be used for an origin. Another connection can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAuthoritative {
    /// The connection ended, or the client takes no further certificates.
    #[error("the connection cannot be used for a further origin")]
    Unavailable,
    /// The connection leads to another port.
    #[error("the connection leads to another port")]
    OtherPort,
    /// The server has said that it will not answer for the origin (421).
    #[error("the server has answered 421 (Misdirected Request) for the origin")]
    Misdirected,
    /// The server has said which origins it answers for (ORIGIN), and this is none of them.
    #[error("the origin is not in the server's origin set")]
    NotInOriginSet,
    /// No certificate that was shown on the connection is valid for the name.
    #[error("no certificate on the connection is valid for the name")]
    NotCertified,
    /// The name cannot be looked up.
    #[error("the name cannot be looked up: {0}")]
    Lookup(String),
    /// The name leads elsewhere.
    #[error("the name does not lead to the connection's address")]
    OtherAddress,
}

/// How long an origin that was found in order is not looked into again.
const TRUSTED_FOR: Duration = Duration::from_secs(60);
/// How many further certificates a connection keeps; the oldest gives way.
const MAX_CERTIFICATES: usize = 64;
/// How many origins are remembered in each of the lists that a server can make grow.
const MAX_ORIGINS: usize = 1024;

/// A connection's state of this, without any waiting.
pub(super) struct Authority {
    own: Origin,
    remote: Option<SocketAddr>,
    /// End entity first. The handshake's comes first.
    chains: Vec<Arc<[CertificateDer<'static>]>>,
    origin_set: Option<HashSet<Origin>>,
    misdirected: HashSet<Origin>,
    admitted: HashMap<Origin, UnixTime>,
}

/// What the connection's own state says of an origin.
pub(super) enum Verdict {
    Admitted,
    Refused(NotAuthoritative),
    /// Chains to be verified, and whether the server claims the origin; then, perhaps, DNS.
    Verify {
        chains: Vec<Arc<[CertificateDer<'static>]>>,
        claimed: bool,
    },
}

impl Authority {
    pub(super) fn new(
        own: Origin,
        remote: Option<SocketAddr>,
        handshake: &[CertificateDer<'static>],
    ) -> Self {
        Self {
            own,
            remote,
            chains: vec![handshake.into()],
            origin_set: None,
            misdirected: HashSet::new(),
            admitted: HashMap::new(),
        }
    }

    pub(super) fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// Keeps a chain whose key the server has proven to hold.
    pub(super) fn add(&mut self, chain: &[CertificateDer<'static>]) {
        self.chains.retain(|known| known.first() != chain.first());
        self.chains.push(chain.into());
        if self.chains.len() > MAX_CERTIFICATES + 1 {
            self.chains.remove(1);
        }
    }

    /// Takes in an ORIGIN frame: the first one makes the origin set (RFC 8336, section 2.3).
    pub(super) fn claim(&mut self, payload: &[u8]) {
        let own = self.own.clone();
        let set = self.origin_set.get_or_insert_with(|| HashSet::from([own]));
        for origin in origin_frame::read(payload) {
            if set.len() >= MAX_ORIGINS {
                break;
            }
            set.insert(origin);
        }
        let set = &*set;
        self.admitted.retain(|origin, _| set.contains(origin));
    }

    /// The server will not answer for `origin` here.
    pub(super) fn misdirect(&mut self, origin: Origin) {
        self.admitted.remove(&origin);
        if let Some(set) = &mut self.origin_set {
            set.remove(&origin);
        }
        if self.misdirected.len() < MAX_ORIGINS {
            self.misdirected.insert(origin);
        }
    }

    pub(super) fn admit(&mut self, origin: Origin, now: UnixTime) {
        if self.admitted.len() >= MAX_ORIGINS {
            self.admitted.clear();
        }
        self.admitted.insert(origin, now);
    }

    pub(super) fn judge(&self, origin: &Origin, now: UnixTime) -> Verdict {
        if self.misdirected.contains(origin) {
            return Verdict::Refused(NotAuthoritative::Misdirected);
        }
        if *origin == self.own {
            return Verdict::Admitted;
        }
        if origin.port() != self.own.port() {
            return Verdict::Refused(NotAuthoritative::OtherPort);
        }
        let claimed = self.origin_set.as_ref().map(|set| set.contains(origin));
        if claimed == Some(false) {
            return Verdict::Refused(NotAuthoritative::NotInOriginSet);
        }
        let fresh =
            |at: &UnixTime| now.as_secs().saturating_sub(at.as_secs()) < TRUSTED_FOR.as_secs();
        if self.admitted.get(origin).is_some_and(fresh) {
            return Verdict::Admitted;
        }
        // The newest first: it is the one that was renewed.
        let is_for = |chain: &&Arc<[CertificateDer<'static>]>| {
            chain.first().is_some_and(|leaf| covers(leaf, origin.host()))
        };
        let chains: Vec<_> = self.chains.iter().rev().filter(is_for).cloned().collect();
        if chains.is_empty() {
            return Verdict::Refused(NotAuthoritative::NotCertified);
        }
        Verdict::Verify { chains, claimed: claimed.unwrap_or(false) }
    }
}

impl AuthorityRules {
    /// Whether the verifier accepts `chain` for `name`, now.
    pub(super) fn accepts(
        &self,
        chain: &[CertificateDer<'static>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let Some((leaf, rest)) = chain.split_first() else {
            return Err(rustls::Error::NoCertificatesPresented);
        };
        self.verifier.verify_server_cert(leaf, rest, name, &[], now).map(drop)
    }

    /// Whether one of the chains is good for `origin`, and DNS agrees where it is asked.
    pub(super) async fn decide(
        &self,
        origin: &Origin,
        chains: &[Arc<[CertificateDer<'static>]>],
        claimed: bool,
        remote: Option<SocketAddr>,
        now: UnixTime,
    ) -> Result<(), NotAuthoritative> {
        let name = origin.server_name().map_err(|_| NotAuthoritative::NotCertified)?;
        if !chains.iter().any(|chain| self.accepts(chain, &name, now).is_ok()) {
            return Err(NotAuthoritative::NotCertified);
        }
        let ask = match self.dns {
            DnsRule::Always => true,
            DnsRule::UnlessClaimed => !claimed,
            DnsRule::Never => false,
        };
        if !ask {
            return Ok(());
        }
        let remote = remote.ok_or(NotAuthoritative::OtherAddress)?;
        let addresses = self.resolver.resolve(origin).await;
        let addresses = addresses.map_err(|error| NotAuthoritative::Lookup(error.to_string()))?;
        let same = |address: &SocketAddr| {
            canonical(address.ip()) == canonical(remote.ip()) && address.port() == remote.port()
        };
        if addresses.iter().any(same) { Ok(()) } else { Err(NotAuthoritative::OtherAddress) }
    }
}

/// An IPv4 address is the same as an IPv6 socket sees it.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
