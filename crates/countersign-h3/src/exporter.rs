//! What authenticators are bound to, from a QUIC connection (RFC 9261, section 5.1).

use exported_authenticator::{AuthenticatorHash, ExporterValues, Unavailable};
use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::HashAlgorithm;
use zeroize::Zeroizing;

/// The label of the exports that only ask whether they are possible.
const PROBE: &[u8] = b"EXPORTER-countersign probe";

/// HKDF expands to at most 255 times the hash's length (RFC 5869, section 2.3).
const fn beyond(hash_len: usize) -> usize {
    255 * hash_len + 1
}

/// The hash of the cipher suite that `quic` negotiated.
///
/// quinn 0.11 does not tell the suite, so the exporter is asked for more than one of TLS 1.3's hashes
/// can give: for SHA-256 this takes microseconds, for SHA-384 about half a millisecond. Ask once per
/// connection. `provider` is the one that the connection uses.
///
/// # Errors
/// [`Unavailable::HandshakeNotComplete`] on a connection that still sends or receives early data, and
/// [`Unavailable::NoHash`] for a hash that `provider` does not have.
pub fn authenticator_hash(
    quic: &quinn::Connection,
    provider: &CryptoProvider,
) -> Result<AuthenticatorHash, Unavailable> {
    if !handshake_complete(quic) {
        return Err(Unavailable::HandshakeNotComplete);
    }
    let algorithm = if !can_export(quic, beyond(32)) {
        HashAlgorithm::SHA256
    } else if !can_export(quic, beyond(48)) {
        HashAlgorithm::SHA384
    } else {
        return Err(Unavailable::NoHash);
    };
    AuthenticatorHash::of_algorithm(algorithm, provider)
}

/// The values that bind authenticators to `quic`. Take them once per connection, after the handshake.
/// `provider` is the one that the connection uses.
///
/// # Errors
/// Those of [`authenticator_hash`], and [`Unavailable::Exporter`] if the exporter fails.
pub fn exporter_values(
    quic: &quinn::Connection,
    provider: &CryptoProvider,
) -> Result<ExporterValues, Unavailable> {
    let hash = authenticator_hash(quic, provider)?;
    ExporterValues::from_exporter(hash, |output, label, context| {
        quic.export_keying_material(output, label, context)
    })
}

/// TLS has an exporter for 1-RTT only once its handshake is complete; there is none for early data.
pub(crate) fn handshake_complete(quic: &quinn::Connection) -> bool {
    can_export(quic, 1)
}

fn can_export(quic: &quinn::Connection, len: usize) -> bool {
    let mut output = Zeroizing::new(vec![0; len]);
    quic.export_keying_material(&mut output, PROBE, &[]).is_ok()
}
