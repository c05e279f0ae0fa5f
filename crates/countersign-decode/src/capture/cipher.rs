//! Keys from secrets, and what they open (RFC 8446, sections 5.3 and 7.3; RFC 9001, section 5; RFC 5246, section 6.3).

use std::fmt;

use aws_lc_rs::aead::quic::{self, HeaderProtectionKey};
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest;
use aws_lc_rs::hkdf::{self, KeyType, Prk, Salt};
use aws_lc_rs::tls_prf;
use zeroize::Zeroizing;

/// Bytes of a nonce.
const NONCE: usize = 12;
/// Bytes that an AEAD adds.
pub(super) const TAG: usize = 16;

/// A cipher suite that can be decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suite {
    aead: Aead,
    hash: Hash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aead {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
}

impl Suite {
    /// What protects QUIC's Initial packets.
    pub(super) const INITIAL: Self = Self { aead: Aead::Aes128Gcm, hash: Hash::Sha256 };

    /// The suite of TLS 1.3 with this number.
    pub(super) fn tls13(number: u16) -> Option<Self> {
        let (aead, hash) = match number {
            0x1301 => (Aead::Aes128Gcm, Hash::Sha256),
            0x1302 => (Aead::Aes256Gcm, Hash::Sha384),
            0x1303 => (Aead::ChaCha20Poly1305, Hash::Sha256),
            _ => return None,
        };
        Some(Self { aead, hash })
    }

    /// The suite of TLS 1.2 with this number: an elliptic curve's key exchange and an AEAD.
    pub(super) fn tls12(number: u16) -> Option<Self> {
        let (aead, hash) = match number {
            0xc02b | 0xc02f => (Aead::Aes128Gcm, Hash::Sha256),
            0xc02c | 0xc030 => (Aead::Aes256Gcm, Hash::Sha384),
            0xcca8 | 0xcca9 => (Aead::ChaCha20Poly1305, Hash::Sha256),
            _ => return None,
        };
        Some(Self { aead, hash })
    }

    fn algorithm(self) -> &'static aead::Algorithm {
        match self.aead {
            Aead::Aes128Gcm => &aead::AES_128_GCM,
            Aead::Aes256Gcm => &aead::AES_256_GCM,
            Aead::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        }
    }

    fn header_algorithm(self) -> &'static quic::Algorithm {
        match self.aead {
            Aead::Aes128Gcm => &quic::AES_128,
            Aead::Aes256Gcm => &quic::AES_256,
            Aead::ChaCha20Poly1305 => &quic::CHACHA20,
        }
    }

    fn hkdf(self) -> hkdf::Algorithm {
        match self.hash {
            Hash::Sha256 => hkdf::HKDF_SHA256,
            Hash::Sha384 => hkdf::HKDF_SHA384,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self.hash {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha384 => &digest::SHA384,
        }
    }

    fn hash_len(self) -> usize {
        match self.hash {
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
        }
    }
}

/// What keys of one direction are made from; it becomes the next one when keys are updated.
pub(super) struct TrafficSecret {
    suite: Suite,
    secret: Zeroizing<Vec<u8>>,
    labels: &'static Labels,
}

/// What the labels of HKDF-Expand-Label are.
pub(super) struct Labels {
    key: &'static str,
    iv: &'static str,
    update: &'static str,
}

/// Those of TLS 1.3 (RFC 8446, section 7.3).
pub(super) static TLS: Labels = Labels { key: "key", iv: "iv", update: "traffic upd" };
/// Those of QUIC version 1 (RFC 9001, sections 5.1 and 6.1).
pub(super) static QUIC: Labels = Labels { key: "quic key", iv: "quic iv", update: "quic ku" };

impl TrafficSecret {
    /// Nothing if the secret has not the length of the suite's hash.
    pub(super) fn new(suite: Suite, secret: &[u8], labels: &'static Labels) -> Option<Self> {
        let fits = secret.len() == suite.hash_len();
        fits.then(|| Self { suite, secret: Zeroizing::new(secret.to_vec()), labels })
    }

