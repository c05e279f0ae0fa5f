//! What is told and decided about one identity: the facts in its certificate, read once.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use countersign_proto::Rejection;
use http::HeaderValue;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::dn;
use crate::names::Name;

/// One identity of a connection.
#[derive(Debug)]
pub(crate) struct Caller {
    credential: Arc<str>,
    /// The end entity's first. Never empty.
    chain: Arc<[CertificateDer<'static>]>,
    sha256: Vec<u8>,
    subject: String,
    issuer: String,
    serial: String,
    not_after: i64,
    names: Vec<Name>,
    fields: Fields,
}

/// The header field values that this identity is forwarded as, each made when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// `Client-Cert`.
    pub(crate) client_cert: OnceLock<Option<HeaderValue>>,
    /// `Client-Cert-Chain`, unless there is nothing but the leaf.
    pub(crate) client_cert_chain: OnceLock<Option<HeaderValue>>,
    /// `X-Forwarded-Client-Cert`.
    pub(crate) xfcc: OnceLock<Option<HeaderValue>>,
    /// The member of `Client-Identities`.
    pub(crate) identity: OnceLock<Option<String>>,
}

impl Caller {
    /// Reads the certificate of a verified chain (leaf first).
    ///
    /// A certificate that TLS accepted and this parser does not is refused as untrusted: nothing
    /// can be decided about it.
    pub(crate) fn read(credential: &str, chain: &[CertificateDer<'_>]) -> Result<Self, Rejection> {
        Self::share(credential, chain.iter().map(|one| one.clone().into_owned()).collect())
    }

    /// The same, without a copy of the chain.
    pub(crate) fn share(
        credential: &str,
        chain: Arc<[CertificateDer<'static>]>,
    ) -> Result<Self, Rejection> {
        let leaf = chain.first().ok_or(Rejection::Untrusted)?;
        let certificate = parse(leaf)?;
        Ok(Self {
            credential: credential.into(),
            sha256: sha256(leaf),
            subject: dn::render(certificate.subject()),
            issuer: dn::render(certificate.issuer()),
            serial: hex(certificate.raw_serial()),
            not_after: certificate.validity().not_after.timestamp(),
            names: names_in(&certificate)?,
            fields: Fields::default(),
            chain: Arc::clone(&chain),
        })
    }

    /// The credential's name in the configuration.
    pub(crate) fn credential(&self) -> &str {
        &self.credential
    }

    /// The end-entity certificate, in DER.
    pub(crate) fn leaf(&self) -> &[u8] {
        self.chain.first().map(AsRef::as_ref).unwrap_or_default()
    }

    /// The rest of the chain as presented, in TLS' order.
    pub(crate) fn issuers(&self) -> &[CertificateDer<'static>] {
        self.chain.get(1..).unwrap_or_default()
    }

    /// The SHA-256 of the end-entity certificate's DER.
    pub(crate) fn sha256(&self) -> &[u8] {
        &self.sha256
    }

    /// The subject, as RFC 4514 text.
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    /// The issuer, as RFC 4514 text.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The serial number's octets in lower-case hexadecimal.
    pub(crate) fn serial(&self) -> &str {
        &self.serial
    }

    /// The end of validity, in seconds since 1970.
    pub(crate) fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The subject alternative names that patterns can match.
    pub(crate) fn names(&self) -> &[Name] {
        &self.names
    }

    /// Whether the certificate has run out since it was verified.
    pub(crate) fn has_expired(&self, now: UnixTime) -> bool {
        i64::try_from(now.as_secs()).is_ok_and(|now| now > self.not_after)
    }

    /// The header field values that were made so far.
    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }
}

/// Parses a certificate that must not have trailing bytes.
pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Rejection> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) | Err(_) => Err(Rejection::Untrusted),
    }
}

/// The names of a certificate that patterns can match.
///
/// Names with characters outside of printable ASCII are left out: none of the three kinds may have
/// them.
pub(crate) fn names_in(certificate: &X509Certificate<'_>) -> Result<Vec<Name>, Rejection> {
    let extension = certificate.subject_alternative_name().map_err(|_| Rejection::Untrusted)?;
    let Some(extension) = extension else {
        return Ok(Vec::new());
    };
    let readable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    Ok(extension
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::RFC822Name(text) if readable(text) => Some(Name::Mailbox((*text).into())),
            GeneralName::DNSName(text) if readable(text) => Some(Name::Host((*text).into())),
            GeneralName::URI(text) if readable(text) => Some(Name::Uri((*text).into())),
            GeneralName::RFC822Name(_)
            | GeneralName::DNSName(_)
            | GeneralName::URI(_)
            | GeneralName::OtherName(..)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::Invalid(..) => None,
        })
        .collect())
}

/// The SHA-256 of a certificate's DER.
pub(crate) fn sha256(certificate: &CertificateDer<'_>) -> Vec<u8> {
    digest(&SHA256, certificate).as_ref().to_vec()
}

/// Lower-case hexadecimal.
pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
