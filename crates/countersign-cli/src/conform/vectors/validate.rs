//! Authenticators of vectors: validated, and made again.

use std::sync::Arc;

use countersign_conform::vectors::Vector;
use countersign_proto::Rejection;
use exported_authenticator::stateless::{self, Offered, Validated};
use exported_authenticator::{
    AuthenticatorHash, AuthenticatorRequest, Chain, ChainRejected, Connection, ContextError,
    Credential, ExporterValues, ExtensionType, InvalidAuthenticator, Malformed, Proven, Role,
    TLS13_SCHEMES, Verified,
};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::HashAlgorithm;
use rustls::pki_types::{PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, SignatureScheme};

use super::Verdict;

pub(super) fn validate(vector: &Vector, provider: &Arc<CryptoProvider>) -> Result<Verdict, String> {
    let sender = role(&vector.role)?;
    let values = Arc::new(values(vector, sender, provider)?);
    let algorithms = provider.signature_verification_algorithms;
    let mut connection = Connection::new(values, sender.peer(), algorithms);
    for context in &vector.used_contexts {
        connection.contexts().spontaneous(&context.0).map_err(|error| error.to_string())?;
    }
    let validated = if vector.request.0.is_empty() {
        connection
            .validate_spontaneous(&vector.authenticator.0, &client_hello(vector))
            .map(Validated::Proven)
    } else {
        answer(vector, &mut connection)?
    };
    Ok(match validated {
        Err(error) => Verdict::Refused(invalid(&error).to_owned(), error.to_string()),
        Ok(Validated::Empty) => Verdict::Empty,
        Ok(Validated::Proven(proven)) => match judge(vector, proven, provider)? {
            Ok(_) => Verdict::Accepted,
            Err(rejected) => {
                Verdict::Refused(rejection(&rejected).to_owned(), rejected.to_string())
            }
        },
    })
}

/// Validates as the side that sent the request.
fn answer(
    vector: &Vector,
    connection: &mut Connection,
) -> Result<Result<Validated, InvalidAuthenticator>, String> {
    let request =
        AuthenticatorRequest::parse(&vector.request.0).map_err(|error| error.to_string())?;
    let used = vector.used_contexts.iter().any(|used| used.0 == request.context());
    if !used {
        connection.contexts().request(request.context()).map_err(|error| error.to_string())?;
    }
    Ok(connection.validate(&request, &vector.authenticator.0))
}

/// Whether the chain is acceptable in 2030.
fn judge(
    vector: &Vector,
    proven: Proven,
    provider: &Arc<CryptoProvider>,
) -> Result<Result<Verified, ChainRejected>, String> {
    let now = UnixTime::since_unix_epoch(NOW);
    let mut roots = RootCertStore::empty();
    for root in &vector.roots {
        roots.add(root.0.clone().into()).map_err(|error| error.to_string())?;
    }
    let (roots, provider) = (Arc::new(roots), Arc::clone(provider));
    if vector.server_name.is_empty() {
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(|error| error.to_string())?;
        return Ok(proven.verify_client(&*verifier, now));
    }
    let name = ServerName::try_from(vector.server_name.as_str());
    let name = name.map_err(|error| format!("{:?}: {error}", vector.server_name))?;
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
        .build()
        .map_err(|error| error.to_string())?;
    Ok(proven.verify_server(&*verifier, &name, now))
}

/// Makes the authenticator anew and compares.
pub(super) fn reproduce(vector: &Vector, provider: &CryptoProvider) -> Result<(), String> {
    let sender = role(&vector.role)?;
    let values = values(vector, sender, provider)?;
    let request =
        AuthenticatorRequest::parse(&vector.request.0).map_err(|error| error.to_string())?;
    let made = match &vector.key_pkcs8 {
        None => stateless::decline(&values, sender, &request),
        Some(_) if vector.expect == "empty" => stateless::decline(&values, sender, &request),
        Some(key) => {
            let key = PrivateKeyDer::Pkcs8(key.0.clone().into());
            let key =
                provider.key_provider.load_private_key(key).map_err(|error| error.to_string())?;
            let chain = vector.chain.iter().map(|one| one.0.clone().into()).collect();
            let chain = Chain::new(chain).map_err(|error| error.to_string())?;
            let credential = Credential::new(chain, key).map_err(|error| error.to_string())?;
            stateless::authenticate(&values, sender, &request, &credential)
        }
    };
    let made = made.map_err(|error| error.to_string())?;
    if made == vector.authenticator.0 {
        Ok(())
    } else {
        Err(format!("made anew it is {}", hex::encode(made)))
    }
}

