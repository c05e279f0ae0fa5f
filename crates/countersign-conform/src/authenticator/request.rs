//! Authenticator requests (RFC 9261, section 4).

use super::message;
use crate::bytes::{Reader, varint, vector};

/// Extension types (RFC 8446, section 4.2).
pub mod extension {
    #![expect(missing_docs, reason = "the names are those of the registry")]
    pub const SERVER_NAME: u16 = 0;
    pub const STATUS_REQUEST: u16 = 5;
    pub const SIGNATURE_ALGORITHMS: u16 = 13;
    pub const SIGNED_CERTIFICATE_TIMESTAMP: u16 = 18;
    pub const COMPRESS_CERTIFICATE: u16 = 27;
    pub const DELEGATED_CREDENTIAL: u16 = 34;
    pub const CERTIFICATE_AUTHORITIES: u16 = 47;
    pub const OID_FILTERS: u16 = 48;
    pub const SIGNATURE_ALGORITHMS_CERT: u16 = 50;
    pub const TRANSPARENCY_INFO: u16 = 52;

    /// Those that the registry allows in CertificateRequest.
    pub const IN_REQUESTS: [u16; 9] = [
        STATUS_REQUEST,
        SIGNATURE_ALGORITHMS,
        SIGNED_CERTIFICATE_TIMESTAMP,
        COMPRESS_CERTIFICATE,
        DELEGATED_CREDENTIAL,
        CERTIFICATE_AUTHORITIES,
        OID_FILTERS,
        SIGNATURE_ALGORITHMS_CERT,
        TRANSPARENCY_INFO,
    ];

    /// Whether the number is one that is sent to see whether it is ignored (RFC 8701).
    pub fn is_grease(typ: u16) -> bool {
        let [high, low] = typ.to_be_bytes();
        high == low && low & 0xf == 0xa
    }
}

/// A CertificateRequest or ClientCertificateRequest, with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As it came, or as it goes.
    pub bytes: Vec<u8>,
    /// The handshake type.
    pub typ: u8,
    /// The certificate_request_context.
    pub context: Vec<u8>,
    /// Types and contents, in order.
    pub extensions: Vec<(u16, Vec<u8>)>,
}

impl Request {
    /// One of any extensions.
    pub fn new(typ: u8, context: &[u8], extensions: &[(u16, Vec<u8>)]) -> Self {
        let mut list = Vec::new();
        for (typ, body) in extensions {
            list.extend(typ.to_be_bytes());
            list.extend(vector(2, body));
        }
        let body = [vector(1, context), vector(2, &list)].concat();
        Self {
            bytes: message::encode(typ, &body),
            typ,
            context: context.to_vec(),
            extensions: extensions.to_vec(),
        }
    }

    /// signature_algorithms with these schemes.
    pub fn algorithms(schemes: &[u16]) -> (u16, Vec<u8>) {
        let list: Vec<u8> = schemes.iter().flat_map(|scheme| scheme.to_be_bytes()).collect();
        (extension::SIGNATURE_ALGORITHMS, vector(2, &list))
    }

    /// Reads one that fills `bytes`; the error says what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut reader = Reader(bytes);
        let typ =
            reader.number(1).and_then(|typ| u8::try_from(typ).ok()).ok_or("an empty request")?;
        if ![message::CERTIFICATE_REQUEST, message::CLIENT_CERTIFICATE_REQUEST].contains(&typ) {
            return Err(format!("a request with handshake type {typ} instead of 13 or 17"));
        }
        let body = reader.vector(3).ok_or("a request shorter than its message's length")?;
        if !reader.is_empty() {
            return Err("bytes behind the end of a request".to_owned());
        }
        let mut body = Reader(body);
        let context = body.vector(1).ok_or("a context beyond the end of the request")?.to_vec();
        let list = body.vector(2).ok_or("extensions beyond the end of the request")?;
        if !body.is_empty() {
            return Err("bytes behind a request's extensions".to_owned());
        }
        let mut list = Reader(list);
        let mut extensions = Vec::new();
        while !list.is_empty() {
            let typ = list.number(2).and_then(|typ| u16::try_from(typ).ok());
            let contents = list.vector(2);
            let (Some(typ), Some(contents)) = (typ, contents) else {
                return Err("an extension beyond the end of the list".to_owned());
            };
            extensions.push((typ, contents.to_vec()));
        }
        Ok(Self { bytes: bytes.to_vec(), typ, context, extensions })
    }

    /// Reads the payload of AUTHENTICATOR_REQUESTS.
    pub fn parse_list(payload: &[u8]) -> Result<Vec<Self>, String> {
        let mut reader = Reader(payload);
        let mut requests = Vec::new();
        while !reader.is_empty() {
            let length = reader.varint().and_then(|length| usize::try_from(length).ok());
            let request = length.and_then(|length| reader.take(length));
            requests.push(Self::parse(request.ok_or("a request longer than its frame")?)?);
        }
        if requests.is_empty() {
            return Err("AUTHENTICATOR_REQUESTS without a request".to_owned());
        }
        Ok(requests)
    }

    /// The payload of AUTHENTICATOR_REQUESTS with these requests.
    pub fn encode_list(requests: &[Self]) -> Vec<u8> {
        requests
            .iter()
            .flat_map(|request| {
                [varint(request.bytes.len() as u64), request.bytes.clone()].concat()
            })
            .collect()
    }

    /// The contents of the first extension of this type.
    pub fn extension(&self, typ: u16) -> Option<&[u8]> {
        self.extensions.iter().find(|(known, _)| *known == typ).map(|(_, body)| &body[..])
    }

    /// What signature_algorithms offers.
    pub fn schemes(&self) -> Vec<u16> {
        let list = self
            .extension(extension::SIGNATURE_ALGORITHMS)
            .and_then(|body| Reader(body).vector(2))
            .unwrap_or_default();
        list.chunks_exact(2)
            .filter_map(|pair| Some(u16::from_be_bytes(*pair.first_chunk()?)))
            .collect()
    }

    /// The distinguished names of certificate_authorities; none if there is no such extension.
    pub fn authorities(&self) -> Option<Vec<Vec<u8>>> {
        let mut list =
            Reader(Reader(self.extension(extension::CERTIFICATE_AUTHORITIES)?).vector(2)?);
        let mut names = Vec::new();
        while let Some(name) = list.vector(2) {
            names.push(name.to_vec());
        }
        Some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_made() {
        let made = Request::new(
            17,
            b"context",
            &[Request::algorithms(&[0x0403, 0x0807]), (0xfafa, vec![1])],
        );
        assert_eq!(made.bytes[..4], [17, 0, 0, 25]);
        assert_eq!(Request::parse(&made.bytes), Ok(made.clone()));
        assert_eq!(made.schemes(), [0x0403, 0x0807]);
        let list = Request::encode_list(&[made.clone(), made.clone()]);
        assert_eq!(Request::parse_list(&list).map(|list| list.len()), Ok(2));
        for cut in 0..list.len() {
            let read = Request::parse_list(&list[..cut]);
            assert_eq!(read.is_ok(), cut == list.len() / 2, "{cut}");
        }
    }
}
