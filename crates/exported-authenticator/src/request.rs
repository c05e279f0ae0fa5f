//! Authenticator requests: CertificateRequest and ClientCertificateRequest (RFC 9261, section 4).
//!
//! ```text
//! type (1) = 13 | 17, length (3),
//! certificate_request_context<0..255>,
//! extensions<2..65535>
//! ```

use std::sync::Arc;

use rustls::pki_types::DnsName;
use rustls::{DistinguishedName, SignatureScheme};

use crate::codec::{HandshakeType, Reader, TooLong, put_handshake, put_vector, split_handshake};
use crate::extension::{put_extension, read_extensions};
use crate::{Extension, ExtensionType, Malformed, OidFilter, RequestError};

/// The two messages that carry a request; their bodies are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
//= specs/exported-authenticators.md#section-4
//# The same two messages MUST be used when the connection is one of TLS 1.2 or DTLS 1.2.
pub enum MessageType {
    /// CertificateRequest (13), which RFC 9261 has servers send.
    CertificateRequest,
    /// ClientCertificateRequest (17), which RFC 9261 has clients send, and which the draft on
    /// secondary client certificates names for servers.
    ClientCertificateRequest,
}

impl MessageType {
    /// The handshake type's number.
    pub fn number(self) -> u8 {
        match self {
            Self::CertificateRequest => 13,
            //= specs/exported-authenticators.md#section-4
            //# A request made by a client MUST be a ClientCertificateRequest message, which has the
            //# structure of a CertificateRequest.
            //= specs/exported-authenticators.md#section-8.3
            //# The handshake type of ClientCertificateRequest MUST be 17.
            Self::ClientCertificateRequest => 17,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        match number {
            //= specs/exported-authenticators.md#decisions
            //# (ours) A request of either message type MUST be accepted from either side.
            13 => Some(Self::CertificateRequest),
            17 => Some(Self::ClientCertificateRequest),
            _ => None,
        }
    }
}

/// A request that decodes, with the bytes it was decoded from. Cheap to clone.
///
/// Transcripts hash [`AuthenticatorRequest::as_bytes`], never a re-encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatorRequest(Arc<Fields>);

#[derive(Debug, PartialEq, Eq)]
struct Fields {
    bytes: Vec<u8>,
    message_type: MessageType,
    context: Vec<u8>,
    extensions: Vec<Extension>,
    signature_algorithms: Vec<SignatureScheme>,
    signature_algorithms_cert: Option<Vec<SignatureScheme>>,
    certificate_authorities: Vec<Vec<u8>>,
    oid_filters: Vec<OidFilter>,
}

impl AuthenticatorRequest {
    /// Decodes one request, which must be all of `bytes`.
    ///
    /// Accepts both message types. Unknown extensions are kept and ignored.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let (message, rest) = split_handshake(bytes)?;
        if !rest.is_empty() {
            //= specs/exported-authenticators.md#decisions
            //# (ours) A message with bytes after its end MUST be refused.
            return Err(Malformed::Trailing("the request"));
        }
        let message_type =
            MessageType::from_number(message.typ.0).ok_or(Malformed::NoRequest(message.typ.0))?;
        let mut body = Reader::new(message.body);
        let context = body.vec8("certificate_request_context")?.to_vec();
        let list = body.vec16("extensions")?;
        body.finish("extensions")?;
        if list.len() < 2 {
            return Err(Malformed::Length("extensions"));
        }
        //= specs/exported-authenticators.md#section-5.2.1
        //# Extensions of a request that are not recognised MUST be ignored.
        let extensions = read_extensions(list)?;
        let find = |typ| {
            extensions.iter().find(|extension| extension.typ == typ).map(|found| &*found.body)
        };
        let signature_algorithms = read_schemes(
            //= specs/exported-authenticators.md#section-7.1
            //# The extensions MUST include signature_algorithms.
            find(ExtensionType::SIGNATURE_ALGORITHMS).ok_or(Malformed::NoSignatureAlgorithms)?,
        )?;
        let signature_algorithms_cert =
            find(ExtensionType::SIGNATURE_ALGORITHMS_CERT).map(read_schemes).transpose()?;
        let certificate_authorities = find(ExtensionType::CERTIFICATE_AUTHORITIES)
            .map(read_authorities)
            .transpose()?
            .unwrap_or_default();
        let oid_filters = find(ExtensionType::OID_FILTERS)
            .map(OidFilter::read_list)
            .transpose()?
            .unwrap_or_default();
        Ok(Self(Arc::new(Fields {
            //= specs/exported-authenticators.md#decisions
            //# (ours) The transcript MUST cover the request's bytes as they were received, never a
            //# re-encoding.
            bytes: bytes.to_vec(),
            message_type,
            context,
            signature_algorithms,
            signature_algorithms_cert,
            certificate_authorities,
            oid_filters,
            extensions,
        })))
    }

    /// The bytes as received or made.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Which of the two messages it is.
    pub fn message_type(&self) -> MessageType {
        self.0.message_type
    }

