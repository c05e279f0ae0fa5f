//! Sections 5, 5.2, 7.3, 7.4: authenticators with a certificate.

use countersign_pki::KeyKind;
use exported_authenticator::{
    AuthenticateError, ContextError, Credential, Extension, ExtensionType, InvalidAuthenticator,
    MessageType, Offered, RequestTemplate, Role, Validated, is_tls13,
};
use rustls::SignatureScheme;
use rustls::pki_types::UnixTime;
use rustls::server::WebPkiClientVerifier;

use crate::support::*;

#[test]
fn an_authenticator_is_what_the_formulas_say() {
    for secrets in [SHA256, SHA384] {
        let mut pair = pair(secrets);
        let request = pair.ask(&anything(), CONTEXT);
        let alice = credential_with(KeyKind::Ed25519);
        let bytes = pair.client.authenticate(&request, &alice).unwrap();
        //= specs/exported-authenticators.md#section-5.2
        //= type=test
        //# An authenticator MUST be a TLS 1.3 Certificate followed by a CertificateVerify and a
        //# Finished.
        //= specs/exported-authenticators.md#section-5.2
        //= type=test
        //# Each of the three MUST be encoded as a TLS handshake message with its type and length.
        //= specs/exported-authenticators.md#section-5.2
        //= type=test
        //# The three MUST NOT be wrapped in TLS records or protected with the keys of the handshake
        //# or of application data.
        let parts = messages(&bytes);
        let types: Vec<u8> = parts.iter().map(|part| part.0).collect();
        assert_eq!(types, [CERTIFICATE, CERTIFICATE_VERIFY, FINISHED]);
        //= specs/exported-authenticators.md#section-5.2.1
        //= type=test
        //# The Certificate message MUST hold the end-entity certificate and its supporting chain in
        //# the structure of TLS 1.3.
        //= specs/exported-authenticators.md#section-5.2.1
        //= type=test
        //# The Certificate message MUST take its context from the request if there is one.
        //= specs/exported-authenticators.md#section-4
        //= type=test
        //# The answering authenticator MUST repeat the request's certificate_request_context.
        let certificate = certificate_message(CONTEXT, &alice, &[]);
        assert_eq!(parts[0].2, certificate);
        //= specs/exported-authenticators.md#section-5.2.2
        //= type=test
        //# CertificateVerify MUST consist of a two-byte signature scheme and a signature with a
        //# two-byte length.
        //= specs/exported-authenticators.md#section-5.2.2
        //= type=test
        //# The algorithm field MUST name the scheme with which the signature was made.
        //= specs/exported-authenticators.md#section-5.2.2
        //= type=test
        //# The signed content MUST be 64 bytes of 0x20, the string "Exported Authenticator" without
        //# a terminator, one zero byte and the transcript hash, in this order.
        //= specs/exported-authenticators.md#section-5.2.2
        //= type=test
        //# The transcript hash of CertificateVerify MUST be Hash(Handshake Context || authenticator
        //# request || Certificate) with the authenticator hash.
        //= specs/exported-authenticators.md#section-5.2.3
        //= type=test
        //# Finished MUST be HMAC(Finished MAC Key, Hash(Handshake Context || authenticator request
        //# || Certificate || CertificateVerify)) with the authenticator hash.
        //= specs/exported-authenticators.md#section-5.2.4
        //= type=test
        //# The authenticator's bytes MUST be those of Certificate, CertificateVerify and Finished,
        //# one after the other.
        //= specs/exported-authenticators.md#decisions
        //= type=test
        //# (ours) The transcript MUST cover the request's bytes as they were received, never a
        //# re-encoding.
        let ed25519 = SignatureScheme::ED25519;
        assert_eq!(
            bytes,
            secrets.forge(Role::Client, request.as_bytes(), &certificate, &alice, ed25519)
        );
        //= specs/exported-authenticators.md#section-7.4
        //= type=test
        //# The interface MUST return the identity, such as the chain with its extensions, when
        //# validation succeeds.
        let Ok(Validated::Proven(proven)) = pair.server.validate(&request, &bytes) else {
            panic!("a good authenticator was refused");
        };
        assert_eq!(proven.chain(), alice.chain().certificates());
        assert_eq!((proven.context(), proven.scheme()), (CONTEXT, ed25519));
    }
}

