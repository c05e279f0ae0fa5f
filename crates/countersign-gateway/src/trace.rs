//! W3C trace context: a valid one is passed on, in place of any other one a new one is begun. Where spans are
//! exported ([`crate::span`]), the request goes on as part of the gateway's own span.

use http::header::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Sees to it that a request belongs to a trace. A client's `tracestate` only goes with its `traceparent`.
///
/// No span is recorded here, so the context is passed on as it came, and one that is begun is marked as not
/// recorded.
pub(crate) fn pass_or_begin(headers: &mut HeaderMap) {
    if parent(headers).is_some() {
        return;
    }
    headers.remove(TRACEPARENT);
    headers.remove(TRACESTATE);
    if let Some(parent) = begin() {
        headers.insert(TRACEPARENT, parent);
    }
}

/// The trace-id of a request that belongs to a trace.
pub(crate) fn id(headers: &HeaderMap) -> Option<&str> {
    parent(headers)?.split('-').nth(1)
}

/// A request's only traceparent, if it is valid.
pub(crate) fn parent(headers: &HeaderMap) -> Option<&str> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let only = parents.next().filter(|_| parents.next().is_none())?;
    only.to_str().ok().filter(|parent| is_valid(parent.as_bytes()))
}

/// Whether it has the form of version 00, or that of a later version that begins alike (Trace Context,
/// section 3.2).
fn is_valid(parent: &[u8]) -> bool {
    let mut fields = parent.splitn(5, |byte| *byte == b'-');
    let mut field = |length: usize| {
        let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        fields.next().filter(|field| field.len() == length && field.iter().all(hex))
    };
    let is_set = |field: &[u8]| field.iter().any(|byte| *byte != b'0');
    let (Some(version), Some(trace), Some(span), Some(_flags)) =
        (field(2), field(32), field(16), field(2))
    else {
        return false;
    };
    let may_go_on = version != b"00";
    version != b"ff" && is_set(trace) && is_set(span) && (may_go_on || fields.next().is_none())
}

fn begin() -> Option<HeaderValue> {
    let mut ids = [0; 24];
    aws_lc_rs::rand::fill(&mut ids).ok()?;
    let (trace, span) = ids.split_at_checked(16)?;
    let mut parent = String::with_capacity(55);
    parent.push_str("00-");
    push_hex(&mut parent, trace);
    parent.push('-');
    push_hex(&mut parent, span);
    parent.push_str("-00");
    HeaderValue::try_from(parent).ok()
}

fn push_hex(text: &mut String, octets: &[u8]) {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    for octet in octets {
        text.push(digit(octet >> 4));
        text.push(digit(octet & 15));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn sent(parents: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(TRACEPARENT, parent.parse().unwrap());
        }
        headers.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
        pass_or_begin(&mut headers);
        headers
    }

    #[test]
    fn a_valid_one_passes_with_its_state() {
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        for good in [GOOD, later] {
            let headers = sent(&[good]);
            assert_eq!(headers[TRACEPARENT], good);
            assert_eq!(headers[TRACESTATE], "vendor=1");
        }
    }

    #[test]
    fn any_other_one_gives_way_to_a_new_one() {
        let bad = [
            &[][..],
            &[GOOD, GOOD],
            &["nonsense"],
            &["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"],
            &["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"],
            &["00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"],
        ];
        for parents in bad {
            let headers = sent(parents);
            let begun = headers[TRACEPARENT].to_str().unwrap();
            assert!(is_valid(begun.as_bytes()) && begun.ends_with("-00"), "{parents:?}: {begun}");
            assert_eq!(headers.get_all(TRACEPARENT).iter().count(), 1);
            assert!(!headers.contains_key(TRACESTATE), "{parents:?}");
        }
        assert_ne!(sent(&[])[TRACEPARENT], sent(&[])[TRACEPARENT]);
    }
}
