//! For which origins beside its own a client may use a connection: server draft, sections 3.2 and 7.1;
//! RFC 9113, section 9.1.1; RFC 8336.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use exported_authenticator::{Proven, Verified};
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
    //= specs/server-certs.md#decisions
    //# (ours) The user of a client MAY switch the check of DNS off, either entirely or for the
    //# origins that ORIGIN claims.
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
//= specs/server-certs.md#section-5.1
//# In HTTP/2 a certificate MUST be taken to hold for the connection and not for a stream.
//= specs/server-certs.md#section-5.2
//# In HTTP/3 a certificate MUST be taken to hold for the connection and not for a stream.
//= specs/server-certs.md#section-7.1
//= type=implication
//# A client MUST NOT conclude from two origins having shared a server that they will be reached at
//# the same endpoints again.
//= specs/server-certs.md#decisions
//# (ours) Secondary certificates MUST end with their connection, so that nothing of them survives
//# resumption.
pub(super) struct Authority {
    own: Origin,
    remote: Option<SocketAddr>,
    /// The handshake's comes first.
    chains: Vec<Arc<Shown>>,
    origin_set: Option<HashSet<Origin>>,
    misdirected: HashSet<Origin>,
    /// There were more than can be remembered, so the connection is used for no other origin any more.
    misleading: bool,
    admitted: HashMap<Origin, UnixTime>,
}

/// A chain that the server has shown, and proven to hold the key of.
pub(super) struct Shown {
    /// End entity first.
    chain: Vec<CertificateDer<'static>>,
    /// The response that was stapled to the first, if there was one.
    ocsp: Vec<u8>,
    /// For which host, and when, the verifier has accepted it on its arrival.
    accepted: Option<(String, UnixTime)>,
}

impl Shown {
    fn in_handshake(chain: &[CertificateDer<'static>]) -> Self {
        // rustls verifies a stapled response and tells nobody of it.
        Self { chain: chain.to_vec(), ocsp: Vec::new(), accepted: None }
    }

    /// What the verifier has accepted for `host`.
    fn secondary(verified: &Verified, host: String, now: UnixTime) -> Self {
        let ocsp = verified.proven().ocsp_response().to_vec();
        Self { chain: verified.chain().to_vec(), ocsp, accepted: Some((host, now)) }
    }

    fn was_accepted_for(&self, host: &str, now: UnixTime) -> bool {
        self.accepted.as_ref().is_some_and(|(known, at)| known == host && is_fresh(*at, now))
    }
}

/// What the connection's own state says of an origin.
pub(super) enum Verdict {
    Admitted,
    Refused(NotAuthoritative),
    /// Chains to be verified, and whether the server claims the origin; then, perhaps, DNS.
    Verify {
        chains: Vec<Arc<Shown>>,
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
            //= specs/server-certs.md#section-7.1
            //# A client MUST NOT take secondary certificates of an earlier connection as validated
            //# after TLS session resumption.
            chains: vec![Arc::new(Shown::in_handshake(handshake))],
            origin_set: None,
            misdirected: HashSet::new(),
            misleading: false,
            admitted: HashMap::new(),
        }
    }

    pub(super) fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// Keeps a chain whose key the server has proven to hold.
    //= specs/server-certs.md#section-1.1
    //# A client MAY connect with a general certificate and learn within the encrypted connection
    //# the one that it is after.
    //= specs/server-certs.md#section-1.2
    //# A chain whose authenticator was verified MAY join the certificates that are at hand for the
    //# connection.
    //= specs/server-certs.md#section-7.4
    //# A client MUST be ready for its set of validated certificates to change while a request is
    //# under way, more than once.
    pub(super) fn add(&mut self, shown: Shown) {
        self.chains.retain(|known| known.chain.first() != shown.chain.first());
        //= specs/server-certs.md#section-3
        //# A client that was given a chain with its proof MUST keep it at hand for later requests
        //# on the connection.
        self.chains.push(Arc::new(shown));
        //= specs/server-certs.md#decisions
        //# (ours) A client MUST keep at most 64 further chains of a connection, of which the oldest
        //# gives way.
        if self.chains.len() > MAX_CERTIFICATES + 1 {
            self.chains.remove(1);
        }
    }