    /// The certificate_request_context, 0 to 255 bytes ("get context", RFC 9261, section 7.2).
    pub fn context(&self) -> &[u8] {
        //= specs/exported-authenticators.md#section-7.2
        //# The interface MUST return the certificate_request_context of a request or an
        //# authenticator.
        &self.0.context
    }

    /// All extensions in their order, also those that are not understood.
    pub fn extensions(&self) -> &[Extension] {
        &self.0.extensions
    }

    /// The schemes that may sign the authenticator, most wanted first. Never empty.
    pub fn signature_algorithms(&self) -> &[SignatureScheme] {
        &self.0.signature_algorithms
    }

    /// The schemes that may sign the certificates: signature_algorithms_cert if there is one, else
    /// signature_algorithms.
    pub fn signature_algorithms_cert(&self) -> &[SignatureScheme] {
        match &self.0.signature_algorithms_cert {
            Some(schemes) => schemes,
            //= specs/exported-authenticators.md#section-5.2.1
            //# Without signature_algorithms_cert, signature_algorithms MUST govern the
            //# certificates' signatures too.
            None => self.signature_algorithms(),
        }
    }

    /// DER of the distinguished names, one of which should be an issuer in the chain. May be empty.
    pub fn certificate_authorities(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.0.certificate_authorities.iter().map(Vec::as_slice)
    }

    /// What the end-entity certificate's extensions have to contain. May be empty.
    pub fn oid_filters(&self) -> &[OidFilter] {
        &self.0.oid_filters
    }

    /// The host_name in server_name, by which a server may choose its certificate (RFC 6066,
    /// section 3). `None` also where it is no such name.
    pub fn server_name(&self) -> Option<DnsName<'_>> {
        let mut of_type = self.0.extensions.iter();
        let server_name = of_type.find(|one| one.typ == ExtensionType::SERVER_NAME)?;
        read_host_name(&server_name.body)
    }

    /// Whether anything narrows the choice of a certificate down, beside the algorithms.
    ///
    /// A request that is not targeted is a challenge for whatever the client wants to present.
    pub fn is_targeted(&self) -> bool {
        !self.0.certificate_authorities.is_empty() || !self.0.oid_filters.is_empty()
    }

    /// Whether the request offers an extension of type `typ`.
    pub fn offers(&self, typ: ExtensionType) -> bool {
        self.0.extensions.iter().any(|extension| extension.typ == typ)
    }
}

fn read_schemes(body: &[u8]) -> Result<Vec<SignatureScheme>, Malformed> {
    let mut reader = Reader::new(body);
    let mut list = Reader::new(reader.vec16("signature_algorithms")?);
    reader.finish("signature_algorithms")?;
    let mut schemes = Vec::new();
    while !list.is_empty() {
        schemes.push(SignatureScheme::from(list.u16("signature_algorithms")?));
    }
    if schemes.is_empty() {
        return Err(Malformed::Length("signature_algorithms"));
    }
    Ok(schemes)
}

fn read_authorities(body: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let field = "certificate_authorities";
    let mut reader = Reader::new(body);
    let mut list = Reader::new(reader.vec16(field)?);
    reader.finish(field)?;
    let mut names = Vec::new();
    while !list.is_empty() {
        let name = list.vec16(field)?;
        if name.is_empty() {
            return Err(Malformed::Length(field));
        }
        names.push(name.to_vec());
    }
    if names.is_empty() {
        return Err(Malformed::Length(field));
    }
    Ok(names)
}

fn read_host_name(body: &[u8]) -> Option<DnsName<'_>> {
    let mut body = Reader::new(body);
    let mut list = Reader::new(body.vec16("server_name").ok()?);
    let name_type = list.u8("server_name").ok()?;
    let name = list.vec16("server_name").ok()?;
    if name_type != HOST_NAME || !list.is_empty() || !body.is_empty() {
        return None;
    }
    DnsName::try_from(std::str::from_utf8(name).ok()?).ok()
}

/// The only type of name that server_name has (RFC 6066, section 3).
const HOST_NAME: u8 = 0;

/// The extensions of a request, to be used with any number of contexts.
#[derive(Clone, Debug)]
pub struct RequestTemplate {
    schemes: Vec<SignatureScheme>,
    certificate_schemes: Option<Vec<SignatureScheme>>,
    authorities: Vec<DistinguishedName>,
    filters: Vec<OidFilter>,
    server_name: Option<DnsName<'static>>,
    others: Vec<Extension>,
}

impl RequestTemplate {
    /// A request for an authenticator that is signed with one of `schemes`, most wanted first.
    pub fn new(schemes: Vec<SignatureScheme>) -> Self {
        Self {
            schemes,
            certificate_schemes: None,
            authorities: Vec::new(),
            filters: Vec::new(),
            server_name: None,
            others: Vec::new(),
        }
    }

    /// Other schemes for the signatures on the certificates (signature_algorithms_cert).
    pub fn certificate_schemes(mut self, schemes: Vec<SignatureScheme>) -> Self {
        self.certificate_schemes = Some(schemes);
        self
    }

