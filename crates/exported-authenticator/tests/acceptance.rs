//! Whether a chain is accepted is the verifier's word, rustls' own or the user's.

#![cfg(test)]

mod support;

use std::sync::{Arc, Mutex};

use countersign_pki::{Authority, KeyKind, Leaf};
use exported_authenticator::{
    ChainRejected, Extension, ExtensionType, MessageType, Proven, Role, Validated, stateless,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ExtendedKeyPurpose,
    SignatureScheme,
};
use support::{
    Ends, Secrets, authority, client_verifier, credential, now, proven, provider, roots, template,
};

/// What a client that holds `leaf` proves.
fn prove(authority: &Authority, leaf: &Leaf) -> Proven {
    let credential = credential(&authority.issue(leaf).unwrap());
    let mut ends = Ends::seeded(1);
    let request = ends.ask(Role::Server, &template(), b"x");
    let authenticator = ends.client.authenticate(&request, &credential).unwrap();
    proven(ends.server.validate(&request, &authenticator).unwrap())
}

fn rejected(verified: Result<impl Sized, ChainRejected>) -> CertificateError {
    let rejected = verified.map(drop).unwrap_err();
    assert!(rejected.to_string().starts_with("the certificate chain was not accepted"));
    let Error::InvalidCertificate(error) = rejected.reason else { panic!("{}", rejected.reason) };
    error
}

#[test]
fn trust_time_and_purpose_are_checked() {
    let authority = authority(KeyKind::P256);
    let verifier = client_verifier(&authority);
    let verify = |leaf: &Leaf| prove(&authority, leaf).verify_client(&*verifier, now());

    verify(&Leaf::client("alice")).unwrap();
    assert!(matches!(
        rejected(verify(&Leaf::client("alice").expired())),
        CertificateError::ExpiredContext { .. }
    ));
    assert!(matches!(
        rejected(verify(&Leaf::client("alice").not_yet_valid())),
        CertificateError::NotValidYetContext { .. }
    ));
    assert!(matches!(
        rejected(verify(&Leaf::server("alice"))),
        CertificateError::InvalidPurposeContext { required: ExtendedKeyPurpose::ClientAuth, .. }
    ));
    let other = support::authority(KeyKind::P256);
    let stranger = prove(&other, &Leaf::client("alice"));
    let rejection = stranger.clone().verify_client(&*verifier, now()).unwrap_err();
    // The possession stays proven, for whoever trusts it.
    assert_eq!(*rejection.proven, stranger);
    rejection.proven.verify_client(&*client_verifier(&other), now()).unwrap();
}

#[test]
fn the_time_is_the_callers() {
    let authority = authority(KeyKind::P256);
    let verifier = client_verifier(&authority);
    let alice = prove(&authority, &Leaf::client("alice"));
    let in_two_years =
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(now().as_secs() + 63_072_000));
    assert!(matches!(
        rejected(alice.verify_client(&*verifier, in_two_years)),
        CertificateError::ExpiredContext { .. }
    ));
}

#[test]
fn revocation_is_checked() {
    let authority = authority(KeyKind::P256);
    let alice = authority.issue(&Leaf::client("alice")).unwrap();
    let crl = authority.crl(std::slice::from_ref(&alice.serial)).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(&authority), provider().into())
            .with_crls([crl])
            .only_check_end_entity_revocation()
            .build()
            .unwrap();
    let prove = |issued| {
        let mut ends = Ends::seeded(1);
        let request = ends.ask(Role::Server, &template(), b"x");
        let authenticator = ends.client.authenticate(&request, &credential(issued)).unwrap();
        proven(ends.server.validate(&request, &authenticator).unwrap())
    };
    assert_eq!(rejected(prove(&alice).verify_client(&*verifier, now())), CertificateError::Revoked);
    let bob = authority.issue(&Leaf::client("bob")).unwrap();
    prove(&bob).verify_client(&*verifier, now()).unwrap();

    let elsewhere = Authority::root("Elsewhere", KeyKind::P256).unwrap();
    let crl = elsewhere.crl(&[]).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(&authority), provider().into())
            .with_crls([crl])
            .only_check_end_entity_revocation()
            .build()
            .unwrap();
    assert_eq!(
        rejected(prove(&bob).verify_client(&*verifier, now())),
        CertificateError::UnknownRevocationStatus
    );
}

