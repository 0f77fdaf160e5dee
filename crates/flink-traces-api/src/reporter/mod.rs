//! The traits of reporters and their factories, and what they share.

mod deadline;
mod error;
mod meter;

pub use deadline::Deadline;
pub use error::ReportError;
pub use meter::{BufferStats, RecordCounts, ReporterMeter, TransferStats};

use std::sync::Arc;

use crate::{ConfigError, OptionDoc, ReportedEvent, ReportedSpan, ReporterConfig};

/// Hands finished spans to one destination, as `org.apache.flink.traces.reporter.TraceReporter`.
///
/// A reporter is created, called, closed and dropped on a thread of its own. It may block, own a
/// runtime and keep plain state, and a slow one does not delay the others. If it panics, it is
/// closed and the records that it had are counted as dropped.
///
/// # Examples
///
/// A reporter that prints the names of spans:
///
/// ```
/// use flink_traces_api::{Deadline, ReportError, ReportedSpan, TraceReporter};
///
/// struct Names;
///
/// impl TraceReporter for Names {
///     fn report(&mut self, spans: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
///         for span in spans.iter().flat_map(ReportedSpan::spans) {
///             println!("{}", span.name());
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait TraceReporter {
    /// Delivers `spans` before returning, in order unless the reporter's options relax that.
    ///
    /// `Ok` means that every span has reached the destination or is persisted where a crash cannot
    /// lose it. Do not buffer across calls: there is no flush. The reporter may block and retry for
    /// as long as its own options allow, but not beyond `deadline`.
    ///
    /// # Errors
    /// Fails if the destination rejected some of the spans or the reporter dropped them.
    fn report(&mut self, spans: &[ReportedSpan], deadline: &Deadline) -> Result<(), ReportError>;

    /// Returns the meter of this reporter, which counts what the results of
    /// [`report`](Self::report) do not show.
    ///
    /// Called once, after the reporter was created.
    fn meter(&self) -> Option<ReporterMeter> {
        None
    }

    /// Releases the destination. Called once, after the last span.
    ///
    /// # Errors
    /// Fails if the destination cannot be released. No span is dropped by that, because
    /// [`report`](Self::report) has delivered all of them.
    fn close(self: Box<Self>, deadline: &Deadline) -> Result<(), ReportError> {
        let _ = deadline;
        Ok(())
    }
}

/// Hands events to one destination, as `org.apache.flink.events.reporter.EventReporter`.
///
/// The rules are those of [`TraceReporter`].
pub trait EventReporter {
    /// Delivers `events` before returning, in order unless the reporter's options relax that.
    ///
    /// # Errors
    /// Fails if the destination rejected some of the events or the reporter dropped them.
    fn report(&mut self, events: &[ReportedEvent], deadline: &Deadline) -> Result<(), ReportError>;

    /// Returns the meter of this reporter, which counts what the results of
    /// [`report`](Self::report) do not show.
    ///
    /// Called once, after the reporter was created.
    fn meter(&self) -> Option<ReporterMeter> {
        None
    }

    /// Releases the destination. Called once, after the last event.
    ///
    /// # Errors
    /// Fails if the destination cannot be released.
    fn close(self: Box<Self>, deadline: &Deadline) -> Result<(), ReportError> {
        let _ = deadline;
        Ok(())
    }
}

/// Creates trace reporters, as `org.apache.flink.traces.reporter.TraceReporterFactory`.
///
/// # Examples
///
/// ```
/// use flink_traces_api::{
///     ConfigError, ConfigOption, OptionDoc, ReporterConfig, TraceReporter, TraceReporterFactory,
/// };
/// # use flink_traces_api::{Deadline, ReportError, ReportedSpan};
///
/// const PREFIX: ConfigOption<String> =
///     ConfigOption::string("prefix", "The first word of each line.").or("span");
///
/// # struct Names(String);
/// # impl TraceReporter for Names {
/// #     fn report(&mut self, _: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
/// #         Ok(())
/// #     }
/// # }
/// struct NamesFactory;
///
/// impl TraceReporterFactory for NamesFactory {
///     fn create_trace_reporter(
///         &self,
///         config: &ReporterConfig,
///     ) -> Result<Box<dyn TraceReporter>, ConfigError> {
///         Ok(Box::new(Names(config.require(&PREFIX)?)))
///     }
///
///     fn options(&self) -> &'static [OptionDoc] {
///         const { &[PREFIX.doc()] }
///     }
/// }
///
/// let config = ReporterConfig::from_pairs("names", [("prefix", "my-span")]);
/// assert!(NamesFactory.create_trace_reporter(&config).is_ok());
/// ```
pub trait TraceReporterFactory: Send + Sync {
    /// Creates the reporter that `config` describes. Called on the thread that will call the
    /// reporter.
    ///
    /// # Errors
    /// Fails if an option is missing or invalid, or if the destination cannot be set up. An
    /// unreachable destination is not an error here; [`TraceReporter::report`] will find out.
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError>;

    /// Returns the options that the factory reads, for documentation and for finding misspelled
    /// keys.
    fn options(&self) -> &'static [OptionDoc];
}

impl<F: TraceReporterFactory + ?Sized> TraceReporterFactory for Arc<F> {
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        (**self).create_trace_reporter(config)
    }

    fn options(&self) -> &'static [OptionDoc] {
        (**self).options()
    }
}

/// Creates event reporters, as `org.apache.flink.events.reporter.EventReporterFactory`.
pub trait EventReporterFactory: Send + Sync {
    /// Creates the reporter that `config` describes. Called on the thread that will call the
    /// reporter.
    ///
    /// # Errors
    /// Fails as [`TraceReporterFactory::create_trace_reporter`] does.
    fn create_event_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError>;

    /// Returns the options that the factory reads, for documentation and for finding misspelled
    /// keys.
    fn options(&self) -> &'static [OptionDoc];
}

impl<F: EventReporterFactory + ?Sized> EventReporterFactory for Arc<F> {
    fn create_event_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
        (**self).create_event_reporter(config)
    }

    fn options(&self) -> &'static [OptionDoc] {
        (**self).options()
    }
}
