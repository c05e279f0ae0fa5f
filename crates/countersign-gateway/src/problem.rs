//! Refusals: problem documents (RFC 9457) with a `Proxy-Status` field (RFC 9209).
//!
//! What is the extension's own has a type `urn:countersign:…`; the rest is `about:blank`, whose
//! meaning is the status code's.

use std::sync::Arc;

use bytes::Bytes;
use countersign_proto::Rejection;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER,
};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use sfv::{KeyRef, ListSerializer, StringRef, TokenRef};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Why a required credential is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Denial {
    /// The client did not show it and cannot be asked.
    Missing,
    /// The client was asked and declined.
    Declined,
    /// The certificate is not acceptable.
    Rejected(Rejection),
    /// The client did not answer in time.
    Timeout,
    /// The connection has ended: nobody gets the refusal.
    Gone,
    /// Too many requests wait for answers: nobody waits for this one.
    Overloaded,
}

impl Denial {
    fn kind(self) -> Kind {
        match self {
            Self::Missing => Kind::CredentialMissing,
            Self::Declined => Kind::CredentialDeclined,
            Self::Rejected(Rejection::Expired) => Kind::CredentialExpired,
            Self::Rejected(Rejection::Revoked) => Kind::CredentialRevoked,
            // Rejection is open: whatever else is wrong with a certificate, it is not trusted.
            Self::Rejected(_) => Kind::CredentialUntrusted,
            Self::Timeout => Kind::CredentialTimeout,
            Self::Gone => Kind::ClientGone,
            Self::Overloaded => Kind::Overloaded,
        }
    }

    fn sentence(self, credential: &str) -> String {
        match self {
            Self::Missing => format!(
                "The credential \"{credential}\" is needed and the client cannot be asked for it."
            ),
            Self::Declined => {
                format!("The client was asked for the credential \"{credential}\" and declined.")
            }
            Self::Rejected(rejection) => {
                format!("The credential \"{credential}\" was shown, but {rejection}.")
            }
            Self::Overloaded => format!(
                "The credential \"{credential}\" is needed, and too many requests wait for certificates already."
            ),
            Self::Gone => {
                format!("The client went away before it showed the credential \"{credential}\".")
            }
            Self::Timeout => format!(
                "The client was asked for the credential \"{credential}\" and did not answer in time."
            ),
        }
    }
}

/// The kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The client cannot be asked.
    CredentialMissing,
    /// The client declined.
    CredentialDeclined,
    /// The certificate is not acceptable for another reason than the next two.
    CredentialUntrusted,
    /// The certificate is outside of its validity.
    CredentialExpired,
    /// The certificate is revoked.
    CredentialRevoked,
    /// No answer in time.
    CredentialTimeout,
    /// The connection has ended while a credential was waited for.
    ClientGone,
    /// The credentials are there, and not those that the route lets pass.
    NotAllowed,
    /// The request cannot be understood, or could be in two ways.
    BadRequest,
    /// No certificate for the authority was shown on the connection.
    Misdirected,
    /// Something else than 100-continue is expected.
    ExpectationFailed,
    /// The body is longer than the gateway takes.
    ContentTooLarge,
    /// The body did not go on in time.
    RequestTimeout,
    /// Too many requests wait for certificates.
    Overloaded,
    /// A method that the gateway does not pass on.
    NotImplemented,
    /// No route.
    NoRoute,
    /// The backend refused the connection.
    UpstreamRefused,
    /// The backend's name does not resolve, or it cannot be reached for another reason.
    UpstreamUnreachable,
    /// The backend did not take the connection in time.
    UpstreamTimeout,
    /// The backend did not begin a response in time.
    UpstreamLate,
    /// The backend closed the connection before its response was complete.
    UpstreamClosed,
    /// The backend answered something that is no HTTP.
    UpstreamProtocol,
    /// The backend's certificate is not trusted, or for another name.
    UpstreamCertificate,
    /// The backend ended the TLS handshake, for example for want of a client certificate.
    UpstreamAlert,
    /// TLS to the backend failed in another way.
    UpstreamTls,
}

struct Row {
    /// The last part of `urn:countersign:…`, or none for `about:blank`.
    name: Option<&'static str>,
    title: &'static str,
    status: StatusCode,
    /// The error type of RFC 9209, section 2.3.
    proxy_error: &'static str,
}

