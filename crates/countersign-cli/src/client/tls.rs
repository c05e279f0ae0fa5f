//! The TLS side of a client: whom it trusts, what it shows in the handshake, which protocols it offers.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, KeyLogFile, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Protocol;
use crate::failure::{Exit, Failure};

/// Which servers are believed to be who they say.
#[derive(Debug)]
pub(crate) enum Trust {
    /// Those below these roots.
    Roots(RootCertStore),
    /// Those below the roots of the system.
    System,
    /// All of them (`--insecure`).
    Anybody,
}

impl Trust {
    /// What decides about a server's certificate.
    pub(crate) fn verifier(
        self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, Failure> {
        let roots = match self {
            Self::Anybody => return Ok(Arc::new(AnyServer(Arc::clone(provider)))),
            Self::Roots(roots) => roots,
            Self::System => system_roots()?,
        };
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let verifier = builder.build().map_err(|error| {
            Failure::new(Exit::CaFile, format!("no authorities can be trusted: {error}"))
        })?;
        Ok(verifier)
    }
}

/// A client's TLS, to be turned into a rustls configuration.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) provider: Arc<CryptoProvider>,
    /// From [`Trust::verifier`].
    pub(crate) verifier: Arc<dyn ServerCertVerifier>,
    /// What to offer, the most wanted first. HTTP/3 is only offered alone: it means QUIC.
    pub(crate) protocols: Vec<Protocol>,
    /// What may be shown in the handshake itself, if the server asks there.
    pub(crate) in_handshake: Vec<Arc<CertifiedKey>>,
}

impl Tls {
    /// Whether connections go over QUIC rather than TCP.
    pub(crate) fn is_quic(&self) -> bool {
        self.protocols == [Protocol::Http3]
    }

    pub(crate) fn config(self) -> Result<ClientConfig, Failure> {
        let failed =
            |error: Error| Failure::new(Exit::Tls, format!("TLS cannot be set up: {error}"));
        let versions =
            if self.is_quic() { &[&rustls::version::TLS13][..] } else { rustls::DEFAULT_VERSIONS };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions)
            .map_err(failed)?;
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(self.verifier)
            .with_client_cert_resolver(Arc::new(InHandshake(self.in_handshake)));
        let ids = self.protocols.iter().map(|protocol| protocol.alpn().into());
        config.alpn_protocols = ids.collect();
        // TLS 1.2 can only carry the extension with the extended master secret; every server of these
        // days has it.
        config.require_ems = true;
        // Writes to the file that SSLKEYLOGFILE names, if it does.
        config.key_log = Arc::new(KeyLogFile::new());
        Ok(config)
    }
}

fn system_roots() -> Result<RootCertStore, Failure> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(Failure::new(
            Exit::CaFile,
            "the system has no list of trusted authorities; name one with --cacert",
        ));
    }
    Ok(roots)
}

/// Believes every server, but still checks that it holds the key it shows.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Shows the first identity that one of the server's authorities issued, or the first of all where
/// the server names none.
#[derive(Debug)]
struct InHandshake(Vec<Arc<CertifiedKey>>);

impl rustls::client::ResolvesClientCert for InHandshake {
    fn resolve(
        &self,
        authorities: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let suits = |key: &&Arc<CertifiedKey>| {
            key.key.choose_scheme(schemes).is_some()
                && (authorities.is_empty() || is_issued_by(&key.cert, authorities))
        };
        self.0.iter().find(suits).cloned()
    }

    fn has_certs(&self) -> bool {
        !self.0.is_empty()
    }
}

fn is_issued_by(chain: &[CertificateDer<'_>], authorities: &[&[u8]]) -> bool {
    chain.iter().any(|certificate| {
        X509Certificate::from_der(certificate)
            .is_ok_and(|(_, certificate)| authorities.contains(&certificate.issuer().as_raw()))
    })
}

#[cfg(test)]
mod tests {
    use rustls::client::ResolvesClientCert;
    use rustls::crypto::aws_lc_rs;

    use super::*;

    #[test]
    fn the_handshake_shows_what_the_server_asks_for() {
        let pki = countersign_pki::TestPki::generate().unwrap();
        let provider = aws_lc_rs::default_provider();
        let key = |issued: &countersign_pki::Issued| {
            let key = issued.key.clone_key();
            let key = CertifiedKey::from_der(issued.chain.clone(), key, &provider);
            Arc::new(key.unwrap())
        };
        let (device, alice) = (key(&pki.device), key(&pki.alice));
        let shown = InHandshake(vec![Arc::clone(&device), Arc::clone(&alice)]);
        let (_, root) = X509Certificate::from_der(&pki.user_ca).unwrap();
        let users = root.subject().as_raw();

        let p256 = [SignatureScheme::ECDSA_NISTP256_SHA256];
        let is = |found: Option<Arc<CertifiedKey>>, expected: &Arc<CertifiedKey>| {
            found.is_some_and(|found| Arc::ptr_eq(&found, expected))
        };
        assert!(is(shown.resolve(&[users], &p256), &alice));
        assert!(is(shown.resolve(&[], &p256), &device));
        assert!(shown.resolve(&[b"somebody else"], &p256).is_none());
        assert!(shown.resolve(&[users], &[SignatureScheme::ED25519]).is_none());
    }
}
