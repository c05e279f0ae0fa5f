//! Informational responses (RFC 9110, section 15.2), ahead of the response.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use atomic_waker::AtomicWaker;
use http::{HeaderMap, Response, StatusCode};

/// How many of them may wait to be sent.
const WAITING: usize = 16;

/// Sends informational responses (1xx) to a client, as long as its request has no response yet. Every request
/// that [`Connection::serve`](super::Connection::serve) hands to its service has one in its extensions.
#[derive(Clone, Debug, Default)]
pub struct Informational(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<VecDeque<Response<()>>>,
    waker: AtomicWaker,
}

impl Informational {
    /// Sends one, without waiting. `false`: it is not sent, because the status is none for that (101 is not in
    /// HTTP/3, RFC 9114, section 4.5) or because 16 are waiting already.
    pub fn send(&self, status: StatusCode, mut headers: HeaderMap) -> bool {
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return false;
        }
        super::server::remove_connection_fields(&mut headers);
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == WAITING {
            return false;
        }
        waiting.push_back(response);
        drop(waiting);
        self.0.waker.wake();
        true
    }

    /// The next one that waits.
    pub(super) fn take(&self) -> Option<Response<()>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// The next one, once there is one.
    pub(super) async fn next(&self) -> Response<()> {
        poll_fn(|cx| {
            self.0.waker.register(cx.waker());
            self.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_sent_is_not_kept() {
        let informational = Informational::default();
        for status in [StatusCode::SWITCHING_PROTOCOLS, StatusCode::OK, StatusCode::NOT_FOUND] {
            assert!(!informational.send(status, HeaderMap::new()));
        }
        for _ in 0..WAITING {
            assert!(informational.send(StatusCode::EARLY_HINTS, HeaderMap::new()));
        }
        assert!(!informational.send(StatusCode::EARLY_HINTS, HeaderMap::new()));
        assert_eq!(informational.take().unwrap().status(), 103);
        assert!(informational.send(StatusCode::PROCESSING, HeaderMap::new()));
    }
}