    /// The names of acceptable authorities; none means that any will do.
    pub fn certificate_authorities(mut self, names: Vec<DistinguishedName>) -> Self {
        self.authorities = names;
        self
    }

    /// What the end-entity certificate has to contain.
    pub fn oid_filters(mut self, filters: Vec<OidFilter>) -> Self {
        self.filters = filters;
        self
    }

    /// The name of the server whose certificate is asked for; only for requests that a client makes.
    pub fn server_name(mut self, name: DnsName<'static>) -> Self {
        self.server_name = Some(name);
        self
    }

    /// Any other extension, for example status_request, so that the answer may carry it.
    pub fn extension(mut self, extension: Extension) -> Self {
        self.others.push(extension);
        self
    }

    /// Makes the request. `context` is 0 to 255 bytes, unique on the connection, and should be
    /// unpredictable to the peer.
    pub fn build(
        &self,
        message_type: MessageType,
        context: &[u8],
    ) -> Result<AuthenticatorRequest, RequestError> {
        //= specs/exported-authenticators.md#section-7.1
        //# The interface MUST take a certificate_request_context of 0 to 255 bytes and the
        //# extensions with their contents.
        if context.len() > usize::from(u8::MAX) {
            return Err(RequestError::ContextTooLong);
        }
        //= specs/exported-authenticators.md#section-4
        //# The extensions of a request MUST be among those that the TLS registry marks with CR.
        if let Some(other) = self.others.iter().find(|one| one.typ.is_kept_out_of_requests()) {
            return Err(RequestError::NotInRequests(other.typ));
        }
        let mut bytes = Vec::new();
        let mut too_long = Ok(());
        //= specs/exported-authenticators.md#section-4
        //# A request MUST be encoded as a TLS handshake message with its type and length.
        //= specs/exported-authenticators.md#section-4
        //# A request MUST NOT be wrapped in TLS records or protected with the keys of the handshake
        //# or of application data.
        //= specs/exported-authenticators.md#section-4
        //# A request MUST consist of a context of 0 to 255 bytes with a one-byte length and a list
        //# of extensions of at least 2 bytes with a two-byte length.
        let written = put_handshake(&mut bytes, HandshakeType(message_type.number()), |out| {
            too_long = put_vector(out, 1, |out| out.extend_from_slice(context))
                .and_then(|()| self.put_extensions(out));
        });
        match (too_long, written) {
            //= specs/exported-authenticators.md#section-7.1
            //# The interface MUST return the bytes of a CertificateRequest or a
            //# ClientCertificateRequest.
            (Ok(()), Ok(())) => Ok(AuthenticatorRequest::parse(&bytes)?),
            (Err(TooLong), _) | (_, Err(TooLong)) => Err(RequestError::ExtensionsTooLong),
        }
    }

    fn put_extensions(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let mut extensions = Vec::new();
        put_schemes(&mut extensions, ExtensionType::SIGNATURE_ALGORITHMS, &self.schemes)?;
        if let Some(schemes) = &self.certificate_schemes {
            put_schemes(&mut extensions, ExtensionType::SIGNATURE_ALGORITHMS_CERT, schemes)?;
        }
        if !self.authorities.is_empty() {
            let mut names = Vec::new();
            for name in &self.authorities {
                put_vector(&mut names, 2, |out| out.extend_from_slice(name.as_ref()))?;
            }
            put_listed(&mut extensions, ExtensionType::CERTIFICATE_AUTHORITIES, &names)?;
        }
        if !self.filters.is_empty() {
            let mut filters = Vec::new();
            for filter in &self.filters {
                filter.put(&mut filters)?;
            }
            put_listed(&mut extensions, ExtensionType::OID_FILTERS, &filters)?;
        }
        if let Some(name) = &self.server_name {
            let mut entry = vec![HOST_NAME];
            put_vector(&mut entry, 2, |out| out.extend_from_slice(name.as_ref().as_bytes()))?;
            put_listed(&mut extensions, ExtensionType::SERVER_NAME, &entry)?;
        }
        for extension in &self.others {
            put_extension(&mut extensions, extension.typ, &extension.body)?;
        }
        put_vector(out, 2, |out| out.extend_from_slice(&extensions))
    }
}

/// An extension whose body is one vector with a two-byte length.
fn put_listed(out: &mut Vec<u8>, typ: ExtensionType, list: &[u8]) -> Result<(), TooLong> {
    let mut body = Vec::new();
    put_vector(&mut body, 2, |out| out.extend_from_slice(list))?;
    put_extension(out, typ, &body)
}

fn put_schemes(
    out: &mut Vec<u8>,
    typ: ExtensionType,
    schemes: &[SignatureScheme],
) -> Result<(), TooLong> {
    let list: Vec<u8> =
        schemes.iter().flat_map(|scheme| u16::from(*scheme).to_be_bytes()).collect();
    put_listed(out, typ, &list)
}
