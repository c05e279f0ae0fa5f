//! The payload of AUTHENTICATOR_REQUESTS (client draft, section 4.1), the same in HTTP/2 and HTTP/3.
//!
//! ```text
//! { Length (i), Request (..) } ...
//! ```
//!
//! The payload of CERTIFICATE is one authenticator and needs no code here.

use bytes::Bytes;

use crate::{Violation, varint};

/// Splits a payload into its requests, which are not decoded yet.
pub fn read_requests(payload: &Bytes) -> Result<Vec<Bytes>, Violation> {
    if payload.is_empty() {
        //= specs/client-certs.md#section-4.1
        //# The list in AUTHENTICATOR_REQUESTS MUST NOT be empty.
        //= specs/client-certs.md#section-4.1.3
        //# The payload MUST hold at least one element.
        return Err(Violation::EmptyRequests);
    }
    requests(payload).map(|request| Ok(payload.slice_ref(request?))).collect()
}

/// The requests in a payload, one after the other; nothing follows an error.
pub(crate) fn requests(payload: &[u8]) -> impl Iterator<Item = Result<&[u8], Violation>> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((request, after)) = next_request(rest) else {
            rest = &[];
            return Some(Err(Violation::RequestLength));
        };
        rest = after;
        Some(Ok(request))
    })
}

fn next_request(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    //= specs/client-certs.md#section-4.1.3
    //# A client MUST read the payload element by element, first the length and then as many bytes
    //# as one request.
    //= specs/client-certs.md#decisions-frames
    //# (ours) A variable-length integer that is longer than it need be MUST be accepted.
    let (len, after) = varint::read(bytes)?;
    after.split_at_checked(usize::try_from(len).ok()?)
}

/// Appends one request with its length.
pub fn put_request(payload: &mut Vec<u8>, request: &[u8]) {
    //= specs/client-certs.md#section-4.1.3
    //# Each element of the list MUST be a variable-length integer followed by the request that it
    //# measures.
    //= specs/client-certs.md#section-4.1.3
    //# The integer MUST give the length of the ClientCertificateRequest in bytes.
    varint::put(payload, request.len() as u64);
    payload.extend_from_slice(request);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(payload: &[u8]) -> Result<Vec<Bytes>, Violation> {
        read_requests(&Bytes::copy_from_slice(payload))
    }

    #[test]
    fn an_empty_list_is_refused() {
        //= specs/client-certs.md#section-4.1
        //= type=test
        //# The list in AUTHENTICATOR_REQUESTS MUST NOT be empty.
        //= specs/client-certs.md#section-4.1.3
        //= type=test
        //# The payload MUST hold at least one element.
        assert_eq!(read(&[]), Err(Violation::EmptyRequests));
    }

    #[test]
    fn a_length_that_is_cut_or_too_large_is_refused() {
        for payload in [&[0x40][..], &[2, 1], &[1, 1, 0x80, 0, 0], &[0xff; 8]] {
            assert_eq!(read(payload), Err(Violation::RequestLength), "{payload:?}");
        }
    }

    #[test]
    fn a_length_may_be_longer_than_it_need_be() {
        //= specs/client-certs.md#decisions-frames
        //= type=test
        //# (ours) A variable-length integer that is longer than it need be MUST be accepted.
        assert_eq!(read(&[0x40, 1, 7]), Ok(vec![Bytes::from_static(&[7])]));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(requests in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8)) {
            //= specs/client-certs.md#section-4.1.3
            //= type=test
            //# Each element of the list MUST be a variable-length integer followed by the request
            //# that it measures.
            //= specs/client-certs.md#section-4.1.3
            //= type=test
            //# The integer MUST give the length of the ClientCertificateRequest in bytes.
            //= specs/client-certs.md#section-4.1.3
            //= type=test
            //# A client MUST read the payload element by element, first the length and then as many
            //# bytes as one request.
            let mut payload = Vec::new();
            for request in &requests {
                put_request(&mut payload, request);
            }
            prop_assert_eq!(read(&payload).unwrap(), requests);
        }

        #[test]
        fn anything_is_read_or_refused(payload: Vec<u8>) {
            let _verdict = read(&payload);
        }
    }
}