impl Kind {
    /// Its name where only names count: the last part of its `urn:countersign:` or its error type in
    /// `Proxy-Status`.
    pub(crate) fn label(self) -> &'static str {
        let row = self.row();
        row.name.unwrap_or(row.proxy_error)
    }

    fn row(self) -> Row {
        let forbidden = |name, title| Row {
            name: Some(name),
            title,
            status: StatusCode::FORBIDDEN,
            proxy_error: "http_request_denied",
        };
        let plain = |status: StatusCode, proxy_error| Row {
            name: None,
            title: status.canonical_reason().unwrap_or_default(),
            status,
            proxy_error,
        };
        match self {
            Self::CredentialMissing => forbidden("credential-missing", "A credential is missing"),
            Self::CredentialDeclined => {
                forbidden("credential-declined", "A credential was declined")
            }
            Self::CredentialUntrusted => {
                forbidden("credential-untrusted", "A credential is not trusted")
            }
            Self::CredentialExpired => {
                forbidden("credential-expired", "A credential is not within its validity period")
            }
            Self::CredentialRevoked => {
                forbidden("credential-revoked", "A credential has been revoked")
            }
            Self::CredentialTimeout => {
                forbidden("credential-timeout", "A credential was not shown in time")
            }
            Self::ClientGone => plain(StatusCode::FORBIDDEN, "connection_terminated"),
            Self::NotAllowed => forbidden("not-allowed", "The caller is not allowed here"),
            Self::BadRequest => plain(StatusCode::BAD_REQUEST, "http_request_error"),
            Self::Misdirected => plain(StatusCode::MISDIRECTED_REQUEST, "http_request_denied"),
            Self::ExpectationFailed => plain(StatusCode::EXPECTATION_FAILED, "http_request_error"),
            Self::ContentTooLarge => plain(StatusCode::PAYLOAD_TOO_LARGE, "http_request_error"),
            Self::RequestTimeout => plain(StatusCode::REQUEST_TIMEOUT, "http_request_error"),
            Self::Overloaded => plain(StatusCode::SERVICE_UNAVAILABLE, "http_request_denied"),
            Self::NotImplemented => plain(StatusCode::NOT_IMPLEMENTED, "http_request_denied"),
            Self::NoRoute => plain(StatusCode::NOT_FOUND, "destination_not_found"),
            Self::UpstreamRefused => plain(StatusCode::BAD_GATEWAY, "connection_refused"),
            Self::UpstreamUnreachable => {
                plain(StatusCode::BAD_GATEWAY, "destination_ip_unroutable")
            }
            Self::UpstreamTimeout => plain(StatusCode::GATEWAY_TIMEOUT, "connection_timeout"),
            Self::UpstreamLate => plain(StatusCode::GATEWAY_TIMEOUT, "http_response_timeout"),
            Self::UpstreamClosed => plain(StatusCode::BAD_GATEWAY, "connection_terminated"),
            Self::UpstreamProtocol => plain(StatusCode::BAD_GATEWAY, "http_protocol_error"),
            Self::UpstreamCertificate => plain(StatusCode::BAD_GATEWAY, "tls_certificate_error"),
            Self::UpstreamAlert => plain(StatusCode::BAD_GATEWAY, "tls_alert_received"),
            Self::UpstreamTls => plain(StatusCode::BAD_GATEWAY, "tls_protocol_error"),
        }
    }
}

/// A refusal, before it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What kind.
    pub(crate) kind: Kind,
    /// What happened, as a sentence for people.
    pub(crate) detail: String,
    /// The names of the credentials at fault.
    pub(crate) credentials: Vec<Arc<str>>,
    /// The URL that the client is sent to instead: the response is a 303 with the same document.
    pub(crate) instead: Option<HeaderValue>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    credentials: Vec<&'a str>,
}

