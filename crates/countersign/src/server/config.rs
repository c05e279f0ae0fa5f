//! What a server asks for, and how.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use countersign_proto::server::ServerPolicy;
use countersign_proto::{CodePointError, CodePoints, Rejection};
use exported_authenticator::{
    MessageType, OidFilter, Proven, RequestTemplate, Verified, tls13_schemes_of,
};
use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;

use super::kinds::{Credentials, Kinds};
use super::pool::VerificationPool;
use super::turns::Turns;
use super::{Identity, ServerCertificates, Source};

/// A condition on a chain beyond what its verifier checks.
type Constraint = Arc<dyn Fn(&[CertificateDer<'static>]) -> Result<(), Rejection> + Send + Sync>;

/// Until when a chain that was accepted holds.
type Until = Arc<dyn Fn(&[CertificateDer<'static>], UnixTime) -> Option<UnixTime> + Send + Sync>;

/// One kind of certificate, under the name that routes and layers use for it.
#[derive(Clone)]
pub struct CredentialKind {
    name: Arc<str>,
    verifier: Arc<dyn ClientCertVerifier>,
    constraint: Option<Constraint>,
    until: Option<Until>,
    filters: Vec<OidFilter>,
    on_connect: bool,
    handshake: bool,
}

impl CredentialKind {
    /// Certificates that `verifier` accepts. Its root hints become the request's
    /// certificate_authorities.
    pub fn new(name: impl Into<Arc<str>>, verifier: Arc<dyn ClientCertVerifier>) -> Self {
        Self {
            name: name.into(),
            verifier,
            constraint: None,
            until: None,
            filters: Vec::new(),
            on_connect: false,
            handshake: false,
        }
    }

    /// Asks for it as soon as both sides have announced support, not only when it is required.
    pub fn ask_on_connect(mut self) -> Self {
        self.on_connect = true;
        self
    }

    /// Lets a certificate from the TLS handshake be this credential too, if it passes the same checks.
    pub fn accept_handshake(mut self) -> Self {
        self.handshake = true;
        self
    }

    /// A further condition, for example on names. It is asked after the verifier has accepted.
    pub fn constraint(
        mut self,
        check: impl Fn(&[CertificateDer<'static>]) -> Result<(), Rejection> + Send + Sync + 'static,
    ) -> Self {
        self.constraint = Some(Arc::new(check));
        self
    }

    /// Until when what the verifier accepts holds: `tell` gets a chain that it has just accepted, and that time.
    /// Live identities are looked at again within a second after it. Unless set, that is the end-entity
    /// certificate's notAfter; a verifier that knows of issuers and revocation lists knows better.
    pub fn holds_until(
        mut self,
        tell: impl Fn(&[CertificateDer<'static>], UnixTime) -> Option<UnixTime> + Send + Sync + 'static,
    ) -> Self {
        self.until = Some(Arc::new(tell));
        self
    }

    /// Tells clients by oid_filters what the certificate has to contain. It is a help to choose;
    /// nothing is checked by it.
    pub fn oid_filters(mut self, filters: Vec<OidFilter>) -> Self {
        self.filters = filters;
        self
    }

    /// The credential's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn asks_on_connect(&self) -> bool {
        self.on_connect
    }

    /// Decides whether a proven chain is this credential.
    pub(crate) fn evaluate(&self, proven: Proven, now: UnixTime) -> Result<Verified, Rejection> {
        let verified = proven
            //= specs/client-certs.md#section-1.2
            //# A server SHOULD judge every credential it receives by its own policy.
            //= specs/client-certs.md#section-5.1
            //# A server MUST validate with care that a client's certificate is one it trusts.
            //= specs/client-certs.md#section-5.1
            //# A server MUST make sure that a client's certificate suits the purpose it is used
            //# for.
            .verify_client(&*self.verifier, now)
            .map_err(|rejected| Rejection::from(&rejected.reason))?;
        //= specs/client-certs.md#section-5.1
        //# A server MUST make sure that a client's certificate belongs to the identity that is
        //# meant.
        self.constrain(verified.chain())?;
        Ok(verified)
    }

    /// Decides the same for a chain whose key the TLS handshake has proven; `None` where such a chain
    /// is never this credential.
    pub(crate) fn evaluate_handshake(
        &self,
        chain: &[CertificateDer<'static>],
        now: UnixTime,
    ) -> Option<Result<(), Rejection>> {
        let (leaf, rest) = chain.split_first().filter(|_| self.handshake)?;
        let accepted = self.verifier.verify_client_cert(leaf, rest, now);
        Some(
            accepted.map_err(|reason| Rejection::from(&reason)).and_then(|_| self.constrain(chain)),
        )
    }

    /// Until when a chain that was accepted at `now` holds; `None` if that is for good.
    pub(crate) fn until(
        &self,
        chain: &[CertificateDer<'static>],
        now: UnixTime,
    ) -> Option<UnixTime> {
        let until = match &self.until {
            Some(tell) => tell(chain, now),
            None => not_after(chain.first()?),
        };
        // Whoever accepts what has ended does so for good.
        until.filter(|until| until.as_secs() >= now.as_secs())
    }

    fn constrain(&self, chain: &[CertificateDer<'static>]) -> Result<(), Rejection> {
        self.constraint.as_ref().map_or(Ok(()), |check| check(chain))
    }

    /// Whether it still grants what it once granted.
    pub(crate) fn still_grants(&self, identity: &Identity, now: UnixTime) -> Result<(), Rejection> {
        let chain = identity.chain();
        let (leaf, rest) = chain.split_first().ok_or(Rejection::Untrusted)?;
        if identity.source() == Source::Handshake && !self.handshake {
            return Err(Rejection::Untrusted);
        }
        let accepted = self.verifier.verify_client_cert(leaf, rest, now);
        accepted.map_err(|reason| Rejection::from(&reason))?;
        self.constrain(chain)
    }

    pub(super) fn template(&self, schemes: &Schemes) -> RequestTemplate {
        schemes
            .template()
            .certificate_authorities(self.verifier.root_hint_subjects().to_vec())
            .oid_filters(self.filters.clone())
    }
}

fn not_after(certificate: &CertificateDer<'_>) -> Option<UnixTime> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

impl fmt::Debug for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialKind").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The schemes that a provider verifies.
pub(super) struct Schemes {
    signatures: Vec<SignatureScheme>,
    certificates: Vec<SignatureScheme>,
}

impl Schemes {
    fn of(provider: &CryptoProvider) -> Result<Self, ConfigError> {
        let algorithms = &provider.signature_verification_algorithms;
        let signatures = tls13_schemes_of(algorithms);
        if signatures.is_empty() {
            return Err(ConfigError::NoSchemes);
        }
        Ok(Self { signatures, certificates: algorithms.supported_schemes() })
    }

    fn template(&self) -> RequestTemplate {
        RequestTemplate::new(self.signatures.clone()).certificate_schemes(self.certificates.clone())
    }
}

/// One listener's rules for asking. Shared by all its connections.
#[derive(Debug)]
pub struct AuthConfig {
    pub(super) credentials: Arc<Credentials>,
    pub(crate) policy: ServerPolicy,
    pub(crate) points: CodePoints,
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) answer_timeout: Duration,
    pub(crate) max_frame_len: usize,
    pub(crate) server_certificates: Option<Arc<ServerCertificates>>,
    pub(super) turns: Option<Turns>,
    pub(super) pool: VerificationPool,
}

impl AuthConfig {
    /// Begins with no credentials and the defaults. `provider` is the one of the TLS configuration.
    pub fn builder(provider: Arc<CryptoProvider>) -> AuthConfigBuilder {
        AuthConfigBuilder {
            provider,
            kinds: Vec::new(),
            generic_challenges: 0,
            max_outstanding: 16,
            answer_timeout: Duration::from_secs(10),
            max_frame_len: 64 * 1024,
            points: CodePoints::default(),
            //= specs/exported-authenticators.md#decisions
            //# (ours) Type 17 MUST be usable on TLS 1.3 too, whatever the registry remarks.
            message_type: MessageType::ClientCertificateRequest,
            server_certificates: None,
            authenticators_per_second: None,
            pool: None,
        }
    }

    /// Replaces the credentials, for live connections too: the next challenge and the next answer go by
    /// the new ones, and an identity that they do not grant is gone. Returns how many were taken away.
    ///
    /// Verifies the chain of every identity held, about 0.1 ms each; call it from where that may block. On
    /// an error nothing changes.
    pub fn replace_credentials(&self, kinds: Vec<CredentialKind>) -> Result<usize, ConfigError> {
        let schemes = Schemes::of(&self.provider)?;
        Ok(self.credentials.replace(Kinds::new(kinds, &schemes, self.policy.message_type)?))
    }

    /// Looks at every identity of every live connection again, as [`AuthConfig::replace_credentials`] does: a
    /// verifier may have learnt of revocations. That something expires is noticed without it, within a second.
    pub fn reevaluate(&self) -> usize {
        self.credentials.reevaluate()
    }
}

/// How many challenges may wait for room at least.
const MIN_QUEUED: usize = 32;

/// Makes an [`AuthConfig`].
#[derive(Debug)]
pub struct AuthConfigBuilder {
    provider: Arc<CryptoProvider>,
    kinds: Vec<CredentialKind>,
    generic_challenges: u32,
    max_outstanding: u32,
    answer_timeout: Duration,
    max_frame_len: usize,
    points: CodePoints,
    message_type: MessageType,
    server_certificates: Option<Arc<ServerCertificates>>,
    authenticators_per_second: Option<NonZeroU32>,
    pool: Option<VerificationPool>,
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Two credentials of one name.
    #[error("the credential \"{0}\" is defined twice")]
    DuplicateCredential(Arc<str>),
    /// Code points that clash.
    #[error(transparent)]
    CodePoints(#[from] CodePointError),
    /// A credential whose extensions make no valid request.
    #[error("no valid request can be made for the credential \"{0}\"")]
    BadRequest(Arc<str>),
    /// The provider verifies no signature scheme of TLS 1.3.
    #[error("the cryptographic provider verifies no signature scheme of TLS 1.3")]
    NoSchemes,
}

impl AuthConfigBuilder {
    /// Adds a credential.
    pub fn credential(mut self, kind: CredentialKind) -> Self {
        self.kinds.push(kind);
        self
    }

    /// How many generic challenges to keep outstanding, for clients that present certificates when
    /// they like. Default 0.
    pub fn generic_challenges(mut self, number: u32) -> Self {
        self.generic_challenges = number;
        self
    }

    /// How many requests to keep outstanding at most, whatever the client allows. Default 16.
    pub fn max_outstanding(mut self, number: u32) -> Self {
        self.max_outstanding = number;
        self
    }

    /// How long whoever requires a credential waits for the client's answer. Default 10 seconds.
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    /// The longest CERTIFICATE payload to accept, in bytes. Default 65,536. In HTTP/2 the announced
    /// SETTINGS_MAX_FRAME_SIZE bounds it too, by default 16,384.
    pub fn max_frame_len(mut self, bytes: usize) -> Self {
        self.max_frame_len = bytes;
        self
    }

    /// Other code points than the defaults.
    pub fn code_points(mut self, points: CodePoints) -> Self {
        self.points = points;
        self
    }

    /// The message type of the requests. Default ClientCertificateRequest (17), as the draft has it.
    pub fn message_type(mut self, message_type: MessageType) -> Self {
        self.message_type = message_type;
        self
    }

    /// Further certificates of the server, to be offered to clients that take them (server draft).
    /// Default: no support is announced.
    pub fn server_certificates(mut self, certificates: Arc<ServerCertificates>) -> Self {
        self.server_certificates = Some(certificates);
        self
    }

    /// How many authenticators to verify per second on all connections together, with as many at once; further
    /// ones wait for their turn, in the order in which they came, while whoever requires them waits no longer than
    /// the answer timeout. Default: as many as come.
    pub fn authenticators_per_second(mut self, number: NonZeroU32) -> Self {
        self.authenticators_per_second = Some(number);
        self
    }

    /// Where authenticators and chains are verified. Default: a pool of its own, with half of the processors.
    pub fn verification_pool(mut self, pool: VerificationPool) -> Self {
        self.pool = Some(pool);
        self
    }

    /// Checks everything and builds.
    pub fn build(self) -> Result<AuthConfig, ConfigError> {
        self.points.check()?;
        let schemes = Schemes::of(&self.provider)?;
        // As many as there are credentials, and more than a replacement is likely to bring.
        let credentials = self.kinds.len().max(MIN_QUEUED);
        let kinds = Kinds::new(self.kinds, &schemes, self.message_type)?;
        Ok(AuthConfig {
            policy: ServerPolicy {
                message_type: self.message_type,
                max_outstanding: self.max_outstanding as usize,
                max_queued: credentials + self.generic_challenges as usize,
                generic_challenges: self.generic_challenges as usize,
                generic: Arc::new(schemes.template()),
                server_certificates: false,
            },
            credentials: Arc::new(Credentials::new(kinds)),
            points: self.points,
            provider: self.provider,
            answer_timeout: self.answer_timeout,
            max_frame_len: self.max_frame_len,
            server_certificates: self.server_certificates,
            turns: self.authenticators_per_second.map(Turns::new),
            pool: self.pool.unwrap_or_default(),
        })
    }
}