    /// Takes in an ORIGIN frame: the first one makes the origin set (RFC 8336, section 2.3).
    pub(super) fn claim(&mut self, payload: &[u8]) {
        let port = self.remote.map_or(self.own.port(), |remote| remote.port());
        let initial = Origin::new(self.own.host(), port);
        //= specs/server-certs.md#origin-http2
        //# The first ORIGIN frame that is processed MUST begin the Origin Set with the initial
        //# origin.
        //= specs/server-certs.md#origin-http2
        //# The port of the initial origin MUST be the port that the connection has at the server,
        //# also where an alternative service led there.
        let set = self.origin_set.get_or_insert_with(|| HashSet::from([initial]));
        for origin in origin_frame::read(payload) {
            //= specs/server-certs.md#decisions
            //# (ours) An Origin Set MUST NOT grow beyond 1,024 origins.
            if set.len() >= MAX_ORIGINS {
                break;
            }
            //= specs/server-certs.md#origin-http2
            //# Each ORIGIN frame MUST add its origins to the Origin Set and take none away.
            set.insert(origin);
        }
        let set = &*set;
        self.admitted.retain(|origin, _| set.contains(origin));
    }

    /// The server will not answer for `origin` here.
    pub(super) fn misdirect(&mut self, origin: Origin) {
        self.admitted.remove(&origin);
        //= specs/server-certs.md#origin-http2
        //# The origin of a request that is answered with status 421 MUST be removed from the Origin
        //# Set.
        if let Some(set) = &mut self.origin_set {
            set.remove(&origin);
        }
        //= specs/server-certs.md#decisions
        //# (ours) Status 421 MUST take the request's origin from the connection, with an Origin Set
        //# and without.
        if self.misdirected.len() < MAX_ORIGINS {
            self.misdirected.insert(origin);
        } else {
            self.misleading = true;
        }
    }

    pub(super) fn admit(&mut self, origin: Origin, now: UnixTime) {
        if self.admitted.len() >= MAX_ORIGINS {
            self.admitted.clear();
        }
        self.admitted.insert(origin, now);
    }

    //= specs/server-certs.md#section-3.2
    //# A client MAY take a certificate into account without anything further from the server.
    //= specs/server-certs.md#section-5
    //# A client MAY request resources of the new origins as soon as it has received
    //# SERVER_CERTIFICATE.
    //= specs/server-certs.md#section-7.4
    //# A client that relies on certificates MUST be able to judge anew whether a request is
    //# authorised when that set has changed.
    pub(super) fn judge(&self, origin: &Origin, now: UnixTime) -> Verdict {
        if self.misdirected.contains(origin) {
            return Verdict::Refused(NotAuthoritative::Misdirected);
        }
        //= specs/server-certs.md#origin-http2
        //# A client MUST NOT take a connection as authoritative for an origin outside of its Origin
        //# Set once that has begun.
        let claimed = self.origin_set.as_ref().map(|set| set.contains(origin));
        if *origin == self.own {
            return match claimed {
                Some(false) => Verdict::Refused(NotAuthoritative::NotInOriginSet),
                Some(true) | None => Verdict::Admitted,
            };
        }
        if self.misleading {
            return Verdict::Refused(NotAuthoritative::Misdirected);
        }
        //= specs/server-certs.md#decisions
        //# (ours) A client MUST NOT use a connection for a further origin whose port is another
        //# than that of the connection.
        if origin.port() != self.own.port() {
            return Verdict::Refused(NotAuthoritative::OtherPort);
        }
        //= specs/server-certs.md#origin-http2
        //# Until the first ORIGIN frame has been processed a client MUST follow the rules of RFC
        //# 9113, section 9.1.1, alone.
        //= specs/server-certs.md#origin-http3
        //# In HTTP/3 a client without an Origin Set MUST follow the rules of RFC 9114, section 3.3,
        //# alone.
        //= specs/server-certs.md#decisions
        //# (ours) A client MUST NOT use a connection for a further origin that is missing from the
        //# Origin Set, once the server has sent ORIGIN.
        if claimed == Some(false) {
            return Verdict::Refused(NotAuthoritative::NotInOriginSet);
        }
        if self.admitted.get(origin).is_some_and(|at| is_fresh(*at, now)) {
            return Verdict::Admitted;
        }
        // The newest first: it is the one that was renewed.
        //= specs/server-certs.md#section-1.1
        //# A secondary certificate MUST contain an origin's name among its subject alternative
        //# names to give the server authority for that origin.
        let is_for = |shown: &&Arc<Shown>| {
            shown.chain.first().is_some_and(|leaf| covers(leaf, origin.host()))
        };
        let chains: Vec<_> = self.chains.iter().rev().filter(is_for).cloned().collect();
        //= specs/server-certs.md#origin-http2
        //# A client MUST still have a certificate that passes its checks for the origin's host,
        //# whatever the Origin Set contains.
        //= specs/server-certs.md#origin-http2
        //# A client MUST NOT trust an ORIGIN frame's contents blindly.
        if chains.is_empty() {
            return Verdict::Refused(NotAuthoritative::NotCertified);
        }
        Verdict::Verify { chains, claimed: claimed.unwrap_or(false) }
    }
}