#[test]
fn any_flipped_bit_is_found() {
    let mut pair = pair(SHA256);
    let request = pair.ask(&anything(), CONTEXT);
    let bytes = pair.client.authenticate(&request, &credential()).unwrap();
    //= specs/exported-authenticators.md#section-5.2.4
    //= type=test
    //# An authenticator MUST be valid only if its CertificateVerify is right for the request, where
    //# there is one, and its Finished has the expected value.
    for index in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[index] ^= 1;
        assert!(pair.server.validate(&request, &forged).is_err(), "{index}");
    }
    assert!(pair.server.validate(&request, &bytes).is_ok());
}

#[test]
fn an_authenticator_counts_on_its_own_connection_only() {
    //= specs/exported-authenticators.md#section-5.2.2
    //= type=test
    //# An authenticator made on another connection, such as one on the far side of a
    //# TLS-terminating proxy, MUST fail to validate.
    let elsewhere = Secrets { seed: 1, ..SHA256 };
    let mut here = pair(SHA256);
    let request = here.ask(&anything(), CONTEXT);
    let mut there = pair(elsewhere);
    let same = there.ask(&anything(), CONTEXT);
    let bytes = there.client.authenticate(&same, &credential()).unwrap();
    assert_eq!(here.server.validate(&request, &bytes), Err(InvalidAuthenticator::BadSignature));
}

#[test]
fn a_context_is_answered_once() {
    let mut pair = pair(SHA256);
    let request = pair.ask(&anything(), CONTEXT);
    let bytes = pair.client.authenticate(&request, &credential()).unwrap();
    //= specs/exported-authenticators.md#section-5.2
    //= type=test
    //# An endpoint that has made or successfully validated an authenticator with some context MUST
    //# NOT make another with the same context.
    assert_eq!(
        pair.client.authenticate(&request, &credential()),
        Err(AuthenticateError::Context(ContextError::Replayed))
    );
    assert!(pair.server.validate(&request, &bytes).is_ok());
    //= specs/exported-authenticators.md#section-7.4
    //= type=test
    //# The interface SHOULD fail if another authenticator with the same context was validated
    //# before.
    assert_eq!(
        pair.server.validate(&request, &bytes),
        Err(InvalidAuthenticator::Context(ContextError::Replayed))
    );
}

#[test]
fn clients_answer_and_servers_may_begin() {
    //= specs/exported-authenticators.md#section-5
    //= type=test
    //# A client MUST NOT send an authenticator unless a request came before it.
    //= specs/exported-authenticators.md#section-5.2
    //= type=test
    //# None but a server MAY make an authenticator that answers no request.
    let mut client = SHA256.connection(Role::Client);
    assert_eq!(
        client.authenticate_spontaneously(CONTEXT, &offered(), &credential()),
        Err(AuthenticateError::SpontaneousClient)
    );
    let mut server = SHA256.connection(Role::Server);
    let bytes = SHA256
        .connection(Role::Server)
        .authenticate_spontaneously(CONTEXT, &offered(), &credential())
        .unwrap();
    assert_eq!(
        server.validate_spontaneous(&bytes, &offered()),
        Err(InvalidAuthenticator::SpontaneousClient)
    );
}

#[test]
fn a_spontaneous_authenticator_follows_the_client_hello() {
    let mut both = pair(SHA256);
    let alice = credential();
    let server = &mut both.server;
    //= specs/exported-authenticators.md#section-5
    //= type=test
    //# The context of an authenticator that answers no request MUST be chosen by the server.
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# The context of a Certificate without a request MAY be arbitrary in every other respect.
    let bytes = server.authenticate_spontaneously(b"of my own", &offered(), &alice).unwrap();
    //= specs/exported-authenticators.md#section-5.2.2
    //= type=test
    //# A request that does not exist MUST contribute nothing to the transcript.
    let certificate = certificate_message(b"of my own", &alice, &[]);
    let parts = messages(&bytes);
    let mac = SHA256.finished(Role::Server, &[&[], &certificate, &parts[1].2]);
    assert_eq!(parts[2].1, mac);
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# The context of a Certificate without a request MUST be unique on its connection.
    assert_eq!(
        server.authenticate_spontaneously(b"of my own", &offered(), &alice),
        Err(AuthenticateError::Context(ContextError::Repeated))
    );
    //= specs/exported-authenticators.md#section-5.2.2
    //= type=test
    //# Without a request the scheme MUST be in the signature_algorithms of the ClientHello.
    let ed25519 =
        Offered { signature_algorithms: vec![SignatureScheme::ED25519], extensions: Vec::new() };
    assert!(server.authenticate_spontaneously(b"another", &ed25519, &alice).is_err());
    assert_eq!(
        both.client.validate_spontaneous(&bytes, &ed25519),
        Err(InvalidAuthenticator::SchemeNotOffered(SignatureScheme::ECDSA_NISTP256_SHA256))
    );
    assert!(both.client.validate_spontaneous(&bytes, &offered()).is_ok());
    assert!(both.client.validate_spontaneous(&bytes, &offered()).is_err());
}

