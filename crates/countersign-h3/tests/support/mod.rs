//! What several tests share.

#![expect(dead_code, reason = "not every test uses all of it")]

pub(crate) mod mock;
pub(crate) mod quic;
pub(crate) mod stacks;

use std::future::Future;
use std::pin::Pin;

/// The future's output, in time. Boxed: tests that hold two whole stacks are large.
#[track_caller]
pub(crate) fn within<'a, F: Future + 'a>(
    future: F,
) -> Pin<Box<dyn Future<Output = F::Output> + 'a>> {
    Box::pin(countersign_testkit::within(future))
}