pub(super) fn role(name: &str) -> Result<Role, String> {
    match name {
        "client" => Ok(Role::Client),
        "server" => Ok(Role::Server),
        other => Err(format!("the role {other:?} is not known")),
    }
}

/// The sender's exporter values from the file; those of the other side are not needed.
pub(super) fn values(
    vector: &Vector,
    sender: Role,
    provider: &CryptoProvider,
) -> Result<ExporterValues, String> {
    let algorithm = match vector.hash.as_str() {
        "sha256" => HashAlgorithm::SHA256,
        "sha384" => HashAlgorithm::SHA384,
        other => return Err(format!("the hash {other:?} is not known")),
    };
    let hash =
        AuthenticatorHash::of_algorithm(algorithm, provider).map_err(|error| error.to_string())?;
    let prefix: &[u8] = match sender {
        Role::Client => b"EXPORTER-client",
        Role::Server => b"EXPORTER-server",
    };
    ExporterValues::from_exporter(hash, |output, label, _context| {
        if !label.starts_with(prefix) {
            output.fill(0);
            return Ok(());
        }
        let value = if label.ends_with(b"handshake context") {
            &vector.handshake_context
        } else {
            &vector.finished_key
        };
        if output.len() != value.0.len() {
            return Err(());
        }
        output.copy_from_slice(&value.0);
        Ok(())
    })
    .map_err(|_| "the exporter values are not as long as the hash".to_owned())
}

/// 1 January 2030, within the validity of the vectors' certificates whenever they are run.
const NOW: std::time::Duration = std::time::Duration::from_secs(1_893_456_000);

/// What a client's handshake offers, for what servers send unasked.
pub(super) fn client_hello(vector: &Vector) -> Offered {
    let Some(hello) = &vector.client_hello else {
        return Offered {
            signature_algorithms: TLS13_SCHEMES.to_vec(),
            extensions: vec![ExtensionType::SIGNATURE_ALGORITHMS, ExtensionType::STATUS_REQUEST],
        };
    };
    let schemes = hello.signature_algorithms.iter().copied();
    Offered {
        signature_algorithms: schemes.map(SignatureScheme::from).collect(),
        extensions: hello.extensions.iter().copied().map(ExtensionType).collect(),
    }
}

/// What vectors call the reason.
pub(super) fn malformed(error: Malformed) -> &'static str {
    match error {
        Malformed::Truncated(_) | Malformed::Length(_) => "malformed",
        Malformed::Trailing(_) => "trailing_bytes",
        Malformed::NoRequest(_) => "not_a_request",
        Malformed::DuplicateExtension(_) => "duplicate_extension",
        Malformed::NoSignatureAlgorithms => "no_signature_algorithms",
        Malformed::DuplicateOid => "duplicate_oid",
        Malformed::MessageSequence => "bad_message_sequence",
    }
}

fn invalid(error: &InvalidAuthenticator) -> &'static str {
    match error {
        InvalidAuthenticator::Malformed(error) => malformed(*error),
        InvalidAuthenticator::ContextMismatch => "context_mismatch",
        InvalidAuthenticator::Context(ContextError::Repeated | ContextError::Replayed) => {
            "context_replayed"
        }
        InvalidAuthenticator::Context(ContextError::Unknown) => "context_unknown",
        InvalidAuthenticator::Context(ContextError::Exhausted) => "contexts_exhausted",
        InvalidAuthenticator::EmptyCertificateList => "empty_certificate_list",
        InvalidAuthenticator::BadCertificate => "bad_certificate",
        InvalidAuthenticator::ExtensionNotRequested(_) => "extension_not_requested",
        InvalidAuthenticator::SchemeNotTls13(_) => "scheme_not_tls13",
        InvalidAuthenticator::SchemeNotOffered(_) => "scheme_not_offered",
        InvalidAuthenticator::SchemeKeyMismatch(_) => "scheme_key_mismatch",
        InvalidAuthenticator::BadSignature => "bad_signature",
        InvalidAuthenticator::BadFinished => "bad_finished",
        InvalidAuthenticator::SpontaneousClient => "spontaneous_client",
    }
}

fn rejection(rejected: &ChainRejected) -> &'static str {
    match Rejection::from(&rejected.reason) {
        Rejection::Expired => "expired",
        Rejection::WrongPurpose => "wrong_purpose",
        Rejection::WrongName => "wrong_name",
        Rejection::Revoked => "revoked",
        Rejection::Untrusted | Rejection::RevocationUnknown | Rejection::RevocationStale | _ => {
            "untrusted"
        }
    }
}