    /// The secrets of QUIC's Initial packets, the client's and the server's (RFC 9001, section 5.2).
    pub(super) fn initial(destination: &[u8]) -> Option<[Self; 2]> {
        const SALT: [u8; 20] = [
            0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8,
            0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
        ];
        let suite = Suite::INITIAL;
        let initial = Salt::new(suite.hkdf(), &SALT).extract(destination);
        let secret = |label| {
            let secret = expand_label(&initial, label, suite.hash_len())?;
            Some(Self { suite, secret, labels: &QUIC })
        };
        Some([secret("client in")?, secret("server in")?])
    }

    pub(super) fn next(&self) -> Option<Self> {
        let secret = self.expand(self.labels.update, self.suite.hash_len())?;
        Some(Self { suite: self.suite, secret, labels: self.labels })
    }

    pub(super) fn opener(&self) -> Option<Opener> {
        let key = self.expand(self.labels.key, self.suite.algorithm().key_len())?;
        let iv = self.expand(self.labels.iv, NONCE)?;
        Opener::new(self.suite, &key, &iv)
    }

    /// What QUIC's header protection is removed with (RFC 9001, section 5.4).
    pub(super) fn header_key(&self) -> Option<HeaderProtectionKey> {
        let algorithm = self.suite.header_algorithm();
        let key = self.expand("quic hp", algorithm.key_len())?;
        HeaderProtectionKey::new(algorithm, &key).ok()
    }

    fn expand(&self, label: &str, length: usize) -> Option<Zeroizing<Vec<u8>>> {
        expand_label(&Prk::new_less_safe(self.suite.hkdf(), &self.secret), label, length)
    }
}

/// HKDF-Expand-Label with an empty context (RFC 8446, section 7.1).
fn expand_label(secret: &Prk, label: &str, length: usize) -> Option<Zeroizing<Vec<u8>>> {
    expand_label_with(secret, label.as_bytes(), &[], length)
}

fn expand_label_with(
    secret: &Prk,
    label: &[u8],
    context: &[u8],
    length: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let label = [b"tls13 ", label].concat();
    let long = [u8::try_from(length).ok()?, u8::try_from(label.len()).ok()?];
    let context_len = [u8::try_from(context.len()).ok()?];
    let info: [&[u8]; 5] = [&[0], &long, &label, &context_len, context];
    let mut output = Zeroizing::new(vec![0; length]);
    secret.expand(&info, Length(length)).ok()?.fill(&mut output).ok()?;
    Some(output)
}

