//! What goes on in the program, told to people and to programs: logs on standard error, and with the feature
//! `otlp` traces to a collector.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

#[cfg(feature = "otlp")]
pub(crate) use self::traces::Exporting;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// Warnings and worse, and what becomes of reloads, go to standard error; `RUST_LOG` asks for more.
pub(crate) fn start_logging(format: LogFormat) {
    let usual = || EnvFilter::new("warn,countersign_gateway::reload=info");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| usual());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
}

#[cfg(feature = "otlp")]
mod traces {
    use std::fmt;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::time::Duration;

    use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
    use hyper_util::client::legacy::connect::HttpConnector;
    use opentelemetry::global::{BoxedTracer, ObjectSafeTracerProvider as _};
    use opentelemetry::{InstrumentationScope, KeyValue};
    use opentelemetry_http::hyper::HyperClient;
    use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
    use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tokio::runtime::Handle;

    use crate::failure::{Exit, Failure};

    /// How long one export may take, and the last one at the end.
    const TIMEOUT: Duration = Duration::from_secs(10);
    const LAST: Duration = Duration::from_secs(5);

    /// Traces are exported; what is left is sent when it is dropped.
    #[derive(Debug)]
    pub(crate) struct Exporting(SdkTracerProvider);

    impl Exporting {
        /// Exports to where `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` says; to
        /// nowhere if neither is set or `OTEL_SDK_DISABLED` is `true`.
        pub(crate) fn start() -> Result<Option<Self>, Failure> {
            let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            let endpoints = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
            let disabled = std::env::var("OTEL_SDK_DISABLED");
            if disabled.is_ok_and(|value| value.eq_ignore_ascii_case("true"))
                || !endpoints.into_iter().any(set)
            {
                return Ok(None);
            }
            let failed = |error: &dyn fmt::Display| {
                Failure::new(Exit::Failed, format!("traces cannot be exported: {error}"))
            };
            for name in ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] {
                if set(name) && std::env::var(name).as_deref() != Ok("http/protobuf") {
                    return Err(failed(&format_args!("{name} can only be http/protobuf")));
                }
            }
            let client = Client::new().map_err(|error| failed(&error))?;
            let exporter = SpanExporter::builder().with_http().with_http_client(client).build();
            let exporter = exporter.map_err(|error| failed(&error))?;
            let provider = SdkTracerProvider::builder()
                .with_batch_exporter(exporter)
                .with_resource(resource())
                .build();
            let scope = InstrumentationScope::builder("countersign-gateway")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build();
            countersign_gateway::trace_with(BoxedTracer::new(provider.boxed_tracer(scope)));
            Ok(Some(Self(provider)))
        }
    }

    impl Drop for Exporting {
        fn drop(&mut self) {
            if let Err(error) = self.0.shutdown_with_timeout(LAST) {
                tracing::warn!(%error, "the last traces could not be exported");
            }
        }
    }

    /// `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` go before.
    fn resource() -> Resource {
        let named = Resource::builder().build();
        let name = named.get_ref(&"service.name".into()).map(ToString::to_string);
        let builder = Resource::builder()
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        match name {
            Some(name) if !name.starts_with("unknown_service") => builder.build(),
            _ => builder.with_service_name("countersign-gateway").build(),
        }
    }

    /// Sends from the program's own runtime, which the exporter's thread is not part of.
    #[derive(Clone)]
    struct Client {
        inner: Arc<HyperClient<HttpsConnector<HttpConnector>>>,
        runtime: Handle,
    }

    impl Client {
        fn new() -> Result<Self, rustls::Error> {
            let mut roots = rustls::RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let tls = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(tls)
                .https_or_http()
                .enable_http1()
                .build();
            let inner = Arc::new(HyperClient::new(connector, TIMEOUT, None));
            Ok(Self { inner, runtime: Handle::current() })
        }
    }

    impl fmt::Debug for Client {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Client").finish_non_exhaustive()
        }
    }

    type Sending<'a> =
        Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

    impl HttpClient for Client {
        fn send_bytes<'a, 'b>(&'a self, request: Request<Bytes>) -> Sending<'b>
        where
            'a: 'b,
            Self: 'b,
        {
            let inner = Arc::clone(&self.inner);
            let sending = self.runtime.spawn(async move { inner.send_bytes(request).await });
            Box::pin(async move { sending.await? })
        }
    }
}
