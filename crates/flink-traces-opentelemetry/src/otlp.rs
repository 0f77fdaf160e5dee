//! Reporters with the exporters of `opentelemetry-otlp`.

use std::time::Duration;

use flink_traces_api::{
    AlreadyRegistered, ConfigError, ConfigOption, EventReporterFactory, OptionDoc, Registry, ReporterConfig,
    TraceReporterFactory, otel,
};
use opentelemetry_otlp::{ExporterBuildError, LogExporter, SpanExporter, WithExportConfig};

use crate::{LogExporterFactory, SpanExporterFactory};

/// The `factory.class` of both reporters, which send with `opentelemetry-otlp` over gRPC.
pub const FACTORY: &str = "flink-traces-opentelemetry";

pub(crate) const ENDPOINT: ConfigOption<String> = ConfigOption::string(
    "exporter.endpoint",
    "The address of an OTLP receiver for gRPC. The default is that of the `OTEL_EXPORTER_OTLP_*` environment variables, or \
     else `http://localhost:4317`.",
);

pub(crate) const TIMEOUT: ConfigOption<Duration> = ConfigOption::duration(
    "exporter.timeout",
    "The maximum duration of a request. The default is that of the `OTEL_EXPORTER_OTLP_*` environment variables, or else \
     10 s.",
);

pub(crate) const OPTIONS: &[OptionDoc] = &[
    ENDPOINT.doc(),
    TIMEOUT.doc(),
    otel::SERVICE_NAME.doc(),
    otel::SERVICE_VERSION.doc(),
    otel::RESOURCE_ATTRIBUTES.doc(),
];

/// Registers both reporters as [`FACTORY`].
///
/// # Errors
/// Fails if the registry already has one of the two. The factory that was registered first stays.
pub fn register(registry: &mut Registry) -> Result<(), AlreadyRegistered> {
    let traces = registry.register_trace(FACTORY, span_exporters());
    let events = registry.register_event(FACTORY, log_exporters());
    traces.and(events)
}

/// Returns the factory of reporters of spans.
pub(crate) fn span_exporters() -> impl TraceReporterFactory + 'static {
    SpanExporterFactory::new(OPTIONS, span_exporter)
}

/// Returns the factory of reporters of events.
pub(crate) fn log_exporters() -> impl EventReporterFactory + 'static {
    LogExporterFactory::new(OPTIONS, log_exporter)
}

fn span_exporter(config: &ReporterConfig) -> Result<SpanExporter, ConfigError> {
    let builder = configured(SpanExporter::builder().with_tonic(), config)?;
    builder.build().map_err(|error| setup_error(config, error))
}

fn log_exporter(config: &ReporterConfig) -> Result<LogExporter, ConfigError> {
    let builder = configured(LogExporter::builder().with_tonic(), config)?;
    builder.build().map_err(|error| setup_error(config, error))
}

fn configured<B: WithExportConfig>(mut builder: B, config: &ReporterConfig) -> Result<B, ConfigError> {
    if let Some(endpoint) = config.get(&ENDPOINT)? {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(timeout) = config.get(&TIMEOUT)? {
        builder = builder.with_timeout(timeout);
    }
    Ok(builder)
}

fn setup_error(config: &ReporterConfig, error: ExporterBuildError) -> ConfigError {
    match (error, config.get(&ENDPOINT)) {
        (ExporterBuildError::InvalidConfiguration(_), Ok(Some(_))) => {
            config.invalid(&ENDPOINT, "an address such as `http://localhost:4317`")
        }
        (error, _) => ConfigError::Setup(error.into()),
    }
}