impl Problem {
    /// A refusal that no credential is at fault for.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), credentials: Vec::new(), instead: None }
    }

    /// The refusal for credentials that are not there; the first one, in the route's order, gives
    /// the kind.
    pub(crate) fn denied(denials: &[(Arc<str>, Denial)]) -> Self {
        let kind = denials.first().map_or(Kind::CredentialMissing, |(_, denial)| denial.kind());
        let sentences: Vec<String> =
            denials.iter().map(|(credential, denial)| denial.sentence(credential)).collect();
        Self {
            kind,
            detail: sentences.join(" "),
            credentials: denials.iter().map(|(credential, _)| Arc::clone(credential)).collect(),
            instead: None,
        }
    }

    /// The status code.
    pub(crate) fn status(&self) -> StatusCode {
        match self.instead {
            Some(_) => StatusCode::SEE_OTHER,
            None => self.kind.row().status,
        }
    }

    /// The problem's type, a URI.
    pub(crate) fn type_uri(&self) -> String {
        let name = self.kind.row().name;
        name.map_or_else(|| "about:blank".to_owned(), |name| format!("urn:countersign:{name}"))
    }

    /// Writes the response to a request with `method`. `proxy` names this deployment in
    /// `Proxy-Status`.
    pub(crate) fn into_response(self, method: &Method, proxy: &str) -> Response<Full<Bytes>> {
        let row = self.kind.row();
        let status = self.status();
        let document = Document {
            r#type: self.type_uri(),
            title: row.title,
            status: status.as_u16(),
            detail: &self.detail,
            credentials: self.credentials.iter().map(|name| &**name).collect(),
        };
        // Strings and numbers always serialise.
        let body = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
        let length = HeaderValue::from(body.len());
        let mut response =
            Response::new(Full::new(if method == Method::HEAD { Bytes::new() } else { body }));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CONTENT_LENGTH, length);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(status) = self.proxy_status(proxy, &row) {
            headers.insert(PROXY_STATUS, status);
        }
        if self.kind == Kind::Overloaded {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(url) = self.instead {
            headers.insert(LOCATION, url);
        }
        response
    }

    fn proxy_status(&self, proxy: &str, row: &Row) -> Option<HeaderValue> {
        let details = row.name.unwrap_or(&self.detail);
        let mut list = ListSerializer::new();
        list.bare_item(StringRef::from_str(proxy).ok()?)
            .parameter(KeyRef::from_str("error").ok()?, TokenRef::from_str(row.proxy_error).ok()?)
            .parameter(KeyRef::from_str("details").ok()?, StringRef::from_str(details).ok()?);
        HeaderValue::try_from(list.finish()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn written(problem: Problem) -> (Response<()>, String) {
        let (parts, body) = problem.into_response(&Method::GET, "gateway.example").into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (Response::from_parts(parts, ()), String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn denials_name_the_credentials_at_fault() {
        let problem = Problem::denied(&[
            ("device".into(), Denial::Declined),
            ("user".into(), Denial::Rejected(Rejection::Expired)),
        ]);
        let (response, body) = written(problem).await;
        assert_eq!(response.status(), 403);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(
            response.headers()["proxy-status"],
            r#""gateway.example";error=http_request_denied;details="credential-declined""#
        );
        assert_eq!(
            body,
            concat!(
                r#"{"type":"urn:countersign:credential-declined","title":"A credential was declined","status":403,"#,
                r#""detail":"The client was asked for the credential \"device\" and declined. The credential \"user\" was shown, "#,
                r#"but the certificate has expired or is not yet valid.","credentials":["device","user"]}"#,
            )
        );
    }

    #[tokio::test]
    async fn every_denial_has_its_type() {
        for (denial, name) in [
            (Denial::Missing, "missing"),
            (Denial::Declined, "declined"),
            (Denial::Timeout, "timeout"),
            (Denial::Rejected(Rejection::Expired), "expired"),
            (Denial::Rejected(Rejection::Revoked), "revoked"),
            (Denial::Rejected(Rejection::Untrusted), "untrusted"),
            (Denial::Rejected(Rejection::RevocationUnknown), "untrusted"),
            (Denial::Rejected(Rejection::RevocationStale), "untrusted"),
            (Denial::Rejected(Rejection::WrongPurpose), "untrusted"),
            (Denial::Rejected(Rejection::WrongName), "untrusted"),
        ] {
            let (response, body) = written(Problem::denied(&[("user".into(), denial)])).await;
            assert_eq!(response.status(), 403);
            let document: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(document["type"], format!("urn:countersign:credential-{name}"));
            assert_eq!(document["credentials"], serde_json::json!(["user"]));
        }
    }

    #[tokio::test]
    async fn what_is_not_ours_is_about_blank() {
        let (response, body) = written(Problem::new(Kind::UpstreamTimeout, "Too slow.")).await;
        assert_eq!(response.status(), 504);
        assert_eq!(
            response.headers()["proxy-status"],
            r#""gateway.example";error=connection_timeout;details="Too slow.""#
        );
        assert_eq!(
            body,
            r#"{"type":"about:blank","title":"Gateway Timeout","status":504,"detail":"Too slow."}"#
        );
    }

    #[tokio::test]
    async fn who_is_sent_elsewhere_is_told_why() {
        let url = HeaderValue::from_static("https://help.example.test/");
        let denied = Problem::denied(&[("user".into(), Denial::Missing)]);
        let (response, body) = written(Problem { instead: Some(url), ..denied }).await;
        assert_eq!(response.status(), 303);
        assert_eq!(response.headers()["location"], "https://help.example.test/");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let document: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(document["type"], "urn:countersign:credential-missing");
        assert_eq!(document["status"], 303);
    }

    #[test]
    fn a_head_request_gets_the_length_and_no_body() {
        use http_body::Body as _;
        let response = Problem::new(Kind::NoRoute, "x").into_response(&Method::HEAD, "g");
        assert!(response.body().is_end_stream());
        assert_ne!(response.headers()["content-length"], "0");
    }
}
