//! The fields of the opening handshake (RFC 6455, section 4).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY, UPGRADE};

/// What is put behind a key before it is hashed (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The length of a key, in bytes.
const KEY: usize = 16;

/// Whether a field that is a list has `token` in it, in any case.
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(token)))
}

/// Whether a 101 switches to WebSocket and to nothing else.
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(UPGRADE).iter();
    let is_alone = |protocol: &HeaderValue| protocol.as_bytes().eq_ignore_ascii_case(b"websocket");
    protocols.next().is_some_and(is_alone)
        && protocols.next().is_none()
        && has_token(headers, &CONNECTION, "upgrade")
}

/// The only key of a request, if it is one.
pub(super) fn read_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let only = keys.next().filter(|_| keys.next().is_none())?;
    let decoded = BASE64_STANDARD.decode(only.as_bytes()).ok()?;
    (decoded.len() == KEY).then(|| only.clone())
}

/// A key for a request of our own; `None` where there are no random numbers.
pub(super) fn new_key() -> Option<HeaderValue> {
    let mut key = [0; KEY];
    aws_lc_rs::rand::fill(&mut key).ok()?;
    HeaderValue::try_from(BASE64_STANDARD.encode(key)).ok()
}

/// The answer to a key.
pub(super) fn accept_for(key: &HeaderValue) -> Option<HeaderValue> {
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat());
    HeaderValue::try_from(BASE64_STANDARD.encode(digest)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        fields.collect()
    }

    #[test]
    fn the_answer_of_the_rfc() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept_for(&key).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_have_sixteen_bytes_and_are_alone() {
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        assert!(read_key(&headers(&[key])).is_some());
        assert!(read_key(&headers(&[])).is_none());
        assert!(read_key(&headers(&[("sec-websocket-key", "dGhlIHNhbXBsZQ==")])).is_none());
        assert!(read_key(&headers(&[("sec-websocket-key", "not base64 at all!")])).is_none());
        let mut two = headers(&[key]);
        two.append(SEC_WEBSOCKET_KEY, HeaderValue::from_static(key.1));
        assert!(read_key(&two).is_none());
        assert_ne!(new_key(), new_key());
        let own = HeaderMap::from_iter([(SEC_WEBSOCKET_KEY, new_key().unwrap())]);
        assert!(read_key(&own).is_some());
    }

    #[test]
    fn a_switch_to_anything_else_is_none_to_websocket() {
        let connection = ("connection", "keep-alive, Upgrade");
        assert!(is_websocket(&headers(&[connection, ("upgrade", "WebSocket")])));
        for upgrade in ["h2c", "websocket, h2c", "websocket/13", ""] {
            assert!(!is_websocket(&headers(&[connection, ("upgrade", upgrade)])), "{upgrade}");
        }
        assert!(!is_websocket(&headers(&[connection])));
        assert!(!is_websocket(&headers(&[("upgrade", "websocket")])));
    }
}
