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

pub(crate) struct SenderValues {
    pub(crate) handshake_context: Zeroizing<Vec<u8>>,
    pub(crate) finished_key: OkmBlock,
}

const CLIENT_CONTEXT: &[u8] = b"EXPORTER-client authenticator handshake context";
const SERVER_CONTEXT: &[u8] = b"EXPORTER-server authenticator handshake context";
const CLIENT_KEY: &[u8] = b"EXPORTER-client authenticator finished key";
const SERVER_KEY: &[u8] = b"EXPORTER-server authenticator finished key";

impl ExporterValues {
    /// Takes the values from a rustls connection whose handshake has completed.
    ///
    /// Call it once per connection and keep the result. `provider` is the one the connection uses.
    pub fn from_rustls<Data>(
        connection: &ConnectionCommon<Data>,
        provider: &CryptoProvider,
        ems: ExtendedMasterSecret,
    ) -> Result<Self, Unavailable> {
        if connection.is_handshaking() {
            return Err(Unavailable::HandshakeNotComplete);
        }
        match (connection.protocol_version(), ems) {
            (Some(ProtocolVersion::TLSv1_3), _)
            | (Some(ProtocolVersion::TLSv1_2), ExtendedMasterSecret::Required) => {}
            (_, ExtendedMasterSecret::Required | ExtendedMasterSecret::Unknown) => {
                return Err(Unavailable::NoExtendedMasterSecret);
            }
        }
        let suite = connection
            .negotiated_cipher_suite()
            .ok_or(Unavailable::HandshakeNotComplete)?;
        let hash = AuthenticatorHash::of_suite(suite, provider)?;
        Self::from_exporter(hash, |output, label, context| {
            connection
                .export_keying_material(output, label, Some(context))
                .map(drop)
        })
    }

    /// Takes the values from any exporter: `export(output, label, context)` fills `output`.
    ///
    /// The caller vouches that the handshake has completed, that this is the exporter of the
    /// (1-RTT) connection and not of early data, and that TLS 1.2 had the extended master secret.
    /// `hash` is that of the negotiated cipher suite.
    pub fn from_exporter<E>(
        hash: AuthenticatorHash,
        mut export: impl FnMut(&mut [u8], &[u8], &[u8]) -> Result<(), E>,
    ) -> Result<Self, Unavailable> {
        let mut value = |label| {
            let mut output = Zeroizing::new(vec![0; hash.output_len()]);
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
        f.debug_struct("ExporterValues")
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}