#[test]
fn a_servers_name_is_checked() {
    let authority = authority(KeyKind::P256);
    let leaf = Leaf::server("shop").dns("shop.test");
    let shop = credential(&authority.issue(&leaf).unwrap());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(roots(&authority), provider().into())
            .build()
            .unwrap();
    let mut ends = Ends::seeded(1);
    let request = ends.ask(Role::Client, &template(), b"x");
    let authenticator = ends.server.authenticate(&request, &shop).unwrap();
    let proven = proven(ends.client.validate(&request, &authenticator).unwrap());
    let verify = |name| {
        let name = ServerName::try_from(name).unwrap();
        proven.clone().verify_server(&*verifier, &name, now())
    };
    verify("shop.test").unwrap();
    assert!(matches!(
        rejected(verify("bank.test")),
        CertificateError::NotValidForNameContext { .. }
    ));
}

/// A user's own verifier: takes whoever is on its list, by the bytes of the leaf.
#[derive(Debug)]
struct Listed(Vec<CertificateDer<'static>>, UnixTime);

impl ClientCertVerifier for Listed {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        assert_eq!((intermediates.len(), now), (1, self.1));
        if self.0.contains(end_entity) {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(Error::General("not on the list".into()))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        panic!("signatures of the handshake are no part of an authenticator")
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        panic!("signatures of the handshake are no part of an authenticator")
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Vec::new()
    }
}

#[test]
fn a_users_own_verifier_decides() {
    let authority = authority(KeyKind::P256);
    let alice = prove(&authority, &Leaf::client("alice").expired());
    let bob = prove(&authority, &Leaf::client("bob"));
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(5));
    let listed = Listed(vec![alice.chain()[0].clone()], now);
    let verified = alice.clone().verify_client(&listed, now).unwrap();
    assert_eq!(verified.chain(), alice.chain());
    assert_eq!(*verified.proven(), alice);
    let rejection = bob.verify_client(&listed, now).unwrap_err();
    assert_eq!(rejection.reason, Error::General("not on the list".into()));
}

/// Notes the OCSP response that it is shown.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<Vec<u8>>>);

impl ServerCertVerifier for Notes {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.lock().unwrap().push(ocsp_response.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        panic!("signatures of the handshake are no part of an authenticator")
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        panic!("signatures of the handshake are no part of an authenticator")
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Vec::new()
    }
}

#[test]
fn a_stapled_response_reaches_the_verifier() {
    let (_, alice) = support::alice();
    let template =
        template().extension(Extension { typ: ExtensionType::STATUS_REQUEST, body: Vec::new() });
    let request = template.build(MessageType::ClientCertificateRequest, b"x").unwrap();
    let notes = Notes::default();
    let stapled =
        |body: &[u8]| Extension { typ: ExtensionType::STATUS_REQUEST, body: body.to_vec() };
    let chain = alice.chain();
    for chain in [
        chain.clone(),
        chain.clone().with_ocsp(b"response"),
        chain.clone().with_extension(0, stapled(b"\x02\0\0\x01r")),
        chain.clone().with_extension(0, stapled(b"\x01\0\0\x02r")),
        chain.clone().with_extension(0, stapled(b"\x01\0\0\x01rr")),
    ] {
        let key = Arc::clone(alice.key());
        let credential = exported_authenticator::Credential::new(chain, key).unwrap();
        let values = Secrets(1).values();
        let made = stateless::authenticate(&values, Role::Server, &request, &credential).unwrap();
        let mut client = Ends::seeded(1).client;
        client.receive_request(request.as_bytes()).unwrap();
        let Validated::Proven(proven) = client.validate(&request, &made).unwrap() else {
            panic!("empty")
        };
        let name = ServerName::try_from("shop.test").unwrap();
        proven.verify_server(&notes, &name, now()).unwrap();
    }
    let none: &[u8] = b"";
    assert_eq!(*notes.0.lock().unwrap(), [none, b"response", none, none, none]);
}