#[test]
fn only_extensions_that_were_offered_are_sent_and_accepted() {
    let status = [1, 0, 0, 1, 9];
    let certified = credential();
    let chain = certified.chain().clone().with_ocsp(&[9]);
    let alice = Credential::new(chain, certified.key().clone()).unwrap();
    let asks_for_status = anything()
        .extension(Extension { typ: ExtensionType::STATUS_REQUEST, body: vec![1, 0, 0, 0, 0] });
    let stapled = certificate_message(CONTEXT, &alice, &extension(5, &status));
    let bare = certificate_message(CONTEXT, &alice, &[]);
    for (template, sent) in [(asks_for_status, &stapled), (anything(), &bare)] {
        let mut pair = pair(SHA256);
        let request = pair.ask(&template, CONTEXT);
        //= specs/exported-authenticators.md#section-5.2.1
        //= type=test
        //# A Certificate that answers a request MUST contain only extensions that the request
        //# contains.
        let bytes = pair.client.authenticate(&request, &alice).unwrap();
        assert_eq!(&messages(&bytes)[0].2, sent);
    }

    let mut one = pair(SHA256);
    let request = one.ask(&anything(), CONTEXT);
    let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
    let forged = SHA256.forge(Role::Client, request.as_bytes(), &stapled, &alice, scheme);
    let not_requested = InvalidAuthenticator::ExtensionNotRequested(ExtensionType::STATUS_REQUEST);
    assert_eq!(one.server.validate(&request, &forged), Err(not_requested.clone()));

    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# A Certificate that answers no request MUST contain only extensions that the ClientHello
    //# contains.
    //= specs/exported-authenticators.md#section-5.2
    //= type=test
    //# Without a request the extensions of an authenticator MUST be taken from those of the
    //# ClientHello.
    let forged = SHA256.forge(Role::Server, &[], &stapled, &alice, scheme);
    let mut client = SHA256.connection(Role::Client);
    assert_eq!(client.validate_spontaneous(&forged, &offered()), Err(not_requested));
    let hello = Offered { extensions: vec![ExtensionType::STATUS_REQUEST], ..offered() };
    let bytes = SHA256
        .connection(Role::Server)
        .authenticate_spontaneously(CONTEXT, &hello, &alice)
        .unwrap();
    assert_eq!(messages(&bytes)[0].2, stapled);
    assert!(client.validate_spontaneous(&bytes, &hello).is_ok());
}

#[test]
fn the_scheme_is_one_of_tls_1_3_and_of_the_request() {
    //= specs/exported-authenticators.md#section-5.2.2
    //= type=test
    //# The scheme MUST be one that TLS 1.3 allows for signatures.
    //= specs/exported-authenticators.md#section-5.2.2
    //= type=test
    //# An RSASSA-PKCS1-v1_5 scheme MUST NOT be used.
    assert!(!is_tls13(SignatureScheme::RSA_PKCS1_SHA256));
    assert!(!is_tls13(SignatureScheme::ECDSA_SHA1_Legacy));
    let rsa = credential_with(KeyKind::Rsa2048);
    let pkcs1 = SignatureScheme::RSA_PKCS1_SHA256;
    let mut one = pair(SHA256);
    let template = RequestTemplate::new(vec![pkcs1, SignatureScheme::RSA_PSS_SHA256])
        .certificate_schemes(vec![SignatureScheme::ECDSA_NISTP256_SHA256]);
    let request = one.ask(&template, CONTEXT);
    let certificate = certificate_message(CONTEXT, &rsa, &[]);
    let forged = SHA256.forge(Role::Client, request.as_bytes(), &certificate, &rsa, pkcs1);
    assert_eq!(
        one.server.validate(&request, &forged),
        Err(InvalidAuthenticator::SchemeNotTls13(pkcs1))
    );
    //= specs/exported-authenticators.md#section-5.2.2
    //= type=test
    //# With a request the scheme MUST be in the request's signature_algorithms.
    let bytes = one.client.authenticate(&request, &rsa).unwrap();
    assert_eq!(messages(&bytes)[1].1[..2], [0x08, 0x04]);
    let pss384 = SignatureScheme::RSA_PSS_SHA384;
    let forged = SHA256.forge(Role::Client, request.as_bytes(), &certificate, &rsa, pss384);
    assert_eq!(
        one.server.validate(&request, &forged),
        Err(InvalidAuthenticator::SchemeNotOffered(pss384))
    );
    assert!(one.server.validate(&request, &bytes).is_ok());
}

