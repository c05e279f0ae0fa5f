//! What `fetch` tells while it works: JSON on standard output, readable lines on standard error.

use std::io::Write;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use countersign::AuthenticatorRequest;
use countersign::client::{ClientCredential, Event, Observer, Origin};
use http::{HeaderMap, Request, Response, Version};
use rustls::pki_types::CertificateDer;
use serde::Serialize;
use serde_json::{Map, Value};

use super::request::shown;
use crate::client::{Body, Ended, Facts, Protocol};
use crate::failure::Failure;
use crate::names;

/// Tells what happens. Cheap to clone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reporter {
    pub(super) json: bool,
    pub(super) verbose: bool,
}

/// The lines of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Connected {
        protocol: &'a str,
        tls_version: &'a str,
        cipher_suite: Option<&'a str>,
    },
    Settings {
        client_cert_auth: Option<u64>,
        server_cert_auth: Option<u64>,
    },
    Challenge {
        context: String,
        message_type: u8,
        signature_algorithms: Vec<String>,
        certificate_authorities: Vec<String>,
        oid_filters: Vec<OidFilterLine>,
    },
    Answer {
        context: String,
        subject: Option<String>,
        reason: Option<&'a str>,
    },
    ServerCertificate {
        subject: Option<String>,
        names: &'a [String],
        /// Why it is not accepted.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
    Response {
        url: &'a str,
        status: u16,
        headers: Value,
        body: String,
        /// `base64` where the body is no UTF-8 text.
        #[serde(skip_serializing_if = "Option::is_none")]
        body_encoding: Option<&'static str>,
    },
    Error {
        url: &'a str,
        exit_code: u8,
        message: String,
    },
    Closed(&'a Ended),
}

#[derive(Serialize)]
struct OidFilterLine {
    oid: String,
    values: String,
}

impl Reporter {
    pub(super) fn connected(self, origin: &Origin, facts: &Facts) {
        let Facts { protocol, tls_version, cipher_suite, remote, .. } = facts;
        let (protocol, cipher_suite) = (protocol.alpn(), cipher_suite.as_deref());
        self.line(&Line::Connected { protocol, tls_version, cipher_suite });
        let over = facts.protocol.transport();
        self.note(|| format!("Connected to {origin} ({remote}, {over})"));
        let suite = cipher_suite.map(|suite| format!(" with {suite}")).unwrap_or_default();
        self.note(|| format!("{tls_version}{suite}, ALPN chose {protocol}"));
    }

    pub(super) fn request(self, request: &Request<Body>, protocol: Protocol) {
        if !self.verbose {
            return;
        }
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let version = protocol.name();
        eprintln!("> {} {path} {version}", request.method());
        if let Some(authority) = request.uri().authority() {
            eprintln!("> host: {authority}");
        }
        for (name, value) in request.headers() {
            eprintln!("> {name}: {}", shown(name, value));
        }
        eprintln!(">");
    }

    pub(super) fn response_head<B>(self, response: &Response<B>) {
        if self.verbose {
            for line in head_lines(response) {
                eprintln!("< {line}");
            }
            eprintln!("<");
        }
    }

    pub(super) fn response(self, url: &str, status: u16, fields: &HeaderMap, body: Vec<u8>) {
        let (body, body_encoding) = match String::from_utf8(body) {
            Ok(text) => (text, None),
            Err(error) => (BASE64_STANDARD.encode(error.as_bytes()), Some("base64")),
        };
        let headers = fields_as_json(fields);
        self.line(&Line::Response { url, status, headers, body, body_encoding });
    }

    pub(super) fn failed(self, url: &str, failure: &Failure) {
        let exit_code = failure.exit as u8;
        self.line(&Line::Error { url, exit_code, message: failure.to_string() });
    }

    pub(super) fn closed(self, origin: &Origin, ended: &Ended) {
        self.line(&Line::Closed(ended));
        self.note(|| {
            let name = ended.name.as_ref().map(|name| format!(" with {name}")).unwrap_or_default();
            let reason = ended.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            match ended.initiator {
                "transport" => format!("Connection to {origin} broke{reason}"),
                who => format!("Connection to {origin} closed by the {who}{name}{reason}"),
            }
        });
    }

    fn challenge(self, request: &AuthenticatorRequest) {
        let context = hex::encode(request.context());
        let schemes: Vec<_> =
            request.signature_algorithms().iter().copied().map(names::scheme).collect();
        let authorities: Vec<_> =
            request.certificate_authorities().map(names::distinguished_name).collect();
        self.note(|| {
            let from = match authorities.as_slice() {
                [] => "any authority".to_owned(),
                names => names.join(" or "),
            };
            format!("The server asks for a certificate from {from} [{}]", brief(&context))
        });
        self.line(&Line::Challenge {
            context,
            message_type: request.message_type().number(),
            signature_algorithms: schemes,
            certificate_authorities: authorities,
            oid_filters: request
                .oid_filters()
                .iter()
                .map(|filter| OidFilterLine {
                    oid: names::object_identifier(&filter.oid),
                    values: hex::encode(&filter.values),
                })
                .collect(),
        });
    }

    fn answer(self, context: &[u8], shown: Option<&Arc<ClientCredential>>, reason: Option<&str>) {
        let context = hex::encode(context);
        let leaf = shown.and_then(|credential| credential.chain().certificates().first());
        self.note(|| match leaf {
            Some(leaf) => format!("Proved to be {} [{}]", names::holder(leaf), brief(&context)),
            None => {
                format!("Declined: {} [{}]", reason.unwrap_or("no reason given"), brief(&context))
            }
        });
        let subject = leaf.map(|leaf| names::subject(leaf));
        self.line(&Line::Answer { context, subject, reason });
    }

    fn server_certificate(
        self,
        chain: &[CertificateDer<'static>],
        names: &[String],
        reason: Option<&str>,
    ) {
        self.note(|| {
            let verdict = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("The server proves a certificate for {}{verdict}", names.join(", "))
        });
        let subject = chain.first().map(|leaf| names::subject(leaf));
        self.line(&Line::ServerCertificate { subject, names, reason });
    }

    /// A request for `origin` goes over the connection to another one.
    pub(super) fn shared(self, origin: &Origin, with: &Origin) {
        self.note(|| format!("The connection to {with} is {origin}'s, too"));
    }

    /// A request was refused as none for its connection.
    pub(super) fn misdirected(self, origin: &Origin, with: &Origin) {
        self.note(|| {
            format!("421: the connection to {with} is not {origin}'s after all; opening another")
        });
    }

    fn note(self, text: impl FnOnce() -> String) {
        if self.verbose {
            eprintln!("* {}", names::printable(&text()));
        }
    }

    fn line(self, line: &Line<'_>) {
        if !self.json {
            return;
        }
        // Whoever closed standard output does not want to know any more.
        let mut out = std::io::stdout().lock();
        let _ = serde_json::to_writer(&mut out, line).map(|()| out.write_all(b"\n"));
        let _ = out.flush();
    }
}

impl Observer for Reporter {
    fn event(&self, origin: &Origin, event: &Event) {
        match event {
            Event::PeerSettings(settings) => {
                self.line(&Line::Settings {
                    client_cert_auth: settings.client_cert_auth,
                    server_cert_auth: settings.server_cert_auth,
                });
                self.note(|| match settings.client_cert_auth {
                    Some(1..) => format!("{origin} may ask for certificates at any time"),
                    _ => format!("{origin} does not ask for certificates after the handshake"),
                });
            }
            Event::Challenge(request) => self.challenge(request),
            Event::Answer { context, credential, reason } => {
                self.answer(context, credential.as_ref(), reason.as_deref());
            }
            Event::ServerCertificate { chain, names, rejected } => {
                self.server_certificate(chain, names, rejected.as_deref());
            }
            // Told by whoever owns the connection, who knows more about its end.
            Event::Closed(_) => {}
            _ => tracing::debug!(?event, "an event that fetch does not show"),
        }
    }
}

/// The status line and the header fields, as curl writes them.
pub(super) fn head_lines<B>(response: &Response<B>) -> Vec<String> {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let first = match response.version() {
        Version::HTTP_2 => format!("HTTP/2 {} ", status.as_u16()),
        Version::HTTP_3 => format!("HTTP/3 {} ", status.as_u16()),
        earlier => format!("{earlier:?} {} {reason}", status.as_u16()),
    };
    let fields = response.headers().iter();
    let fields = fields
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    std::iter::once(first).chain(fields).collect()
}

/// Names with their values; several of one name with commas between, as RFC 9110, section 5.3 joins
/// them, but for Set-Cookie, which cannot be joined and is a list.
fn fields_as_json(fields: &HeaderMap) -> Value {
    let mut object = Map::new();
    for name in fields.keys() {
        let values: Vec<_> = fields
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        let value = if *name == http::header::SET_COOKIE {
            values.into()
        } else {
            values.join(", ").into()
        };
        object.insert(name.to_string(), value);
    }
    Value::Object(object)
}

/// Enough of a context to tell one from another.
fn brief(context: &str) -> &str {
    context.get(..8).unwrap_or(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_joined_but_cookies() {
        let mut fields = HeaderMap::new();
        for (name, value) in [("vary", "a"), ("vary", "b"), ("set-cookie", "x=1, y")] {
            fields.append(name, value.parse().unwrap());
        }
        let expected = serde_json::json!({"vary": "a, b", "set-cookie": ["x=1, y"]});
        assert_eq!(fields_as_json(&fields), expected);
    }

    #[test]
    fn events_begin_with_their_names() {
        let line =
            |protocol| serde_json::to_string(&Line::Closed(&Ended::by_us(protocol))).unwrap();
        assert_eq!(
            line(Protocol::Http2),
            r#"{"event":"closed","initiator":"client","code":0,"name":"NO_ERROR","reason":null}"#
        );
        assert_eq!(
            line(Protocol::Http3),
            r#"{"event":"closed","initiator":"client","code":256,"name":"H3_NO_ERROR","reason":null}"#
        );
    }
}
