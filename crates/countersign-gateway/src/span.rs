//! The spans of a request, for OpenTelemetry: one for what the gateway does with it, one in it for what the
//! backend does. Nothing is done without the feature `otlp`, and with it only once there is a tracer.

#[cfg(feature = "otlp")]
mod recorded;

#[cfg(feature = "otlp")]
pub(crate) use self::recorded::Span;
#[cfg(feature = "otlp")]
pub use self::recorded::trace_with;

/// Nothing.
#[cfg(not(feature = "otlp"))]
pub(crate) struct Span;

#[cfg(not(feature = "otlp"))]
impl Span {
    pub(crate) fn begin(_: &crate::witness::Witness, _: &http::request::Parts) -> Self {
        Self
    }

    pub(crate) fn go_on(&mut self, _: &crate::route::Route, _: &mut http::HeaderMap) -> bool {
        false
    }

    pub(crate) fn end(
        &mut self,
        _: Option<&crate::route::Route>,
        _: crate::metrics::Outcome,
        _: Option<u16>,
        _: &'static str,
    ) {
    }
}
