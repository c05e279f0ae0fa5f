//! The further origins of servers: certificates that the client accepts for them, and some that it does not.

use std::sync::{Arc, LazyLock};

use countersign::client::{
    AuthConfig, AuthConfigBuilder, AuthorityRules, DnsRule, Event, Observer, Origin,
};
use countersign_testkit::pki::{Authority, Issued, KeyKind, KeyUsage, Leaf};
use countersign_testkit::tls::{roots, test_pki};
use countersign_testkit::within;
use rustls::SignatureScheme;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;

use crate::people::provider;

/// The name of the further origin.
pub(crate) const FURTHER: &str = "further.test";

/// Certificates of servers, of one authority unless it is said otherwise.
pub(crate) struct Hosts {
    root: CertificateDer<'static>,
    /// For [`FURTHER`].
    pub(crate) further: Issued,
    /// For another name.
    pub(crate) other: Issued,
    /// For [`FURTHER`], with an end that has passed.
    pub(crate) expired: Issued,
    /// For [`FURTHER`], of an authority that nobody trusts.
    pub(crate) stranger: Issued,
    /// Without a name of a server.
    pub(crate) nameless: Issued,
    /// For [`FURTHER`], with a key that is not for signatures.
    pub(crate) unsigning: Issued,
}

pub(crate) fn hosts() -> &'static Hosts {
    static HOSTS: LazyLock<Hosts> = LazyLock::new(Hosts::make);
    &HOSTS
}

impl Hosts {
    fn make() -> Self {
        let authority = Authority::root("Servers", KeyKind::P256).unwrap();
        let stranger = Authority::root("Servers", KeyKind::P256).unwrap();
        let further = || Leaf::server("further").dns(FURTHER);
        let issue = |leaf: Leaf| authority.issue(&leaf).unwrap();
        Self {
            root: authority.root_der(),
            further: issue(further()),
            other: issue(Leaf::server("other").dns("other.test")),
            expired: issue(further().expired()),
            stranger: stranger.issue(&further()).unwrap(),
            nameless: issue(Leaf::server("nameless")),
            unsigning: issue(further().key_usages([KeyUsage::KeyAgreement])),
        }
    }
}

/// Accepts the server of the test kit and these, without a look at DNS.
pub(crate) fn authority() -> AuthorityRules {
    authority_with(provider())
}

/// The same by the means of `provider`.
fn authority_with(provider: Arc<CryptoProvider>) -> AuthorityRules {
    let roots = roots([&test_pki().server_ca, &hosts().root]);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build().unwrap();
    AuthorityRules::new(verifier).dns(DnsRule::Never)
}

/// What such a client is told.
pub(crate) struct Told(mpsc::UnboundedReceiver<Event>);

/// A client that cannot be asked for certificates and takes those of servers, by the rules of
/// [`authority`].
pub(crate) fn accepting() -> (AuthConfigBuilder, Told) {
    accepting_by(authority())
}

/// The same by other rules.
pub(crate) fn accepting_by(rules: AuthorityRules) -> (AuthConfigBuilder, Told) {
    let (sender, told) = mpsc::unbounded_channel();
    let builder = AuthConfig::builder(provider()).limit(0).authority(rules);
    (builder.observer(Arc::new(Teller(sender))), Told(told))
}

/// For a test that does not look at what it is told.
pub(crate) fn accepting_rules() -> AuthConfigBuilder {
    AuthConfig::builder(provider()).limit(0).authority(authority())
}

/// One whose ClientHello offers Ed25519 and nothing else.
pub(crate) fn ed25519_rules() -> AuthConfigBuilder {
    let mut provider = CryptoProvider::clone(&provider());
    let algorithms = &mut provider.signature_verification_algorithms;
    let is_ed25519 = |(scheme, _): &(SignatureScheme, _)| *scheme == SignatureScheme::ED25519;
    let at = algorithms.mapping.iter().position(is_ed25519).unwrap();
    algorithms.mapping = &algorithms.mapping[at..=at];
    let rules = authority_with(Arc::new(provider));
    AuthConfig::builder(crate::people::provider()).limit(0).authority(rules)
}

struct Teller(mpsc::UnboundedSender<Event>);

impl Observer for Teller {
    fn event(&self, _origin: &Origin, event: &Event) {
        // The test may be over.
        let _ = self.0.send(event.clone());
    }
}

impl Told {
    /// The names of the next certificate, or why it is not accepted.
    pub(crate) async fn certificate(&mut self) -> Result<Vec<String>, String> {
        loop {
            if let Event::ServerCertificate { names, rejected, .. } =
                within(self.0.recv()).await.unwrap()
            {
                return rejected.map_or(Ok(names), Err);
            }
        }
    }
}
