//! What is untrue about an authenticator of the right shape, by name. A client that believes one lie believes no other.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P521_SHA384_ASN1, UnparsedPublicKey, VerificationAlgorithm,
};
use countersign_conform::authenticator::{Secrets, Side, message};
use countersign_conform::bytes::Reader;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::flaws::messages;

/// What is untrue; all else is as it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// The last bit of the signature.
    SignatureBit,
    /// The last bit of the MAC.
    MacBit,
    /// The signed content begins as in the handshake of TLS 1.3.
    HandshakeString,
    /// The signature is over the client's handshake context.
    ClientsContext,
    /// The MAC is made with the client's values.
    ClientsMac,
    /// Both are.
    ClientsThroughout,
    /// Nothing fits this connection.
    Elsewhere,
    /// The signature is by the key of the second certificate.
    SecondKey,
    /// The key is on P-521 and signs with SHA-384.
    P521WithSha384,
    /// A key on P-256 is said to be on P-384.
    AnotherScheme,
    /// An extension occurs twice.
    Twice,
    /// An extension that nobody knows.
    Unknown,
}

struct Parts<'a> {
    secrets: &'a Secrets,
    certificate: Vec<u8>,
    signature: &'a [u8],
    chain: Vec<&'a [u8]>,
}

impl Parts<'_> {
    /// Whether the signature is by the key of this certificate, over this side's context behind this string.
    fn signed(&self, at: usize, string: &str, side: Side, signature: &[u8]) -> bool {
        self.signed_with(&ECDSA_P256_SHA256_ASN1, at, string, side, signature)
    }

    fn signed_with(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        at: usize,
        string: &str,
        side: Side,
        signature: &[u8],
    ) -> bool {
        let Some(Ok((_, leaf))) = self.chain.get(at).map(|der| X509Certificate::from_der(der))
        else {
            return false;
        };
        let transcript = self.secrets.transcript(side, &[&self.certificate]);
        let content = [&[0x20; 64][..], string.as_bytes(), &[0], &transcript].concat();
        let key = UnparsedPublicKey::new(algorithm, &leaf.public_key().subject_public_key.data);
        key.verify(&content, signature).is_ok()
    }
}

const STRING: &str = "Exported Authenticator";

/// The lie in a server's authenticator that no request precedes, if it is one of these.
pub(crate) fn lie(secrets: &Secrets, authenticator: &[u8]) -> Option<Lie> {
    let (messages, _) = messages(authenticator);
    let [(11, certificate), (15, verify), (20, mac)] = messages[..] else { return None };
    let (mut body, mut fields) = (Reader(certificate), Reader(verify));
    body.vector(1)?;
    let (mut list, mut chain, mut types) = (Reader(body.vector(3)?), Vec::new(), Vec::new());
    while let Some(der) = list.vector(3) {
        chain.push(der);
        let mut extensions = Reader(list.vector(2)?);
        while let Some(typ) = extensions.number(2) {
            types.push(typ);
            extensions.vector(2)?;
        }
    }
    let (scheme, signature) = (fields.number(2)?, fields.vector(2)?);
    let certificate = message::encode(message::CERTIFICATE, certificate);
    let verify = message::encode(message::CERTIFICATE_VERIFY, verify);
    let maced = |side, mac: &[u8]| {
        let finished = message::encode(message::FINISHED, mac);
        secrets.finished(side, &[&certificate, &verify]) == finished
    };
    let mac_of = [Side::Server, Side::Client].map(|side| maced(side, mac));
    let mac_bit = maced(Side::Server, &flipped(mac));
    let parts = Parts { secrets, certificate: certificate.clone(), signature, chain };
    let signed = |at, string, side| parts.signed(at, string, side, parts.signature);
    let signed_of = [Side::Server, Side::Client].map(|side| signed(0, STRING, side));
    match (signed_of, mac_of) {
        ([true, _], [true, _]) => match (&types[..], scheme) {
            ([5, 5], _) => Some(Lie::Twice),
            ([0xfefe], _) => Some(Lie::Unknown),
            ([], 0x0503) => Some(Lie::AnotherScheme),
            _ => None,
        },
        ([true, _], [false, true]) => Some(Lie::ClientsMac),
        ([true, _], [false, false]) => mac_bit.then_some(Lie::MacBit),
        ([false, true], [true, _]) => Some(Lie::ClientsContext),
        ([false, true], [false, true]) => Some(Lie::ClientsThroughout),
        ([false, false], [true, _]) => {
            let (server, bit) = (Side::Server, flipped(signature));
            let p521 = &ECDSA_P521_SHA384_ASN1;
            let lies = [
                (parts.signed(0, STRING, server, &bit), Lie::SignatureBit),
                (signed(0, "TLS 1.3, server CertificateVerify", server), Lie::HandshakeString),
                (signed(1, STRING, server), Lie::SecondKey),
                (parts.signed_with(p521, 0, STRING, server, signature), Lie::P521WithSha384),
            ];
            lies.into_iter().find_map(|(told, lie)| told.then_some(lie))
        }
        ([false, false], [false, false]) => Some(Lie::Elsewhere),
        _ => None,
    }
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    bytes
}
