//! Spans with OpenTelemetry's semantic conventions for HTTP.

use std::sync::OnceLock;

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, request};
use opentelemetry::global::{BoxedSpan, BoxedTracer};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags,
    TraceId, TraceState,
};
use opentelemetry::{Context, KeyValue};

use crate::metrics::{Outcome, Protocol};
use crate::route::Route;
use crate::trace::{TRACEPARENT, TRACESTATE, parent};
use crate::witness::Witness;

static TRACER: OnceLock<BoxedTracer> = OnceLock::new();

/// Records a span for each request from now on, for the rest of the program. Only the first tracer counts.
pub fn trace_with(tracer: BoxedTracer) {
    let _first = TRACER.set(tracer);
}

/// A request's spans, if there are any.
pub(crate) struct Span(Option<Box<Spans>>);

struct Spans {
    tracer: &'static BoxedTracer,
    server: BoxedSpan,
    backend: Option<BoxedSpan>,
    method: String,
}

impl Span {
    /// A request has come; it may be part of a trace.
    pub(crate) fn begin(witness: &Witness, request: &request::Parts) -> Self {
        Self(TRACER.get().map(|tracer| Box::new(Spans::begin(tracer, witness, request))))
    }

    /// Begins the backend's part, and names it in the fields that the backend gets.
    pub(crate) fn go_on(&mut self, route: &Route, headers: &mut HeaderMap) -> bool {
        self.0.as_mut().is_some_and(|spans| spans.go_on(route, headers).is_some())
    }

    /// The response's header section is there, or there will be none.
    pub(crate) fn end(
        &mut self,
        route: Option<&Route>,
        outcome: Outcome,
        status: Option<u16>,
        reason: &'static str,
    ) {
        if let Some(spans) = self.0.take() {
            spans.end(route, outcome, status, reason);
        }
    }
}

impl Spans {
    fn begin(tracer: &'static BoxedTracer, witness: &Witness, request: &request::Parts) -> Self {
        let method = request.method.to_string();
        let mut attributes = vec![
            KeyValue::new("http.request.method", method.clone()),
            KeyValue::new("url.scheme", "https"),
            KeyValue::new("url.path", request.uri.path().to_owned()),
            KeyValue::new("client.address", witness.client().ip().to_string()),
            KeyValue::new("client.port", i64::from(witness.client().port())),
            KeyValue::new("network.protocol.name", "http"),
            KeyValue::new("network.protocol.version", version(witness.protocol())),
        ];
        if let Some(authority) = authority(request) {
            attributes.push(KeyValue::new("server.address", authority.host().to_owned()));
            attributes
                .push(KeyValue::new("server.port", i64::from(authority.port_u16().unwrap_or(443))));
        }
        let context = remote(&request.headers)
            .map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        let builder = SpanBuilder::from_name(method.clone())
            .with_kind(SpanKind::Server)
            .with_attributes(attributes);
        let server = builder.start_with_context(tracer, &context);
        Self { tracer, server, backend: None, method }
    }

    fn go_on(&mut self, route: &Route, headers: &mut HeaderMap) -> Option<()> {
        let context = Context::new().with_remote_span_context(self.server.span_context().clone());
        let builder = SpanBuilder::from_name(self.method.clone())
            .with_kind(SpanKind::Client)
            .with_attributes([
                KeyValue::new("http.request.method", self.method.clone()),
                KeyValue::new("url.scheme", "http"),
                KeyValue::new("countersign.upstream", route.upstream.to_string()),
            ]);
        let backend = self.backend.insert(builder.start_with_context(self.tracer, &context));
        let named = backend.span_context();
        if !named.is_valid() {
            return None;
        }
        let (trace, span) = (named.trace_id(), named.span_id());
        let parent = format!("00-{trace}-{span}-{:02x}", named.trace_flags().to_u8() & 1);
        let state = named.trace_state().header();
        headers.insert(TRACEPARENT, HeaderValue::try_from(parent).ok()?);
        headers.remove(TRACESTATE);
        if let Ok(state) = HeaderValue::try_from(state)
            && !state.is_empty()
        {
            headers.insert(TRACESTATE, state);
        }
        Some(())
    }

    fn end(
        mut self,
        route: Option<&Route>,
        outcome: Outcome,
        status: Option<u16>,
        reason: &'static str,
    ) {
        if let Some(backend) = &mut self.backend {
            let answered = status.filter(|_| outcome == Outcome::Answered);
            // To whoever asks, a 4xx is an error as well.
            let failed = answered.is_none_or(|status| status >= 400);
            close(backend, answered, failed, reason);
        }
        let server = &mut self.server;
        if let Some(route) = route {
            server.update_name(format!("{} {}", self.method, route.path));
            server.set_attribute(KeyValue::new("http.route", route.path.clone()));
        }
        server.set_attribute(KeyValue::new("countersign.outcome", outcome.label()));
        if !reason.is_empty() {
            server.set_attribute(KeyValue::new("countersign.reason", reason));
        }
        close(server, status, status.is_none_or(|status| status >= 500), reason);
    }
}

fn close(span: &mut BoxedSpan, status: Option<u16>, failed: bool, reason: &'static str) {
    if let Some(status) = status {
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
    }
    if failed {
        let kind = match (reason, status) {
            ("", Some(status)) => status.to_string(),
            ("", None) => "abandoned".to_owned(),
            (reason, _) => reason.to_owned(),
        };
        span.set_attribute(KeyValue::new("error.type", kind));
        span.set_status(Status::error(""));
    }
    span.end();
}

/// The part of a trace that the client says a request belongs to.
fn remote(headers: &HeaderMap) -> Option<SpanContext> {
    let mut fields = parent(headers)?.split('-').skip(1);
    let trace = TraceId::from_hex(fields.next()?).ok()?;
    let span = SpanId::from_hex(fields.next()?).ok()?;
    let flags = u8::from_str_radix(fields.next()?, 16).ok()?;
    let states: Vec<_> =
        headers.get_all(TRACESTATE).iter().filter_map(|state| state.to_str().ok()).collect();
    let state = states.join(",").parse::<TraceState>().unwrap_or_default();
    Some(SpanContext::new(trace, span, TraceFlags::new(flags & 1), true, state))
}

fn authority(request: &request::Parts) -> Option<Authority> {
    let host = || request.headers.get(HOST)?.to_str().ok()?.parse().ok();
    request.uri.authority().cloned().or_else(host)
}

fn version(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => "1.1",
        Protocol::Http2 => "2",
        Protocol::Http3 => "3",
    }
}