impl AuthorityRules {
    /// Has a chain, whose key the server has proven to hold, judged for `name` for the first time.
    pub(super) fn accept(
        &self,
        proven: Proven,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<Shown, rustls::Error> {
        let verified = proven.verify_server(&*self.verifier, name, now);
        let verified = verified.map_err(|rejected| rejected.reason)?;
        Ok(Shown::secondary(&verified, name.to_str().into_owned(), now))
    }

    /// Whether the verifier accepts a chain, which it has accepted before, for `name`, now.
    //= specs/server-certs.md#section-5.3
    //# A client MAY go on to judge the certificate itself once its authenticator is accepted.
    //= specs/server-certs.md#section-6
    //# A peer that breaks the rules and a certificate that is not acceptable MUST be handled in
    //# different ways.
    //= specs/server-certs.md#section-6.2
    //# A certificate that is expired, revoked or not enough for the request MUST NOT be treated as
    //# an error of a stream or of the connection.
    fn accepts(
        &self,
        shown: &Shown,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let Some((leaf, rest)) = shown.chain.split_first() else {
            return Err(rustls::Error::NoCertificatesPresented);
        };
        //= specs/server-certs.md#section-7
        //# The validation of secondary certificates SHOULD be held to the same standard as that of
        //# the TLS handshake.
        self.verifier.verify_server_cert(leaf, rest, name, &shown.ocsp, now).map(drop)
    }

    /// Whether one of the chains is good for `origin`, and DNS agrees where it is asked.
    pub(super) async fn decide(
        &self,
        origin: &Origin,
        chains: &[Arc<Shown>],
        claimed: bool,
        remote: Option<SocketAddr>,
        now: UnixTime,
    ) -> Result<(), NotAuthoritative> {
        let name = origin.server_name().map_err(|_| NotAuthoritative::NotCertified)?;
        //= specs/server-certs.md#decisions
        //# (ours) A client MUST NOT use a connection for a further origin unless its verifier
        //# accepts a certificate for the name, either the handshake's or a secondary one.
        let is_good = |shown: &Arc<Shown>| {
            shown.was_accepted_for(origin.host(), now) || self.accepts(shown, &name, now).is_ok()
        };
        if !chains.iter().any(is_good) {
            return Err(NotAuthoritative::NotCertified);
        }
        let ask = match self.dns {
            DnsRule::Always => true,
            //= specs/server-certs.md#section-7.1
            //# A client that does not consult DNS SHOULD have other grounds to trust the
            //# certificate, such as an ORIGIN frame.
            //= specs/server-certs.md#origin-http2
            //# A client MAY do without DNS for an origin in the Origin Set.
            DnsRule::UnlessClaimed => !claimed,
            DnsRule::Never => false,
        };
        if !ask {
            return Ok(());
        }
        let remote = remote.ok_or(NotAuthoritative::OtherAddress)?;
        //= specs/server-certs.md#section-7.1
        //# A client SHOULD look up the names of a secondary certificate in DNS where it would do so
        //# for those of the handshake's certificate.
        let addresses = self.resolver.resolve(origin).await;
        let addresses = addresses.map_err(|error| NotAuthoritative::Lookup(error.to_string()))?;
        let same = |address: &SocketAddr| {
            canonical(address.ip()) == canonical(remote.ip()) && address.port() == remote.port()
        };
        //= specs/server-certs.md#decisions
        //# (ours) A client MUST NOT use a connection for a further origin whose name DNS does not
        //# resolve to the connection's address, unless its user switched that check off.
        if addresses.iter().any(same) { Ok(()) } else { Err(NotAuthoritative::OtherAddress) }
    }
}

/// Whether what was found at `at` still counts.
//= specs/server-certs.md#decisions
//# (ours) A verdict about an origin MAY hold for a minute.
fn is_fresh(at: UnixTime, now: UnixTime) -> bool {
    now.as_secs().saturating_sub(at.as_secs()) < TRUSTED_FOR.as_secs()
}

/// An IPv4 address is the same as an IPv6 socket sees it.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> (Origin, Authority) {
        let own = Origin::new("own.test", 443);
        let authority = Authority::new(own.clone(), None, &[b"the handshake's".as_slice().into()]);
        (own, authority)
    }

    #[test]
    fn an_origin_set_has_a_greatest_size() {
        //= specs/server-certs.md#decisions
        //= type=test
        //# (ours) An Origin Set MUST NOT grow beyond 1,024 origins.
        let (own, mut authority) = ours();
        let origin = |number: usize| Origin::new(&format!("{number}.test"), 443);
        let mut payload = Vec::new();
        for number in 0..MAX_ORIGINS {
            let text = origin(number).to_string();
            payload.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
            payload.extend_from_slice(text.as_bytes());
        }
        authority.claim(&payload);
        authority.claim(b"\x00\x13https://another.test");
        assert_eq!(authority.origin_set.as_ref().map(HashSet::len), Some(1024));
        let now = UnixTime::now();
        assert!(matches!(authority.judge(&own, now), Verdict::Admitted));
        // Its own origin takes the first place.
        let last = authority.judge(&origin(1022), now);
        assert!(matches!(last, Verdict::Refused(NotAuthoritative::NotCertified)));
        for beyond in [origin(1023), Origin::new("another.test", 443)] {
            let verdict = authority.judge(&beyond, now);
            assert!(matches!(verdict, Verdict::Refused(NotAuthoritative::NotInOriginSet)));
        }
    }

    #[test]
    fn the_oldest_further_chain_gives_way() {
        //= specs/server-certs.md#decisions
        //= type=test
        //# (ours) A client MUST keep at most 64 further chains of a connection, of which the oldest
        //# gives way.
        let (_, mut authority) = ours();
        for number in 0..=MAX_CERTIFICATES {
            let chain = vec![number.to_be_bytes().to_vec().into()];
            authority.add(Shown { chain, ocsp: Vec::new(), accepted: None });
        }
        let kept: Vec<_> = authority.chains.iter().map(|shown| shown.chain[0].to_vec()).collect();
        let further = (1..=64_usize).map(|number| number.to_be_bytes().to_vec());
        let expected: Vec<_> =
            std::iter::once(b"the handshake's".to_vec()).chain(further).collect();
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_verdict_holds_for_a_minute() {
        //= specs/server-certs.md#decisions
        //= type=test
        //# (ours) A verdict about an origin MAY hold for a minute.
        let (_, mut authority) = ours();
        let other = Origin::new("other.test", 443);
        let at =
            |seconds: u64| UnixTime::since_unix_epoch(Duration::from_secs(1_000_000 + seconds));
        authority.admit(other.clone(), at(0));
        for (seconds, holds) in [(0_u64, true), (59, true), (60, false), (3600, false)] {
            let verdict = authority.judge(&other, at(seconds));
            assert_eq!(matches!(verdict, Verdict::Admitted), holds, "{seconds} seconds later");
        }
    }

    #[test]
    fn a_server_that_misdirects_without_end_is_used_for_nothing_else() {
        let own = Origin::new("own.test", 443);
        let mut authority = Authority::new(own.clone(), None, &[]);
        let (other, now) = (Origin::new("other.test", 443), UnixTime::now());
        for number in 0..=MAX_ORIGINS {
            let verdict = authority.judge(&other, now);
            assert!(matches!(verdict, Verdict::Refused(NotAuthoritative::NotCertified)));
            authority.misdirect(Origin::new(&format!("{number}.test"), 443));
        }
        let verdict = authority.judge(&other, now);
        assert!(matches!(verdict, Verdict::Refused(NotAuthoritative::Misdirected)));
        assert!(matches!(authority.judge(&own, now), Verdict::Admitted));
    }

    #[test]
    fn the_initial_origin_has_the_port_that_the_connection_leads_to() {
        //= specs/server-certs.md#origin-http2
        //= type=test
        //# The port of the initial origin MUST be the port that the connection has at the server,
        //# also where an alternative service led there.
        //= specs/server-certs.md#origin-http2
        //= type=test
        //# A client MUST NOT take a connection as authoritative for an origin outside of its Origin
        //# Set once that has begun.
        let (own, now) = (Origin::new("own.test", 443), UnixTime::now());
        for (remote, is_in_the_set) in
            [(None, true), (Some("192.0.2.1:443"), true), (Some("192.0.2.1:8443"), false)]
        {
            let remote = remote.map(|address| address.parse().unwrap());
            let mut authority = Authority::new(own.clone(), remote, &[]);
            assert!(matches!(authority.judge(&own, now), Verdict::Admitted));
            authority.claim(&[]);
            let admitted = matches!(authority.judge(&own, now), Verdict::Admitted);
            assert_eq!(admitted, is_in_the_set, "{remote:?}");
            // The server may claim it.
            authority.claim(&[&[0, 16][..], b"https://own.test"].concat());
            assert!(matches!(authority.judge(&own, now), Verdict::Admitted));
        }
    }
}
