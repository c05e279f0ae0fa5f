//! What a leaf certificate shall say; the authority that issues it adds the rest.

use std::net::IpAddr;

use rcgen::{CertificateParams, IsCa, SanType, SerialNumber};

use crate::authority::distinguished_name;
use crate::{ExtendedKeyUsage, KeyKind, KeyUsage, Lifetime, PkiError, Serial, Validity};

/// A leaf to issue. Without further calls: a P-256 key, digitalSignature, current for 365 days.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub(crate) name: String,
    pub(crate) key: KeyKind,
    pub(crate) lifetime: Lifetime,
    names: Vec<Name>,
    extended_key_usages: Vec<ExtendedKeyUsage>,
    key_usages: Vec<KeyUsage>,
    serial: Option<Serial>,
}

#[derive(Clone, Debug)]
enum Name {
    Dns(String),
    Email(String),
    Uri(String),
    Ip(IpAddr),
}

impl Leaf {
    /// A certificate for client authentication with the common name `name`.
    pub fn client(name: impl Into<String>) -> Self {
        Self::new(name).extended_key_usages([ExtendedKeyUsage::ClientAuth])
    }

    /// A certificate for server authentication with the common name `name`, which is no
    /// subjectAltName by itself.
    pub fn server(name: impl Into<String>) -> Self {
        Self::new(name).extended_key_usages([ExtendedKeyUsage::ServerAuth])
    }

    /// A certificate without extended key usage.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            key: KeyKind::default(),
            lifetime: Lifetime::default(),
            names: Vec::new(),
            extended_key_usages: Vec::new(),
            key_usages: vec![KeyUsage::DigitalSignature],
            serial: None,
        }
    }

    /// The kind of its key.
    pub fn key(mut self, key: KeyKind) -> Self {
        self.key = key;
        self
    }

    /// Adds a dNSName.
    pub fn dns(mut self, name: impl Into<String>) -> Self {
        self.names.push(Name::Dns(name.into()));
        self
    }

    /// Adds an rfc822Name.
    pub fn email(mut self, name: impl Into<String>) -> Self {
        self.names.push(Name::Email(name.into()));
        self
    }

    /// Adds a uniformResourceIdentifier.
    pub fn uri(mut self, name: impl Into<String>) -> Self {
        self.names.push(Name::Uri(name.into()));
        self
    }

    /// Adds an iPAddress.
    pub fn ip(mut self, address: impl Into<IpAddr>) -> Self {
        self.names.push(Name::Ip(address.into()));
        self
    }

    /// Replaces the extended key usages; none leaves the extension out.
    pub fn extended_key_usages(
        mut self,
        usages: impl IntoIterator<Item = ExtendedKeyUsage>,
    ) -> Self {
        self.extended_key_usages = usages.into_iter().collect();
        self
    }

    /// Replaces the key usages; none leaves the extension out.
    pub fn key_usages(mut self, usages: impl IntoIterator<Item = KeyUsage>) -> Self {
        self.key_usages = usages.into_iter().collect();
        self
    }

    /// Valid exactly then.
    pub fn validity(self, validity: Validity) -> Self {
        self.lifetime(Lifetime::Exactly(validity))
    }

    /// Expired since yesterday.
    pub fn expired(self) -> Self {
        self.lifetime(Lifetime::Expired)
    }

    /// Valid from tomorrow.
    pub fn not_yet_valid(self) -> Self {
        self.lifetime(Lifetime::NotYetValid)
    }

    /// Valid as `lifetime` says.
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// This serial number rather than one made from the key: 1 to 20 bytes, big-endian.
    pub fn serial(mut self, serial: impl Into<Serial>) -> Self {
        self.serial = Some(serial.into());
        self
    }

    pub(crate) fn params(&self) -> Result<CertificateParams, PkiError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(&self.name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages.clone_from(&self.key_usages);
        params.extended_key_usages.clone_from(&self.extended_key_usages);
        params.serial_number = self.serial.as_deref().map(SerialNumber::from_slice);
        params.subject_alt_names =
            self.names.iter().map(Name::encode).collect::<Result<Vec<_>, _>>()?;
        Ok(params)
    }
}

impl Name {
    fn encode(&self) -> Result<SanType, PkiError> {
        let ascii = |name: &String| {
            name.as_str().try_into().map_err(|_| PkiError::Name { name: name.clone() })
        };
        Ok(match self {
            Self::Dns(name) => SanType::DnsName(ascii(name)?),
            Self::Email(name) => SanType::Rfc822Name(ascii(name)?),
            Self::Uri(name) => SanType::URI(ascii(name)?),
            Self::Ip(address) => SanType::IpAddress(*address),
        })
    }
}
