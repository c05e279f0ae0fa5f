//! Certification authorities: roots, intermediates below them, what they issue and revoke.

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, IsCa, Issuer, KeyIdMethod, KeyPair, RevocationReason, RevokedCertParams, SerialNumber,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use time::OffsetDateTime;

use crate::issued::certificate_pem;
use crate::{Issued, KeyKind, KeyUsage, Leaf, PkiError, Serial, Validity};

/// A root is valid for ten years, an intermediate for five, a revocation list for one.
const ROOT_DAYS: i64 = 3650;
const INTERMEDIATE_DAYS: i64 = 1825;
const CRL_DAYS: i64 = 365;

/// An authority with its key, in memory.
pub struct Authority {
    name: String,
    now: OffsetDateTime,
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    /// This authority's own certificate first, then those above it, without the root.
    intermediates: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Authority {
    /// A new self-signed root, valid for ten years as of the system's clock.
    pub fn root(name: &str, key: KeyKind) -> Result<Self, PkiError> {
        Self::root_at(name, key, OffsetDateTime::now_utc())
    }

    /// A new self-signed root for which it is `now`; all that it issues is dated relative to that.
    pub fn root_at(name: &str, key: KeyKind, now: OffsetDateTime) -> Result<Self, PkiError> {
        let failed = |source| PkiError::Certificate { subject: name.into(), source };
        let key = key.generate().map_err(failed)?;
        let params = ca_params(name, &key, Validity::days(now, ROOT_DAYS));
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Self {
            name: name.into(),
            now,
            issuer: Issuer::new(params, key),
            root: certificate.into(),
            intermediates: Vec::new(),
        })
    }

    /// A new authority below this one, valid for five years.
    pub fn intermediate(&self, name: &str, key: KeyKind) -> Result<Self, PkiError> {
        let failed = |source| PkiError::Certificate { subject: name.into(), source };
        let key = key.generate().map_err(failed)?;
        let params = ca_params(name, &key, Validity::days(self.now, INTERMEDIATE_DAYS));
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let mut intermediates = vec![certificate.into()];
        intermediates.extend_from_slice(&self.intermediates);
        Ok(Self {
            name: name.into(),
            now: self.now,
            issuer: Issuer::new(params, key),
            root: self.root.clone(),
            intermediates,
        })
    }

    /// Issues `leaf` with a fresh key.
    pub fn issue(&self, leaf: &Leaf) -> Result<Issued, PkiError> {
        let failed = |source| PkiError::Certificate { subject: leaf.name.clone(), source };
        let key = leaf.key.generate().map_err(failed)?;
        let mut params = leaf.params()?;
        params.use_authority_key_identifier_extension = true;
        let validity = leaf.lifetime.at(self.now);
        params.not_before = validity.not_before;
        params.not_after = validity.not_after;
        let serial = params.serial_number.get_or_insert_with(|| serial_of(&key)).to_bytes();
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;

        let mut chain = vec![certificate.into()];
        chain.extend_from_slice(&self.intermediates);
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok(Issued { chain, key, serial })
    }

    /// A revocation list of what this authority issued directly, current for a year.
    pub fn crl(
        &self,
        revoked: &[Serial],
    ) -> Result<CertificateRevocationListDer<'static>, PkiError> {
        self.crl_with(revoked, Validity::days(self.now, CRL_DAYS))
    }

    /// The same, from `thisUpdate` to `nextUpdate` as given.
    pub fn crl_with(
        &self,
        revoked: &[Serial],
        validity: Validity,
    ) -> Result<CertificateRevocationListDer<'static>, PkiError> {
        let number = validity.not_before.unix_timestamp().unsigned_abs();
        let params = CertificateRevocationListParams {
            this_update: validity.not_before,
            next_update: validity.not_after,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from_slice(serial),
                    revocation_time: validity.not_before,
                    reason_code: Some(RevocationReason::KeyCompromise),
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let crl = params
            .signed_by(&self.issuer)
            .map_err(|source| PkiError::RevocationList { issuer: self.name.clone(), source })?;
        Ok(crl.into())
    }

    /// This authority's own certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.intermediates.first().unwrap_or(&self.root)
    }

    /// The certificates that peers have to be sent: this authority's and those above it but the root.
    pub fn intermediates(&self) -> &[CertificateDer<'static>] {
        &self.intermediates
    }

    /// The root at the top of this authority's chain: what a verifier trusts.
    pub fn root_der(&self) -> CertificateDer<'static> {
        self.root.clone()
    }

    /// This authority's private key (PKCS#8), for who has to issue what [`Self::issue`] does not.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.issuer.key().serialize_der().into())
    }

    /// The root as PEM.
    pub fn root_pem(&self) -> String {
        certificate_pem(&self.root)
    }
}

fn ca_params(name: &str, key: &KeyPair, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsage::KeyCertSign, KeyUsage::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params.not_before = validity.not_before;
    params.not_after = validity.not_after;
    params.serial_number = Some(serial_of(key));
    params
}

pub(crate) fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Countersign test PKI");
    name.push(DnType::CommonName, common_name);
    name
}

/// A serial number from the key: unique, positive and within the 20 bytes of RFC 5280, section 4.1.2.2.
fn serial_of(key: &KeyPair) -> SerialNumber {
    let mut bytes = CertificateParams::default().key_identifier(key);
    if let Some(first) = bytes.first_mut() {
        // Neither negative nor with a leading zero, so that every encoder writes the same bytes.
        *first = (*first & 0x7f) | 0x40;
    }
    SerialNumber::from_slice(&bytes)
}
