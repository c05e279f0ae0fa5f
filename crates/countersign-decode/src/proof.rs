//! Whether the authenticators of a captured connection prove what they claim (RFC 9261, section 7.4), where the key log
//! has the exporter's secret.

use std::collections::VecDeque;

use exported_authenticator::stateless::{self, Offered, Validated};
use exported_authenticator::{
    Authenticator, AuthenticatorHash, AuthenticatorRequest, ExporterValues, ExtensionType,
    InvalidAuthenticator, Role,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite, SignatureScheme};

use crate::capture::{Connection, Side};
use crate::cursor::Cursor;

/// What authenticators of a connection are held against.
pub(crate) struct Proofs {
    provider: CryptoProvider,
    values: Option<ExporterValues>,
    offered: Offered,
    /// What the client has not answered yet; nothing from a request on that does not decode.
    outstanding: Option<VecDeque<AuthenticatorRequest>>,
}

impl Proofs {
    pub(crate) fn of(connection: &Connection) -> Self {
        let provider = aws_lc_rs::default_provider();
        let values = connection.exporter.as_ref().and_then(|exporter| {
            let suite = CipherSuite::from(connection.protection?.suite);
            let hash = AuthenticatorHash::of_suite_number(suite, &provider).ok()?;
            let values = ExporterValues::from_exporter(hash, |output, label, context| {
                exporter.export(output, label, context).ok_or(())
            });
            values.ok()
        });
        let schemes = connection.offered.signature_algorithms.iter();
        let extensions = connection.offered.extensions.iter();
        let offered = Offered {
            signature_algorithms: schemes.copied().map(SignatureScheme::from).collect(),
            extensions: extensions.copied().map(ExtensionType).collect(),
        };
        Self { provider, values, offered, outstanding: Some(VecDeque::new()) }
    }

    /// The server sent the payload of AUTHENTICATOR_REQUESTS.
    pub(crate) fn asked(&mut self, payload: &[u8]) {
        let mut cursor = Cursor::new(payload);
        while !cursor.is_empty() {
            let length =
                cursor.varint("").map(|length| usize::try_from(length).unwrap_or(usize::MAX));
            let request = length.and_then(|length| cursor.take(length, "")).ok();
            let request = request.and_then(|one| AuthenticatorRequest::parse(one.rest()).ok());
            match (request, &mut self.outstanding) {
                (Some(request), Some(outstanding)) => outstanding.push_back(request),
                (None, _) => self.outstanding = None,
                (Some(_), None) => {}
            }
            if self.outstanding.is_none() {
                return;
            }
        }
    }

    /// What is to be said of an authenticator.
    pub(crate) fn verdict(&mut self, from: Side, payload: &[u8]) -> Option<String> {
        let answered = match (from, &mut self.outstanding) {
            (Side::Client, Some(outstanding)) => match outstanding.pop_front() {
                Some(request) => Some(request),
                None => return Some("! no request is outstanding that it could answer".to_owned()),
            },
            (Side::Client, None) => return None,
            (Side::Server, _) => None,
        };
        let values = self.values.as_ref()?;
        let algorithms = &self.provider.signature_verification_algorithms;
        let validated = Authenticator::parse(payload).map_err(InvalidAuthenticator::from);
        let validated = validated.and_then(|authenticator| match &answered {
            Some(request) => {
                stateless::validate(values, Role::Client, request, &authenticator, algorithms)
            }
            None => {
                stateless::validate_spontaneous(values, &self.offered, &authenticator, algorithms)
                    .map(Validated::Proven)
            }
        });
        Some(match validated {
            Ok(Validated::Proven(_)) => {
                "valid on this connection: signature and Finished verify".to_owned()
            }
            Ok(Validated::Empty) => {
                "valid on this connection: the oldest request is declined".to_owned()
            }
            Err(invalid) => format!("! not valid on this connection: {invalid}"),
        })
    }
}
