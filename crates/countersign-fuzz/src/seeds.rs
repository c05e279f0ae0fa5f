//! Sound inputs, made anew each time, since certificates run out.

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};

use countersign_pki::{Authority, KeyKind, Leaf};
use countersign_proto::frame::put_request;
use exported_authenticator::{
    AuthenticatorHash, AuthenticatorRequest, Chain, Connection, Credential, ExporterValues,
    MessageType, RequestTemplate, Role, TLS13_SCHEMES,
};
use rustls::crypto::hash::HashAlgorithm;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub(crate) static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(aws_lc_rs::default_provider);

/// What TLS would export, which is the same for everybody here.
#[expect(
    clippy::expect_used,
    reason = "the provider has SHA-256, and what is exported has its length"
)]
pub(crate) static VALUES: LazyLock<Arc<ExporterValues>> = LazyLock::new(|| {
    let hash = AuthenticatorHash::of_algorithm(HashAlgorithm::SHA256, &PROVIDER);
    let hash = hash.expect("SHA-256");
    let values = ExporterValues::from_exporter(hash, |output, label, _| {
        output.fill(fill(label));
        Ok::<_, Infallible>(())
    });
    Arc::new(values.expect("values"))
});

/// What the values of this label consist of.
pub(crate) fn fill(label: &[u8]) -> u8 {
    label.iter().fold(0, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(*byte))
}

pub(crate) fn connection(role: Role) -> Connection {
    Connection::new(Arc::clone(&VALUES), role, PROVIDER.signature_verification_algorithms)
}

pub(crate) fn template() -> RequestTemplate {
    RequestTemplate::new(TLS13_SCHEMES.to_vec())
}

/// What authenticators here answer.
pub(crate) fn challenge() -> Option<AuthenticatorRequest> {
    template().build(MessageType::ClientCertificateRequest, &[7; 32]).ok()
}

pub(crate) fn requests() -> Vec<Vec<u8>> {
    [MessageType::ClientCertificateRequest, MessageType::CertificateRequest]
        .into_iter()
        .filter_map(|typ| template().build(typ, &[1; 8]).ok())
        .map(|request| request.as_bytes().to_vec())
        .collect()
}

pub(crate) fn request_lists() -> Vec<Vec<u8>> {
    let mut list = Vec::new();
    for request in requests() {
        put_request(&mut list, &request);
    }
    vec![list]
}

/// What a peer of the conformance tool may say.
pub(crate) fn for_the_tool() -> Vec<Vec<u8>> {
    let fields = [vec![0x88], vec![0x08, 3, b'2', b'0', b'0'], vec![0, 0, 0xd9]];
    let settings = [vec![0xff, 0x0c, 0, 0, 0, 4], vec![0x80, 0, 0xff, 0x0c, 4]];
    [request_lists(), requests(), authenticators(), fields.to_vec(), settings.to_vec()].concat()
}

pub(crate) fn authenticators() -> Vec<Vec<u8>> {
    authenticated().into_iter().chain(declined()).collect()
}

fn authenticated() -> Option<Vec<u8>> {
    let root = Authority::root("Users", KeyKind::P256).ok()?;
    let issued = root.issue(&Leaf::client("alice")).ok()?;
    let key = PROVIDER.key_provider.load_private_key(issued.key).ok()?;
    let credential = Credential::new(Chain::new(issued.chain).ok()?, key).ok()?;
    let mut client = connection(Role::Client);
    let request = client.receive_request(challenge()?.as_bytes()).ok()?;
    client.authenticate(&request, &credential).ok()
}

fn declined() -> Option<Vec<u8>> {
    let mut client = connection(Role::Client);
    let request = client.receive_request(challenge()?.as_bytes()).ok()?;
    client.decline(&request).ok()
}

pub(crate) fn revocation_lists() -> Vec<Vec<u8>> {
    let list = |revoked: &[Vec<u8>]| {
        let root = Authority::root("Users", KeyKind::P256).ok()?;
        root.crl(revoked).ok().map(|list| list.to_vec())
    };
    [list(&[]), list(&[vec![1], vec![2; 20]])].into_iter().flatten().collect()
}

/// Support on both sides, two challenges, an answer to the first; see [`crate::machines`].
pub(crate) fn server_events() -> Vec<Vec<u8>> {
    let payload = declined().unwrap_or_default();
    let mut events = vec![0, 1, 4, 3, 3, 6, 4];
    events.extend(length(&payload));
    events.extend(payload);
    events.extend([6, 5, 2, 7]);
    vec![events, vec![0, 1, 0, 3, 6], vec![4, 0, 0, 1, 2, 5]]
}

/// Support on both sides, two requests, an answer to each.
pub(crate) fn client_events() -> Vec<Vec<u8>> {
    let mut events = vec![0, 1, 1, 2];
    for list in request_lists() {
        events.extend(length(&list));
        events.extend(list);
    }
    events.extend([3, 4, 5, 6, 7, 8]);
    vec![events, vec![0, 1, 0, 2, 0, 0, 8]]
}

fn length(payload: &[u8]) -> [u8; 2] {
    u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use exported_authenticator::{Authenticator, Validated, stateless};

    use super::*;

    #[test]
    fn what_targets_begin_with_is_sound() {
        let (request, algorithms) =
            (challenge().unwrap(), PROVIDER.signature_verification_algorithms);
        let verdicts: Vec<_> = authenticators()
            .iter()
            .map(|one| {
                let one = Authenticator::parse(one).unwrap();
                stateless::validate(&VALUES, Role::Client, &request, &one, &algorithms).unwrap()
            })
            .collect();
        assert!(matches!(verdicts[..], [Validated::Proven(_), Validated::Empty]));
        assert_eq!((requests().len(), request_lists().len(), revocation_lists().len()), (2, 1, 2));
    }
}