#[test]
fn a_scheme_binds_its_curve() {
    let mut pair = pair(SHA256);
    let request = pair.ask(&anything(), CONTEXT);
    let p256 = credential();
    let certificate = certificate_message(CONTEXT, &p256, &[]);
    //= specs/exported-authenticators.md#section-5.2.2
    //= type=test
    //# A pair of ECDSA curve and hash that TLS 1.3 does not have MUST NOT be used.
    //= specs/exported-authenticators.md#decisions
    //= type=test
    //# (ours) A signature scheme MUST bind the curve of its key.
    let p384 = SignatureScheme::ECDSA_NISTP384_SHA384;
    let forged =
        SHA256.forge_signed(Role::Client, request.as_bytes(), &certificate, p384, &[0; 70]);
    assert_eq!(
        pair.server.validate(&request, &forged),
        Err(InvalidAuthenticator::SchemeKeyMismatch(p384))
    );
}

#[test]
fn only_x509_certificates_are_known() {
    let mut pair = pair(SHA256);
    let request = pair.ask(&anything(), CONTEXT);
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# Certificates MUST be X.509 certificates.
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# Other kinds of certificate such as raw public keys MUST NOT be used.
    let raw_key = [0x30, 0x05, 0x30, 0x03, 0x06, 0x01, 0x2b];
    let list = [vector(3, &raw_key), vector(2, &[])].concat();
    let certificate = message(CERTIFICATE, &[vector(1, CONTEXT), vector(3, &list)].concat());
    let ed25519 = SignatureScheme::ED25519;
    let forged =
        SHA256.forge_signed(Role::Client, request.as_bytes(), &certificate, ed25519, &[0; 64]);
    assert_eq!(pair.server.validate(&request, &forged), Err(InvalidAuthenticator::BadCertificate));
    assert!(exported_authenticator::Chain::new(vec![raw_key.to_vec().into()]).is_err());
}

#[test]
fn certificates_suit_a_certificate_message() {
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# The chosen certificates MUST satisfy what the negotiated version of TLS asks of a
    //# Certificate message.
    let usages = [countersign_pki::KeyUsage::KeyEncipherment];
    let leaf = countersign_pki::Leaf::client("no signer").key_usages(usages);
    let issued = authority().issue(&leaf).unwrap();
    assert_eq!(
        exported_authenticator::Chain::new(issued.chain),
        Err(exported_authenticator::ChainError::KeyUsage)
    );
}

#[test]
fn certificates_are_of_version_3() {
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# Certificates MUST be of version 3.
    // [0] { INTEGER 2 }, which means 3.
    let version = [0xa0, 3, 2, 1, 2];
    let older = |certificate: &[u8]| {
        let mut der = certificate.to_vec();
        let at = der.windows(version.len()).position(|window| window == version).unwrap();
        der[at + version.len() - 1] = 1;
        der
    };
    let alice = credential();
    let good = alice.chain().certificates();
    for index in 0..good.len() {
        let mut chain = good.to_vec();
        chain[index] = older(&chain[index]).into();
        let refused = exported_authenticator::Chain::new(chain).unwrap_err();
        assert_eq!(refused, exported_authenticator::ChainError::Version(index + 1));
        assert!(refused.to_string().contains(&format!("certificate {}", index + 1)));
    }
    let mut pair = pair(SHA256);
    let request = pair.ask(&anything(), CONTEXT);
    let list = [vector(3, &older(&good[0])), vector(2, &[])].concat();
    let certificate = message(CERTIFICATE, &[vector(1, CONTEXT), vector(3, &list)].concat());
    let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
    let forged = SHA256.forge(Role::Client, request.as_bytes(), &certificate, &alice, scheme);
    assert_eq!(pair.server.validate(&request, &forged), Err(InvalidAuthenticator::BadCertificate));
}

