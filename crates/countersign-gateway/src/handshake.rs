//! What the configuration says about TLS and about credentials, as handshakes and connections take it.
//!
//! Where a credential has `handshake = "accept"`, TLS sessions are not resumed: a resumed session
//! would carry a certificate whose key was proven on another connection, and whose credential was
//! decided about then.

use std::sync::Arc;

use countersign::server::{
    Acceptor, AuthConfig, CredentialKind, ServerCertificates, VerificationPool,
};
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache};

use crate::certificates::{ByServerName, offers};
use crate::config::Config;
use crate::credential::{Credential, PossessionOnly};
use crate::server::{GatewayError, MAX_FRAME};

/// Joins both, only to see whether they fit together.
pub(crate) fn check(config: &Config) -> Result<(), GatewayError> {
    let certificates = Arc::new(ServerCertificates::new(offers(&config.certificates)));
    let _ = Acceptor::new(
        Arc::new(tls(config)?),
        Arc::new(auth(config, certificates, VerificationPool::default())?),
    );
    Ok(())
}

/// TLS for TCP; QUIC's differs in its ALPN.
pub(crate) fn tls(config: &Config) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(&config.provider))
        .with_safe_default_protocol_versions()?;
    let resolver = Arc::new(ByServerName::new(&config.certificates));
    let mut tls = match PossessionOnly::for_credentials(&config.credentials, &config.provider) {
        Some(verifier) => {
            let mut tls =
                builder.with_client_cert_verifier(Arc::new(verifier)).with_cert_resolver(resolver);
            tls.session_storage = Arc::new(NoServerSessionStorage {});
            tls.send_tls13_tickets = 0;
            tls
        }
        None => {
            let mut tls = builder.with_no_client_auth().with_cert_resolver(resolver);
            tls.session_storage = ServerSessionMemoryCache::new(1024);
            tls
        }
    };
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // TLS 1.2 carries authenticators only with the extended master secret (RFC 9261, section 5.1).
    tls.require_ems = true;
    Ok(tls)
}

/// What is asked for, and what is offered.
pub(crate) fn auth(
    config: &Config,
    certificates: Arc<ServerCertificates>,
    pool: VerificationPool,
) -> Result<AuthConfig, countersign::server::ConfigError> {
    let mut builder = AuthConfig::builder(Arc::clone(&config.provider))
        .generic_challenges(config.pool.generic_challenges)
        .answer_timeout(config.pool.answer_timeout)
        .max_outstanding(config.limits.challenges_per_connection)
        .authenticators_per_second(config.limits.authenticators_per_second)
        .max_frame_len(MAX_FRAME as usize)
        .code_points(config.protocol.code_points)
        .message_type(config.protocol.message_type)
        .server_certificates(certificates)
        .verification_pool(pool);
    for kind in kinds(config) {
        builder = builder.credential(kind);
    }
    builder.build()
}

/// The credentials alone.
pub(crate) fn kinds(config: &Config) -> Vec<CredentialKind> {
    config.credentials.iter().cloned().map(kind).collect()
}

fn kind(credential: Credential) -> CredentialKind {
    let Credential { name, verifier, constraint, ask_on_connect, accept_handshake, .. } =
        credential;
    let path = Arc::clone(&verifier);
    let mut kind = CredentialKind::new(name, verifier)
        .constraint(move |chain| constraint.check(chain))
        .holds_until(move |chain, now| {
            let (leaf, rest) = chain.split_first()?;
            // Who is not accepted any more is looked at again at once.
            Some(path.verify(leaf, rest, now).map_or(now, |verified| verified.until))
        });
    if ask_on_connect {
        kind = kind.ask_on_connect();
    }
    if accept_handshake {
        kind = kind.accept_handshake();
    }
    kind
}
