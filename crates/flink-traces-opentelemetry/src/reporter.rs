//! Reporters around exporters.

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

/// How many spans or log records an exporter is given at once: what the SDK's own batch processors give it by default.
const BATCH: usize = 512;
/// How long it takes at the most to notice that the time is over.
const ATTENTION: Duration = Duration::from_millis(100);
/// How long a shutdown may take that nobody limits.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Makes trace reporters of an `opentelemetry_sdk` span exporter.
pub struct SpanExporterFactory<F> {
    create: F,
    options: &'static [OptionDoc],
}

impl<F, E> SpanExporterFactory<F>
where
    F: Fn(&ReporterConfig) -> Result<E, ConfigError> + Send + Sync,
    E: SpanExporter + 'static,
{
    /// `create` makes the exporter that a configuration describes, reading `options` beside the resource's
    /// ([`otel::resource`]). It is called on the thread of the reporter, inside of a Tokio runtime that lives as long as the
    /// exporter.
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
        let held = Held::create(|| {
            let mut exporter = (self.create)(config)?;
            exporter.set_resource(&resource);
            Ok(exporter)
        });
        Ok(Box::new(SpanExporterReporter(held?)))
    }

    fn options(&self) -> &'static [OptionDoc] {
        self.options
    }
}

/// Makes event reporters of an `opentelemetry_sdk` log exporter.
pub struct LogExporterFactory<F> {
    create: F,
    options: &'static [OptionDoc],
}

impl<F, E> LogExporterFactory<F>
where
    F: Fn(&ReporterConfig) -> Result<E, ConfigError> + Send + Sync,
    E: LogExporter + 'static,
{
    /// As [`SpanExporterFactory::new`].
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
        let held = Held::create(|| {
            let mut exporter = (self.create)(config)?;
            exporter.set_resource(&resource);
            Ok(exporter)
        });
        let records = LogRecords::new(SdkLoggerProvider::builder().build().logger(""));
        Ok(Box::new(LogExporterReporter { held: held?, records }))
    }

    fn options(&self) -> &'static [OptionDoc] {
        self.options
    }
}

/// An exporter in the runtime that it was made in.
struct Held<E> {
    /// Gone only while this is dropped.
    exporter: Option<E>,
    runtime: Runtime,
}

impl<E> Held<E> {
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
        let time = deadline.remaining().unwrap_or(SHUTDOWN);
        within(&self.runtime, || shutdown(exporter, time)).map_err(|error| ReportError::from_dropped(0, false, error))
    }
}

impl<E> Drop for Held<E> {
    fn drop(&mut self) {
        // What it does when it is dropped may need the runtime too.
        within(&self.runtime, || drop(self.exporter.take()));
    }
}

fn within<T>(runtime: &Runtime, act: impl FnOnce() -> T) -> T {
    let _inside = runtime.enter();
    act()
}

struct SpanExporterReporter<E>(Held<E>);

impl<E: SpanExporter> TraceReporter for SpanExporterReporter<E> {
    fn report(&mut self, trees: &[ReportedSpan], deadline: &Deadline) -> Result<(), ReportError> {
        let spans = convert::spans(trees);
        let Held { exporter: Some(exporter), runtime } = &self.0 else { return Ok(()) };
        let batches = spans.chunks(BATCH).map(|batch| (batch.len(), move || exporter.export(batch.to_vec())));
        deliver(runtime, deadline, batches)
    }

    fn close(self: Box<Self>, deadline: &Deadline) -> Result<(), ReportError> {
        self.0.close(deadline, E::shutdown_with_timeout)
    }
}

struct LogExporterReporter<E> {
    held: Held<E>,
    records: LogRecords,
}

impl<E: LogExporter> EventReporter for LogExporterReporter<E> {
    fn report(&mut self, events: &[ReportedEvent], deadline: &Deadline) -> Result<(), ReportError> {
        let records: Vec<_> = events.iter().map(|event| self.records.record(event)).collect();
        let borrowed: Vec<(&SdkLogRecord, &InstrumentationScope)> =
            records.iter().map(|(record, scope)| (record, scope)).collect();
        let Held { exporter: Some(exporter), runtime } = &self.held else { return Ok(()) };
        let batches = borrowed.chunks(BATCH).map(|batch| (batch.len(), move || exporter.export(LogBatch::new(batch))));
        deliver(runtime, deadline, batches)
    }

    fn close(self: Box<Self>, deadline: &Deadline) -> Result<(), ReportError> {
        self.held.close(deadline, E::shutdown_with_timeout)
    }
}

/// Exports batch by batch, the next also if one failed, until the time is over; counts what was not.
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
            let exported = runtime.block_on(in_time(export(), deadline));
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

/// Waits for an export, but not beyond the deadline, which may be set meanwhile.
async fn in_time(export: impl Future<Output = OTelSdkResult>, deadline: &Deadline) -> OTelSdkResult {
    let mut export = pin!(export);
    loop {
        let wait = deadline.remaining().map_or(ATTENTION, |left| left.min(ATTENTION));
        match timeout(wait, &mut export).await {
            Ok(result) => return result,
            Err(_) if deadline.is_over() => return Err(OTelSdkError::Timeout(wait)),
            Err(_) => {}
        }
    }
}
