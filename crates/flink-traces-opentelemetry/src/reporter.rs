//! Reporters that wrap an exporter.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use flink_traces_api::{
    ConfigError, Deadline, EventReporter, EventReporterFactory, OptionDoc, ReportError, ReportedEvent, ReportedSpan,
    ReporterConfig, Signal, TraceReporter, TraceReporterFactory, otel,
};
use opentelemetry::InstrumentationScope;
use opentelemetry::logs::LoggerProvider;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter, SdkLogRecord, SdkLoggerProvider};
use opentelemetry_sdk::trace::SpanExporter;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::convert::{self, LogRecords};

/// The number of records that an exporter gets at once, which is the default of the SDK's
/// processors.
const BATCH_SIZE: usize = 512;
/// The options of the resource, which every reporter of this crate has.
pub(crate) const RESOURCE_OPTIONS: &[OptionDoc] =
    &[otel::SERVICE_NAME.doc(), otel::SERVICE_VERSION.doc(), otel::RESOURCE_ATTRIBUTES.doc()];
/// The maximum time until a deadline that is set meanwhile is noticed.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The maximum duration of a shutdown without a deadline.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// A factory of trace reporters that wrap an `opentelemetry_sdk` span exporter.
///
/// # Examples
///
/// ```
/// use flink_traces_api::{Registry, ReporterConfig};
/// use flink_traces_opentelemetry::SpanExporterFactory;
/// use opentelemetry_sdk::error::OTelSdkResult;
/// use opentelemetry_sdk::trace::{SpanData, SpanExporter};
///
/// #[derive(Debug)]
/// struct Names;
///
/// impl SpanExporter for Names {
///     async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
///         batch.iter().for_each(|span| println!("{}", span.name));
///         Ok(())
///     }
/// }
///
/// let mut registry = Registry::new();
/// let factory = SpanExporterFactory::new(&[], |_: &ReporterConfig| Ok(Names));
/// registry.register_trace("names", factory)?;
/// # Ok::<(), flink_traces_api::AlreadyRegistered>(())
/// ```
pub struct SpanExporterFactory<F> {
    create: F,
    options: &'static [OptionDoc],
}

impl<F, E> SpanExporterFactory<F>
where
    F: Fn(&ReporterConfig) -> Result<E, ConfigError> + Send + Sync,
    E: SpanExporter + 'static,
{
    /// Creates a factory that wraps the exporters of `create`.
    ///
    /// `create` returns the exporter that a configuration describes. It reads `options`, and the
    /// resource is added ([`otel::resource`]). It is called on the thread of the reporter, inside a
    /// Tokio runtime that lives as long as the exporter.
    pub fn new(options: &'static [OptionDoc], create: F) -> Self {
        Self { create, options }
    }
}

impl<F, E> TraceReporterFactory for SpanExporterFactory<F>
where
    F: Fn(&ReporterConfig) -> Result<E, ConfigError> + Send + Sync,
    E: SpanExporter + 'static,
{
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        let resource = convert::resource(&otel::resource(config, Signal::Traces)?);
        let handle = ExporterHandle::create(|| {
            let mut exporter = (self.create)(config)?;
            exporter.set_resource(&resource);
            Ok(exporter)
        });
        Ok(Box::new(SpanExporterReporter(handle?)))
    }

    fn options(&self) -> &'static [OptionDoc] {
        self.options
    }
}

/// A factory of event reporters that wrap an `opentelemetry_sdk` log exporter.
pub struct LogExporterFactory<F> {
    create: F,
    options: &'static [OptionDoc],
}

impl<F, E> LogExporterFactory<F>
where
    F: Fn(&ReporterConfig) -> Result<E, ConfigError> + Send + Sync,
    E: LogExporter + 'static,
{
    /// Creates a factory as [`SpanExporterFactory::new`] does.
    pub fn new(options: &'static [OptionDoc], create: F) -> Self {
        Self { create, options }
    }
}

impl<F, E> EventReporterFactory for LogExporterFactory<F>
where
    F: Fn(&ReporterConfig) -> Result<E, ConfigError> + Send + Sync,
    E: LogExporter + 'static,
{
    fn create_event_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
        let resource = convert::resource(&otel::resource(config, Signal::Events)?);
        let handle = ExporterHandle::create(|| {
            let mut exporter = (self.create)(config)?;
            exporter.set_resource(&resource);
            Ok(exporter)
        });
        let records = LogRecords::new(SdkLoggerProvider::builder().build().logger(""));
        Ok(Box::new(LogExporterReporter { handle: handle?, records }))
    }

    fn options(&self) -> &'static [OptionDoc] {
        self.options
    }
}