#[test]
fn the_signers_certificate_comes_first() {
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# The sender's certificate MUST be the first entry.
    let alice = credential();
    let mut behind_another = alice.chain().certificates().to_vec();
    behind_another.insert(0, credential().chain().certificates()[0].clone());
    let chain = exported_authenticator::Chain::new(behind_another.clone()).unwrap();
    let joined = Credential::new(chain, alice.key().clone());
    assert_eq!(joined.map(drop), Err(exported_authenticator::ChainError::KeyMismatch));

    let mut pair = pair(SHA256);
    let request = pair.ask(&anything(), CONTEXT);
    let entry = |one| [vector(3, one), vector(2, &[])].concat();
    let list: Vec<u8> = behind_another.iter().flat_map(|one| entry(one)).collect();
    let certificate = message(CERTIFICATE, &[vector(1, CONTEXT), vector(3, &list)].concat());
    let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
    let forged = SHA256.forge(Role::Client, request.as_bytes(), &certificate, &alice, scheme);
    assert_eq!(pair.server.validate(&request, &forged), Err(InvalidAuthenticator::BadSignature));
}

#[test]
fn what_is_signed_has_a_certificate() {
    //= specs/exported-authenticators.md#section-5.2.1
    //= type=test
    //# A Certificate that a CertificateVerify follows MUST have an entry.
    let mut pair = pair(SHA256);
    let request = pair.ask(&anything(), CONTEXT);
    let certificate = message(CERTIFICATE, &[vector(1, CONTEXT), vector(3, &[])].concat());
    let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
    let forged =
        SHA256.forge(Role::Client, request.as_bytes(), &certificate, &credential(), scheme);
    assert_eq!(
        pair.server.validate(&request, &forged),
        Err(InvalidAuthenticator::EmptyCertificateList)
    );
}

#[test]
fn the_verifier_has_the_last_word() {
    //= specs/exported-authenticators.md#section-7
    //= type=test
    //# An implementation MAY shape these interfaces otherwise.
    let users = authority();
    let leaf = countersign_pki::Leaf::client("alice");
    let alice = credential_of(&users.issue(&leaf).unwrap());
    for (root, accepted) in [(users.root_der(), true), (authority().root_der(), false)] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root).unwrap();
        let provider = std::sync::Arc::new(provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        let verifier = verifier.build().unwrap();
        //= specs/exported-authenticators.md#section-7.4
        //= type=test
        //# The interface MUST take the connection, the request if there was one, the authenticator
        //# and a function that validates a chain.
        let mut pair = pair(SHA256);
        let request = pair.ask(&anything(), CONTEXT);
        let bytes = pair.client.authenticate(&request, &alice).unwrap();
        let Ok(Validated::Proven(proven)) = pair.server.validate(&request, &bytes) else {
            panic!("a good authenticator was refused");
        };
        //= specs/exported-authenticators.md#section-7.4
        //= type=test
        //# The interface MUST report whether the authenticator is valid after that function has
        //# judged its chain.
        //= specs/exported-authenticators.md#decisions
        //= type=test
        //# (ours) A proof of possession and an accepted chain MUST be two types, neither of which
        //# can be made outside of the crate.
        let verified = proven.verify_client(&*verifier, UnixTime::now());
        assert_eq!(verified.is_ok(), accepted);
        if let Ok(verified) = verified {
            assert_eq!(verified.chain(), alice.chain().certificates());
        }
    }
}

#[test]
fn the_key_may_be_elsewhere() {
    let mut pair = pair(SHA256);
    let request = pair.ask(&anything(), CONTEXT);
    let alice = credential();
    //= specs/exported-authenticators.md#section-7.3
    //= type=test
    //# The interface MUST take the connection, identities with their extensions, a signer for each,
    //# and a request or a context.
    let scheme = alice.choose_scheme(&request).unwrap();
    let unsigned = exported_authenticator::UnsignedAuthenticator::answer(
        pair.client.values(),
        Role::Client,
        &request,
        alice.chain(),
        scheme,
    )
    .unwrap();
    //= specs/exported-authenticators.md#section-7.3
    //= type=test
    //# The signer MAY be a private key or an interface to one.
    let signer = alice.key().choose_scheme(&[unsigned.scheme()]).unwrap();
    let signature = signer.sign(unsigned.message()).unwrap();
    //= specs/exported-authenticators.md#section-7.3
    //= type=test
    //# The interface MUST return an authenticator or an empty authenticator.
    let bytes = unsigned.finish(&signature).unwrap();
    assert!(pair.server.validate(&request, &bytes).is_ok());
}

#[test]
fn both_message_types_are_answered_over_the_bytes_received() {
    for typ in [MessageType::CertificateRequest, MessageType::ClientCertificateRequest] {
        let mut both = pair(SHA256);
        let request = both.server.request(&anything(), typ, CONTEXT).unwrap();
        let received = both.client.receive_request(request.as_bytes()).unwrap();
        let bytes = both.client.authenticate(&received, &credential()).unwrap();
        assert!(both.server.validate(&request, &bytes).is_ok());
    }
}
