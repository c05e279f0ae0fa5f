//! The Certificate message (RFC 8446, section 4.4.2; RFC 9261, section 5.2.1).
//!
//! ```text
//! certificate_request_context<0..255>,
//! certificate_list<0..2^24-1> of { cert_data<1..2^24-1>, extensions<0..65535> }
//! ```

use rustls::pki_types::CertificateDer;

use crate::codec::{HandshakeType, Reader, TooLong, put_handshake, put_vector};
use crate::extension::{put_extension, read_extensions};
use crate::{Extension, Malformed};

/// One certificate with its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) extensions: Vec<Extension>,
}

pub(crate) struct CertificateMessage<'a> {
    pub(crate) context: &'a [u8],
    list: &'a [u8],
}

impl<'a> CertificateMessage<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let context = reader.vec8("certificate_request_context")?;
        let list = reader.vec24("certificate_list")?;
        reader.finish("certificate_list")?;
        Ok(Self { context, list })
    }

    pub(crate) fn entries(&self) -> Result<Vec<Entry>, Malformed> {
        let mut list = Reader::new(self.list);
        let mut entries = Vec::new();
        while !list.is_empty() {
            let certificate = list.vec24("certificate")?;
            if certificate.is_empty() {
                return Err(Malformed::Length("certificate"));
            }
            let extensions = read_extensions(list.vec16("certificate extensions")?)?;
            entries.push(Entry {
                certificate: CertificateDer::from(certificate.to_vec()),
                extensions,
            });
        }
        Ok(entries)
    }
}

/// Appends a Certificate message; of each certificate only the `allowed` extensions.
//= specs/exported-authenticators.md#section-5.2.1
//# The Certificate message MUST hold the end-entity certificate and its supporting chain in the
//# structure of TLS 1.3.
pub(crate) fn put_certificate<'a>(
    out: &mut Vec<u8>,
    context: &[u8],
    entries: impl Iterator<Item = (&'a CertificateDer<'static>, &'a [Extension])>,
    allowed: impl Fn(&Extension) -> bool,
) -> Result<(), TooLong> {
    let mut list = Vec::new();
    for (certificate, extensions) in entries {
        put_vector(&mut list, 3, |out| out.extend_from_slice(certificate))?;
        let mut offered = Vec::new();
        for extension in extensions.iter().filter(|extension| allowed(extension)) {
            put_extension(&mut offered, extension.typ, &extension.body)?;
        }
        put_vector(&mut list, 2, |out| out.extend_from_slice(&offered))?;
    }
    let mut inner = Ok(());
    put_handshake(out, HandshakeType::CERTIFICATE, |out| {
        inner = put_vector(out, 1, |out| out.extend_from_slice(context))
            .and_then(|()| put_vector(out, 3, |out| out.extend_from_slice(&list)));
    })?;
    inner
}
