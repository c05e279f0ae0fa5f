//! The four values that bind authenticators to a connection (RFC 9261, section 5.1).

use std::fmt;

use rustls::ConnectionCommon;
use rustls::ProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::crypto::tls13::OkmBlock;
use zeroize::Zeroizing;

use crate::{AuthenticatorHash, Role, Unavailable};

/// Whether a TLS 1.2 connection is known to have negotiated the extended master secret (RFC 7627).
///
/// rustls does not tell per connection. A configuration with `require_ems = true` refuses handshakes
/// without it, so such a configuration is the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtendedMasterSecret {
    /// The connection's configuration has `require_ems = true`.
    Required,
    /// Nothing is known; TLS 1.2 is refused. TLS 1.3 does not need it.
    Unknown,
}

/// Handshake Context and Finished MAC Key of both senders. Zeroised on drop, never printed.
pub struct ExporterValues {
    hash: AuthenticatorHash,
    client: SenderValues,
    server: SenderValues,
}

//= specs/exported-authenticators.md#section-5.1
//# An authenticator MUST be computed from a Handshake Context and a Finished MAC Key that are
//# exported from the connection.
//= specs/exported-authenticators.md#decisions
//# (ours) The exporter values MUST be taken once per connection, after the handshake, and be wiped
//# when dropped.
pub(crate) struct SenderValues {
    pub(crate) handshake_context: Zeroizing<Vec<u8>>,
    pub(crate) finished_key: OkmBlock,
}

//= specs/exported-authenticators.md#section-5.1
//# The Handshake Context of a client's authenticator MUST be exported with the label
//# "EXPORTER-client authenticator handshake context".
const CLIENT_CONTEXT: &[u8] = b"EXPORTER-client authenticator handshake context";
//= specs/exported-authenticators.md#section-5.1
//# The Handshake Context of a server's authenticator MUST be exported with the label
//# "EXPORTER-server authenticator handshake context".
const SERVER_CONTEXT: &[u8] = b"EXPORTER-server authenticator handshake context";
//= specs/exported-authenticators.md#section-5.1
//# The Finished MAC Key of a client's authenticator MUST be exported with the label
//# "EXPORTER-client authenticator finished key".
const CLIENT_KEY: &[u8] = b"EXPORTER-client authenticator finished key";
//= specs/exported-authenticators.md#section-5.1
//# The Finished MAC Key of a server's authenticator MUST be exported with the label
//# "EXPORTER-server authenticator finished key".
const SERVER_KEY: &[u8] = b"EXPORTER-server authenticator finished key";