/// An exporter and the runtime in which it was created.
struct ExporterHandle<E> {
    /// The exporter, which is `None` only while this is dropped.
    exporter: Option<E>,
    runtime: Runtime,
}

impl<E> ExporterHandle<E> {
    fn create(create: impl FnOnce() -> Result<E, ConfigError>) -> Result<Self, ConfigError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| ConfigError::Setup(error.into()))?;
        let exporter = within(&runtime, create)?;
        Ok(Self { exporter: Some(exporter), runtime })
    }

    fn close(
        &self,
        deadline: &Deadline,
        shutdown: impl FnOnce(&E, Duration) -> OTelSdkResult,
    ) -> Result<(), ReportError> {
        let Some(exporter) = &self.exporter else { return Ok(()) };
        let time = deadline.remaining().unwrap_or(SHUTDOWN_TIMEOUT);
        within(&self.runtime, || shutdown(exporter, time)).map_err(|error| ReportError::from_dropped(0, false, error))
    }
}

impl<E> Drop for ExporterHandle<E> {
    fn drop(&mut self) {
        // The exporter may need the runtime while it is dropped.
        within(&self.runtime, || drop(self.exporter.take()));
    }
}

fn within<T>(runtime: &Runtime, act: impl FnOnce() -> T) -> T {
    let _inside = runtime.enter();
    act()
}

struct SpanExporterReporter<E>(ExporterHandle<E>);

impl<E: SpanExporter> TraceReporter for SpanExporterReporter<E> {
    fn report(&mut self, trees: &[ReportedSpan], deadline: &Deadline) -> Result<(), ReportError> {
        let spans = convert::spans(trees);
        let ExporterHandle { exporter: Some(exporter), runtime } = &self.0 else { return Ok(()) };
        let batches = spans.chunks(BATCH_SIZE).map(|batch| (batch.len(), move || exporter.export(batch.to_vec())));
        deliver(runtime, deadline, batches)
    }

    fn close(self: Box<Self>, deadline: &Deadline) -> Result<(), ReportError> {
        self.0.close(deadline, E::shutdown_with_timeout)
    }
}

struct LogExporterReporter<E> {
    handle: ExporterHandle<E>,
    records: LogRecords,
}

impl<E: LogExporter> EventReporter for LogExporterReporter<E> {
    fn report(&mut self, events: &[ReportedEvent], deadline: &Deadline) -> Result<(), ReportError> {
        let records: Vec<_> = events.iter().map(|event| self.records.record(event)).collect();
        let borrowed: Vec<(&SdkLogRecord, &InstrumentationScope)> =
            records.iter().map(|(record, scope)| (record, scope)).collect();
        let ExporterHandle { exporter: Some(exporter), runtime } = &self.handle else { return Ok(()) };
        let batches =
            borrowed.chunks(BATCH_SIZE).map(|batch| (batch.len(), move || exporter.export(LogBatch::new(batch))));
        deliver(runtime, deadline, batches)
    }

    fn close(self: Box<Self>, deadline: &Deadline) -> Result<(), ReportError> {
        self.handle.close(deadline, E::shutdown_with_timeout)
    }
}

/// Exports all batches until the deadline, even if one fails, and counts the records that fail.
fn deliver<F: Future<Output = OTelSdkResult>>(
    runtime: &Runtime,
    deadline: &Deadline,
    batches: impl Iterator<Item = (usize, impl FnOnce() -> F)>,
) -> Result<(), ReportError> {
    let mut result = Ok(());
    for (count, export) in batches {
        let exported = if deadline.is_over() {
            Err(ReportError::from_dropped(count, true, "no time is left"))
        } else {
            // Exporters do not say whether a retry could succeed.
            let exported = runtime.block_on(before_deadline(export(), deadline));
            exported.map_err(|error| ReportError::from_dropped(count, true, error))
        };
        result = match (result, exported) {
            (Err(first), Err(next)) => Err(ReportError::and(first, next)),
            (Ok(()), exported) => exported,
            (failed, Ok(())) => failed,
        };
    }
    result
}

/// Waits for an export until the deadline, which may be set meanwhile.
async fn before_deadline(export: impl Future<Output = OTelSdkResult>, deadline: &Deadline) -> OTelSdkResult {
    let mut export = pin!(export);
    loop {
        let wait = deadline.remaining().map_or(POLL_INTERVAL, |left| left.min(POLL_INTERVAL));
        match timeout(wait, &mut export).await {
            Ok(result) => return result,
            Err(_) if deadline.is_over() => return Err(OTelSdkError::Timeout(wait)),
            Err(_) => {}
        }
    }
}