/// The exporter of TLS 1.3 (RFC 8446, section 7.5).
pub struct Exporter {
    suite: Suite,
    secret: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl Exporter {
    pub(super) fn new(suite: Suite, secret: &[u8]) -> Option<Self> {
        let fits = secret.len() == suite.hash_len();
        fits.then(|| Self { suite, secret: Zeroizing::new(secret.to_vec()) })
    }

    /// Fills `output`, of at most 255 bytes, with the value for a label and a context. Nothing if that cannot be.
    #[must_use]
    pub fn export(&self, output: &mut [u8], label: &[u8], context: &[u8]) -> Option<()> {
        let hash = |bytes| digest::digest(self.suite.digest(), bytes);
        let secret = Prk::new_less_safe(self.suite.hkdf(), &self.secret);
        let length = self.suite.hash_len();
        let derived = expand_label_with(&secret, label, hash(&[]).as_ref(), length)?;
        let derived = Prk::new_less_safe(self.suite.hkdf(), &derived);
        let context = hash(context);
        let value = expand_label_with(&derived, b"exporter", context.as_ref(), output.len())?;
        output.copy_from_slice(&value);
        Some(())
    }
}

/// The openers of TLS 1.2's both directions, the client's first (RFC 5246, section 6.3).
pub(super) fn tls12(
    suite: Suite,
    master_secret: &[u8],
    client_random: &[u8; 32],
    server_random: &[u8; 32],
) -> Option<[Opener; 2]> {
    let key_len = suite.algorithm().key_len();
    let iv_len = if suite.aead == Aead::ChaCha20Poly1305 { NONCE } else { 4 };
    let hash = match suite.hash {
        Hash::Sha256 => &tls_prf::P_SHA256,
        Hash::Sha384 => &tls_prf::P_SHA384,
    };
    let seed = [server_random.as_slice(), client_random].concat();
    let secret = tls_prf::Secret::new(hash, master_secret).ok()?;
    let block = secret.derive(b"key expansion", &seed, 2 * (key_len + iv_len)).ok()?;
    let (client_key, rest) = block.as_ref().split_at_checked(key_len)?;
    let (server_key, rest) = rest.split_at_checked(key_len)?;
    let (client_iv, server_iv) = rest.split_at_checked(iv_len)?;
    Some([Opener::new(suite, client_key, client_iv)?, Opener::new(suite, server_key, server_iv)?])
}

/// Opens what one direction sent.
pub(super) struct Opener {
    key: LessSafeKey,
    /// In TLS 1.2 with AES-GCM, the first four bytes alone; each record brings the others along (RFC 5288, section 3).
    iv: [u8; NONCE],
    explicit: bool,
}

impl Opener {
    fn new(suite: Suite, key: &[u8], iv: &[u8]) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(suite.algorithm(), key).ok()?);
        let mut whole = [0; NONCE];
        whole.get_mut(..iv.len())?.copy_from_slice(iv);
        Some(Self { key, iv: whole, explicit: iv.len() < NONCE })
    }

    /// Decrypts in place.
    pub(super) fn open<'a>(
        &self,
        number: u64,
        additional: &[u8],
        sealed: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        let mut nonce = self.iv;
        for (byte, number) in nonce.iter_mut().skip(NONCE - 8).zip(number.to_be_bytes()) {
            *byte ^= number;
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.open_in_place(nonce, Aad::from(additional), sealed).ok()
    }

    /// Opens a record of TLS 1.2 (RFC 5246, section 6.2.3.3).
    pub(super) fn open_tls12<'a>(
        &self,
        sequence: u64,
        typ: u8,
        version: [u8; 2],
        fragment: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        let (number, sealed) = if self.explicit {
            let (nonce, sealed) = fragment.split_at_mut_checked(8)?;
            (u64::from_be_bytes(<[u8; 8]>::try_from(&*nonce).ok()?), sealed)
        } else {
            (sequence, fragment)
        };
        let length = u16::try_from(sealed.len().checked_sub(TAG)?).ok()?.to_be_bytes();
        let sequence = sequence.to_be_bytes();
        let additional = [&sequence[..], &[typ], &version, &length].concat();
        self.open(number, &additional, sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9001, appendix A.1.
    #[test]
    fn the_initial_keys_of_the_rfc() {
        let destination = hex::decode("8394c8f03e515708").unwrap();
        let [client, server] = TrafficSecret::initial(&destination).unwrap();
        assert_eq!(
            hex::encode(&*client.secret),
            "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea"
        );
        let expand = |secret: &TrafficSecret, label, length| {
            hex::encode(&*secret.expand(label, length).unwrap())
        };
        assert_eq!(expand(&client, "quic key", 16), "1f369613dd76d5467730efcbe3b1a22d");
        assert_eq!(expand(&server, "quic iv", 12), "0ac1493ca1905853b0bba03e");
        assert_eq!(expand(&server, "quic hp", 16), "c206b8d9b9f0f37644430b490eeaa314");
    }

    /// RFC 9001, appendix A.5.
    #[test]
    fn the_update_of_the_rfc() {
        let secret =
            hex::decode("9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b")
                .unwrap();
        let suite = Suite::tls13(0x1303).unwrap();
        let secret = TrafficSecret::new(suite, &secret, &QUIC).unwrap();
        assert_eq!(
            hex::encode(&*secret.next().unwrap().secret),
            "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9"
        );
    }

    #[test]
    fn a_secret_of_another_length_is_none() {
        let suite = Suite::tls13(0x1302).unwrap();
        assert!(TrafficSecret::new(suite, &[0; 32], &TLS).is_none());
        assert!(TrafficSecret::new(suite, &[0; 48], &TLS).is_some());
    }
}