impl ExporterValues {
    /// Takes the values from a rustls connection whose handshake has completed.
    ///
    /// Call it once per connection and keep the result. `provider` is the one the connection uses.
    pub fn from_rustls<Data>(
        //= specs/exported-authenticators.md#section-9
        //= type=implication
        //# Creating or validating an authenticator MUST NOT change the state of the TLS connection.
        connection: &ConnectionCommon<Data>,
        provider: &CryptoProvider,
        ems: ExtendedMasterSecret,
    ) -> Result<Self, Unavailable> {
        //= specs/exported-authenticators.md#section-9
        //# A server MUST verify the client's Finished of the handshake before it sends an
        //# authenticator.
        //= specs/exported-authenticators.md#section-9
        //# A server MUST verify the client's Finished of the handshake before it processes an
        //# authenticator.
        //= specs/exported-authenticators.md#section-5.1
        //# On TLS 1.3 the exporter MUST be keyed by exporter_master_secret, never by
        //# early_exporter_master_secret.
        if connection.is_handshaking() {
            return Err(Unavailable::HandshakeNotComplete);
        }
        //= specs/exported-authenticators.md#section-1
        //# A connection MUST have negotiated TLS 1.2, DTLS 1.2 or a later version for
        //# authenticators to be used on it.
        //= specs/exported-authenticators.md#section-7
        //= type=implication
        //# Every interface MUST fail on a connection of TLS 1.1 or earlier.
        //= specs/exported-authenticators.md#section-7
        //# Every interface MUST fail on a connection of TLS 1.2 without the extended master secret.
        //= specs/exported-authenticators.md#section-5.1
        //# An authenticator MUST NOT be generated on a TLS 1.2 connection without the extended
        //# master secret.
        //= specs/exported-authenticators.md#section-5.1
        //# An authenticator MUST NOT be accepted on a TLS 1.2 connection without the extended
        //# master secret.
        match (connection.protocol_version(), ems) {
            (Some(ProtocolVersion::TLSv1_3), _)
            | (Some(ProtocolVersion::TLSv1_2), ExtendedMasterSecret::Required) => {}
            (_, ExtendedMasterSecret::Required | ExtendedMasterSecret::Unknown) => {
                return Err(Unavailable::NoExtendedMasterSecret);
            }
        }
        let suite =
            connection.negotiated_cipher_suite().ok_or(Unavailable::HandshakeNotComplete)?;
        let hash = AuthenticatorHash::of_suite(suite, provider)?;
        //= specs/exported-authenticators.md#section-5.1
        //# On TLS 1.2 the values MUST come from the exporter of RFC 5705, section 4.
        //= specs/exported-authenticators.md#section-5.1
        //# On TLS 1.3 the values MUST come from the exporter of RFC 8446, section 7.5.
        Self::from_exporter(hash, |output, label, context| {
            connection.export_keying_material(output, label, Some(context)).map(drop)
        })
    }

    /// Takes the values from any exporter: `export(output, label, context)` fills `output`.
    ///
    /// The caller vouches that the handshake has completed, that this is the exporter of the
    /// (1-RTT) connection and not of early data, and that TLS 1.2 had the extended master secret.
    /// `hash` is that of the negotiated cipher suite.
    //= specs/exported-authenticators.md#section-7.3
    //# The interface MAY be built outside of the TLS library on its exporters.
    pub fn from_exporter<E>(
        hash: AuthenticatorHash,
        mut export: impl FnMut(&mut [u8], &[u8], &[u8]) -> Result<(), E>,
    ) -> Result<Self, Unavailable> {
        let mut value = |label| {
            //= specs/exported-authenticators.md#section-5.1
            //# On TLS 1.3 a value MUST be as long as the output of the hash of the selected cipher
            //# suite.
            //= specs/exported-authenticators.md#section-5.1
            //# On TLS 1.2 a value MUST be as long as the output of the hash of the pseudorandom
            //# function.
            let mut output = Zeroizing::new(vec![0; hash.output_len()]);
            //= specs/exported-authenticators.md#section-5.1
            //# The exporter's context_value MUST be empty for each of the four values.
            export(&mut output, label, &[]).map_err(|_| Unavailable::Exporter)?;
            Ok(output)
        };
        let (client_context, client_key) = (value(CLIENT_CONTEXT)?, value(CLIENT_KEY)?);
        let (server_context, server_key) = (value(SERVER_CONTEXT)?, value(SERVER_KEY)?);
        let sender = |handshake_context, finished_key: &[u8]| SenderValues {
            handshake_context,
            finished_key: OkmBlock::new(finished_key),
        };
        Ok(Self {
            hash,
            client: sender(client_context, &client_key),
            server: sender(server_context, &server_key),
        })
    }

    /// The authenticator hash.
    pub fn hash(&self) -> AuthenticatorHash {
        self.hash
    }

    /// What binds the authenticators that `role` sends.
    pub(crate) fn of_sender(&self, role: Role) -> &SenderValues {
        match role {
            Role::Client => &self.client,
            Role::Server => &self.server,
        }
    }
}

impl fmt::Debug for ExporterValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExporterValues").field("hash", &self.hash).finish_non_exhaustive()
    }
}
