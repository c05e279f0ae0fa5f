//! `Expect: 100-continue` (RFC 9110, section 10.1.1).
//!
//! A backend that speaks HTTP/1.1 is asked what the client asks. Nothing of the request's body is read before
//! it says 100 or gives a final response that does not refuse, or has said nothing for a second; reading is
//! what makes the client's side say 100. Over HTTP/2 the flow-control windows hold a body back instead.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use countersign::h3::Informational;
use futures_util::task::AtomicWaker;
use http::header::EXPECT;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::problem::{Kind, Problem};

/// How long a backend may take to say anything before the body is sent to it all the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a request expects 100-continue, which is the only thing that can be expected.
pub(crate) fn is_continue(parts: &Parts) -> Result<bool, Problem> {
    let mut is_expected = false;
    for value in parts.headers.get_all(EXPECT) {
        let members = value.to_str().unwrap_or("?").split(',').map(str::trim);
        for member in members.filter(|member| !member.is_empty()) {
            if !member.eq_ignore_ascii_case("100-continue") {
                return Err(Problem::new(
                    Kind::ExpectationFailed,
                    "Only 100-continue can be expected here.",
                ));
            }
            is_expected = true;
        }
    }
    // A client of HTTP/1.0 cannot wait for it.
    Ok(is_expected && parts.version != Version::HTTP_10)
}

/// A request's expectation, from its header section to the end of the response. What was not asked for until
/// then is not read any more.
#[derive(Debug)]
pub(crate) struct Expectation(Arc<Signal>);

impl Expectation {
    /// One of a client, which is told with `ahead` if reading does not tell it; the gate is for the request's
    /// body.
    pub(crate) fn new(ahead: Option<Informational>) -> (Self, Gate) {
        let signal = Arc::new(Signal { ahead, ..Signal::default() });
        let gate = Gate { signal: Arc::clone(&signal), timer: None };
        (Self(signal), gate)
    }

    /// Puts it into a request to a backend that speaks `next_hop`; what that says has to be handed to the
    /// result. Over HTTP/2 there is nothing to wait for.
    pub(crate) fn ask(&self, next_hop: Version, headers: &mut HeaderMap) -> Option<Asked> {
        if next_hop != Version::HTTP_11 {
            self.0.open();
            return None;
        }
        headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
        Some(Asked(Arc::clone(&self.0)))
    }

    /// Is told of the final response. Says whether the body stays unread.
    pub(crate) fn answered(&self, status: StatusCode) -> bool {
        let refuses = status.is_client_error() || status.is_server_error();
        self.0.go(WAITING, if refuses { REFUSED } else { OPEN });
        self.0.state.load(Ordering::Acquire) == REFUSED
    }
}

impl Drop for Expectation {
    fn drop(&mut self) {
        self.0.go(WAITING, OVER);
        self.0.go(REFUSED, OVER);
    }
}

/// An expectation that a backend was told of.
#[derive(Debug)]
pub(crate) struct Asked(Arc<Signal>);

impl Asked {
    /// The backend said 100.
    pub(crate) fn go_on(&self) {
        self.0.open();
    }
}

/// Nothing is known.
const WAITING: u8 = 0;
/// The body is wanted.
const OPEN: u8 = 1;
/// It is not, and the response is still on its way.
const REFUSED: u8 = 2;
/// It is not, and nothing is on its way.
const OVER: u8 = 3;

#[derive(Debug, Default)]
struct Signal {
    state: AtomicU8,
    waker: AtomicWaker,
    ahead: Option<Informational>,
}

impl Signal {
    fn go(&self, from: u8, to: u8) -> bool {
        let gone = self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        self.waker.wake();
        gone.is_ok()
    }

    fn open(&self) {
        if self.go(WAITING, OPEN)
            && let Some(ahead) = &self.ahead
        {
            ahead.send(StatusCode::CONTINUE, HeaderMap::new());
        }
    }
}

/// What a body waits behind.
#[derive(Debug)]
pub(crate) struct Gate {
    signal: Arc<Signal>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// The body was refused before any of it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body was not wanted")]
pub(crate) struct Unwanted;

impl Gate {
    /// Waits until the body may be read; the time runs from the first call on.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unwanted>> {
        self.signal.waker.register(cx.waker());
        match self.signal.state.load(Ordering::Acquire) {
            OPEN => Poll::Ready(Ok(())),
            OVER => Poll::Ready(Err(Unwanted)),
            REFUSED => Poll::Pending,
            _waiting => {
                let timer = self
                    .timer
                    .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + PATIENCE)));
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.signal.open();
                // Another decision may just have come.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use countersign_testkit::within;
    use http::Request;

    use super::*;

    fn expects(version: Version, fields: &[&'static str]) -> Result<bool, Kind> {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.version = version;
        for field in fields {
            parts.headers.append(EXPECT, HeaderValue::from_static(field));
        }
        is_continue(&parts).map_err(|problem| problem.kind)
    }

    #[test]
    fn only_100_continue_can_be_expected() {
        let version = Version::HTTP_11;
        assert_eq!(expects(version, &[]), Ok(false));
        assert_eq!(expects(version, &["100-continue"]), Ok(true));
        assert_eq!(expects(version, &["100-Continue, "]), Ok(true));
        assert_eq!(expects(Version::HTTP_10, &["100-continue"]), Ok(false));
        for field in ["200-ok", "100-continue, x", "100-continue=1", "\u{7f}"] {
            if let Ok(value) = HeaderValue::try_from(field) {
                let (mut parts, ()) = Request::new(()).into_parts();
                parts.headers.insert(EXPECT, value);
                assert!(is_continue(&parts).is_err(), "{field}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_waits_for_what_is_decided() {
        let mut headers = HeaderMap::new();
        let (expectation, mut gate) = Expectation::new(None);
        let asked = expectation.ask(Version::HTTP_11, &mut headers).unwrap();
        assert_eq!(headers[EXPECT], "100-continue");
        asked.go_on();
        assert_eq!(within(poll_fn(|cx| gate.poll(cx))).await, Ok(()));

        let (expectation, mut gate) = Expectation::new(None);
        assert!(expectation.ask(Version::HTTP_2, &mut HeaderMap::new()).is_none());
        assert_eq!(within(poll_fn(|cx| gate.poll(cx))).await, Ok(()));

        let (expectation, mut gate) = Expectation::new(None);
        assert!(!expectation.answered(StatusCode::OK));
        assert_eq!(within(poll_fn(|cx| gate.poll(cx))).await, Ok(()));

        let (expectation, mut gate) = Expectation::new(None);
        assert!(expectation.answered(StatusCode::PAYLOAD_TOO_LARGE));
        let refused = poll_fn(|cx| Poll::Ready(gate.poll(cx).is_pending())).await;
        assert!(refused, "the response is still on its way");
        drop(expectation);
        assert_eq!(within(poll_fn(|cx| gate.poll(cx))).await, Err(Unwanted));

        let (expectation, mut gate) = Expectation::new(None);
        let begun = Instant::now();
        assert_eq!(within(poll_fn(|cx| gate.poll(cx))).await, Ok(()));
        assert!(begun.elapsed() >= PATIENCE);
        assert!(!expectation.answered(StatusCode::FORBIDDEN), "it is being read");
    }
}
