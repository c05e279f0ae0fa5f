//! Keys, certificates and what TLS is set to.

use std::sync::{Arc, LazyLock};

use countersign::{Chain, Credential, server::ServerCertificate};
use countersign_pki::{Authority, Issued, KeyKind, Leaf};
use countersign_testkit::TlsOptions;
use countersign_testkit::tls::{roots, test_pki};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::CertificateDer;

use crate::way::Way;

/// The name that connections begin with.
pub(crate) const FIRST: &str = "localhost";
/// The name of the further origin.
pub(crate) const FURTHER: &str = "b.test";

/// Servers of both names under one root.
struct Servers {
    root: CertificateDer<'static>,
    first: Issued,
    further: Issued,
}

static SERVERS: LazyLock<Servers> = LazyLock::new(|| {
    let root = Authority::root("Server root", KeyKind::P256).unwrap();
    let servers = root.intermediate("Server CA 1", KeyKind::P256).unwrap();
    let [first, further] =
        [FIRST, FURTHER].map(|name| servers.issue(&Leaf::server(name).dns(name)).unwrap());
    Servers { root: root.root_der(), first, further }
});

/// The TLS that both sides have: with the client's certificate for a second connection and without for
/// the others.
fn tls(way: Way, alpn: &str) -> TlsOptions {
    let server = if way == Way::New { &SERVERS.further } else { &SERVERS.first };
    let (server, server_ca) = (server.clone(), SERVERS.root.clone());
    let options = TlsOptions { server, server_ca, ..TlsOptions::default().alpn([alpn]) };
    if way == Way::Second {
        let (client, client_ca) = (test_pki().device.clone(), test_pki().device_ca.clone());
        TlsOptions { client: Some(client), client_ca: Some(client_ca), ..options }
    } else {
        options
    }
}

/// Full handshakes only.
pub(crate) fn server_tls(way: Way, alpn: &str) -> Arc<rustls::ServerConfig> {
    let mut config = tls(way, alpn).server_config();
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

/// Full handshakes only.
pub(crate) fn client_tls(way: Way, alpn: &str) -> rustls::ClientConfig {
    let mut config = tls(way, alpn).client_config();
    config.resumption = rustls::client::Resumption::disabled();
    config
}

/// What clients trust servers by.
pub(crate) fn server_verifier() -> Arc<WebPkiServerVerifier> {
    let provider = TlsOptions::default().provider();
    WebPkiServerVerifier::builder_with_provider(roots([&SERVERS.root]), provider).build().unwrap()
}

/// The client's, for an identity.
pub(crate) fn device() -> Credential {
    credential(&test_pki().device)
}

/// The server's, for the further origin.
pub(crate) fn further() -> ServerCertificate {
    ServerCertificate::new(credential(&SERVERS.further))
}

fn credential(issued: &Issued) -> Credential {
    let provider = TlsOptions::default().provider();
    let key = provider.key_provider.load_private_key(issued.key.clone_key()).unwrap();
    Credential::new(Chain::new(issued.chain.clone()).unwrap(), key).unwrap()
}
